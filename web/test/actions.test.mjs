// Each action of the page against the real daemon: what is asked first, which call is shown, and what the daemon's books say afterwards.
import assert from "node:assert/strict";
import {test} from "node:test";
import {bed, confirm, go, until} from "./bed.mjs";

const it = bed();
const row = (page, path) => page.locator(`tr[data-path="${path}"]`);

test("a model is loaded: whether it fits is said first, the call is shown, progress ends in its exact size", it.on("models", async (page) => {
  await row(page, "ch_ppocr_mobile_v2.0_cls_infer.gguf").getByRole("button", {name: /^Load…/}).click();
  const dialog = page.locator("dialog[open]");
  assert.match(await dialog.getByTestId("fit").innerText(), /^Fits\. It needs 540.KiB/);
  await dialog.getByLabel("Name").fill("classifier");
  await dialog.getByLabel("Onto").selectOption("b");
  assert.match(await dialog.getByTestId("call").innerText(), /^POST \/api\/model\/load\/b\s+\{"name":"classifier","path":"ch_ppocr_mobile_v2.0_cls_infer.gguf","type":"other","waitForCompletion":false\}/);
  await dialog.getByRole("button", {name: "Load", exact: true}).click();
  await row(page, "ch_ppocr_mobile_v2.0_cls_infer.gguf").getByText("exactly that").waitFor();
  const model = await it.daemon.call("GET", "/api/model/info?name=classifier");
  assert.deepEqual(model.places.filter((each) => each.tier === "device").map((each) => each.deviceId), ["b"]);
}));

test("a load that is refused stays open with the daemon's detail and remedy", it.on("models", async (page) => {
  await row(page, "ch_PP-OCRv4_det_infer.onnx").getByRole("button", {name: /^Load…/}).click();
  const dialog = page.locator("dialog[open]");
  await dialog.getByLabel("Name").fill("voice");
  await dialog.getByRole("button", {name: "Load", exact: true}).click();
  const alert = dialog.getByRole("alert").or(page.locator(".failed"));
  await alert.first().waitFor();
  assert.match(await alert.first().innerText(), /voice/);
}));

test("unloading asks first, says what is lost, and the device's bytes come back", it.on("models", async (page) => {
  const before = await it.daemon.call("GET", "/api/memory/status/b");
  await row(page, "ch_PP-OCRv4_det_infer.gguf").getByRole("button", {name: /Unload from b/}).click();
  assert.match(await page.locator("dialog[open]").innerText(), /4\.48.MiB of b come back/);
  assert.match(await confirm(page, "Unload"), /^DELETE \/api\/model\/unload\/b\?name=text-finder/);
  assert.match(await page.locator(".told").innerText(), /text-finder is unloaded from b: 4\.48.MiB came back/);
  await it.daemon.until("/api/memory/status/b", (now) => before.usedBytes - now.usedBytes === 4702208);
  await row(page, "ch_PP-OCRv4_det_infer.gguf").getByRole("button", {name: /Drop from cache/}).click();
  await confirm(page, "Give it up");
  await page.getByText(/The cached copy of text-finder is gone/).first().waitFor();
}));

test("cancelling the question changes nothing", it.on("models", async (page) => {
  await row(page, "silero_vad.onnx").getByRole("button", {name: /Unload from a/}).click();
  await page.locator("dialog[open]").getByRole("button", {name: "Cancel"}).click();
  await page.locator("dialog[open]").waitFor({state: "hidden"});
  assert.equal((await it.daemon.call("GET", "/api/model/info?name=voice")).state, "resident");
}));

test("an allocation is copied, moved and freed from its record, with its bytes named before", it.on("map?device=a", async (page) => {
  const made = await it.daemon.allocate(700000, {deviceId: "a", owner: "ada", purpose: "to-be-moved"});
  await page.getByRole("searchbox").fill("to-be-moved");
  await page.getByRole("button", {name: made.id}).click();
  const record = page.getByTestId("record");
  await record.getByRole("button", {name: "Copy…"}).click();
  assert.match(await confirm(page, "Copy it"), /"mode":"copy","verify":true/);
  await record.getByRole("button", {name: "Move…"}).click();
  await confirm(page, "Move it");
  await page.getByLabel("Device").selectOption("b");
  await until(page, (id) => document.querySelector('[data-testid="map-table"]')?.textContent.includes(id), made.id);
  assert.equal((await it.daemon.call("GET", `/api/memory/allocation/${made.id}`)).deviceId, "b");
  await page.getByRole("button", {name: made.id}).click();
  await page.getByTestId("record").getByRole("button", {name: "Free…"}).click();
  assert.match(await page.locator("dialog[open]").innerText(), /Its 700,000 bytes are lost: to-be-moved, owner ada/);
  await confirm(page, "Free it");
  await until(page, (id) => !document.querySelector('[data-testid="map-table"]')?.textContent.includes(id), made.id);
  await assert.rejects(it.daemon.call("GET", `/api/memory/allocation/${made.id}`), /404/);
}));

