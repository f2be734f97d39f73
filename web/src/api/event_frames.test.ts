import {expect, test} from "vitest";
import {FrameReader} from "./event_frames";

const stream = 'id: 4\nevent: allocationReserved\ndata: {"sequence":4,"purpose":"für ä"}\n\nid: 9\n\nevent: problem\ndata: {"code":"history-gone"}\n\n';

test("however a stream is cut into pieces, the same frames come out", () => {
  const whole = new FrameReader().push(stream);
  expect(whole).toEqual([
    {id: "4", event: "allocationReserved", data: '{"sequence":4,"purpose":"für ä"}'}, {id: "9", event: "message", data: ""}, {id: null, event: "problem", data: '{"code":"history-gone"}'},
  ]);
  for (let size = 1; size < 12; size += 1) {
    const reader = new FrameReader();
    const found = [];
    for (let at = 0; at < stream.length; at += size) found.push(...reader.push(stream.slice(at, at + size)));
    expect(found).toEqual(whole);
  }
});

test("what is cut off before its blank line is no frame", () => {
  expect(new FrameReader().push('id: 4\ndata: {"sequence":4}\n')).toEqual([]);
});
