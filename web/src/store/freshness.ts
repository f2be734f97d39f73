// Whether what is on the page is of now. Numbers that may be old are never shown as if they were not.
import type {FeedState} from "./feed";

export interface Freshness {
  stale: boolean;
  /// Whole seconds since the daemon was last heard of.
  ageSeconds: number;
}

/// The page asks once a second; three unanswered questions and the numbers count as old.
export const staleAfterMs = 3500;

export function freshness(feed: FeedState, lastAnswerMs: number, nowMs: number): Freshness {
  const ageMs = lastAnswerMs > 0 ? Math.max(0, nowMs - lastAnswerMs) : 0;
  const unheard = lastAnswerMs === 0 || ageMs > staleAfterMs;
  // A stream that is opened again at once, with answers all the while, is no reason to grey anything.
  return {stale: unheard || (feed !== "live" && ageMs > 1000), ageSeconds: Math.floor(ageMs / 1000)};
}
