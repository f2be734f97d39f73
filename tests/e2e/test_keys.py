#!/usr/bin/env python3
"""Idempotency-Key: a request that comes again does its work once, in the same core and after its death."""
import json
import os
import signal
import socket
import unittest

from daemon import Daemon

ALLOCATE = "/api/memory/allocations/allocate"


def ids(daemon):
    return sorted(item["id"] for item in daemon.get("/api/memory/allocations?limit=1000").ok()["items"])


class Keys(unittest.TestCase):
    def test_the_same_request_again_gets_the_same_answer_and_makes_nothing_twice(self):
        with Daemon() as daemon:
            key = {"Idempotency-Key": "one"}
            first = daemon.post(ALLOCATE, {"sizeBytes": 4096}, key)
            again = daemon.post(ALLOCATE, {"sizeBytes": 4096}, key)
            self.assertEqual((again.status, again.body), (first.status, first.body))
            self.assertEqual(again.headers["Idempotent-Replayed"], "true")
            self.assertEqual(len(ids(daemon)), 1)
            daemon.post(ALLOCATE, {"sizeBytes": 8192}, key).problem(400, "invalid-field")
            daemon.post(ALLOCATE, {"sizeBytes": 4096}, {"Idempotency-Key": "two"}).ok()
            self.assertEqual(len(ids(daemon)), 2)

    def test_a_key_outlives_the_core_and_its_retry_answers_from_the_change_that_was_made(self):
        with Daemon() as daemon:
            key = {"Idempotency-Key": "k" * 128}
            made = daemon.post(ALLOCATE, {"sizeBytes": 5000, "purpose": "p"}, key).ok()
            daemon.kill_core()
            for _ in range(2):
                again = daemon.post(ALLOCATE, {"sizeBytes": 5000, "purpose": "p"}, key)
                self.assertEqual(again.status, 201)
                self.assertEqual(again.headers["Idempotent-Replayed"], "true")
                self.assertEqual(again.headers["Location"], f"/api/memory/allocation/{made['id']}")
                self.assertEqual({name: again.json()[name] for name in ("id", "sizeBytes", "purpose", "owner", "blockId", "offsetBytes")},
                                 {name: made[name] for name in ("id", "sizeBytes", "purpose", "owner", "blockId", "offsetBytes")})
            self.assertEqual(ids(daemon), [made["id"]])
            daemon.kill_core()
            daemon.post(ALLOCATE, {"sizeBytes": 5001, "purpose": "p"}, key).problem(400, "invalid-field")
            # Another owner's same key is another key.
            admin = daemon.client("unix")
            admin.request("POST", ALLOCATE, {"sizeBytes": 5000, "purpose": "p"}, key).ok()
            self.assertEqual(len(admin.request("GET", "/api/memory/allocations").ok()["items"]), 2)
            admin.close()

    def test_a_free_that_comes_again_after_the_core_s_death_is_told_as_done(self):
        with Daemon() as daemon:
            made = daemon.allocate(9 << 20)
            path, key = f"/api/memory/allocations/{made['id']}", {"Idempotency-Key": "free"}
            freed = daemon.delete(path, key).ok()
            daemon.delete(path, {"Idempotency-Key": "other"}).problem(404, "not-found")
            daemon.kill_core()
            again = daemon.delete(path, key)
            self.assertEqual(again.ok()["freedBytes"], freed["freedBytes"])
            self.assertEqual(again.json()["deviceAfter"]["deviceId"], "a")
            daemon.delete(path).problem(404, "not-found")

    def test_a_transfer_that_comes_again_after_the_core_s_death_is_told_as_it_is(self):
        with Daemon(devices=["host:a=64MiB", "host:b=64MiB"]) as daemon:
            source = daemon.allocate(8 << 20, deviceId="a")["id"]
            for wait in (True, False):
                body, key = {"sourceAllocationId": source, "targetDeviceId": "b", "waitForCompletion": wait}, {"Idempotency-Key": f"move{wait}"}
                first = daemon.post("/api/memory/transfer", body, key)
                made = first.ok()
                self.assertEqual(first.headers["Location"], f"/api/memory/transfer/{made['id']}")
                while daemon.get(first.headers["Location"]).ok()["status"] in ("queued", "running"):
                    pass
                daemon.kill_core()
                again = daemon.post("/api/memory/transfer", body, key)
                self.assertEqual((again.ok()["id"], again.json()["status"], again.json()["targetAllocationId"]), (made["id"], "succeeded", made["targetAllocationId"]))
                self.assertEqual((again.headers["Location"], again.headers["Idempotent-Replayed"]), (first.headers["Location"], "true"))
            self.assertEqual(len(ids(daemon)), 3)

    def test_a_defragmentation_that_comes_again_runs_once_and_answers_what_it_came_to(self):
        with Daemon(devices=["host:a=256MiB"]) as daemon:
            made = [daemon.allocate(250_000)["id"] for _ in range(400)]
            for number, one in enumerate(made):
                if number % 3:
                    daemon.delete(f"/api/memory/allocations/{one}").ok()
            path, body, key = "/api/memory/operations/defragment/a", {"strategy": "thorough", "waitForCompletion": False}, {"Idempotency-Key": "tidy"}
            first = daemon.post(path, body, key)
            self.assertEqual(first.status, 202)
            daemon.kill_core()
            running = daemon.post(path, body, key)
            if running.status == 202:  # The next core goes on with it.
                self.assertEqual((running.json()["id"], running.headers["Location"]), (first.json()["id"], first.headers["Location"]))
            while daemon.get(first.headers["Location"]).ok()["state"] == "running":
                pass
            daemon.kill_core()
            done = daemon.get(first.headers["Location"]).ok()["defragmentation"]
            again = daemon.post(path, body, key)
            self.assertEqual((again.status, again.headers["Idempotent-Replayed"]), (200, "true"))
            self.assertEqual({name: again.json()[name] for name in ("strategy", "moves", "movedBytes", "after")}, {name: done[name] for name in ("strategy", "moves", "movedBytes", "after")})
            self.assertEqual(len(daemon.get("/api/operations").ok()["items"]), 1)
            optimized = daemon.post("/api/memory/operations/optimize", {"operations": ["garbageCollect"]}, {"Idempotency-Key": "sweep"}).ok()
            daemon.kill_core()
            again = daemon.post("/api/memory/operations/optimize", {"operations": ["garbageCollect"]}, {"Idempotency-Key": "sweep"}).ok()
            self.assertEqual((again["actions"], again["after"]), (optimized["actions"], optimized["after"]))

    def test_limits_that_come_again_after_the_core_s_death_are_told_as_they_are_set(self):
        with Daemon(devices=["host:a=64MiB"], door="unix") as daemon:  # The daemon's own user, who may set limits.
            path, body, key = "/api/memory/limits/a", {"reserveBytes": 1 << 20, "ownerQuotas": {"uid:7": 4096}}, {"Idempotency-Key": "tight"}
            first = daemon.put(path, body, key)
            daemon.kill_core()
            again = daemon.put(path, body, key)
            self.assertEqual((again.status, again.headers["Idempotent-Replayed"], again.headers["ETag"]), (200, "true", first.headers["ETag"]))
            for name in ("deviceId", "revision", "reserveBytes", "maxBytes", "usableBytes", "ownerQuotas", "dryRun"):
                self.assertEqual(again.ok()[name], first.ok()[name], name)
            self.assertEqual(again.json()["impact"]["overBytes"], 0)
            # Another change since: what is set is told, and not set back.
            changed = daemon.put(path, {"reserveBytes": 2 << 20}).ok()
            daemon.kill_core()
            again = daemon.put(path, body, key).ok()
            self.assertEqual((again["revision"], again["reserveBytes"]), (changed["revision"], 2 << 20))
            self.assertEqual(daemon.get(path).ok()["reserveBytes"], 2 << 20)
            daemon.put(path, {"reserveBytes": 5}, key).problem(400, "invalid-field")  # Another body under the same key.

    def test_what_was_made_and_freed_since_is_not_made_again(self):
        with Daemon() as daemon:
            key = {"Idempotency-Key": "once"}
            made = daemon.post(ALLOCATE, {"sizeBytes": 4096}, key).ok()
            daemon.delete(f"/api/memory/allocations/{made['id']}").ok()
            daemon.kill_core()
            told = daemon.post(ALLOCATE, {"sizeBytes": 4096}, key).problem(409, "conflict")
            self.assertIn(made["id"], told["detail"])
            self.assertEqual(ids(daemon), [])

    def test_a_core_killed_between_the_change_and_its_answer_leaves_one_allocation_for_every_key(self):
        with Daemon(devices=["host:a=256MiB"]) as daemon:
            keys = [f"key{number}" for number in range(150)]
            for start in range(0, len(keys), 30):
                # Sent without waiting for the answers: the core dies somewhere among them.
                senders = []
                for key in keys[start:start + 30]:
                    sender = socket.create_connection(("127.0.0.1", daemon.port))
                    body = json.dumps({"sizeBytes": 100000}).encode()
                    sender.sendall(f"POST {ALLOCATE} HTTP/1.1\r\nHost: 127.0.0.1:{daemon.port}\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n"
                                   f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
                    senders.append(sender)
                system = daemon.system()
                os.kill(system["corePid"], signal.SIGKILL)
                for sender in senders:
                    sender.close()
                daemon.next_generation(system["generation"])
            made = [daemon.post(ALLOCATE, {"sizeBytes": 100000}, {"Idempotency-Key": key}).ok()["id"] for key in keys]
            self.assertEqual(len(set(made)), len(keys))
            self.assertEqual(ids(daemon), sorted(made))
            self.assertEqual([daemon.post(ALLOCATE, {"sizeBytes": 100000}, {"Idempotency-Key": key}).ok()["id"] for key in keys], made)
            self.assertTrue(daemon.get("/api/audit").ok()["ok"])

    def test_a_key_is_one_to_128_characters(self):
        with Daemon() as daemon:
            for key in ("", "k" * 129):
                daemon.post(ALLOCATE, {"sizeBytes": 4096}, {"Idempotency-Key": key}).problem(400, "invalid-field")


if __name__ == "__main__":
    unittest.main()
