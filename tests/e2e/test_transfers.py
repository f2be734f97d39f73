#!/usr/bin/env python3
"""Transfers over HTTP: between devices and within one, followed, cancelled, timed out, through the core's death; and what is refused."""
import os
import time
import unittest

from daemon import Served

MIB = 1 << 20
CONTENT = "/api/memory/allocation/{}/content"
TRANSFER = "/api/memory/transfer"
ENDS = ("succeeded", "failed", "cancelled")


class Transfers(Served):
    served = {"devices": ["host:a=256MiB", "host:b=128MiB"]}

    def tearDown(self):
        for record in self.daemon.get("/api/memory/allocations?limit=1000").ok()["items"]:
            self.daemon.delete(f"/api/memory/allocations/{record['id']}").ok()
        self.assertTrue(self.daemon.get("/api/audit").ok()["ok"])

    def filled(self, size, device="a"):
        made = self.daemon.allocate(size, deviceId=device)
        data = os.urandom(min(size, MIB)) * (size // min(size, MIB))
        self.daemon.put(CONTENT.format(made["id"]), data).ok()
        return made["id"], data

    def ended(self, transfer):
        """The record once it has ended; each look at it is one at a real thing, so there is nothing to sleep for."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            record = self.daemon.get(f"{TRANSFER}/{transfer}").ok()
            if record["status"] in ENDS:
                return record
        self.fail(f"{transfer} did not end in a minute")

    def test_a_copy_makes_the_same_bytes_on_the_other_device_and_says_how_fast(self):
        source, data = self.filled(16 * MIB)
        done = self.daemon.post(TRANSFER, {"sourceAllocationId": source, "targetDeviceId": "b", "verify": True}).ok()
        self.assertEqual((done["status"], done["sourceDeviceId"], done["targetDeviceId"]), ("succeeded", "a", "b"))
        self.assertEqual((done["transferredBytes"], done["progressPercentage"]), (16 * MIB, 100))
        self.assertGreater(done["throughput"]["averageBytesPerSecond"], 0)
        self.assertRegex(done["checksum"], "^[0-9a-f]{16}$")
        self.assertEqual([stage["name"] for stage in done["stages"]], ["queued", "copying"])
        target = self.daemon.get(f"/api/memory/allocation/{done['targetAllocationId']}").ok()
        self.assertEqual((target["deviceId"], target["sizeBytes"], target["status"]), ("b", 16 * MIB, "live"))
        self.assertEqual(self.daemon.get(CONTENT.format(target["id"])).body, data)
        self.assertEqual(self.daemon.get(CONTENT.format(source)).body, data)

    def test_a_move_keeps_the_id_and_the_bytes_and_frees_the_old_place(self):
        source, data = self.filled(9 * MIB)
        done = self.daemon.post(TRANSFER, {"sourceAllocationId": source, "targetDeviceId": "b", "mode": "move"}).ok()
        self.assertEqual((done["status"], done["targetAllocationId"]), ("succeeded", source))
        self.assertEqual(self.daemon.get(f"/api/memory/allocation/{source}").ok()["deviceId"], "b")
        self.assertEqual(self.daemon.get(CONTENT.format(source)).body, data)
        self.assertEqual(self.daemon.get("/api/memory/status/a").ok()["liveBytes"], 0)

    def test_offsets_place_a_part_of_one_allocation_in_another(self):
        source, data = self.filled(1 * MIB)
        target, _ = self.filled(1 * MIB, "b")
        body = {"sourceAllocationId": source, "targetAllocationId": target, "sourceOffsetBytes": 1000, "targetOffsetBytes": 7,
                "sizeBytes": 5000}
        self.daemon.post(TRANSFER, body).ok()
        self.assertEqual(self.daemon.get(CONTENT.format(target), {"Range": "bytes=7-5006"}).body, data[1000:6000])

    def test_a_move_into_an_allocation_frees_the_source(self):
        source, data = self.filled(1 * MIB)
        target, _ = self.filled(2 * MIB, "b")
        self.daemon.post(TRANSFER, {"sourceAllocationId": source, "targetAllocationId": target, "mode": "move"}).ok()
        self.daemon.get(f"/api/memory/allocation/{source}").problem(404, "not-found")
        self.assertEqual(self.daemon.get(CONTENT.format(target), {"Range": f"bytes=0-{MIB - 1}"}).body, data)

    def test_without_waiting_the_answer_is_accepted_and_its_location_shows_the_end(self):
        source, data = self.filled(64 * MIB)
        reply = self.daemon.post(TRANSFER, {"sourceAllocationId": source, "targetDeviceId": "b", "waitForCompletion": False})
        self.assertEqual(reply.status, 202)
        record = reply.json()
        self.assertEqual(reply.headers["Location"], f"{TRANSFER}/{record['id']}")
        done = self.ended(record["id"])
        self.assertEqual(done["status"], "succeeded")
        self.assertEqual(self.daemon.get(CONTENT.format(done["targetAllocationId"])).body, data)
        self.assertIn(record["id"], [item["id"] for item in self.daemon.get(TRANSFER + "s?deviceId=b").ok()["items"]])

    def test_progress_never_goes_back_and_a_cancel_gives_the_room_back(self):
        source, _ = self.filled(100 * MIB)
        record = self.daemon.post(TRANSFER, {"sourceAllocationId": source, "targetDeviceId": "b", "waitForCompletion": False}).json()
        before = self.daemon.get(f"{TRANSFER}/{record['id']}").ok()["transferredBytes"]
        self.assertGreaterEqual(self.daemon.get(f"{TRANSFER}/{record['id']}").ok()["transferredBytes"], before)
        cancelled = self.daemon.delete(f"{TRANSFER}/{record['id']}")
        self.assertIn(cancelled.status, (200, 409))
        done = self.ended(record["id"])
        if done["status"] == "cancelled":
            self.assertEqual(done["problem"]["code"], "cancelled")
            self.daemon.get(f"/api/memory/allocation/{record['targetAllocationId']}").problem(404, "not-found")
            self.assertEqual(self.daemon.get("/api/memory/status/b").ok()["liveBytes"], 0)
        else:
            self.assertEqual(done["status"], "succeeded")
        self.daemon.delete(f"{TRANSFER}/{record['id']}").problem(409, "conflict")

    def test_what_cannot_be_is_refused_with_its_field_and_nothing_is_taken(self):
        source, _ = self.filled(1 * MIB)
        pinned = self.daemon.allocate(4096, deviceId="a", allocationType="pinned")["id"]
        ask = {"sourceAllocationId": source, "targetDeviceId": "b"}
        for change, status, code, field in (
            ({"sourceAllocationId": "alc_nothing"}, 404, "not-found", "/sourceAllocationId"),
            ({"targetDeviceId": "c"}, 404, "not-found", "/targetDeviceId"),
            ({"targetDeviceId": "a", "mode": "move"}, 409, "conflict", "/targetDeviceId"),
            ({"targetAllocationId": source}, 400, "invalid-field", "/targetDeviceId"),
            ({"sizeBytes": MIB + 1}, 416, "out-of-range", "/sizeBytes"),
            ({"sourceOffsetBytes": MIB}, 416, "out-of-range", "/sourceOffsetBytes"),
            ({"mode": "move", "sizeBytes": 1}, 400, "invalid-field", "/sizeBytes"),
            ({"mode": "move", "sourceAllocationId": pinned}, 409, "pinned", "/sourceAllocationId"),
            ({"timeoutSeconds": 0}, 400, "invalid-field", "/timeoutSeconds"),
        ):
            problem = self.daemon.post(TRANSFER, {**ask, **change}).problem(status, code)
            self.assertEqual(problem["field"], field, problem)
        self.assertEqual(self.daemon.get("/api/memory/status/b").ok()["liveBytes"], 0)
        big, _ = self.filled(140 * MIB)
        problem = self.daemon.post(TRANSFER, {"sourceAllocationId": big, "targetDeviceId": "b"}).problem(507, "insufficient-memory")
        self.assertEqual(problem["requestedBytes"], 140 * MIB)

    def test_transfers_that_run_when_the_core_is_killed_end_under_the_next_one_with_every_byte(self):
        pairs = [self.filled(8 * MIB) for _ in range(8)]
        records = [self.daemon.post(TRANSFER, {"sourceAllocationId": source, "targetDeviceId": "b", "mode": "move",
                                               "waitForCompletion": False}).json()["id"] for source, _ in pairs]
        self.daemon.kill_core()
        for (source, data), record in zip(pairs, records):
            self.assertEqual(self.ended(record)["status"], "succeeded")
            self.assertEqual(self.daemon.get(f"/api/memory/allocation/{source}").ok()["deviceId"], "b")
            self.assertEqual(self.daemon.get(CONTENT.format(source)).body, data)


if __name__ == "__main__":
    unittest.main()
