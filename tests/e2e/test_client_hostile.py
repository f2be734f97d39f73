#!/usr/bin/env python3
"""libvramd in hands that do everything wrong: texts that are none, progress that throws or asks, handles that were moved from or outlive their client, forks.
What each must do is in client_hostile.cpp, which tells what did not hold."""
import os
import subprocess
import tempfile
import unittest

from attach_bed import MIB, descriptors_of, soon
from attach_files import write_bytes_model
from daemon import BIN, Daemon


class ClientHostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="vramd-client-")
        for seed, (name, size) in enumerate((("two.safetensors", 2 * MIB), ("eight.safetensors", 8 * MIB)), 1):
            write_bytes_model(os.path.join(cls.folder.name, name), size, seed)
        cls.daemon = Daemon(devices=["host:a=64MiB"], model_dirs=[cls.folder.name], arguments=["--ram-cache", "0"], door="unix").__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)
        cls.folder.cleanup()

    def test_everything_wrong_is_refused_or_does_no_harm(self):
        with subprocess.Popen([os.path.join(BIN, "client_hostile"), self.daemon.socket_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                wrong = []
                while (line := process.stdout.readline().strip()) not in ("before", ""):
                    wrong.append(line)
                self.assertEqual(wrong, [])
                self.assertEqual(line, "before")
                before = descriptors_of(self.daemon.core_pid())
                print("go on", file=process.stdin, flush=True)
                self.assertEqual(process.stdout.readline().strip(), "after")
                soon(lambda: (lambda now: now <= before or now)(descriptors_of(self.daemon.core_pid())), f"the child holds the connection, {before} before")
                print("go on", file=process.stdin, flush=True)
                self.assertEqual(process.stdout.read(), "")
                self.assertEqual(process.wait(60), 0)
            finally:
                process.kill()
        soon(lambda: (lambda told: not any(told.values()) or told)({model["name"]: model["attachedClients"] for model in self.daemon.get("/api/model/status").ok()["loadedModels"]}), "held")
        soon(lambda: (lambda items: not items or items)([item for item in self.daemon.get("/api/memory/allocations").ok()["items"] if item["owner"] != "vramd"]), "left")
        self.assertTrue(self.daemon.get("/api/audit").ok()["ok"])


if __name__ == "__main__":
    unittest.main()
