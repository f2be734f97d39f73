import {expect, test} from "vitest";
import type {DeviceStatus} from "../api/types";
import {wouldFit} from "./fit";
import {barParts} from "./sentences";

const status = (more: Partial<DeviceStatus>) => ({deviceId: "a", totalBytes: 1000, liveBytes: 400, zombieBytes: 50, reservedBytes: 100, freeBytes: 450, availableBytes: 430, reclaimableBytes: 200, ...more}) as DeviceStatus;

test("what fits, what needs an eviction and what cannot are told apart by the daemon's own figures", () => {
  expect([430, 431, 630, 631].map((needed) => wouldFit(needed, status({})).answer)).toEqual(["yes", "evicts", "evicts", "no"]);
  expect(wouldFit(300, status({fragmentation: {percentage: 50, holes: 2, largestFreeBytes: 200, freeBytes: 430, histogram: []}})).answer).toBe("evicts");
});

test("a bar's parts sum to the capacity, whatever was taken from under us", () => {
  for (const more of [{}, {availableBytes: 0}, {usage: {byModel: [{name: "m", bytes: 250, allocations: 1}]} as never}]) {
    expect(barParts(status(more)).reduce((sum, part) => sum + part.bytes, 0)).toBe(1000);
  }
});
