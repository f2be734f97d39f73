import {describe, expect, test} from "vitest";
import {bytes, parseBytes, readable, seconds} from "./amounts";

describe("amounts", () => {
  test("sizes have three figures and binary units, as vramctl prints them", () => {
    expect([0, 1023, 1024, 4702208, 1048576, 268435456, 67200000000].map(bytes).map((text) => text.replace("\u00a0", " "))).toEqual(["0 B", "1023 B", "1.00 KiB", "4.48 MiB", "1.00 MiB", "256 MiB", "62.6 GiB"]);
  });
  test("large figures in the daemon's sentences are told in units, small ones as they are", () => {
    expect(readable("Moving 2220544 bytes would empty 2 blocks: 100 bytes for anybody.").replace("\u00a0", " ")).toBe("Moving 2.12 MiB would empty 2 blocks: 100 bytes for anybody.");
  });
  test("what a person types as a size is read exactly or refused", () => {
    expect(["512MiB", "2G", " 4096 ", "1.5 KiB"].map(parseBytes)).toEqual([536870912, 2147483648, 4096, 1536]);
    expect(["", "-1", "12 elephants", "1e3", "9999999999999999TiB"].map(parseBytes)).toEqual([null, null, null, null, null]);
  });
  test("times are told in the unit that fits", () => {
    expect([0.5, 9, 59, 90, 7260, 200000].map(seconds)).toEqual(["0.5 s", "9 s", "59 s", "2 min", "2 h 1 min", "2 days"]);
  });
});
