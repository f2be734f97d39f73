// The line of pixels of a window. A pixel's colour is the mean of the bytes below it, weighted by how many: what is thinner than a pixel is summed, never left out.
// Few pieces are drawn one by one. Many are never looked at one by one: sums of colour from the first byte on give any pixel's mean from two places, so that a frame costs
// what its pixels cost, however many allocations lie below them.
import {pieceAt, type Layout} from "./layout";
import {bytesPerPixel, type Frame, type Window} from "./view";

/// A colour as the canvas keeps it in memory on little-endian machines: 0xAABBGGRR.
export function packed(red: number, green: number, blue: number): number {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/// Colour × bytes of all pieces before each piece.
interface Sums {
  colours: Uint32Array;
  red: Float64Array;
  green: Float64Array;
  blue: Float64Array;
}

export class Strip {
  private red = new Float32Array(0);
  private green = new Float32Array(0);
  private blue = new Float32Array(0);
  private weight = new Float32Array(0);
  private sums: Sums | null = null;

  /// Fills `out` (width × rows pixels) with the window of the layout; `colours` has one colour a piece, and is made anew when the layout or a colour changes. What lies beyond
  /// the device keeps `outside`.
  paint(layout: Layout, window: Window, frame: Frame, colours: Uint32Array, out: Uint32Array, outside: number): void {
    const length = frame.width * frame.rows;
    out.fill(outside, 0, length);
    const first = Math.max(0, pieceAt(layout, window.from));
    const last = pieceAt(layout, window.from + window.span);
    if ((last < 0 ? layout.count : last) - first > length / 2) this.paintMany(layout, window, frame, colours, out, first);
    else this.paintFew(layout, window, frame, colours, out, first);
  }

  private paintMany(layout: Layout, window: Window, frame: Frame, colours: Uint32Array, out: Uint32Array, first: number): void {
    const {red, green, blue} = this.sumsOf(layout, colours);
    const {starts, ends, count} = layout;
    const perPixel = bytesPerPixel(window, frame);
    const length = frame.width * frame.rows;
    const whole = count > 0 ? ends[count - 1]! : 0;
    let piece = first;
    let redBefore = 0;
    let greenBefore = 0;
    let blueBefore = 0;
    for (let pixel = 0; pixel <= length; pixel += 1) {
      const byte = window.from + pixel * perPixel;
      const within = Math.min(byte, whole);
      // The next border is seldom far: steps that double find a piece beyond it, then halves find the piece.
      let step = 1;
      let low = piece;
      while (piece + step < count && ends[piece + step]! <= within) {
        low = piece + step;
        step *= 2;
      }
      let high = Math.min(count - 1, piece + step);
      while (low < high) {
        const middle = (low + high) >> 1;
        if (ends[middle]! <= within) low = middle + 1;
        else high = middle;
      }
      piece = low;
      const colour = colours[piece]!;
      const part = within - starts[piece]!;
      const redHere = red[piece]! + (colour & 255) * part;
      const greenHere = green[piece]! + ((colour >> 8) & 255) * part;
      const blueHere = blue[piece]! + ((colour >> 16) & 255) * part;
      const covered = within - (byte - perPixel);
      if (pixel > 0 && covered > perPixel * 0.0001) out[pixel - 1] = packed((redHere - redBefore) / covered, (greenHere - greenBefore) / covered, (blueHere - blueBefore) / covered);
      redBefore = redHere;
      greenBefore = greenHere;
      blueBefore = blueHere;
    }
  }

  private sumsOf(layout: Layout, colours: Uint32Array): Sums {
    if (this.sums?.colours === colours) return this.sums;
    const {starts, ends, count} = layout;
    const sums: Sums = {colours, red: new Float64Array(count + 1), green: new Float64Array(count + 1), blue: new Float64Array(count + 1)};
    for (let piece = 0; piece < count; piece += 1) {
      const bytes = ends[piece]! - starts[piece]!;
      const colour = colours[piece]!;
      sums.red[piece + 1] = sums.red[piece]! + (colour & 255) * bytes;
      sums.green[piece + 1] = sums.green[piece]! + ((colour >> 8) & 255) * bytes;
      sums.blue[piece + 1] = sums.blue[piece]! + ((colour >> 16) & 255) * bytes;
    }
    this.sums = sums;
    return sums;
  }

  private paintFew(layout: Layout, window: Window, frame: Frame, colours: Uint32Array, out: Uint32Array, from: number): void {
    const length = frame.width * frame.rows;
    if (this.weight.length < length) {
      this.red = new Float32Array(length);
      this.green = new Float32Array(length);
      this.blue = new Float32Array(length);
      this.weight = new Float32Array(length);
    }
    for (const sums of [this.red, this.green, this.blue, this.weight]) sums.fill(0, 0, length);
    const scale = 1 / bytesPerPixel(window, frame);
    const end = window.from + window.span;
    const {starts, ends, count} = layout;
    for (let piece = from; piece < count && starts[piece]! < end; piece += 1) {
      const first = Math.max(0, (starts[piece]! - window.from) * scale);
      const last = Math.min(length, (ends[piece]! - window.from) * scale);
      const colour = colours[piece]!;
      const firstPixel = Math.floor(first);
      const lastPixel = Math.floor(last);
      if (firstPixel === lastPixel) {
        this.mix(firstPixel, colour, last - first);
        continue;
      }
      if (first > firstPixel) this.mix(firstPixel, colour, firstPixel + 1 - first);
      const whole = first > firstPixel ? firstPixel + 1 : firstPixel;
      if (lastPixel > whole) out.fill(colour, whole, lastPixel);
      if (last > lastPixel) this.mix(lastPixel, colour, last - lastPixel);
    }
    for (let pixel = 0; pixel < length; pixel += 1) {
      const weight = this.weight[pixel]!;
      if (weight > 0.0001) out[pixel] = packed(this.red[pixel]! / weight, this.green[pixel]! / weight, this.blue[pixel]! / weight);
    }
  }

  private mix(pixel: number, colour: number, share: number): void {
    if (pixel >= this.weight.length) return;
    this.red[pixel]! += (colour & 255) * share;
    this.green[pixel]! += ((colour >> 8) & 255) * share;
    this.blue[pixel]! += ((colour >> 16) & 255) * share;
    this.weight[pixel]! += share;
  }
}
