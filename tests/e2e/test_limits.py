#!/usr/bin/env python3
"""Limits and quotas of a real daemon, who waits, and each suggestion of a refusal followed to its end."""
import os
import re
import threading
import time
import unittest

from daemon import ROOT, Daemon

MIB = 1 << 20
ALLOCATE = "/api/memory/allocations/allocate"
LIMITS = "/api/memory/limits/{}"
SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
MODEL = "silero_vad.onnx"


class Limits(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon(devices=["host:a=64MiB", "host:b=16MiB"], model_dirs=[SAMPLES]).__enter__()
        self.admin = self.daemon.client("unix")

    def tearDown(self):
        self.assertTrue(self.daemon.get("/api/audit").ok()["ok"])
        self.admin.close()
        self.daemon.__exit__(None, None, None)

    def set(self, device="a", headers=None, **fields):
        return self.admin.request("PUT", LIMITS.format(device), fields, headers)

    def ask(self, mib, device="a", **fields):
        return self.daemon.post(ALLOCATE, {"sizeBytes": int(mib * MIB), "deviceId": device, **fields})

    def free(self, made):
        self.daemon.delete(f"/api/memory/allocations/{made['id']}").ok()

    def test_limits_are_read_set_by_admins_and_survive_the_core(self):
        before = self.daemon.get(LIMITS.format("a"))
        told = before.ok()
        self.assertEqual((told["maxBytes"], told["maxGivenAs"], told["reserveBytes"], told["ownerQuotas"]), (64 * MIB, "none", 0, []))
        self.assertEqual(self.daemon.get(LIMITS.format("a"), {"If-None-Match": before.headers["ETag"]}).status, 304)
        self.daemon.put(LIMITS.format("a"), {"maxBytes": MIB}).problem(403, "forbidden")
        self.daemon.get(LIMITS.format("c")).problem(404, "not-found")
        changed = self.set(maxPercentage=50, reserveBytes=2 * MIB, emergencyThresholdPercentage=90.5, ownerQuotas={"http": 8 * MIB, "anna": MIB})
        told = changed.ok()
        self.assertEqual((told["maxBytes"], told["usableBytes"], told["maxGivenAs"], told["revision"]), (32 * MIB, 30 * MIB, "percentage", 1))
        self.assertEqual(told["emergencyThresholdPercentage"], 90.5)
        self.assertEqual([row["owner"] for row in told["ownerQuotas"]], ["anna", "http"])
        self.daemon.kill_core()
        self.admin.close()
        answer = self.daemon.get(LIMITS.format("a"))
        self.assertEqual(answer.headers["ETag"], changed.headers["ETag"])
        self.assertEqual(answer.ok()["usableBytes"], 30 * MIB)
        self.assertEqual([row["owner"] for row in answer.ok()["ownerQuotas"]], ["http"], "who is no admin sees its own quota only")
        status = self.daemon.get("/api/memory/status/a").ok()
        self.assertEqual((status["reservedBytes"], status["freeBytes"]), (34 * MIB, 30 * MIB))

    def test_a_percentage_is_told_as_it_was_given_and_as_whole_bytes(self):
        for share in (90, 33.33, 0.01, 99.99):
            told = self.set(maxPercentage=share).ok()
            self.assertEqual((told["maxPercentage"], told["maxBytes"]), (share, 64 * MIB * int(round(share * 100)) // 10_000))

    def test_somebodys_newer_limits_are_not_overwritten(self):
        tag = self.daemon.get(LIMITS.format("a")).headers["ETag"]
        self.set(headers={"If-Match": tag}, reserveBytes=MIB).ok()
        self.set(headers={"If-Match": tag}, reserveBytes=2 * MIB).problem(412, "precondition-failed")
        self.assertEqual(self.daemon.get(LIMITS.format("a")).ok()["reserveBytes"], MIB)

    def test_what_is_asked_beyond_limit_and_quota_is_refused_by_its_reason(self):
        self.set(maxBytes=32 * MIB, ownerQuotas={"http": 20 * MIB}).ok()
        self.ask(33).problem(409, "limit-exceeded")
        self.ask(21).problem(409, "quota-exceeded")
        self.ask(12).ok()
        self.assertIn("holds 12582912", self.ask(9).problem(409, "quota-exceeded")["detail"])
        self.ask(9, device="b").ok()
        self.admin.request("POST", ALLOCATE, {"sizeBytes": 20 * MIB, "deviceId": "a"}).ok()
        self.ask(8).problem(507, "insufficient-memory")
        for fields in ({"maxBytes": 65 * MIB}, {"maxBytes": 1, "maxPercentage": 1}, {"emergencyThresholdPercentage": 0}, {"maxPercentage": 100.01}):
            self.set(**fields).problem(400, "invalid-field")

    def test_a_dry_run_tells_what_enforcing_then_does(self):
        self.daemon.post("/api/model/load/a", {"name": "vad", "path": MODEL, "type": "other"}).ok()
        self.ask(20).ok()
        tried = self.set(maxBytes=21 * MIB, dryRun=True, enforceImmediately=True, ownerQuotas={"http": 10 * MIB}).ok()
        self.assertTrue(tried["dryRun"])
        impact = tried["impact"]
        self.assertEqual((impact["models"], impact["remainsOverBytes"]), (["vad"], 0))
        self.assertEqual([(row["owner"], row["heldBytes"]) for row in impact["ownersOverQuota"]], [("http", 20 * MIB)])
        self.assertEqual(self.daemon.get(LIMITS.format("a")).ok()["revision"], 0)
        self.assertEqual(self.daemon.get("/api/model/status").ok()["modelCount"], 1)
        done = self.set(maxBytes=21 * MIB, enforceImmediately=True).ok()
        self.assertEqual((done["reclaimed"]["models"], done["reclaimed"]["bytes"]), (["vad"], impact["reclaimableBytes"]))
        self.assertEqual(self.daemon.get("/api/model/status").ok()["modelCount"], 0)
        end = time.monotonic() + 60
        while self.daemon.get(LIMITS.format("a")).ok()["availableBytes"] != impact["availableBytesAfter"]:
            self.assertLess(time.monotonic(), end, "what went is back, and as much is to be had as the dry run said")

    def test_who_waits_for_its_own_quota_gets_it_when_it_frees(self):
        self.set(ownerQuotas={"http": 20 * MIB}).ok()
        held = self.ask(15).ok()
        answers = []
        client = self.daemon.client()
        thread = threading.Thread(target=lambda: answers.append(client.request("POST", ALLOCATE, {"sizeBytes": 10 * MIB, "deviceId": "a", "timeoutSeconds": 60})))
        thread.start()
        self.free(held)
        thread.join(60)
        client.close()
        self.assertEqual(answers[0].status, 201, answers[0].body)

    # -------------------------------------------------------------------------------------------------- suggestions that work when followed
    def follow(self, body, kind):
        """Follows the suggestion of this kind that the request's refusal makes; the request then succeeds."""
        told = self.daemon.post(ALLOCATE, body).problem(507, "insufficient-memory")
        found = [sentence for sentence in told["suggestions"] if sentence.startswith(kind)]
        self.assertEqual(len(found), 1, told)
        call = re.search(r": (PUT|DELETE|POST) (/\S+)(?: (\{.*\}))?$", found[0])
        if call:
            caller = self.admin if "admin" in found[0] else self.daemon.default
            headers = {"Content-Type": "application/json"} if call.group(3) else None
            caller.request(call.group(1), call.group(2), call.group(3).encode() if call.group(3) else None, headers).ok()
        elif size := re.search(r"at most (\d+) bytes on (\w+)\.", found[0]):
            body = {**body, "sizeBytes": int(size.group(1)), "deviceId": size.group(2)}
        elif device := re.search(r"Name the device (\w+),", found[0]):
            body = {**body, "deviceId": device.group(1)}
        else:
            body = {**body, "timeoutSeconds": int(re.search(r"timeoutSeconds (\d+)\.", found[0]).group(1))}
        return self.daemon.post(ALLOCATE, body).ok()

    def test_following_ask_for_less_or_another_device_succeeds(self):
        self.ask(60).ok()
        self.follow({"sizeBytes": 10 * MIB, "deviceId": "a"}, "Name the device b")
        for odd in ({"sizeBytes": 5 * MIB}, {"sizeBytes": 40 * MIB, "allocationType": "pinned"}, {"sizeBytes": 5 * MIB, "alignment": 1 << 20}):
            made = self.follow({**odd, "deviceId": "a"}, "Ask for at most")
            self.free(made)

    def test_following_free_succeeds_in_a_block_of_its_own_and_in_an_arena(self):
        small, large = self.ask(20).ok(), self.ask(40).ok()
        self.follow({"sizeBytes": 30 * MIB, "deviceId": "a"}, "Free the allocation " + large["id"])
        self.daemon.get(f"/api/memory/allocation/{small['id']}").ok()
        # All of b: an arena of 2 MiB full of quarters, and one block. One quarter is no room for two quarters, what lies beside a hole is.
        quarters = [self.ask(0.25, device="b").ok() for _ in range(8)]
        rest = self.daemon.get("/api/memory/status/b").ok()["freeBytes"]
        if rest:
            self.daemon.post(ALLOCATE, {"sizeBytes": rest, "deviceId": "b", "shareable": True}).ok()
        self.free(quarters[2])
        self.follow({"sizeBytes": MIB // 2, "deviceId": "b"}, "Free the allocation")

    def test_following_unload_succeeds(self):
        self.daemon.post("/api/model/load/b", {"name": "v a/d", "path": MODEL, "type": "other", "pinned": True}).ok()
        free = self.daemon.get("/api/memory/status/b").ok()["freeBytes"]
        self.follow({"sizeBytes": free + 4096, "deviceId": "b"}, "Unload the model v a/d")

    def test_a_model_that_is_not_pinned_goes_without_a_word(self):
        self.daemon.post("/api/model/load/b", {"name": "vad", "path": MODEL, "type": "other"}).ok()
        self.ask(16, device="b").ok()
        self.assertEqual(self.daemon.get("/api/model/status").ok()["modelCount"], 0)

    def test_following_raise_the_limit_or_lower_the_reserve_succeeds(self):
        self.set(maxBytes=32 * MIB, reserveBytes=MIB).ok()
        self.ask(24).ok()
        self.follow({"sizeBytes": 30 * MIB, "deviceId": "a"}, "Let an admin raise the limit")
        self.set(maxPercentage=100, reserveBytes=40 * MIB, device="b").problem(400, "invalid-field")
        self.set(reserveBytes=12 * MIB, device="b").ok()
        self.ask(3, device="b").ok()
        self.follow({"sizeBytes": 4 * MIB, "deviceId": "b"}, "Let an admin lower the reserve")

    def test_following_wait_succeeds(self):
        body = {"sizeBytes": 40 * MIB, "deviceId": "a"}
        for seconds in (2, 8, 60):  # On a loaded machine the shortest may be over before it is asked beside it.
            self.ask(60, persistent=False, leaseSeconds=seconds).ok()
            early = self.daemon.post(ALLOCATE, body)
            if early.status != 201:
                break
            self.free(early.json())
        self.follow(body, "Wait for leases")


if __name__ == "__main__":
    unittest.main()
