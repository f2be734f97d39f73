// The request that a filled form makes, as it is sent and as a line of curl.
import type {Operation, Parameter} from "./book";

export interface Request {
  method: string;
  path: string;
  headers: [string, string][];
  body: string | Blob | null;
}

/// Where a parameter's value is kept in a form.
export function keyOf(parameter: Parameter): string {
  return `${parameter.in}:${parameter.name}`;
}

/// The first parameter that must have a value and has none.
export function missing(operation: Operation, values: Record<string, string>): Parameter | undefined {
  return operation.parameters.find((each) => each.required && !values[keyOf(each)]);
}

/// The request; parameters without a value are left away. A path's parameter without one stays as the document writes it.
export function requestOf(operation: Operation, values: Record<string, string>, body: string | Blob | null): Request {
  let path = operation.path;
  const query: string[] = [];
  const headers: [string, string][] = [];
  const accepted = operation.answers.map((each) => each.media).filter(Boolean);
  if (accepted.length) headers.push(["Accept", [...new Set(accepted), "application/problem+json"].join(", ")]);
  for (const parameter of operation.parameters) {
    const value = values[keyOf(parameter)] ?? "";
    if (!value) continue;
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (parameter.in === "query") query.push(`${encodeURIComponent(parameter.name)}=${encodeURIComponent(value)}`);
    else headers.push([parameter.name, value]);
  }
  if (operation.body) headers.push(["Content-Type", operation.body.media]);
  return {method: operation.method, path: path + (query.length ? `?${query.join("&")}` : ""), headers, body: operation.body ? (body ?? "") : null};
}

/// The request as a line for a terminal. A token is named, not shown; a file's bytes are the file.
export function curlOf(request: Request, origin: string, hasToken: boolean): string {
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const words = ["curl"];
  if (request.method !== "GET") words.push("-X", request.method);
  if (hasToken) words.push("-H", '"Authorization: Bearer $VRAMD_TOKEN"');
  for (const [name, value] of request.headers) if (name !== "Accept") words.push("-H", quoted(`${name}: ${value}`));
  if (request.body instanceof Blob) words.push("--data-binary", quoted(`@${"name" in request.body ? String(request.body.name) : "FILE"}`));
  else if (request.body !== null) words.push("--data-binary", quoted(request.body));
  words.push(quoted(origin + request.path));
  return words.join(" ");
}

/// What is known of the daemon that can stand for the examples of the document.
export interface Instead {
  devices: string[];
  allocations: string[];
  transfers: string[];
  operations: string[];
  models: string[];
  files: string[];
}

const stand: [string, keyof Instead, number][] = [
  ["host0", "devices", 0], ["host1", "devices", 1], ["alc_0q3xw8c5k2mznd1", "allocations", 0], ["alc_7t1vb9e4h6pqrs2", "allocations", 1],
  ["xfr_6k2mznd10q3xw8c5", "transfers", 0], ["op_5g7hj2k4m6npqr8", "operations", 0], ["detector", "models", 0], ["ocr/ch_PP-OCRv4_det_infer.onnx", "files", 0],
];

/// An example with what this daemon has in the place of what only the document knows.
export function fitted(example: string, instead: Instead): string {
  const found = stand.find(([name]) => name === example);
  return (found && instead[found[1]][found[2]]) ?? example;
}

/// The same for each text in a body of JSON. The name that a load is to give stays as it is.
export function fittedBody(text: string, instead: Instead): string {
  return text.replaceAll(/"((?:[^"\\]|\\.)*)"(\s*:)?/g, (whole, word: string, colon: string | undefined, at: number) => (colon || /"name":\s*$/.test(text.slice(0, at)) ? whole : JSON.stringify(fitted(word, instead))));
}

/// Which list a parameter's values come from; null: no list.
export function listFor(parameter: Parameter): keyof Instead | null {
  const found = stand.find(([name]) => name === parameter.example);
  return found ? found[1] : null;
}
