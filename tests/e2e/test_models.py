#!/usr/bin/env python3
"""Real models in every format: found, loaded, their tensors equal to the oracle's hashes; cancelled, unloaded, refused, and kept through a crash."""
import hashlib
import json
import os
import shutil
import tempfile
import unittest

from daemon import ROOT, Daemon

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
LOAD = "/api/model/load"


def tensors_of(daemon, name):
    """Every tensor of a model, over all pages, and the allocation they lie in."""
    items, cursor = [], None
    while True:
        page = daemon.get(f"/api/model/{name}/tensors?limit=1000" + (f"&cursor={cursor}" if cursor else "")).ok()
        items += page["items"]
        cursor = page["nextCursor"]
        if cursor is None:
            return items, page["allocationId"]


class Models(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.own = tempfile.mkdtemp(prefix="vramd-models-")
        with open(os.path.join(SAMPLES, "expected.json"), encoding="utf-8") as file:
            cls.expected = json.load(file)
        cls.daemon = Daemon(devices=["host:a=512MiB"], model_dirs=[SAMPLES, cls.own]).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)
        shutil.rmtree(cls.own)

    def tearDown(self):
        for model in self.daemon.get("/api/model/status").ok()["loadedModels"]:
            for name in model["names"]:
                self.daemon.delete(f"/api/model/unload?name={name}&keepCached=false").ok()
        self.assertTrue(self.daemon.get("/api/audit").ok()["ok"])

    def load(self, path, name="m", **fields):
        return self.daemon.post(LOAD, {"name": name, "path": path, "type": "other", **fields})

    def test_every_tensor_of_every_sample_equals_the_oracles_hash(self):
        self.assertGreaterEqual(len(self.expected), 26)
        for number, (path, expected) in enumerate(self.expected.items()):
            with self.subTest(path):
                record = self.load(os.path.join(SAMPLES, path), f"m{number}").ok()
                self.assertEqual((record["state"], record["tensorCount"]), ("resident", len(expected)))
                self.assertEqual(record["predictedBytes"], record["sizeBytes"])
                items, allocation = tensors_of(self.daemon, f"m{number}")
                content = self.daemon.get(f"/api/memory/allocation/{allocation}/content").body
                got = sorted((item["name"], item["dtype"], item["shape"], item["sizeBytes"],
                              hashlib.sha256(content[item["offsetBytes"]:item["offsetBytes"] + item["sizeBytes"]]).hexdigest()) for item in items)
                self.assertEqual(got, sorted((tensor["name"], tensor["dtype"], tensor["shape"], tensor["size"], tensor["sha256"]) for tensor in expected))
                self.daemon.delete(f"/api/model/unload?name=m{number}&keepCached=false").ok()

    def test_what_is_available_is_told_with_its_exact_size_before_a_byte_is_read(self):
        found = {}
        cursor = None
        while True:
            page = self.daemon.get("/api/model/available" + (f"?cursor={cursor}" if cursor else "")).ok()
            found.update({item["path"]: item for item in page["items"]})
            cursor = page["nextCursor"]
            if cursor is None:
                break
        path = next(path for path in found if os.path.basename(path) == "every-type.onnx")
        record = self.load(path).ok()
        self.assertEqual(found[path]["predictedBytes"], record["sizeBytes"])
        self.assertEqual(found[path]["tensorCount"], record["tensorCount"])

    def test_one_file_under_two_names_is_one_memory_and_a_name_is_one_file(self):
        path = os.path.join(SAMPLES, "every-type.onnx")
        one, two = self.load(path, "one").ok(), self.load(path, "two").ok()
        self.assertEqual(one["places"], two["places"])
        self.load(os.path.join(SAMPLES, "every-type.gguf"), "one").problem(409, "name-in-use")
        used = self.daemon.get("/api/memory/status").ok()["usedBytes"]
        self.assertEqual(used, self.daemon.get("/api/model/info?name=two").ok()["sizeBytes"])
        self.daemon.delete("/api/model/unload?name=one").ok()
        self.assertEqual(self.daemon.get("/api/model/info?name=two").ok()["state"], "resident")
        self.daemon.get("/api/model/info?name=one").problem(404, "not-found")

    def test_a_load_that_is_not_waited_for_is_told_at_its_operation_and_can_be_cancelled(self):
        answer = self.load(os.path.join(SAMPLES, "ch_PP-OCRv4_rec_infer.onnx"), "later", waitForCompletion=False)
        self.assertEqual(answer.status, 202, answer.body)
        place = answer.headers["Location"]
        seen = -1
        while True:
            operation = self.daemon.get(place).ok()
            self.assertGreaterEqual(operation["doneBytes"], seen)
            seen = operation["doneBytes"]
            if operation["state"] != "running":
                break
        self.assertEqual((operation["state"], operation["doneBytes"]), ("succeeded", operation["totalBytes"]))
        answer = self.load(os.path.join(SAMPLES, "ch_PP-OCRv4_rec_infer.gguf"), "never", waitForCompletion=False)
        cancelled = self.daemon.delete(answer.headers["Location"])
        while True:
            operation = self.daemon.get(answer.headers["Location"]).ok()
            if operation["state"] not in ("running", "cancelling"):
                break
        self.assertIn(operation["state"], ("cancelled", "succeeded"), cancelled.body)
        if operation["state"] == "cancelled":
            self.daemon.get("/api/model/info?name=never").problem(404, "not-found")

    def test_a_path_outside_the_model_folders_is_refused_by_whatever_way_it_leads_out(self):
        os.symlink("/etc/passwd", os.path.join(self.own, "out.gguf"))
        for path in ("/etc/passwd", os.path.join(SAMPLES, "../../README.md"), os.path.join(self.own, "out.gguf"), "../x.gguf"):
            answer = self.load(path)
            self.assertIn(answer.json()["code"], ("path-not-allowed", "not-found"), answer.body)
            self.assertIn(answer.status, (403, 404))

    def test_truncated_flipped_and_empty_files_are_refused_and_leave_nothing(self):
        for name in ("every-type.gguf", "every-type.onnx", "silero_vad.safetensors"):
            with open(os.path.join(SAMPLES, name), "rb") as file:
                whole = file.read()
            for cut in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1):
                path = os.path.join(self.own, f"cut-{cut}-{name}")
                with open(path, "wb") as file:
                    file.write(whole[:cut])
                answer = self.load(path)
                self.assertEqual((answer.status, answer.json()["code"]), (422, "invalid-model"), f"{path}: {answer.body}")
            for at in range(0, 64, 3):
                path = os.path.join(self.own, f"flip-{at}-{name}")
                with open(path, "wb") as file:
                    file.write(whole[:at] + bytes([whole[at] ^ 0x80]) + whole[at + 1:])
                answer = self.load(path)
                self.assertIn(answer.status, (200, 201, 422), f"{path}: {answer.body}")
                if answer.status != 422:
                    self.daemon.delete("/api/model/unload?name=m&keepCached=false").ok()
        while self.daemon.get("/api/memory/status").ok()["usedBytes"]:
            pass  # What an unload freed goes back to the system in the background; CTest's limit bounds this.

    def test_a_model_that_does_not_fit_is_refused_with_the_figures(self):
        path = os.path.join(self.own, "huge.safetensors")
        header = json.dumps({"w": {"dtype": "U8", "shape": [1 << 30], "data_offsets": [0, 1 << 30]}}).encode()
        with open(path, "wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            file.truncate(8 + len(header) + (1 << 30))
        told = self.load(path).problem(507, "insufficient-memory")
        self.assertGreaterEqual(told["requestedBytes"], 1 << 30)

    def test_a_killed_core_comes_back_with_its_models_and_their_tensors(self):
        self.load(os.path.join(SAMPLES, "silero_vad.onnx"), "kept").ok()
        items, allocation = tensors_of(self.daemon, "kept")
        content = self.daemon.get(f"/api/memory/allocation/{allocation}/content").body
        self.daemon.kill_core()
        self.assertEqual(tensors_of(self.daemon, "kept"), (items, allocation))
        self.assertTrue(self.daemon.get(f"/api/memory/allocation/{allocation}/content").body == content)

    def test_the_workers_figures_keep_their_shape(self):
        self.load(os.path.join(SAMPLES, "silero_vad.onnx"), "one").ok()
        status = self.daemon.get("/api/model/status").ok()
        self.assertEqual(status["modelCount"], 1)
        for field in ("memoryUsageMb", "memoryLimitMb", "availableMemoryMb", "loadedModels"):
            self.assertIn(field, status)


if __name__ == "__main__":
    unittest.main()
