#!/usr/bin/env python3
"""--watch of every verb that lists, and what a mistyped word is answered with."""
import json
import os
import signal
import subprocess
import unittest

from daemon import BIN, ROOT, Daemon

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
CTL = os.path.join(BIN, "vramctl")
MODEL = "every-type.gguf"

# Each with something to list, so that a line of JSON comes every time.
LISTING = [
    ["status"], ["status", "a"], ["devices"], ["devices", "a"], ["ps"], ["models"], ["models", "m"], ["models", "--available"], ["tensors", "m"], ["cache"],
    ["transfers"], ["limits", "get", "a"], ["pressure"], ["pressure", "a"], ["analytics"], ["audit"], ["system"],
]
CHANGING = [["alloc", "4096"], ["free", "alc_1"], ["load", MODEL], ["unload", "m"], ["limits", "set", "a", "--max", "50%"], ["cache", "--empty"],
            ["transfers", "xfr_1", "--cancel"], ["defragment", "a"], ["top"], ["events"]]
MISTYPED = [
    (["statsu"], "There is no verb 'statsu'; the nearest is 'status'."),
    (["modles"], "There is no verb 'modles'; the nearest is 'models'."),
    (["tpo"], "There is no verb 'tpo'; the nearest is 'top'."),
    (["ps", "--onwer", "x"], "ps has no option '--onwer'; the nearest is '--owner'."),
    (["top", "--onec"], "top has no option '--onec'; the nearest is '--once'."),
    (["--sokcet=x", "ps"], "ps has no option '--sokcet=x'; the nearest is '--socket'."),
    (["--sokcet"], "There is no option '--sokcet'; the nearest is '--socket'."),
]


class Watched(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not os.path.exists(os.path.join(SAMPLES, MODEL)):
            raise unittest.SkipTest("no samples: ./dev samples")
        cls.daemon = Daemon(devices=["host:a=64MiB", "host:b=16MiB"], model_dirs=[SAMPLES], door="unix").__enter__()
        kept = cls.daemon.allocate(4096, deviceId="a")["id"]
        cls.daemon.post("/api/model/load", {"name": "m", "path": MODEL, "type": "other", "deviceId": "a"}).ok()
        cls.daemon.post("/api/memory/transfer", {"sourceAllocationId": kept, "targetDeviceId": "b"}).ok()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)

    def words(self, *words):
        return [CTL, "--socket", self.daemon.socket_path, *words]

    def test_every_verb_that_lists_is_shown_again_until_it_is_interrupted(self):
        for words in LISTING:
            with self.subTest(words=words):
                once = subprocess.run(self.words(*words, "-o", "jsonl"), capture_output=True, timeout=60, check=True).stdout.splitlines()
                self.assertTrue(once, "it has nothing to list here")
                watching = subprocess.Popen(self.words(*words, "--watch=0.1", "-o", "json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                for _ in range(len(once) + 1):  # One line more than one showing has.
                    self.assertIsInstance(json.loads(watching.stdout.readline()), dict)
                watching.send_signal(signal.SIGINT)
                _, errors = watching.communicate(timeout=60)
                self.assertEqual((watching.returncode, errors), (130, b""))

    def test_what_changes_things_is_not_done_again_and_again(self):
        before = self.daemon.get("/api/memory/allocations").ok()
        for words in CHANGING:
            with self.subTest(words=words):
                told = subprocess.run(self.words(*words, "--watch"), capture_output=True, timeout=60, check=False)
                self.assertEqual((told.returncode, told.stdout), (2, b""), told)
                self.assertIn(b"--watch does not apply", told.stderr)
        self.assertEqual(self.daemon.get("/api/memory/allocations").ok()["items"], before["items"])

    def test_a_mistyped_word_is_answered_with_the_nearest_that_there_is(self):
        for words, said in MISTYPED:
            with self.subTest(words=words):
                told = subprocess.run([CTL, *words], capture_output=True, timeout=60, check=False)
                self.assertEqual((told.returncode, told.stdout), (2, b""), told)
                self.assertIn(said, told.stderr.decode())

    def test_help_of_a_verb_is_had_in_either_way(self):
        told = [subprocess.run([CTL, *words], capture_output=True, timeout=60, check=False) for words in (["help", "top"], ["top", "--help"])]
        self.assertEqual([one.returncode for one in told], [0, 0])
        self.assertEqual(told[0].stdout, told[1].stdout)
        self.assertIn(b"--once", told[0].stdout)


if __name__ == "__main__":
    unittest.main()
