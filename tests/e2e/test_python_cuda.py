#!/usr/bin/python3
"""The Python package on a GPU's memory: on a double of the driver (tests/fake_cuda), or on the machine's own GPU where VRAMD_CUDA_REAL=1; there
with PyTorch, where it is."""
import gc
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path[:0] = [os.path.join(ROOT, "python"), os.path.dirname(os.path.abspath(__file__))]
from daemon import Daemon  # noqa: E402
from test_cuda import DOUBLE, GPU, MIB, REAL, surroundings  # noqa: E402
from test_python import model_file  # noqa: E402

if not REAL:
    os.environ["VRAMD_CUDA_LIBRARY"] = os.path.abspath(DOUBLE)
import vramd  # noqa: E402

try:
    import torch
except ImportError:
    torch = None
TORCH = torch is not None and REAL and torch.cuda.is_available()
WEIGHTS = [random.Random(1).uniform(-1, 1) for _ in range(64 * 32)]


class PythonOnAGpu(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="vramd-cuda-")
        cls.large = random.Random(2).randbytes(5 * MIB + 3)
        model_file(os.path.join(cls.folder, "net.safetensors"),
                   {"weight": ("F32", [64, 32], struct.pack(f"<{len(WEIGHTS)}f", *WEIGHTS)), "brain": ("BF16", [2], b"\x80\x3f\x00\x40"),
                    "tiny": ("F8_E4M3", [4], b"\x38\x40\x44\x48"), "none": ("F32", [0, 4], b""), "large": ("U8", [len(cls.large)], cls.large)})
        cls.around = surroundings(cls.folder)
        os.environ.update(cls.around)
        cls.daemon = Daemon(devices=["host:a=256MiB", GPU], model_dirs=[cls.folder], environment=cls.around, door="unix").start()

    @classmethod
    def tearDownClass(cls):
        try:
            cls.daemon.stop()
        finally:
            cls.daemon.discard()
            shutil.rmtree(cls.folder)

    def connect(self):
        return vramd.connect(self.daemon.socket_path)

    def load(self, memory, **more):
        return memory.load("net.safetensors", device="cuda0", **more)

    def test_a_models_tensors_are_read_where_they_lie_on_the_gpu(self):
        with self.connect() as memory:
            model = self.load(memory)
            self.assertEqual((model.device, model["weight"].shape, model["large"].tobytes() == self.large), ("cuda0", (64, 32), True))
            self.assertEqual(model["weight"].tobytes(), struct.pack(f"<{len(WEIGHTS)}f", *WEIGHTS))
            self.assertEqual(model["none"].tobytes(), b"")
            told = model["weight"].__cuda_array_interface__
            self.assertEqual((told["shape"], told["typestr"], told["version"], told["strides"]), ((64, 32), "<f4", 3, None))
            self.assertEqual(model["brain"].__cuda_array_interface__["typestr"], "|u1")
            first, second = (model[name].__cuda_array_interface__["data"][0] for name in ("weight", "brain"))
            offsets = {told["name"]: told["offsetBytes"] for told in self.daemon.get("/api/model/net.safetensors/tensors").ok()["items"]}
            self.assertEqual(second - first, offsets["brain"] - offsets["weight"])
            self.assertEqual(model["weight"].__dlpack_device__(), (2, 0))
            self.assertEqual(self.load(memory)["large"].tobytes(), self.large)

    def test_what_the_processor_does_not_see_says_so(self):
        with self.connect() as memory:
            model = self.load(memory)
            self.assertFalse(hasattr(model["weight"], "__array_interface__"))
            for take in (lambda: model["weight"].memory, lambda: model["weight"].view(), lambda: model.memory):
                with self.assertRaisesRegex(vramd.Unsupported, "lies on cuda0, which the processor does not see"):
                    take()
            with self.assertRaisesRegex(vramd.Unsupported, "system memory alone"):
                self.load(memory, mode="private")
            on_host = memory.allocate(4096, device="a")
            self.assertFalse(hasattr(on_host, "__cuda_array_interface__"))

    def test_memory_of_ones_own_is_written_and_anothers_is_not(self):
        data = random.Random(3).randbytes(3 * MIB + 5)
        with self.connect() as memory, memory.allocate(3 * MIB + 5, device="cuda0", shareable=True) as own:
            self.assertEqual((own.device, own.tobytes()), ("cuda0", bytes(3 * MIB + 5)))
            own.write(data)
            self.assertEqual(own.tobytes(), data)
            self.assertEqual(self.daemon.get(f"/api/memory/allocation/{own.id}/content").body, data)
            own.write(bytearray(b"abd"), offset=7)
            own.write(memoryview(bytearray(b"-c-"))[1:2], offset=9)
            with self.connect() as other, other.attach(own.id) as seen:
                self.assertEqual(seen.tobytes(), data[:7] + b"abc" + data[10:])
                with self.assertRaises(TypeError):
                    seen.write(b"no")
            with self.assertRaisesRegex(ValueError, "do not fit"):
                own.write(b"ab", offset=3 * MIB + 4)

    def test_the_daemon_is_told_when_the_last_reference_is_gone(self):
        with self.connect() as memory:
            capsule = self.load(memory)["weight"].__dlpack__()
            gc.collect()
            while self.daemon.get("/api/model/info?name=net.safetensors").ok()["attachedClients"] != 1:
                pass  # A client of the test before is heard of as gone.
            del capsule
            gc.collect()
            while self.daemon.get("/api/model/info?name=net.safetensors").ok()["attachedClients"] != 0:
                pass

    def test_a_core_that_is_killed_changes_nothing_for_who_has_it_mapped(self):
        with self.connect() as memory:
            model = self.load(memory)
            before = model["weight"].__cuda_array_interface__["data"]
            for _ in range(3):
                self.daemon.kill_core()
                self.assertEqual(model["large"].tobytes(), self.large)
            self.assertEqual(model["weight"].__cuda_array_interface__["data"], before)

    @unittest.skipIf(REAL, "needs the double")
    def test_without_a_driver_a_client_is_told_in_words(self):
        program = ("import sys; sys.path.insert(0, sys.argv[1]); import vramd\n"
                   "try: vramd.connect(sys.argv[2]).load('net.safetensors', device='cuda0')\n"
                   "except vramd.Unsupported as error: print(error)")
        ran = subprocess.run([sys.executable, "-c", program, os.path.join(ROOT, "python"), self.daemon.socket_path], capture_output=True, text=True, check=True,
                             env={**os.environ, "VRAMD_CUDA_LIBRARY": "/nonexistent/libcuda.so.1"})
        self.assertIn("This memory is a GPU's, and the NVIDIA driver cannot be loaded here", ran.stdout)

    @unittest.skipIf(not TORCH, "no PyTorch with a GPU")
    def test_torch_computes_on_attached_weights_what_it_computes_on_its_own(self):
        with self.connect() as memory:
            model = self.load(memory)
            weight = model["weight"].torch()
            own = torch.tensor(WEIGHTS, dtype=torch.float32).reshape(64, 32).cuda()
            self.assertEqual((str(weight.device), weight.dtype, tuple(weight.shape)), ("cuda:0", torch.float32, (64, 32)))
            self.assertEqual(weight.data_ptr(), model["weight"].__cuda_array_interface__["data"][0])
            net, same = torch.nn.Linear(32, 64, bias=False), torch.nn.Linear(32, 64, bias=False)
            net.weight = torch.nn.Parameter(weight, requires_grad=False)
            same.weight = torch.nn.Parameter(own, requires_grad=False)
            given = torch.randn(16, 32, device="cuda")
            self.assertTrue(torch.equal(net(given), same(given)))
            self.assertEqual(model["brain"].torch().tolist(), [1, 2])
            kept = model["large"].torch()
            model.close()
            del model, weight, net
            gc.collect()
            self.daemon.kill_core()
            self.assertEqual(bytes(kept.cpu().numpy()), self.large)
            self.assertTrue(torch.equal(torch.as_tensor(self.load(memory)["weight"], device="cuda"), own))

    @unittest.skipIf(not TORCH, "no PyTorch with a GPU")
    def test_torch_writes_into_memory_of_ones_own_without_a_copy(self):
        with self.connect() as memory, memory.allocate(MIB, device="cuda0") as own:
            own.torch().view(torch.float32).copy_(torch.arange(MIB // 4, dtype=torch.float32))
            torch.cuda.synchronize()
            self.assertEqual(self.daemon.get(f"/api/memory/allocation/{own.id}/content").body, struct.pack(f"<{MIB // 4}f", *range(MIB // 4)))


if __name__ == "__main__":
    unittest.main()
