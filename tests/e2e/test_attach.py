#!/usr/bin/env python3
"""Clients of the attach protocol against a real daemon: one copy for all of them, and nothing lost by those that read."""
import os
import random
import re
import struct
import time
import unittest
import zlib

from attach_bed import LARGE, MIB, AttachCase, Child, descriptors_of, forever, soon


def shared_bytes(pid, size):
    """Σ PSS of a process's mappings of vramd's memory of that size."""
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as file:
        text = file.read()
    total = 0
    for part in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.M):
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) .*memfd:vramd", part)
        if head and int(head.group(2), 16) - int(head.group(1), 16) >= size:
            total += int(re.search(r"^Pss:\s+(\d+) kB", part, re.M).group(1)) * 1024
    return total


class Clients(AttachCase):
    def test_memory_is_written_in_place_read_over_http_and_ends_with_its_connection(self):
        client = self.connect()
        made, memory = client.map("allocate", sizeBytes=100_000, purpose="scratch")
        with memory:
            self.assertEqual(memory[:], bytes(100_000))
            memory[99_999] = 7
            where = f"/api/memory/allocation/{made['allocation']['id']}"
            self.assertEqual(self.daemon.get(where + "/content").body[-1], 7)
            self.assertEqual(self.daemon.get(where).ok()["attachedClients"], 1)
            told = self.daemon.delete(f"/api/memory/allocations/{made['allocation']['id']}").problem(409, "leased")
            self.assertIn("attachedClients is 1", told["detail"])
        begun = time.monotonic()
        client.close()
        soon(lambda: self.daemon.get(where).status == 404, "it lives on")
        print(f"\na connection's memory was gone {1000 * (time.monotonic() - begun):.1f} ms after its end, seen over HTTP")

    def test_eight_processes_attach_one_model_and_its_bytes_are_there_once(self):
        size = self.map_once("large.safetensors")

        def work(tell):
            client = self.connect()
            result, memory = client.map("attach", model="large.safetensors")
            tell([result["memory"]["sizeBytes"], zlib.crc32(memory)])
            forever()

        children = [Child(work) for _ in range(8)]
        try:
            told = [child.hear() for child in children]
            self.assertEqual(len({tuple(one) for one in told}), 1)
            self.assertEqual(self.attached("large.safetensors"), 8)
            clients = sum(shared_bytes(child.pid, size) for child in children)
            everybody = clients + shared_bytes(self.daemon.core_pid(), size)
            print(f"\neight processes and one model of {size / MIB:.0f} MiB: their ΣPSS is {clients / size:.4f} × its size, with the core's {everybody / size:.4f}")
            self.assertLessEqual(clients, 1.02 * size)
            self.assertLessEqual(everybody, 1.02 * size)
            self.assertGreater(clients, 0.5 * size)
        finally:
            for child in children:
                child.kill()
        soon(lambda: self.attached("large.safetensors") == 0, "attached yet")

    def test_a_model_that_is_loaded_is_attached_as_fast_whatever_its_size(self):
        client = self.connect()
        for name in ("two.safetensors", "large.safetensors"):
            size = self.map_once(name)
            times = []
            for _ in range(50):
                begun = time.perf_counter()
                result, memory = client.map("attach", model=name)
                first = memory[0]
                times.append(time.perf_counter() - begun)
                self.assertEqual(first, self.patterns[name][0])
                memory.close()
                client.call("detach", allocationId=result["memory"]["allocationId"])
            times.sort()
            print(f"\nattach of {size / MIB:.0f} MiB to its first byte: {1e6 * times[25]:.0f} µs in the middle, {1e6 * times[-1]:.0f} µs at most")
        client.close()

    def test_a_load_tells_its_progress_and_a_long_list_of_tensors_comes_whole(self):
        client = self.connect()
        result, memory = client.map("attach", model="many", path="many.safetensors", type="llm")
        self.assertGreaterEqual(len(client.progress), 1)
        self.assertEqual({progress["call"] for progress in client.progress}, {client.last_id})
        self.assertEqual(sorted(progress["doneBytes"] for progress in client.progress), [progress["doneBytes"] for progress in client.progress])
        self.assertEqual(result["model"]["type"], "llm")
        self.assertIn("tensorTable", result)
        self.assertEqual(len(result["tensors"]), 3000)
        for tensor in result["tensors"][::371]:
            number = int(tensor["name"].split(".")[1])
            self.assertEqual(struct.unpack_from("<2f", memory, tensor["offsetBytes"]), (number, -number))
        memory.close()
        client.close()

    def test_a_private_mapping_is_a_copy_of_ones_own(self):
        client, other = self.connect(), self.connect()
        _, memory = client.map("attach", model="two.safetensors", mode="private")
        memory[0:4] = b"mine"
        _, seen = other.map("attach", model="two.safetensors")
        self.assertEqual(seen[0:4], self.patterns["two.safetensors"][0:4])
        for one in (memory, seen, client, other):
            one.close()

    def test_a_thousand_attaches_and_detaches_leave_the_cores_descriptors_as_they_were(self):
        client = self.connect()
        client.map("attach", model="two.safetensors")[1].close()
        before, begun = descriptors_of(self.daemon.core_pid()), time.monotonic()
        for _ in range(1000):
            result = client.call("attach", model="two.safetensors")
            client.call("detach", allocationId=result["memory"]["allocationId"])
        print(f"\n{1000 / (time.monotonic() - begun):.0f} attaches and detaches a second from one connection")
        self.check_descriptors(before)
        client.close()

    def test_a_client_goes_on_reading_while_the_core_is_killed_again_and_again(self):
        holder = self.connect()
        result, memory = holder.map("allocate", sizeBytes=4 * MIB, persistent=True, shareable=True)
        content = random.Random(3).randbytes(4 * MIB)
        memory[:] = content
        right = zlib.crc32(content)
        allocation = result["memory"]["allocationId"]

        def work(tell):
            client = self.connect()
            _, one = client.map("attach", allocationId=allocation, mode="read")
            _, model = client.map("attach", model="eight.safetensors")
            whole = zlib.crc32(model)
            rounds = 0
            while True:
                assert zlib.crc32(one) == right and zlib.crc32(model) == whole, f"other bytes in round {rounds}"
                rounds += 1
                tell(rounds)

        reader = Child(work)
        try:
            for _ in range(20):
                reader.hear()
                self.daemon.kill_core()
                for _ in range(2):
                    reader.hear()
        finally:
            reader.kill()
        memory.close()
        with self.assertRaises((ConnectionError, OSError)):
            holder.call("list")
        holder.close()
        again = self.connect()
        # Nobody goes on with their sessions: they hold it until the grace is over.
        soon(lambda: (lambda clients: clients == 0 or clients)(self.daemon.get(f"/api/memory/allocation/{allocation}").ok()["attachedClients"]), "attached")
        self.assertEqual(again.call("attach", allocationId=allocation, mode="read")["allocation"]["attachedClients"], 1)
        self.assertEqual(zlib.crc32(self.daemon.get(f"/api/memory/allocation/{allocation}/content").body), right)
        again.call("free", allocationId=allocation)
        again.close()

    def test_what_was_not_persistent_ends_with_the_core_that_knew_its_client(self):
        client = self.connect()
        made, memory = client.map("allocate", sizeBytes=100_000)
        memory[0] = 9
        begun = time.monotonic()
        self.daemon.kill_core()
        soon(lambda: self.daemon.get(f"/api/memory/allocation/{made['allocation']['id']}").status == 404, "it lives on")
        print(f"\nit was gone {time.monotonic() - begun:.1f} s after its core's death")
        self.assertEqual(memory[0], 9)  # Mapped, it is still there.
        memory.close()
        client.close()

    def test_unloading_and_eviction_are_refused_while_attached_and_go_right_after_the_clients_death(self):
        def work(tell):
            client = self.connect()
            _, memory = client.map("attach", model="large.safetensors")
            tell([memory[0], client.hello["owner"]])
            forever()

        child = Child(work)
        child.hear()
        told = self.daemon.delete("/api/model/unload?name=large.safetensors").problem(409, "leased")
        self.assertIn("attachedClients is 1", told["detail"])
        room = {"sizeBytes": LARGE, "deviceId": "a"}
        self.daemon.post("/api/memory/allocations/allocate", room).problem(507, "insufficient-memory")
        self.assertEqual(self.daemon.get("/api/memory/status/a").ok()["reclaimableBytes"], 0)
        begun = time.monotonic()
        child.kill()
        soon(lambda: self.daemon.get("/api/memory/status/a").ok()["reclaimableBytes"] > 0, "held yet")
        print(f"\na killed client's model could be reclaimed {1000 * (time.monotonic() - begun):.1f} ms after the kill, seen over HTTP")
        made = self.daemon.post("/api/memory/allocations/allocate", room).ok()  # Evicts it.
        self.assertEqual(self.daemon.get("/api/model/info?name=large.safetensors").status, 404)
        self.daemon.delete(f"/api/memory/allocations/{made['id']}").ok()


if __name__ == "__main__":
    unittest.main()
