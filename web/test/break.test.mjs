// The stream breaks: the core dies, stands still, or is unreachable. Old numbers are never shown as fresh, and no event is missed.
import assert from "node:assert/strict";
import {test} from "node:test";
import {bed, go, ready} from "./bed.mjs";
import {relay} from "./relay.mjs";
import {open} from "./browser.mjs";
import {adminToken} from "./daemon.mjs";

const it = bed();
const fresh = '[data-testid="connection"][data-feed="live"][data-stale="false"]';

test("when the core is killed the page goes on with the next one, and its events have no gap", it.on("events", async (page) => {
  await page.getByTestId("events").waitFor();
  const before = await it.daemon.call("GET", "/api/system");
  await it.daemon.allocate(4096, {owner: "ada", purpose: "before-the-kill"});
  process.kill(before.corePid, "SIGKILL");
  const now = await it.daemon.next(before.generation);
  assert.equal(now.generation, before.generation + 1);
  for (let n = 0; n < 3; n += 1) await it.daemon.allocate(4096, {owner: "ada", purpose: `after-the-kill-${n}`});
  await page.getByTestId("events").getByText("for after-the-kill-2").waitFor();
  await page.waitForSelector(fresh, {state: "attached"});
  await page.getByLabel("Words, or an id").fill("");
  const numbers = await page.getByTestId("events").locator("tbody tr td:first-child").evaluateAll((all) => all.map((each) => Number(each.textContent)));
  for (let n = 1; n < numbers.length; n += 1) assert.equal(numbers[n - 1] - numbers[n], 1, `events ${numbers[n]} and ${numbers[n - 1]} are not neighbours`);
}));

test("while the core stands still the numbers are grey with their age, and live again when it goes on", it.on("overview", async (page) => {
  const {corePid} = await it.daemon.call("GET", "/api/system");
  process.kill(corePid, "SIGSTOP");
  try {
    await page.getByText(/All numbers are \d+ s old/).waitFor({timeout: 20000});
    assert.ok(await page.locator("main.stale").count());
    assert.equal(await page.locator("main .card").first().evaluate((card) => getComputedStyle(card).filter), "grayscale(1)");
  } finally {
    process.kill(corePid, "SIGCONT");
  }
  await page.waitForSelector(fresh, {state: "attached"});
  assert.equal(await page.getByText(/All numbers are/).count(), 0);
}));

test("what happened while the page was cut off is there when it comes back", async () => {
  const server = await relay(it.daemon.url);
  const page = await open(it.browser, server.origin, {token: adminToken, hash: "#/overview"});
  await ready(page, "overview");
  const port = Number(new URL(server.origin).port);
  await server.close();
  await page.getByText(/The daemon does not answer/).waitFor({timeout: 20000});
  const made = await it.daemon.allocate(4096, {owner: "ada", purpose: "while-away"});
  const again = await relay(it.daemon.url, {port});
  await page.waitForSelector(fresh, {state: "attached", timeout: 20000});
  await go(page, "events");
  await page.getByTestId("events").getByText("for while-away").waitFor();
  await go(page, "map?find=while-away");
  await page.getByRole("button", {name: made.id}).waitFor();
  assert.deepEqual(page.record, {errors: [], elsewhere: []});
  await page.context().close();
  await again.close();
});
