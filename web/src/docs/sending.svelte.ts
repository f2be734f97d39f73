// One request under way, or the last answer: what came is shown as it comes, and no more of it is read than can be shown.
import {authorization, ownProblem} from "../api/client";
import type {Problem} from "../api/types";
import {dumped} from "./bytes_text";
import {laidOut} from "./json_text";
import type {Request} from "./request";

const textMost = 1 << 20;
const bytesMost = 1 << 10;

export class Sending {
  request = $state.raw<Request | null>(null);
  busy = $state(false);
  status = $state(0);
  ms = $state(0);
  headers = $state.raw<[string, string][]>([]);
  /// As it is shown: JSON laid out, bytes in hex, anything else as it came.
  text = $state("");
  size = $state(0);
  /// There was more than is shown.
  cut = $state(false);
  /// Why there is no answer, or why it broke off.
  problem = $state.raw<Problem | null>(null);
  private control: AbortController | null = null;

  /// Sends it; calls `told` with the text of a success. One at a time: the one before is dropped.
  async send(request: Request, told: (text: string) => void): Promise<void> {
    this.stop();
    const control = (this.control = new AbortController());
    Object.assign(this, {request, busy: true, status: 0, ms: 0, headers: [], text: "", size: 0, cut: false, problem: null});
    const began = performance.now();
    try {
      const response = await fetch(request.path, {
        method: request.method, headers: [...request.headers, ...Object.entries(authorization())], body: request.body, cache: "no-store", redirect: "manual", signal: control.signal,
      });
      if (control !== this.control) return;
      this.ms = performance.now() - began;
      this.status = response.status;
      this.headers = [...response.headers];
      const whole = await this.read(response, control);
      if (response.ok && whole !== null && control === this.control) told(whole);
    } catch (error) {
      if (control !== this.control) return;
      // Who stops it knows why it ended.
      if (!control.signal.aborted) this.problem = ownProblem("unreachable", "The daemon did not answer", `${request.method} ${request.path} could not be sent or was cut off: ${String(error)}.`, "Look whether vramd runs (systemctl status vramd), and send it again.");
    } finally {
      if (control === this.control) this.busy = false;
    }
  }

  /// Ends what is under way; what came of it stays.
  stop(): void {
    this.control?.abort();
  }

  /// The whole text, or null where it is bytes or too long.
  private async read(response: Response, control: AbortController): Promise<string | null> {
    const type = response.headers.get("Content-Type") ?? "";
    const isBytes = type.startsWith("application/octet-stream");
    const reader = response.body?.getReader();
    const decoder = new TextDecoder();
    let text = "";
    let bytes: number[] = [];
    for (let piece = await reader?.read(); piece && !piece.done; piece = await reader?.read()) {
      if (control !== this.control) return null;
      this.size += piece.value.length;
      if (isBytes) bytes = [...bytes, ...piece.value.subarray(0, bytesMost - bytes.length)];
      else text += decoder.decode(piece.value, {stream: true});
      this.cut = isBytes ? this.size > bytesMost : text.length > textMost;
      if (this.cut) void reader?.cancel().catch(() => undefined);
      this.text = isBytes ? dumped(Uint8Array.from(bytes)) : type.includes("json") ? "" : text;
      if (this.cut) break;
    }
    if (type.includes("json")) this.text = laidOut(text);
    return isBytes || this.cut ? null : text;
  }
}
