import {expect, test} from "vitest";
import {asksFirst, sectionsOf, withWords, type OpenApi} from "./book";

const problem = {title: "There is no such thing", status: 404, code: "not-found", remedy: "List what exists."};
const call = (operationId: string, tag: string, more = {}) => ({
  operationId, tags: [tag], summary: `Does ${operationId}`, description: "", parameters: [],
  responses: {
    "200": {description: "Done.", content: {"application/json": {schema: {type: "object"}, example: {id: "alc_1"}}}},
    "404": {description: "", content: {"application/problem+json": {schema: {}, examples: {"not-found": {$ref: "#/components/examples/not-found"}}}}},
  },
  ...more,
});
const document: OpenApi = {
  info: {version: "1", description: ""},
  tags: [{name: "Devices", description: ""}, {name: "Allocations", description: ""}, {name: "Nothing", description: ""}],
  paths: {
    "/b": {post: call("allocate", "Allocations", {requestBody: {content: {"application/json": {schema: {type: "object"}, examples: {small: {summary: "A small one", value: {sizeBytes: 1}}}}}}}), delete: call("free", "Allocations", {"x-loses": "The bytes."})},
    "/a": {get: call("listDevices", "Devices")},
  },
  components: {schemas: {}, examples: {"not-found": {value: problem}}},
};

test("calls stand in the order of the document's sections, with their bodies, answers and problems by code", () => {
  const sections = sectionsOf(document);
  expect(sections.map((section) => section.operations.map((each) => each.id))).toEqual([["listDevices"], ["allocate", "free"]]);
  const allocate = sections[1]?.operations[0];
  expect(allocate?.body?.examples).toEqual([{name: "small", summary: "A small one", text: '{\n  "sizeBytes": 1\n}'}]);
  expect(allocate?.answers.map((each) => each.status)).toEqual([200]);
  expect(allocate?.problems.map((each) => each.example.code)).toEqual(["not-found"]);
});

test("a call is found by any of its words, all of which it must have", () => {
  const found = (text: string) => withWords(sectionsOf(document), text).flatMap((section) => section.operations.map((each) => each.id));
  expect(found("")).toHaveLength(3);
  expect(found("ALLOCATE")).toEqual(["allocate"]);
  expect(found("delete /b")).toEqual(["free"]);
  expect(found("delete devices")).toEqual([]);
});

test("what loses something asks first, and so does every DELETE", () => {
  const [devices, allocations] = sectionsOf(document);
  expect([devices?.operations[0], ...(allocations?.operations ?? [])].map((each) => each && asksFirst(each))).toEqual([false, false, true]);
});
