// What an allocation is coloured by. Colours only group: the legend names each group with its bytes, and a group can be picked out by its name.
import type {Allocation} from "../api/types";

export const colourings = ["owner", "purpose", "model", "age", "size"] as const;
export type Colouring = (typeof colourings)[number];

/// Told apart in light and dark, by people with the common colour deficiencies too (steps of lightness beside the hue).
export const palette: readonly [number, number, number][] = [
  [62, 124, 204], [224, 138, 60], [64, 160, 120], [150, 104, 206], [205, 88, 96], [60, 170, 186], [200, 164, 40], [206, 112, 168],
];
export const otherColour: readonly [number, number, number] = [128, 136, 148];

export interface Group {
  name: string;
  bytes: number;
  count: number;
  colour: readonly [number, number, number];
}

const ages: readonly [number, string][] = [[60, "under a minute"], [3600, "under an hour"], [86400, "under a day"], [604800, "under a week"], [Infinity, "a week or more"]];
const sizes: readonly [number, string][] = [[4096, "under 4 KiB"], [1 << 20, "4 KiB to 1 MiB"], [1 << 26, "1 to 64 MiB"], [1 << 30, "64 MiB to 1 GiB"], [Infinity, "1 GiB or more"]];

export function groupName(allocation: Allocation, by: Colouring, nowMs: number): string {
  switch (by) {
    case "owner": return allocation.owner || "nobody";
    case "purpose": return allocation.purpose || "no purpose given";
    case "model": return allocation.model ?? "no model";
    case "age": return ages.find(([limit]) => (nowMs - Date.parse(allocation.createdAt)) / 1000 < limit)![1];
    case "size": return sizes.find(([limit]) => allocation.grantedBytes < limit)![1];
  }
}

/// The groups, largest first (ages and sizes in their own order); from the ninth on they share one colour.
export function groupsOf(allocations: Allocation[], by: Colouring, nowMs: number): Map<string, Group> {
  const found = new Map<string, Group>();
  for (const allocation of allocations) {
    const name = groupName(allocation, by, nowMs);
    const group = found.get(name);
    if (group) {
      group.bytes += allocation.grantedBytes;
      group.count += 1;
    } else found.set(name, {name, bytes: allocation.grantedBytes, count: 1, colour: otherColour});
  }
  const ordered = by === "age" || by === "size" ? (by === "age" ? ages : sizes).map(([, name]) => found.get(name)).filter((group) => group !== undefined)
    : [...found.values()].sort((one, other) => other.bytes - one.bytes || one.name.localeCompare(other.name));
  ordered.forEach((group, index) => (group.colour = palette[index] ?? otherColour));
  return new Map(ordered.map((group) => [group.name, group]));
}

/// True if the words, all of them, are in what is known of the allocation.
export function matches(allocation: Allocation, words: string): boolean {
  const text = `${allocation.id} ${allocation.owner} ${allocation.purpose} ${allocation.model ?? ""} ${allocation.blockId} ${allocation.allocationType} ${allocation.status}${allocation.isPinned ? " pinned" : ""}${allocation.leaseSeconds !== undefined ? " leased" : ""}`.toLowerCase();
  return words.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}
