#!/usr/bin/env python3
"""A GPU's driver that hangs: who needs it waits, everybody else goes on; and when it stays silent another core has the GPU again, with every byte."""
import os
import random
import shutil
import tempfile
import threading
import time
import unittest

from daemon import Daemon
from test_cuda import MIB, REAL, ready, surroundings


def soon(holds, seconds=60):
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise AssertionError("it did not come to be")
    return True


@unittest.skipIf(REAL, "no real driver hangs to order")
class Hang(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vramd-cuda-hang-")
        self.orders = os.path.join(self.folder, "orders")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def daemon(self, *arguments):
        return Daemon(devices=["host:a=256MiB", "cuda:0=400MiB"], arguments=arguments,
                      environment=surroundings(self.folder, VRAMD_CUDA_DOUBLE_ORDERS=self.orders))

    def order(self, line):
        with open(self.orders, "w", encoding="ascii") as file:
            file.write(line + "\n")

    def test_only_who_needs_the_gpu_waits_for_its_driver(self):
        with self.daemon("--gpu-patience", "600") as daemon:
            self.order("cuMemCreate hang")
            made = []

            def allocate():
                client = daemon.client()
                made.append(client.request("POST", "/api/memory/allocations/allocate", {"sizeBytes": 40 * MIB, "deviceId": "cuda0"}).ok()["id"])
                client.close()

            waiting = [threading.Thread(target=allocate) for _ in range(6)]
            for thread in waiting:
                thread.start()
            soon(lambda: daemon.get("/api/memory/status/cuda0").ok()["usedBytes"] >= 240 * MIB)
            data = random.Random(1).randbytes(30 * MIB)
            here, there = (daemon.allocate(30 * MIB, deviceId="a")["id"] for _ in range(2))
            daemon.put(f"/api/memory/allocation/{here}/content", data).ok()
            told = daemon.post("/api/memory/transfer", {"sourceAllocationId": here, "targetAllocationId": there, "mode": "copy"}).ok()
            self.assertEqual(told["status"], "succeeded", told)
            self.assertEqual(daemon.get(f"/api/memory/allocation/{there}/content").body, data)
            daemon.delete(f"/api/memory/allocations/{here}").ok()
            for path in ("/api/devices", "/api/memory/allocations", "/api/memory/pressure", "/metrics"):
                self.assertEqual(daemon.get(path).status, 200, path)
            self.assertEqual(made, [], "the driver was to hang meanwhile")
            soon(lambda: any("has not answered" in reason for reason in daemon.get("/api/devices/cuda0").ok()["healthReasons"]))
            os.remove(self.orders)
            for thread in waiting:
                thread.join()
            self.assertEqual(len(set(made)), 6)
            self.assertTrue(daemon.get("/api/audit").ok()["ok"])

    def test_another_core_has_the_gpu_again_when_its_driver_stays_silent(self):
        with self.daemon("--gpu-patience", "1") as daemon:
            made = daemon.allocate(5 * MIB, deviceId="cuda0")["id"]
            data = random.Random(2).randbytes(5 * MIB)
            daemon.put(f"/api/memory/allocation/{made}/content", data).ok()
            before = daemon.system()["generation"]
            self.order("cuMemsetD8Async hang")  # The look that is taken at it every few seconds.
            self.order("cuEventRecord hang")
            soon(lambda: "has not answered for 1 s." in daemon.said())
            os.remove(self.orders)
            daemon.next_generation(before)
            self.assertEqual(ready(daemon, made).body, data)
            self.assertEqual(daemon.get("/api/devices/cuda0").ok()["health"], "good")
            self.assertTrue(daemon.get("/api/audit").ok()["ok"])


if __name__ == "__main__":
    unittest.main()
