#!/usr/bin/env python3
"""With --zombie-grace a process that keeps memory which was freed by force is ended, and nobody else is; without it nobody."""
import os
import re
import select
import signal
import subprocess
import tempfile
import unittest

from attach_bed import DEADLINE, MIB, Child, forever, soon
from attach_client import Attach
from daemon import BIN, Daemon


def ended(child):
    """How the child ended by itself, as `Child.wait` tells it."""
    process = os.pidfd_open(child.pid)
    try:
        waiting = select.poll()
        waiting.register(process, select.POLLIN)
        assert waiting.poll(DEADLINE * 1000), f"process {child.pid} lives on"
    finally:
        os.close(process)
    return child.wait()


def config(*words, environment=None):
    clean = {name: "" for name in os.environ if name.startswith("VRAMD_")}
    return subprocess.run([os.path.join(BIN, "vramd"), "config", *words], capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, **clean, **(environment or {})})


class Zombies(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(devices=["host:a=128MiB"], arguments=["--zombie-grace", "1"], door="unix").__enter__()
        os.chmod(cls.daemon.folder, 0o711)  # For clients of other users.

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)

    def tearDown(self):
        soon(lambda: (lambda items: not items or items)(self.daemon.get("/api/memory/allocations").ok()["items"]), "left")
        self.assertTrue(self.daemon.get("/api/audit").ok()["ok"])

    def hold(self, tell):
        """For a child: keeps memory of its own."""
        client = Attach(self.daemon.socket_path)
        result, memory = client.map("allocate", sizeBytes=5_000_000, persistent=True)
        memory[:] = b"z" * len(memory)
        tell([result["allocation"]["id"], result["allocation"]["grantedBytes"]])
        forever()

    def read(self, tell, allocation_id):
        """For a child: keeps memory of another."""
        client = Attach(self.daemon.socket_path)
        memory = client.map("attach", allocationId=allocation_id)[1]
        tell(bytes(memory[:1]).decode())
        forever()

    def free_by_force(self, allocation_id):
        self.assertEqual(self.daemon.delete(f"/api/memory/allocations/{allocation_id}?force=true").ok()["status"], "zombie")

    def test_all_who_keep_what_was_freed_are_ended_and_its_bytes_come_back_and_who_holds_what_is_live_goes_on(self):
        bystander = Attach(self.daemon.socket_path)  # Of this process: the test would end with it.
        live, memory = bystander.map("allocate", sizeBytes=MIB)
        before = self.daemon.get("/api/memory/status/a").ok()
        holder = Child(self.hold)
        allocation_id, granted = holder.hear()
        reader = Child(self.read, allocation_id)
        self.assertEqual(reader.hear(), "z")
        self.free_by_force(allocation_id)
        for child in (holder, reader):
            self.assertEqual(ended(child), -signal.SIGKILL)

        def came_back():
            now = self.daemon.get("/api/memory/status/a").ok()
            same = all(now[key] == before[key] for key in ("zombieBytes", "usedBytes", "availableBytes"))
            return (same and now["zombieBytes"] == 0) or now

        soon(came_back, "its bytes do not come back")
        for child in (holder, reader):
            line = rf"(?m)^vramd-core: ended process {child.pid} \(.+\), which still held {allocation_id} \({granted} bytes\) though it was freed$"
            soon(lambda line=line: re.search(line, self.daemon.said()) is not None or self.daemon.said(), "the log does not say so")
        memory[:] = b"l" * len(memory)
        content = self.daemon.get(f"/api/memory/allocation/{live['allocation']['id']}/content", {"Range": "bytes=0-7"})
        self.assertEqual(content.body, b"l" * 8)
        self.assertEqual([item["id"] for item in bystander.call("list")["items"]], [live["allocation"]["id"]])
        memory.close()
        bystander.close()

    @unittest.skipUnless(os.geteuid() == 0, "only root has another user's process")
    def test_another_users_process_is_not_ended_by_whoever_shared_memory_with_it(self):
        owner = Attach(self.daemon.socket_path)
        allocation_id = owner.call("allocate", sizeBytes=MIB, persistent=True, shareable=True)["allocation"]["id"]
        owner.call("detach", allocationId=allocation_id)

        def work(tell):
            os.setuid(65534)
            self.read(tell, allocation_id)

        reader = Child(work)
        reader.hear()
        self.free_by_force(allocation_id)
        line = rf"(?m)^vramd-core: cannot end process {reader.pid} .*{allocation_id}.*It runs as another user than the one whose memory that was"
        soon(lambda: re.search(line, self.daemon.said()) is not None or self.daemon.said(), "the log does not say so")
        self.assertEqual(self.daemon.get("/api/memory/status/a").ok()["zombieBytes"], MIB)
        reader.kill()
        owner.close()

    def test_who_has_no_mapping_of_what_was_freed_is_not_ended_and_its_bytes_come_back_all_the_same(self):
        client = Attach(self.daemon.socket_path)  # Of this process.
        small = client.call("allocate", sizeBytes=100, allocationType="default")["allocation"]["id"]
        detached = client.call("allocate", sizeBytes=4096)["allocation"]["id"]
        client.call("detach", allocationId=detached)
        for allocation_id in (small, detached):
            self.free_by_force(allocation_id)
        soon(lambda: self.daemon.get("/api/memory/status/a").ok()["zombieBytes"] == 0, "the zombies stay")
        self.assertEqual(client.call("list")["items"], [])
        client.close()


