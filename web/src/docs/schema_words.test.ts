import {expect, test} from "vitest";
import type {OpenApi} from "./book";
import {beneath, choicesOf, kindOf, limitsOf, limitText} from "./schema_words";

const document = {components: {schemas: {
  Place: {type: "object", description: "Where.", properties: {deviceId: {type: "string"}}},
  Mode: {type: "string", enum: ["copy", "move"], description: "How."},
}}} as unknown as OpenApi;

test("each kind of value has its words", () => {
  const kinds = [{type: "integer"}, {type: ["string", "null"]}, {type: "string", format: "date-time"}, {$ref: "#/components/schemas/Place"}, {anyOf: [{$ref: "#/components/schemas/Place"}, {type: "null"}]},
    {type: "array", items: {$ref: "#/components/schemas/Place"}}, {type: "array", items: {type: "string"}}, {$ref: "#/components/schemas/Mode"}, {type: "object", additionalProperties: {type: "integer"}}];
  expect(kinds.map((each) => kindOf(each, document))).toEqual(["whole number", "text or null", "time", "Place", "Place or null", "list of Place", "list of texts", "choice", "object, of each name whole number"]);
});

test("limits are told to the digit, and those of 64 bits as powers", () => {
  expect(limitsOf({type: "integer", minimum: 1, maximum: 1073741824, "x-unit": "bytes", "x-rule": "powerOfTwo", default: 256}, document)).toEqual(["in bytes", "a power of two", "1 to 1,073,741,824", "256 when absent"]);
  expect([limitText(Number("9223372036854775807")), limitText(Number("18446744073709551615")), limitText(100)]).toEqual(["2^63 − 1", "2^64 − 1", "100"]);
});

test("what lies beneath a value is found through lists and null", () => {
  expect(beneath({anyOf: [{$ref: "#/components/schemas/Place"}, {type: "null"}]}, document)?.description).toBe("Where.");
  expect(beneath({type: "array", items: {$ref: "#/components/schemas/Place"}}, document)?.description).toBe("Where.");
  expect(beneath({type: "integer"}, document)).toBeNull();
  expect(choicesOf({$ref: "#/components/schemas/Mode", description: "Of this transfer."}, document)).toEqual({values: ["copy", "move"], tells: "How."});
});
