#!/usr/bin/env python3
"""A model's files that change under an unchanged index: a load shows what lies in them now, or is refused; never old bytes under a new file.

Each way of changing a file (written over in place, even with its times put back; replaced by another; cut) is tried on each further file
of a model in several: a shard of safetensors, an ONNX model's external data; before a load, after one, and while loads go on.
"""
import hashlib
import json
import os
import shutil
import struct
import tempfile
import threading
import unittest

from daemon import ROOT, Daemon

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
LOAD = "/api/model/load"
SHARDED = "sharded/silero_vad.safetensors.index.json"
EXTERNAL = "external/silero_vad.onnx"


def in_place(path, data):
    """The same file, size and name; its times tell."""
    with open(path, "r+b") as file:
        file.write(data)


def in_place_with_its_times_put_back(path, data):
    before = os.stat(path)
    in_place(path, data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def by_another(path, data):
    with open(path + ".next", "wb") as file:
        file.write(data)
    os.rename(path + ".next", path)


def by_another_with_the_same_times(path, data):
    before = os.stat(path)
    by_another(path, data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


WAYS = [in_place, in_place_with_its_times_put_back, by_another, by_another_with_the_same_times]


def flipped(data):
    """Other weights under the same header: the last quarter of a file is none of it."""
    cut = len(data) * 3 // 4
    return data[:cut] + bytes(byte ^ 0xff for byte in data[cut:])


class ChangedFiles(unittest.TestCase):
    def setUp(self):
        if not os.path.exists(os.path.join(SAMPLES, SHARDED)):
            self.skipTest("no samples: ./dev samples")
        self.own = tempfile.mkdtemp(prefix="vramd-changed-")
        self.addCleanup(shutil.rmtree, self.own)
        for folder in ("sharded", "external"):
            others = shutil.ignore_patterns("ch_*")
            shutil.copytree(os.path.join(SAMPLES, folder), os.path.join(self.own, folder), ignore=others)
        self.daemon = Daemon(devices=["host:a=128MiB"], model_dirs=[self.own], door="unix").__enter__()
        self.addCleanup(self.end)

    def end(self):
        self.assertTrue(self.daemon.get("/api/audit").ok()["ok"])
        self.daemon.__exit__(None, None, None)

    def unload_all(self):
        for model in self.daemon.get("/api/model/status").ok()["loadedModels"]:
            for name in model["names"]:
                self.daemon.delete(f"/api/model/unload?name={name}&keepCached=false").ok()

    def further_files(self, path):
        if path == SHARDED:
            with open(os.path.join(self.own, path), encoding="utf-8") as file:
                names = sorted(set(json.load(file)["weight_map"].values()))
            return [os.path.join(self.own, "sharded", name) for name in names]
        return [os.path.join(self.own, "external", name) for name in ("silero_vad.data", "more/silero_vad.data")]

    def load(self, path, name):
        return self.daemon.post(LOAD, {"name": name, "path": path, "type": "other"})

    def tensors(self, name):
        """{tensor: hash of its bytes} of a loaded model."""
        page = self.daemon.get(f"/api/model/{name}/tensors?limit=1000").ok()
        content = self.daemon.get(f"/api/memory/allocation/{page['allocationId']}/content").body
        return {item["name"]: hashlib.sha256(content[item["offsetBytes"]:item["offsetBytes"] + item["sizeBytes"]]).hexdigest() for item in page["items"]}

    def on_disk(self, path):
        """The same, from the files; of ONNX the whole of its data file's bytes is asked for by `fresh`."""
        hashes = {}
        for shard in self.further_files(path):
            with open(shard, "rb") as file:
                size, = struct.unpack("<Q", file.read(8))
                header, data = json.loads(file.read(size)), file.read()
            header.pop("__metadata__", None)
            for name, tensor in header.items():
                begin, end = tensor["data_offsets"]
                hashes[name] = hashlib.sha256(data[begin:end]).hexdigest()
        return hashes

    def fresh(self, path):
        """What a daemon that never saw the files before loads of them."""
        with Daemon(devices=["host:a=64MiB"], model_dirs=[self.own], door="unix") as other:
            mine, self.daemon = self.daemon, other
            try:
                self.load(path, "fresh").ok()
                return self.tensors("fresh")
            finally:
                self.daemon = mine

    def expected(self, path):
        return self.on_disk(path) if path == SHARDED else self.fresh(path)

    def change(self, way, file):
        with open(file, "rb") as opened:
            data = opened.read()
        way(file, flipped(data))

    def test_a_file_changed_after_a_load_is_a_new_model(self):
        for path in (SHARDED, EXTERNAL):
            for file in self.further_files(path):
                for way in WAYS:
                    with self.subTest(file=os.path.basename(file), way=way.__name__):
                        self.unload_all()
                        self.load(path, "old").ok()
                        old = self.tensors("old")
                        self.assertEqual(old, self.expected(path))
                        self.change(way, file)
                        self.assertEqual(self.tensors("old"), old)
                        self.load(path, "new").ok()
                        now = self.expected(path)
                        self.assertNotEqual(now, old)
                        self.assertEqual(self.tensors("new"), now)
                        self.load(path, "old").problem(409, "name-in-use")
                        self.assertEqual(self.tensors("old"), old)

    def test_a_file_changed_between_what_was_told_of_it_and_its_load_loads_as_it_is_now(self):
        for path in (SHARDED, EXTERNAL):
            for file in self.further_files(path):
                for way in WAYS:
                    with self.subTest(file=os.path.basename(file), way=way.__name__):
                        told = {item["path"]: item for item in self.daemon.get("/api/model/available?limit=1000").ok()["items"]}
                        self.assertNotIn("problem", told[path])
                        self.change(way, file)
                        self.load(path, "m").ok()
                        self.assertEqual(self.tensors("m"), self.expected(path))
                        self.daemon.delete("/api/model/unload?name=m&keepCached=false").ok()

    def test_a_shard_that_is_cut_or_gone_is_told_and_refused(self):
        for path in (SHARDED, EXTERNAL):
            file = self.further_files(path)[-1]
            with open(file, "rb") as opened:
                whole = opened.read()
            self.load(path, "kept").ok()
            for size in (0, 100, len(whole) - 1):
                os.truncate(file, size)
                self.load(path, "m").problem(422, "invalid-model")
            os.unlink(file)
            answer = self.load(path, "m")
            self.assertIn((answer.status, answer.json()["code"]), ((404, "not-found"), (422, "invalid-model")), answer.body)
            self.assertIn(os.path.basename(file), answer.json()["detail"])
            by_another(file, whole)
            self.load(path, "m").ok()
            self.assertEqual(self.tensors("m"), self.tensors("kept"))
            for name in ("kept", "m"):
                self.daemon.delete(f"/api/model/unload?name={name}&keepCached=false").ok()

    def test_while_a_shard_changes_again_and_again_each_load_is_of_one_state_of_it(self):
        file = self.further_files(SHARDED)[0]
        with open(file, "rb") as opened:
            one = opened.read()
        two = flipped(one)
        states = []
        for data in (one, two):
            by_another(file, data)
            states.append(self.on_disk(SHARDED))
        over = threading.Event()
        pause = [0.002]

        def writer():
            turn = 0
            while not over.is_set():
                turn += 1
                (by_another if turn % 3 else in_place)(file, (one, two)[turn % 2])
                over.wait(pause[0])  # Between two writes, so that some loads find one state.
        thread = threading.Thread(target=writer)
        thread.start()
        loaded = refused = 0
        try:
            while loaded < 10 or (refused == 0 and loaded < 60):
                answer = self.load(SHARDED, "m")
                if answer.status >= 400:
                    self.assertEqual((answer.status, answer.json()["code"]), (422, "invalid-model"), answer.body)
                    refused += 1
                    pause[0] = min(pause[0] * 1.5, 0.5)  # A slow loader must find the file at rest some time.
                    continue
                pause[0] = 0.002
                self.assertIn(self.tensors("m"), states)
                self.daemon.delete("/api/model/unload?name=m&keepCached=false").ok()
                loaded += 1
        finally:
            over.set()
            thread.join()


if __name__ == "__main__":
    unittest.main()
