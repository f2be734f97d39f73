#!/usr/bin/env python3
"""The crash test, tested: faults planted behind its clients' backs must each be found."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import crash  # noqa: E402
import verdict  # noqa: E402
from daemon import Daemon  # noqa: E402


class Agreement(unittest.TestCase):
    def held(self, content, writing=None):
        held = crash.Held({"id": "alc_x", "sizeBytes": len(content), "blockId": "blk_1", "offsetBytes": 0})
        held.content, held.writing = content, writing
        return held

    def test_acknowledged_bytes_must_be_equal(self):
        self.assertTrue(self.held(b"abc").agrees(b"abc"))
        self.assertFalse(self.held(b"abc").agrees(b"abd"))
        self.assertFalse(self.held(b"abc").agrees(b"ab"))

    def test_an_open_write_may_have_landed_in_part_and_only_where_it_went(self):
        held = self.held(b"aaaa", (1, b"bb"))
        for content, allowed in ((b"aaaa", True), (b"abba", True), (b"abaa", True), (b"acaa", False), (b"baaa", False), (b"abbb", False)):
            self.assertEqual(held.agrees(content), allowed, content)


class Planted(unittest.TestCase):
    """One client with one allocation; then something happens that nobody asked it about."""

    def setUp(self):
        self.daemon = Daemon(devices=["host:a=64MiB"], model_dirs=[os.path.dirname(os.path.abspath(__file__))], door="unix").__enter__()
        self.addCleanup(self.daemon.discard)
        self.worker = crash.Worker(1, "plant", self.daemon, [], {})
        self.addCleanup(self.worker.client.close)
        while not self.worker.held:
            self.worker.allocate()
        self.held = next(iter(self.worker.held.values()))
        self.beside = crash.verify(self.daemon, [self.worker], None)

    def found(self):
        with self.assertRaises(AssertionError):
            crash.verify(self.daemon, [self.worker], self.beside)

    def test_nothing_planted_nothing_found(self):
        self.daemon.kill_core()
        crash.verify(self.daemon, [self.worker], self.beside)

    def test_one_byte_that_changed_is_found(self):
        self.daemon.put(f"/api/memory/allocation/{self.held.id}/content", b"\1").ok()
        self.found()

    def test_an_allocation_that_is_gone_is_found(self):
        self.daemon.delete(f"/api/memory/allocations/{self.held.id}").ok()
        self.found()

    def test_an_allocation_that_nobody_was_told_of_is_found(self):
        self.daemon.allocate(4096, purpose=f"{self.worker.name}/999")
        self.found()

    def test_an_allocation_that_lies_elsewhere_is_found(self):
        self.held.place = (self.held.place[0], self.held.place[1] + 256)
        self.found()

    def test_a_descriptor_that_the_keeper_holds_too_long_is_found(self):
        self.beside -= 1
        self.found()

    def test_a_copy_and_a_clear_are_held_to_the_byte(self):
        self.worker.write(self.held)
        self.worker.copy(self.held, self.held)
        self.worker.clear(self.held)
        crash.verify(self.daemon, [self.worker], self.beside)
        self.assertEqual(self.worker.answered["copy", "done"] + self.worker.answered["clear", "done"], 2)
        flipped = self.held.content[-1] ^ 1
        body = {"allocationId": self.held.id, "offsetBytes": self.held.size - 1, "sizeBytes": 1, "fillValue": flipped}
        self.daemon.post("/api/memory/operations/clear", body).ok()
        self.found()

    def test_a_sum_that_is_off_by_one_byte_either_way_is_found(self):
        for off in (-1, 1):
            records = {record["id"]: dict(record) for record in verdict.all_items(self.daemon, "/api/memory/allocations")}
            verdict.verify_sums(self.daemon, records)
            records[self.held.id]["grantedBytes"] += off
            with self.assertRaises(AssertionError):
                verdict.verify_sums(self.daemon, records)

    def test_a_load_that_failed_for_another_reason_than_room_is_found(self):
        name = os.path.basename(__file__)
        self.daemon.post("/api/model/load", {"name": "client1-8", "path": name, "type": "other"}).problem(422, "invalid-model")
        self.found()
        self.worker.models = [os.path.abspath(__file__)]
        with self.assertRaises(AssertionError):
            self.worker.load_or_unload()

    def test_a_model_that_is_gone_is_found(self):
        self.worker.loaded["client1-7"] = "x.gguf"
        self.found()


if __name__ == "__main__":
    unittest.main()
