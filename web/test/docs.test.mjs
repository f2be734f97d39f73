// The API's page against the real daemon: all of /openapi.json is in it, and what is tried there happens.
import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {test} from "node:test";
import {bed, ready, until} from "./bed.mjs";
import {open, openDocs} from "./browser.mjs";
import {adminToken} from "./daemon.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const it = bed();

/// Runs `test` with /docs, and holds the page to its promises afterwards.
const on = (test_, more = {}) => async () => {
  const page = await openDocs(it.browser, it.origin, {token: adminToken, ...more});
  try {
    await test_(page);
    assert.deepEqual(page.record, {errors: [], elsewhere: []});
  } finally {
    await page.context().close();
  }
};
const card = (page, id) => page.locator(`article[id="${id}"]`);
const settled = (page, id) => page.waitForSelector(`article[id="${id}"] section[data-settled="true"]`, {state: "attached"});
async function go(page, id) {
  await page.evaluate((name) => (location.hash = `#${name}`), id);
  await settled(page, id);
}

/// Sends the open call's form and gives its status.
async function send(page, id) {
  await card(page, id).getByRole("button", {name: "Send", exact: true}).click();
  return came(page, id);
}
async function came(page, id) {
  const status = card(page, id).getByTestId("status");
  await status.getByText(/ after /).waitFor();
  return Number((await status.innerText()).slice(0, 3));
}

test("every call of /openapi.json is shown with its parameters, body, examples, answers and problems by code, in the order of a first session", on(async (page) => {
  const document = await it.daemon.call("GET", "/openapi.json");
  const tags = document.tags.map((tag) => tag.name);
  assert.deepEqual(await page.locator("main section > h2").allInnerTexts(), tags);
  assert.deepEqual(tags.slice(0, 6), ["Devices", "Allocations", "Reading and writing", "Models", "Transfers", "Limits"]);
  const calls = Object.entries(document.paths).flatMap(([path, item]) => Object.entries(item).map(([method, told]) => ({path, method: method.toUpperCase(), told})));
  const shown = await page.locator("article").evaluateAll((all) => all.map((each) => `${each.dataset.method} ${each.dataset.path}`));
  assert.deepEqual([...shown].sort(), calls.map(({path, method}) => `${method} ${path}`).sort());
  for (const {told} of calls) {
    const {text, codes} = await card(page, told.operationId).evaluate(async (article) => {
      const open = async (wanted) => {
        article.querySelector("h3 button").click();
        while ((article.querySelector("h4") !== null) !== wanted) await new Promise(requestAnimationFrame);
      };
      await open(true);
      const all = {text: article.innerText, codes: [...article.querySelectorAll('a[href^="/problems/"]')].map((each) => each.getAttribute("href").slice(10))};
      await open(false);
      return all;
    });
    const holds = (word) => assert.ok(text.includes(word), `${told.operationId} does not tell ${word}`);
    [told.summary, told.description, ...(told["x-loses"] ? [told["x-loses"]] : [])].forEach(holds);
    for (const parameter of told.parameters) [parameter.name, parameter.description, String(parameter.example)].forEach(holds);
    for (const content of Object.values(told.requestBody?.content ?? {})) {
      const name = content.schema.$ref?.split("/").pop();
      for (const [field, schema] of Object.entries(name ? document.components.schemas[name].properties : {})) [field, schema.description].forEach(holds);
      for (const example of Object.values(content.examples)) holds(example.summary);
    }
    for (const [status, response] of Object.entries(told.responses)) {
      holds(status);
      for (const code of Object.keys(response.content?.["application/problem+json"]?.examples ?? {})) assert.equal(codes.filter((each) => each === code).length, 1, `${told.operationId} ${code}`);
      if (Number(status) < 400) holds(response.description);
    }
  }
}));

