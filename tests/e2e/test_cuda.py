"""The daemon with a GPU's memory: on a double of the driver (tests/fake_cuda), or on the machine's own GPU where VRAMD_CUDA_REAL=1."""
import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from daemon import BIN, Daemon  # noqa: E402

MIB = 1 << 20
REAL = os.environ.get("VRAMD_CUDA_REAL") == "1"
DOUBLE = os.environ.get("VRAMD_CUDA_DOUBLE", os.path.join(BIN, "..", "double", "libcuda-double.so"))
GPU = "cuda:0=2GiB" if REAL else "cuda:0=400MiB"


def surroundings(folder, **more):
    """What makes a daemon take the double, with accounts of its own; nothing where the GPU is real."""
    if REAL:
        return {}
    return {"VRAMD_CUDA_LIBRARY": os.path.abspath(DOUBLE), "VRAMD_CUDA_DOUBLE_NAME": os.path.basename(folder), "VRAMD_CUDA_DOUBLE_TOTAL": str(512 * MIB), **more}


def model_file(folder, name, parts):
    """A safetensors file whose tensors have these sizes; its tensors' bytes."""
    rng = random.Random(name)
    head, at, bodies = {}, 0, []
    for i, size in enumerate(parts):
        head[f"t{i}"] = {"dtype": "U8", "shape": [size], "data_offsets": [at, at + size]}
        bodies.append(rng.randbytes(size))
        at += size
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(bodies))
    return bodies


def ready(daemon, allocation):
    """An allocation's bytes, once the GPU's driver has begun: after a restart the daemon answers before that."""
    deadline = time.monotonic() + 30
    while True:
        answer = daemon.get(f"/api/memory/allocation/{allocation}/content")
        if answer.status != 503 or answer.json()["code"] != "busy" or time.monotonic() > deadline:
            return answer


