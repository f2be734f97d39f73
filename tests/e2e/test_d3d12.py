"""The daemon with a Direct3D 12 device: libvkd3d on Mesa's software driver, so that it runs where there is no GPU; VRAMD_D3D12_DEVICE names another adapter."""
import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from attach_client import Attach, Refused  # noqa: E402
from daemon import BIN, Daemon  # noqa: E402
from events import recorded  # noqa: E402

MIB = 1 << 20
DEVICE = os.environ.get("VRAMD_D3D12_DEVICE", "d3d12:0")
# Mesa's software driver alone, whatever else is installed, so that the adapter is the same everywhere.
SOFTWARE = {} if "VRAMD_D3D12_DEVICE" in os.environ else {"VK_ICD_FILENAMES": "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json"}
ID = "d3d12-" + (DEVICE.partition(":")[2] or "0")


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


class Adapter(unittest.TestCase):
    """One daemon for all; each test leaves it as it found it."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="vramd-d3d12-")
        cls.daemon = Daemon(devices=["host:a=256MiB", f"{DEVICE}=384MiB"], model_dirs=[cls.folder], environment=SOFTWARE, door="unix").__enter__()  # As an admin.

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)
        shutil.rmtree(cls.folder)

    def content(self, allocation):
        answer = self.daemon.get(f"/api/memory/allocation/{allocation}/content")
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

    def test_the_device_is_told_of_as_what_it_is(self):
        told = self.daemon.get(f"/api/devices/{ID}").ok()
        self.assertEqual((told["kind"], told["health"], told["granularityBytes"]), ("d3d12", "good", 65536))
        self.assertIn("vkd3d", told["driver"])
        self.assertIn("copy", told["capabilities"])
        for word in ("map", "pinned", "sharedRead", "sharedAgreed"):
            self.assertNotIn(word, told["capabilities"])
        if SOFTWARE:
            self.assertEqual(told["memoryType"], "systemMemory")
            self.assertTrue({"software", "uma"} <= set(told["capabilities"]), told)
        self.assertEqual(self.daemon.ready["devices"], f"a,{ID}")
        listed = subprocess.run([os.path.join(BIN, "vramctl"), "--socket", self.daemon.socket_path, "devices", "--output", "json"],
                                stdout=subprocess.PIPE, check=True, timeout=60)
        shown = {device["deviceId"]: device for device in json.loads(listed.stdout)["items"]}
        self.assertEqual((shown[ID]["kind"], shown[ID]["capabilities"]), ("d3d12", told["capabilities"]))

    def test_bytes_put_into_a_heap_come_back(self):
        for size in (1, 4096, 65535, 65536, 3 * MIB + 5, 40 * MIB):
            made = self.daemon.allocate(size, deviceId=ID)["id"]
            self.assertEqual(self.content(made), bytes(size))
            data = random.Random(size).randbytes(size)
            self.put(made, data)
            self.assertEqual(self.content(made), data)
            part = self.daemon.get(f"/api/memory/allocation/{made}/content", headers={"Range": f"bytes={size // 2}-{size - 1}"})
            self.assertEqual((part.status, part.body), (206, data[size // 2:]))
            beyond = self.daemon.put(f"/api/memory/allocation/{made}/content", b"xx", headers={"Content-Range": f"bytes {size - 1}-{size}/*"})
            beyond.problem(416, "out-of-range")
            self.assertEqual(self.content(made), data)
            self.free(made)
        self.audit()

    def test_it_is_cleared_and_copied_and_reads_as_zero_to_its_next_owner(self):
        first = self.daemon.allocate(20 * MIB, deviceId=ID)["id"]
        second = self.daemon.allocate(20 * MIB, deviceId=ID)["id"]
        data = random.Random(1).randbytes(20 * MIB)
        self.put(first, data)
        self.daemon.post("/api/memory/operations/copy", {"sourceAllocationId": first, "targetAllocationId": second}).ok()
        self.assertEqual(self.content(second), data)
        # Within one allocation, where both ranges overlap, up and down, nearer and farther than a chunk.
        for source, target, size in ((0, 1000, 5 * MIB), (1000, 0, 5 * MIB), (0, 17 * MIB, 3 * MIB), (3 * MIB, 0, 17 * MIB), (0, 1, 9 * MIB)):
            self.daemon.post("/api/memory/operations/copy", {"sourceAllocationId": second, "targetAllocationId": second, "sourceOffsetBytes": source,
                                                             "targetOffsetBytes": target, "sizeBytes": size}).ok()
            moved = bytearray(data)
            moved[target:target + size] = data[source:source + size]
            data = bytes(moved)
            self.assertEqual(hashlib.sha256(self.content(second)).digest(), hashlib.sha256(data).digest(), (source, target, size))
        self.daemon.post("/api/memory/operations/clear", {"allocationId": second, "fillValue": 170, "offsetBytes": 5, "sizeBytes": 9 * MIB}).ok()
        self.assertEqual(self.content(second), data[:5] + b"\xaa" * (9 * MIB) + data[5 + 9 * MIB:])
        self.free(first, second)
        small = [self.daemon.allocate(64 * 1024, deviceId=ID)["id"] for _ in range(8)]
        for one in small:
            self.put(one, b"\xff" * 64 * 1024)
        self.free(*small[1:])
        again = [self.daemon.allocate(64 * 1024, deviceId=ID)["id"] for _ in range(7)]
        for one in again:
            self.assertEqual(self.content(one), bytes(64 * 1024))
        self.free(small[0], *again)
        self.daemon.post("/api/memory/operations/clear", {"deviceId": ID}).ok()  # Its free memory.
        self.audit()

    def test_transfers_between_system_memory_and_a_heap_keep_every_byte(self):
        data = random.Random(2).randbytes(50 * MIB + 77)
        here = self.daemon.allocate(len(data), deviceId="a")["id"]
        self.put(here, data)
        there = self.daemon.allocate(len(data), deviceId=ID)["id"]
        back = self.daemon.allocate(len(data), deviceId="a")["id"]
        for verify in (False, True):
            for source, target in ((here, there), (there, back)):
                told = self.daemon.post("/api/memory/transfer", {"sourceAllocationId": source, "targetAllocationId": target, "mode": "copy", "verify": verify}).ok()
                self.assertEqual(told["status"], "succeeded", told)
            self.assertEqual(self.content(back), data)
            self.daemon.post("/api/memory/operations/clear", {"allocationId": there, "fillValue": 1}).ok()
            self.daemon.post("/api/memory/operations/clear", {"allocationId": back}).ok()
        moved = self.daemon.post("/api/memory/transfer", {"sourceAllocationId": here, "targetDeviceId": ID, "mode": "move", "verify": True}).ok()
        self.assertEqual(moved["status"], "succeeded", moved)
        self.assertEqual(self.daemon.get(f"/api/memory/allocation/{here}").ok()["deviceId"], ID)
        self.assertEqual(self.content(here), data)
        self.free(here, there, back)
        self.audit()

    def test_defragmenting_moves_what_lies_in_a_heap_and_keeps_every_byte(self):
        rng, made = random.Random(3), {}
        for size in [rng.randrange(1, 3 * MIB) for _ in range(60)]:
            data = rng.randbytes(size)
            identity = self.daemon.allocate(size, deviceId=ID)["id"]
            self.put(identity, data)
            made[identity] = hashlib.sha256(data).digest()
        for identity in rng.sample(sorted(made), 36):
            self.free(identity)
            del made[identity]
        told = self.daemon.post(f"/api/memory/operations/defragment/{ID}", {"strategy": "thorough", "waitForCompletion": True}).ok()
        self.assertGreater(json.dumps(told).count('"moves"'), 0, told)
        for identity, digest in made.items():
            self.assertEqual(hashlib.sha256(self.content(identity)).digest(), digest)
        self.audit()
        self.free(*made)

    def test_a_model_comes_from_its_file_by_the_cache_into_a_heap_and_goes(self):
        bodies = model_file(self.folder, "model.safetensors", [7, 4096, 3 * MIB + 1, 64 * 1024, 64 * 1024, 64 * 1024, 30 * MIB])
        for way in ("file", "cache"):
            if way == "cache":
                self.daemon.post("/api/model/cache", {"name": "model", "path": "model.safetensors", "type": "other"}).ok()
            told = self.daemon.post(f"/api/model/load/{ID}", {"name": "model", "path": "model.safetensors", "type": "other"}).ok()
            self.assertEqual(told["state"], "resident", told)
            place = next(place for place in told["places"] if place["deviceId"] == ID)
            content = self.content(place["allocationId"])
            for tensor in self.daemon.get("/api/model/model/tensors").ok()["items"]:
                number = int(tensor["name"][1:])
                self.assertEqual(content[tensor["offsetBytes"]:tensor["offsetBytes"] + tensor["sizeBytes"]], bodies[number], f"{way}: {tensor['name']}")
            self.daemon.put(f"/api/memory/allocation/{place['allocationId']}/content", b"x")  # Refused or not, a model stays what it is.
            self.assertEqual(self.content(place["allocationId"]), content)
            self.daemon.delete("/api/model/unload?name=model&keepCached=false").ok()
        deadline = time.monotonic() + 60
        while used := self.daemon.get(f"/api/memory/status/{ID}").ok()["usedBytes"]:
            self.assertLess(time.monotonic(), deadline, f"{used} bytes do not come back")
        self.audit()

    def test_what_the_device_has_not_or_may_not_give_is_refused_with_figures(self):
        told = self.daemon.post("/api/memory/allocations/allocate", {"sizeBytes": 1 << 40, "deviceId": ID}).problem(507, "insufficient-memory")
        self.assertEqual(told["requestedBytes"], 1 << 40)
        self.assertGreater(told["availableBytes"], 0)
        before = self.daemon.get(f"/api/memory/limits/{ID}").ok()
        self.daemon.put(f"/api/memory/limits/{ID}", {"maxBytes": 64 * MIB}).ok()
        self.daemon.post("/api/memory/allocations/allocate", {"sizeBytes": 65 * MIB, "deviceId": ID}).problem(409, "limit-exceeded")
        self.free(self.daemon.allocate(63 * MIB, deviceId=ID)["id"])
        self.daemon.put(f"/api/memory/limits/{ID}", {"maxBytes": before.get("maxBytes") or 384 * MIB}).ok()
        self.audit()

    def test_what_its_runtime_cannot_do_is_refused_as_unsupported_in_words(self):
        for path, request in (("/api/memory/allocations/allocate", {"deviceId": ID}), (f"/api/memory/allocations/allocate/{ID}", {})):
            told = self.daemon.post(path, {"sizeBytes": MIB, "allocationType": "pinned", **request}).problem(501, "unsupported")
            self.assertIn("resident", told["detail"])
        made = self.daemon.allocate(MIB, deviceId=ID, shareable=True)["id"]
        with Attach(self.daemon.socket_path) as client:
            for mode in ("read", "write", "private"):
                with self.assertRaises(Refused) as refused:
                    client.map("attach", allocationId=made, mode=mode)
                self.assertEqual(refused.exception.code, "unsupported", refused.exception.data)
                self.assertIn("vkd3d", str(refused.exception))
        self.free(made)
        self.audit()


class Death(unittest.TestCase):
    """Its memory is the core's own: what goes with it is told as gone, and nothing else goes."""

    def test_a_killed_core_takes_the_heaps_along_and_says_so_and_the_next_one_has_the_device_again(self):
        folder = tempfile.mkdtemp(prefix="vramd-d3d12-")
        try:
            model_file(folder, "model.safetensors", [3 * MIB, 5])
            with Daemon(devices=["host:a=128MiB", f"{DEVICE}=128MiB"], model_dirs=[folder], environment=SOFTWARE) as daemon:
                self.die(daemon)
        finally:
            shutil.rmtree(folder)

    def die(self, daemon):
        data = random.Random(5).randbytes(2 * MIB)
        kept, gone, small = daemon.allocate(2 * MIB, deviceId="a")["id"], daemon.allocate(2 * MIB, deviceId=ID)["id"], daemon.allocate(100, deviceId=ID)["id"]
        for one in (kept, gone):
            daemon.put(f"/api/memory/allocation/{one}/content", data).ok()
        daemon.post(f"/api/model/load/{ID}", {"name": "model", "path": "model.safetensors", "type": "other"}).ok()
        told = daemon.kill_core()
        findings = " ".join(told["recovery"]["findings"])
        self.assertIn("did not outlive the restart", findings)
        self.assertEqual(daemon.get(f"/api/memory/allocation/{kept}/content").body, data)
        for one in (gone, small):
            daemon.get(f"/api/memory/allocation/{one}").problem(404, "not-found")
            daemon.get(f"/api/memory/allocation/{one}/content").problem(404, "not-found")
        freed = {data["allocationId"]: data["reason"] for _, kind, data in recorded(daemon.tcp()) if kind == "allocationFreed"}
        self.assertEqual((freed.get(gone), freed.get(small), freed.get(kept)), ("device-lost", "device-lost", None))
        self.assertEqual(daemon.get(f"/api/memory/status/{ID}").ok()["usedBytes"], 0)
        # The model is what it is now: in the RAM cache, and in no heap.
        model = daemon.get("/api/model/info?name=model").ok()
        self.assertEqual((model["state"], [place["deviceId"] for place in model["places"]]), ("cached", ["a"]))
        self.assertTrue(daemon.get("/api/audit").ok()["ok"])
        # And all of it works again.
        daemon.post(f"/api/model/load/{ID}", {"name": "model", "path": "model.safetensors", "type": "other"}).ok()
        again = daemon.allocate(2 * MIB, deviceId=ID)["id"]
        self.assertEqual(daemon.get(f"/api/memory/allocation/{again}/content").body, bytes(2 * MIB))
        daemon.put(f"/api/memory/allocation/{again}/content", data).ok()
        self.assertEqual(daemon.get(f"/api/memory/allocation/{again}/content").body, data)


