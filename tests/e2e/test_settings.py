#!/usr/bin/env python3
"""Where each setting comes from, for vramd and for vramctl, a configuration file that is read by nobody but the core's program, SIGHUP, and what works without a daemon."""
import json
import os
import pty
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

from daemon import BIN, ROOT, Daemon

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
KEYS = ["listen", "socket", "state_dir", "device", "model_dir", "token_file", "ram_cache", "eviction", "watermarks", "relief", "zombie_grace", "gpu_patience",
        "preload", "read_only", "config"]


def run(program, *words, environment=None, **rest):
    return subprocess.run([os.path.join(BIN, program), *words], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                          env={**os.environ, **(environment or {})}, **rest)


class Settings(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vramd-settings-")
        self.file = os.path.join(self.folder, "vramd.toml")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def write(self, text):
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(text)

    def config(self, *words, environment=None):
        """`vramd config` as {key: (value, source)}."""
        told = run("vramd", "config", *words, environment=environment)
        self.assertEqual((told.returncode, told.stderr), (0, ""), told)
        rows = {}
        for line in told.stdout.splitlines():
            key, rest = line[:12].strip(), line[13:]
            rows[key] = (rest[:40].strip(), rest[40:].strip())
        self.assertEqual(list(rows), KEYS)
        return rows

    def test_every_setting_is_told_with_its_value_and_where_it_comes_from(self):
        clean = {name: "" for name in os.environ if name.startswith("VRAMD_")}
        rows = self.config(environment=clean)
        self.assertEqual({source for _, source in rows.values()}, {"default"})
        self.assertEqual((rows["listen"][0], rows["device"][0], rows["read_only"][0]), ("127.0.0.1:7070", "auto", "false"))
        self.write('listen = "127.0.0.1:1"\nsocket = "/tmp/file/vramd.sock"\ndevice = ["host:f=1MiB"]\n')
        environment = {**clean, "VRAMD_LISTEN": "127.0.0.1:2", "VRAMD_STATE_DIR": "/tmp/variable", "VRAMD_TOKEN_FILE": "/tmp/tokens"}
        rows = self.config("--config", self.file, "--socket", "/tmp/flag/vramd.sock", "--read-only", environment=environment)
        self.assertEqual(rows["listen"], ("127.0.0.1:1", f"file {self.file}:1"))
        self.assertEqual(rows["socket"], ("/tmp/flag/vramd.sock", "flag"))
        self.assertEqual(rows["state_dir"], ("/tmp/variable", "VRAMD_STATE_DIR"))
        self.assertEqual(rows["device"], ("host:f=1MiB", f"file {self.file}:3"))
        self.assertEqual(rows["token_file"], ("/tmp/tokens", "VRAMD_TOKEN_FILE"))
        self.assertEqual(rows["read_only"], ("true", "flag"))
        self.assertEqual(rows["config"][1], "flag")

    def test_the_keeper_lives_where_the_file_says_and_a_flag_beats_it(self):
        state, socket = os.path.join(self.folder, "state"), os.path.join(self.folder, "file.sock")
        self.write(f'listen = "127.0.0.1:0"\nsocket = "{socket}"\nstate_dir = "{state}"\ndevice = "host:f=16MiB"\n')
        for flags, listens in (([], True), (["--listen", "none"], False)):
            daemon = Daemon()
            daemon.command = [os.path.join(BIN, "vramd"), "serve", "--config", self.file, *flags]
            daemon.environment["VRAMD_STATE_DIR"] = "/nowhere/that/exists"
            try:
                daemon.process = subprocess.Popen(daemon.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=daemon.environment)
                line = daemon.process.stdout.readline().decode()
                self.assertEqual("http=http://127.0.0.1:" in line, listens, line)
                self.assertIn(f"socket={socket} devices=f", line)
                self.assertTrue(os.path.exists(os.path.join(state, "ledger")))
                daemon.process.send_signal(signal.SIGTERM)
                self.assertEqual(daemon.process.wait(30), 0)
                self.assertFalse(os.path.exists(socket))
            finally:
                daemon.discard()

    def test_a_file_with_a_fault_ends_it_in_words_before_anything_is_made(self):
        state = os.path.join(self.folder, "state")
        for text, word in (("listen = 7", "vramd.toml:1"), ('socket = ["/a", "/b"]', "one text"), ("listen =", "vramd.toml:1"),
                           ('state_dir = "a\\nb"', "control character"), ('port = "1"', "no setting port"), ('device = "host:a=12parsecs"', "12parsecs")):
            self.write(f'{text}\n')
            told = run("vramd", "serve", "--config", self.file, "--state-dir", state, "--socket", os.path.join(self.folder, "s.sock"), "--listen", "127.0.0.1:0")
            self.assertEqual(told.returncode, 2, (text, told))
            self.assertIn(word, told.stderr, text)
        told = run("vramd", "serve", "--config", os.path.join(self.folder, "none.toml"), "--state-dir", os.path.join(self.folder, "other"))
        self.assertEqual(told.returncode, 2)
        self.assertIn("none.toml", told.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "other")))

    def test_sighup_takes_the_file_as_it_is_now_and_leaves_read_only_mode(self):
        self.write('device = "host:f=16MiB"\n')
        with Daemon(devices=(), arguments=["--config", self.file]) as daemon:
            made = daemon.allocate(4096)
            told = daemon.system()
            for _ in range(12):  # Three within ten seconds are meant; a busy machine may need more to get there.
                if not told["readOnly"]:
                    os.kill(told["corePid"], signal.SIGABRT)
                    told = daemon.next_generation(told["generation"])
            self.assertTrue(told["readOnly"])
            self.assertIn("after repeated failures", told["readOnlyReason"])
            daemon.post("/api/memory/allocations/allocate", {"sizeBytes": 4096}).problem(503, "read-only")
            self.write('device = "host:f=32MiB"\nlisten = "127.0.0.1:1"\n')
            daemon.process.send_signal(signal.SIGHUP)
            told = daemon.next_generation(told["generation"])
            self.assertFalse(told["readOnly"])
            self.assertEqual(daemon.get("/api/memory/status/f").ok()["totalBytes"], 32 << 20)
            daemon.get(f"/api/memory/allocation/{made['id']}").ok()
            daemon.allocate(4096)
            # The aborts were asked for here: the look for faults at the end is not to find them.
            os.truncate(os.path.join(daemon.folder, "log"), 0)

    def test_a_model_folder_that_is_not_there_is_told_and_found_once_it_is(self):
        later, there = os.path.join(self.folder, "later"), os.path.join(self.folder, "there")
        os.mkdir(there)
        self.assertIn(f" flag; not there: {later}\n", run("vramd", "config", "--model-dir", there, "--model-dir", later).stdout)
        self.write(f'model_dir = "{later}"\n')
        self.assertIn(f"; not there: {later}", run("vramd", "config", "--config", self.file).stdout)
        self.assertNotIn("not there", run("vramd", "config", "--plain", "--config", self.file).stdout)
        with Daemon(devices=["host:a=16MiB"], model_dirs=[there, later]) as daemon:
            warnings = [line for line in daemon.said().splitlines() if "model folder" in line]
            self.assertEqual(warnings, [f"vramd-core: the model folder {later} is not there; what it holds can be loaded as soon as it is"])
            self.assertEqual(daemon.get("/api/model/available").ok()["items"], [])
            os.mkdir(later)
            header = json.dumps({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
            with open(os.path.join(later, "m.safetensors"), "wb") as file:
                file.write(len(header).to_bytes(8, "little") + header + b"abcd")
            self.assertEqual([item["path"] for item in daemon.get("/api/model/available").ok()["items"]], ["m.safetensors"])
            daemon.post("/api/model/load", {"name": "m", "path": "m.safetensors", "type": "other"}).ok()
        with Daemon(devices=["host:a=16MiB"]) as daemon:  # The default folder need not be there.
            self.assertNotIn("model folder", daemon.said())

    def test_words_that_vramd_does_not_know_are_told_with_the_nearest_that_it_does(self):
        for words, told in ((["bogus"], "There is no verb 'bogus'; the nearest is '"), (["sreve"], "There is no verb 'sreve'; the nearest is 'serve'."),
                            (["serve", "--readonly"], "serve has no option '--readonly'; the nearest is '--read-only'."),
                            (["config", "--modeldir=x"], "config has no option '--modeldir=x'; the nearest is '--model-dir'."),
                            (["serve", "bogus"], "serve takes no word 'bogus', only options."), ([], "A verb is missing; the verbs are serve and config.")):
            refused = run("vramd", *words)
            self.assertEqual((refused.returncode, refused.stdout), (2, ""), words)
            self.assertIn(told, refused.stderr, words)
        for words, told in ((["statsu"], "There is no verb 'statsu'; the nearest is 'status'."), (["bogus"], "There is no verb 'bogus'; the nearest is '"),
                            (["ps", "--ownr", "x"], "ps has no option '--ownr'; the nearest is '--owner'."),
                            (["ps", "--scoket=x"], "ps has no option '--scoket=x'; the nearest is '--socket'."),
                            (["--bytse", "ps"], "ps has no option '--bytse'; the nearest is '--bytes'.")):
            refused = run("vramctl", *words)
            self.assertEqual((refused.returncode, refused.stdout), (2, ""), words)
            self.assertIn(told, refused.stderr, words)

    def test_sighup_lets_a_request_that_runs_finish(self):
        with Daemon(devices=["host:f=16MiB"]) as daemon:
            holder = daemon.allocate(12 << 20)
            generation = daemon.system()["generation"]
            answers = []
            client = daemon.client()
            connection = client.connect()
            connection.putrequest("PUT", f"/api/memory/allocation/{holder['id']}/content")
            connection.putheader("Content-Type", "application/octet-stream")
            connection.putheader("Content-Length", str(12 << 20))
            connection.endheaders(b"a" * (1 << 20))
            daemon.process.send_signal(signal.SIGHUP)

            def finish():
                connection.send(b"b" * (11 << 20))
                answers.append(connection.getresponse().status)

            thread = threading.Thread(target=finish)
            thread.start()
            thread.join(30)
            self.assertEqual(answers, [200])
            connection.close()
            daemon.next_generation(generation)
            body = daemon.get(f"/api/memory/allocation/{holder['id']}/content").body
            self.assertEqual((body[:1], body[-1:], len(body)), (b"a", b"b", 12 << 20))


class CtlConfig(unittest.TestCase):
    """`vramctl config`: what a running daemon has, and a file before it is used."""
    NOWHERE = {"VRAMD_SOCKET": "", "VRAMD_URL": "", "VRAMD_CONFIG": "", "XDG_RUNTIME_DIR": "/nowhere", "VRAMD_EVICTION": ""}

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vramd-settings-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = os.path.join(self.folder, "vramd.toml")

    def write(self, text):
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(text)

    def rows(self, *words, environment=None):
        told = run("vramctl", *words, "-o", "json", environment=environment)
        self.assertEqual((told.returncode, told.stderr), (0, ""), told)
        rows = {item["setting"]: (item["value"], item["source"]) for item in json.loads(told.stdout)["items"]}
        self.assertEqual(list(rows), KEYS)
        return rows

    def test_a_running_daemons_settings_are_its_own_not_those_of_who_asks(self):
        self.write('gpu_patience = "31"\n')
        daemon = Daemon(devices=["host:a=16MiB"], arguments=["--config", self.file], door="unix")
        daemon.environment["VRAMD_WATERMARKS"] = "60,50"
        with daemon:
            asks = ["--socket", daemon.socket_path, "config"]
            rows = self.rows(*asks, environment={"VRAMD_WATERMARKS": "99,98", "VRAMD_EVICTION": "lru"})
            self.assertEqual(rows["device"], ("host:a=16MiB", "flag"))
            self.assertEqual(rows["gpu_patience"], ("31", f"file {self.file}:1"))
            self.assertEqual(rows["watermarks"], ("60,50", "VRAMD_WATERMARKS"))
            self.assertEqual(rows["eviction"], ("fifo", "default"))
            self.assertIn(f"vramd (pid {daemon.system()['keeperPid']}) was started with", run("vramctl", *asks).stdout)
            self.write('gpu_patience = "0"\n')  # What the next SIGHUP would refuse.
            told = run("vramctl", *asks)
            self.assertEqual((told.returncode, told.stdout), (2, ""), told)
            self.assertIn("--gpu-patience must be a whole number", told.stderr)

    def test_a_file_is_checked_before_it_is_used(self):
        self.write('device = "host:f=16MiB"\neviction = "lru"\n')
        rows = self.rows("config", self.file, environment=self.NOWHERE)
        self.assertEqual((rows["eviction"], rows["device"]), (("lru", f"file {self.file}:2"), ("host:f=16MiB", f"file {self.file}:1")))
        self.assertTrue(run("vramctl", "config", self.file, environment=self.NOWHERE).stdout.startswith("The file has no fault; "))
        for text, word in (("listen =", "vramd.toml:1"), ('port = "1"', "no setting port"), ('eviction = "random"', "fifo, lru or smart")):
            self.write(text + "\n")
            told = run("vramctl", "config", self.file, environment=self.NOWHERE)
            self.assertEqual((told.returncode, told.stdout), (2, ""), text)
            self.assertTrue(told.stderr.startswith("vramctl: "), told.stderr)
            self.assertIn(word, told.stderr)

    def test_where_no_daemon_is_it_says_what_one_would_have_and_of_another_machine_nothing(self):
        told = run("vramctl", "--socket", os.path.join(self.folder, "none.sock"), "config", environment=self.NOWHERE)
        self.assertEqual((told.returncode, told.stdout), (5, ""), told)
        self.assertEqual(run("vramctl", "--url", "http://127.0.0.1:1", "config", environment=self.NOWHERE).returncode, 5)
        self.assertEqual(run("vramctl", "config", "--curl", environment=self.NOWHERE).returncode, 2)


class WithoutDaemon(unittest.TestCase):
    NOWHERE = {"VRAMD_SOCKET": "/nowhere/vramd.sock", "VRAMD_URL": ""}

    def test_a_files_tensors_are_those_that_the_daemon_tells(self):
        files = ["every-type.onnx", "every-type.gguf", "silero_vad.safetensors", "external/silero_vad.onnx", "sharded/silero_vad.safetensors.index.json"]
        with Daemon(devices=["host:a=64MiB"], model_dirs=[SAMPLES]) as daemon:
            for name in files:
                with self.subTest(name):
                    path = os.path.join(SAMPLES, name)
                    told = run("vramctl", "tensors", path, "-o", "json", environment=self.NOWHERE)
                    self.assertEqual((told.returncode, told.stderr), (0, ""))
                    here = json.loads(told.stdout)
                    record = daemon.post("/api/model/load", {"name": "m", "path": path, "type": "other"}).ok()
                    there, cursor = [], ""
                    while cursor is not None:
                        page = daemon.get("/api/model/m/tensors?limit=1000" + (f"&cursor={cursor}" if cursor else "")).ok()
                        there, cursor = there + page["items"], page["nextCursor"]
                    self.assertEqual(here["items"], there)
                    self.assertEqual(here["format"], record["format"])
                    daemon.delete("/api/model/unload?name=m&keepCached=false").ok()

    def test_a_files_table_and_its_refusals(self):
        told = run("vramctl", "tensors", os.path.join(SAMPLES, "every-type.gguf"), environment=self.NOWHERE)
        self.assertEqual(told.returncode, 0, told)
        self.assertTrue(told.stdout.startswith("NAME"), told.stdout)
        self.assertEqual(run("vramctl", "tensors", "./none.gguf", environment=self.NOWHERE).returncode, 3)
        bad = run("vramctl", "tensors", os.path.join(SAMPLES, "expected.json"), environment=self.NOWHERE)
        self.assertEqual(bad.returncode, 1, bad)
        self.assertTrue(bad.stderr.startswith("vramctl: "), bad.stderr)
        self.assertEqual(run("vramctl", "tensors", "a-loaded-models-name", environment=self.NOWHERE).returncode, 5)

    def test_raw_bytes_go_to_a_terminal_only_by_force(self):
        with Daemon(devices=["host:a=64MiB"]) as daemon:
            made = daemon.allocate(64)
            daemon.put(f"/api/memory/allocation/{made['id']}/content", b"raw" + bytes(61)).ok()
            for words, code, written in ((["cat", made["id"]], 2, b""), (["cat", made["id"], "--force"], 0, b"raw")):
                ours, theirs = pty.openpty()
                done = subprocess.run([os.path.join(BIN, "vramctl"), "--socket", daemon.socket_path, *words], stdout=theirs, stderr=subprocess.PIPE, timeout=30, check=False)
                os.close(theirs)
                self.assertEqual(done.returncode, code, done)
                try:
                    self.assertEqual(os.read(ours, 4096)[:3], written)
                except OSError:  # The terminal was closed with nothing in it.
                    self.assertEqual(written, b"")
                os.close(ours)
                if code != 0:
                    self.assertIn(b"--force", done.stderr)


if __name__ == "__main__":
    unittest.main()
