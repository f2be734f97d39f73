// What the API says in codes, as sentences.
import type {Allocation, DevicePressure, DeviceStatus, LedgerEvent, Operation} from "../api/types";
import {bytes, count, percent, rate, seconds} from "./amounts";

const causes: Record<string, string> = {
  thisService: "what vramd holds for its users",
  otherProcesses: "other programs on this machine",
  system: "the system, whose tasks wait for memory",
};
const parts: Record<string, string> = {
  room: "of what vramd may hand out on this device is taken",
  machine: "of the whole machine's memory is in use",
  group: "of this service's control group limit is in use",
  stall: "is how much tasks of the machine wait for memory",
};

/// "7.0 %: … is taken. Cause: what vramd holds for its users."
export function pressureCause(pressure: DevicePressure): string {
  const part = pressure.parts.find((each) => each.part === pressure.decisivePart);
  const figures = part && part.wholeBytes > 0 ? ` (${bytes(part.usedBytes)} of ${bytes(part.wholeBytes)})` : "";
  return `${percent(pressure.level)} ${parts[pressure.decisivePart] ?? ""}${figures}. Cause: ${causes[pressure.cause] ?? pressure.cause}.`;
}

export function pressureTrend(pressure: DevicePressure): string {
  const trend = pressure.trend;
  if (!trend || trend.direction === "steady") return "Steady.";
  const speed = `${trend.direction === "rising" ? "Rising by" : "Falling by"} ${rate(trend.bytesPerSecond)}`;
  if (trend.direction === "rising" && pressure.timeToCriticalSeconds !== undefined) return `${speed}; critical in ${seconds(pressure.timeToCriticalSeconds)} if it goes on so.`;
  return `${speed}.`;
}

export interface BarPart {
  name: "models" | "allocations" | "zombie" | "others" | "reserved" | "free";
  label: string;
  bytes: number;
  means: string;
}

/// The device's capacity in parts that sum to it, as the books of the daemon have them.
export function barParts(status: DeviceStatus): BarPart[] {
  const modelBytes = Math.min(status.liveBytes, (status.usage?.byModel ?? []).reduce((sum, row) => sum + row.bytes, 0));
  const taken = Math.max(0, status.freeBytes - status.availableBytes);
  const known = status.liveBytes + status.zombieBytes + status.reservedBytes + taken;
  return [
    {name: "models", label: "Models", bytes: modelBytes, means: "bytes of loaded and cached models"},
    {name: "allocations", label: "Allocations", bytes: status.liveBytes - modelBytes, means: "memory that programs asked for"},
    {name: "zombie", label: "Zombie", bytes: status.zombieBytes, means: "freed, but a program still has it mapped"},
    {name: "others", label: "Other programs", bytes: taken, means: "taken by other programs out of what vramd could have given"},
    {name: "free", label: "Free", bytes: Math.max(0, status.totalBytes - known), means: "can be had now without evicting anything"},
    {name: "reserved", label: "Reserved", bytes: status.reservedBytes, means: "kept back by a limit or a reserve"},
  ];
}

export function operationStage(operation: Operation): string {
  const stages: Record<string, string> = {
    inspect: "reading the file's header", reserve: "waiting for room", load: "copying the bytes", done: "done",
    defragment: "moving allocations", compact: "compacting", garbageCollect: "giving back empty blocks", cache: "evicting models", preload: "loading ahead",
  };
  return stages[operation.stage] ?? operation.stage;
}

export function operationTitle(operation: Operation): string {
  if (operation.kind === "loadModel") return `Load ${operation.model}`;
  return operation.kind === "defragment" ? "Defragment" : "Optimize";
}

/// "allocationReady" as "allocation ready".
export function spaced(name: string): string {
  return name.replace(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`);
}

/// What an event is about, without its number, time and kind.
export function eventDetail(event: LedgerEvent): string {
  const words: string[] = [];
  if (event.name) words.push(event.name);
  if (event.path && event.path !== event.name) words.push(event.path);
  if (event.purpose) words.push(`for ${event.purpose}`);
  const size = event.grantedBytes ?? event.sizeBytes ?? event.bytes ?? event.capacityBytes;
  if (size !== undefined) words.push(bytes(size));
  if (event.fromDeviceId) words.push(`from ${event.fromDeviceId}`);
  if (event.from && event.to) words.push(`pressure ${event.from} to ${event.to}`);
  if (event.state) words.push(event.state);
  if (event.reason) words.push(`reason: ${event.reason}`);
  if (event.detail) words.push(event.detail);
  const id = event.transferId ?? event.operationId ?? event.allocationId ?? event.modelId ?? event.blockId ?? event.sessionId;
  if (id) words.push(id);
  return words.join(" · ");
}

/// States of an allocation that its picture marks by pattern, in words.
export function allocationMarks(allocation: Allocation): string[] {
  const marks: string[] = [];
  if (allocation.status === "zombie") marks.push("zombie: freed, still mapped by a program");
  if (allocation.status === "pending") marks.push("pending: being made ready");
  if (allocation.isPinned) marks.push("pinned: never moved");
  if (allocation.leaseSeconds !== undefined) marks.push(`leased: ends ${seconds(allocation.leaseSeconds)} after its last use`);
  if (allocation.attachedClients > 0) marks.push(`held by ${count(allocation.attachedClients, "client")}`);
  return marks;
}
