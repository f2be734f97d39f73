#!/usr/bin/python3
"""libvramd_torch: GPU memory as PyTorch takes it, from a real daemon: on a double of the driver (tests/fake_cuda), called as PyTorch calls it, or on
the machine's own GPU where VRAMD_CUDA_REAL=1, by PyTorch itself."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from daemon import BIN, ROOT, Daemon  # noqa: E402
from test_cuda import MIB, REAL, surroundings  # noqa: E402

LIBRARY = os.environ.get("VRAMD_TORCH_LIBRARY", os.path.join(os.path.dirname(os.path.abspath(BIN)), "libvramd_torch.so.0"))
SHARE = 400 * MIB
# A process of its own: it connects to one daemon and stays with it. Lines of commands in, a line of answer to each.
PROGRAM = """
import ctypes, os, sys
library, driver = ctypes.CDLL(sys.argv[1]), ctypes.CDLL(os.environ["VRAMD_CUDA_LIBRARY"])
take = library.vramd_torch_try_malloc
take.restype, take.argtypes = ctypes.c_void_p, [ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
give = library.vramd_torch_free
give.restype, give.argtypes = None, [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p]
for figure in (library.vramd_torch_trim, library.vramd_torch_held_bytes, library.vramd_torch_used_bytes):
    figure.restype = ctypes.c_uint64
context = ctypes.c_void_p()
driver.cuInit(0); driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0); driver.cuCtxSetCurrent(context)
for line in sys.stdin:
    word, *rest = line.split()
    numbers = [int(number) for number in rest]
    if word == "take":
        why = ctypes.create_string_buffer(1000)
        told = take(numbers[0], numbers[1], numbers[2], why, 1000) or why.value.decode()
    elif word == "give":
        told = give(numbers[0], 0, 0, None)
    elif word == "see":
        here = ctypes.create_string_buffer(numbers[1])
        told = driver.cuMemcpyDtoH_v2(here, ctypes.c_uint64(numbers[0]), ctypes.c_size_t(numbers[1])), here.raw.decode()
    elif word == "trim":
        told = library.vramd_torch_trim()
    else:
        told = library.vramd_torch_used_bytes(0), library.vramd_torch_held_bytes(0)
    print(told, flush=True)
"""
# What PyTorch does with it; prints what was refused.
TORCH = """
import sys
sys.path.insert(0, sys.argv[1])
import torch, vramd
torch.cuda.memory.change_current_allocator(vramd.torch_allocator(sys.argv[2]))
torch.manual_seed(1)
net = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))
given = torch.randn(64, 256)
want = net(given)
side = torch.cuda.Stream()
net.cuda()
for _ in range(50):
    with torch.cuda.stream(side):
        scratch = torch.randn(1 << 20, device="cuda")
        total = scratch.sum()
    got = net(given.cuda())
    torch.cuda.current_stream().wait_stream(side)
    del scratch
print("same" if torch.allclose(got.cpu(), want, atol=1e-4) else "OTHER", flush=True)
loss = net(given.cuda()).sum(); loss.backward(); torch.cuda.synchronize()
print("trained", flush=True)
try:
    torch.empty(600 << 20, dtype=torch.uint8, device="cuda")
except RuntimeError as error:
    print(error, flush=True)
