// Runs one model once with onnxruntime: `node inference.mjs FOLDER`, where FOLDER has the files of onnxruntime-web.
// On stdin, as JSON: `graph` (a model in base64), `feeds` (dtype, shape and data by name), and `weights`, where they are not in the graph: the name
// that the graph calls them by, an inherited descriptor and how many bytes it has. On stdout, as JSON: the outputs, in the form of the feeds.
import { readFileSync, readSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const arrays = { float32: Float32Array, int64: BigInt64Array };
const folder = resolve(process.argv[2]);
const urlOf = (name) => pathToFileURL(join(folder, name)).href;

function readWeights({ descriptor, sizeBytes }) {
  const data = new Uint8Array(sizeBytes);
  for (let at = 0; at < sizeBytes; ) {
    const got = readSync(descriptor, data, at, sizeBytes - at, at);
    if (got === 0) throw new Error(`the descriptor ends after ${at} of ${sizeBytes} bytes`);
    at += got;
  }
  return data;
}

const ort = await import(urlOf("ort.wasm.min.mjs"));
ort.env.wasm.numThreads = 1; // One order of additions, so that equal weights give equal bits.
ort.env.wasm.wasmBinary = readFileSync(join(folder, "ort-wasm-simd-threaded.wasm"));
ort.env.wasm.wasmPaths = { mjs: urlOf("ort-wasm-simd-threaded.mjs") };

const asked = JSON.parse(readFileSync(0, "utf8"));
const options = { executionProviders: ["wasm"] };
if (asked.weights) options.externalData = [{ path: asked.weights.location, data: readWeights(asked.weights) }];
const session = await ort.InferenceSession.create(Buffer.from(asked.graph, "base64"), options);  // A number thrown here is an exception of the runtime's own.

const feeds = {};
for (const [name, { dtype, shape, data }] of Object.entries(asked.feeds)) {
  const bytes = Uint8Array.from(Buffer.from(data, "base64"));
  feeds[name] = new ort.Tensor(dtype, new arrays[dtype](bytes.buffer), shape);
}
const outputs = {};
for (const [name, tensor] of Object.entries(await session.run(feeds))) {
  const data = Buffer.from(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength).toString("base64");
  outputs[name] = { dtype: tensor.type, shape: tensor.dims, data };
}
process.stdout.write(JSON.stringify(outputs));
