#!/usr/bin/env python3
"""What a refusal tells: what was wrong, what there is instead, and a remedy that can be followed."""
import unittest

from daemon import Daemon

DEVICE_FILTERS = ("/api/memory/allocations", "/api/memory/transfers", "/api/memory/analytics", "/api/events?follow=false&from=0")
DEVICE_PATHS = ("/api/devices/{}", "/api/memory/status/{}", "/api/memory/usage/{}", "/api/memory/allocations/device/{}", "/api/memory/pressure/{}",
                "/api/memory/limits/{}", "/api/model/status/{}")


class Refusals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(devices=["host:a=64MiB", "host:b=64MiB"])
        cls.daemon.start()

    @classmethod
    def tearDownClass(cls):
        try:
            cls.daemon.stop()
        finally:
            cls.daemon.discard()

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


if __name__ == "__main__":
    unittest.main()
