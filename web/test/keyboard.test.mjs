// The page by keyboard alone: no pointer is used in this file.
import assert from "node:assert/strict";
import {test} from "node:test";
import {bed, ready, until} from "./bed.mjs";

const it = bed();

/// Presses Tab until what has the focus answers to `wanted`; fails after two hundred.
async function tabTo(page, wanted) {
  for (let n = 0; n < 200; n += 1) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const focused = document.activeElement;
      const outline = getComputedStyle(focused).outlineStyle;
      return {text: focused === document.body ? "" : `${focused.getAttribute("aria-label") ?? ""} ${focused.innerText ?? ""} ${[...(focused.labels ?? [])].map((label) => label.innerText).join(" ")}`, visible: outline !== "none"};
    });
    if (wanted.test(at.text)) {
      assert.ok(at.visible, `the focus on ${wanted} cannot be seen`);
      return;
    }
  }
  assert.fail(`nothing with ${wanted} is reached by Tab`);
}

test("a model is loaded and unloaded by keyboard alone", it.on("overview", async (page) => {
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.innerText), "Skip to the content");
  await tabTo(page, /^\s*Models/);
  await page.keyboard.press("Enter");
  await ready(page, "models");
  await tabTo(page, /Find a file/);
  await page.keyboard.type("every-type.gguf");
  await tabTo(page, /^ Load….*every-type/s);
  await page.keyboard.press("Enter");
  await page.locator("dialog[open]").waitFor();
  await tabTo(page, /^ Load\s*$/);
  await page.keyboard.press("Enter");
  await page.getByText("exactly that").waitFor();
  await tabTo(page, /Unload from a/);
  await page.keyboard.press("Enter");
  await page.locator("dialog[open]").waitFor();
  await tabTo(page, /^ Unload\s*$/);
  await page.keyboard.press("Enter");
  await page.getByText(/every-type is unloaded/).first().waitFor();
  assert.equal((await it.daemon.call("GET", "/api/model/info?name=every-type")).state, "cached");
}));

test("Escape leaves a question without an answer, and the focus goes back to its button", it.on("models", async (page) => {
  await tabTo(page, /Unload from a/);
  await page.keyboard.press("Enter");
  await page.locator("dialog[open]").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("dialog[open]").waitFor({state: "hidden"});
  assert.match(await page.evaluate(() => document.activeElement.innerText), /Unload from a/);
}));

test("the map is walked, zoomed and asked by keys, and says in words where one is", it.on("map?device=a", async (page) => {
  await tabTo(page, /allocations, .* used/);
  const piece = page.getByTestId("piece");
  await page.keyboard.press("ArrowRight");
  await until(page, () => /^alc_/.test(document.querySelector('[data-testid="piece"]').textContent));
  const first = await piece.innerText();
  await page.keyboard.press("ArrowRight");
  await until(page, (before) => document.querySelector('[data-testid="piece"]').textContent !== before, first);
  await page.keyboard.press("ArrowLeft");
  await until(page, (before) => document.querySelector('[data-testid="piece"]').innerText === before, first);
  const span = await page.locator("canvas").getAttribute("data-span");
  await page.keyboard.press("+");
  await until(page, (before) => document.querySelector("canvas").dataset.span === String(before / 2), Number(span));
  await page.keyboard.press("Enter");
  await page.getByTestId("record").waitFor();
  await page.keyboard.press("Escape");
  await page.getByTestId("record").waitFor({state: "detached"});
  await page.keyboard.press("0");
  await until(page, (before) => document.querySelector("canvas").dataset.span === before, span);
}));
