// What each file of page tests stands on: one furnished daemon, which serves the page itself, and one browser.
import assert from "node:assert/strict";
import {after, before} from "node:test";
import {launch, open} from "./browser.mjs";
import {adminToken, Daemon} from "./daemon.mjs";

/// Starts the bed before the file's tests and ends it after; returns what they use.
export function bed({furnish = true, ...options} = {}) {
  const it = {};
  before(async () => {
    it.daemon = await Daemon.start(options);
    it.origin = it.daemon.url;
    it.browser = await launch();
    if (furnish) it.made = await it.daemon.furnish();
  });
  after(async () => {
    await it.browser?.close();
    await it.daemon?.stop();
  });
  /// Runs `test` with a page that acts as admin, and holds the page to its promises afterwards.
  it.on = (view, test, more = {}) => async () => {
    const page = await open(it.browser, it.origin, {token: adminToken, hash: `#/${view}`, ...more});
    try {
      await ready(page, view.split("?")[0]);
      await test(page);
      assert.deepEqual(page.record, {errors: [], elsewhere: []});
    } finally {
      await page.context().close();
    }
  };
  return it;
}

export function ready(page, view) {
  return page.waitForSelector(`main[data-view="${view}"][data-ready="true"]`);
}

export async function go(page, view) {
  await page.evaluate((name) => (location.hash = `#/${name}`), view);
  await ready(page, view.split("?")[0]);
}

/// In the open question: reads the call that it shows, confirms, and waits until it is answered.
export async function confirm(page, verb) {
  const dialog = page.locator("dialog[open]");
  const call = await dialog.getByTestId("call").innerText();
  await dialog.getByRole("button", {name: verb, exact: true}).click();
  await dialog.waitFor({state: "detached"}).catch(() => dialog.waitFor({state: "hidden"}));
  return call;
}

/// Waits until `check` holds; asks again whenever the page has changed.
export function until(page, check, argument) {
  return page.waitForFunction(check, argument, {timeout: 20000});
}
