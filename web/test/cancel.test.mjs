// Work that takes long enough to be watched: its progress never goes back, and it is cancelled on request.
import assert from "node:assert/strict";
import {closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeSync} from "node:fs";
import {tmpdir} from "node:os";
import {join} from "node:path";
import {after, test} from "node:test";
import {bed, confirm} from "./bed.mjs";
import {slowed} from "./slowed.mjs";

const weightBytes = 2 * 2 ** 30;
const movedBytes = 640 * 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), "vramd-large-model-"));
after(() => rmSync(folder, {recursive: true, force: true}));

/// A valid file of one tensor whose bytes are a hole of the file system: large to read, and nothing to store.
function makeModel() {
  const head = Buffer.from(JSON.stringify({weight: {dtype: "F32", shape: [weightBytes / 4], data_offsets: [0, weightBytes]}}).padEnd(120));
  const file = openSync(join(folder, "large.safetensors"), "w");
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));
  writeSync(file, length);
  writeSync(file, head);
  closeSync(file);
  truncateSync(join(folder, "large.safetensors"), 8 + head.length + weightBytes);
}
makeModel();
const it = bed({furnish: false, devices: ["host:a=3GiB", "host:b=1GiB"], more: ["--model-dir", folder]});

/// Keeps each value that the bars of `selector` show.
const watch = (page, selector) => page.evaluate((where) => {
  globalThis.seen = [];
  new MutationObserver(() => {
    const bar = document.querySelector(`${where} progress`);
    if (bar?.hasAttribute("value")) globalThis.seen.push(bar.value);
  }).observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
}, selector);

async function neverWentBack(page) {
  const seen = await page.evaluate(() => globalThis.seen);
  assert.ok(seen.length > 0);
  for (let n = 1; n < seen.length; n += 1) assert.ok(seen[n] >= seen[n - 1], `went back from ${seen[n - 1]} to ${seen[n]}`);
}

test("a load under way shows its bytes and stage, never goes back, and is cancelled on request", it.on("models?find=large", async (page) => {
  await watch(page, '[data-testid="operation"]');
  await page.getByRole("button", {name: /^Load…/}).click();
  await slowed(it.daemon, async () => {
    await page.locator("dialog[open]").getByRole("button", {name: "Load", exact: true}).click();
    const work = page.getByTestId("operation");
    await work.getByText(/of 2\.00.GiB/).waitFor();
    await work.getByRole("button", {name: "Cancel…"}).click();
    assert.match(await confirm(page, "Cancel it"), /^DELETE \/api\/operations\/op_/);
    await work.waitFor({state: "detached"});
  });
  const [operation] = (await it.daemon.call("GET", "/api/operations?limit=1")).items;
  assert.equal(operation.state, "cancelled");
  await it.daemon.until("/api/memory/status", (now) => now.usedBytes === 0);
  await neverWentBack(page);
}));

test("a transfer under way is shown with its progress, and cancelled it leaves the source as it was", it.on("transfers", async (page) => {
  const made = await it.daemon.allocate(movedBytes, {deviceId: "a", owner: "ada", purpose: "to-be-moved"});
  await watch(page, ".transfer");
  await slowed(it.daemon, async () => {
    const moving = await it.daemon.call("POST", "/api/memory/transfer", {sourceAllocationId: made.id, targetDeviceId: "b", mode: "move", verify: true, waitForCompletion: false});
    const card = page.getByRole("region", {name: "Under way"});
    await card.getByText(/ of 640.MiB/).waitFor();
    assert.match(await card.innerText(), new RegExp(`move 640.MiB, a → b ${moving.id}`));
    await card.getByRole("button", {name: "Cancel…"}).click();
    assert.equal((await confirm(page, "Cancel it")).trim(), `DELETE /api/memory/transfer/${moving.id}`);
    await page.getByTestId("ended").getByText("cancelled").waitFor();
  });
  assert.equal((await it.daemon.call("GET", `/api/memory/allocation/${made.id}`)).deviceId, "a");
  await it.daemon.until("/api/memory/status/b", (now) => now.usedBytes === 0);
  await neverWentBack(page);
  await it.daemon.call("DELETE", `/api/memory/allocations/${made.id}`);
}));
