import {expect, test} from "vitest";
import type {LedgerEvent} from "../api/types";
import {Past, placed} from "./past";

let number = 0;
const event = (type: string, more: Partial<LedgerEvent> = {}): LedgerEvent => ({sequence: (number += 10), type, at: "2026-01-01T00:00:00.000Z", ...more});
const reserve = (id: string, blockId: string, grantedBytes: number) => event("allocationReserved", {allocationId: id, blockId, deviceId: "a", owner: "ada", sizeBytes: grantedBytes, grantedBytes});

test("a move takes the allocation to its new block's device when it is done, and a dropped one leaves it", () => {
  const past = new Past([
    event("deviceAdded", {deviceId: "a", capacityBytes: 100}), event("blockReserved", {blockId: "blk_1", deviceId: "a", sizeBytes: 50}), event("blockReserved", {blockId: "blk_2", deviceId: "b", sizeBytes: 50}),
    reserve("x", "blk_1", 10), event("allocationReady", {allocationId: "x"}), event("moveReserved", {allocationId: "x", blockId: "blk_2", deviceId: "a"}), event("moveDropped", {allocationId: "x"}),
    event("moveReserved", {allocationId: "x", blockId: "blk_2", deviceId: "a"}), event("allocationMoved", {allocationId: "x", deviceId: "a"}), event("allocationFreed", {allocationId: "x"}),
  ]);
  expect([4, 5, 8, 9, 10].map((count) => past.after(count).allocations.get("x")).map((each) => each && `${each.deviceId} ${each.blockId} ${each.status}`)).toEqual(
    ["a blk_1 pending", "a blk_1 live", "a blk_1 live", "b blk_2 live", undefined]);
});

test("any moment is the same by a copy on the way as by a fold from the beginning", () => {
  const events: LedgerEvent[] = [event("blockReserved", {blockId: "blk_1", deviceId: "a", sizeBytes: 1e9})];
  for (let n = 0; n < 700; n += 1) events.push(n % 3 === 2 ? event("allocationFreed", {allocationId: `x${n - 2}`}) : reserve(`x${n}`, "blk_1", 10 + n));
  const past = new Past(events);
  for (const count of [0, 1, 199, 200, 201, 555, 701]) {
    const plain = new Set<string>();
    for (const each of events.slice(0, count)) {
      if (each.type === "allocationReserved") plain.add(each.allocationId!);
      else plain.delete(each.allocationId ?? "");
    }
    expect([...past.after(count).allocations.keys()].sort()).toEqual([...plain].sort());
  }
  expect([0, events[0]!.sequence, events[5]!.sequence + 1, 1e9].map((sequence) => past.upTo(sequence))).toEqual([0, 1, 6, 701]);
});

test("what still lies where it lay has its true place, what is gone gets one that overlaps nothing and is counted as a guess", () => {
  const past = new Past([event("blockReserved", {blockId: "blk_1", deviceId: "a", kind: "arena", sizeBytes: 100}), reserve("gone", "blk_1", 30), reserve("here", "blk_1", 20), reserve("also-gone", "blk_1", 15)]);
  const moment = past.after(4);
  const here = {...moment.allocations.get("here")!, offsetBytes: 20};
  const {allocations, guessed} = placed(moment, "a", new Map([["here", here]]));
  expect(Object.fromEntries(allocations.map((each) => [each.id, each.offsetBytes]))).toEqual({here: 20, gone: 40, "also-gone": 0});
  expect(guessed).toBe(2);
});
