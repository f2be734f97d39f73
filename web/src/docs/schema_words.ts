// A schema in words: what kind of value it is, within which limits, and what lies beneath it.
import type {OpenApi, Schema} from "./book";

/// The schema that a reference leads to, with what was said where it was referred to; without "or null".
export function followed(schema: Schema, document: OpenApi): Schema {
  const reference = schema.$ref ?? schema.anyOf?.find((each) => each.$ref)?.$ref;
  if (!reference) return schema;
  const target = document.components.schemas[reference.split("/").pop() ?? ""] ?? {};
  return {...target, ...schema, $ref: reference};
}

function nameOf(schema: Schema): string {
  return schema.$ref?.split("/").pop() ?? "";
}

const plain: Record<string, string> = {string: "text", integer: "whole number", number: "number", boolean: "true or false", object: "object"};

/// "list of Place", "text or null", "time".
export function kindOf(schema: Schema, document: OpenApi): string {
  const target = followed(schema, document);
  const types = typeof target.type === "string" ? [target.type] : (target.type ?? []);
  const orNull = types.includes("null") || schema.anyOf?.some((each) => each.type === "null") ? " or null" : "";
  const type = types.find((each) => each !== "null") ?? "";
  if (target.enum) return `choice${orNull}`;
  if (type === "array") return `list of ${target.items ? many(target.items, document) : "values"}${orNull}`;
  if (type === "object" && typeof target.additionalProperties === "object") return `object, of each name ${kindOf(target.additionalProperties, document)}${orNull}`;
  if (target.format === "date-time") return `time${orNull}`;
  return `${nameOf(target) || (plain[type] ?? type)}${orNull}`;
}

function many(items: Schema, document: OpenApi): string {
  const kind = kindOf(items, document);
  return kind === "text" ? "texts" : kind === "choice" ? nameOf(followed(items, document)) : kind;
}

/// A limit with its digits grouped; those of 64 bits, which JavaScript cannot hold, as powers.
export function limitText(limit: number): string {
  if (limit >= 2 ** 64) return "2^64 − 1";
  if (limit >= 2 ** 63) return "2^63 − 1";
  return limit.toLocaleString("en-US", {maximumFractionDigits: 3});
}

/// Limits, default, unit and rule, a phrase each.
export function limitsOf(schema: Schema, document: OpenApi): string[] {
  const target = followed(schema, document);
  const phrases: string[] = [];
  if (target["x-unit"]) phrases.push(`in ${target["x-unit"]}`);
  if (target["x-rule"] === "powerOfTwo") phrases.push("a power of two");
  if (target.minimum !== undefined && target.maximum !== undefined) phrases.push(`${limitText(target.minimum)} to ${limitText(target.maximum)}`);
  if (target.minLength || target.maxLength !== undefined) phrases.push(`${target.minLength ? `${target.minLength} to ` : "at most "}${limitText(target.maxLength ?? 4096)} bytes of UTF-8`);
  if (target.minItems || target.maxItems !== undefined) phrases.push(`${target.minItems ? `${target.minItems} to ` : "at most "}${limitText(target.maxItems ?? 0)} items`);
  if (schema.default !== undefined) phrases.push(schema.default === "" ? "empty when absent" : `${JSON.stringify(schema.default)} when absent`);
  return phrases;
}

/// What has fields beneath a schema: itself, a list's items, a map's values; null where nothing has.
export function beneath(schema: Schema, document: OpenApi): Schema | null {
  const target = followed(schema, document);
  if (target.properties) return target;
  if (target.items) return beneath(target.items, document);
  if (typeof target.additionalProperties === "object") return beneath(target.additionalProperties, document);
  return null;
}

/// What is told of the kind of value, beside what its field tells.
export function tellsOf(schema: Schema, document: OpenApi): string {
  return document.components.schemas[nameOf(followed(schema, document))]?.description ?? "";
}

/// The values of a choice, or of a list of choices, with what is told of them.
export function choicesOf(schema: Schema, document: OpenApi): {values: string[]; tells: string} | null {
  const target = followed(schema, document);
  if (!target.enum) return target.items ? choicesOf(target.items, document) : null;
  return {values: target.enum, tells: tellsOf(target, document)};
}
