// 100,000 allocations on the real daemon: how long the map takes to read them, and at how many frames a second it zooms and moves in a browser without a GPU.
import assert from "node:assert/strict";
import {test} from "node:test";
import {bed, until} from "./bed.mjs";

const wanted = Number(process.env.VRAMD_PAGE_ALLOCATIONS ?? 100000);
const it = bed({furnish: false, devices: ["host:a=256MiB"]});

async function fill() {
  let left = wanted;
  await Promise.all(Array.from({length: 8}, async (_, lane) => {
    while (left > 0) {
      left -= 1;
      await it.daemon.allocate(256 + (left % 7) * 256, {owner: ["ada", "grace", "lin"][lane % 3], purpose: `use-${left % 5}`});
    }
  }));
}

test("zooming and moving over all allocations keeps to the browser's own clock", async (context) => {
  await fill();
  const began = performance.now();
  await it.on("map", async (page) => {
    const readMs = performance.now() - began;
    assert.match(await page.getByRole("application").getAttribute("aria-label"), new RegExp(`${wanted.toLocaleString("en-US")} allocations`));
    const box = await page.getByRole("application").boundingBox();
    // Frames of two seconds in which each frame zooms or moves; the clock is requestAnimationFrame's own, and an empty run first says what it can do here.
    const run = (act) => page.evaluate(async ({act, box}) => {
      const canvas = document.querySelector("canvas");
      const times = [];
      let at = performance.now();
      const end = at + 2000;
      await new Promise((done) => {
        function frame(now) {
          times.push(now - at);
          at = now;
          if (now > end) return done();
          const where = {clientX: box.x + 300 + (times.length % 400), clientY: box.y + 80, bubbles: true, cancelable: true};
          if (act === "zoom") canvas.dispatchEvent(new WheelEvent("wheel", {...where, deltaY: Math.floor(times.length / 40) % 2 === 0 ? -60 : 60}));
          if (act === "move") canvas.dispatchEvent(new KeyboardEvent("keydown", {key: times.length % 120 < 60 ? "ArrowDown" : "ArrowUp", bubbles: true, cancelable: true}));
          requestAnimationFrame(frame);
        }
        requestAnimationFrame(frame);
      });
      times.sort((one, other) => one - other);
      return {frames: times.length, perSecond: times.length / 2, p95Ms: times[Math.floor(times.length * 0.95)], drawMs: canvas.dataset.slowestMs};
    }, {act, box});
    const canDo = (await run("nothing")).perSecond;
    // The better of three: what else runs on the machine is no part of it.
    const best = async (act) => {
      const tries = [];
      for (let n = 0; n < 3 && (n === 0 || tries.at(-1).perSecond < 0.95 * canDo); n += 1) tries.push(await run(act));
      return tries.sort((one, other) => other.perSecond - one.perSecond)[0];
    };
    const zoom = await best("zoom");
    await page.getByRole("button", {name: "All of it"}).click();
    const move = await best("move");
    const heap = await page.evaluate(() => performance.memory?.usedJSHeapSize);
    context.diagnostic(`${wanted} allocations read in ${readMs.toFixed(0)} ms; idle ${canDo}/s, zoom ${zoom.perSecond}/s (p95 ${zoom.p95Ms.toFixed(1)} ms, slowest draw ${zoom.drawMs} ms), move ${move.perSecond}/s (p95 ${move.p95Ms.toFixed(1)} ms), heap ${(heap / 2 ** 20).toFixed(0)} MiB`);
    // A change elsewhere is in the picture without reading all again.
    const made = await it.daemon.allocate(4096, {owner: "ada", purpose: "one-more"});
    await until(page, (count) => document.querySelector('[role="application"]').getAttribute("aria-label").includes(count), (wanted + 1).toLocaleString("en-US"));
    await page.getByRole("searchbox").fill(made.id);
    await page.getByRole("button", {name: made.id}).waitFor();
    assert.ok(zoom.perSecond >= 0.9 * Math.min(60, canDo), `zoom ${JSON.stringify(zoom)}, of ${canDo}`);
    assert.ok(move.perSecond >= 0.9 * Math.min(60, canDo), `move ${JSON.stringify(move)}, of ${canDo}`);
  })();
});
