// A piece of the map in words: for the line below the canvas, and for who does not see the canvas.
import {bytes, age} from "../words/amounts";
import {allocationMarks} from "../words/sentences";
import {kinds, type Layout} from "./layout";

export function describePiece(layout: Layout, piece: number, nowMs: number): string {
  if (piece < 0) return "";
  const size = bytes(layout.ends[piece]! - layout.starts[piece]!);
  const block = layout.blocks[layout.block[piece]!];
  switch (kinds[layout.kind[piece]!]) {
    case "hole": return `Hole of ${size} in ${block?.id ?? "a block"}${block?.kind ? ` (${block.kind === "arena" ? `arena of ${block.owner}` : block.kind})` : ""}: free for that block's owner.`;
    case "hidden": return `${size} held by owners whose allocations you may not see.`;
    case "free": return `${size} free, in no block: for anybody.`;
    case "reserved": return `${size} reserved: kept back by a limit or a reserve.`;
    default: {
      const allocation = layout.allocations[layout.allocation[piece]!]!;
      const about = [allocation.model ? `model ${allocation.model}` : allocation.purpose, `owner ${allocation.owner}`, `${allocation.blockId} at ${bytes(allocation.offsetBytes)}`, `made ${age(allocation.createdAt, nowMs)}`];
      return `${allocation.id}: ${bytes(allocation.grantedBytes)} · ${[...about, ...allocationMarks(allocation)].filter(Boolean).join(" · ")}`;
    }
  }
}
