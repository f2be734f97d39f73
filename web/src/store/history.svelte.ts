// The ledger's events that changed the layout, read when somebody looks back.
import {authorization, problemOf} from "../api/client";
import {FrameReader} from "../api/event_frames";
import type {LedgerEvent, Problem} from "../api/types";
import {layoutTypes, Past} from "./past";

const most = 200_000;

class History {
  past = $state.raw<Past | null>(null);
  problem = $state.raw<Problem | null>(null);
  reading = $state(false);
  /// There were more events than the page takes.
  cut = $state(false);

  async read(): Promise<void> {
    if (this.reading) return;
    this.reading = true;
    this.problem = null;
    const events: LedgerEvent[] = [];
    try {
      const response = await fetch(`/api/events?from=0&follow=false&type=${layoutTypes.join(",")}`, {headers: {Accept: "text/event-stream", ...authorization()}});
      if (!response.ok || !response.body) {
        this.problem = await problemOf(response);
        return;
      }
      const reader = response.body.getReader();
      const decoder = new TextDecoder();
      const frames = new FrameReader();
      for (let piece = await reader.read(); !piece.done && events.length < most; piece = await reader.read()) {
        for (const frame of frames.push(decoder.decode(piece.value, {stream: true}))) if (frame.data && frame.event !== "problem") events.push(JSON.parse(frame.data) as LedgerEvent);
      }
      this.cut = events.length >= most;
      if (this.cut) void reader.cancel();
    } catch {
      // Cut off: what came is a history too, and shorter.
    } finally {
      this.reading = false;
    }
    this.past = new Past(events);
  }
}

export const history = new History();
