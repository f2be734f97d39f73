#!/usr/bin/env python3
"""The manual: made from what the programs say, without a warning of its readers; every example in it does what it says, and so does the file that is installed."""
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from daemon import BIN, ROOT, Daemon

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
PAGES = ["vramd.8", "vramctl.1", "vramd.toml.5", "vramd-attach.7"]
ENDS_BY_ITSELF = 60


def made(page):
    return subprocess.run(["python3", os.path.join(ROOT, "packaging", "manual", "manual.py"), page, BIN], stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout


def told(program, *words):
    return subprocess.run([os.path.join(BIN, program), *words], stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout


def unescaped(text):
    return text.replace("\\(ha", "^").replace("\\(ti", "~").replace("\\(ga", "`").replace("\\-", "-").replace("\\&", "").replace("\\fB", "").replace("\\fR", "").replace("\\e", "\\")


def examples(page):
    """The lines between .EX and .EE, block by block."""
    return [unescaped(block).strip().split("\n") for block in re.findall(r"^\.EX\n(.*?)^\.EE", page, re.M | re.S)]


class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pages = {page: made(page) for page in PAGES}

    def test_readers_of_manuals_have_nothing_to_say_against_them(self):
        readers = [["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"], ["mandoc", "-Tlint", "-Wwarning"]]
        with tempfile.TemporaryDirectory() as folder:
            for page, text in self.pages.items():
                path = os.path.join(folder, page)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                for reader in readers:
                    if shutil.which(reader[0]) is None:
                        continue
                    with self.subTest(page=page, reader=reader[0]):
                        said = subprocess.run([*reader, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
                        self.assertEqual(said.stderr + (said.stdout if reader[0] == "mandoc" else ""), "")

    def test_every_verb_option_and_code_of_the_help_is_told_of(self):
        page = unescaped(self.pages["vramctl.1"])
        told_help = told("vramctl", "--help")
        verbs = re.findall(r"^  ([a-z]+)  ", told_help.split("Subcommands:", 1)[1], re.M)
        self.assertGreater(len(verbs), 25)
        for verb in verbs:
            self.assertIn(f'.SS "{verb}"', page)
            part = page.split(f'.SS "{verb}"', 1)[1].split("\n.SS ", 1)[0]
            for option in re.findall(r"^  (?:-\w,)?(--[a-z-]+)", told("vramctl", verb, "--help"), re.M):
                self.assertIn(option, part if option in part else page.split('.SH "VERBS"')[0], f"{verb} {option}")
        codes = re.findall(r"\b(\d+) [a-z]", told_help.split("Exit codes: ", 1)[1].split("Environment", 1)[0])
        self.assertGreater(len(codes), 8)
        self.assertEqual(re.findall(r"^\.TP\n(\d+)$", page.split('.SH "EXIT STATUS"', 1)[1].split(".SH ", 1)[0], re.M), codes)
        daemon_page = unescaped(self.pages["vramd.8"])
        options = re.findall(r"^  (--[a-z-]+)", told("vramd", "serve", "--help"), re.M)
        self.assertGreater(len(options), 10)
        for option in options:
            self.assertIn(f"\n{option}", daemon_page)

    def test_the_sections_that_a_reader_looks_for_are_there(self):
        for page, sections in {"vramd.8": ["NAME", "SYNOPSIS", "OPTIONS", "SIGNALS", "EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES", "SEE ALSO"],
                               "vramctl.1": ["NAME", "SYNOPSIS", "OPTIONS", "VERBS", "EXIT STATUS", "FILES", "ENVIRONMENT"],
                               "vramd.toml.5": ["NAME", "KEYS", "FILES", "EXAMPLES"], "vramd-attach.7": ["NAME", "The connection", "hello"]}.items():
            for section in sections:
                self.assertIn(f'.SH "{section}"', unescaped(self.pages[page]), page)
            self.assertIsNone(re.search(r"^!\w", self.pages[page], re.M), "a part that stands for nothing")


class Examples(unittest.TestCase):
    """Run in a folder that has the files they name, against a daemon that has the devices they name."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vramd-manual-")
        os.mkdir(os.path.join(self.folder, "ocr"))
        for source, name in (("silero_vad.onnx", "silero_vad.onnx"), ("ch_PP-OCRv4_det_infer.onnx", "ocr/ch_PP-OCRv4_det_infer.onnx"), ("every-type.gguf", "detector.gguf")):
            shutil.copy(os.path.join(SAMPLES, source), os.path.join(self.folder, name))
        with open(os.path.join(self.folder, "weights.bin"), "wb") as file:
            file.write(os.urandom(4096))
        with open(os.path.join(self.folder, "trace.csv"), "w", encoding="utf-8") as file:
            file.write("timeMs,model,bytes\n0,a,1048576\n5,b,2097152\n9,a,1048576\n")
        with open(os.path.join(self.folder, "vramd.toml"), "w", encoding="utf-8") as file:
            file.write('device = "host:host0=256MiB"\n')

    def tearDown(self):
        shutil.rmtree(self.folder)

    def shell(self, line, daemon, names):
        """The line with this daemon's names for what it names; those that follow events are ended when something came."""
        for name, there in names.items():
            line = line.replace(name, there)
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "VRAMD_SOCKET": daemon.socket_path}
        if "--follow" in line or line.startswith("vramd serve"):
            running = subprocess.Popen(["bash", "-c", "exec " + line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=self.folder, text=True)
            deadline = time.monotonic() + ENDS_BY_ITSELF
            while "--follow" in line and not select.select([running.stdout], [], [], 0.1)[0] and time.monotonic() < deadline:
                made_here = daemon.allocate(4096)  # Until it follows: what was before that it does not tell.
                daemon.delete(f"/api/memory/allocations/{made_here['id']}").ok()
            first = running.stdout.readline()
            running.send_signal(signal.SIGINT)
            rest, said = running.communicate(timeout=ENDS_BY_ITSELF)
            return 0 if first else 1, first + rest + said
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, cwd=self.folder, timeout=ENDS_BY_ITSELF, check=False)
        return done.returncode, done.stdout.decode(errors="replace")

    def test_every_example_of_every_verb_does_what_it_says(self):
        lines = [line for block in examples(made("vramctl.1")) for line in block]
        verbs = json.loads(told("vramctl", "__describe"))["verbs"]
        self.assertEqual(lines, [part for verb in verbs for part in verb["example"].split("; ") if part])
        self.assertGreater(len(lines), 20)
        with Daemon(devices=["host:host0=256MiB", "host:host1=64MiB"], model_dirs=[self.folder]) as daemon:
            for line in lines:
                daemon.default.close()  # The connection of before does not outlive the core that an example has ended.
                daemon.post("/api/model/load", {"name": "detector", "path": "ocr/ch_PP-OCRv4_det_infer.onnx", "type": "other"}).ok()
                names = {"alc_0q3xw8c5k2mznd1": daemon.allocate(2 << 20, deviceId="host0")["id"], "alc_7t1vb9e4h6pqrs2": daemon.allocate(2 << 20, deviceId="host0")["id"],
                         "/var/lib/vramd": daemon.state_dir}
                with self.subTest(line=line):
                    code, said = self.shell(line, daemon, names)
                    self.assertEqual(code, 0, said)

    def test_the_examples_of_the_daemons_page_do_what_they_say(self):
        blocks = [block for block in examples(made("vramd.8").split('.SH "EXAMPLES"', 1)[1])]
        self.assertEqual(len(blocks), 3)
        own = os.path.join(self.folder, "own")
        with open(os.path.join(self.folder, "vramd.toml"), "w", encoding="utf-8") as file:
            file.write(made("vramd.toml"))
        with Daemon() as daemon:
            names = {"/etc/vramd/vramd.toml": os.path.join(self.folder, "vramd.toml"), "/srv/models": self.folder, "/var/lib/vramd/lock": os.path.join(daemon.state_dir, "lock"),
                     "vramd serve": f"vramd serve --listen 127.0.0.1:0 --socket {own}/vramd.sock --state-dir {own}"}
            before = daemon.system()["generation"]
            for block in blocks:
                for line in block:
                    with self.subTest(line=line):
                        code, said = self.shell(line, daemon, names)
                        self.assertEqual(code, 0, said)
                        if line.startswith("vramd serve"):
                            self.assertIn("vramd ready http=", said)
            daemon.next_generation(before)

    def config(self, text):
        path = os.path.join(self.folder, "some.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return subprocess.run([os.path.join(BIN, "vramd"), "config", "--plain", "--config", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)

    def test_the_examples_of_the_files_page_are_read_as_they_are(self):
        blocks = examples(made("vramd.toml.5"))
        self.assertEqual(len(blocks), 2)
        for block in blocks:
            said = self.config("\n".join(block) + "\n")
            self.assertEqual(said.returncode, 0, said.stderr)

    def test_the_file_that_is_installed_tells_of_every_key_and_means_what_it_says(self):
        text = made("vramd.toml")
        keys = [setting["key"] for setting in json.loads(told("vramd", "__describe"))["settings"]]
        self.assertGreater(len(keys), 10)
        self.assertEqual(re.findall(r"^#?([a-z_]+) = ", text.split("#[[preload]]", 1)[0], re.M), keys)
        said = self.config(text)
        self.assertEqual(said.returncode, 0, said.stderr)
        values = dict(line.split("=", 1) for line in said.stdout.splitlines())
        self.assertEqual((values["socket"], values["state_dir"], values["model_dir"]), ("/run/vramd/vramd.sock", "/var/lib/vramd", "/var/lib/vramd/models"))
        # With every key put in by its comment mark taken away it means the same.
        spoken = self.config(re.sub(r"^#(?=[a-z_]+ = (?!\"/etc/vramd/tokens)|\[\[)", "", text, flags=re.M))
        self.assertEqual(spoken.returncode, 0, spoken.stderr)
        again = dict(line.split("=", 1) for line in spoken.stdout.splitlines())
        self.assertEqual({key: again[key] for key in keys}, {key: values[key] for key in keys})


if __name__ == "__main__":
    unittest.main()
