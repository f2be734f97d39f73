#!/usr/bin/env python3
"""`vramctl upgrade`: the keeper goes on with the binaries now on disk, memory kept; what cannot take over is left alone, and that is said."""
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

from daemon import BIN, Daemon

MIB = 1 << 20
REFUSED_WITHIN = "3"  # Nothing comes in any time: the keeper has refused.


class Upgrade(unittest.TestCase):
    def setUp(self):
        self.programs = tempfile.mkdtemp(prefix="vramd-upgrade-")
        self.addCleanup(shutil.rmtree, self.programs)
        for name in ("vramd", "vramd-core", "vramd-worker"):
            shutil.copy2(os.path.join(BIN, name), self.programs)
        self.daemon = Daemon(devices=["host:a=64MiB"], door="unix")
        self.daemon.command[0] = os.path.join(self.programs, "vramd")
        self.addCleanup(self.daemon.discard)
        self.daemon.start()
        self.bytes = os.urandom(MIB)
        self.id = self.daemon.allocate(MIB)["id"]
        self.daemon.put(f"/api/memory/allocation/{self.id}/content", self.bytes).ok()

    def ctl(self, *words):
        environment = {**os.environ, "VRAMD_SOCKET": self.daemon.socket_path}
        done = subprocess.run([os.path.join(BIN, "vramctl"), "upgrade", *words], capture_output=True, text=True, env=environment, timeout=180, check=False)
        return done.returncode, done.stdout, done.stderr

    def replace(self, name, source):
        """As a package does it: a new file under the old name."""
        fresh = os.path.join(self.programs, "fresh")
        shutil.copy2(source, fresh)
        os.rename(fresh, os.path.join(self.programs, name))
        return os.stat(os.path.join(self.programs, name)).st_ino

    def runs(self, pid):
        return os.stat(f"/proc/{pid}/exe").st_ino

    def content(self):
        self.daemon.default.close()
        return self.daemon.get(f"/api/memory/allocation/{self.id}/content").body

    def test_keeper_and_core_are_the_new_files_and_the_bytes_are_there(self):
        before = self.daemon.system()
        keeper, core = (self.replace(name, os.path.join(BIN, name)) for name in ("vramd", "vramd-core"))
        self.assertNotEqual(self.runs(before["keeperPid"]), keeper)
        code, told, said = self.ctl()
        self.assertEqual((code, said), (0, ""))
        self.assertRegex(told, rf"^The keeper \(pid {before['keeperPid']}\) went on with the binary on disk: vramd \S+ before, \S+ now, core {before['generation'] + 1}, all memory kept\.\n$")
        self.assertEqual(self.content(), self.bytes)
        after = self.daemon.system()
        self.assertEqual((after["keeperPid"], after["generation"]), (before["keeperPid"], before["generation"] + 1))
        self.assertEqual((self.runs(after["keeperPid"]), self.runs(after["corePid"])), (keeper, core))
        code, told, said = self.ctl()
        self.assertEqual((code, said), (0, ""))
        self.assertIn("the binary on disk, which it ran before too: vramd", told)
        after = self.daemon.next_generation(after["generation"])
        code, told, said = self.ctl("-o", "name")
        self.assertEqual((code, told, said), (0, after["bootId"] + "\n", ""))
        self.assertEqual(self.daemon.next_generation(after["generation"])["generation"], after["generation"] + 1)
        self.daemon.stop()

    def test_a_binary_that_cannot_take_over_is_left_alone_and_that_is_said(self):
        before = self.daemon.system()
        self.replace("vramd", shutil.which("true"))
        code, told, said = self.ctl("--timeout", REFUSED_WITHIN)
        self.assertEqual((code, told), (6, ""), said)
        self.assertEqual(said.splitlines()[0], f"vramctl: No other core has come within {REFUSED_WITHIN} s.")
        self.assertIn("all is as it was", said)
        self.assertIn("Try: ", said)
        self.assertIn("no upgrade", self.daemon.said())
        after = self.daemon.system()
        self.assertEqual((after["corePid"], after["generation"]), (before["corePid"], before["generation"]))
        self.assertEqual(self.content(), self.bytes)
        self.daemon.stop()

    def test_a_core_that_comes_for_another_reason_is_no_upgrade(self):
        before = self.daemon.system()
        self.replace("vramd", shutil.which("true"))
        waits = subprocess.Popen([os.path.join(BIN, "vramctl"), "--socket", self.daemon.socket_path, "upgrade", "--timeout", "20"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while "no upgrade" not in self.daemon.said():  # Each look is a request, so that a daemon that ended ends this too.
            self.daemon.system()
        os.kill(self.daemon.process.pid, signal.SIGHUP)
        told, said = waits.communicate(timeout=120)
        self.assertEqual((waits.returncode, told), (6, ""), said)
        self.assertIn("still runs the file of before, not the one on disk", said)
        self.daemon.next_generation(before["generation"])
        self.assertEqual(self.content(), self.bytes)
        self.daemon.stop()

    def test_what_is_no_signal_is_refused_in_words(self):
        generation = self.daemon.system()["generation"]
        for words, code, part in ((["--url", f"http://127.0.0.1:{self.daemon.port}"], 2, "only its Unix socket tells"), (["--timeout", "0"], 2, "from 1 to 3600"),
                                  (["--timeout", "soon"], 2, "'soon' is not a whole number"), (["--socket", "/nowhere/vramd.sock"], 5, "")):
            with self.subTest(words=words):
                ended, told, said = self.ctl(*words)
                self.assertEqual((ended, told), (code, ""), said)
                self.assertIn(part, said)
        code, told, _ = self.ctl("--curl")
        self.assertEqual(code, 0)
        self.assertTrue(told.startswith("curl "), told)
        self.assertEqual(self.daemon.system()["generation"], generation)
        self.daemon.stop()


if __name__ == "__main__":
    unittest.main()
