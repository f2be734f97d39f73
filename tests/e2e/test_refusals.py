#!/usr/bin/env python3
"""What a refusal tells: what was wrong, what there is instead, and a remedy that can be followed."""
import datetime
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from daemon import BIN, Daemon, Served

DEVICE_FILTERS = ("/api/memory/allocations", "/api/memory/transfers", "/api/memory/analytics", "/api/events?follow=false&from=0")
DEVICE_PATHS = ("/api/devices/{}", "/api/memory/status/{}", "/api/memory/usage/{}", "/api/memory/allocations/device/{}", "/api/memory/pressure/{}",
                "/api/memory/limits/{}", "/api/model/status/{}")


class Refusals(Served):
    served = {"devices": ["host:a=64MiB", "host:b=64MiB"]}

    def test_a_device_that_is_not_there_is_refused_with_those_that_are(self):
        def refused(answer, field):
            told = answer.problem(404, "not-found")
            self.assertEqual((told["field"], told["detail"]), (field, "There is no device nosuch; there are: a, b."))

        for path in DEVICE_FILTERS:
            refused(self.daemon.get(path + ("&" if "?" in path else "?") + "deviceId=nosuch"), "?deviceId")
            self.assertEqual(self.daemon.get(path + ("&" if "?" in path else "?") + "deviceId=").problem(400, "invalid-field")["field"], "?deviceId")
            self.assertEqual(self.daemon.get(path + ("&" if "?" in path else "?") + "deviceId=a").status, 200, path)
        for path in DEVICE_PATHS:
            refused(self.daemon.get(path.format("nosuch")), "device")
        memory = "/api/memory/"
        refused(self.daemon.post(memory + "allocations/allocate", {"sizeBytes": 5, "deviceId": "nosuch"}), "/deviceId")
        refused(self.daemon.post(memory + "allocations/allocate/nosuch", {"sizeBytes": 5}), "device")
        refused(self.daemon.post(memory + "operations/defragment/nosuch", {}), "device")
        refused(self.daemon.post(memory + "operations/optimize/nosuch", {"operations": ["compact"]}), "device")
        refused(self.daemon.post(memory + "operations/optimize-models", {"deviceId": "nosuch"}), "/deviceId")
        made = self.daemon.allocate(4096)["id"]
        refused(self.daemon.post(memory + "transfer", {"sourceAllocationId": made, "targetDeviceId": "nosuch"}), "/targetDeviceId")
        refused(self.daemon.post("/api/model/load", {"name": "x", "path": "/x", "type": "llm", "deviceId": "nosuch"}), "/deviceId")

    def test_a_filter_of_owners_that_fits_nothing_is_an_empty_page(self):
        for path in ("/api/memory/allocations", "/api/memory/transfers"):
            self.assertEqual(self.daemon.get(path + "?owner=nobody").ok()["items"], [])
        events = self.daemon.get("/api/events?follow=false&from=0&owner=nobody")
        self.assertEqual((events.status, events.body), (200, b""))

    def test_what_a_device_cannot_do_comes_with_what_can_be_done_instead(self):
        here, there = (self.daemon.allocate(4096, deviceId=device)["id"] for device in "ab")
        between = self.daemon.post("/api/memory/operations/copy", {"sourceAllocationId": here, "targetAllocationId": there})
        self.assertEqual(between.problem(501, "unsupported")["remedy"], "Use POST /api/memory/transfer: it copies between any two devices.")
        self.daemon.post("/api/memory/transfer", {"sourceAllocationId": here, "targetAllocationId": there}).ok()

        method = self.daemon.default.request("BREW", "/api/system").problem(501, "unsupported")
        self.assertIn("OPTIONS names them in Allow", method["remedy"])

        pinned = self.daemon.allocate(4096, deviceId="a", allocationType="pinned")["id"]
        move = {"sourceAllocationId": pinned, "targetDeviceId": "b", "mode": "move"}
        told = self.daemon.post("/api/memory/transfer", move).problem(409, "pinned")
        self.assertEqual(told["remedy"], "Copy it instead of moving it: pinned memory stays where it is until it is freed.")
        self.daemon.post("/api/memory/transfer", {**move, "mode": "copy"}).ok()  # The remedy works.

    def test_options_of_no_path_tells_every_method_there_is(self):
        for door in ("tcp", "unix"):
            client = self.daemon.client(door)
            answer = client.request("OPTIONS", "*")
            client.close()
            self.assertEqual((answer.status, answer.body), (204, b""))
            said = {word.strip() for word in answer.headers["Allow"].split(",")}
            self.assertEqual(said, {"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"})
        self.daemon.default.request("GET", "*").problem(400, "malformed-request")  # Of all methods only OPTIONS may ask that.


