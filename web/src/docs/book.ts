// The daemon's /openapi.json as the page shows it: calls in the order of a first session, each with all that is known of it.
export interface Schema {
  $ref?: string;
  type?: string | string[];
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  anyOf?: Schema[];
  enum?: string[];
  default?: unknown;
  format?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  "x-unit"?: string;
  "x-rule"?: string;
}

interface Content {
  schema: Schema;
  example?: unknown;
  examples?: Record<string, {summary?: string; value?: unknown; $ref?: string}>;
}

interface Told {
  operationId: string;
  tags: string[];
  summary: string;
  description: string;
  parameters: Parameter[];
  requestBody?: {content: Record<string, Content>};
  responses: Record<string, {description: string; content?: Record<string, Content>; headers?: Record<string, {description: string}>}>;
  "x-loses"?: string;
}

export interface OpenApi {
  info: {version: string; description: string};
  tags: {name: string; description: string}[];
  paths: Record<string, Record<string, Told>>;
  components: {schemas: Record<string, Schema>; examples: Record<string, {value: ProblemExample}>};
}

export interface ProblemExample {
  title: string;
  status: number;
  code: string;
  remedy: string;
}

export interface Parameter {
  name: string;
  in: "path" | "query" | "header";
  required: boolean;
  description: string;
  schema: Schema;
  example: unknown;
}

export interface Example {
  name: string;
  summary: string;
  text: string;
}

export interface Body {
  media: string;
  schema: Schema;
  examples: Example[];
}

export interface Answer {
  status: number;
  tells: string;
  headers: {name: string; tells: string}[];
  media: string;
  schema: Schema | null;
  example: string;
}

export interface Operation {
  id: string;
  method: string;
  path: string;
  summary: string;
  tells: string;
  /// What is gone for good after it; empty: nothing.
  loses: string;
  parameters: Parameter[];
  body: Body | null;
  answers: Answer[];
  problems: {example: ProblemExample; text: string}[];
  /// All that is said of it, for whoever looks for a word.
  words: string;
}

export interface Section {
  name: string;
  tells: string;
  operations: Operation[];
}

function textOf(example: unknown): string {
  if (example === undefined) return "";
  return typeof example === "string" ? example : JSON.stringify(example, null, 2);
}

function bodyOf(told: Told): Body | null {
  const found = Object.entries(told.requestBody?.content ?? {})[0];
  if (!found) return null;
  const [media, content] = found;
  const examples = Object.entries(content.examples ?? {}).map(([name, each]) => ({name, summary: each.summary ?? name, text: textOf(each.value)}));
  return {media, schema: content.schema, examples};
}

function answersOf(told: Told): Answer[] {
  return Object.entries(told.responses).filter(([status]) => Number(status) < 400).map(([status, response]) => {
    const [media, content] = Object.entries(response.content ?? {})[0] ?? ["", null];
    const headers = Object.entries(response.headers ?? {}).map(([name, header]) => ({name, tells: header.description}));
    return {status: Number(status), tells: response.description, headers, media, schema: content?.schema ?? null, example: textOf(content?.example)};
  });
}

function problemsOf(told: Told, document: OpenApi): Operation["problems"] {
  const problems: Operation["problems"] = [];
  for (const response of Object.values(told.responses)) {
    for (const each of Object.values(response.content?.["application/problem+json"]?.examples ?? {})) {
      const example = document.components.examples[(each.$ref ?? "").split("/").pop() ?? ""]?.value;
      if (example) problems.push({example, text: textOf(example)});
    }
  }
  return problems.sort((a, b) => a.example.status - b.example.status);
}

function operationOf(method: string, path: string, told: Told, document: OpenApi): Operation {
  const words = [told.operationId, method, path, told.summary, told.description, told.tags[0] ?? "", ...told.parameters.map((each) => each.name)].join(" ").toLowerCase();
  return {
    id: told.operationId, method: method.toUpperCase(), path, summary: told.summary, tells: told.description, loses: told["x-loses"] ?? "", parameters: told.parameters,
    body: bodyOf(told), answers: answersOf(told), problems: problemsOf(told, document), words,
  };
}

/// The sections in the document's order, each with its calls in the order of the paths.
export function sectionsOf(document: OpenApi): Section[] {
  const sections = document.tags.map((tag): Section => ({name: tag.name, tells: tag.description, operations: []}));
  for (const [path, item] of Object.entries(document.paths))
    for (const [method, told] of Object.entries(item)) sections.find((each) => each.name === told.tags[0])?.operations.push(operationOf(method, path, told, document));
  return sections.filter((each) => each.operations.length > 0);
}

/// The calls in which each of the words is found.
export function withWords(sections: Section[], text: string): Section[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const holds = (operation: Operation) => words.every((word) => operation.words.includes(word));
  return sections.map((section) => ({...section, operations: section.operations.filter(holds)})).filter((section) => section.operations.length > 0);
}

/// Whether who offers a button must ask before the call is made.
export function asksFirst(operation: Operation): boolean {
  return operation.method === "DELETE" || operation.loses !== "";
}
