import {expect, test} from "vitest";
import type {Limits} from "../api/types";
import {formOf, requestOf, restoring, typedBytes} from "./limits_form";

const limits = (more: Partial<Limits>) => ({deviceId: "a", revision: 3, totalBytes: 1 << 28, maxBytes: 1 << 27, maxPercentage: 50, maxGivenAs: "bytes", reserveBytes: 1536, emergencyThresholdPercentage: 80,
  ownerQuotas: [{owner: "ada", quotaBytes: 1 << 20, heldBytes: 5}], ...more}) as Limits;

test("what is undone is set exactly as it was, in the form in which it was given", () => {
  expect(restoring(limits({}))).toEqual({maxBytes: 1 << 27, reserveBytes: 1536, emergencyThresholdPercentage: 80, ownerQuotas: {ada: 1 << 20}});
  expect(restoring(limits({maxGivenAs: "percentage"}))).toMatchObject({maxPercentage: 50});
});

test("a form that nobody touched asks for what holds already", () => {
  expect(requestOf(formOf(limits({})))).toEqual({maxPercentage: 50, reserveBytes: 1536, emergencyThresholdPercentage: 80, ownerQuotas: {ada: 1 << 20}});
  expect([0, 1536, 1 << 20, 5 * 2 ** 30].map(typedBytes)).toEqual(["0", "1536", "1MiB", "5GiB"]);
});

test("a field that is no size is told in words and nothing is sent", () => {
  const form = formOf(limits({}));
  expect(requestOf({...form, reserve: "much"})).toMatch(/reserve "much" is no size/);
  expect(requestOf({...form, quotas: [{owner: " ", size: "1MiB"}]})).toMatch(/needs the name/);
  expect(requestOf({...form, quotas: [{owner: "ada", size: "1MiB"}, {owner: "ada", size: "2MiB"}]})).toMatch(/two quotas/);
});