class Settings(unittest.TestCase):
    def test_the_next_core_ends_who_keeps_it_yet(self):
        with Daemon(devices=["host:a=64MiB"], arguments=["--zombie-grace", "3"], door="unix") as daemon:
            def work(tell):
                client = Attach(daemon.socket_path)
                result, memory = client.map("allocate", sizeBytes=MIB)
                tell(result["allocation"]["id"])
                try:
                    client.receive()
                except OSError:  # The core is dead.
                    again = Attach(daemon.socket_path, None)
                    tell(again.call("hello", version=1, client="test", resumeKey=client.hello["resumeKey"])["held"])
                memory[:1] = b"z"
                forever()

            child = Child(work)
            allocation_id = child.hear()
            self.assertEqual(daemon.delete(f"/api/memory/allocations/{allocation_id}?force=true").ok()["status"], "zombie")
            daemon.kill_core()
            self.assertEqual(child.hear(), [{"mode": "write", "allocationIds": [allocation_id]}])
            self.assertEqual(ended(child), -signal.SIGKILL)
            soon(lambda: daemon.get(f"/api/memory/allocation/{allocation_id}").status == 404, "the zombie stays")
            self.assertTrue(daemon.get("/api/audit").ok()["ok"])

    def test_nobody_is_ended_unless_an_operator_says_so(self):
        self.assertIn("\nzombie_grace=never\n", config("--plain").stdout)
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write('zombie_grace = "60"\n')
            file.flush()
            for words, environment, value, source in (((), {}, "never", "default"), ((), {"VRAMD_ZOMBIE_GRACE": "86400"}, "86400", "VRAMD_ZOMBIE_GRACE"),
                                                      (("--config", file.name), {"VRAMD_ZOMBIE_GRACE": "2"}, "60", f"file {file.name}:1"),
                                                      (("--config", file.name, "--zombie-grace", "1"), {}, "1", "flag"),
                                                      (("--config", file.name, "--zombie-grace", "never"), {}, "never", "flag")):
                told = config(*words, environment=environment)
                self.assertRegex(told.stdout, rf"(?m)^zombie_grace +{value} +{re.escape(source)}$", told)

    def test_a_grace_that_makes_no_sense_is_refused_in_words(self):
        for value in ("soon", "-1", "0", "1.5", "5s", "86401", "99999999999999", "99999999999999999999999"):
            told = config("--zombie-grace", value)
            self.assertEqual(told.returncode, 2, (value, told))
            self.assertIn(f"--zombie-grace must be a whole number of seconds from 1 to 86400, or never; not '{value}'.", told.stderr)


if __name__ == "__main__":
    unittest.main()
