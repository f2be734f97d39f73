// For working on the page: serves web/dist in front of a running daemon, under the daemon's own policy: node scripts/serve.mjs [DAEMON] [PORT]
import {createReadStream, existsSync, statSync} from "node:fs";
import {extname, join, normalize} from "node:path";
import {fileURLToPath} from "node:url";
import {relay} from "../test/relay.mjs";

const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const types = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml; charset=utf-8"};
const url = process.argv[2] ?? "http://127.0.0.1:7070";

// What the daemon says of the page that it has is what it would say of this one.
const policy = (await fetch(url)).headers.get("Content-Security-Policy");
if (!policy) throw new Error(`${url} is no vramd.`);

function answered(asked, answer) {
  const path = new URL(asked.url, url).pathname;
  const file = join(dist, normalize(path === "/" ? "/index.html" : path === "/docs" ? "/docs.html" : path));
  if (!file.startsWith(dist) || !existsSync(file) || !statSync(file).isFile()) return false;
  answer.writeHead(200, {"Content-Type": types[extname(file)] ?? "application/octet-stream", "Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"});
  createReadStream(file).pipe(answer);
  return true;
}

console.log((await relay(url, {port: Number(process.argv[3] ?? 0), answered})).origin);
