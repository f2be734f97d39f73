// Whether a model fits, by the figures that the device's status has. The daemon decides; this says beforehand what it is likely to say, and why.
import type {DeviceStatus} from "../api/types";
import {bytes} from "./amounts";

export interface Fit {
  answer: "yes" | "evicts" | "no";
  title: string;
  why: string;
}

export function wouldFit(neededBytes: number, status: DeviceStatus): Fit {
  const largest = status.fragmentation?.largestFreeBytes ?? status.availableBytes;
  const figures = `It needs ${bytes(neededBytes)}; ${status.deviceId} has ${bytes(status.availableBytes)} available, the largest hole is ${bytes(largest)}.`;
  if (neededBytes <= Math.min(largest, status.availableBytes)) return {answer: "yes", title: "Fits.", why: figures};
  if (neededBytes <= status.availableBytes + status.reclaimableBytes) {
    return {answer: "evicts", title: "Fits if something makes room.", why: `${figures} Models that nobody uses hold ${bytes(status.reclaimableBytes)} more; the daemon evicts of them what it needs.`};
  }
  const missing = neededBytes - status.availableBytes - status.reclaimableBytes;
  return {answer: "no", title: "Does not fit.", why: `${figures} ${bytes(missing)} are missing even without any unused model.`};
}
