// A real vramd for the page's tests: private state, free port, two host devices, the sample models. VRAMD_BIN and VRAMD_SAMPLES say where programs and models lie.
import {spawn} from "node:child_process";
import {mkdtempSync, rmSync, writeFileSync} from "node:fs";
import {Agent, request} from "node:http";
import {tmpdir} from "node:os";
import {join} from "node:path";
import {fileURLToPath} from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const programs = process.env.VRAMD_BIN ?? join(root, "build/bin");
const samples = process.env.VRAMD_SAMPLES ?? join(root, ".cache/samples");
export const adminToken = "the-page-tests-admin-token-0001";

export class Daemon {
  static async start({devices = ["host:a=256MiB", "host:b=64MiB"], more = []} = {}) {
    const daemon = new Daemon();
    daemon.folder = mkdtempSync(join(tmpdir(), "vramd-page-"));
    const tokens = join(daemon.folder, "tokens");
    writeFileSync(tokens, `${adminToken} keeper-of-keys admin\n`, {mode: 0o600});
    const words = ["serve", "--listen", "127.0.0.1:0", "--socket", join(daemon.folder, "vramd.sock"), "--state-dir", join(daemon.folder, "state"), "--token-file", tokens, "--relief", "100,100,100",
      "--model-dir", samples, ...devices.flatMap((each) => ["--device", each]), ...more];
    daemon.process = spawn(join(programs, "vramd"), words, {stdio: ["ignore", "pipe", "pipe"]});
    daemon.said = "";
    daemon.process.stderr.on("data", (piece) => (daemon.said += piece));
    daemon.ended = new Promise((done) => daemon.process.once("exit", done).once("error", done));
    daemon.url = await new Promise((ready, failed) => {
      let line = "";
      daemon.process.stdout.on("data", (piece) => {
        line += piece;
        const found = /^vramd ready http=(\S+)/m.exec(line);
        if (found) ready(found[1]);
      });
      daemon.ended.then((how) => failed(new Error(`vramd ended before it was ready: ${how} ${daemon.said}`)));
    });
    daemon.agent = new Agent({keepAlive: true, maxSockets: 8});
    return daemon;
  }

  /// The JSON of a success, as admin; anything else fails.
  call(method, path, body) {
    const {hostname, port} = new URL(this.url);
    return new Promise((done, failed) => {
      const headers = {Authorization: `Bearer ${adminToken}`, ...(body === undefined ? {} : {"Content-Type": "application/json"})};
      const sent = request({hostname, port, method, path, headers, agent: this.agent}, (answer) => {
        let text = "";
        answer.on("data", (piece) => (text += piece));
        answer.on("end", () => (answer.statusCode < 300 ? done(text ? JSON.parse(text) : null) : failed(new Error(`${method} ${path}: ${answer.statusCode} ${text}`))));
      });
      sent.on("error", failed);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  /// What `path` tells as soon as `holds` says yes to it; for what goes on after its answer, as a block's way back to the system does.
  async until(path, holds) {
    const end = performance.now() + 20000;
    for (;;) {
      const told = await this.call("GET", path);
      if (holds(told)) return told;
      if (performance.now() > end) throw new Error(`${path} still tells ${JSON.stringify(told)}`);
    }
  }

  /// What the core after the one of `generation` says of itself. Connections to the old one break; new ones wait until the next one answers.
  async next(generation) {
    for (;;) {
      const told = await this.call("GET", "/api/system").catch(() => null);
      if (told && told.generation > generation) return told;
    }
  }

  allocate(sizeBytes, fields = {}) {
    return this.call("POST", "/api/memory/allocations/allocate", {sizeBytes, ...fields});
  }

  /// Something of everything: models, owners, purposes, a pinned one, a lease, holes, a transfer.
  async furnish() {
    await this.call("POST", "/api/model/load/a", {name: "voice", path: "silero_vad.onnx", type: "other"});
    await this.call("POST", "/api/model/load/b", {name: "text-finder", path: "ch_PP-OCRv4_det_infer.gguf", type: "other"});
    await this.call("POST", "/api/model/load/a", {name: "reader", path: "ch_PP-OCRv4_rec_infer.safetensors", type: "other", pinned: true});
    const owners = ["ada", "grace", "http"];
    const purposes = ["kv-cache", "activations", "scratch", "frames"];
    const made = [];
    for (let n = 0; n < 72; n += 1) {
      const sizeBytes = 40000 + ((n * 7919) % 13) * 90000;
      made.push(await this.allocate(sizeBytes, {deviceId: n % 3 === 2 ? "b" : "a", owner: owners[n % 3], purpose: purposes[(n * 5) % 4]}));
    }
    for (let n = 0; n < made.length; n += 1) if (n % 4 === 1 || n % 7 === 3) await this.call("DELETE", `/api/memory/allocations/${made[n].id}`);
    await this.allocate(3000000, {deviceId: "a", owner: "grace", purpose: "frames", allocationType: "pinned"});
    await this.allocate(500000, {deviceId: "a", owner: "ada", purpose: "draft", persistent: false, leaseSeconds: 3600});
    await this.call("POST", "/api/memory/transfer", {sourceAllocationId: made[0].id, targetDeviceId: "b", mode: "copy", verify: true});
    await this.call("PUT", "/api/memory/limits/b", {maxPercentage: 90, reserveBytes: 4194304, ownerQuotas: {ada: 33554432}});
    return made;
  }

  async stop() {
    this.agent?.destroy();
    if (this.process.exitCode === null) this.process.kill("SIGTERM");
    await this.ended;
    rmSync(this.folder, {recursive: true, force: true});
  }
}
