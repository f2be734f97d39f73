import {expect, test} from "vitest";
import {BlockBook, blockNumber} from "./blocks";
import {freshness} from "./freshness";
import {beating, touchedBy} from "./touched";

test("numbers count as old when nothing was heard for three questions, and say how old they are", () => {
  expect(freshness("live", 10_000, 10_900)).toEqual({stale: false, ageSeconds: 0});
  expect(freshness("live", 10_000, 13_600)).toEqual({stale: true, ageSeconds: 3});
  expect(freshness("connecting", 10_000, 15_200)).toEqual({stale: true, ageSeconds: 5});
});

test("before the first answer nothing is shown as fresh", () => {
  expect(freshness("connecting", 0, 10_000)).toEqual({stale: true, ageSeconds: 0});
});

test("a stream that is opened again at once greys nothing", () => {
  expect(freshness("connecting", 10_000, 10_400).stale).toBe(false);
});

test("each kind of event makes old what it changes, and a read of bytes makes nothing old", () => {
  expect(touchedBy("allocationFreed")).toContain("status");
  expect(touchedBy("modelResident")).toContain("models");
  expect(touchedBy("transferEnded")).toContain("transfers");
  expect(touchedBy("limitsSet")).toContain("limits");
  expect(touchedBy("allocationAccessed")).toEqual([]);
  expect(beating).toContain("pressure");
});

test("blocks are known from the event that made them until the one that ends them", () => {
  const book = new BlockBook();
  const event = (type: string, more: object) => ({sequence: 1, type, at: "", ...more});
  expect(book.take(event("blockReserved", {blockId: "blk_3", deviceId: "a", owner: "ada", kind: "arena", sizeBytes: 4096}))).toBe(true);
  expect(book.take(event("blockReady", {blockId: "blk_3"}))).toBe(false);
  expect([...book.blocks.values()]).toEqual([{id: "blk_3", deviceId: "a", owner: "ada", kind: "arena", sizeBytes: 4096}]);
  expect(book.take(event("blockGone", {blockId: "blk_3"}))).toBe(true);
  expect(book.blocks.size).toBe(0);
  expect(["blk_2", "blk_10", "odd"].map(blockNumber)).toEqual([2, 10, 0]);
});
