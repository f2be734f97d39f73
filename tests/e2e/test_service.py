#!/usr/bin/env python3
"""vramd as a service: what the service manager is told, memory that outlives the keeper in its store, and the unit that is installed."""
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import unittest

from daemon import ROOT, Daemon
from supervisor_bed import ServiceManager

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
UNIT = os.path.join(ROOT, "packaging", "vramd.service")


class Keeper(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vramd-service-")
        self.manager = ServiceManager(self.folder)
        self.daemon = Daemon(devices=["host:a=64MiB", "host:b=16MiB"], model_dirs=[SAMPLES])
        self.manager.start(self.daemon)

    def tearDown(self):
        self.daemon.discard()
        self.manager.close()
        shutil.rmtree(self.folder)

    def fill(self):
        """Allocations with bytes of their own on both devices, one of them gone again, and a model."""
        kept = {}
        for place, (size, fields) in enumerate([(1 << 20, {}), (4096, {"deviceId": "b"}), (3 << 20, {"shareable": True}), (65536, {"allocationType": "pinned"})]):
            made = self.daemon.allocate(size, **fields)
            data = os.urandom(size - place) + bytes(place)
            self.daemon.put(f"/api/memory/allocation/{made['id']}/content", data).ok()
            kept[made["id"]] = data
        gone = self.daemon.allocate(2 << 20, shareable=True)
        self.daemon.delete(f"/api/memory/allocations/{gone['id']}").ok()
        model = self.daemon.post("/api/model/load", {"name": "vad", "path": "silero_vad.onnx", "type": "other"}).ok()
        place = next(one["allocationId"] for one in model["places"] if one.get("allocationId"))
        kept[place] = self.daemon.get(f"/api/memory/allocation/{place}/content").body
        return kept

    def there(self, kept):
        for name, data in kept.items():
            answer = self.daemon.get(f"/api/memory/allocation/{name}/content")
            self.assertEqual((answer.status, answer.body == data), (200, True), name)
        self.assertEqual([one["name"] for one in self.daemon.get("/api/model/status").ok()["loadedModels"]], ["vad"])
        self.assertTrue(self.daemon.get("/api/audit").ok()["ok"])

    def after_the_last_change(self):
        """All that the keeper had to say is said: a core's death is told after what came before it."""
        told = len(self.manager.said)
        before = self.daemon.system()
        os.kill(before["corePid"], signal.SIGKILL)
        self.daemon.next_generation(before["generation"])
        self.manager.wait(lambda manager: any("READY" in words for words in manager.said[told:]))

    def test_a_killed_keepers_memory_is_there_again_with_its_ids_its_bytes_and_its_model(self):
        kept = self.fill()
        self.after_the_last_change()
        before = self.daemon.stop_core()
        core = before["corePid"]  # It does not hear that its keeper has ended.
        self.manager.kill(self.daemon)
        self.manager.start(self.daemon)
        self.assertFalse(os.path.exists(f"/proc/{core}/exe"), "the core of before still runs")
        now = self.daemon.system()
        self.assertNotEqual(now["keeperPid"], before["keeperPid"])
        self.assertEqual(now["generation"], before["generation"] + 1)
        self.assertEqual(now["recovery"]["findings"], [])
        self.assertGreater(now["recovery"]["adoptedBlocks"], 4)
        self.there(kept)
        # And the life goes on: what comes now outlives the next keeper too.
        made = self.daemon.allocate(4096)
        self.daemon.put(f"/api/memory/allocation/{made['id']}/content", b"later" + bytes(4091)).ok()
        kept[made["id"]] = b"later" + bytes(4091)
        self.after_the_last_change()
        self.manager.kill(self.daemon)
        self.manager.start(self.daemon)
        self.there(kept)
        self.daemon.stop()

    def test_a_restart_keeps_the_memory_and_a_stop_ends_it(self):
        kept = self.fill()
        for name in list(kept)[:1]:
            self.daemon.delete(f"/api/memory/allocations/{name}").ok()
            del kept[name]
        self.daemon.stop()
        self.manager.read_all()
        self.assertEqual(self.manager.said[-1], {"STOPPING": "1"})
        self.manager.start(self.daemon)
        self.there(kept)
        self.daemon.stop()
        self.manager.drop()
        self.manager.start(self.daemon)
        self.assertEqual(self.daemon.get("/api/memory/allocations").ok()["items"], [])
        self.daemon.stop()

    def test_nobody_else_uses_the_ledger_while_the_memory_lies_in_the_store(self):
        self.fill()
        self.daemon.stop()
        with tempfile.TemporaryDirectory() as folder:
            other = subprocess.run([*self.daemon.own_command, "--socket", os.path.join(folder, "vramd.sock")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        self.assertEqual(other.returncode, 2)
        self.assertIn(b"Another vramd", other.stderr)

    def test_the_store_holds_what_the_keeper_holds_and_no_more(self):
        self.fill()
        self.after_the_last_change()
        core = [name for name, _ in self.manager.store if name.startswith("core.")]
        life = [name for name, _ in self.manager.store if name.startswith("life.")]
        self.assertEqual((len(core), len(life)), (1, 1))
        keeper = self.daemon.process.pid
        held = [os.readlink(f"/proc/{keeper}/fd/{number}") for number in os.listdir(f"/proc/{keeper}/fd")]
        self.assertEqual(len(self.manager.blocks()), sum("/memfd:" in one for one in held))
        self.daemon.process.send_signal(signal.SIGHUP)
        self.manager.wait(lambda manager: any("RELOADING" in words for words in manager.said))
        self.manager.wait(lambda manager: "READY" in manager.said[-1])
        self.daemon.stop()

    def test_a_core_knows_nothing_of_the_service_manager(self):
        pid = self.daemon.core_pid()
        with open(f"/proc/{pid}/environ", "rb") as file:
            names = [line.split(b"=")[0] for line in file.read().split(b"\0")]
        self.assertEqual([name for name in names if name.startswith((b"NOTIFY", b"LISTEN_", b"WATCHDOG", b"FDSTORE"))], [])
        self.daemon.stop()


class Missing(unittest.TestCase):
    """What the daemon is not given, as in a container of which nobody thought."""

    def first_words(self, *before):
        daemon = Daemon()
        daemon.command = [*before, *daemon.command]
        with daemon:
            daemon.kill_core()
            return daemon.said()

    def test_at_its_first_start_it_says_what_is_missing_and_how_to_give_it(self):
        # Whoever may lock memory without a limit misses nothing.
        bounded = ["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"] if os.geteuid() == 0 else []
        said = self.first_words("prlimit", "--memlock=65536:65536", "--nofile=900:900", *bounded)
        self.assertEqual(said.count("only 65536 bytes of memory can be pinned (memlock)"), 1, said)
        self.assertEqual(said.count("only 900 files can be open"), 1, said)
        self.assertIn("--ulimit memlock=-1", said)

    def test_it_says_nothing_of_what_is_there(self):
        if os.geteuid() != 0 or resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 20000:
            self.skipTest("only root may lock memory without a limit, and not here")
        said = self.first_words("prlimit", "--memlock=65536:65536", "--nofile=20000:20000")
        self.assertNotIn("can be pinned", said)
        self.assertNotIn("files can be open", said)


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not here")
class Unit(unittest.TestCase):
    def analyze(self, *words, unit=UNIT):
        return subprocess.run(["systemd-analyze", *words, unit], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)

    def test_systemd_has_nothing_to_say_against_the_unit(self):
        with open(UNIT, encoding="utf-8") as file:
            text = file.read()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "vramd.service")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text.replace("/usr/bin/vramd", "/bin/true"))  # Neither it nor its manual need be installed here.
            told = self.analyze("verify", "--man=no", unit=path)
            self.assertEqual((told.returncode, told.stdout), (0, ""))
            with open(path, "a", encoding="utf-8") as file:
                file.write("\n[Service]\nNoSuchKey=1\n")
            self.assertIn("NoSuchKey", self.analyze("verify", "--man=no", unit=path).stdout)

    def test_the_unit_exposes_little(self):
        told = self.analyze("security", "--offline=yes", "--threshold=30")
        self.assertEqual(told.returncode, 0, told.stdout[-400:])

    def test_what_the_store_keeps_is_said_twice_and_the_same(self):
        with open(UNIT, encoding="utf-8") as file:
            lines = file.read().splitlines()
        kept = [line.split("=")[-1] for line in lines if line.startswith(("FileDescriptorStoreMax=", "Environment=FDSTORE="))]
        self.assertEqual(kept, ["4096", "4096"])


if __name__ == "__main__":
    unittest.main()
