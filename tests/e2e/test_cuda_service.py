"""A GPU's memory through the keeper's own end, kept by a service manager: on the double of the driver, or on the machine's GPU where VRAMD_CUDA_REAL=1."""
import os
import random
import shutil
import tempfile
import unittest

from daemon import Daemon
from supervisor_bed import ServiceManager
from test_cuda import GPU, MIB, model_file, ready, surroundings


class GpuService(unittest.TestCase):
    def test_a_gpus_memory_is_there_again_when_the_keeper_was_killed(self):
        folder = tempfile.mkdtemp(prefix="vramd-cuda-service-")
        self.addCleanup(shutil.rmtree, folder)
        parts = model_file(folder, "m.safetensors", [3 * MIB, 5 * MIB + 12])
        manager = ServiceManager(folder)
        self.addCleanup(manager.close)
        daemon = Daemon(devices=["host:a=64MiB", GPU], model_dirs=[folder], environment=surroundings(folder))
        self.addCleanup(daemon.discard)
        manager.start(daemon)
        made = daemon.allocate(16 * MIB, deviceId="cuda0")["id"]
        data = random.Random(7).randbytes(16 * MIB)
        daemon.put(f"/api/memory/allocation/{made}/content", data).ok()
        record = daemon.post("/api/model/load/cuda0", {"name": "m", "path": "m.safetensors", "type": "other"}).ok()
        place = next(one["allocationId"] for one in record["places"] if one["deviceId"] == "cuda0")
        weights = ready(daemon, place).body
        self.assertTrue(all(part in weights for part in parts))
        used = daemon.get("/api/memory/status/cuda0").ok()["usedBytes"]
        for _ in range(2):
            generation = daemon.system()["generation"]
            told = len(manager.said)
            os.kill(daemon.core_pid(), 9)  # What the keeper had to say before it has been said when the next core serves.
            daemon.next_generation(generation)
            manager.wait(lambda manager, told=told: any("READY" in words for words in manager.said[told:]))
            manager.kill(daemon)
            manager.start(daemon)
            self.assertEqual(daemon.system()["recovery"]["findings"], [])
            self.assertEqual(ready(daemon, made).body, data)
            self.assertEqual(ready(daemon, place).body, weights)
            self.assertEqual(daemon.get("/api/memory/status/cuda0").ok()["usedBytes"], used)
            self.assertTrue(daemon.get("/api/audit").ok()["ok"])
        daemon.stop()


if __name__ == "__main__":
    unittest.main()
