// Server-sent events out of pieces of text. EventSource cannot send a token and cannot be told where to begin again, so the page reads the stream itself.

export interface Frame {
  id: string | null;
  event: string;
  data: string;
}

/// Collects pieces until a blank line ends a frame. A frame without data only moves the place on.
export class FrameReader {
  private rest = "";

  push(piece: string): Frame[] {
    this.rest += piece;
    const found: Frame[] = [];
    for (let end = this.rest.indexOf("\n\n"); end >= 0; end = this.rest.indexOf("\n\n")) {
      found.push(frameOf(this.rest.slice(0, end)));
      this.rest = this.rest.slice(end + 2);
    }
    return found;
  }
}

function frameOf(text: string): Frame {
  const frame: Frame = {id: null, event: "message", data: ""};
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const name = line.slice(0, colon);
    if (name === "id") frame.id = value;
    else if (name === "event") frame.event = value;
    else if (name === "data") frame.data += (frame.data ? "\n" : "") + value;
  }
  return frame;
}
