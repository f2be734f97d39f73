#!/usr/bin/env python3
"""Memory that runs short: beside a hog in a control group the daemon gives way before anything is killed, in the order that is promised;
a machine's pressure does the same; beyond the high watermark a load makes room ahead of need; and [[preload]] brings models back."""
import json
import mmap
import os
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from attach_client import Attach
from daemon import ROOT, Daemon

sys.path.insert(0, os.path.join(ROOT, "python"))
import vramd  # noqa: E402

MIB = 1 << 20


def model_file(path, size):
    """A safetensors file with one tensor of `size` bytes."""
    head = json.dumps({"weights": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.write(os.urandom(4096))
        file.truncate(8 + len(head) + size)


class Group:
    """A control group of its own with a memory limit; None from `make` where none can be made."""

    def __init__(self, folder, procs):
        self.folder, self.procs = folder, procs

    @classmethod
    def make(cls, limit_bytes):
        name = f"vramd-test-{os.getpid()}"
        for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
            folder = os.path.join(root, name)
            try:
                os.mkdir(folder)
            except OSError:
                continue
            try:
                with open(os.path.join(folder, limit), "w", encoding="ascii") as file:
                    file.write(str(limit_bytes))
                return cls(folder, os.path.join(folder, "cgroup.procs"))
            except OSError:
                os.rmdir(folder)
        return None

    def within(self, command):
        return ["sh", "-c", f'echo $$ > {self.procs} && exec "$@"', "sh", *command]

    def remove(self):
        os.rmdir(self.folder)


def hog():
    """A process that takes as many MiB as each line of its input says, and answers each."""
    held = []
    for line in sys.stdin:
        more = mmap.mmap(-1, int(line) * MIB)
        more[:: mmap.PAGESIZE] = b"h" * (len(more) // mmap.PAGESIZE)
        held.append(more)
        print(len(held), flush=True)


class Hog:
    def __init__(self, within=lambda command: command):
        self.process = subprocess.Popen(within([sys.executable, os.path.abspath(__file__), "hog"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def take(self, mib):
        self.process.stdin.write(f"{mib}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline() != ""

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(60)


class Pressure(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vramd-pressure-")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def make(self, **sizes):
        for name, size in sizes.items():
            model_file(os.path.join(self.folder, f"{name}.safetensors"), size)

    def daemon(self, *arguments, devices=("host:a=768MiB",)):
        return Daemon(devices=devices, model_dirs=[self.folder], arguments=arguments)

    def load(self, daemon, name, where="load/a", **fields):
        return daemon.post(f"/api/model/{where}", {"name": name, "path": f"{name}.safetensors", "type": "other", **fields}).ok()

    def names(self, daemon):
        """Of the models in memory, those in the RAM cache in brackets."""
        items = [(device["deviceId"], model) for device in daemon.get("/api/memory/models").ok()["devices"] for model in device["models"]]
        return {f"({model['name']})" if model["tier"] == "ram" else model["name"] for _, model in items}

    def test_beside_a_hog_in_its_control_group_it_gives_way_before_anything_is_killed(self):
        group = Group.make(1024 * MIB)
        if group is None:
            self.skipTest("no control group can be made here")
        self.make(kept=128 * MIB, used=128 * MIB, other=128 * MIB, pinned=128 * MIB)
        daemon = self.daemon("--relief", "75,90,95", "--watermarks", "100,100")
        daemon.command = group.within(daemon.command)
        # The daemon's own memory is to be the models': a sanitizer keeps what is freed.
        daemon.environment["ASAN_OPTIONS"] = daemon.environment.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"
        hungry = None
        try:
            with daemon:
                self.load(daemon, "kept", "cache")
                self.load(daemon, "pinned", pinned=True)
                self.load(daemon, "used")
                self.load(daemon, "other")
                self.assertEqual(self.names(daemon), {"(kept)", "pinned", "used", "other"})
                generation = daemon.system()["generation"]
                hungry = Hog(group.within)
                seen = []
                for _ in range(700 // 10):
                    self.assertTrue(hungry.take(10), "the hog was killed")
                    names = self.names(daemon)
                    if not seen or names != seen[-1]:
                        seen.append(names)
                # In this order, and not more than had to go: the cached one, then one of the loaded, then the other.
                self.assertEqual(seen, [{"(kept)", "pinned", "used", "other"}, {"pinned", "used", "other"}, {"pinned", "other"}, {"pinned"}])
                self.assertEqual(daemon.system()["generation"], generation)
                self.assertTrue(daemon.get("/api/audit").ok()["ok"])
                self.assertEqual(hungry.end(), 0)
                self.load(daemon, "used")
                self.assertEqual(self.names(daemon), {"pinned", "used"})
        finally:
            if hungry is not None and hungry.process.poll() is None:
                hungry.process.kill()
                hungry.process.wait()
            group.remove()

    def test_when_only_what_a_client_holds_is_left_it_is_asked_and_nothing_is_taken_from_it(self):
        group = Group.make(1024 * MIB)
        if group is None:
            self.skipTest("no control group can be made here")
        self.make(used=384 * MIB)
        daemon = self.daemon("--relief", "75,90,95", "--watermarks", "100,100")
        daemon.command = group.within(daemon.command)
        hungry = None
        try:
            with daemon:
                client = Attach(daemon.socket_path, "holder", reclaim=True)
                place = client.call("attach", model="used.safetensors")["memory"]["allocationId"]
                hungry = Hog(group.within)
                for _ in range(620 // 10):
                    self.assertTrue(hungry.take(10), "the hog was killed")
                    if select.select([client.socket], [], [], 0.15)[0]:
                        break
                asked = client.hear_asked()
                self.assertEqual((asked["allocationId"], asked["model"]), (place, "used.safetensors"))
                self.assertEqual(self.names(daemon), {"used.safetensors"})
                client.call("detach", allocationId=place)
                deadline = time.monotonic() + 60
                while self.names(daemon):
                    self.assertLess(time.monotonic(), deadline, "what it let go of goes at one of the next looks")
                client.close()
                self.assertEqual(hungry.end(), 0)
        finally:
            if hungry is not None and hungry.process.poll() is None:
                hungry.process.kill()
                hungry.process.wait()
            group.remove()

    def test_others_who_use_up_the_machine_cost_the_cache_and_not_what_is_loaded(self):
        with open("/proc/meminfo", encoding="ascii") as file:
            facts = {line.split(":")[0]: int(line.split()[1]) << 10 for line in file}
        used = facts["MemTotal"] - facts["MemAvailable"]
        hundredth = facts["MemTotal"] // 100
        mark = used // hundredth + 4
        if mark >= 90:
            self.skipTest("the machine is full already")
        self.make(kept=4 * MIB, loaded=4 * MIB)
        with self.daemon("--relief", f"{mark},100,100", devices=("host:a=32MiB",)) as daemon:
            self.load(daemon, "kept", "cache")
            self.load(daemon, "loaded")
            hungry = Hog()
            try:
                for _ in range(10 * hundredth // (64 * MIB)):
                    self.assertTrue(hungry.take(64))
                    if "(kept)" not in self.names(daemon):
                        break
                self.assertEqual(self.names(daemon), {"loaded"})
            finally:
                hungry.process.kill()
                hungry.end()

    def test_a_load_beyond_the_high_watermark_makes_room_down_to_the_low_one(self):
        sizes = {name: 8 * MIB for name in ("one", "two", "three", "four", "five")}
        self.make(**sizes)
        for marks, left in (((), {"four", "five"}), (("--watermarks", "100,100"), set(sizes)), (("--watermarks", "80,50"), {"five"} | {"four"})):
            with self.daemon(*marks, "--ram-cache", "0", devices=("host:a=40MiB",)) as daemon:
                for name in sizes:
                    self.load(daemon, name)
                    used = daemon.get("/api/memory/status/a").ok()["usedBytes"]
                    if not marks:
                        self.assertLessEqual(used, 40 * MIB * 0.8 + 8192, name)
                self.assertEqual(self.names(daemon), left | ({"three"} if not marks else set()), marks)

    def test_a_model_in_use_above_the_emergency_threshold_goes_when_it_is_not_used_any_more(self):
        self.make(one=8 * MIB, two=8 * MIB)
        with self.daemon("--ram-cache", "0", devices=("host:a=40MiB",)) as daemon, vramd.connect(daemon.socket_path) as client:
            used = client.load("one", path="one.safetensors")
            self.load(daemon, "two")
            http = daemon.client("unix")
            http.request("PUT", "/api/memory/limits/a", {"emergencyThresholdPercentage": 25}).ok()
            self.assertEqual(self.names(daemon), {"one", "two"})
            used.close()
            self.loaded(daemon, {"two"})  # The newest one stays.
            http.close()

    def test_a_setting_that_makes_no_sense_is_refused_in_words(self):
        for flag, value in (("--watermarks", "70,80"), ("--watermarks", "80"), ("--watermarks", "101,3"), ("--watermarks", "80,70,60"), ("--watermarks", "80%,70%"),
                            ("--relief", "75,90"), ("--relief", "90,75,95"), ("--relief", "-1,90,95"), ("--relief", "75,90,95.001")):
            told = subprocess.run([self.daemon().command[0], "config", flag, value], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(told.returncode, 2, (flag, value, told))
            self.assertIn(f"{flag} must be", told.stderr)
            self.assertIn(value, told.stderr)

    def test_models_of_the_configuration_are_there_after_each_start(self):
        self.make(one=MIB, two=2 * MIB)
        config = os.path.join(self.folder, "vramd.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write('[[preload]]\nname = "first"\npath = "one.safetensors"\npinned = true\n\n[[preload]]\nname = "second"\npath = "two.safetensors"\ntier = "ram"\n\n'
                       '[[preload]]\nname = "absent"\npath = "none.safetensors"\n')
        with self.daemon("--config", config, devices=("host:a=32MiB",)) as daemon:
            self.loaded(daemon, {"first", "(second)"})
            self.assertIn("preload absent: ", daemon.said())
            self.assertTrue(daemon.get("/api/memory/models").ok()["agrees"])
            daemon.delete("/api/model/unload?name=first&keepCached=false").ok()
            daemon.kill_core()
            self.loaded(daemon, {"first", "(second)"})

    def loaded(self, daemon, names):
        """Waits until these models, and no others, are there whole."""
        until = time.monotonic() + 60
        while self.names(daemon) != names or any(daemon.get(f"/api/model/info?name={name.strip('()')}").ok()["state"] == "loading" for name in names):
            self.assertLess(time.monotonic(), until, self.names(daemon))

    def test_a_fault_in_the_list_of_models_is_told_with_its_line(self):
        config = os.path.join(self.folder, "vramd.toml")
        for text, word in (('preload = "a"', "vramd.toml:1"), ("preload = [1]", "vramd.toml:1"), ('[[preload]]\nname = "a"', "needs a name and a path"),
                           ('[[preload]]\nname = "a"\npath = "b"\nnmae = "c"', "the nearest is name"), ('[[preload]]\nname = "a"\npath = "b"\npinned = 1', "true or false"),
                           ('[[preload]]\nname = "a"\npath = "b"\ntier = "disk"', "one of device, ram"),
                           ('[[preload]]\nname = "a"\npath = "b"\n[[preload]]\nname = "a"\npath = "c"', "comes twice")):
            with open(config, "w", encoding="utf-8") as file:
                file.write(text + "\n")
            told = subprocess.run([self.daemon().command[0], "config", "--config", config], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(told.returncode, 2, (text, told))
            self.assertIn(word, told.stderr, text)


if __name__ == "__main__":
    if sys.argv[1:] == ["hog"]:
        hog()
    else:
        unittest.main()
