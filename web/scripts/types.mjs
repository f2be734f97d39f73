// Writes src/api/schema.ts from a daemon's own /openapi.json: node scripts/types.mjs http://127.0.0.1:7070
import {writeFile} from "node:fs/promises";
import openapiTS, {astToString} from "openapi-typescript";

const daemon = process.argv[2] ?? "http://127.0.0.1:7070";
const answer = await fetch(new URL("/openapi.json", daemon));
if (!answer.ok) throw new Error(`${daemon}/openapi.json answered ${answer.status}`);
const document = await answer.json();
const head =
  "// Made by `npm run types` from the daemon's /openapi.json. Do not edit: run it again.\n// Longer than 400 lines because it is one document's shapes.\n";
const target = new URL("../src/api/schema.ts", import.meta.url);
// The shapes alone: what each path may answer with each status is the tests' to check, and would be most of the file.
document.paths = {};
// Without the examples and prose: the page needs shapes only, and the words change more often than they do.
const isProse = (name, value) => (name === "examples" && Array.isArray(value)) || (["description", "summary"].includes(name) && typeof value === "string");
const bare = JSON.parse(JSON.stringify(document, (name, value) => (isProse(name, value) ? undefined : value)));
await writeFile(target, head + astToString(await openapiTS(bare, {alphabetize: true, defaultNonNullable: false})));
