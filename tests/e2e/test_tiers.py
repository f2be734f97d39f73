#!/usr/bin/env python3
"""Disk, RAM cache and device: a model read once, copied from where it is, kept where it can be, given up first, and whole through kills."""
import hashlib
import http.client
import os
import random
import shutil
import signal
import tempfile
import threading
import time
import unittest

from daemon import ROOT, Daemon

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
VAD, DET = "silero_vad.onnx", "ch_PP-OCRv4_det_infer.gguf"
MIB = 1 << 20


class Tiers(unittest.TestCase):
    def daemon(self, *arguments, devices=("host:a=64MiB", "host:b=16MiB")):
        return Daemon(devices=devices, model_dirs=[SAMPLES], arguments=arguments)

    def load(self, daemon, name, path, device="b", **fields):
        return daemon.post(f"/api/model/load/{device}", {"name": name, "path": path, "type": "other", **fields})

    def info(self, daemon, name):
        return daemon.get(f"/api/model/info?name={name}").ok()

    def places(self, daemon, name):
        return {place["deviceId"]: place for place in self.info(daemon, name)["places"]}

    def sum_at(self, daemon, place):
        return hashlib.sha256(daemon.get(f"/api/memory/allocation/{place['allocationId']}/content").body).hexdigest()

    def test_a_load_comes_by_way_of_the_cache_and_the_next_one_from_it(self):
        with self.daemon() as daemon:
            first = self.load(daemon, "vad", VAD).ok()
            self.assertEqual((first["state"], first["places"][0]["deviceId"], first["places"][0]["tier"]), ("resident", "b", "device"))
            places = self.places(daemon, "vad")
            self.assertEqual((set(places), places["a"]["tier"]), ({"a", "b"}, "ram"))
            self.assertEqual(self.sum_at(daemon, places["a"]), self.sum_at(daemon, places["b"]))
            self.assertEqual(daemon.get("/api/model/status/a").ok()["modelCount"], 0)
            self.assertEqual(daemon.get("/api/model/status/b").ok()["modelCount"], 1)
            cache = daemon.get("/api/model/cache").ok()
            self.assertEqual((cache["deviceId"], cache["usedBytes"], [model["name"] for model in cache["items"]]), ("a", first["sizeBytes"], ["vad"]))
            freed = daemon.delete("/api/model/unload?name=vad").ok()
            self.assertEqual((freed["freedBytes"], freed["status"]), (first["sizeBytes"], "freed"))
            self.assertEqual(self.info(daemon, "vad")["state"], "cached")
            self.assertEqual(daemon.get("/api/model/status").ok()["loadedModels"], [])
            again = self.load(daemon, "vad", VAD).ok()
            self.assertEqual(again["state"], "resident")
            self.assertEqual(self.sum_at(daemon, self.places(daemon, "vad")["b"]), self.sum_at(daemon, places["a"]))
            memory = daemon.get("/api/memory/models").ok()
            self.assertTrue(memory["agrees"], memory)
            self.assertEqual([(model["deviceId"], model["tier"]) for device in memory["devices"] for model in device["models"]], [("a", "ram"), ("b", "device")])
            self.assertTrue(daemon.get("/api/audit").ok()["ok"])

    def test_on_the_caches_own_device_both_are_one_memory(self):
        with self.daemon() as daemon:
            loaded = self.load(daemon, "vad", VAD, "a").ok()
            self.assertEqual([(place["tier"], place["deviceId"]) for place in loaded["places"]], [("device", "a")])
            used = daemon.get("/api/memory/status/a").ok()["usedBytes"]
            kept = daemon.delete("/api/model/unload?name=vad").ok()
            self.assertEqual((kept["freedBytes"], kept["status"]), (0, "cached"))
            told = daemon.delete("/api/model/unload?name=vad").problem(404, "not-found")
            self.assertIn("/api/model/cache/vad", told["detail"])
            self.assertEqual(self.load(daemon, "vad", VAD, "a").ok()["places"][0]["allocationId"], loaded["places"][0]["allocationId"])
            self.assertEqual(daemon.get("/api/memory/status/a").ok()["usedBytes"], used)
            daemon.delete("/api/model/cache/vad").problem(409, "conflict")
            gone = daemon.delete("/api/model/unload?name=vad&keepCached=false").ok()
            self.assertEqual((gone["freedBytes"], gone["status"]), (loaded["sizeBytes"], "freed"))
            daemon.get("/api/model/info?name=vad").problem(404, "not-found")

    def test_a_model_whose_file_is_as_it_was_is_loaded_again_without_a_process(self):
        def started(daemon):
            """Faults of pages in the processes that the core has started and reaped: more only after another one."""
            with open(f"/proc/{daemon.core_pid()}/stat", encoding="ascii") as file:
                return int(file.read().rsplit(")", 1)[1].split()[8])

        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(os.path.join(SAMPLES, "sharded"), os.path.join(folder, "sharded"))
            path = os.path.join(folder, "sharded", "silero_vad.safetensors.index.json")
            while time.time() < os.stat(path).st_ctime + 1.1:  # Until its times of change can be relied on.
                pass
            with self.daemon("--model-dir", folder) as daemon:
                self.load(daemon, "vad", path).ok()
                content = self.sum_at(daemon, self.places(daemon, "vad")["b"])
                before = started(daemon)
                self.assertGreater(before, 0)
                self.assertEqual(self.load(daemon, "again", path).ok()["state"], "resident")
                for name in ("vad", "again"):
                    daemon.delete(f"/api/model/unload?name={name}&keepCached=false").ok()
                daemon.delete("/api/model/cache").ok()
                daemon.get("/api/model/info?name=vad").problem(404, "not-found")
                self.load(daemon, "vad", path).ok()
                self.assertEqual(self.sum_at(daemon, self.places(daemon, "vad")["b"]), content)
                self.assertEqual(started(daemon), before)
                daemon.delete("/api/model/unload?name=vad").ok()
                daemon.delete("/api/model/cache").ok()
                shard = next(name for name in os.listdir(os.path.join(folder, "sharded")) if name.startswith("silero_vad-"))
                os.utime(os.path.join(folder, "sharded", shard))  # Its header has to be read anew.
                self.load(daemon, "vad", path).ok()
                self.assertGreater(started(daemon), before)

    def test_the_cache_is_filled_shown_and_emptied_by_hand(self):
        with self.daemon("--ram-cache", "8MiB") as daemon:
            vad = daemon.post("/api/model/cache", {"name": "vad", "path": VAD, "type": "other"}).ok()
            self.assertEqual((vad["state"], vad["places"][0]["tier"]), ("cached", "ram"))
            det = daemon.post("/api/model/cache", {"name": "det", "path": DET, "type": "other", "waitForCompletion": False})
            self.assertEqual(det.status, 202)
            while daemon.get(det.headers["Location"]).ok()["state"] == "running":
                pass
            cache = daemon.get("/api/model/cache").ok()
            self.assertEqual((cache["maxBytes"], cache["usedBytes"]), (8 * MIB, vad["sizeBytes"] + self.info(daemon, "det")["sizeBytes"]))
            # A third does not fit beside both: the first to come is the first to go.
            daemon.post("/api/model/cache", {"name": "cls", "path": "silero_vad.gguf", "type": "other"}).ok()
            self.assertEqual({model["name"] for model in daemon.get("/api/model/cache").ok()["items"]}, {"det", "cls"})
            self.assertLessEqual(daemon.get("/api/model/cache").ok()["usedBytes"], 8 * MIB)
            daemon.get("/api/model/cache/vad").problem(404, "not-found")
            self.assertEqual(daemon.post("/api/model/cache/det").ok()["state"], "cached")
            self.assertGreater(daemon.delete("/api/model/cache/det").ok()["freedBytes"], 0)
            self.assertGreater(daemon.delete("/api/model/cache").ok()["freedBytes"], 0)
            self.assertEqual(daemon.get("/api/model/cache").ok()["items"], [])
            told = daemon.post("/api/model/cache", {"name": "rec", "path": "ch_PP-OCRv4_rec_infer.onnx", "type": "other"}).problem(409, "limit-exceeded")
            self.assertIn("--ram-cache", told["detail"])

    def test_without_a_cache_nothing_is_kept(self):
        with self.daemon("--ram-cache", "0") as daemon:
            loaded = self.load(daemon, "vad", VAD).ok()
            self.assertEqual([place["deviceId"] for place in loaded["places"]], ["b"])
            self.assertEqual(daemon.delete("/api/model/unload?name=vad").ok()["status"], "freed")
            self.assertEqual(daemon.get("/api/model/cache").ok()["maxBytes"], 0)
            daemon.post("/api/model/cache", {"name": "vad", "path": VAD, "type": "other"}).problem(501, "unsupported")

    def test_what_the_cache_keeps_goes_before_what_is_loaded_when_somebody_needs_the_room(self):
        with self.daemon(devices=("host:a=16MiB", "host:b=16MiB")) as daemon:
            self.load(daemon, "loaded", DET, "a").ok()
            daemon.post("/api/model/cache", {"name": "kept", "path": VAD, "type": "other"}).ok()
            free = daemon.get("/api/memory/status/a").ok()["availableBytes"]
            daemon.allocate(free + MIB, deviceId="a")
            daemon.get("/api/model/info?name=kept").problem(404, "not-found")
            self.assertEqual(self.info(daemon, "loaded")["state"], "resident")

    def test_kills_at_any_moment_leave_each_copy_whole_or_absent(self):
        moments = random.Random(5)
        with self.daemon() as daemon:
            whole = {}
            for name, path in (("vad", VAD), ("det", DET)):
                self.load(daemon, name, path).ok()
                whole[name] = self.sum_at(daemon, self.info(daemon, name)["places"][0])
            for _ in range(25):
                before = daemon.system()
                killed = threading.Event()
                worker = threading.Thread(target=self.work, args=(daemon, random.Random(moments.random()), killed))
                worker.start()
                threading.Event().wait(moments.random() * 0.05)  # A random moment, not a wait for anything.
                os.kill(before["corePid"], signal.SIGKILL)
                killed.set()
                worker.join()
                daemon.next_generation(before["generation"])
                while any(operation["state"] == "running" for operation in daemon.get("/api/operations").ok()["items"]):
                    pass
                for model in daemon.get("/api/model/status").ok()["loadedModels"] + daemon.get("/api/model/cache").ok()["items"]:
                    for place in model["places"]:
                        self.assertEqual((place["state"], self.sum_at(daemon, place)), ("resident", whole[model["name"]]), model)
                self.assertTrue(daemon.get("/api/audit").ok()["ok"])
                self.assertTrue(daemon.get("/api/memory/models").ok()["agrees"])

    def work(self, daemon, choices, killed):
        """Until the core's death is met, or was missed between two requests."""
        client = daemon.client()
        try:
            while not killed.is_set():
                name, path = choices.choice([("vad", VAD), ("det", DET)])
                deed = choices.randrange(4)
                if deed < 2:
                    client.request("POST", f"/api/model/load/{choices.choice('ab')}", {"name": name, "path": path, "type": "other"})
                elif deed == 2:
                    client.request("DELETE", f"/api/model/unload?name={name}" + choices.choice(["", "&keepCached=false"]))
                else:
                    client.request("DELETE", "/api/model/cache")
        except (OSError, http.client.HTTPException):
            client.close()


if __name__ == "__main__":
    unittest.main()