class Without(unittest.TestCase):
    """Where something that it needs is not there."""

    def refused(self, environment, device="d3d12:0"):
        daemon = Daemon(devices=[device], environment={**SOFTWARE, **environment})
        try:
            ended = subprocess.run(daemon.command, env=daemon.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
            return ended.returncode, ended.stderr.decode()
        finally:
            daemon.discard()

    def test_what_is_missing_is_said(self):
        for environment, device, words in (
                ({"VRAMD_VKD3D_LIBRARY": "/nonexistent/libvkd3d.so.1"}, "d3d12:0", "Direct3D 12 needs libvkd3d.so.1 (in Debian's libvkd3d1), which cannot be opened"),
                ({"VRAMD_VULKAN_LIBRARY": "/nonexistent/libvulkan.so.1"}, "d3d12:0", "Direct3D 12 needs libvulkan.so.1 (in Debian's libvulkan1)"),
                ({"VK_ICD_FILENAMES": "/nonexistent/icd.json"}, "d3d12", "No Vulkan driver"),
                ({}, "d3d12:77", "There is no adapter 77; there are: 0 ("),
                ({}, "d3d12:0=16TiB", "bytes of memory, not 17592186044416")):
            status, said = self.refused(environment, device)
            self.assertEqual(status, 2, said)
            self.assertIn(f"--device {device.partition('=')[0]}: ", said)
            self.assertIn(words, said)

    def test_auto_takes_no_adapter_of_direct3d(self):
        with Daemon(devices=["auto"], environment={**SOFTWARE, "VRAMD_CUDA_LIBRARY": "/nonexistent/libcuda.so.1"}) as daemon:
            self.assertEqual(daemon.ready["devices"], "host0")

    def test_an_adapter_that_is_gone_after_a_restart_is_left_out_and_all_others_go_on(self):
        folder = tempfile.mkdtemp(prefix="vramd-d3d12-")
        library = os.path.join(folder, "library.so")
        os.symlink("/usr/lib/x86_64-linux-gnu/libvkd3d.so.1", library)
        try:
            with Daemon(devices=["host:a=64MiB", f"{DEVICE}=64MiB"], environment={**SOFTWARE, "VRAMD_VKD3D_LIBRARY": library}) as daemon:
                kept, gone = daemon.allocate(4096, deviceId="a")["id"], daemon.allocate(MIB, deviceId=ID)["id"]
                os.remove(library)
                daemon.kill_core()
                daemon.get(f"/api/memory/allocation/{kept}").ok()
                daemon.get(f"/api/memory/allocation/{gone}").problem(404, "not-found")
                daemon.get(f"/api/devices/{ID}").problem(404, "not-found")
                self.assertIn("It is left out.", daemon.said())
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    unittest.main()
