// What the page knows of the daemon, and how fresh that is. Events say which readings are old; they are read again together, at most one round at a time.
import {authorization, get, send, type Call, type Outcome} from "../api/client";
import type {
  Analytics, AvailableModel, AvailableModelList, Device, DeviceList, LedgerEvent, Limits, MemoryPressure, MemoryStatus, Model, ModelCache, ModelStatus, Operation, OperationList,
  Problem, Recommendations, System, Transfer, TransferList,
} from "../api/types";
import {Feed, type FeedState} from "./feed";
import {freshness} from "./freshness";
import {beating, touchedBy, type Resource} from "./touched";

const eventsKept = 2000;
/// A round of readings follows an event so much later, so that a burst makes one round.
const gatherMs = 150;

class Daemon {
  feedState = $state<FeedState>("connecting");
  refusal = $state.raw<Problem | null>(null);
  lastAnswerMs = $state(0);
  nowMs = $state(Date.now());
  system = $state.raw<System | null>(null);
  devices = $state.raw<Device[]>([]);
  status = $state.raw<MemoryStatus | null>(null);
  pressure = $state.raw<MemoryPressure | null>(null);
  models = $state.raw<Model[]>([]);
  cache = $state.raw<ModelCache | null>(null);
  available = $state.raw<AvailableModel[] | null>(null);
  operations = $state.raw<Operation[]>([]);
  transfers = $state.raw<Transfer[] | null>(null);
  limits = $state.raw<Record<string, Limits & {etag: string | null}>>({});
  advice = $state.raw<Recommendations | null>(null);
  analytics = $state.raw<Analytics | null>(null);
  /// True when nothing that a view wants is still to be read for the first time.
  settled = $state(false);
  /// Newest last.
  events = $state.raw<LedgerEvent[]>([]);
  fresh = $derived(freshness(this.feedState, this.lastAnswerMs, this.nowMs));
  isAdmin = $derived(this.system?.role === "admin");

  private wanted = new Map<Resource, number>();
  private old = new Set<Resource>();
  private reading = false;
  private gathering: ReturnType<typeof setTimeout> | undefined;
  private feed: Feed | undefined;
  private listeners = new Set<(event: LedgerEvent | "gap") => void>();
  private waiting: LedgerEvent[] = [];

  async start(): Promise<void> {
    setInterval(() => this.beat(), 1000);
    document.addEventListener("visibilitychange", () => this.beat());
    for (const resource of ["system", "devices", "status", "pressure", "operations"] as const) this.want(resource);
    const system = await get<System>("/api/system");
    this.take(system, (value) => (this.system = value));
    const sequence = this.system?.ledgerSequence ?? 0;
    this.open(sequence > 300 ? sequence - 300 : 0);
  }

  /// Another token is another caller: everything is read and followed anew.
  again(): void {
    this.feed?.stop();
    this.events = [];
    this.refusal = null;
    for (const resource of this.wanted.keys()) this.old.add(resource);
    for (const listener of this.listeners) listener("gap");
    this.open(0);
    void this.round();
  }

  /// A view wants a reading kept fresh for as long as it shows it. Returns what ends that.
  want(...resources: Resource[]): () => void {
    for (const resource of resources) {
      this.wanted.set(resource, (this.wanted.get(resource) ?? 0) + 1);
      this.old.add(resource);
    }
    this.settled = false;
    this.gather();
    return () => {
      for (const resource of resources) {
        const left = (this.wanted.get(resource) ?? 1) - 1;
        if (left > 0) this.wanted.set(resource, left);
        else this.wanted.delete(resource);
      }
    };
  }

