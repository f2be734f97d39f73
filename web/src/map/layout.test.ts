import {describe, expect, test} from "vitest";
import {kindOf, layOut, nextAllocation, pieceAt} from "./layout";
import {allocation} from "./sample_allocation";

const block = (id: string, sizeBytes: number) => ({id, deviceId: "a", owner: "ada", kind: "arena", sizeBytes});

describe("a device's bytes in one line", () => {
  test("pieces join without a gap from the first byte to the last, and sum to the capacity", () => {
    const layout = layOut({totalBytes: 1000, usedBytes: 300, reservedBytes: 100}, [block("blk_2", 200), block("blk_10", 400)],
      [allocation("x", "blk_10", 100, 200), allocation("y", "blk_2", 0, 50), allocation("z", "blk_2", 150, 50)]);
    let at = 0;
    for (let piece = 0; piece < layout.count; piece += 1) {
      expect(layout.starts[piece]).toBe(at);
      at = layout.ends[piece]!;
    }
    expect(at).toBe(1000);
    expect([...layout.kind.slice(0, layout.count)]).toEqual([0, 1, 0, 1, 0, 1, 3, 4]);
  });
  test("what others hold and the page is not told of has its bytes too", () => {
    const layout = layOut({totalBytes: 1000, usedBytes: 350, reservedBytes: 0}, [block("blk_1", 100)], [allocation("x", "blk_1", 0, 100)]);
    expect(layout.kind[1]).toBe(kindOf.hidden);
    expect(layout.ends[1]! - layout.starts[1]!).toBe(250);
  });
  test("a block whose making is no longer told reaches to its last allocation, and says that it is inferred", () => {
    const layout = layOut({totalBytes: 1000, usedBytes: 30, reservedBytes: 0}, [], [allocation("x", "blk_1", 20, 30)]);
    expect(layout.blocks).toMatchObject([{id: "blk_1", sizeBytes: 50, inferred: true}]);
  });
  test("books that are of two moments never make a negative piece", () => {
    const layout = layOut({totalBytes: 100, usedBytes: 500, reservedBytes: 90}, [block("blk_1", 80)], [allocation("x", "blk_1", 0, 60), allocation("y", "blk_1", 40, 60)]);
    for (let piece = 0; piece < layout.count; piece += 1) expect(layout.ends[piece]).toBeGreaterThan(layout.starts[piece]!);
  });
  test("every byte is found in the piece that holds it", () => {
    const layout = layOut({totalBytes: 300, usedBytes: 60, reservedBytes: 20}, [block("blk_1", 100), block("blk_2", 50)],
      [allocation("x", "blk_1", 10, 20), allocation("y", "blk_1", 60, 40), allocation("z", "blk_2", 0, 1)]);
    for (let byte = 0; byte < 300; byte += 1) {
      const piece = pieceAt(layout, byte);
      expect(layout.starts[piece]! <= byte && byte < layout.ends[piece]!).toBe(true);
    }
    expect(pieceAt(layout, 300)).toBe(-1);
    expect(pieceAt(layout, -1)).toBe(-1);
  });
  test("stepping goes from allocation to allocation over the holes", () => {
    const layout = layOut({totalBytes: 300, usedBytes: 60, reservedBytes: 0}, [block("blk_1", 100)], [allocation("x", "blk_1", 10, 20), allocation("y", "blk_1", 60, 20)]);
    const first = nextAllocation(layout, -1, 1);
    const second = nextAllocation(layout, first, 1);
    expect([first, second, nextAllocation(layout, second, 1), nextAllocation(layout, second, -1)]).toEqual([1, 3, -1, 1]);
  });
});