test("memory is taken, written, read and given back by trying the calls, each with the id that the one before answered", on(async (page) => {
  const sent = [];
  page.on("request", (request) => request.method() !== "GET" && sent.push(`${request.method()} ${new URL(request.url()).pathname}`));
  await go(page, "allocate");
  await card(page, "allocate").getByLabel("Body, application/json").fill('{"deviceId":"a","sizeBytes":300,"purpose":"tried"}');
  assert.equal(await send(page, "allocate"), 201);
  const {id} = JSON.parse(await card(page, "allocate").getByTestId("body").innerText());
  assert.equal((await it.daemon.call("GET", `/api/memory/allocation/${id}`)).purpose, "tried");
  await card(page, "allocate").getByText("Headers of the answer").click();
  assert.match(await card(page, "allocate").getByTestId("headers").innerText(), new RegExp(`location: /api/memory/allocation/${id}`));

  await go(page, "writeContent");
  const write = card(page, "writeContent");
  assert.equal(await write.getByLabel("id, required").inputValue(), id);
  await write.getByLabel("Body, application/octet-stream").fill("hello");
  await write.getByRole("button", {name: "Send…"}).click();
  assert.match(await page.locator("dialog[open]").innerText(), /What the allocation held there[\s\S]*PUT \/api\/memory\/allocation\/alc_\w+\/content\s+hello/);
  await page.locator("dialog[open]").getByRole("button", {name: "Send it"}).click();
  assert.equal(await came(page, "writeContent"), 200);

  await go(page, "readContent");
  await card(page, "readContent").getByLabel("Range").fill("bytes=0-9");
  assert.equal(await send(page, "readContent"), 206);
  assert.match(await card(page, "readContent").getByTestId("body").innerText(), /^00000000 {2}68 65 6c 6c 6f 00 00 00 00 00 +hello\.\.\.\.\.$/);

  await go(page, "freeAllocation");
  await card(page, "freeAllocation").getByRole("button", {name: "Send…"}).click();
  await page.locator("dialog[open]").getByRole("button", {name: "Cancel"}).click();
  await page.locator("dialog[open]").waitFor({state: "hidden"});
  assert.equal((await it.daemon.call("GET", `/api/memory/allocation/${id}`)).status, "live");
  assert.ok(!sent.some((each) => each.startsWith("DELETE")), "the question was cancelled");
  await card(page, "freeAllocation").getByRole("button", {name: "Send…"}).click();
  await page.locator("dialog[open]").getByRole("button", {name: "Send it"}).click();
  assert.equal(await came(page, "freeAllocation"), 200);
  await assert.rejects(it.daemon.call("GET", `/api/memory/allocation/${id}`), /404/);
  assert.deepEqual(sent, ["POST /api/memory/allocations/allocate", `PUT /api/memory/allocation/${id}/content`, `DELETE /api/memory/allocations/${id}`]);
}));

test("every example of a body can be chosen, and speaks of what this daemon has", on(async (page) => {
  await go(page, "copy");
  const copy = card(page, "copy");
  const body = copy.getByLabel("Body, application/json");
  const ids = (await it.daemon.call("GET", "/api/memory/allocations?limit=2")).items.map((each) => each.id);
  assert.deepEqual(Object.values(JSON.parse(await body.inputValue())), ids);
  await copy.getByLabel("Begin with").selectOption({label: "A page from the source's start behind the target's first page"});
  assert.equal(JSON.parse(await body.inputValue()).targetOffsetBytes, 4096);
}));

test("a refusal is shown with its status and the daemon's own problem, and what is required is asked for before anything is sent", on(async (page) => {
  await go(page, "allocateOnDevice");
  const allocate = card(page, "allocateOnDevice");
  await allocate.getByLabel("device, required").fill("");
  await allocate.getByRole("button", {name: "Send", exact: true}).click();
  assert.match(await allocate.getByRole("alert").innerText(), /device is required/);
  await allocate.getByLabel("device, required").fill("a");
  await allocate.getByLabel("Body, application/json").fill('{"sizeBytes":99999999999}');
  assert.equal(await send(page, "allocateOnDevice"), 507);
  assert.equal(JSON.parse(await allocate.getByTestId("body").innerText()).code, "insufficient-memory");
}));

test("events are shown as they come until they are stopped, and an answer too long to show is told to be", on(async (page) => {
  await go(page, "streamEvents");
  const events = card(page, "streamEvents");
  await events.getByRole("button", {name: "Send", exact: true}).click();
  await events.getByTestId("status").getByText(/200/).waitFor();
  await it.daemon.allocate(4096, {owner: "ada", purpose: "seen-in-the-docs"});
  await events.getByTestId("body").getByText(/seen-in-the-docs/).waitFor();
  await events.getByRole("button", {name: "Stop"}).click();
  await events.getByRole("button", {name: "Stop"}).waitFor({state: "detached"});
  const big = await it.daemon.allocate(8 << 20, {deviceId: "a"});
  await go(page, "readContent");
  await card(page, "readContent").getByLabel("id, required").fill(big.id);
  assert.equal(await send(page, "readContent"), 200);
  await card(page, "readContent").getByText(/Only its beginning is shown/).waitFor();
  await it.daemon.call("DELETE", `/api/memory/allocations/${big.id}`);
}));

test("a link to a call opens it, an opened call is the address, and words find calls", on(async (page) => {
  await until(page, () => document.activeElement.closest("article")?.id === "loadModel");
  assert.match(await page.title(), /^Load a model · API · vramd$/);
  assert.ok(await card(page, "loadModel").getByRole("heading", {name: "Problems"}).isVisible());
  await card(page, "listDevices").getByRole("button").first().click();
  assert.equal(new URL(page.url()).hash, "#listDevices");
  await page.reload();
  await page.waitForSelector('article[id="listDevices"] h4');
  await page.getByRole("searchbox").fill("DELETE /api/model/cache");
  await until(page, () => [...document.querySelectorAll("article")].map((each) => each.id).sort().join() === "emptyModelCache,uncacheModel");
  await page.getByRole("navigation").getByRole("link", {name: "Empty the RAM cache"}).click();
  await until(page, () => document.activeElement.closest("article")?.id === "emptyModelCache");
}, {hash: "#loadModel"}));

