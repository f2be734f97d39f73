#!/usr/bin/python3
"""The Python package against a real daemon: models and memory in place, kept alive by reference, let go of with the last of them; NumPy,
DLPack, asyncio, threads, forks; what is wrong is an exception that says so. Runs with Debian's Python, for its NumPy."""
import asyncio
import gc
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path[:0] = [os.path.join(ROOT, "python"), os.path.dirname(os.path.abspath(__file__))]
import vramd  # noqa: E402
from daemon import Daemon  # noqa: E402

try:
    import numpy
except ImportError:
    numpy = None

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
MIB = 1 << 20


def model_file(path, tensors):
    """A safetensors file; tensors: name → (dtype, shape, bytes)."""
    head, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    words = json.dumps(head).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(words)) + words + b"".join(data for _, _, data in tensors.values()))


NUMBERS = {"half": ("F16", [2, 2], struct.pack("<4e", 1, 2, 3, 4)), "brain": ("BF16", [2], b"\x80\x3f\x00\x40"), "single": ("F32", [2, 3], struct.pack("<6f", *range(6))),
           "double": ("F64", [1], struct.pack("<d", 0.5)), "long": ("I64", [2], struct.pack("<2q", -1, 7)), "scalar": ("I32", [], struct.pack("<i", 42)),
           "yes": ("BOOL", [3], b"\1\0\1"), "tiny": ("F8_E4M3", [4], b"\x38\x40\x44\x48"), "none": ("F32", [0, 4], b"")}


