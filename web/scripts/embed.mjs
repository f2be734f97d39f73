// Turns a built page into one assembler file and one C++ table: node scripts/embed.mjs DIST FOLDER
// FOLDER gets web_files.S, which takes in each file and its gzip form by .incbin, and web_files.cpp, which names them (src/program/web_files.hpp).
import {createHash} from "node:crypto";
import {mkdir, readdir, readFile, writeFile} from "node:fs/promises";
import {extname, join, relative, resolve} from "node:path";
import {gzipSync} from "node:zlib";

const types = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml; charset=utf-8"};

async function filesBelow(folder) {
  const found = [];
  for (const entry of await readdir(folder, {withFileTypes: true})) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) found.push(...(await filesBelow(path)));
    else found.push(path);
  }
  return found.sort();
}

const [dist, folder] = process.argv.slice(2).map((path) => resolve(path));
if (!dist || !folder) throw new Error("embed.mjs DIST FOLDER");
await mkdir(join(folder, "packed"), {recursive: true});
const assembler = ["// Made by web/scripts/embed.mjs.", "    .section .rodata", "    .balign 16"];
const declared = [];
const rows = [];
let number = 0;
for (const file of await filesBelow(dist)) {
  const name = `/${relative(dist, file)}`;
  const type = types[extname(file)];
  if (!type) throw new Error(`${name}: what kind of file is this? Add its ending to embed.mjs.`);
  if (/["\\]/.test(file)) throw new Error(`${file}: its path cannot stand in an assembler file.`);
  const bytes = await readFile(file);
  const packed = gzipSync(bytes, {level: 9});
  const forms = {plain: file, packed: packed.length < bytes.length * 0.95 ? join(folder, "packed", `${number}.gz`) : ""};
  if (forms.packed) await writeFile(forms.packed, packed);
  for (const [form, path] of Object.entries(forms)) {
    if (!path) continue;
    const label = `vramd_web_${number}_${form}`;
    assembler.push(`    .global ${label}`, `    .global ${label}_end`, `${label}:`, `    .incbin "${path}"`, `${label}_end:`);
    declared.push(`extern const std::byte ${label}[];`, `extern const std::byte ${label}_end[];`);
  }
  const view = (form) => (forms[form] ? `std::span(vramd_web_${number}_${form}, vramd_web_${number}_${form}_end)` : "{}");
  const tag = createHash("sha256").update(bytes).digest("hex").slice(0, 32);
  rows.push(`        {"${name === "/index.html" ? "/" : name.replace(/\.html$/, "")}", "${type}", "${tag}", ${view("plain")}, ${view("packed")}},`);
  number += 1;
}
assembler.push('    .section .note.GNU-stack, "", @progbits', "");
await writeFile(join(folder, "web_files.S"), assembler.join("\n"));
await writeFile(join(folder, "web_files.cpp"), `// Made by web/scripts/embed.mjs.
#include "program/web_files.hpp"

#include <array>
#include <cstddef>

extern "C" {
${declared.join("\n")}
}

namespace vramd::program {
std::span<const api::PageFile> web_files() {
    static const std::array<api::PageFile, ${rows.length}> files = {{
${rows.join("\n")}
    }};
    return files;
}
}  // namespace vramd::program
`);