test("the page leads to /docs, and /docs back to the page", async () => {
  const page = await open(it.browser, it.origin, {token: adminToken});
  await page.getByRole("link", {name: "API", exact: true}).click();
  await page.waitForSelector('main[data-ready="true"]');
  assert.equal(new URL(page.url()).pathname, "/docs");
  await page.getByText("keeper-of-keys").waitFor();  // The token goes along.
  await page.getByRole("link", {name: "Back to the page"}).click();
  await ready(page, "overview");
  assert.deepEqual(page.record, {errors: [], elsewhere: []});
  await page.context().close();
});

test("without a token a call is made as http", on(async (page) => {
  await go(page, "readSystem");
  assert.equal(await send(page, "readSystem"), 200);
  assert.equal(JSON.parse(await card(page, "readSystem").getByTestId("body").innerText()).owner, "http");
}, {token: ""}));

test("a call is found, filled, sent and refused its question by keyboard alone", on(async (page) => {
  /// Presses Tab until what has the focus answers to `wanted`.
  const tabTo = async (wanted) => {
    for (let n = 0; n < 120; n += 1) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const focused = document.activeElement;
        return {text: focused === document.body ? "" : `${focused.getAttribute("aria-label") ?? ""} ${focused.innerText ?? ""} ${[...(focused.labels ?? [])].map((label) => label.innerText).join(" ")}`, visible: getComputedStyle(focused).outlineStyle !== "none"};
      });
      if (!wanted.test(at.text)) continue;
      assert.ok(at.visible, `the focus on ${wanted} cannot be seen`);
      return;
    }
    assert.fail(`nothing with ${wanted} is reached by Tab`);
  };
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.innerText), "Skip to the content");
  await tabTo(/Find a call/);
  await page.keyboard.type("free an allocation");
  await tabTo(/DELETE\s.*allocations/s);
  await page.keyboard.press("Enter");
  await settled(page, "freeAllocation");
  await tabTo(/ id, required/);
  const made = await it.daemon.allocate(4096, {deviceId: "a"});
  await page.keyboard.press("Control+A");
  await page.keyboard.type(made.id);
  await page.keyboard.press("Enter");
  await page.locator("dialog[open]").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("dialog[open]").waitFor({state: "hidden"});
  await tabTo(/^ Send…/);
  await page.keyboard.press("Enter");
  await tabTo(/^ Send it/);
  await page.keyboard.press("Enter");
  assert.equal(await came(page, "freeAllocation"), 200);
  await tabTo(/Body of the answer/);
}));

for (const theme of ["light", "dark"]) {
  test(`no part of /docs breaks a rule of accessibility in the ${theme} theme`, on(async (page) => {
    await page.evaluate(axe);
    const found = [];
    const look = async (where) => {
      const {violations, passes} = await page.evaluate(() => globalThis.axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}));
      assert.ok(passes.length > 12, `${where}: only ${passes.length} rules looked at anything`);
      for (const each of violations) found.push(`${where}: ${each.id} at ${each.nodes.map((node) => node.target.join(" ")).slice(0, 3).join(", ")}`);
    };
    await look("the list");
    for (const id of ["allocate", "streamEvents", "writeContent", "readStatus"]) {
      await card(page, id).getByRole("button").first().click();
      for (const fold of await card(page, id).locator("summary").all()) await fold.click();
    }
    await card(page, "allocate").getByRole("button", {name: "Send", exact: true}).click();
    await came(page, "allocate");
    await go(page, "freeAllocation");
    await card(page, "freeAllocation").getByLabel("id, required").fill("alc_none");
    await card(page, "freeAllocation").getByRole("button", {name: "Send…"}).click();
    await page.locator("dialog[open]").waitFor();
    await look("the question");
    await page.locator("dialog[open]").getByRole("button", {name: "Send it"}).click();
    assert.equal(await came(page, "freeAllocation"), 404);
    await look("open calls, an answer and a refusal");
    await page.getByRole("button", {name: "Change token"}).click();
    await page.getByRole("searchbox").fill("nothing of this name");
    await look("nothing found");
    assert.deepEqual(found, []);
  }, {theme}));
}

test("/docs does not scroll sideways on a phone, with calls open and answers shown", on(async (page) => {
  for (const id of ["allocate", "readSystem", "streamEvents", "listTensors", "optimizeDevice"]) await card(page, id).getByRole("button").first().click();
  await send(page, "readSystem");
  await card(page, "readSystem").getByText("Headers of the answer").click();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0);
}, {width: 390, height: 844, touch: true}));

test("on a phone a call's form stands before its long lists, within the first screen of the opened call", on(async (page) => {
  for (const id of ["allocate", "readStatus", "optimizeDevice"]) {
    await card(page, id).getByRole("button").first().click();
    const top = async (name) => (await card(page, id).getByRole("heading", {name, exact: true}).boundingBox()).y;
    const opened = (await card(page, id).boundingBox()).y;
    assert.ok((await top("Try it")) < (await top("Answers")), id);
    assert.ok((await top("Try it")) - opened < 844, id);
  }
}, {width: 390, height: 844, touch: true}));