class Gpu(unittest.TestCase):
    """One daemon for all; each test leaves it as it found it."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="vramd-cuda-")
        cls.orders = os.path.join(cls.folder, "orders")
        environment = surroundings(cls.folder, VRAMD_CUDA_DOUBLE_ORDERS=cls.orders, VRAMD_CUDA_DOUBLE_TOTAL=str(640 * MIB))  # Some to spare for its measurement.
        cls.daemon = Daemon(devices=["host:a=256MiB", GPU], model_dirs=[cls.folder], environment=environment).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)
        shutil.rmtree(cls.folder)

    def content(self, allocation):
        answer = ready(self.daemon, allocation)
        self.assertEqual(answer.status, 200, answer.body[:300])
        return answer.body

    def put(self, allocation, data):
        self.daemon.put(f"/api/memory/allocation/{allocation}/content", data).ok()

    def free(self, *allocations):
        for allocation in allocations:
            self.daemon.delete(f"/api/memory/allocations/{allocation}").ok()

    def audit(self):
        told = self.daemon.get("/api/audit").ok()
        self.assertTrue(told["ok"], told)

    def test_the_gpu_is_told_of_as_what_it_is(self):
        told = self.daemon.get("/api/devices/cuda0").ok()
        self.assertEqual((told["kind"], told["memoryType"], told["health"]), ("cuda", "gpuMemory", "good"))
        self.assertIn("copy", told["capabilities"])
        self.assertNotIn("map", told["capabilities"])
        self.assertNotIn("sharedRead", told["capabilities"])
        if not REAL:
            self.assertIn("double", told["driver"])
        self.assertIn("devices=a,cuda0", " ".join(f"{key}={value}" for key, value in self.daemon.ready.items()))

    def test_its_links_are_measured_and_what_is_copied_is_held_against_them(self):
        deadline = time.monotonic() + 30
        links = []
        while not links and time.monotonic() < deadline:  # In its first second.
            links = self.daemon.get("/api/devices/cuda0").ok()["links"]
        self.assertEqual([link["deviceId"] for link in links], ["a"])
        back = self.daemon.get("/api/devices/a").ok()["links"]
        self.assertEqual([link["deviceId"] for link in back], ["cuda0"])
        here, there = self.daemon.allocate(8 * MIB, deviceId="a")["id"], self.daemon.allocate(8 * MIB, deviceId="cuda0")["id"]
        for source, target, limit in ((here, there, back), (there, here, links)):
            told = self.daemon.post("/api/memory/transfer", {"sourceAllocationId": source, "targetAllocationId": target, "mode": "copy"}).ok()
            self.assertEqual(told["throughput"]["linkLimitBytesPerSecond"], limit[0]["bytesPerSecond"], told)
            self.assertGreater(told["throughput"]["efficiencyPercentage"], 0)
        cleared = self.daemon.post("/api/memory/operations/clear", {"allocationId": there, "fillValue": 1}).ok()
        self.assertGreater(cleared["efficiencyPercentage"], 0)
        for allocation in (here, there):
            self.free(allocation)

    def test_bytes_put_into_gpu_memory_come_back(self):
        for size in (1, 4096, 3 * MIB + 5, 40 * MIB):
            made = self.daemon.allocate(size, deviceId="cuda0")["id"]
            self.assertEqual(self.content(made), bytes(size))
            data = random.Random(size).randbytes(size)
            self.put(made, data)
            self.assertEqual(self.content(made), data)
            part = self.daemon.get(f"/api/memory/allocation/{made}/content", headers={"Range": f"bytes={size // 2}-{size - 1}"})
            self.assertEqual((part.status, part.body), (206, data[size // 2:]))
            self.free(made)
        self.audit()

    def test_gpu_memory_is_cleared_and_copied_and_reads_as_zero_to_its_next_owner(self):
        first = self.daemon.allocate(20 * MIB, deviceId="cuda0")["id"]
        second = self.daemon.allocate(20 * MIB, deviceId="cuda0")["id"]
        data = random.Random(1).randbytes(20 * MIB)
        self.put(first, data)
        self.daemon.post("/api/memory/operations/copy", {"sourceAllocationId": first, "targetAllocationId": second}).ok()
        self.assertEqual(self.content(second), data)
        # Within one allocation, where both ranges overlap, up and down, nearer and farther than a chunk.
        for source, target, size in ((0, 1000, 5 * MIB), (1000, 0, 5 * MIB), (0, 17 * MIB, 3 * MIB), (3 * MIB, 0, 17 * MIB), (0, 1, 19 * MIB)):
            self.daemon.post("/api/memory/operations/copy", {"sourceAllocationId": second, "targetAllocationId": second, "sourceOffsetBytes": source,
                                                  "targetOffsetBytes": target, "sizeBytes": size}).ok()
            moved = bytearray(data)
            moved[target:target + size] = data[source:source + size]
            data = bytes(moved)
            self.assertEqual(hashlib.sha256(self.content(second)).digest(), hashlib.sha256(data).digest(), (source, target, size))
        self.daemon.post("/api/memory/operations/clear", {"allocationId": second, "fillValue": 170, "offsetBytes": 5, "sizeBytes": 9 * MIB}).ok()
        self.assertEqual(self.content(second), data[:5] + b"\xaa" * (9 * MIB) + data[5 + 9 * MIB:])
        self.free(first, second)
        small = [self.daemon.allocate(64 * 1024, deviceId="cuda0")["id"] for _ in range(8)]
        for one in small:
            self.put(one, b"\xff" * 64 * 1024)
        self.free(*small[1:])
        again = [self.daemon.allocate(64 * 1024, deviceId="cuda0")["id"] for _ in range(7)]
        for one in again:
            self.assertEqual(self.content(one), bytes(64 * 1024))
        self.free(small[0], *again)
        self.audit()

    def test_transfers_between_system_and_gpu_memory_keep_every_byte(self):
        data = random.Random(2).randbytes(50 * MIB + 77)
        here = self.daemon.allocate(len(data), deviceId="a")["id"]
        self.put(here, data)
        there = self.daemon.allocate(len(data), deviceId="cuda0")["id"]
        back = self.daemon.allocate(len(data), deviceId="a")["id"]
        for verify in (False, True):
            for source, target in ((here, there), (there, back)):
                told = self.daemon.post("/api/memory/transfer", {"sourceAllocationId": source, "targetAllocationId": target, "mode": "copy", "verify": verify,
                                                                 "waitForCompletion": True}).ok()
                self.assertEqual(told["status"], "succeeded", told)
            self.assertEqual(self.content(back), data)
            self.daemon.post("/api/memory/operations/clear", {"allocationId": there, "fillValue": 1}).ok()
            self.daemon.post("/api/memory/operations/clear", {"allocationId": back}).ok()
        moved = self.daemon.post("/api/memory/transfer", {"sourceAllocationId": here, "targetDeviceId": "cuda0", "mode": "move", "verify": True, "waitForCompletion": True}).ok()
        self.assertEqual(moved["status"], "succeeded", moved)
        self.assertEqual(self.daemon.get(f"/api/memory/allocation/{here}").ok()["deviceId"], "cuda0")
        self.assertEqual(self.content(here), data)
        self.free(here, there, back)
        self.audit()

    def test_a_model_is_loaded_into_gpu_memory_from_its_file_and_from_the_cache(self):
        bodies = model_file(self.folder, "model.safetensors", [7, 4096, 3 * MIB + 1, 64 * 1024, 64 * 1024, 64 * 1024, 30 * MIB])
        for way in ("file", "cache"):
            if way == "cache":
                self.daemon.post("/api/model/cache", {"name": "model", "path": "model.safetensors", "type": "other"}).ok()
            told = self.daemon.post("/api/model/load/cuda0", {"name": "model", "path": "model.safetensors", "type": "other"}).ok()
            self.assertEqual(told["state"], "resident", told)
            place = next(place for place in told["places"] if place["deviceId"] == "cuda0")
            content = self.content(place["allocationId"])
            for i, tensor in enumerate(self.daemon.get("/api/model/model/tensors").ok()["items"]):
                number = int(tensor["name"][1:])
                self.assertEqual(content[tensor["offsetBytes"]:tensor["offsetBytes"] + tensor["sizeBytes"]], bodies[number], f"{way}: tensor {i}")
            freed = self.daemon.delete("/api/model/unload?name=model&keepCached=false").ok()["freedBytes"]
            self.assertEqual(freed, sum(place["sizeBytes"] for place in told["places"]))
            self.assertEqual({told["usedBytes"] for told in self.daemon.get("/api/memory/status").ok()["devices"]}, {0}, "the cache's copy")
        self.audit()

    def test_what_the_cache_holds_is_pinned_for_the_gpu_by_the_next_core_too_and_let_go_of_with_the_model(self):
        def pinned(holds):
            deadline = time.monotonic() + 30
            while not holds(told := self.daemon.get("/api/devices/cuda0").ok().get("pinnedBytes", 0)) and time.monotonic() < deadline:
                pass
            return told

        self.daemon.delete("/api/model/cache").ok()
        model_file(self.folder, "cached.safetensors", [20 * MIB, 20 * MIB])
        self.daemon.post("/api/model/cache", {"name": "cached", "path": "cached.safetensors", "type": "other"}).ok()
        self.assertGreaterEqual(pinned(lambda told: told >= 40 * MIB), 40 * MIB)
        self.daemon.kill_core()
        self.assertGreaterEqual(pinned(lambda told: told >= 40 * MIB), 40 * MIB)
        self.daemon.delete("/api/model/cache/cached").ok()
        self.assertEqual(pinned(lambda told: told == 0), 0)

    def test_what_the_gpu_cannot_take_is_refused_with_what_it_has(self):
        told = self.daemon.post("/api/memory/allocations/allocate", {"sizeBytes": 1 << 40, "deviceId": "cuda0"}).problem(507, "insufficient-memory")
        self.assertEqual(told["requestedBytes"], 1 << 40)
        self.assertGreater(told["availableBytes"], 0)

    def test_a_core_killed_under_load_keeps_every_byte_in_gpu_memory(self):
        kept = {}
        for i in range(12):
            size = (i % 4 + 1) * MIB + i
            made = self.daemon.allocate(size, deviceId="cuda0")["id"]
            data = random.Random(i).randbytes(size)
            self.put(made, data)
            kept[made] = hashlib.sha256(data).digest()
        stop = threading.Event()

        def busy():
            client = self.daemon.client()
            while not stop.is_set():
                try:
                    made = client.request("POST", "/api/memory/allocations/allocate", {"sizeBytes": 4 * MIB, "deviceId": "cuda0"})
                    if made.status == 200 or made.status == 201:
                        identity = made.json()["id"]
                        client.request("PUT", f"/api/memory/allocation/{identity}/content", b"x" * 4 * MIB)
                        client.request("DELETE", f"/api/memory/allocations/{identity}")
                except (OSError, AssertionError, ValueError, __import__("http").client.HTTPException):
                    client.close()

        thread = threading.Thread(target=busy)
        thread.start()
        try:
            for _ in range(3):
                self.daemon.kill_core()
                for allocation, digest in kept.items():
                    self.assertEqual(hashlib.sha256(self.content(allocation)).digest(), digest)
        finally:
            stop.set()
            thread.join()
        for record in self.daemon.get("/api/memory/allocations?deviceId=cuda0&limit=1000").ok()["items"]:
            self.free(record["id"])
        self.audit()

    @unittest.skipIf(REAL, "no real GPU fails to order")
    def test_a_gpu_that_fails_ends_the_core_in_an_orderly_way_and_the_next_one_has_it_again(self):
        made = self.daemon.allocate(5 * MIB, deviceId="cuda0")["id"]
        data = random.Random(3).randbytes(5 * MIB)
        self.put(made, data)
        before = self.daemon.system()["generation"]
        with open(self.orders, "w", encoding="ascii") as file:
            file.write("cuMemcpyHtoDAsync_v2 700 1\n")
        answer = self.daemon.put(f"/api/memory/allocation/{made}/content", data)
        os.remove(self.orders)
        answer.problem(503, "device-lost")
        self.daemon.next_generation(before)
        self.assertEqual(self.content(made), data)
        self.assertEqual(self.daemon.get("/api/devices/cuda0").ok()["health"], "good")
        self.assertIn("CUDA_ERROR_ILLEGAL_ADDRESS", self.daemon.said())
        self.free(made)


@unittest.skipIf(REAL, "needs the double")
class Without(unittest.TestCase):
    """Where there is no driver, no GPU, or none any more."""

    def refused(self, environment, device="cuda:0"):
        daemon = Daemon(devices=[device], environment=environment)
        try:
            ended = subprocess.run(daemon.command, env=daemon.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
            return ended.returncode, ended.stderr.decode()
        finally:
            daemon.discard()

    def test_without_a_driver_a_gpu_is_refused_in_words(self):
        status, said = self.refused({"VRAMD_CUDA_LIBRARY": "/nonexistent/libcuda.so.1"})
        self.assertEqual(status, 2)
        self.assertIn("--device cuda:0: There is no NVIDIA driver that could be used here", said)

    def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(self):
        status, said = self.refused(surroundings("none"), "cuda:5")
        self.assertEqual(status, 2)
        self.assertIn('There is no GPU "5"; there are: 0 (a double of a GPU', said)

    def test_without_a_driver_auto_serves_system_memory_alone_and_says_so(self):
        with Daemon(devices=["auto"], environment={"VRAMD_CUDA_LIBRARY": "/nonexistent/libcuda.so.1"}) as daemon:
            self.assertEqual(daemon.ready["devices"], "host0")
            self.assertIn("no GPU is used: There is no NVIDIA driver", daemon.said())

    def test_auto_takes_every_gpu_at_nine_tenths_of_what_is_free(self):
        with Daemon(devices=["auto"], environment=surroundings("auto", VRAMD_CUDA_DOUBLE_GPUS="2")) as daemon:
            self.assertEqual(daemon.ready["devices"], "host0,cuda0,cuda1")
            total = daemon.get("/api/devices/cuda1").ok()["totalBytes"]
            self.assertTrue(440 * MIB <= total <= 460 * MIB, total)

    def test_what_lies_on_one_gpu_comes_to_another(self):
        with Daemon(devices=["cuda:0=64MiB", "cuda:1=64MiB"], environment=surroundings("two", VRAMD_CUDA_DOUBLE_GPUS="2")) as daemon:
            here, there = (daemon.allocate(40 * MIB + 3, deviceId=device)["id"] for device in ("cuda0", "cuda1"))
            data = random.Random(8).randbytes(40 * MIB + 3)
            daemon.put(f"/api/memory/allocation/{here}/content", data).ok()
            for verify in (False, True):
                told = daemon.post("/api/memory/transfer", {"sourceAllocationId": here, "targetAllocationId": there, "mode": "copy", "verify": verify}).ok()
                self.assertEqual(told["status"], "succeeded", told)
                self.assertEqual(daemon.get(f"/api/memory/allocation/{there}/content").body, data)
                daemon.post("/api/memory/operations/clear", {"allocationId": there}).ok()
            daemon.delete(f"/api/memory/allocations/{there}").ok()
            moved = daemon.post("/api/memory/transfer", {"sourceAllocationId": here, "targetDeviceId": "cuda1", "mode": "move"}).ok()
            self.assertEqual(moved["status"], "succeeded", moved)
            self.assertEqual(daemon.get(f"/api/memory/allocation/{here}").ok()["deviceId"], "cuda1")
            self.assertEqual(daemon.get(f"/api/memory/allocation/{here}/content").body, data)

    def test_a_next_core_serves_before_the_driver_has_begun(self):
        folder = tempfile.mkdtemp(prefix="vramd-cuda-")
        orders = os.path.join(folder, "orders")
        try:
            with Daemon(devices=["host:a=64MiB", "cuda:0"], environment=surroundings("late", VRAMD_CUDA_DOUBLE_ORDERS=orders)) as daemon:
                made = daemon.allocate(3 * MIB, deviceId="cuda0")["id"]
                data = random.Random(5).randbytes(3 * MIB)
                daemon.put(f"/api/memory/allocation/{made}/content", data).ok()
                before = daemon.get("/api/devices/cuda0").ok()
                with open(orders, "w", encoding="ascii") as file:
                    file.write("cuInit hang\n")
                daemon.kill_core()
                host = daemon.allocate(4096, deviceId="a")
                self.assertNotEqual(daemon.get(f"/api/memory/allocation/{made}/content").status, 200)
                os.remove(orders)
                self.assertEqual(ready(daemon, made).body, data)
                after = daemon.get("/api/devices/cuda0").ok()
                self.assertEqual({key: after[key] for key in ("totalBytes", "name", "driver", "health")}, {key: before[key] for key in ("totalBytes", "name", "driver", "health")})
                self.assertEqual(host["deviceId"], "a")
        finally:
            shutil.rmtree(folder)

    def test_one_process_keeps_the_driver_begun_for_the_cores_to_come_and_ends_with_the_keeper(self):
        def primers(lock):
            found = []
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as file:
                        if file.read().startswith(b"vramd-gpu-primer") and os.readlink(f"/proc/{pid}/fd/3") == lock:
                            found.append(pid)
                except OSError:
                    pass  # It ended meanwhile.
            return found

        with Daemon(devices=["host:a=64MiB", "cuda:0"], environment=surroundings("primer")) as daemon:
            lock = os.path.join(os.path.realpath(daemon.state_dir), "gpu-primer")
            first = primers(lock)
            self.assertEqual(len(first), 1)
            for _ in range(3):
                daemon.kill_core()
            self.assertEqual(primers(lock), first)
        deadline = time.monotonic() + 20
        while primers(lock):
            self.assertLess(time.monotonic(), deadline, "it ends with the keeper")

    def test_a_gpu_whose_driver_is_gone_after_a_restart_keeps_its_memory_until_it_is_back(self):
        folder = tempfile.mkdtemp(prefix="vramd-cuda-")
        library = os.path.join(folder, "library.so")
        os.symlink(os.path.abspath(DOUBLE), library)
        try:
            with Daemon(devices=["host:a=64MiB", "cuda:0=64MiB"], environment={**surroundings("gone"), "VRAMD_CUDA_LIBRARY": library}) as daemon:
                made = daemon.allocate(3 * MIB, deviceId="cuda0")["id"]
                data = random.Random(4).randbytes(3 * MIB)
                daemon.put(f"/api/memory/allocation/{made}/content", data).ok()
                os.rename(library, library + ".away")
                daemon.kill_core()
                ready(daemon, made).problem(503, "device-lost")
                self.assertEqual(daemon.get("/api/devices/cuda0").ok()["health"], "lost")
                daemon.allocate(4096, deviceId="a")
                os.rename(library + ".away", library)
                daemon.kill_core()
                self.assertEqual(ready(daemon, made).body, data)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    unittest.main()