test("limits tell their impact before they are set, are set, and are undone exactly", it.on("limits?device=b", async (page) => {
  const before = await it.daemon.call("GET", "/api/memory/limits/b");
  await page.getByLabel(/The most that may be used/).fill("10");
  const impact = page.getByTestId("impact");
  await impact.getByText(/more than that already/).waitFor();
  assert.equal((await it.daemon.call("GET", "/api/memory/limits/b")).revision, before.revision);
  await impact.getByRole("button", {name: "Set the limits…"}).click();
  assert.match(await confirm(page, "Set"), /^PUT \/api\/memory\/limits\/b\s+\{"maxPercentage":10,/);
  await page.getByRole("button", {name: "Undo the last change…"}).click();
  await confirm(page, "Set back");
  const after = await it.daemon.call("GET", "/api/memory/limits/b");
  for (const name of ["maxBytes", "maxPercentage", "maxGivenAs", "reserveBytes", "emergencyThresholdPercentage", "ownerQuotas"]) assert.deepEqual(after[name], before[name], name);
  assert.equal(after.revision, before.revision + 2);
}));

test("limits that somebody else changed meanwhile are not overwritten", it.on("limits?device=a", async (page) => {
  await page.getByLabel(/Reserve/).fill("2MiB");
  const impact = page.getByTestId("impact");
  await impact.locator("li").first().waitFor();
  await impact.getByRole("button", {name: "Set the limits…"}).click();
  await page.locator("dialog[open]").waitFor();
  await it.daemon.call("PUT", "/api/memory/limits/a", {reserveBytes: 4096});
  await page.locator("dialog[open]").getByRole("button", {name: "Set", exact: true}).click();
  const alert = page.locator("dialog[open]").getByRole("alert");
  await alert.waitFor();
  assert.match(await alert.innerText(), /precondition-failed/);
  assert.equal((await it.daemon.call("GET", "/api/memory/limits/a")).reserveBytes, 4096);
}));

test("a defragmentation is previewed as the daemon plans it, changes nothing before it is run, then does it", it.on("defragment?device=a", async (page) => {
  await page.locator('[data-testid="plan"][data-moves]').waitFor();
  const planned = await it.daemon.call("POST", "/api/memory/operations/defragment/a", {strategy: "balanced", dryRun: true});
  assert.ok(planned.moves > 0);
  await until(page, (moves) => document.querySelector('[data-testid="plan"]').dataset.moves === moves, String(planned.moves));
  await page.getByRole("button", {name: "Defragment…"}).click();
  assert.match(await confirm(page, "Defragment"), /^POST \/api\/memory\/operations\/defragment\/a\s+\{"strategy":"balanced","waitForCompletion":false\}/);
  await page.getByRole("region", {name: "Done before"}).getByText("succeeded").waitFor();
  await page.locator('[data-testid="plan"][data-moves="0"]').waitFor();
  await it.daemon.until("/api/memory/status/a?includeFragmentation=true", (now) => now.fragmentation.percentage <= planned.after.fragmentationPercentage + 0.5);
}));

test("optimizing is tried way by way first, and then done by the call that is shown", it.on("defragment?device=b", async (page) => {
  const made = [];
  for (let n = 0; n < 40; n += 1) made.push((await it.daemon.allocate(400000, {deviceId: "b", owner: "grace"})).id);
  for (let n = 0; n < 40; n += 1) if (n % 5 !== 0) await it.daemon.call("DELETE", `/api/memory/allocations/${made[n]}`);
  const card = page.getByTestId("optimize");
  const planned = await it.daemon.call("POST", "/api/memory/operations/optimize/b", {operations: ["garbageCollect", "defragment"], dryRun: true});
  await card.getByRole("checkbox", {name: /compact/}).uncheck();
  const moves = planned.actions.find((each) => each.operation === "defragment").moves;
  assert.ok(moves > 0);
  await until(page, (count) => [...document.querySelectorAll('[data-testid="optimize"] tbody tr')].map((row) => row.children[1].textContent).join() === `0,${count}`, moves);
  await card.getByRole("button", {name: "Optimize…"}).click();
  assert.match(await confirm(page, "Optimize"), /^POST \/api\/memory\/operations\/optimize\/b\s+\{"operations":\["garbageCollect","defragment"\],"waitForCompletion":false\}/);
  await page.getByRole("region", {name: "Done before"}).getByText("Optimize").waitFor();
  await page.getByRole("region", {name: "Done before"}).locator("tbody tr").filter({hasText: "Optimize"}).getByText("succeeded").waitFor();
  for (let n = 0; n < 40; n += 5) await it.daemon.call("DELETE", `/api/memory/allocations/${made[n]}`);
}));

test("advice tells its expected effect, and its button makes the call that the daemon named", it.on("overview", async (page) => {
  const made = [];
  for (let n = 0; n < 48; n += 1) made.push((await it.daemon.allocate(500000, {deviceId: "b", owner: "http"})).id);
  for (let n = 0; n < 48; n += 1) if (n % 4 !== 0) await it.daemon.call("DELETE", `/api/memory/allocations/${made[n]}`);
  await go(page, "advice");
  const advice = page.getByTestId("advice").filter({hasText: "Defragment on b"});
  await advice.waitFor();
  assert.match(await advice.innerText(), /Fragmentation[\s\S]*POST \/api\/memory\/operations\/defragment\/b/);
  await advice.getByRole("button", {name: "Do it…"}).click();
  assert.match(await confirm(page, "Do it"), /^POST \/api\/memory\/operations\/defragment\/b/);
  await page.getByText("Done: Defragment on b.").first().waitFor();
}));
