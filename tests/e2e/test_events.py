#!/usr/bin/env python3
"""The ledger as events: what a reader gets, filtered and by owner; coming back after a core's death; slow readers and many of them."""
import os
import signal
import subprocess
import threading
import time
import unittest

from daemon import BIN, Daemon
from events import STREAM, Follower, Stream, recorded

CONTENT = "/api/memory/allocation/{}/content"


def work(client, rounds, size=4096, **fields):
    """Allocates and frees; the ids."""
    ids = []
    for _ in range(rounds):
        made = client.request("POST", "/api/memory/allocations/allocate", {"sizeBytes": size, **fields}).ok()
        client.request("DELETE", f"/api/memory/allocations/{made['id']}").ok()
        ids.append(made["id"])
    client.close()
    return ids


class Events(unittest.TestCase):
    def test_each_change_is_told_in_its_order_with_its_facts(self):
        with Daemon(door="unix") as daemon:
            stream = Stream(daemon.unix(), STREAM)
            made = daemon.allocate(5000, purpose="scratch")
            daemon.put(CONTENT.format(made["id"]), b"x" * 5000).ok()
            daemon.delete(f"/api/memory/allocations/{made['id']}").ok()
            mine = []
            for number, kind, data in stream:
                self.assertEqual((data["sequence"], data["type"]), (number, kind))
                if data.get("allocationId") == made["id"]:
                    mine.append(data)
                if kind == "allocationFreed":
                    break
            stream.close()
            self.assertEqual([data["type"] for data in mine], ["allocationReserved", "allocationReady", "allocationAccessed", "allocationFreed"])
            first = mine[0]
            self.assertEqual((first["sizeBytes"], first["purpose"], first["deviceId"], first["owner"], first["allocationType"]),
                             (5000, "scratch", "a", made["owner"], "default"))
            self.assertEqual(mine[-1]["reason"], "freed")
            self.assertTrue(all(data["owner"] == made["owner"] and data["deviceId"] == "a" for data in mine))

    def test_filters_take_what_they_name_and_nothing_else(self):
        with Daemon(devices=["host:a=32MiB", "host:b=32MiB"], door="unix") as daemon:
            for device in "ab":
                work(daemon.default, 3, deviceId=device)
            work(daemon.default, 2, deviceId="a", owner="anna")
            everything = recorded(daemon.unix())
            self.assertEqual([event[0] for event in everything], list(range(1, len(everything) + 1)))
            for query, holds in (({"type": "allocationFreed"}, lambda data: data["type"] == "allocationFreed"),
                                 ({"type": "allocationReserved,allocationReady"}, lambda data: data["type"] in ("allocationReserved", "allocationReady")),
                                 ({"deviceId": "b"}, lambda data: data.get("deviceId") == "b"),
                                 ({"owner": "anna"}, lambda data: data.get("owner") == "anna"),
                                 ({"owner": "anna", "type": "allocationFreed", "deviceId": "a"}, lambda data: data["type"] == "allocationFreed" and data.get("owner") == "anna")):
                expected = [event for event in everything if holds(event[2])]
                self.assertGreater(len(expected), 1, query)
                self.assertEqual(recorded(daemon.unix(), **query), expected, query)

    def test_a_user_sees_its_own_and_the_daemons_and_an_admin_all(self):
        with Daemon(door="unix") as daemon:
            work(daemon.client("unix"), 3)
            work(daemon.client("tcp"), 2)
            admin, user = recorded(daemon.unix()), recorded(daemon.tcp())
            self.assertEqual({data.get("owner") for _, _, data in user}, {None, "http"})
            self.assertIn("deviceAdded", {kind for _, kind, _ in user})
            self.assertEqual(user, [event for event in admin if event[2].get("owner") in (None, "http")])
            self.assertEqual(recorded(daemon.tcp(), owner="uid:0"), [])

    def test_a_reader_that_comes_back_after_each_death_of_the_core_misses_nothing_and_sees_nothing_twice(self):
        with Daemon(door="unix") as daemon:
            end = [None]
            followers = [Follower(daemon.unix, 1, lambda: end[0] or float("inf")) for _ in range(3)]
            for follower in followers:
                follower.start()
            client = daemon.client("unix")
            for _ in range(4):
                work(client, 60)
                generation = daemon.system()["generation"]
                os.kill(daemon.core_pid(), signal.SIGKILL)
                client.close()
                daemon.next_generation(generation)
            work(client, 20)
            end[0] = daemon.system()["ledgerSequence"]
            work(client, 1)  # So that each is woken once more.
            for follower in followers:
                follower.join(60)
                self.assertIsNone(follower.failure)
                self.assertFalse(follower.is_alive(), "a reader did not get to the end")
                self.assertGreaterEqual(follower.connections, 5)
                self.assertEqual([event[0] for event in follower.events[:end[0]]], list(range(1, end[0] + 1)))
            truth = recorded(daemon.unix())
            for follower in followers:
                self.assertEqual(follower.events[:end[0]], truth[:end[0]])

    def test_a_reader_that_does_not_read_keeps_nobody_waiting_and_gets_everything_later(self):
        with Daemon(door="unix") as daemon:
            client = daemon.client("unix")

            def pace(rounds):
                begun = time.monotonic()
                work(client, rounds)
                return time.monotonic() - begun

            pace(100)
            alone = min(pace(200) for _ in range(3))
            sleepers = [Stream(daemon.unix(), f"{STREAM}?from=1", pace=1024) for _ in range(8)]
            beside = min(pace(200) for _ in range(3))
            self.assertLess(beside, alone * 4 + 1, "readers that do not read slow the daemon")
            last = daemon.system()["ledgerSequence"]
            for sleeper in sleepers:
                seen = []
                for event in sleeper:
                    seen.append(event[0])
                    if event[0] >= last:
                        break
                sleeper.close()
                self.assertEqual(seen[:last], list(range(1, last + 1)))
            self.assertTrue(daemon.get("/api/audit").ok()["ok"])

    def test_a_hundred_readers_all_see_all(self):
        with Daemon(door="unix") as daemon:
            streams = [Stream(daemon.unix(), f"{STREAM}?from=1") for _ in range(100)]
            seen = [[] for _ in streams]
            stop = threading.Event()

            def read(index):
                for event in streams[index]:
                    seen[index].append(event)
                    if event[1] == "allocationFreed" and stop.is_set() and event[2]["allocationId"] == last[0]:
                        return

            last = [None]
            threads = [threading.Thread(target=read, args=(index,), daemon=True) for index in range(len(streams))]
            for thread in threads:
                thread.start()
            work(daemon.default, 50)
            made = daemon.allocate(4096)
            last[0] = made["id"]
            stop.set()
            daemon.delete(f"/api/memory/allocations/{made['id']}").ok()
            for thread in threads:
                thread.join(60)
                self.assertFalse(thread.is_alive())
            for stream in streams:
                stream.close()
            self.assertTrue(all(one == seen[0] for one in seen))
            self.assertEqual([event[0] for event in seen[0]], list(range(1, len(seen[0]) + 1)))

    def test_what_cannot_be_streamed_is_refused_in_words(self):
        with Daemon() as daemon:
            for query, status, code in (("?type=nonsense", 400, "invalid-field"), ("?type=", 200, None), ("?from=1000000", 400, "invalid-field"), ("?from=-1", 400, "invalid-field"),
                                        ("?follow=maybe", 400, "invalid-field"), ("?colour=red", 400, "invalid-field")):
                stream = Stream(daemon.tcp(), STREAM + query)
                self.assertEqual(stream.response.status, status, query)
                if code:
                    self.assertIn(f'"code":"{code}"', stream.response.read().decode())
                stream.close()
            for seen in ("x", "-1", "18446744073709551615", "99999999", "1.0"):
                daemon.get(STREAM, {"Last-Event-ID": seen}).problem(400, "invalid-field")
            daemon.get(STREAM, {"Accept": "application/json"}).problem(406, "not-acceptable")
            answer = daemon.default.request("HEAD", STREAM)
            self.assertEqual((answer.status, answer.headers["Content-Type"], answer.body), (200, "text/event-stream", b""))

    def test_vramctl_follows_through_a_core_s_death(self):
        with Daemon(door="unix") as daemon:
            command = [os.path.join(BIN, "vramctl"), "--socket", daemon.socket_path, "events", "-f", "--since", "1", "-o", "jsonl"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follow:
                try:
                    work(daemon.default, 5)
                    lines = [follow.stdout.readline() for _ in range(10)]
                    daemon.kill_core()
                    work(daemon.client("unix"), 5)
                    last = daemon.system()["ledgerSequence"]
                    lines += [follow.stdout.readline() for _ in range(last - 10)]
                    numbers = [int(line.split('"sequence":')[1].split(",")[0]) for line in lines]
                    self.assertEqual(numbers, list(range(1, last + 1)))
                finally:
                    follow.kill()
            shown = subprocess.run([*command[:4], "--last", "3"], capture_output=True, text=True, timeout=30, check=True).stdout
            self.assertEqual([int(line.split()[0]) for line in shown.splitlines()], [last - 2, last - 1, last])


if __name__ == "__main__":
    unittest.main()
