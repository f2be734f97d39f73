#!/usr/bin/env python3
"""How the daemon begins, ends and comes back: ready line, signals, a second daemon, a killed core, a lease that runs out."""
import os
import signal
import subprocess
import tempfile
import unittest

from daemon import Daemon

CONTENT = "/api/memory/allocation/{}/content"


class Life(unittest.TestCase):
    def test_sigterm_ends_it_with_0_and_leaves_no_process_and_no_socket(self):
        with Daemon() as daemon:
            daemon.allocate(4096)
        # Daemon.stop, which the `with` ran, holds all of that.

    def test_a_killed_core_comes_back_with_the_same_ids_and_the_same_bytes(self):
        with Daemon() as daemon:
            kept = {}
            for size in (1, 4096, 70_000, 9 << 20):
                made = daemon.allocate(size)
                kept[made["id"]] = os.urandom(size)
                daemon.put(CONTENT.format(made["id"]), kept[made["id"]]).ok()
            before = daemon.system()
            for generation in range(2, 6):
                told = daemon.kill_core()
                self.assertEqual((told["generation"], told["keeperPid"]), (generation, before["keeperPid"]))
                self.assertNotEqual(told["corePid"], before["corePid"])
                self.assertEqual(told["recovery"]["findings"], [])
                for name, data in kept.items():
                    self.assertTrue(daemon.get(CONTENT.format(name)).body == data, name)
                self.assertTrue(daemon.get("/api/audit").ok()["ok"])

    def test_a_device_of_half_the_memory_is_as_large_after_a_killed_core_whatever_it_holds(self):
        with Daemon(devices=["host"]) as daemon:
            size = 1 << 30
            daemon.allocate(size)
            missing = []
            for _ in range(5):  # Other programs may take or give memory just then, but not each time.
                daemon.kill_core()
                told = daemon.get("/api/memory/status/host0").ok()
                if told.get("groupLimitBytes") is not None:
                    self.skipTest("half of what the group may have, of which nobody tells the cache")
                missing.append(abs((told["systemAvailableBytes"] + size) // 2 - told["totalBytes"]))
            self.assertLess(min(missing), size // 4, "what it holds itself counts as there")

    def test_a_second_daemon_on_the_same_state_directory_is_refused_in_words(self):
        with Daemon() as daemon:
            second = Daemon(state_dir=daemon.state_dir)
            done = subprocess.run(second.command, capture_output=True, text=True, timeout=30, check=False)
            second.discard()
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(str(daemon.process.pid), done.stderr)
            daemon.allocate(4096)

    def test_what_a_daemon_cannot_start_with_is_said_in_words(self):
        for arguments in (["--device", "host:a=12parsecs"], ["--device", "floppy"], ["--listen", "nowhere"], ["--listen", "0.0.0.0:0"], ["--frobnicate"]):
            daemon = Daemon(devices=(), arguments=arguments)
            done = subprocess.run(daemon.command, capture_output=True, text=True, timeout=30, check=False)
            daemon.discard()
            self.assertNotEqual(done.returncode, 0, arguments)
            self.assertTrue(done.stderr.strip(), arguments)
            self.assertNotIn("terminate called", done.stderr)

    def test_sighup_changes_nothing_that_is_held(self):
        with Daemon() as daemon:
            made = daemon.allocate(4096)
            daemon.put(CONTENT.format(made["id"]), b"x" * 4096).ok()
            generation = daemon.system()["generation"]
            daemon.process.send_signal(signal.SIGHUP)
            daemon.next_generation(generation)
            self.assertEqual(daemon.get(CONTENT.format(made["id"])).body, b"x" * 4096)
            self.assertIsNone(daemon.process.poll())

    def test_the_memory_ends_with_the_keeper_and_the_next_daemon_says_so_by_an_empty_list(self):
        with tempfile.TemporaryDirectory() as state:
            with Daemon(state_dir=state) as daemon:
                daemon.allocate(4096)
            with Daemon(state_dir=state) as again:
                self.assertEqual(again.get("/api/memory/allocations").ok()["items"], [])
                self.assertEqual(again.get("/api/memory/status").ok()["usedBytes"], 0)
                self.assertTrue(again.get("/api/audit").ok()["ok"])

    def test_memory_that_is_not_persistent_ends_with_its_lease_and_a_renewal_prolongs_it(self):
        with Daemon() as daemon:
            short = daemon.allocate(4096, persistent=False, leaseSeconds=1)
            longer = daemon.allocate(4096, persistent=False, leaseSeconds=1)
            daemon.put(f"/api/memory/allocation/{longer['id']}/lease", {"leaseSeconds": 600}).ok()
            self.assertEqual(daemon.get(f"/api/memory/allocation/{longer['id']}").ok()["leaseSeconds"], 600)
            while daemon.get(f"/api/memory/allocation/{short['id']}").status == 200:
                pass  # Reading the record is no access, so this ends when the lease does; CTest's limit bounds it.
            daemon.get(f"/api/memory/allocation/{longer['id']}").ok()

    def test_a_daemon_without_tcp_serves_on_its_socket(self):
        daemon = Daemon()
        daemon.command[daemon.command.index("127.0.0.1:0")] = "none"
        try:
            daemon.process = subprocess.Popen(daemon.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self.assertTrue(daemon.process.stdout.readline().startswith(b"vramd ready "))
            client = daemon.client("unix")
            self.assertEqual(client.request("GET", "/healthz").ok()["status"], "ok")
            client.close()
        finally:
            daemon.discard()


if __name__ == "__main__":
    unittest.main()
