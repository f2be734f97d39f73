// Writes a picture of every view, a question and a record at three sizes in two themes: node test/shots.mjs FOLDER [VIEW…]
// For the documents, one picture of each of the few views that README shows: node test/shots.mjs FOLDER --documents
import {mkdirSync, writeFileSync} from "node:fs";
import {join} from "node:path";
import {launch, open, openDocs} from "./browser.mjs";
import {adminToken, Daemon} from "./daemon.mjs";
import {smallPng} from "./small_png.mjs";

const [folder = "shots", ...words] = process.argv.slice(2);
const documents = words.includes("--documents");
const only = words.filter((each) => each !== "--documents");
/// What README shows: view, theme.
const pictures = [["overview", "light"], ["map", "dark"], ["models", "light"]];
const views = only.length ? only.filter((each) => each !== "docs") : ["overview", "map", "models", "transfers", "events", "limits", "advice", "defragment"];
const sizes = [[1280, 800], [820, 1180], [390, 844]];
/// What stands on a view only when it is asked for.
async function asides(page, shot) {
  const go = async (view) => {
    await page.evaluate((name) => (location.hash = `#/${name}`), view);
    await page.waitForSelector(`main[data-view="${view}"][data-ready="true"]`);
  };
  await go("models");
  await page.locator('tr[data-path="silero_vad.gguf"]').getByRole("button", {name: /^Load…/}).click();
  await page.getByTestId("fit").waitFor();
  await shot("question");
  await page.keyboard.press("Escape");
  await go("map");
  await page.getByTestId("map-table").getByRole("button").nth(3).click();
  await page.getByTestId("record").getByText("allocation reserved").waitFor();
  await page.getByRole("button", {name: "Change token"}).click();
  await page.getByTestId("record").scrollIntoViewIfNeeded();
  await shot("record");
}

/// The API's page: its list, a call that was tried, and the question before one by which something is lost.
async function docs(browser, size, shot) {
  const page = await openDocs(browser, daemon.url, {token: adminToken, ...size});
  await shot(page, "docs");
  await page.evaluate(() => (location.hash = "#allocate"));
  await page.locator("#allocate form button.main").click();
  await page.locator("#allocate").getByTestId("status").getByText("201").waitFor();
  await shot(page, "docs-allocate");
  await page.evaluate(() => (location.hash = "#readModel"));
  const model = page.locator("#readModel");
  await model.getByLabel("name, required").fill("nobody");
  await model.getByRole("button", {name: "Send", exact: true}).click();
  await model.getByTestId("status").getByText("404").waitFor();
  await model.getByText("Fields of Model").click();
  await shot(page, "docs-problem");
  await page.evaluate(() => (location.hash = "#freeAllocation"));
  await page.locator("#freeAllocation form button.danger").click();
  await page.locator("dialog[open]").waitFor();
  await shot(page, "docs-question");
  if (page.record.errors.length) console.log(page.record.errors);
  await page.context().close();
}

mkdirSync(folder, {recursive: true});
// Of a size that the memory which `furnish` takes fills to a good part: a picture of empty rows shows little.
const daemon = await Daemon.start(documents ? {devices: ["host:a=96MiB", "host:b=64MiB"]} : {});
const browser = await launch();
try {
  await daemon.furnish();
  for (const [view, theme] of documents ? pictures : []) {
    const page = await open(browser, daemon.url, {token: adminToken, theme, hash: `#/${view}`});
    await page.waitForSelector(`main[data-view="${view}"][data-ready="true"]`);
    writeFileSync(join(folder, `${view}.png`), smallPng(await page.screenshot()));
    if (page.record.errors.length) throw new Error(page.record.errors.join("; "));
    await page.context().close();
  }
  for (const [width, height] of documents ? [] : sizes) {
    for (const theme of ["light", "dark"]) {
      const page = await open(browser, daemon.url, {token: adminToken, width, height, theme});
      for (const view of views) {
        await page.evaluate((name) => (location.hash = `#/${name}`), view);
        await page.waitForSelector(`main[data-view="${view}"][data-ready="true"]`);
        await page.screenshot({path: join(folder, `${view}-${width}-${theme}.png`), fullPage: width !== 1280});
      }
      if (!only.length) await asides(page, (name) => page.screenshot({path: join(folder, `${name}-${width}-${theme}.png`)}));
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (wide > 0) console.log(`${width} ${theme}: scrolls sideways by ${wide}px`);
      if (page.record.errors.length) console.log(page.record.errors);
      await page.context().close();
      if (!only.length || only.includes("docs")) await docs(browser, {width, height, theme}, (shown, name) => shown.screenshot({path: join(folder, `${name}-${width}-${theme}.png`)}));
    }
  }
} finally {
  await browser.close();
  await daemon.stop();
}
