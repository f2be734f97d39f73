// All allocations and blocks, for the map: read whole once, then kept by events. Only while a view shows them.
import {FrameReader} from "../api/event_frames";
import {authorization, get, getAll} from "../api/client";
import type {Allocation, LedgerEvent, Problem} from "../api/types";
import {BlockBook, type Block} from "./blocks";
import {daemon} from "./daemon.svelte";

const most = 250_000;
/// More changes than this at once are read as the whole list again.
const oneByOne = 40;
const gatherMs = 200;

class Atlas {
  allocations = $state.raw<Allocation[]>([]);
  blocks = $state.raw<Block[]>([]);
  loaded = $state(false);
  /// How many allocations the first reading has brought.
  soFar = $state(0);
  problem = $state.raw<Problem | null>(null);

  private book = new BlockBook();
  private changed = new Set<string>();
  private all = true;
  private reading = false;
  private shown = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private deaf: () => void = () => undefined;

  /// A view shows the map until the returned function is called.
  show(): () => void {
    this.shown += 1;
    if (this.shown === 1) {
      this.all = true;
      this.deaf = daemon.listen((event) => this.hear(event));
      void this.read();
    }
    return () => {
      this.shown -= 1;
      if (this.shown > 0) return;
      this.deaf();
      clearTimeout(this.timer);
      this.timer = undefined;
      this.loaded = false;
    };
  }

  private hear(event: LedgerEvent | "gap"): void {
    if (event === "gap") this.all = true;
    else {
      if (event.type.startsWith("block")) this.book.take(event);
      else if (event.allocationId && /^(allocation(?!Accessed)|hold|lease|move|model)/.test(event.type)) this.changed.add(event.allocationId);
      else return;
    }
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      void this.read();
    }, gatherMs);
  }

  private async read(): Promise<void> {
    if (this.reading || this.shown === 0) return;
    this.reading = true;
    const began = performance.now();
    if (this.all || this.changed.size > oneByOne) await this.readAll();
    else await this.readChanged();
    this.reading = false;
    const took = performance.now() - began;
    // A long list is not read again before it was shown for some time.
    if (this.changed.size > 0 || this.all) this.timer ??= setTimeout(() => { this.timer = undefined; void this.read(); }, Math.max(gatherMs, took * 3));
  }

  private async readAll(): Promise<void> {
    const whole = this.all;
    this.all = false;
    this.changed.clear();
    if (whole) await this.readBlocks();
    const outcome = await getAll<Allocation>("/api/memory/allocations", most, (count) => (this.soFar = count));
    if (!outcome.ok) {
      this.problem = outcome.problem;
      this.all = true;
      return;
    }
    this.problem = null;
    this.allocations = outcome.value;
    this.blocks = [...this.book.blocks.values()];
    this.loaded = true;
  }

  private async readChanged(): Promise<void> {
    const ids = [...this.changed];
    this.changed.clear();
    const records = new Map<string, Allocation | null>();
    await Promise.all(ids.map(async (id) => {
      const outcome = await get<Allocation>(`/api/memory/allocation/${id}`);
      if (outcome.ok) records.set(id, outcome.value);
      else if (outcome.problem.code === "not-found") records.set(id, null);
      else this.changed.add(id);
    }));
    const kept: Allocation[] = [];
    for (const allocation of this.allocations) {
      const now = records.get(allocation.id);
      if (now === undefined) kept.push(allocation);
      else if (now !== null) kept.push(now);
      records.delete(allocation.id);
    }
    for (const added of records.values()) if (added) kept.push(added);
    this.allocations = kept;
    this.blocks = [...this.book.blocks.values()];
  }

  /// The ledger's events of blocks from the oldest that is kept; the open stream goes on from there.
  private async readBlocks(): Promise<void> {
    this.book = new BlockBook();
    try {
      const response = await fetch("/api/events?from=0&follow=false&type=blockReserved,blockGone", {headers: {Accept: "text/event-stream", ...authorization()}});
      const reader = response.ok ? response.body?.getReader() : undefined;
      if (!reader) return;
      const frames = new FrameReader();
      const decoder = new TextDecoder();
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
        for (const frame of frames.push(decoder.decode(piece.value, {stream: true}))) if (frame.data) this.book.take(JSON.parse(frame.data) as LedgerEvent);
      }
    } catch {
      // Cut off: blocks that are missing are inferred from their allocations until the next reading.
      this.all = true;
    }
  }
}

export const atlas = new Atlas();
