// Bytes, rates, times and ages in words: binary units with three figures, the same as vramctl prints.

/// Keeps a number and its unit on one line.
const joint = "\u00a0";
const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function bytes(amount: number): string {
  let value = amount;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  if (unit === 0) return `${amount}${joint}B`;
  const shown = value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
  return `${shown}${joint}${units[unit]}`;
}

/// All digits, grouped, for where the exact number counts.
export function exactBytes(amount: number): string {
  return `${amount.toLocaleString("en-US")} bytes`;
}

/// A sentence of the daemon with its large exact figures in units that can be read.
export function readable(sentence: string): string {
  return sentence.replace(/\b(\d{4,}) bytes\b/g, (_, digits: string) => bytes(Number(digits)));
}

export function rate(bytesPerSecond: number): string {
  return `${bytes(bytesPerSecond)}/s`;
}

export function percent(value: number): string {
  return `${value.toFixed(1)}${joint}%`;
}

export function count(value: number, one: string, many = `${one}s`): string {
  return `${value.toLocaleString("en-US")} ${value === 1 ? one : many}`;
}

export function duration(ms: number): string {
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 1000) return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
  return seconds(ms / 1000);
}

export function seconds(amount: number): string {
  if (amount < 60) return `${amount < 10 ? amount.toFixed(1).replace(/\.0$/, "") : Math.round(amount)} s`;
  if (amount < 3600) return `${Math.round(amount / 60)} min`;
  if (amount < 172800) return `${Math.floor(amount / 3600)} h ${Math.round((amount % 3600) / 60)} min`;
  return `${Math.floor(amount / 86400)} days`;
}

export function age(since: string, nowMs: number): string {
  const passed = Math.max(0, nowMs - Date.parse(since)) / 1000;
  return passed < 1 ? "now" : `${seconds(Math.floor(passed))} ago`;
}

export function clock(at: string): string {
  const time = new Date(at);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${String(time.getMilliseconds()).padStart(3, "0")}`;
}

const scales: Record<string, number> = {"": 1, b: 1, k: 1024, kib: 1024, m: 1024 ** 2, mib: 1024 ** 2, g: 1024 ** 3, gib: 1024 ** 3, t: 1024 ** 4, tib: 1024 ** 4};

/// `512MiB`, `2G`, `4096` as bytes; null for what is no size.
export function parseBytes(text: string): number | null {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  if (!match) return null;
  const scale = scales[(match[2] ?? "").toLowerCase()];
  if (scale === undefined) return null;
  const amount = Math.round(Number(match[1]) * scale);
  return Number.isSafeInteger(amount) ? amount : null;
}