class Python(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="vramd-python-")
        model_file(os.path.join(cls.folder.name, "numbers.safetensors"), NUMBERS)
        model_file(os.path.join(cls.folder.name, "large.safetensors"), {"weights": ("U8", [8 * MIB], os.urandom(8 * MIB))})
        model_file(os.path.join(cls.folder.name, "many.safetensors"), {f"layer.{i:05}.weight": ("F32", [1], struct.pack("<f", i)) for i in range(3000)})
        cls.daemon = Daemon(devices=["host:a=64MiB"], model_dirs=[cls.folder.name, SAMPLES], door="unix").start()

    @classmethod
    def tearDownClass(cls):
        try:
            cls.daemon.stop()
        finally:
            cls.daemon.discard()
            cls.folder.cleanup()

    def connect(self):
        return vramd.connect(self.daemon.socket_path)

    def clients(self, name):
        return self.daemon.get(f"/api/model/info?name={name}").ok()["attachedClients"]

    def until(self, true, what):
        """For what the daemon does once it is told: within a second."""
        end = time.monotonic() + 20
        while not true():
            self.assertLess(time.monotonic(), end, what)

    def test_three_lines_give_a_models_tensors(self):
        memory = self.connect()
        model = memory.load("numbers.safetensors")
        self.assertEqual(list(model["single"].view().tolist()), [[0, 1, 2], [3, 4, 5]])
        self.assertEqual((list(model), len(model), model.format), (list(NUMBERS), len(NUMBERS), "safetensors"))
        for name, (_, shape, data) in NUMBERS.items():
            self.assertEqual((model[name].shape, bytes(model[name].memory)), (tuple(shape), data), name)
        self.assertEqual(repr(model["single"]), "<Tensor single f32 [2, 3] 24 B>")
        self.assertRegex(repr(model), r"^<Model numbers.safetensors safetensors 9 tensors .* read>$")
        self.assertRegex(repr(memory), r"^<Client ses_.* of vramd .*, uid:\d+>$")
        self.assertEqual(model["scalar"].view().tolist(), [42])
        with self.assertRaises(vramd.Unsupported):
            model["brain"].view()
        with self.assertRaises(TypeError):
            model["single"].memory[0] = 1
        with self.assertRaises(KeyError):
            model["absent"]

    @unittest.skipIf(numpy is None, "no NumPy")
    def test_numpy_sees_the_same_memory_and_keeps_it(self):
        with self.connect() as memory:
            model = memory.load("numbers.safetensors", mode="private")
            arrays = {name: tensor.numpy() for name, tensor in model.items()}
            self.assertEqual({name: str(array.dtype) for name, array in arrays.items()},
                             {"half": "float16", "brain": "uint8", "single": "float32", "double": "float64", "long": "int64", "scalar": "int32", "yes": "bool", "tiny": "uint8",
                              "none": "float32"})
            self.assertEqual(arrays["half"].tolist(), [[1, 2], [3, 4]])
            self.assertEqual((int(arrays["scalar"]), arrays["none"].shape), (42, (0, 4)))
            arrays["single"][0, 0] = 99  # A copy of one's own.
            self.assertEqual(model["single"].numpy()[0, 0], 99)
            self.assertEqual(memory.load("numbers.safetensors")["single"].numpy()[0, 0], 0)
            self.assertFalse(memory.load("numbers.safetensors")["single"].numpy().flags.writeable)
            self.assertEqual(numpy.from_dlpack(model["single"]).tolist(), [[99, 1, 2], [3, 4, 5]])
            with self.assertRaisesRegex(BufferError, 'mode="private"'):
                numpy.from_dlpack(memory.load("numbers.safetensors")["single"])
            kept = arrays["double"]
            shared = numpy.from_dlpack(model["long"])
            model.close()
            del model, arrays
            gc.collect()
            self.assertEqual((kept.tolist(), shared.tolist()), ([0.5], [-1, 7]))

    def test_the_daemon_knows_who_uses_a_model_until_the_last_reference_is_gone(self):
        memory = self.connect()
        other = self.connect()
        model = memory.load("large.safetensors", path="large.safetensors")
        second = other.load("large.safetensors")
        self.assertEqual(self.clients("large.safetensors"), 2)
        view = model["weights"].memory[5:10]
        model.close()
        del model
        second.close()
        del second
        gc.collect()
        self.until(lambda: self.clients("large.safetensors") == 1, "the second client is still counted")
        self.daemon.delete("/api/model/unload?name=large.safetensors&keepCached=false").problem(409, "leased")
        again = memory.load("large.safetensors")
        del view
        gc.collect()
        self.assertEqual(self.clients("large.safetensors"), 1)
        del again
        gc.collect()
        self.until(lambda: self.clients("large.safetensors") == 0, "nobody uses it, and somebody is counted")
        self.daemon.delete("/api/model/unload?name=large.safetensors&keepCached=false").ok()

    def test_a_forgotten_client_ends_and_a_used_one_stays(self):
        model = self.connect().load("numbers.safetensors")
        gc.collect()
        self.assertEqual(self.clients("numbers.safetensors"), 1)
        descriptors = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            self.connect().load("numbers.safetensors")
        gc.collect()
        self.until(lambda: self.clients("numbers.safetensors") == 1, "forgotten clients are counted")
        self.until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors, "descriptors are left")
        self.assertEqual(bytes(model["yes"].memory), b"\1\0\1")

    def test_memory_is_given_written_shared_and_freed(self):
        with self.connect() as memory:
            used = self.daemon.get("/api/memory/status/a").ok()["usedBytes"]
            with memory.allocate("1.5 MiB", purpose="scratch", shareable=True) as made:
                self.assertEqual((made.nbytes, len(made), bytes(made.memory[:4])), (3 * MIB // 2, 3 * MIB // 2, bytes(4)))
                made.memory[:5] = b"hello"
                self.assertEqual(self.daemon.get(f"/api/memory/allocation/{made.id}/content", {"Range": "bytes=0-4"}).body, b"hello")
                self.assertRegex(repr(made), r"^<Allocation alc_\w+ 1.5 MiB on a>$")
                self.assertEqual([item["id"] for item in memory.allocations() if item["purpose"] == "scratch"], [made.id])
                with self.connect() as other:
                    seen = other.attach(made.id)
                    self.assertEqual(bytes(seen.memory[:5]), b"hello")
                    with self.assertRaises(vramd.Leased):
                        made.free()
                    del seen
                self.until(lambda: self.daemon.get(f"/api/memory/allocation/{made.id}").ok()["attachedClients"] == 1, "the other client is still counted")
            self.assertIn("closed", repr(made))
            with self.assertRaises(ValueError):
                made.memory  # pylint: disable=pointless-statement
            self.until(lambda: self.daemon.get("/api/memory/status/a").ok()["usedBytes"] == used, "it was not freed")
            small = memory.allocate(100, type="default")
            with self.assertRaisesRegex(vramd.Unsupported, "mapped"):
                small.memory  # pylint: disable=pointless-statement
            kept = memory.allocate(4096, persistent=True)
            kept.close()
        self.assertEqual(self.daemon.get(f"/api/memory/allocation/{kept.id}").ok()["id"], kept.id)
        self.until(lambda: self.daemon.get(f"/api/memory/allocation/{small.id}").status == 404, "it outlived its client")
        self.daemon.delete(f"/api/memory/allocations/{kept.id}").ok()

    def test_what_is_wrong_is_an_exception_that_tells_what_to_do(self):
        with self.connect() as memory:
            with self.assertRaises(vramd.InsufficientMemory) as caught:
                memory.allocate("1TiB", device="a")
            self.assertEqual((caught.exception.code, caught.exception.requested_bytes), ("insufficient-memory", 1 << 40))
            self.assertIn("Ask for at most", str(caught.exception))
            memory.allocate(caught.exception.largest_free_bytes, device="a").close()
            for wrong, kind, word in ((lambda: memory.allocate(0), vramd.InvalidField, "/sizeBytes"), (lambda: memory.allocate("12 parsecs"), vramd.InvalidField, "parsecs"),
                                      (lambda: memory.load("absent"), vramd.NotFound, "absent"), (lambda: memory.load("x", path="../../etc/passwd"), vramd.PathNotAllowed, ""),
                                      (lambda: memory.load("numbers.safetensors", mode="write"), vramd.Conflict, "cannot be changed"),
                                      (lambda: memory.load("numbers.safetensors", mode="all"), vramd.InvalidField, "/mode"),
                                      (lambda: memory.free("alc_none"), vramd.NotFound, "alc_none"),
                                      (lambda: memory.load("numbers.safetensors", tensors=["no"]), vramd.NotFound, "no"),
                                      (lambda: memory.load("x" * 70000), vramd.InvalidField, "packet")):
                with self.assertRaisesRegex(kind, word):
                    wrong()
            self.assertIsInstance(vramd.NameInUse("m"), vramd.Conflict)
        with self.assertRaises(vramd.Disconnected):
            memory.load("numbers.safetensors")
        with self.assertRaisesRegex(vramd.Disconnected, "Is vramd running"):
            vramd.connect("/nowhere/vramd.sock")

    def test_every_problem_of_the_daemon_that_a_client_can_meet_has_its_exception(self):
        problems = set(re.findall(r"/problems/([a-z-]+)", self.daemon.get("/openapi.json").body.decode()))
        kinds = {getattr(vramd, name).code for name in vramd.__all__ if isinstance(getattr(vramd, name), type) and issubclass(getattr(vramd, name), vramd.Error)}
        self.assertLessEqual(kinds - {"error", "disconnected"}, problems)

    def test_progress_and_a_table_too_long_for_a_packet(self):
        with self.connect() as memory:
            seen = []
            model = memory.load("many", path="many.safetensors", progress=seen.append)
            self.assertEqual(len(model), 3000)
            self.assertEqual(model["layer.02999.weight"].view().tolist(), [2999.0])
            self.assertTrue(seen)
            self.assertEqual({progress.model for progress in seen}, {"many"})
            self.assertEqual(sorted(progress.done_bytes for progress in seen), [progress.done_bytes for progress in seen])
            few = memory.load("many", tensors=["layer.00007.weight"])
            self.assertEqual(list(few), ["layer.00007.weight"])

    def test_gguf_tells_its_shape_as_numpy_counts(self):
        with self.connect() as memory:
            model = memory.load("every-type.gguf")
            told = {tensor["name"]: tensor for tensor in self.daemon.get("/api/model/every-type.gguf/tensors").ok()["items"]}
            for name, tensor in model.items():
                self.assertEqual(list(tensor.shape), told[name]["shape"][::-1], name)
                self.assertEqual(tensor.nbytes, len(tensor.memory))

    @unittest.skipIf(numpy is None, "no NumPy")
    def test_a_layer_computed_on_attached_memory_is_the_layer_of_the_file(self):
        """A real network's first convolution, on a real signal: weights in place against weights that this test reads from the file itself."""
        path = os.path.join(SAMPLES, "silero_vad.safetensors")
        with open(path, "rb") as file:
            data = file.read()
        head_bytes = struct.unpack("<Q", data[:8])[0]
        head = json.loads(data[8 : 8 + head_bytes])
        signal = numpy.sin(numpy.arange(4096, dtype=numpy.float32) * 0.05)
        with self.connect() as memory:
            model = memory.load("silero_vad.safetensors")
            layers = [name for name, tensor in model.items() if tensor.dtype == "f32" and len(tensor.shape) == 3 and tensor.nbytes > 1000]
            self.assertTrue(layers)
            for name in layers:
                begin, end = head[name]["data_offsets"]
                read = numpy.frombuffer(data[8 + head_bytes + begin : 8 + head_bytes + end], dtype="<f4").reshape(head[name]["shape"])
                outputs = []
                for weights in (model[name].numpy(), read):
                    width = weights.shape[1] * weights.shape[2]
                    windows = numpy.lib.stride_tricks.sliding_window_view(signal, width)[::128].reshape(-1, *weights.shape[1:])
                    outputs.append(numpy.einsum("oik,wik->wo", weights, windows))
                numpy.testing.assert_array_equal(outputs[0], outputs[1], name)
                self.assertGreater(float(numpy.abs(outputs[0]).max()), 0)

    def test_many_threads_share_one_client(self):
        with self.connect() as memory:
            sums = set()

            def work():
                for _ in range(25):
                    model = memory.load("large.safetensors")
                    sums.add(hashlib.sha256(model["weights"].memory).hexdigest())
                    del model

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(len(sums), 1)
            model = memory.load("large.safetensors")
            self.assertEqual(self.clients("large.safetensors"), 1)
            del model

    def test_a_forked_process_is_told_to_connect_itself_and_can(self):
        memory = self.connect()
        model = memory.load("numbers.safetensors")
        code = os.fork()
        if code == 0:
            try:
                memory.load("numbers.safetensors")
            except vramd.Disconnected:
                same = bytes(self.connect().load("numbers.safetensors")["yes"].memory) == bytes(model["yes"].memory)
                os._exit(0 if same else 2)
            os._exit(1)
        self.assertEqual(os.waitpid(code, 0)[1], 0)
        self.assertEqual(bytes(memory.load("numbers.safetensors")["yes"].memory), b"\1\0\1")

    def test_asyncio_awaits_the_same(self):
        async def work():
            seen = []
            async with await vramd.aconnect(self.daemon.socket_path) as memory:
                models = await asyncio.gather(*(memory.load("numbers.safetensors", progress=seen.append) for _ in range(5)))
                self.assertEqual({bytes(model["yes"].memory) for model in models}, {b"\1\0\1"})
                with await memory.allocate(4096, purpose="async") as made:
                    made.memory[0] = 7
                    self.assertIn(made.id, [item["id"] for item in await memory.allocations()])
                    self.assertEqual((await memory.attach(made.id)).memory[0], 7)
                with self.assertRaises(vramd.NotFound):
                    await memory.load("absent")
                self.assertTrue(repr(memory).startswith("<AsyncClient ses_"))
            with self.assertRaises(vramd.Disconnected):
                await memory.free("alc_x")

        asyncio.run(work())

    def test_the_worker_of_the_analysis_does_its_seven_operations(self):
        fields = {"device_id", "loaded_models", "memory_usage_mb", "memory_limit_mb", "available_memory_mb", "model_count"}

        async def work():
            worker = vramd.MemoryWorker(device="a", memory_limit_mb=12, socket=self.daemon.socket_path)
            self.assertEqual(repr(worker), "<MemoryWorker a 12 MiB>")
            with self.assertRaises(vramd.Conflict):
                await worker.get_status()
            begun = await worker.initialize()
            self.assertEqual((set(begun), begun["memory_limit_mb"]), (fields, 12))
            loaded = await worker.load_model({"name": "unet", "path": "large.safetensors", "type": "unet", "estimated_size_mb": 8})
            self.assertEqual((loaded["loaded_models"]["unet"]["type"], loaded["loaded_models"]["unet"]["size_mb"]), ("unet", 8))
            self.assertEqual(loaded["model_count"], begun["model_count"] + 1)
            with self.assertRaises(vramd.LimitExceeded):
                await worker.load_model({"name": "vae", "path": "numbers.safetensors", "type": "vae", "estimated_size_mb": 1024})
            self.assertEqual((await worker.get_status())["loaded_models"], (await worker.get_model_info())["loaded_models"])
            self.assertEqual((await worker.optimize_memory())["unloaded_models"], [])
            self.assertNotIn("unet", (await worker.unload_model({"name": "unet"}))["loaded_models"])
            await worker.load_model({"name": "unet", "path": "large.safetensors", "type": "unet"})
            self.assertEqual((await worker.cleanup())["unloaded_models"], ["unet"])

        self.daemon.delete("/api/model/unload?name=large.safetensors&keepCached=false")
        asyncio.run(work())

    def test_it_reads_on_through_the_cores_death_and_asks_the_next(self):
        with self.connect() as memory:
            model = memory.load("large.safetensors")
            before = hashlib.sha256(model["weights"].memory).hexdigest()
            for _ in range(3):
                self.daemon.kill_core()
                self.assertEqual(hashlib.sha256(model["weights"].memory).hexdigest(), before)
                while True:
                    try:
                        self.assertTrue(memory.models())
                        break
                    except vramd.Disconnected:
                        continue
                self.assertEqual(self.clients("large.safetensors"), 1)
            del model

    def test_hints_hold_under_a_strict_look(self):
        if subprocess.run([sys.executable, "-c", "import mypy"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no mypy")
        told = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "--cache-dir", self.folder.name, os.path.join(ROOT, "python", "vramd")],
                              capture_output=True, text=True, check=False)
        self.assertEqual(told.returncode, 0, told.stdout)

    def test_wheel_and_sdist_are_built_without_a_network(self):
        out, source = os.path.join(self.folder.name, "wheel"), os.path.join(self.folder.name, "source")
        shutil.copytree(os.path.join(ROOT, "python"), source)  # What is built lies beside what it is built from.
        told = subprocess.run([sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-index", "--no-deps", "-w", out, source], capture_output=True,
                              text=True, check=False)
        if "No module named pip" in told.stderr:
            self.skipTest("no pip")
        self.assertEqual(told.returncode, 0, told.stderr)
        (wheel,) = os.listdir(out)
        self.assertRegex(wheel, r"^vramd-.*-py3-none-any\.whl$")


if __name__ == "__main__":
    unittest.main()