print(torch.ones(1000, device="cuda").sum().item(), flush=True)
sys.stdin.readline()
"""


class Allocator(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vramd-cuda-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.around = surroundings(self.folder)
        self.daemon = Daemon(devices=["host:a=16MiB", f"cuda:0={SHARE // MIB}MiB"], environment=self.around, door="unix")
        self.addCleanup(self.daemon.discard)
        self.daemon.start()
        self.addCleanup(self.daemon.stop)

    def held(self):
        return [(item["sizeBytes"], item["purpose"]) for item in self.daemon.get("/api/memory/allocations?deviceId=cuda0").ok()["items"]]

    def program(self, text, *arguments):
        process = subprocess.Popen([sys.executable, "-c", text, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                   env={**os.environ, **self.around, "VRAMD_SOCKET": self.daemon.socket_path})
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def client(self):
        process = self.program(PROGRAM, LIBRARY)
        self.addCleanup(process.stdin.close)

        def ask(*words):
            process.stdin.write(" ".join(str(word) for word in words) + "\n")
            process.stdin.flush()
            told = process.stdout.readline().strip()
            return int(told) if told.lstrip("-").isdigit() else told

        return process, ask

    @unittest.skipIf(REAL, "needs the double")
    def test_what_pytorch_takes_is_the_daemons_memory_by_owner_and_purpose(self):
        process, ask = self.client()
        first = ask("take", 3 * MIB, 0, 0)
        self.assertEqual(ask("see", first, 4), "(0, '\\x00\\x00\\x00\\x00')")
        self.assertEqual(self.held(), [(20 * MIB, f"pytorch of process {process.pid}")])
        self.assertEqual(ask("take", 1000, 0, 7) % 512, 0)
        self.assertEqual(ask("figures"), f"({3 * MIB + 1024}, {22 * MIB})")
        ask("give", first)
        self.assertEqual(ask("take", 3 * MIB, 0, 0), first)
        self.assertNotEqual(ask("take", 3 * MIB, 0, 9), first)

    @unittest.skipIf(REAL, "needs the double")
    def test_a_limit_holds_and_the_refusal_says_it_and_what_was_there_goes_on(self):
        _, ask = self.client()
        kept = ask("take", 100 * MIB, 0, 0)
        self.daemon.put("/api/memory/limits/cuda0", {"maxBytes": 150 * MIB}).ok()
        refused = ask("take", 100 * MIB, 0, 0)
        self.assertRegex(refused, rf"^vramd gives no {100 * MIB} bytes for PyTorch: .*limit")
        self.assertIsInstance(ask("take", 30 * MIB, 0, 0), int)
        ask("give", kept)
        self.assertIsInstance(ask("take", 110 * MIB, 0, 0), int, "what nobody uses any more goes back for it")
        self.assertEqual(sorted(size for size, _ in self.held()), [30 * MIB, 110 * MIB])

    @unittest.skipIf(REAL, "needs the double")
    def test_what_nobody_uses_goes_back_when_asked_and_all_of_it_with_the_process(self):
        process, ask = self.client()
        addresses = [ask("take", size * MIB, 0, 0) for size in (12, 30, 50)]
        for address in addresses[:2]:
            ask("give", address)
        self.assertEqual(ask("trim"), 42 * MIB)
        self.assertEqual([size for size, _ in self.held()], [50 * MIB])
        process.kill()
        process.wait()
        while self.held():
            pass

    @unittest.skipIf(REAL, "needs the double")
    def test_a_core_that_is_killed_takes_nothing_from_it(self):
        _, ask = self.client()
        first = ask("take", 12 * MIB, 0, 0)
        self.daemon.kill_core()
        self.assertEqual(ask("see", first, 2), "(0, '\\x00\\x00')")
        self.assertIsInstance(ask("take", 30 * MIB, 0, 0), int)
        self.assertEqual(sorted(size for size, _ in self.held()), [12 * MIB, 30 * MIB])

    @unittest.skipIf(REAL, "needs the double")
    def test_without_a_daemon_and_on_a_gpu_that_is_not_the_daemons_it_says_so(self):
        _, ask = self.client()
        self.assertIn("no device that is this process's GPU 3", ask("take", MIB, 3, 0))
        process = subprocess.run([sys.executable, "-c", PROGRAM, LIBRARY], input=f"take {MIB} 0 0\n", capture_output=True, text=True, check=True,
                                 env={**os.environ, **self.around, "VRAMD_SOCKET": "/nonexistent/socket"})
        self.assertIn("/nonexistent/socket: No such file or directory. Is vramd running", process.stdout)

    @unittest.skipIf(not REAL, "needs a GPU")
    def test_pytorch_computes_on_it_and_is_refused_in_words_beyond_the_limit(self):
        process = self.program(TORCH, os.path.join(ROOT, "python"), LIBRARY)
        self.assertEqual(process.stdout.readline(), "same\n")
        self.assertEqual(process.stdout.readline(), "trained\n")
        self.assertRegex(process.stdout.readline(), rf"vramd gives no {600 * MIB} bytes for PyTorch: ")
        self.assertEqual(process.stdout.readline(), "1000.0\n")
        self.assertEqual({purpose for _, purpose in self.held()}, {f"pytorch of process {process.pid}"})
        process.stdin.close()
        process.wait()
        while self.held():
            pass


if __name__ == "__main__":
    unittest.main()
