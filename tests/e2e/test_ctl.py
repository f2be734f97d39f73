#!/usr/bin/env python3
"""vramctl against a real daemon: every verb's exit code, its table and its JSON, and how it fails.

One row a call: the words, the exit code, and what its table must show. The verbs are counted against `vramctl --help`, so that a new one
without a row is red. Whatever is written into a pipe holds no ESC; JSON is the API's body, unchanged; a failure is at most three lines.
"""
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time
import unittest

from daemon import BIN, ROOT, Daemon

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
CTL = os.path.join(BIN, "vramctl")
MODEL = "every-type.gguf"
NOWHERE = "alc_0q3xw8c5k2mznd1"
EXITS = "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused for memory or limit, 5 daemon unreachable, 6 timed out, 7 conflict"

# (words, exit code, texts of the table, the API's path whose body -o json shows). KEPT is a live allocation of 4 KiB, OTHER another.
SHOWN = [
    (["status"], ["DEVICE", "64.0 MiB"], "/api/memory/status"),
    (["status", "a"], ["Device id", "64.0 MiB"], "/api/memory/status/a"),
    (["status", "a", "--allocations", "--usage", "--fragmentation"], ["Device id", "KEPT", "uid:"], None),
    (["devices"], ["DEVICE", "System memory", "64.0 MiB"], "/api/devices"),
    (["devices", "a"], ["systemMemory", "Capabilities"], "/api/devices/a"),
    (["ps"], ["ID", "SIZE", "KEPT", "4.00 KiB"], "/api/memory/allocations"),
    (["ps", "KEPT"], ["KEPT", "a test's"], "/api/memory/allocation/KEPT"),
    (["ps", "KEPT", "--history", "--content"], ["allocationReserved", "Entropy bits per byte"], None),
    (["ps", "--device", "a", "--status", "live"], ["KEPT"], "/api/memory/allocations?deviceId=a&status=live"),
    (["models"], ["NAME", "m", "resident"], "/api/model/status"),
    (["models", "m"], ["resident", MODEL], "/api/model/info?name=m"),
    (["models", "--available"], ["PATH", MODEL, "gguf"], None),
    (["tensors", "m"], ["NAME", "DTYPE", "SHAPE"], None),
    (["cache"], ["m"], None),
    (["transfers"], [], "/api/memory/transfers"),
    (["limits", "get", "a"], ["Usable", "64.0 MiB"], "/api/memory/limits/a"),
    (["pressure"], ["DEVICE", "BAND", "low"], None),
    (["pressure", "a"], ["Level", "low"], None),
    (["analytics"], ["DEVICE", "a"], None),
    (["advise"], [], None),
    (["audit"], ["Ok", "yes"], None),
    (["system"], ["Core pid", "Keeper pid"], "/api/system"),
    (["explain", "insufficient-memory"], ["insufficient-memory", "507", "exits with 4"], None),
    (["explain", "KEPT"], ["KEPT"], None),
    (["doctor"], ["daemon", "answers"], None),
    (["version"], ["vramctl", "daemon"], None),
    (["config"], ["SETTING", "was started with", "host:a=64MiB host:b=16MiB", "flag", "default"], None),
    (["simulate", "TRACE", "--capacity", "10"], ["POLICY", "fifo", "smart", "hindsight"], None),
]
DONE = [  # What changes something, with what -o name shows of it: made anew for each format.
    (["alloc", "64KiB", "--device", "a", "--purpose", "made here"], ["alc_", "64.0 KiB", "made here"], r"alc_\w+"),
    (["clear", "KEPT", "--fill", "7"], ["4.00 KiB"], "KEPT"),
    (["copy", "KEPT", "OTHER", "--size", "1KiB"], ["1.00 KiB"], "OTHER"),
    (["put", "KEPT", "FILE"], ["3 B"], "KEPT"),
    (["limits", "set", "a", "--max", "75%", "--reserve", "1MiB", "--quota", "anna=2GiB,bob=none", "--dry-run"], ["48.0 MiB", "1.00 MiB"], "a"),
    (["defragment", "a", "--dry-run"], ["balanced"], "a"),
    (["optimize", "a", "--operations", "garbageCollect"], ["garbageCollect"], "a"),
    (["free", "SPARE"], ["SPARE", "freed"], "SPARE"),
    (["move", "SPARE", "b"], ["succeeded"], r"xfr_\w+"),
    (["load", MODEL, "--name", "again"], ["again", "resident"], "(m|again)"),
    (["unload", "again"], ["freed"], "again"),
]
RAW = [["cat", "KEPT"], ["events", "--last", "3"], ["top", "--once"], ["completion", "bash"], ["completion", "zsh"], ["completion", "fish"]]
FAILS = [
    # (words, exit, what the first line must hold, figures in the second line, a text of the third)
    (["load", "expected.json", "--name", "x"], 1, "", None, "Check the file"),
    (["load", "/etc/passwd", "--name", "x"], 1, "", None, "--model-dir"),
    (["nothing"], 2, "nothing", None, "vramctl --help"),
    ([], 2, "A verb is missing", None, "vramctl --help"),
    (["status", "--nothing"], 2, "--nothing", None, "vramctl --help"),
    (["ps", "--status", "odd"], 2, "odd", None, "vramctl --help"),
    (["ps", "--content"], 2, "--content", None, None),
    (["free"], 2, "id", None, "vramctl --help"),
    (["alloc", "0"], 2, "/sizeBytes must be an integer from 1 to 9223372036854775807 bytes, got 0", None, "openapi.json"),
    (["alloc", "x"], 2, "'x' is not a size", None, None),
    (["alloc", "99999999999999999999"], 2, "it is too large", None, None),
    (["alloc", "1KiB", "2KiB"], 2, "'2KiB' is too many", None, "vramctl --help"),
    (["ps", "--value", "7"], 2, "ps has no option '--value'", None, "vramctl --help"),
    (["limits", "set", "a", "--max", "200%"], 2, "'200%' is not a share", None, None),
    (["alloc", "1KiB", "--alignment", "3"], 2, "power of two", None, "openapi.json"),
    (["clear", "KEPT", "--fill", "256"], 2, "256", None, "openapi.json"),
    (["copy", "KEPT", "OTHER", "--size", "8KiB"], 2, "8192", None, "size"),
    (["status", "--watch=0"], 2, "", None, "vramctl --help"),
    (["free", "KEPT", "--watch"], 2, "--watch", None, None),
    (["limits", "set", "a", "--max", "50%", "--watch"], 2, "--watch", None, None),
    (["transfers", "xfr_1", "--cancel", "--watch"], 2, "--watch", None, None),
    (["config", "/nowhere/vramd.toml"], 2, "/nowhere/vramd.toml", None, None),
    (["config", "FILE"], 2, "FILE:1", None, None),
    (["top", "--sort", "colour"], 2, "'colour' is no column of processes: id, size, device", None, None),
    (["top", "--tab", "colours"], 2, "colours", None, "vramctl --help"),
    (["status", "none"], 3, "none", None, "List what exists"),
    (["devices", "none"], 3, "none", None, "List what exists"),
    (["ps", NOWHERE], 3, NOWHERE, None, "List what exists"),
    (["free", NOWHERE], 3, NOWHERE, None, "List what exists"),
    (["cat", NOWHERE], 3, NOWHERE, None, "List what exists"),
    (["put", NOWHERE, "FILE"], 3, NOWHERE, None, "List what exists"),
    (["clear", NOWHERE], 3, NOWHERE, None, "List what exists"),
    (["copy", NOWHERE, "KEPT"], 3, NOWHERE, None, "List what exists"),
    (["move", NOWHERE, "b"], 3, NOWHERE, None, "List what exists"),
    (["tensors", "none"], 3, "none", None, "List what exists"),
    (["models", "none"], 3, "none", None, "List what exists"),
    (["unload", "none"], 3, "none", None, "List what exists"),
    (["load", "none.gguf"], 3, "none.gguf", None, None),
    (["explain", NOWHERE], 3, NOWHERE, None, None),
    (["alloc", "1GiB"], 4, "1073741824", r"asked 1\.00 GiB, available [0-9.]+ MiB, largest hole [0-9.]+ MiB\.", "Ask for at most"),
    (["load", "silero_vad.gguf", "--name", "m"], 7, "m stands for another file", None, "Unload that model"),
    (["clear", "MODELS"], 7, "holds a model", None, None),
]


