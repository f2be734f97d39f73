// The stream of events, kept open. It comes back with the last number that it saw, so nothing is missed and nothing comes twice.
import {FrameReader} from "../api/event_frames";
import {problemOf} from "../api/client";
import type {LedgerEvent, Problem} from "../api/types";

/// connecting: not yet, or again. live: open. refused: the daemon answered, but not with events.
export type FeedState = "connecting" | "live" | "refused";

export interface FeedPorts {
  open(path: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response>;
  wait(ms: number): Promise<void>;
  state(state: FeedState, problem?: Problem): void;
  /// The stream gave a sign of life, with an event or without.
  heard(): void;
  event(event: LedgerEvent): void;
  /// What was between is no longer kept: whoever folded events must read all anew.
  gap(oldest: number): void;
}

const firstWaitMs = 250;
const longestWaitMs = 4000;

export class Feed {
  /// The last number seen; 0 before the first.
  last = 0;
  private stopping = new AbortController();

  constructor(private readonly ports: FeedPorts, private from: number) {}

  stop(): void {
    this.stopping.abort();
  }

  /// Runs until `stop`.
  async run(): Promise<void> {
    let waitMs = firstWaitMs;
    while (!this.stopping.signal.aborted) {
      const before = this.last;
      const opened = await this.follow();
      if (this.stopping.signal.aborted) return;
      waitMs = opened || this.last > before ? firstWaitMs : Math.min(waitMs * 2, longestWaitMs);
      await this.ports.wait(waitMs);
    }
  }

  /// One connection, to its end. True if it was opened.
  private async follow(): Promise<boolean> {
    const headers: Record<string, string> = this.last > 0 ? {"Last-Event-ID": String(this.last)} : {};
    const path = this.last > 0 ? "/api/events" : `/api/events?from=${this.from}`;
    let response: Response;
    try {
      response = await this.ports.open(path, headers, this.stopping.signal);
    } catch {
      this.ports.state("connecting");
      return false;
    }
    if (!response.ok || !response.body) {
      this.refused(await problemOf(response));
      return false;
    }
    this.ports.state("live");
    this.ports.heard();
    await this.read(response.body);
    if (!this.stopping.signal.aborted) this.ports.state("connecting");
    return true;
  }

  private refused(problem: Problem): void {
    if (problem.code === "history-gone" || problem.code === "invalid-field") {
      // Too old, or from a ledger that was begun anew: go on from what there is.
      this.last = 0;
      this.from = problem.code === "history-gone" ? (problem.limit ?? 0) : 0;
      this.ports.gap(this.from);
      this.ports.state("connecting");
      return;
    }
    this.ports.state("refused", problem);
  }

  private async read(body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = body.getReader();
    const frames = new FrameReader();
    const decoder = new TextDecoder();
    try {
      for (;;) {
        const {done, value} = await reader.read();
        if (done) return;
        this.ports.heard();
        for (const frame of frames.push(decoder.decode(value, {stream: true}))) {
          if (frame.event === "problem") return this.refused(JSON.parse(frame.data) as Problem);
          const number = Number(frame.id ?? 0);
          // The same number again would be told twice to whoever counts.
          if (frame.data && number > this.last) this.ports.event(JSON.parse(frame.data) as LedgerEvent);
          if (number > this.last) this.last = number;
        }
      }
    } catch {
      // Cut off: the next connection goes on from `last`.
    } finally {
      reader.cancel().catch(() => undefined);
    }
  }
}
