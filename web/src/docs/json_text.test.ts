import {expect, test} from "vitest";
import {laidOut} from "./json_text";

test("laid out JSON says the same, digit for digit, also where JavaScript would round", () => {
  const text = '{"a":9223372036854775807,"b":[],"c":{},"d":[1,{"e":"x{\\"}[,:"}],"f":1.50}';
  expect(laidOut(text)).toBe('{\n  "a": 9223372036854775807,\n  "b": [],\n  "c": {},\n  "d": [\n    1,\n    {\n      "e": "x{\\"}[,:"\n    }\n  ],\n  "f": 1.50\n}');
  expect(laidOut(laidOut(text))).toBe(laidOut(text));
});

test("text that is cut off in the midst is laid out as far as it goes", () => {
  for (let end = 0; end <= 20; end += 1) expect(() => laidOut('{"a":[1,"x\\"y"],"b":2'.slice(0, end))).not.toThrow();
  expect(laidOut('{"a":[1,"x')).toBe('{\n  "a": [\n    1,\n    "x');
});
