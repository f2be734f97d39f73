// Which bytes are in sight, and where on the canvas. The window is one line of pixels, folded into rows like text: zooming shows fewer bytes on the same line.

export interface Window {
  from: number;
  span: number;
}

export interface Frame {
  width: number;
  rows: number;
}

/// At the closest zoom a pixel is one byte.
export function clampWindow(window: Window, totalBytes: number, frame: Frame): Window {
  const least = Math.min(totalBytes, frame.width * frame.rows);
  const span = Math.min(totalBytes, Math.max(least, window.span));
  const from = Math.min(totalBytes - span, Math.max(0, window.from));
  return {from, span};
}

export function bytesPerPixel(window: Window, frame: Frame): number {
  return window.span / (frame.width * frame.rows);
}

export function byteAt(window: Window, frame: Frame, x: number, row: number): number {
  const column = Math.min(frame.width - 1, Math.max(0, x));
  const line = Math.min(frame.rows - 1, Math.max(0, row));
  return window.from + (line * frame.width + column) * bytesPerPixel(window, frame);
}

/// Closer (factor below 1) or wider around a byte, which stays where it is on the canvas.
export function zoomAt(window: Window, byte: number, factor: number, totalBytes: number, frame: Frame): Window {
  const wanted = clampWindow({from: 0, span: window.span * factor}, totalBytes, frame).span;
  const share = window.span > 0 ? (byte - window.from) / window.span : 0;
  return clampWindow({from: byte - share * wanted, span: wanted}, totalBytes, frame);
}

/// The window moved as little as shows the bytes from start to end, with some room around them.
export function reveal(window: Window, start: number, end: number, totalBytes: number, frame: Frame): Window {
  if (start >= window.from && end <= window.from + window.span) return window;
  const span = Math.max(window.span, (end - start) * 1.5);
  return clampWindow({from: (start + end) / 2 - span / 2, span}, totalBytes, frame);
}

export interface Segment {
  row: number;
  x: number;
  width: number;
}

/// The rectangles, one a row, of the line from pixel `first` to pixel `last`, fractions included.
export function segments(first: number, last: number, frame: Frame): Segment[] {
  const found: Segment[] = [];
  const end = Math.min(last, frame.width * frame.rows);
  for (let at = Math.max(0, first); at < end; ) {
    const row = Math.floor(at / frame.width);
    const stop = Math.min(end, (row + 1) * frame.width);
    found.push({row, x: at - row * frame.width, width: stop - at});
    at = stop;
  }
  return found;
}
