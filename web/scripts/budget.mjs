// Fails when what a built page loads of script takes more than its budget on the wire, or belongs to no page: node scripts/budget.mjs [DIST]
import {readFile, readdir} from "node:fs/promises";
import {join, resolve} from "node:path";
import {gzipSync} from "node:zlib";

const budgetsKib = {"index.html": 120, "docs.html": 40};
const folder = resolve(process.argv[2] ?? "dist");
const sizes = {};
for (const name of await readdir(join(folder, "assets"))) if (name.endsWith(".js")) sizes[name] = gzipSync(await readFile(join(folder, "assets", name)), {level: 9}).length;
const left = new Set(Object.keys(sizes));
for (const [page, budgetKib] of Object.entries(budgetsKib)) {
  const html = await readFile(join(folder, page), "utf8");
  const loaded = new Set([...html.matchAll(/(?:src|href)="\/assets\/([^"]+\.js)"/g)].map((found) => found[1]));
  const kib = [...loaded].reduce((sum, name) => sum + sizes[name], 0) / 1024;
  for (const name of loaded) left.delete(name);
  console.log(`${page}: script ${kib.toFixed(1)} KiB of ${budgetKib} KiB, gzipped`);
  if (!(kib <= budgetKib)) process.exitCode = 1;
}
if (left.size > 0) {
  console.log(`no page loads ${[...left].join(", ")}`);
  process.exitCode = 1;
}