class ReadOnly(unittest.TestCase):
    def test_who_asked_for_it_is_told_so_and_an_empty_state_directory_names_no_device(self):
        with Daemon(devices=["host:a=64MiB"], arguments=["--read-only"], door="unix") as daemon:
            reason = daemon.get("/readyz").problem(503, "read-only")["detail"]
            self.assertEqual(reason, daemon.get("/api/system").ok()["readOnlyReason"])
            self.assertIn("--read-only", reason)
            self.assertNotIn("failure", reason)
            for path, body in (("allocations/allocate", {"sizeBytes": 5}), ("allocations/allocate/a", {"sizeBytes": 5}), ("operations/defragment", {}),
                               ("operations/optimize", {"operations": ["compact"]}), ("operations/defragment/a", {})):
                self.assertEqual(daemon.post("/api/memory/" + path, body).problem(503, "read-only")["detail"], reason)
            before = time.time()
            for past in daemon.get("/api/memory/usage?window=1h").ok()["past"]:  # It knows nothing of the past, and makes none up.
                self.assertEqual(past["from"], past["to"])
                begun = datetime.datetime.strptime(past["from"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
                self.assertTrue(before - 1 < begun < time.time() + 1, past)
            dry = daemon.post("/api/memory/operations/defragment", {"dryRun": True}).problem(404, "not-found")
            self.assertEqual(dry["detail"], "There is no device; none is in the books yet.")
            generation = daemon.get("/api/system").ok()["generation"]
            daemon.process.send_signal(signal.SIGHUP)  # It does not leave what a flag asked for, as the reason says.
            daemon.next_generation(generation)
            self.assertEqual(daemon.get("/readyz").problem(503, "read-only")["detail"], reason)
        told = subprocess.run([os.path.join(BIN, "vramd"), "serve", "--help"], capture_output=True, text=True, check=True).stdout
        self.assertIn("left only by a start", " ".join(told.split()))
        self.assertNotIn("after-failures", told)


class FirstStart(unittest.TestCase):
    """Nothing is there to read yet, so a daemon that cannot keep a ledger ends, and says what is missing."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vramd-first-")
        self.addCleanup(shutil.rmtree, self.folder)

    def serve(self, before, *arguments):
        command = [os.path.join(BIN, "vramd"), "serve", "--listen", "none", "--socket", os.path.join(self.folder, "vramd.sock"), "--state-dir",
                   os.path.join(self.folder, "state"), "--device", "host:a=4MiB", *arguments]
        return subprocess.run([*before, *command], capture_output=True, text=True, timeout=30, check=False)

    def test_a_state_directory_that_cannot_be_used_is_named(self):
        os.makedirs(os.path.join(self.folder, "state"))
        in_the_way = os.path.join(self.folder, "state", "ledger")
        with open(in_the_way, "w", encoding="utf-8"):
            pass
        told = self.serve([])
        self.assertEqual((told.returncode, told.stdout), (1, ""))
        self.assertIn(in_the_way, told.stderr)
        self.assertIn("cannot start, not even to read", told.stderr)

    @unittest.skipIf(subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode, "a small disk can be mounted by root only")
    def test_a_full_disk_is_told_with_the_place_what_is_needed_and_what_is_free(self):
        state = os.path.join(self.folder, "state")
        os.makedirs(state)
        for size, before, failed, needed, least, most, end in (
                ("size=1m", "true", "ledger/spare: fallocate", 16 << 20, 900_000, 1 << 20, "are free."),
                ("size=1m", f"cat /dev/zero > {state}/full 2> /dev/null; true", "lock: pwrite", 4096, 0, 0, "are free."),
                ("size=1m,nr_inodes=2", f"touch {state}/one", "lock: open", 4096, 900_000, 1 << 20, "are free, but no further file can be made.")):
            with self.subTest(failed=failed):
                told = self.serve(["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o {size} small {state} && {{ {before}; }} && exec "$@"', "sh"])
                self.assertEqual((told.returncode, told.stdout), (1, ""))
                self.assertIn(f"{state}/{failed}: No space left on device. {needed} bytes are needed there and ", told.stderr)
                free = int(told.stderr.split("are needed there and ")[1].split()[0])
                self.assertTrue(least <= free <= most, free)
                self.assertIn(f" {end} Make room, or choose another state directory.", told.stderr)


if __name__ == "__main__":
    unittest.main()