class Ctl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not os.path.exists(os.path.join(SAMPLES, MODEL)):
            raise unittest.SkipTest("no samples: ./dev samples")
        cls.daemon = Daemon(devices=["host:a=64MiB", "host:b=16MiB"], model_dirs=[SAMPLES], door="unix").__enter__()
        cls.words = {"KEPT": cls.daemon.allocate(4096, purpose="a test's")["id"], "OTHER": cls.daemon.allocate(4096)["id"],
                     "FILE": os.path.join(cls.daemon.folder, "three"),
                     "TRACE": os.path.join(cls.daemon.folder, "trace.csv")}
        with open(cls.words["FILE"], "wb") as file:
            file.write(b"abc")
        with open(cls.words["TRACE"], "wb") as file:
            file.write(b"timeMs,model,bytes\n0,x,5\n1,y,5\n")
        loaded = cls.daemon.post("/api/model/load", {"name": "m", "path": MODEL, "type": "other"}).ok()
        cls.words["MODELS"] = loaded["places"][0]["allocationId"]

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)

    def ctl(self, *words, environment=None, daemon=True, **rest):
        """One run of vramctl into pipes."""
        words = [self.words.get(word, word) for word in words]
        where = ["--socket", self.daemon.socket_path] if daemon else []
        return subprocess.run([CTL, *where, *words], capture_output=True, timeout=120, stdin=subprocess.DEVNULL,
                              env={**os.environ, "TERM": "xterm", **(environment or {})}, **rest)

    def said(self, text):
        for word, value in self.words.items():
            text = text.replace(word, value)
        return text

    def test_times_are_told_as_people_read_them(self):
        """What took 0.836 ms is neither 8.36E-1 nor without its unit."""
        for words in (["defragment", "a"], ["optimize", "a"], ["optimize", "a", "-o", "csv"], ["events", "--since", "1"]):
            done = self.ctl(*words)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIsNone(re.search(rb"[0-9]E[-+]?[0-9]", done.stdout), done.stdout)
        self.assertRegex(done.stdout, rb"durationMs=[0-9.]+ m?s")

    def test_every_verb_has_a_row(self):
        told = self.ctl("--help", daemon=False)
        self.assertEqual(told.returncode, 0)
        self.assertIn(EXITS, told.stdout.decode())
        verbs = re.findall(r"^  ([a-z]+) {2,}", told.stdout.decode().split("Subcommands:", 1)[1], re.M)
        rows = {words[0] for words, *_ in SHOWN + DONE} | {words[0] for words in RAW}
        self.assertEqual(set(verbs), rows | {"upgrade"})  # That one has test_upgrade.py: it ends the core on which the other rows stand.
        for verb in verbs:
            told = self.ctl(verb, "--help", daemon=False)
            self.assertEqual((told.returncode, told.stderr), (0, b""), verb)
            self.assertIn(verb.encode(), told.stdout)

    def test_what_is_shown_as_a_table_and_as_the_apis_body(self):
        for words, texts, path in SHOWN:
            with self.subTest(words=words):
                told = self.ctl(*words)
                self.assertEqual((told.returncode, told.stderr), (0, b""), told)
                for text in texts:
                    self.assertIn(self.said(text), told.stdout.decode())
                told = self.ctl(*words, "-o", "json")
                self.assertEqual((told.returncode, told.stderr), (0, b""), told)
                shown = json.loads(told.stdout)
                if path is not None:
                    self.same(shown, self.daemon.get(self.said(path)).ok())

    def same(self, shown, body):
        """Equal, but for figures that go on by themselves: they are numbers or times in both."""
        self.assertEqual(type(shown), type(body))
        if isinstance(body, dict):
            self.assertEqual(list(shown), list(body))
            for key, value in body.items():
                self.same(shown[key], value)
        elif isinstance(body, list):
            self.assertEqual(len(shown), len(body))
            for one, other in zip(shown, body):
                self.same(one, other)
        elif isinstance(body, str) and not re.match(r"\d{4}-\d\d-\d\dT", body):
            self.assertEqual(shown, body)

    def done(self, words, *more):
        if "SPARE" in words:
            self.words["SPARE"] = self.daemon.allocate(4096, deviceId="a")["id"]
        told = self.ctl(*words, *more)
        self.assertEqual(told.returncode, 0, told)
        if words[0] == "alloc":
            made = re.search(r"alc_[0-9a-z]+", told.stdout.decode()).group()
            self.daemon.delete(f"/api/memory/allocations/{made}").ok()
        return told

    def test_what_is_done_is_told_as_a_table_and_as_json(self):
        for more in ([], ["-o", "json"]):
            for words, texts, _ in DONE:
                with self.subTest(words=words, more=more):
                    told = self.done(words, *more)
                    if more:
                        json.loads(told.stdout)
                        continue
                    for text in texts:
                        self.assertIn(self.said(text), told.stdout.decode())
        self.assertEqual(self.ctl("cat", "KEPT", "--size", "4").stdout, b"abc\x07")
        self.assertEqual(self.ctl("cat", "OTHER", "--size", "2").stdout, b"\x07\x07")
        self.assertEqual(self.ctl("cat", "KEPT", "-o", "json").stdout, b"abc" + b"\x07" * 4093)

    def test_every_verb_shows_names_one_a_line_or_says_that_it_has_none(self):
        for words in [words for words, *_ in SHOWN] + RAW:
            with self.subTest(words=words):
                told = self.ctl(*words, "-o", "name")
                if told.returncode == 2:
                    self.assertEqual(told.stdout, b"")
                    self.assertIn(f"{words[0]} writes what it is about as it is: -o name does not apply", told.stderr.decode())
                    continue
                self.assertEqual((told.returncode, told.stderr), (0, b""), told)
                for line in told.stdout.decode().splitlines():
                    self.assertRegex(line, r"^\S")
        for words, _, name in DONE:
            with self.subTest(words=words):
                told = self.done(words, "-o", "name")
                self.assertRegex(told.stdout.decode(), f"^{self.said(name)}\n$")

    def test_other_formats_have_a_row_for_each_thing(self):
        ids = sorted(record["id"] for record in self.daemon.get("/api/memory/allocations").ok()["items"])
        self.assertEqual(sorted(self.ctl("ps", "-o", "name").stdout.decode().split()), ids)
        lines = self.ctl("ps", "-o", "jsonl").stdout.decode().splitlines()
        self.assertEqual(sorted(json.loads(line)["id"] for line in lines), ids)
        csv = self.ctl("ps", "-o", "csv").stdout.decode().splitlines()
        self.assertTrue(csv[0].startswith("id,deviceId,sizeBytes"), csv[0])
        self.assertEqual(sorted(line.split(",")[0] for line in csv[1:]), ids)
        self.assertIn("4096", self.ctl("ps", "--bytes").stdout.decode())

    def test_no_table_shows_json_or_a_power_of_ten(self):
        for words in (["optimize", "--dry-run"], ["defragment", "a", "--dry-run"], ["limits", "set", "a", "--max", "50%", "--dry-run"], ["events", "--since", "0"], ["pressure", "a"]):
            told = self.ctl(*words)
            self.assertEqual(told.returncode, 0, told)
            self.assertNotRegex(told.stdout.decode(), r"\{|[0-9]E-?[0-9]|ytes (before|after)|econds ", words)

    def test_failures_have_an_exit_code_and_three_lines_what_why_and_what_to_do(self):
        before = self.daemon.get("/api/memory/usage").ok()
        for words, code, what, figures, remedy in FAILS:
            with self.subTest(words=words):
                told = self.ctl(*words)
                lines = told.stderr.decode().splitlines()
                self.assertEqual((told.returncode, told.stdout), (code, b""), told)
                self.assertTrue(1 <= len(lines) <= 3 and lines[0].startswith("vramctl: "), lines)
                self.assertTrue(all(line.startswith("  ") for line in lines[1:]), lines)
                self.assertIn(self.said(what), lines[0])
                if figures:
                    self.assertRegex(lines[1], "^  " + figures + "$")
                if remedy:
                    remedy = remedy.replace("--help", f"{words[0]} --help") if code == 2 and words and words[0] != "nothing" else remedy
                    self.assertTrue(lines[-1].startswith("  Try: ") and remedy in lines[-1], lines)
        self.assertEqual(self.daemon.get("/api/memory/usage").ok()["liveBytes"], before["liveBytes"])

    def test_in_json_a_failure_is_the_servers_problem(self):
        for words, code, *_ in FAILS:
            if code == 2 and words[:1] not in (["clear"], ["copy"]):
                continue  # Refused before anybody was asked.
            with self.subTest(words=words):
                told = self.ctl(*words, "-o", "json")
                self.assertEqual((told.returncode, told.stdout), (code, b""), told)
                problem = json.loads(told.stderr)
                self.assertTrue(problem["code"] and problem["detail"] and problem["status"] >= 400, problem)

    def test_nobody_there_is_5_and_a_stranger_there_is_1(self):
        for words, *_ in SHOWN + DONE:
            if words[0] in ("doctor", "version", "simulate") or words[:2] == ["explain", "insufficient-memory"]:
                continue  # They work without a daemon, and say that there is none.
            told = self.ctl("--socket", os.path.join(self.daemon.folder, "none", "vramd.sock"), *words, daemon=False)
            self.assertEqual((told.returncode, told.stdout), (5, b""), told)
            self.assertIn(b"Try: vramd serve", told.stderr)
        with socket.create_server(("127.0.0.1", 0)) as stranger:
            def answer():
                peer, _ = stranger.accept()
                peer.recv(65536)
                peer.sendall(b"SSH-2.0-stranger\r\n")
                peer.close()
            thread = threading.Thread(target=answer)
            thread.start()
            told = self.ctl("status", "--url", f"http://127.0.0.1:{stranger.getsockname()[1]}", daemon=False)
            thread.join()
            self.assertEqual((told.returncode, told.stdout), (1, b""), told)
            self.assertTrue(told.stderr.startswith(b"vramctl: "), told)

    def test_a_free_while_somebody_reads_is_7(self):
        held = self.daemon.allocate(32 << 20)["id"]
        reader = socket.socket(socket.AF_UNIX)
        reader.connect(self.daemon.http_socket)
        reader.sendall(f"GET /api/memory/allocation/{held}/content HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self.assertTrue(reader.recv(64))  # The rest waits in the socket: the read goes on.
        told = self.ctl("free", held)
        self.assertEqual(told.returncode, 7, told)
        self.assertTrue(told.stderr.decode().splitlines()[-1].startswith("  Try: "), told)
        reader.close()
        self.assertEqual(self.ctl("free", held, "--force").returncode, 0)

    def test_a_wait_for_room_that_was_in_vain_is_refused_after_its_time(self):
        begun = time.monotonic()
        told = self.ctl("alloc", "63MiB", "--timeout", "1")
        self.assertGreaterEqual(time.monotonic() - begun, 1)
        self.assertIn(told.returncode, (4, 6), told)  # No room, or no time: both are so.
        lines = told.stderr.decode().splitlines()
        self.assertRegex(lines[1], r"^  asked 63\.0 MiB, available [0-9.]+ MiB, largest hole [0-9.]+ MiB\.$")
        self.assertTrue(lines[2].startswith("  Try: "), lines)

    def test_an_interrupt_is_130(self):
        watching = subprocess.Popen([CTL, "--socket", self.daemon.socket_path, "status", "--watch=0.1", "-o", "json"], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE)
        device = self.daemon.get("/api/memory/status").ok()["devices"][0]
        for _ in range(2):  # A line for each device, again and again.
            self.assertEqual(list(json.loads(watching.stdout.readline())), list(device))
        watching.send_signal(signal.SIGINT)
        rest, errors = watching.communicate(timeout=60)
        self.assertEqual((watching.returncode, errors), (130, b""))
        for line in rest.splitlines():
            json.loads(line)

    def test_no_escape_goes_into_a_pipe(self):
        for words in [words for words, *_ in SHOWN] + RAW[1:] + [words for words, *_ in FAILS]:
            for environment in ({"TERM": "xterm-256color"}, {"TERM": "dumb"}, {"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}):
                told = self.ctl(*words, environment=environment)
                self.assertNotIn(b"\x1b", told.stdout + told.stderr, words)
        for words, *_ in DONE:
            told = self.done(words)
            self.assertNotIn(b"\x1b", told.stdout + told.stderr, words)

    def on_terminal(self, *words, **environment):
        """What a person's terminal gets."""
        words = [self.words.get(word, word) for word in words]
        master, slave = pty.openpty()
        clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
        process = subprocess.Popen([CTL, "--socket", self.daemon.socket_path, *words], stdin=slave, stdout=slave, stderr=slave,
                                   env={**clean, **environment})
        os.close(slave)
        got, deadline = b"", time.monotonic() + 60
        while time.monotonic() < deadline and select.select([master], [], [], 60)[0]:
            try:
                piece = os.read(master, 65536)
            except OSError:  # The last writer is gone.
                break
            if not piece:
                break
            got += piece
        os.close(master)
        self.assertEqual(process.wait(timeout=60), 0, got)
        return got

    def test_a_terminal_gets_colour_unless_it_or_its_user_wants_none(self):
        self.assertIn(b"\x1b[", self.on_terminal("status", TERM="xterm"))
        self.assertIn(b"\x1b[", self.ctl("status", "--color", "always").stdout)
        for words, *_ in SHOWN + DONE[1:4]:
            self.assertNotIn(b"\x1b", self.on_terminal(*words, TERM="dumb"), words)
            self.assertNotIn(b"\x1b", self.on_terminal(*words, TERM="xterm", NO_COLOR="1"), words)
            self.assertNotIn(b"\x1b", self.on_terminal(*words, "--color", "never", TERM="xterm"), words)

    def test_progress_is_a_line_every_ten_per_cent_where_nobody_watches_and_never_goes_back(self):
        told = self.ctl("load", "silero_vad.gguf", "--name", "progress")
        self.assertEqual(told.returncode, 0, told)
        lines = told.stderr.decode().splitlines()
        shares = [int(re.search(r"(\d+) %", line).group(1)) for line in lines]
        self.assertTrue(shares and shares == sorted(set(shares)) and shares[-1] == 100, lines)
        self.ctl("unload", "progress")

    def test_curl_prints_the_call_and_makes_none(self):
        before = len(self.daemon.get("/api/memory/allocations").ok()["items"])
        told = self.ctl("alloc", "1MiB", "--purpose", "it's", "--curl")
        self.assertEqual((told.returncode, told.stderr), (0, b""), told)
        self.assertEqual(len(self.daemon.get("/api/memory/allocations").ok()["items"]), before)
        made = subprocess.run(["sh", "-c", told.stdout.decode()], capture_output=True, timeout=60)
        self.assertEqual(made.returncode, 0, made)
        record = json.loads(made.stdout)
        self.assertEqual((record["sizeBytes"], record["purpose"]), (1 << 20, "it's"))
        self.daemon.delete(f"/api/memory/allocations/{record['id']}").ok()


if __name__ == "__main__":
    unittest.main()
