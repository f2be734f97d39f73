#!/usr/bin/env python3
"""vramctl top on a real terminal (tmux), of a real daemon with real models: what its screen shows, what its keys do, and how it ends."""
import os
import re
import shutil
import signal
import subprocess
import unittest

from attach_client import Attach
from daemon import BIN, ROOT, Daemon
from terminal import Terminal

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
CTL = os.path.join(BIN, "vramctl")
MODELS = {"vad": "silero_vad.onnx", "types": "every-type.gguf"}
LOST = "LOST for"


class Top(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not all(os.path.exists(os.path.join(SAMPLES, path)) for path in MODELS.values()):
            raise unittest.SkipTest("no samples: ./dev samples")
        if shutil.which("tmux") is None:
            raise unittest.SkipTest("no tmux: ./dev install")

    def setUp(self):
        self.daemon = Daemon(devices=["host:a=64MiB", "host:b=16MiB"], model_dirs=[SAMPLES], door="unix").__enter__()
        self.addCleanup(self.daemon.discard)
        for name, path in MODELS.items():
            self.daemon.post("/api/model/load", {"name": name, "path": path, "type": "other", "deviceId": "a"}).ok()
        self.small = self.daemon.allocate(4096, deviceId="a", purpose="small one", shareable=True)["id"]
        self.large = self.daemon.allocate(8 << 20, deviceId="b", purpose="большой 大")["id"]

    def terminal(self, columns=80, lines=24, **environment):
        terminal = Terminal(columns, lines, environment).__enter__()
        self.addCleanup(terminal.__exit__, None, None, None)
        return terminal

    def begin(self, *words, columns=80, lines=24, where=None, **environment):
        """A terminal with top on it, live."""
        terminal = self.terminal(columns, lines, **environment)
        where = where or ["--socket", self.daemon.socket_path]
        terminal.type(" ".join(["clear;", CTL, *where, "top", *words, ';echo "ended $?"\n']))
        terminal.until(lambda screen: screen.splitlines()[0].rstrip().endswith("live"), "live")
        return terminal

    def once(self, *words, **environment):
        clean = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        return subprocess.run([CTL, "--socket", self.daemon.socket_path, "top", *words], capture_output=True, timeout=120, stdin=subprocess.DEVNULL, check=False,
                              env={**clean, "TERM": "xterm-256color", **environment})

    @staticmethod
    def rows(screen):
        """The first word of each line below the heads."""
        lines = screen.splitlines()
        heads = next((i for i, line in enumerate(lines) if re.match(r" (ID|NAME|DEVICE|EVENT)\b", line)), len(lines))
        return [line[1:].split()[0] for line in lines[heads + 1:-1] if line[:1] in " >" and line[1:2].strip()]

    def test_each_tab_shows_what_the_api_tells(self):
        self.daemon.post("/api/memory/transfer", {"sourceAllocationId": self.small, "targetDeviceId": "b", "mode": "copy"}).ok()
        terminal = self.begin()
        screen = terminal.until(lambda screen: self.small in screen and self.large in screen)
        self.assertRegex(screen.splitlines()[0], r"^vramd [0-9.]+ at .*live$")
        self.assertRegex(screen, r"(?m)^a +\[#+[#zro.]*\] +[0-9.]+ MiB of 64\.0 MiB +[0-9.]+ %$")
        self.assertRegex(screen, r"(?m)^b +\[#+[#zro.]*\] +[0-9.]+ MiB of 16\.0 MiB +[0-9.]+ %$")
        self.assertIn("# ours  z zombie  r reserved  o other programs  . free", screen)
        self.assertIn("[2 Processes]", screen)
        self.assertRegex(screen, self.large + r" 8\.00 MiB b .* большой 大")
        terminal.press("1")
        told = [device["deviceId"] for device in self.daemon.get("/api/memory/status").ok()["devices"]]
        terminal.until(lambda screen: "[1 Devices]" in screen and "HEALTH" in screen and self.rows(screen) == told)
        terminal.press("3")
        terminal.until(lambda screen: "[3 Models]" in screen and "resident" in screen and set(self.rows(screen)) == set(MODELS))
        terminal.press("4")
        terminal.until(lambda screen: "[4 Transfers]" in screen and "xfr_" in screen and "succeeded" in screen and "100.0 %" in screen)
        terminal.press("Tab")
        terminal.until(lambda screen: "[5 Events]" in screen and "transferEnded" in screen)
        self.daemon.delete(f"/api/memory/allocations/{self.small}").ok()  # It comes by itself, and first.
        terminal.until(lambda screen: "allocationFreed" in "".join(screen.splitlines()[6:10]))
        terminal.press("Tab")
        terminal.until(lambda screen: "[1 Devices]" in screen)
        terminal.press("BTab")
        terminal.until(lambda screen: "[5 Events]" in screen)

    def test_rows_are_sorted_by_keys_and_by_the_command_line(self):
        by_size = [record["id"] for record in sorted(self.daemon.get("/api/memory/allocations").ok()["items"], key=lambda one: -one["sizeBytes"])]
        terminal = self.begin()
        terminal.until(lambda screen: self.rows(screen) == by_size)
        terminal.press("R")
        terminal.until(lambda screen: self.rows(screen) == by_size[::-1] and "SIZE↑" in screen)
        terminal.press("N")
        terminal.until(lambda screen: self.rows(screen) == sorted(by_size) and "ID↑" in screen and "SIZE↑2" in screen)
        terminal.press(">")
        terminal.until(lambda screen: self.rows(screen) == by_size and "ID↑2" in screen)
        told = self.once("--once", "--sort", "-size")
        self.assertEqual(self.rows(told.stdout.decode() + "\n"), by_size[::-1])

    def test_a_filter_leaves_the_rows_that_have_its_text(self):
        terminal = self.begin()
        terminal.until(lambda screen: "4 rows" in screen)
        terminal.press("/")
        terminal.type("большой")
        terminal.until(lambda screen: self.rows(screen) == [self.large] and "Filter: большой_" in screen)
        terminal.press("Enter")
        terminal.until(lambda screen: "1/4 filter: большой" in screen and "Filter:" not in screen)
        terminal.press("/", "BSpace")
        terminal.type("q")  # Here it is a letter and does not quit.
        terminal.until(lambda screen: "No row has 'большоq'." in screen)
        terminal.press("Escape")
        terminal.until(lambda screen: "4 rows" in screen and len(self.rows(screen)) == 4)

    def test_the_screen_may_have_any_size_and_change_it_without_leaving_anything_behind(self):
        def body(screen):
            return screen.splitlines()[1:]  # The first line tells the time that something took.

        terminal = self.begin("--tab", "devices")
        for columns, lines in ((120, 40), (40, 10), (200, 60), (20, 5), (79, 23), (80, 24)):
            fresh = self.begin("--tab", "devices", columns=columns, lines=lines)  # What begins with this size has nothing to leave behind.
            terminal.resize(columns, lines)
            screen = terminal.until(lambda screen, fresh=fresh: "a" in self.rows(screen) and body(screen) == body(fresh.screen()), f"{columns} by {lines}")
            fresh.press("q")
            self.assertEqual(len(screen.splitlines()), lines)
            self.assertEqual("BLOCKS" in screen, columns >= 120)

    def test_a_model_is_unloaded_after_a_question_that_names_its_bytes(self):
        terminal = self.begin("--tab", "models", "--filter", "vad")
        terminal.until(lambda screen: self.rows(screen) == ["vad"])
        terminal.press("u")
        terminal.until(lambda screen: re.search(r"Unload vad\? 2\.09 MiB on a go back", screen) and "y: yes" in screen)
        terminal.press("n")
        terminal.until(lambda screen: "Nothing was done." in screen)
        self.assertEqual(self.daemon.get("/api/model/info?name=vad").ok()["state"], "resident")
        terminal.press("u", "y")
        terminal.until(lambda screen: "Unloaded vad: the RAM cache keeps its bytes" in screen)
        terminal.until(lambda screen: "resident" not in screen)
        self.assertEqual(self.daemon.get("/api/model/info?name=vad").ok()["state"], "cached")

    def test_what_a_holder_has_is_freed_after_a_question_and_a_refusal_is_told(self):
        client = Attach(self.daemon.socket_path)
        _, memory = client.map("attach", allocationId=self.small)
        terminal = self.begin("--sort", "size", "--filter", "small")
        terminal.until(lambda screen: self.rows(screen) == [self.small])
        terminal.press("K")
        terminal.until(lambda screen: f"Free {self.small} by force? 4.00 KiB of" in screen and "1 client holds it" in " ".join(screen.split()))
        terminal.press("y")
        terminal.until(lambda screen: "come back when the last client lets go" in " ".join(screen.split()) and "zombie" in "".join(screen.splitlines()[6:8]))
        del memory
        client.socket.close()
        terminal.until(lambda screen: "No row has 'small'." in screen)
        terminal.press("Escape", "/")
        terminal.type(self.large)
        terminal.press("Enter")
        terminal.until(lambda screen: self.rows(screen) == [self.large])
        terminal.press("K")
        terminal.until(lambda screen: "8.00 MiB" in screen.splitlines()[-2] + screen.splitlines()[-1] and "y: yes" in screen)
        self.daemon.delete(f"/api/memory/allocations/{self.large}").ok()  # Somebody was faster.
        terminal.press("y")
        terminal.until(lambda screen: "Try:" in screen and self.large in screen.splitlines()[-2] + screen.splitlines()[-1])

    def test_a_row_is_shown_in_full_with_its_history(self):
        terminal = self.begin("--filter", self.small, lines=50)
        terminal.until(lambda screen: self.rows(screen) == [self.small])
        terminal.press("Enter")
        terminal.until(lambda screen: all(text in screen for text in (f"Allocation {self.small}", "Purpose", "small one", "allocationReserved", "Esc back")))
        terminal.press("Escape", "?")
        terminal.until(lambda screen: "Keys" in screen and "free the allocation by force" in screen)
        terminal.press("x")
        terminal.until(lambda screen: self.rows(screen) == [self.small])

    def test_the_cores_death_is_survived_and_a_lost_daemon_found_again(self):
        terminal = self.begin()
        terminal.until(lambda screen: self.small in screen and "core 1 " in screen)
        self.daemon.kill_core()
        terminal.until(lambda screen: "core 2 " in screen and screen.splitlines()[0].endswith("live") and self.small in screen)
        self.daemon.stop()
        screen = terminal.until(lambda screen: LOST in screen and "Trying again." in screen)
        self.assertRegex(screen.splitlines()[0], r"LOST for [0-9]+ s, shown: [0-9]+ s old$")
        self.assertIn(self.small, screen)  # What was known last stays there, with its age.
        self.daemon.log.close()
        self.daemon.process.stdout.close()
        self.daemon.start()
        terminal.until(lambda screen: screen.splitlines()[0].endswith("live") and "answers again, after" in screen)
        terminal.until(lambda screen: "Nobody holds memory." in screen)
        made = self.daemon.allocate(4096)["id"]  # Its event comes by the new stream.
        terminal.until(lambda screen: made in screen)
        terminal.press("5")
        terminal.until(lambda screen: made in screen and "allocationReady" in screen)

    def test_a_daemon_is_watched_from_elsewhere_by_its_url(self):
        url = f"http://127.0.0.1:{self.daemon.port}"
        terminal = self.begin("--tab", "models", where=["--url", url])
        terminal.until(lambda screen: f"at {url}" in screen and "resident" in screen)

    def test_the_terminal_is_left_as_it_was_however_it_ends(self):
        terminal = self.terminal()
        terminal.type(f"clear; stty -a > {terminal.folder}/before\n")
        for ending, status in ((["q"], 0), (["F10"], 0), (["C-c"], 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            terminal.type(f"clear; {CTL} --socket {self.daemon.socket_path} top; echo ended $?\n")
            terminal.until(lambda screen: "[2 Processes]" in screen and screen.splitlines()[0].endswith("live"))
            self.assertEqual(terminal.value("alternate_on"), "1")
            if isinstance(ending, list):
                terminal.press(*ending)
            else:
                shell = int(terminal.value("pane_pid"))
                with open(f"/proc/{shell}/task/{shell}/children", encoding="ascii") as file:
                    os.kill(int(file.read().split()[0]), ending)
            terminal.until(lambda screen, status=status: f"ended {status}" in screen and "[2 Processes]" not in screen)
            self.assertEqual((terminal.value("alternate_on"), terminal.value("cursor_flag")), ("0", "1"))
            terminal.type(f"stty -a > {terminal.folder}/after; cmp {terminal.folder}/before {terminal.folder}/after && echo as before\n")
            terminal.until(lambda screen: "\nas before" in screen)

    def test_one_plain_frame_for_scripts_has_the_size_that_is_asked_for(self):
        for tab, text in (("devices", "HEALTH"), ("processes", self.small), ("models", "vad"), ("transfers", "There are no transfers."), ("events", "modelResident")):
            told = self.once("--once", "--tab", tab)
            self.assertEqual((told.returncode, told.stderr), (0, b""), told)
            self.assertIn(text, told.stdout.decode())
            self.assertNotIn(b"\x1b", told.stdout)
            lines = told.stdout.decode().splitlines()
            self.assertLessEqual(len(lines), 24)
            self.assertTrue(all(len(line) <= 80 for line in lines), lines)
            self.assertNotIn("q quit", told.stdout.decode())
        self.assertIn("USES", self.once("--once", COLUMNS="120", LINES="40").stdout.decode())
        self.assertEqual(len(self.once("--once", COLUMNS="40", LINES="5").stdout.splitlines()), 5)
        # Of devices, whose rows tell no age.
        self.assertEqual(self.once("--tab", "devices", TERM="dumb").stdout, self.once("--tab", "devices", "--once").stdout)
        nowhere = subprocess.run([CTL, "--socket", os.path.join(self.daemon.folder, "none", "vramd.sock"), "top"], capture_output=True, timeout=60, check=False)
        self.assertEqual((nowhere.returncode, nowhere.stdout), (5, b""), nowhere)
        self.assertIn(b"Try: vramd serve", nowhere.stderr)
        curl = self.once("--curl")
        self.assertEqual((curl.returncode, len(curl.stdout.splitlines())), (0, 3), curl)

    def test_colour_is_for_those_who_want_it_and_a_terminal_that_is_none_gets_a_frame(self):
        colour = re.compile(r"\x1b\[[0-9;]*3[1-7]m")
        self.assertRegex(self.begin().screen(escapes=True), colour)
        self.assertNotRegex(self.begin(NO_COLOR="1").screen(escapes=True), colour)
        terminal = self.terminal()
        terminal.type(f"clear; TERM=dumb {CTL} --socket {self.daemon.socket_path} top; echo ended $?\n")
        screen = terminal.until(lambda screen: "ended 0" in screen)
        self.assertIn(self.small, screen)
        terminal.type(f"clear; TERM=no-such-terminal {CTL} --socket {self.daemon.socket_path} top; echo ended $?\n")
        screen = terminal.until(lambda screen: "ended 1" in screen)
        self.assertIn("'no-such-terminal' (TERM) is not known here", " ".join(screen.split()))


if __name__ == "__main__":
    unittest.main()
