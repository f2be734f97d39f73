import {expect, test} from "vitest";
import type {Operation} from "./book";
import {curlOf, fitted, fittedBody, missing, requestOf, type Instead} from "./request";

const parameter = (name: string, place: "path" | "query" | "header", required = false) => ({name, in: place, required, description: "", schema: {type: "string"}, example: "host0"});
const operation: Operation = {
  id: "x", method: "PUT", path: "/api/{device}/x", summary: "", tells: "", loses: "", problems: [], words: "",
  parameters: [parameter("device", "path", true), parameter("owner", "query"), parameter("If-Match", "header")],
  body: {media: "application/json", schema: {}, examples: []},
  answers: [{status: 200, tells: "", headers: [], media: "application/json", schema: null, example: ""}],
};
const instead: Instead = {devices: ["a"], allocations: ["alc_1", "alc_2"], transfers: [], operations: [], models: ["reader"], files: ["my.onnx"]};

test("each value goes where its parameter belongs, escaped, and what has none is left away", () => {
  const request = requestOf(operation, {"path:device": "a/b", "query:owner": "uid:0&x", "header:If-Match": '"r3"'}, "{}");
  expect(request.path).toBe("/api/a%2Fb/x?owner=uid%3A0%26x");
  expect(request.headers).toEqual([["Accept", "application/json, application/problem+json"], ["If-Match", '"r3"'], ["Content-Type", "application/json"]]);
  expect(requestOf(operation, {"path:device": "a"}, "{}").path).toBe("/api/a/x");
  expect(missing(operation, {})?.name).toBe("device");
  expect(missing(operation, {"path:device": "a"})).toBeUndefined();
});

test("the line of curl makes the same request, whatever quotes are in it, and shows no token", () => {
  const line = curlOf(requestOf(operation, {"path:device": "a"}, `{"purpose":"it's"}`), "http://127.0.0.1:1", true);
  expect(line).toBe(`curl -X PUT -H "Authorization: Bearer $VRAMD_TOKEN" -H 'Content-Type: application/json' --data-binary '{"purpose":"it'\\''s"}' 'http://127.0.0.1:1/api/a/x'`);
});

test("the document's ids are replaced by what the daemon has; what it has not, names and keys stay", () => {
  expect(fitted("host0", instead)).toBe("a");
  expect(fitted("host1", instead)).toBe("host1");
  expect(fittedBody('{"sourceAllocationId": "alc_0q3xw8c5k2mznd1", "targetAllocationId": "alc_7t1vb9e4h6pqrs2"}', instead)).toBe('{"sourceAllocationId": "alc_1", "targetAllocationId": "alc_2"}');
  expect(fittedBody('{"name": "detector", "path": "ocr/ch_PP-OCRv4_det_infer.onnx"}', instead)).toBe('{"name": "detector", "path": "my.onnx"}');
  expect(fittedBody('{"excludeModels": ["detector"], "host0": "host0"}', instead)).toBe('{"excludeModels": ["reader"], "host0": "a"}');
});
