#!/usr/bin/python3
"""The Python package with PyTorch in system memory: its tensors lie on the daemon's memory, keep it, and cannot change what is others' too.

Where PyTorch is missing this is skipped: python3-torch of Debian has it. On a GPU: test_python_cuda.py.
"""
import gc
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path[:0] = [os.path.join(ROOT, "python"), os.path.dirname(os.path.abspath(__file__))]
import vramd  # noqa: E402
from daemon import Daemon  # noqa: E402
from test_python import NUMBERS, model_file  # noqa: E402

try:
    import torch
except ImportError:
    torch = None

# Name: its type in PyTorch, and its values.
TENSORS = {} if torch is None else {
    "half": (torch.float16, [[1, 2], [3, 4]]), "brain": (torch.bfloat16, [1, 2]), "single": (torch.float32, [[0, 1, 2], [3, 4, 5]]), "double": (torch.float64, [0.5]),
    "long": (torch.int64, [-1, 7]), "scalar": (torch.int32, 42), "yes": (torch.bool, [True, False, True]), "tiny": (torch.uint8, [0x38, 0x40, 0x44, 0x48]),
    "none": (torch.float32, []), "short": (torch.int16, [-2]), "complex": (torch.complex64, [1 + 2j]), "no": (torch.bool, False)}
MORE = {"short": ("I16", [1], struct.pack("<h", -2)), "complex": ("C64", [1], struct.pack("<2f", 1, 2)), "no": ("BOOL", [], b"\0"), "word": ("U16", [2], b"\1\0\2\0")}
# What a script of the test's own begins with: `tensor` is the model's "single".
WRITER = "import sys; sys.path.insert(0, {python!r}); import torch, vramd; tensor = vramd.connect({socket!r}).load('numbers.safetensors')['single']; "


@unittest.skipIf(torch is None, "no PyTorch for this Python: apt-get install python3-torch")
class PythonWithTorch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="vramd-torch-")
        model_file(os.path.join(cls.folder.name, "numbers.safetensors"), {**NUMBERS, **MORE})
        cls.daemon = Daemon(devices=["host:a=64MiB"], model_dirs=[cls.folder.name], door="unix").start()

    @classmethod
    def tearDownClass(cls):
        try:
            cls.daemon.stop()
        finally:
            cls.daemon.discard()
            cls.folder.cleanup()

    def connect(self):
        return vramd.connect(self.daemon.socket_path)

    def until_clients(self, count):
        end = time.monotonic() + 20
        while (now := self.daemon.get("/api/model/info?name=numbers.safetensors").ok()["attachedClients"]) != count:
            self.assertLess(time.monotonic(), end, f"{now} clients are counted, not {count}")

    def test_every_type_comes_as_itself_and_without_a_copy(self):
        with self.connect() as memory:
            model = memory.load("numbers.safetensors", mode="private")
            for name, (dtype, values) in TENSORS.items():
                with self.subTest(name):
                    tensor = model[name].torch()
                    self.assertEqual((tensor.dtype, tensor.tolist()), (dtype, values))
                    self.assertEqual(tuple(tensor.shape), model[name].shape)
                    self.assertTrue(tensor.is_contiguous())
                    if model[name].nbytes:
                        first = model[name].memory[0]
                        model[name].memory[0] = first ^ 1  # Written beside PyTorch, seen by it: they are the same bytes.
                        self.assertEqual(bytes(tensor.reshape(1, -1).contiguous().view(torch.uint8).numpy().tobytes()), bytes(model[name].memory))
                        model[name].memory[0] = first
                        self.assertEqual(tensor.tolist(), values)

    def test_it_computes_and_what_it_writes_is_its_own(self):
        with self.connect() as memory, self.connect() as other:
            model = memory.load("numbers.safetensors", mode="private")
            single = model["single"].torch()
            single += 1
            self.assertEqual(model["single"].view().tolist(), [[1, 2, 3], [4, 5, 6]])
            self.assertEqual(other.load("numbers.safetensors")["single"].view().tolist(), [[0, 1, 2], [3, 4, 5]])
            self.assertEqual(torch.utils.dlpack.from_dlpack(model["single"]).data_ptr(), single.data_ptr())
            del model, memory
            gc.collect()
            self.assertEqual(float((single @ single.T)[0, 0]), 14.0)

    def test_a_tensor_keeps_the_memory_and_the_last_one_gives_it_back(self):
        memory = self.connect()
        model = memory.load("numbers.safetensors", mode="private")
        kept = [model[name].torch() for name in ("yes", "long", "brain")]
        row = model["single"].torch()[1]  # A view of a tensor that nobody has any more.
        model.close()
        del model
        gc.collect()
        self.assertEqual([tensor.tolist() for tensor in kept] + [row.tolist()], [[True, False, True], [-1, 7], [1, 2], [3, 4, 5]])
        self.until_clients(1)
        del kept
        gc.collect()
        self.until_clients(1)
        self.daemon.delete("/api/model/unload?name=numbers.safetensors&keepCached=false").problem(409, "leased")
        del row
        gc.collect()
        self.until_clients(0)
        memory.close()

    def test_memory_of_ones_own_is_written_in_place(self):
        with self.connect() as memory, memory.allocate(4096) as made:
            made.torch().view(torch.int32)[:3] = torch.tensor([1, -2, 3], dtype=torch.int32)
            self.assertEqual(self.daemon.get(f"/api/memory/allocation/{made.id}/content", {"Range": "bytes=0-11"}).body, struct.pack("<3i", 1, -2, 3))

    def test_memory_that_is_mapped_to_be_read_is_refused_with_the_way_out(self):
        with self.connect() as memory:
            for name in ("single", "yes"):
                tensor = memory.load("numbers.safetensors")[name]
                for way in (tensor.torch, lambda: torch.utils.dlpack.from_dlpack(tensor)):
                    with self.assertRaisesRegex(BufferError, 'mode="private"'):
                        way()

    def test_a_write_past_the_warning_ends_that_process_and_changes_nothing(self):
        with self.connect() as memory:
            model = memory.load("numbers.safetensors")
            for way in ("from_numpy(tensor.numpy())", "frombuffer(tensor.memory, dtype=torch.float32)"):
                script = WRITER.format(python=os.path.join(ROOT, "python"), socket=self.daemon.socket_path) + f"t = torch.{way}; print(float(t.sum()), flush=True); t += 1"
                done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
                self.assertEqual((done.returncode, done.stdout), (-signal.SIGSEGV, "15.0\n"), done.stderr)
                self.assertIn("not writable", done.stderr)
            self.assertEqual(model["single"].view().tolist(), [[0, 1, 2], [3, 4, 5]])

    def test_a_type_that_pytorch_lacks_is_refused_in_words_and_keeps_nothing(self):
        with self.connect() as memory:
            model = memory.load("numbers.safetensors", mode="private")
            try:
                self.assertEqual(model["word"].torch().tolist(), [1, 2])
            except vramd.Unsupported as refused:
                self.assertRegex(str(refused), r"PyTorch \S+ does not take a tensor of u16: .*\.memory")
            model.close()
            del model
            gc.collect()
            self.until_clients(0)

    def test_an_allocator_that_pytorch_cannot_take_is_refused_in_words(self):
        if hasattr(torch.cuda.memory, "CUDAPluggableAllocator"):
            self.skipTest("this PyTorch takes allocators")
        with self.assertRaisesRegex(vramd.Unsupported, "2.0"):
            vramd.torch_allocator()


if __name__ == "__main__":
    unittest.main()
