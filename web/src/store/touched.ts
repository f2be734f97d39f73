// Which readings an event makes old. What a view does not show is not read again; what no event tells of (pressure, other programs) is asked once a second.

export type Resource = "status" | "pressure" | "system" | "devices" | "models" | "available" | "operations" | "transfers" | "limits" | "advice" | "analytics";

/// Asked on every beat, for they change without an event.
export const beating: readonly Resource[] = ["status", "pressure"];

const byPrefix: readonly [string, readonly Resource[]][] = [
  ["device", ["devices", "status", "pressure"]],
  ["block", ["status"]],
  ["allocation", ["status", "analytics", "limits"]],
  ["move", ["status"]],
  ["model", ["models", "available", "status"]],
  ["cache", ["models"]],
  ["hold", ["models", "status"]],
  ["session", ["system"]],
  ["operation", ["operations", "system", "models"]],
  ["upkeep", ["operations"]],
  ["transfer", ["transfers", "status"]],
  ["limits", ["limits", "status", "pressure"]],
  ["pressure", ["pressure", "advice"]],
];

/// Kinds of event that change nothing that the page shows.
const silent = new Set(["keyUsed", "allocationAccessed", "leaseRenewed", "blockDirtied"]);

export function touchedBy(type: string): readonly Resource[] {
  if (silent.has(type)) return [];
  return byPrefix.find(([prefix]) => type.startsWith(prefix))?.[1] ?? [];
}
