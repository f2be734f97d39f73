// The blocks of physical memory, folded from the ledger's events: the API lists allocations, and a block is known by the event that made it.
import type {LedgerEvent} from "../api/types";

export interface Block {
  id: string;
  deviceId: string;
  owner: string;
  kind: string;
  sizeBytes: number;
}

export class BlockBook {
  readonly blocks = new Map<string, Block>();

  /// True if the event changed the book.
  take(event: LedgerEvent): boolean {
    const id = event.blockId;
    if (!id) return false;
    if (event.type === "blockReserved") {
      this.blocks.set(id, {id, deviceId: event.deviceId ?? "", owner: event.owner ?? "", kind: event.kind ?? "", sizeBytes: event.sizeBytes ?? 0});
      return true;
    }
    return event.type === "blockGone" && this.blocks.delete(id);
  }
}

/// "blk_12" as 12, for blocks are numbered in the order in which they were made.
export function blockNumber(id: string): number {
  return Number(id.slice(id.indexOf("_") + 1)) || 0;
}
