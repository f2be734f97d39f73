#!/usr/bin/env python3
"""Memory over HTTP, by both doors: allocate, list, read, write, copy, clear, free; and what is refused."""
import os
import threading
import unittest

from daemon import Served

MIB = 1 << 20
CONTENT = "/api/memory/allocation/{}/content"
ALLOCATE = "/api/memory/allocations/allocate"


class Memory(Served):
    served = {"devices": ["host:a=256MiB", "host:b=64MiB"]}

    def tearDown(self):
        for record in self.daemon.get("/api/memory/allocations?limit=1000").ok()["items"]:
            self.daemon.delete(f"/api/memory/allocations/{record['id']}").ok()
        self.assertTrue(self.daemon.get("/api/audit").ok()["ok"])

    def test_the_daemon_says_who_it_is_and_that_it_serves(self):
        self.assertEqual(self.daemon.get("/healthz").ok()["status"], "ok")
        self.assertEqual(self.daemon.get("/readyz").ok()["status"], "ok")
        system = self.daemon.system()
        self.assertEqual(system["keeperPid"], self.daemon.process.pid)
        self.assertEqual(self.daemon.family(), {system["corePid"]})
        self.assertFalse(system["readOnly"])

    def test_what_an_allocation_s_bytes_are_is_told_when_asked_for_and_counts_as_no_access(self):
        made = self.daemon.allocate(3 * MIB + 256, deviceId="a")
        path = f"/api/memory/allocation/{made['id']}"
        self.assertNotIn("contentStats", self.daemon.get(path).ok())
        told = self.daemon.get(path + "?includeContentStats=true").ok()["contentStats"]
        self.assertEqual((told["scannedBytes"], told["zeroBytes"], told["zeroPercentage"], told["distinctValues"], told["entropyBitsPerByte"]), (made["sizeBytes"], made["sizeBytes"], 100, 1, 0))
        self.daemon.put(CONTENT.format(made["id"]), bytes(range(256)) * (made["sizeBytes"] // 256)).ok()
        record = self.daemon.get(path + "?includeContentStats=true&includeHistory=true").ok()
        told = record["contentStats"]
        self.assertEqual((told["zeroBytes"], told["distinctValues"], told["entropyBitsPerByte"]), (made["sizeBytes"] // 256, 256, 8))
        self.assertGreater(told["durationMs"], 0)
        self.assertEqual((record["accessCount"], record["history"][0]["type"]), (1, "allocationReserved"))
        moved = self.daemon.post("/api/memory/transfer", {"sourceAllocationId": made["id"], "targetDeviceId": "b", "verify": True}).ok()
        self.assertEqual(told["checksum"], moved["checksum"])
        self.daemon.get(path + "?includeContentStats=maybe").problem(400, "invalid-field")
        self.daemon.get("/api/memory/allocation/alc_0q3xw8c5k2mznd1?includeContentStats=true").problem(404, "not-found")

    def test_each_device_that_was_asked_for_is_there_with_its_capacity(self):
        devices = {device["deviceId"]: device for device in self.daemon.get("/api/devices").ok()["items"]}
        self.assertEqual({name: device["totalBytes"] for name, device in devices.items()}, {"a": 256 * MIB, "b": 64 * MIB})
        self.assertEqual(self.daemon.get("/api/devices/a").ok()["kind"], "host")
        self.daemon.get("/api/devices/c").problem(404, "not-found")
        self.daemon.get("/api/memory/status/c").problem(404, "not-found")

    def test_new_memory_reads_as_zero_and_what_is_written_is_read_by_both_doors(self):
        made = self.daemon.allocate(100_000)
        self.assertEqual(self.daemon.get(CONTENT.format(made["id"])).body, bytes(100_000))
        data = os.urandom(100_000)
        self.assertEqual(self.daemon.put(CONTENT.format(made["id"]), data).ok()["bytes"], 100_000)
        self.assertEqual(self.daemon.get(CONTENT.format(made["id"])).body, data)
        unix = self.daemon.client("unix")
        self.assertEqual(unix.request("GET", CONTENT.format(made["id"])).body, data)
        unix.close()

    def test_memory_that_was_freed_reads_as_zero_for_its_next_owner(self):
        for size in (5000, 9 * MIB):
            made = self.daemon.allocate(size, deviceId="b")
            self.daemon.put(CONTENT.format(made["id"]), b"\xaa" * size).ok()
            self.daemon.delete(f"/api/memory/allocations/{made['id']}").ok()
            again = self.daemon.allocate(size, deviceId="b")
            self.assertEqual(self.daemon.get(CONTENT.format(again["id"])).body.count(0), size)

    def test_a_range_is_read_and_written_and_one_beyond_the_end_is_refused_and_changes_nothing(self):
        made = self.daemon.allocate(1000)
        path = CONTENT.format(made["id"])
        self.daemon.put(path, b"0123456789", {"Content-Range": "bytes 990-999/*"}).ok()
        part = self.daemon.get(path, {"Range": "bytes=988-992"})
        self.assertEqual((part.status, part.body, part.headers["Content-Range"]), (206, b"\0\x00012", "bytes 988-992/1000"))
        self.assertEqual(self.daemon.get(path, {"Range": "bytes=-3"}).body, b"789")
        self.assertEqual(self.daemon.get(path, {"Range": "bytes=995-"}).body, b"56789")
        self.daemon.get(path, {"Range": "bytes=1000-"}).problem(416, "out-of-range")
        self.daemon.put(path, b"abc", {"Content-Range": "bytes 998-1000/*"}).problem(416, "out-of-range")
        self.daemon.put(path, b"x" * 1001).problem(416, "out-of-range")
        self.assertEqual(self.daemon.get(path).body, bytes(990) + b"0123456789")

    def test_a_hundred_mebibytes_stream_in_and_out_while_the_core_stays_small(self):
        size = 100 * MIB
        made = self.daemon.allocate(size, deviceId="a")
        data = os.urandom(MIB) * 100
        before = resident_kib(self.daemon.core_pid())
        self.daemon.put(CONTENT.format(made["id"]), data).ok()
        self.assertTrue(self.daemon.get(CONTENT.format(made["id"])).body == data)
        self.assertLess(anonymous_kib(self.daemon.core_pid()), before + 64 * 1024)

    def test_lists_page_newest_first_and_filter_by_device_owner_type_and_status(self):
        made = [self.daemon.allocate(256, deviceId="ab"[n % 2], purpose=f"p{n}")["id"] for n in range(7)]
        seen, cursor = [], None
        while True:
            page = self.daemon.get("/api/memory/allocations?limit=3" + (f"&cursor={cursor}" if cursor else "")).ok()
            self.assertLessEqual(len(page["items"]), 3)
            seen += [record["id"] for record in page["items"]]
            cursor = page["nextCursor"]
            if cursor is None:
                break
        self.assertEqual(seen, made[::-1])
        on_a = [record["id"] for record in self.daemon.get("/api/memory/allocations?deviceId=a").ok()["items"]]
        self.assertEqual(on_a, made[::-2])
        self.assertEqual(self.daemon.get("/api/memory/allocations/device/a").ok()["items"], self.daemon.get("/api/memory/allocations?deviceId=a").ok()["items"])
        for query, count in (("owner=http", 7), ("owner=nobody", 0), ("type=default", 7), ("type=pinned", 0), ("status=live", 7), ("status=zombie", 0)):
            self.assertEqual(len(self.daemon.get(f"/api/memory/allocations?{query}").ok()["items"]), count, query)

    def test_alignments_hold_and_every_byte_is_in_the_books(self):
        for alignment in (1, 64, 4096, 65536, MIB):
            made = self.daemon.allocate(300, alignment=alignment)
            self.assertEqual(made["offsetBytes"] % alignment, 0)
        status = self.daemon.get("/api/memory/status").ok()
        records = self.daemon.get("/api/memory/allocations").ok()["items"]
        self.assertEqual(sum(device["liveBytes"] for device in status["devices"]), sum(record["grantedBytes"] for record in records))
        for device in status["devices"]:
            self.assertEqual(device["liveBytes"] + device["zombieBytes"] + device["reservedBytes"] + device["freeBytes"], device["totalBytes"])

    def test_what_does_not_fit_is_refused_with_what_would(self):
        told = self.daemon.post(ALLOCATE, {"sizeBytes": 65 * MIB, "deviceId": "b"}).problem(507, "insufficient-memory")
        self.assertEqual(told["requestedBytes"], 65 * MIB)
        self.assertLessEqual(told["largestFreeBytes"], told["availableBytes"])
        self.assertTrue(told["suggestions"])

    def test_who_waits_for_room_gets_it_when_another_frees(self):
        holder = self.daemon.allocate(60 * MIB, deviceId="b")
        answers = []
        client = self.daemon.client()
        thread = threading.Thread(target=lambda: answers.append(client.request("POST", ALLOCATE, {"sizeBytes": 40 * MIB, "deviceId": "b", "timeoutSeconds": 30})))
        thread.start()
        self.daemon.delete(f"/api/memory/allocations/{holder['id']}").ok()
        thread.join(30)
        self.assertEqual(answers[0].status, 201, answers[0].body)
        client.close()
        told = self.daemon.post(ALLOCATE, {"sizeBytes": 60 * MIB, "deviceId": "b", "timeoutSeconds": 1}).problem(504, "timed-out")
        self.assertTrue(told["suggestions"])

    def test_a_second_free_and_an_unknown_id_answer_as_missing(self):
        made = self.daemon.allocate(4096)
        freed = self.daemon.delete(f"/api/memory/allocations/{made['id']}").ok()
        self.assertEqual((freed["freedBytes"], freed["status"]), (4096, "freed"))
        for answer in (self.daemon.delete(f"/api/memory/allocations/{made['id']}"), self.daemon.get(f"/api/memory/allocation/{made['id']}"),
                       self.daemon.get("/api/memory/allocation/alc_0000000000000"), self.daemon.get("/api/memory/allocation/nonsense")):
            answer.problem(404, "not-found")

    def test_clear_fills_and_copy_moves_bytes_even_over_themselves(self):
        one, two = self.daemon.allocate(1000), self.daemon.allocate(1000)
        cleared = self.daemon.post("/api/memory/operations/clear", {"allocationId": one["id"], "offsetBytes": 10, "sizeBytes": 20, "fillValue": 7}).ok()
        self.assertEqual(cleared["bytes"], 20)
        self.assertEqual(self.daemon.get(CONTENT.format(one["id"])).body, bytes(10) + b"\7" * 20 + bytes(970))
        data = os.urandom(1000)
        self.daemon.put(CONTENT.format(one["id"]), data).ok()
        copy = {"sourceAllocationId": one["id"], "targetAllocationId": two["id"], "sourceOffsetBytes": 100, "targetOffsetBytes": 5, "sizeBytes": 300}
        self.assertEqual(self.daemon.post("/api/memory/operations/copy", copy).ok()["bytes"], 300)
        self.assertEqual(self.daemon.get(CONTENT.format(two["id"])).body, bytes(5) + data[100:400] + bytes(695))
        self.daemon.post("/api/memory/operations/copy", {**copy, "targetAllocationId": one["id"], "targetOffsetBytes": 150}).ok()
        self.assertEqual(self.daemon.get(CONTENT.format(one["id"])).body, data[:150] + data[100:400] + data[450:])
        self.daemon.post("/api/memory/operations/copy", {**copy, "targetOffsetBytes": 800}).problem(416, "out-of-range")
        self.daemon.post("/api/memory/operations/clear/b", {"fillValue": 0}).problem(403, "forbidden")
        root = self.daemon.client("unix")
        root.request("POST", "/api/memory/operations/clear/b", {"fillValue": 0}).ok()
        root.close()

    def test_an_idempotency_key_makes_a_repeated_request_one(self):
        answers = [self.daemon.post(ALLOCATE, {"sizeBytes": 4096}, {"Idempotency-Key": "once"}).ok()["id"] for _ in range(3)]
        self.assertEqual(len(set(answers)), 1)
        self.assertEqual(len(self.daemon.get("/api/memory/allocations").ok()["items"]), 1)

    def test_another_owners_allocation_answers_as_a_missing_one(self):
        root = self.daemon.client("unix")
        made = root.request("POST", ALLOCATE, {"sizeBytes": 4096}).ok()
        for answer in (self.daemon.get(f"/api/memory/allocation/{made['id']}"), self.daemon.get(CONTENT.format(made["id"])),
                       self.daemon.put(CONTENT.format(made["id"]), b"x"), self.daemon.delete(f"/api/memory/allocations/{made['id']}")):
            answer.problem(404, "not-found")
        root.request("DELETE", f"/api/memory/allocations/{made['id']}").ok()
        root.close()

    def test_usage_is_told_by_owner_and_purpose(self):
        self.daemon.allocate(8192, purpose="activations")
        root = self.daemon.client("unix")
        usage = root.request("GET", "/api/memory/usage").ok()
        root.close()
        self.assertEqual([(share["name"], share["bytes"]) for share in usage["byPurpose"]], [("activations", 8192)])
        self.assertEqual(usage["byOwner"][0]["name"], "http")


def resident_kib(pid):
    return memory_kib(pid, "VmRSS:")


def anonymous_kib(pid):
    return memory_kib(pid, "RssAnon:")


def memory_kib(pid, row):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(row))


if __name__ == "__main__":
    unittest.main()
