// What stands over the line of pixels where there is room for it: hatching of holes, patterns of states, borders. Each state differs by pattern, not by hue alone.
import {kindOf, pieceAt, type Layout} from "./layout";
import {bytesPerPixel, segments, type Frame, type Window} from "./view";

export interface Inks {
  ink: string;
  paper: string;
  soft: string;
}

/// Narrower than this no pattern can be seen.
const patternPixels = 6;
const borderPixels = 4;
const tile = 8;

type Stroke = (context: CanvasRenderingContext2D) => void;
const strokes: Record<string, Stroke> = {
  hole: (context) => line(context, 0, tile, tile, 0),
  reserved: (context) => { line(context, 0, tile, tile, 0); line(context, 0, 0, tile, tile); },
  hidden: (context) => line(context, 0, tile / 2, tile, tile / 2),
  pinned: (context) => context.fillRect(3, 3, 2.5, 2.5),
  leased: (context) => line(context, tile / 2, 0, tile / 2, tile),
  zombie: (context) => { line(context, 0, 0, tile, tile); line(context, 0, tile, tile, 0); },
};

function line(context: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number): void {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

export class Marks {
  private patterns = new Map<string, CanvasPattern>();

  constructor(private readonly context: CanvasRenderingContext2D, private readonly inks: Inks, ratio: number) {
    for (const [name, stroke] of Object.entries(strokes)) {
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = Math.round(tile * ratio);
      const drawn = canvas.getContext("2d")!;
      drawn.scale(canvas.width / tile, canvas.height / tile);
      drawn.strokeStyle = drawn.fillStyle = name === "pinned" || name === "leased" || name === "zombie" ? inks.ink : inks.soft;
      drawn.lineWidth = 1;
      stroke(drawn);
      const pattern = context.createPattern(canvas, "repeat");
      if (pattern) this.patterns.set(name, pattern);
    }
  }

  draw(layout: Layout, window: Window, frame: Frame, rowHeight: number, barHeight: number, chosen: number): void {
    const scale = 1 / bytesPerPixel(window, frame);
    const end = window.from + window.span;
    const narrowBytes = borderPixels / scale;
    const {starts, ends, block, count} = layout;
    for (let piece = Math.max(0, pieceAt(layout, window.from)); piece < count && starts[piece]! < end; ) {
      const bytes = ends[piece]! - starts[piece]!;
      if (bytes < narrowBytes) {
        // Whatever is wide enough and begins within the next pixels reaches beyond them: what is narrow is not looked at one by one.
        const beyond = pieceAt(layout, starts[piece]! + narrowBytes);
        piece = beyond < 0 ? count : Math.max(piece + 1, beyond);
        continue;
      }
      const first = (starts[piece]! - window.from) * scale;
      const last = (ends[piece]! - window.from) * scale;
      const newBlock = piece === 0 || block[piece - 1] !== block[piece];
      const name = patternOf(layout, piece);
      if (name && last - first >= patternPixels) this.fill(this.patterns.get(name), segments(first, last, frame), rowHeight, barHeight);
      if (first >= 0) this.border(segments(first, first + (newBlock ? 2 : 1), frame), rowHeight, barHeight, newBlock);
      piece += 1;
    }
    if (chosen < 0 || chosen >= count || ends[chosen]! <= window.from || starts[chosen]! >= end) return;
    const first = (starts[chosen]! - window.from) * scale;
    this.outline(segments(first, Math.max((ends[chosen]! - window.from) * scale, first + 3), frame), rowHeight, barHeight);
  }

  private fill(pattern: CanvasPattern | undefined, over: {row: number; x: number; width: number}[], rowHeight: number, barHeight: number): void {
    if (!pattern) return;
    this.context.fillStyle = pattern;
    for (const {row, x, width} of over) this.context.fillRect(x, row * rowHeight, width, barHeight);
  }

  private border(over: {row: number; x: number; width: number}[], rowHeight: number, barHeight: number, block: boolean): void {
    this.context.fillStyle = block ? this.inks.ink : this.inks.paper;
    for (const {row, x, width} of over.slice(0, 1)) this.context.fillRect(Math.round(x), row * rowHeight, width, barHeight);
  }

  private outline(over: {row: number; x: number; width: number}[], rowHeight: number, barHeight: number): void {
    for (const {row, x, width} of over) {
      this.context.lineWidth = 3;
      this.context.strokeStyle = this.inks.paper;
      this.context.strokeRect(x - 1, row * rowHeight + 1, width + 2, barHeight - 2);
      this.context.lineWidth = 1.5;
      this.context.strokeStyle = this.inks.ink;
      this.context.strokeRect(x - 2, row * rowHeight, width + 4, barHeight);
    }
  }
}

function patternOf(layout: Layout, piece: number): string | null {
  const kind = layout.kind[piece];
  if (kind === kindOf.hole) return "hole";
  if (kind === kindOf.reserved) return "reserved";
  if (kind === kindOf.hidden) return "hidden";
  const allocation = layout.allocations[layout.allocation[piece]!];
  if (!allocation) return null;
  if (allocation.status === "zombie") return "zombie";
  if (allocation.isPinned) return "pinned";
  return allocation.leaseSeconds !== undefined ? "leased" : null;
}
