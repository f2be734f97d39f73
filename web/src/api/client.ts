// One request to the daemon: the answer as a value, a failure as the problem that the daemon told, never an exception.
import type {Problem} from "./types";

/// A request as the page shows it beside its button, and as it is sent.
export interface Call {
  method: "GET" | "POST" | "PUT" | "DELETE";
  path: string;
  body?: unknown;
}

export type Outcome<T> = {ok: true; value: T; status: number; etag: string | null} | {ok: false; problem: Problem};

export interface SendOptions {
  ifMatch?: string;
  /// After so long an unanswered request counts as lost; 0: it may take as long as it takes.
  timeoutMs?: number;
}

const tokenKey = "vramd.token";
const readTimeoutMs = 5000;

/// The bearer token that this tab acts with. It is kept for the tab's life only, so that a shared computer forgets it.
export function token(): string {
  return sessionStorage.getItem(tokenKey) ?? "";
}

export function setToken(text: string): void {
  if (text) sessionStorage.setItem(tokenKey, text);
  else sessionStorage.removeItem(tokenKey);
}

export function authorization(): Record<string, string> {
  const text = token();
  return text ? {Authorization: `Bearer ${text}`} : {};
}

/// What the page says itself when no problem document came: the daemon is away, or something between answered in its place.
export function ownProblem(code: string, title: string, detail: string, remedy: string): Problem {
  return {type: `/problems/${code}`, title, status: 0, detail, code, remedy};
}

export async function problemOf(response: Response): Promise<Problem> {
  try {
    const told = (await response.json()) as Problem;
    if (told.code) return told;
  } catch {
    // Not JSON: whoever answered was not the daemon.
  }
  return ownProblem("unexpected-answer", "The answer was not the daemon's", `The server answered ${response.status} without a problem document.`,
    "Look whether a proxy stands between this page and the daemon.");
}

export async function send<T>(call: Call, options: SendOptions = {}): Promise<Outcome<T>> {
  const headers: Record<string, string> = {Accept: "application/json", ...authorization()};
  if (call.body !== undefined) headers["Content-Type"] = "application/json";
  if (options.ifMatch) headers["If-Match"] = options.ifMatch;
  const timeoutMs = options.timeoutMs ?? (call.method === "GET" ? readTimeoutMs : 0);
  const request: RequestInit = {method: call.method, headers, cache: "no-store"};
  if (call.body !== undefined) request.body = JSON.stringify(call.body);
  if (timeoutMs > 0) request.signal = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(call.path, request);
    if (!response.ok) return {ok: false, problem: await problemOf(response)};
    const value = (response.status === 204 ? undefined : await response.json()) as T;
    return {ok: true, value, status: response.status, etag: response.headers.get("ETag")};
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    const detail = late ? `${call.method} ${call.path} was not answered within ${timeoutMs / 1000} s.` : `${call.method} ${call.path} could not be sent or was cut off.`;
    return {ok: false, problem: ownProblem("unreachable", "The daemon did not answer", detail, "Look whether vramd runs (systemctl status vramd); this page goes on by itself when it does.")};
  }
}

export function get<T>(path: string): Promise<Outcome<T>> {
  return send<T>({method: "GET", path});
}

/// All pages of a list, at most `most` items; `soFar` hears how many there are after each. Stops at the first problem.
export async function getAll<T>(path: string, most: number, soFar: (count: number) => void = () => undefined): Promise<Outcome<T[]>> {
  const items: T[] = [];
  let cursor: string | null = null;
  do {
    const join = path.includes("?") ? "&" : "?";
    const page: Outcome<{items: T[]; nextCursor: string | null}> = await get(`${path}${join}limit=1000${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    if (!page.ok) return page;
    for (const item of page.value.items) items.push(item);
    soFar(items.length);
    cursor = page.value.nextCursor ?? null;
  } while (cursor && items.length < most);
  return {ok: true, value: items, status: 200, etag: null};
}

/// The call as a line that runs in a terminal.
export function curl(call: Call): string {
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const words = ["curl"];
  if (call.method !== "GET") words.push("-X", call.method);
  if (token()) words.push("-H", '"Authorization: Bearer $VRAMD_TOKEN"');
  if (call.body !== undefined) words.push("-H", quoted("Content-Type: application/json"), "-d", quoted(JSON.stringify(call.body)));
  words.push(quoted(location.origin + call.path));
  return words.join(" ");
}
