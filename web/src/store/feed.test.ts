import {expect, test} from "vitest";
import type {LedgerEvent} from "../api/types";
import {Feed, type FeedState} from "./feed";

type Answer = (headers: Record<string, string>, path: string) => Response | Promise<Response>;

/// A feed whose connections are answered in turn; when the answers are at an end, so is the feed.
async function follow(answers: Answer[], from = 1) {
  const told = {asked: [] as string[], states: [] as FeedState[], events: [] as number[], gaps: [] as number[], waits: [] as number[], codes: [] as string[]};
  const feed: Feed = new Feed({
    open: async (path, headers) => {
      told.asked.push(`${path}${headers["Last-Event-ID"] ? ` after ${headers["Last-Event-ID"]}` : ""}`);
      const answer = answers.shift();
      if (!answers.length) feed.stop();
      if (!answer) throw new TypeError("no answer");
      return answer(headers, path);
    },
    wait: async (ms) => void told.waits.push(ms),
    state: (state, problem) => {
      told.states.push(state);
      if (problem) told.codes.push(problem.code);
    },
    heard: () => undefined,
    event: (event: LedgerEvent) => void told.events.push(event.sequence),
    gap: (oldest) => void told.gaps.push(oldest),
  }, from);
  await feed.run();
  return told;
}

const events = (...numbers: number[]): Answer => () => new Response(numbers.map((n) => `id: ${n}\nevent: allocationReady\ndata: {"sequence":${n},"type":"allocationReady","at":""}\n\n`).join(""));
const refused = (status: number, code: string, limit?: number): Answer => () => new Response(JSON.stringify({type: "", title: "", status, detail: "", code, remedy: "", limit}), {status});
const unreachable: Answer = () => Promise.reject(new TypeError("refused"));
const end = unreachable;

test("a stream that breaks is taken up after the last number that was seen", async () => {
  const told = await follow([events(1, 2, 3), unreachable, events(4, 5), end]);
  expect(told.asked).toEqual(["/api/events?from=1", "/api/events after 3", "/api/events after 3", "/api/events after 5"]);
  expect(told.events).toEqual([1, 2, 3, 4, 5]);
  expect(told.states.slice(0, 3)).toEqual(["live", "connecting", "connecting"]);
});

test("what is told twice is passed on once", async () => {
  expect((await follow([events(1, 2), events(2, 3), end])).events).toEqual([1, 2, 3]);
});

test("a bare number moves the place on without an event", async () => {
  const told = await follow([() => new Response("id: 7\n\n"), end]);
  expect(told.asked[1]).toBe("/api/events after 7");
  expect(told.events).toEqual([]);
});

test("while the daemon is away the pauses grow to four seconds, and are short again after it answered", async () => {
  const told = await follow([unreachable, unreachable, unreachable, unreachable, unreachable, unreachable, events(1), end]);
  expect(told.waits).toEqual([500, 1000, 2000, 4000, 4000, 4000, 250]);
});

test("where history is gone the feed goes on from the oldest there is, and says that there is a gap", async () => {
  const told = await follow([events(5), refused(410, "history-gone", 90), events(90), end]);
  expect(told.asked.slice(2)).toEqual(["/api/events?from=90", "/api/events after 90"]);
  expect(told.gaps).toEqual([90]);
});

test("a number from a ledger that was begun anew starts the feed anew", async () => {
  const told = await follow([events(500), refused(400, "invalid-field"), events(1, 2), end]);
  expect(told.asked.slice(2, 3)).toEqual(["/api/events?from=0"]);
  expect(told.events).toEqual([500, 1, 2]);
});

test("a refusal is told with its problem, and asked again", async () => {
  const told = await follow([refused(403, "forbidden"), events(1), end]);
  expect(told.codes).toEqual(["forbidden"]);
  expect(told.states.slice(0, 2)).toEqual(["refused", "live"]);
});

test("a stream that ends with a problem in its midst is a refusal too", async () => {
  const told = await follow([() => new Response('id: 3\ndata: {"sequence":3}\n\nevent: problem\ndata: {"code":"history-gone","limit":40}\n\n'), events(40), end]);
  expect(told.gaps).toEqual([40]);
  expect(told.asked[1]).toBe("/api/events?from=40");
});