  listen(listener: (event: LedgerEvent | "gap") => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /// Sends a change and has what it touches read again.
  async act<T>(call: Call, ifMatch?: string): Promise<Outcome<T>> {
    const outcome = await send<T>(call, ifMatch ? {ifMatch} : {});
    for (const resource of this.wanted.keys()) this.old.add(resource);
    this.gather();
    return outcome;
  }

  private open(from: number): void {
    const feed = new Feed({
      open: (path, headers, signal) => fetch(path, {headers: {Accept: "text/event-stream", ...authorization(), ...headers}, signal, cache: "no-store"}),
      wait: (ms) => new Promise((done) => setTimeout(done, ms)),
      state: (state, problem) => {
        if (this.feed !== feed) return;
        // After a break everything may have changed, and the daemon may be another one.
        if (state === "live" && this.feedState !== "live") for (const resource of this.wanted.keys()) this.old.add(resource);
        this.feedState = state;
        this.refusal = problem ?? null;
        this.gather();
      },
      heard: () => (this.lastAnswerMs = Date.now()),
      event: (event) => this.feed === feed && this.hear(event),
      gap: () => {
        for (const listener of this.listeners) listener("gap");
      },
    }, from);
    this.feed = feed;
    void feed.run();
  }

  private hear(event: LedgerEvent): void {
    this.waiting.push(event);
    for (const listener of this.listeners) listener(event);
    for (const resource of touchedBy(event.type)) this.old.add(resource);
    this.gather();
  }

  private beat(): void {
    this.nowMs = Date.now();
    if (document.hidden) return;
    for (const resource of beating) this.old.add(resource);
    if (this.operations.some((each) => each.state === "running")) this.old.add("operations");
    if (this.transfers?.some((each) => each.status === "running" || each.status === "queued")) this.old.add("transfers");
    void this.round();
  }

  private gather(): void {
    this.gathering ??= setTimeout(() => {
      this.gathering = undefined;
      void this.round();
    }, gatherMs);
  }

  private async round(): Promise<void> {
    if (this.waiting.length > 0) {
      this.events = [...this.events, ...this.waiting].slice(-eventsKept);
      this.waiting = [];
    }
    if (this.reading || document.hidden) return;
    this.reading = true;
    const due = [...this.old].filter((resource) => this.wanted.has(resource));
    for (const resource of due) this.old.delete(resource);
    await Promise.all(due.map((resource) => this.read(resource)));
    this.reading = false;
    this.nowMs = Date.now();
    const running = this.operations.some((each) => each.state === "running");
    if (running) this.old.add("operations");
    if ([...this.old].some((resource) => this.wanted.has(resource))) this.gather();
    else this.settled = true;
  }

  private take<T>(outcome: Outcome<T>, keep: (value: T) => void): void {
    if (outcome.ok) {
      keep(outcome.value);
      this.lastAnswerMs = Date.now();
    }
  }

  private async read(resource: Resource): Promise<void> {
    switch (resource) {
      case "system": return this.take(await get<System>("/api/system"), (value) => (this.system = value));
      case "devices": return this.take(await get<DeviceList>("/api/devices?limit=1000"), (value) => (this.devices = value.items));
      case "status": return this.take(await get<MemoryStatus>("/api/memory/status?includeUsageStats=true&includeFragmentation=true"), (value) => (this.status = value));
      case "pressure": return this.take(await get<MemoryPressure>("/api/memory/pressure"), (value) => (this.pressure = value));
      case "models":
        this.take(await get<ModelStatus>("/api/model/status"), (value) => (this.models = value.loadedModels));
        return this.take(await get<ModelCache>("/api/model/cache?limit=1000"), (value) => (this.cache = value));
      case "available": return this.take(await get<AvailableModelList>("/api/model/available?limit=1000"), (value) => (this.available = value.items));
      case "operations": return this.take(await get<OperationList>("/api/operations?limit=50"), (value) => (this.operations = value.items));
      case "transfers": return this.take(await get<TransferList>("/api/memory/transfers?limit=100"), (value) => (this.transfers = value.items));
      case "advice": return this.take(await get<Recommendations>("/api/memory/optimization"), (value) => (this.advice = value));
      case "analytics": return this.take(await get<Analytics>("/api/memory/analytics?window=1h"), (value) => (this.analytics = value));
      case "limits": return this.readLimits();
    }
  }

  private async readLimits(): Promise<void> {
    const told: Record<string, Limits & {etag: string | null}> = {};
    for (const device of this.devices) {
      const outcome = await get<Limits>(`/api/memory/limits/${encodeURIComponent(device.deviceId)}`);
      if (outcome.ok) told[device.deviceId] = {...outcome.value, etag: outcome.etag};
    }
    if (this.devices.length === 0) this.old.add("limits");
    else this.limits = told;
  }
}

export const daemon = new Daemon();
