#!/usr/bin/env python3
"""Defragmenting and optimizing a real daemon: what is gained, that every byte stays, and a core killed in the middle of it."""
import hashlib
import json
import os
import re
import shlex
import subprocess
import threading
import unittest

from daemon import BIN, ROOT, Daemon

CONTENT = "/api/memory/allocation/{}/content"
DEFRAGMENT = "/api/memory/operations/defragment"
OPTIMIZE = "/api/memory/operations/optimize"


def fragmented(daemon, count=160, size=150_000, keep=6):
    """Allocations over several blocks of which one in `keep` is left: id → the hash of its bytes."""
    made = [daemon.allocate(size)["id"] for _ in range(count)]
    held = {}
    for index, name in enumerate(made):
        if index % keep == 0:
            data = os.urandom(size)
            daemon.put(CONTENT.format(name), data).ok()
            held[name] = hashlib.sha256(data).hexdigest()
        else:
            daemon.delete(f"/api/memory/allocations/{name}").ok()
    return held


class Upkeep(unittest.TestCase):
    def assert_held(self, daemon, held):
        for name, digest in held.items():
            self.assertEqual(hashlib.sha256(daemon.get(CONTENT.format(name)).body).hexdigest(), digest, name)
        self.assertTrue(daemon.get("/api/audit").ok()["ok"])

    def test_a_dry_run_says_what_a_defragmentation_then_does(self):
        with Daemon(devices=["host:a=128MiB"]) as daemon:
            held = fragmented(daemon)
            before = daemon.get("/api/memory/status/a").ok()
            sequence = daemon.system()["ledgerSequence"]
            tried = daemon.post(DEFRAGMENT + "/a", {"dryRun": True}).ok()
            self.assertEqual(daemon.system()["ledgerSequence"], sequence)
            done = daemon.post(DEFRAGMENT + "/a", {}).ok()
            for field in ("moves", "movedBytes", "freedBytes", "efficiency", "before", "after", "stoppedBy"):
                self.assertEqual(tried[field], done[field], field)
            self.assertEqual((tried["dryRun"], done["dryRun"], done["strategy"], done["stoppedBy"]), (True, False, "balanced", "done"))
            self.assertGreater(done["moves"], 0)
            self.assertGreater(done["efficiency"], 1)
            self.assertLess(done["after"]["fragmentationPercentage"], done["before"]["fragmentationPercentage"])
            self.assertEqual(done["after"]["uncommittedBytes"] - done["before"]["uncommittedBytes"], done["freedBytes"])
            after = daemon.get("/api/memory/status/a").ok()
            self.assertEqual(after["usedBytes"], before["usedBytes"])
            self.assert_held(daemon, held)

    def test_it_goes_on_after_its_answer_shows_progress_and_can_be_cancelled(self):
        with Daemon(devices=["host:a=256MiB"]) as daemon:
            held = fragmented(daemon, 400, 200_000, 3)
            answer = daemon.post(DEFRAGMENT, {"strategy": "thorough", "waitForCompletion": False})
            self.assertEqual(answer.status, 202)
            told = answer.ok()
            self.assertEqual((told["kind"], answer.headers["Location"]), ("defragment", "/api/operations/" + told["id"]))
            done = 0
            while True:
                now = daemon.get(answer.headers["Location"]).ok()
                self.assertGreaterEqual(now["doneBytes"], done)
                done = now["doneBytes"]
                if now["state"] != "running":
                    break
            self.assertEqual(now["state"], "succeeded")
            self.assertEqual(now["progressPercentage"], 100)
            self.assertGreater(now["defragmentation"]["moves"], 0)
            second = daemon.post(DEFRAGMENT, {"strategy": "thorough", "waitForCompletion": False}).ok()
            daemon.delete("/api/operations/" + second["id"])  # Over already, or cancelled now: both are an end.
            while daemon.get("/api/operations/" + second["id"]).ok()["state"] == "running":
                pass
            self.assert_held(daemon, held)

    def test_what_is_asked_wrongly_is_refused_by_its_field(self):
        with Daemon(devices=["host:a=64MiB"]) as daemon:
            daemon.post(DEFRAGMENT + "/b", {}).problem(404, "not-found")
            daemon.post(DEFRAGMENT, {"strategy": "furious"}).problem(400, "invalid-field")
            daemon.post(DEFRAGMENT, {"timeLimitMs": 0}).problem(400, "invalid-field")
            daemon.post(DEFRAGMENT, {"targetFragmentationPercentage": 101}).problem(400, "invalid-field")
            daemon.post(OPTIMIZE, {"operations": ["tidy"]}).problem(400, "invalid-field")
            daemon.post(OPTIMIZE, {"preserveAllocationIds": ["alc_1"]}).problem(404, "not-found")

    def test_an_optimize_tells_of_each_operation_and_preserves_what_it_is_told_to(self):
        with Daemon(devices=["host:a=128MiB"], door="unix") as daemon:
            held = fragmented(daemon)
            places = {name: daemon.get(f"/api/memory/allocation/{name}").ok()["blockId"] for name in held}
            body = {"operations": ["garbageCollect", "defragment", "compact", "preload", "cache"], "preserveAllocationIds": sorted(held)}
            kept = daemon.post(OPTIMIZE + "/a", body).ok()
            self.assertEqual([action["operation"] for action in kept["actions"]], body["operations"])
            self.assertEqual(sum(action["moves"] for action in kept["actions"]), 0)
            self.assertEqual(kept["actions"][1]["stoppedBy"], "pinned")
            self.assertTrue(kept["actions"][1]["whyLeft"])
            self.assertEqual(places, {name: daemon.get(f"/api/memory/allocation/{name}").ok()["blockId"] for name in held})
            done = daemon.post(OPTIMIZE + "/a", {}).ok()
            self.assertEqual([action["operation"] for action in done["actions"]], ["garbageCollect", "defragment", "compact"])
            self.assertGreater(done["actions"][1]["freedBytes"], 0)
            self.assertGreater(done["after"]["uncommittedBytes"], done["before"]["uncommittedBytes"])
            self.assert_held(daemon, held)

    def test_a_core_killed_in_mid_defragmentation_loses_nothing_and_the_next_one_ends_it(self):
        with Daemon(devices=["host:a=512MiB"]) as daemon:
            held, taken_up = {}, 0
            for _ in range(6):
                held.update(fragmented(daemon, 500, 250_000, 3))
                started = daemon.post(DEFRAGMENT, {"strategy": "thorough", "waitForCompletion": False}).ok()
                system = daemon.kill_core()
                while (now := daemon.get("/api/operations/" + started["id"]).ok())["state"] == "running":
                    pass
                self.assertEqual(now["state"], "succeeded")
                told = now["defragmentation"]
                self.assertGreater(told["moves"], 0)
                self.assertGreater(told["after"]["uncommittedBytes"], told["before"]["uncommittedBytes"])
                self.assert_held(daemon, held)
                if now["endedAt"] > system["coreStartedAt"]:
                    taken_up += 1
                    break
                for name in held:  # It was over before the kill: once more, with more of it.
                    daemon.delete(f"/api/memory/allocations/{name}").ok()
                held.clear()
            self.assertEqual(taken_up, 1)

    def test_readers_and_writers_meanwhile_see_their_own_bytes(self):
        with Daemon(devices=["host:a=256MiB"]) as daemon:
            held = fragmented(daemon, 300, 120_000, 3)
            wrong, over = [], threading.Event()

            def work(names):
                client = daemon.client("tcp")
                try:
                    while not over.is_set():
                        for name in names:
                            if hashlib.sha256(client.request("GET", CONTENT.format(name)).body).hexdigest() != held[name]:
                                wrong.append(name)
                            data = os.urandom(120_000)
                            client.request("PUT", CONTENT.format(name), data).ok()
                            held[name] = hashlib.sha256(data).hexdigest()
                finally:
                    client.close()

            names = sorted(held)
            users = [threading.Thread(target=work, args=(names[part::10],)) for part in range(2)]
            for user in users:
                user.start()
            moves = sum(daemon.post(DEFRAGMENT, {"strategy": strategy}).ok()["moves"] for strategy in ("quick", "balanced", "thorough"))
            over.set()
            for user in users:
                user.join()
            self.assertGreater(moves, 0)
            self.assertEqual(wrong, [])
            self.assert_held(daemon, held)

    def test_vramctl_defragments_and_optimizes(self):
        with Daemon(devices=["host:a=128MiB"]) as daemon:
            held = fragmented(daemon)

            def ctl(*words):
                done = subprocess.run([os.path.join(BIN, "vramctl"), "--url", f"http://127.0.0.1:{daemon.port}", *words], capture_output=True, text=True,
                                      timeout=60, check=False)
                return done.returncode, done.stdout, done.stderr

            code, said, _ = ctl("defragment", "a", "--dry-run", "-o", "json")
            self.assertEqual(code, 0)
            tried = json.loads(said)
            code, said, _ = ctl("defragment", "a")
            self.assertEqual(code, 0)
            self.assertRegex(said, r"Stopped by +done")
            self.assertRegex(said, rf"Moves +{tried['moves']}\n")
            code, said, _ = ctl("optimize", "a", "--operations", "compact,garbageCollect", "-o", "json")
            self.assertEqual((code, [action["operation"] for action in json.loads(said)["actions"]]), (0, ["compact", "garbageCollect"]))
            self.assertEqual(ctl("defragment", "b")[0], 3)
            self.assertEqual(ctl("defragment", "a", "--strategy", "furious")[0], 2)
            code, said, _ = ctl("defragment", "a", "--detach")
            self.assertEqual(code, 0)
            self.assertRegex(said, r"^op_\w+\n$")
            while daemon.get("/api/operations/" + said.strip()).ok()["state"] == "running":
                pass
            self.assert_held(daemon, held)

    def test_the_lines_of_the_page_do_what_it_says(self):
        with open(os.path.join(ROOT, "docs", "defragmentation.md"), encoding="utf-8") as file:
            lines = re.findall(r"^\$ (.*)$", file.read(), re.M)
        self.assertEqual(len(lines), 6)
        with Daemon(devices=["host:a=128MiB"]) as daemon:
            held = fragmented(daemon)
            url = f"http://127.0.0.1:{daemon.port}"
            for line in lines:
                words = [word.replace("$URL", url) for word in shlex.split(line)]
                if words[0] == "vramctl":
                    words[0:1] = [os.path.join(BIN, "vramctl"), "--url", url]
                while any(one["state"] == "running" for one in daemon.get("/api/operations").ok()["items"]):
                    pass  # A line may leave an operation behind, and one at a time works on a device.
                done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual(done.returncode, 0, (line, done.stderr))
                self.assertNotIn('"code"', done.stdout, line)
            self.assert_held(daemon, held)


if __name__ == "__main__":
    unittest.main()
