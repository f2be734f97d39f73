import {describe, expect, test} from "vitest";
import {layOut, pieceAt} from "./layout";
import {allocation} from "./sample_allocation";
import {packed, Strip} from "./strip";
import {byteAt, bytesPerPixel, clampWindow, reveal, segments, zoomAt} from "./view";

const frame = {width: 10, rows: 4};

describe("which bytes are in sight", () => {
  test("the byte below the pointer stays below it while zooming in and out", () => {
    let window = {from: 0, span: 100000};
    for (const [x, row, factor] of [[3, 1, 0.5], [7, 2, 0.3], [0, 0, 0.8], [9, 3, 1.4]] as const) {
      const byte = byteAt(window, frame, x, row);
      window = zoomAt(window, byte, factor, 100000, frame);
      expect(byteAt(window, frame, x, row)).toBeCloseTo(byte, 3);
    }
  });
  test("a window never leaves the device, and a pixel is never less than a byte", () => {
    expect(clampWindow({from: -5, span: 1}, 1000, frame)).toEqual({from: 0, span: 40});
    expect(clampWindow({from: 990, span: 100}, 1000, frame)).toEqual({from: 900, span: 100});
    expect(clampWindow({from: 0, span: 9999}, 1000, frame)).toEqual({from: 0, span: 1000});
    expect(clampWindow({from: 0, span: 9999}, 20, frame)).toEqual({from: 0, span: 20});
  });
  test("what is in sight already is revealed without moving", () => {
    const window = {from: 100, span: 200};
    expect(reveal(window, 120, 130, 1000, frame)).toBe(window);
    const moved = reveal(window, 700, 720, 1000, frame);
    expect(moved.from <= 700 && moved.from + moved.span >= 720).toBe(true);
  });
  test("a line over several rows is one rectangle a row, and none is lost", () => {
    const found = segments(8.5, 31, frame);
    expect(found.map((each) => each.row)).toEqual([0, 1, 2, 3]);
    expect(found.reduce((sum, each) => sum + each.width, 0)).toBeCloseTo(22.5);
  });
});

describe("the line of pixels", () => {
  const black = packed(0, 0, 0);
  const white = packed(200, 100, 50);

  test("however thin the pieces, each pixel has the mean of the bytes below it", () => {
    // 997 allocations of 1 to 7 bytes with holes between, on 40 pixels: compared with a sum over every byte.
    const allocations = [];
    let at = 0;
    for (let n = 0; n < 997; n += 1) {
      const size = 1 + ((n * 31) % 7);
      allocations.push(allocation(`a${n}`, "blk_1", at, size));
      at += size + ((n * 17) % 3);
    }
    const total = Math.ceil(at / 40) * 40;
    const layout = layOut({totalBytes: total, usedBytes: 0, reservedBytes: 0}, [{id: "blk_1", deviceId: "a", owner: "", kind: "", sizeBytes: total}], allocations);
    const colours = new Uint32Array(layout.count);
    const perByte = new Float64Array(total);
    for (let piece = 0; piece < layout.count; piece += 1) {
      colours[piece] = layout.kind[piece] === 0 ? white : black;
      perByte.fill(layout.kind[piece] === 0 ? 200 : 0, layout.starts[piece], layout.ends[piece]);
    }
    const out = new Uint32Array(40);
    const window = {from: 0, span: total};
    new Strip().paint(layout, window, frame, colours, out, black);
    const scale = bytesPerPixel(window, frame);
    for (let pixel = 0; pixel < 40; pixel += 1) {
      const bytes = perByte.slice(pixel * scale, (pixel + 1) * scale);
      const mean = bytes.reduce((sum, value) => sum + value, 0) / bytes.length;
      expect(Math.abs((out[pixel]! & 255) - mean)).toBeLessThan(1.5);
    }
  });
  test("a piece that fills its pixels has exactly its colour, and beyond the device is outside", () => {
    const layout = layOut({totalBytes: 40, usedBytes: 20, reservedBytes: 0}, [{id: "blk_1", deviceId: "a", owner: "", kind: "", sizeBytes: 20}], [allocation("x", "blk_1", 0, 20)]);
    const out = new Uint32Array(40);
    new Strip().paint(layout, {from: 0, span: 40}, frame, new Uint32Array([white, black]), out, 7);
    expect([...out.slice(0, 20)].every((pixel) => pixel === white) && [...out.slice(20)].every((pixel) => pixel === black)).toBe(true);
  });
  test("whether pieces are few or many for the pixels, each pixel has the mean of its bytes, anywhere in the device", () => {
    const allocations = Array.from({length: 600}, (_, n) => allocation(`a${n}`, "blk_1", n * 12, 1 + ((n * 5) % 11)));
    const layout = layOut({totalBytes: 9000, usedBytes: 0, reservedBytes: 700}, [{id: "blk_1", deviceId: "a", owner: "", kind: "", sizeBytes: 7200}], allocations);
    const colours = Uint32Array.from({length: layout.count}, (_, piece) => packed((piece * 37) % 256, (piece * 91) % 256, (piece * 13) % 256));
    for (const size of [{width: 5, rows: 4}, {width: 100, rows: 9}]) {
      for (const window of [{from: 0, span: 9000}, {from: 137, span: 3000}, {from: 6100, span: 2900}]) {
        const out = new Uint32Array(size.width * size.rows);
        new Strip().paint(layout, window, size, colours, out, 7);
        const scale = bytesPerPixel(window, size);
        out.forEach((pixel, at) => {
          // The mean of many samples of the pixel's bytes.
          const sum = [0, 0, 0];
          for (let n = 0; n < 240; n += 1) {
            const colour = colours[pieceAt(layout, window.from + (at + (n + 0.5) / 240) * scale)]!;
            for (const [index, shift] of [0, 8, 16].entries()) sum[index]! += (colour >> shift) & 255;
          }
          for (const [index, shift] of [0, 8, 16].entries()) expect(Math.abs(((pixel >> shift) & 255) - sum[index]! / 240)).toBeLessThan(4);
        });
      }
    }
  });
  test("200,000 pieces are painted within half a frame's time", () => {
    const allocations = Array.from({length: 100000}, (_, n) => allocation(`a${n}`, "blk_1", n * 300, 256));
    const layout = layOut({totalBytes: 30000000, usedBytes: 0, reservedBytes: 0}, [{id: "blk_1", deviceId: "a", owner: "", kind: "", sizeBytes: 30000000}], allocations);
    const big = {width: 1200, rows: 16};
    const out = new Uint32Array(big.width * big.rows);
    const strip = new Strip();
    const colours = new Uint32Array(layout.count).fill(white);
    const times = Array.from({length: 15}, () => {
      const began = performance.now();
      strip.paint(layout, {from: 0, span: 30000000}, big, colours, out, black);
      return performance.now() - began;
    });
    expect(times.sort((one, other) => one - other)[3]).toBeLessThan(8);
  });
});
