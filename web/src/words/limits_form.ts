// The limits editor's fields as the request that they mean, and a device's present limits as the request that brings them back.
import type {Limits, LimitsRequest} from "../api/types";
import {bytes, parseBytes} from "./amounts";

export interface QuotaField {
  owner: string;
  size: string;
}

export interface LimitsForm {
  maxPercentage: number;
  reserve: string;
  emergency: number;
  quotas: QuotaField[];
  enforce: boolean;
}

/// A size as one would type it, exactly: in the largest unit that divides it.
export function typedBytes(amount: number): string {
  for (const [unit, scale] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]] as const) if (amount > 0 && amount % scale === 0) return `${amount / scale}${unit}`;
  return String(amount);
}

export function formOf(limits: Limits): LimitsForm {
  return {
    maxPercentage: limits.maxPercentage, reserve: typedBytes(limits.reserveBytes), emergency: limits.emergencyThresholdPercentage,
    quotas: limits.ownerQuotas.filter((each) => each.quotaBytes !== undefined).map((each) => ({owner: each.owner, size: typedBytes(each.quotaBytes ?? 0)})), enforce: false,
  };
}

/// The request, or what is wrong with a field in a sentence.
export function requestOf(form: LimitsForm): LimitsRequest | string {
  const reserveBytes = parseBytes(form.reserve);
  if (reserveBytes === null) return `The reserve "${form.reserve}" is no size. Write 512MiB, 2GiB or 0.`;
  const ownerQuotas: Record<string, number> = {};
  for (const {owner, size} of form.quotas) {
    if (!owner.trim()) return "A quota needs the name of its owner.";
    const quota = parseBytes(size);
    if (quota === null) return `The quota of ${owner}, "${size}", is no size. Write 512MiB, 2GiB or 0.`;
    if (owner.trim() in ownerQuotas) return `${owner.trim()} has two quotas; one can hold.`;
    ownerQuotas[owner.trim()] = quota;
  }
  const request: LimitsRequest = {maxPercentage: form.maxPercentage, reserveBytes, emergencyThresholdPercentage: form.emergency, ownerQuotas};
  if (form.enforce) request.enforceImmediately = true;
  return request;
}

/// What sets the limits as they are now, for undoing a change.
export function restoring(limits: Limits): LimitsRequest {
  const request: LimitsRequest = {
    reserveBytes: limits.reserveBytes, emergencyThresholdPercentage: limits.emergencyThresholdPercentage,
    ownerQuotas: Object.fromEntries(limits.ownerQuotas.filter((each) => each.quotaBytes !== undefined).map((each) => [each.owner, each.quotaBytes ?? 0])),
  };
  if (limits.maxGivenAs === "bytes") request.maxBytes = limits.maxBytes;
  else request.maxPercentage = limits.maxPercentage;
  return request;
}

/// What a change leads to, a sentence each, as the daemon's dry run tells it.
export function impactSentences(changed: {impact: import("../api/types").ChangedLimits["impact"]; usableBytes: number}, enforce: boolean): string[] {
  const {impact} = changed;
  const lines = [`${bytes(changed.usableBytes)} can be handed out in all; ${bytes(impact.availableBytesAfter)} would be available (${bytes(impact.availableBytesBefore)} now).`];
  if (impact.overBytes > 0) lines.push(`Blocks hold ${bytes(impact.overBytes)} more than that already.`);
  if (impact.reclaimableBlocks > 0) lines.push(`${impact.reclaimableBlocks} empty blocks ${enforce ? "go at once" : "would go if enforced"}.`);
  if (impact.models.length > 0) lines.push(`${enforce ? "These models go at once" : "These models would go if enforced"}, in this order: ${impact.models.join(", ")}.`);
  if (impact.remainsOverBytes > 0) lines.push(`${bytes(impact.remainsOverBytes)} of that are blocks in use: they stay until what lies in them is freed, and nothing new is given out before.`);
  for (const owner of impact.ownersOverQuota) lines.push(`${owner.owner} holds ${bytes(owner.heldBytes)}, more than its quota of ${bytes(owner.quotaBytes ?? 0)}: it keeps them and gets no more.`);
  return lines;
}
