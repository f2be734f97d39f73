// What lay where after an event of the ledger: a fold of the events that change the layout, with copies on the way so that any moment is near one.
// The ledger names an allocation's block but not its place within: that is known for what still lies where it lay, and found by first fit for the rest.
import type {Allocation, LedgerEvent} from "../api/types";
import type {Block} from "./blocks";

export interface Moment {
  capacities: ReadonlyMap<string, number>;
  blocks: ReadonlyMap<string, Block>;
  allocations: ReadonlyMap<string, Allocation>;
}

/// The kinds of event that the fold reads.
export const layoutTypes = [
  "deviceAdded", "deviceResized", "blockReserved", "blockGone", "allocationReserved", "allocationReady", "allocationDropped", "allocationFreed", "allocationAbandoned", "moveReserved", "allocationMoved",
  "moveDropped", "modelLoading", "modelCopying", "operationStarted",
] as const;

class State {
  capacities = new Map<string, number>();
  blocks = new Map<string, Block>();
  allocations = new Map<string, Allocation>();
  /// Where a move that is under way goes.
  targets = new Map<string, string>();
  /// The name of what an operation loads.
  names = new Map<string, string>();

  copy(): State {
    const other = new State();
    for (const name of ["capacities", "blocks", "allocations", "targets", "names"] as const) (other[name] as Map<string, unknown>) = new Map(this[name] as Map<string, unknown>);
    return other;
  }

  take(event: LedgerEvent): void {
    const id = event.allocationId ?? "";
    switch (event.type) {
      case "deviceAdded": case "deviceResized": this.capacities.set(event.deviceId ?? "", event.capacityBytes ?? 0); return;
      case "blockReserved": this.blocks.set(event.blockId ?? "", {id: event.blockId ?? "", deviceId: event.deviceId ?? "", owner: event.owner ?? "", kind: event.kind ?? "", sizeBytes: event.sizeBytes ?? 0}); return;
      case "blockGone": this.blocks.delete(event.blockId ?? ""); return;
      case "operationStarted": if (event.kind === "loadModel" && event.operationId) this.names.set(event.operationId, event.name ?? ""); return;
      case "modelLoading": case "modelCopying": this.names.set(id, this.names.get(event.operationId ?? "") ?? ""); return;
      case "allocationReserved": this.allocations.set(id, reserved(event, this.names.get(id))); return;
      case "allocationReady": this.change(id, {status: "live"}); return;
      case "allocationAbandoned": this.change(id, {status: "zombie"}); return;
      case "allocationDropped": case "allocationFreed": this.allocations.delete(id); return;
      case "moveReserved": this.targets.set(id, event.blockId ?? ""); return;
      case "moveDropped": this.targets.delete(id); return;
      case "allocationMoved": return this.move(id);
    }
  }

  private change(id: string, fields: Partial<Allocation>): void {
    const before = this.allocations.get(id);
    if (before) this.allocations.set(id, {...before, ...fields});
  }

  private move(id: string): void {
    const blockId = this.targets.get(id);
    this.targets.delete(id);
    if (blockId) this.change(id, {blockId, deviceId: this.blocks.get(blockId)?.deviceId ?? this.allocations.get(id)?.deviceId ?? ""});
  }
}

function reserved(event: LedgerEvent, model: string | undefined): Allocation {
  const sizeBytes = event.sizeBytes ?? 0;
  const record: Allocation = {
    id: event.allocationId ?? "", deviceId: event.deviceId ?? "", sizeBytes, grantedBytes: event.grantedBytes ?? sizeBytes, alignment: 1, allocationType: event.allocationType ?? "default", status: "pending",
    owner: event.owner ?? "", purpose: event.purpose ?? "", persistent: event.persistent ?? true, shareable: false, isPinned: event.allocationType === "pinned", blockId: event.blockId ?? "", offsetBytes: 0,
    createdAt: event.at, lastAccessed: event.at, accessCount: 0, attachedClients: 0,
  };
  if (event.leaseSeconds !== undefined) record.leaseSeconds = event.leaseSeconds;
  if (model) record.model = model;
  return record;
}

export class Past {
  private copies: State[] = [];
  private readonly every: number;

  constructor(readonly events: readonly LedgerEvent[]) {
    this.every = Math.max(200, Math.ceil(events.length / 50));
    const state = new State();
    events.forEach((event, index) => {
      if (index % this.every === 0) this.copies.push(state.copy());
      state.take(event);
    });
  }

  /// The state after the first `count` events.
  after(count: number): Moment {
    const copy = Math.min(Math.floor(count / this.every), this.copies.length - 1);
    const state = copy >= 0 ? this.copies[copy]!.copy() : new State();
    for (let index = Math.max(0, copy) * this.every; index < count; index += 1) state.take(this.events[index]!);
    return state;
  }

  /// How many of the events have a number up to `sequence`.
  upTo(sequence: number): number {
    let low = 0;
    let high = this.events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.events[middle]!.sequence <= sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export interface PlacedPast {
  allocations: Allocation[];
  /// How many stand at a place that is a guess.
  guessed: number;
}

/// A device's allocations of a moment with places in their blocks: those of `now` where they lie in the same block still, first fit for the others.
export function placed(moment: Moment, deviceId: string, now: ReadonlyMap<string, Allocation>): PlacedPast {
  const byBlock = new Map<string, Allocation[]>();
  const sure: Allocation[] = [];
  const others: Allocation[] = [];
  for (const allocation of moment.allocations.values()) {
    if (allocation.deviceId !== deviceId) continue;
    const present = now.get(allocation.id);
    const alone = moment.blocks.get(allocation.blockId)?.kind === "dedicated";
    if (present?.blockId === allocation.blockId) sure.push({...allocation, offsetBytes: present.offsetBytes});
    else if (alone) sure.push(allocation);
    else others.push(allocation);
  }
  for (const allocation of sure) {
    const list = byBlock.get(allocation.blockId);
    if (list) list.push(allocation);
    else byBlock.set(allocation.blockId, [allocation]);
  }
  for (const list of byBlock.values()) list.sort((one, other) => one.offsetBytes - other.offsetBytes);
  const found = [...sure];
  for (const allocation of others) {
    const list = byBlock.get(allocation.blockId) ?? [];
    byBlock.set(allocation.blockId, list);
    let at = 0;
    let index = 0;
    while (index < list.length && list[index]!.offsetBytes - at < allocation.grantedBytes) {
      at = Math.max(at, list[index]!.offsetBytes + list[index]!.grantedBytes);
      index += 1;
    }
    const set = {...allocation, offsetBytes: at};
    list.splice(index, 0, set);
    found.push(set);
  }
  return {allocations: found, guessed: others.length};
}
