// A device's bytes in one line: block after block as they were made, each with its allocations and holes to scale, then what no block covers.
// Numbers lie in typed arrays, for a device may hold 100,000 allocations and each frame looks at all that are in sight.
import type {Allocation} from "../api/types";
import {blockNumber, type Block} from "../store/blocks";

export const kinds = ["allocation", "hole", "hidden", "free", "reserved"] as const;
export type Kind = (typeof kinds)[number];
export const kindOf = {allocation: 0, hole: 1, hidden: 2, free: 3, reserved: 4} as const;

export interface PlacedBlock extends Block {
  start: number;
  /// The event that made it is no longer kept: its size is what its allocations show.
  inferred: boolean;
}

export interface Layout {
  totalBytes: number;
  blocks: PlacedBlock[];
  allocations: Allocation[];
  count: number;
  starts: Float64Array;
  ends: Float64Array;
  kind: Uint8Array;
  /// Index into `allocations`, or -1.
  allocation: Int32Array;
  /// Index into `blocks`, or -1.
  block: Int32Array;
}

export interface DeviceTotals {
  totalBytes: number;
  usedBytes: number;
  reservedBytes: number;
}

class Pieces {
  private n = 0;
  readonly starts: Float64Array;
  readonly ends: Float64Array;
  readonly kind: Uint8Array;
  readonly allocation: Int32Array;
  readonly block: Int32Array;

  constructor(most: number) {
    this.starts = new Float64Array(most);
    this.ends = new Float64Array(most);
    this.kind = new Uint8Array(most);
    this.allocation = new Int32Array(most);
    this.block = new Int32Array(most);
  }

  get count(): number {
    return this.n;
  }

  add(kind: Kind, start: number, end: number, allocation = -1, block = -1): void {
    if (end <= start) return;
    this.starts[this.n] = start;
    this.ends[this.n] = end;
    this.kind[this.n] = kindOf[kind];
    this.allocation[this.n] = allocation;
    this.block[this.n] = block;
    this.n += 1;
  }
}

export function layOut(device: DeviceTotals, known: Block[], allocations: Allocation[]): Layout {
  const byBlock = new Map<string, number[]>();
  for (let index = 0; index < allocations.length; index += 1) {
    const id = allocations[index]!.blockId;
    const list = byBlock.get(id);
    if (list) list.push(index);
    else byBlock.set(id, [index]);
  }
  const blocks: PlacedBlock[] = known.map((block) => ({...block, start: 0, inferred: false}));
  const listed = new Set(known.map((block) => block.id));
  for (const [id, indexes] of byBlock) {
    if (listed.has(id)) continue;
    const first = allocations[indexes[0]!]!;
    const sizeBytes = indexes.reduce((most, index) => Math.max(most, allocations[index]!.offsetBytes + allocations[index]!.grantedBytes), 0);
    blocks.push({id, deviceId: first.deviceId, owner: first.owner, kind: "", sizeBytes, start: 0, inferred: true});
  }
  blocks.sort((one, other) => blockNumber(one.id) - blockNumber(other.id));

  const pieces = new Pieces(allocations.length * 2 + blocks.length + 3);
  let at = 0;
  let shown = 0;
  blocks.forEach((block, blockIndex) => {
    block.start = at;
    const within = (byBlock.get(block.id) ?? []).sort((one, other) => allocations[one]!.offsetBytes - allocations[other]!.offsetBytes);
    let reached = at;
    for (const index of within) {
      const allocation = allocations[index]!;
      const start = Math.max(reached, at + allocation.offsetBytes);
      const end = Math.max(start, at + allocation.offsetBytes + allocation.grantedBytes);
      pieces.add("hole", reached, start, -1, blockIndex);
      pieces.add("allocation", start, end, index, blockIndex);
      shown += allocation.grantedBytes;
      reached = end;
    }
    const end = Math.max(reached, at + block.sizeBytes);
    pieces.add("hole", reached, end, -1, blockIndex);
    at = end;
  });
  // What other owners hold is in the device's sums, but their allocations are not told to everybody.
  const hidden = Math.min(Math.max(0, device.usedBytes - shown), Math.max(0, device.totalBytes - at));
  pieces.add("hidden", at, at + hidden);
  at += hidden;
  const reserved = Math.min(device.reservedBytes, Math.max(0, device.totalBytes - at));
  pieces.add("free", at, device.totalBytes - reserved);
  pieces.add("reserved", Math.max(at, device.totalBytes - reserved), device.totalBytes);
  return {
    totalBytes: Math.max(device.totalBytes, at), blocks, allocations, count: pieces.count, starts: pieces.starts, ends: pieces.ends, kind: pieces.kind,
    allocation: pieces.allocation, block: pieces.block,
  };
}

/// The piece that holds a byte, or -1. Pieces join without a gap, so a binary search by their ends finds it.
export function pieceAt(layout: Layout, byte: number): number {
  if (byte < 0) return -1;
  let low = 0;
  let high = layout.count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (layout.ends[middle]! <= byte) low = middle + 1;
    else high = middle;
  }
  return low < layout.count && layout.starts[low]! <= byte ? low : -1;
}

/// The next piece with an allocation from `piece` on, in steps of `by` (1 or -1); -1 where there is none.
export function nextAllocation(layout: Layout, piece: number, by: 1 | -1): number {
  for (let index = piece + by; index >= 0 && index < layout.count; index += by) if (layout.kind[index] === kindOf.allocation) return index;
  return -1;
}
