#!/usr/bin/env python3
"""Clients that die, attack or belong to another user: nothing is left of them, and nobody else notices."""
import array
import ctypes
import fcntl
import mmap
import os
import random
import signal
import socket
import time
import unittest

from attach_bed import DEADLINE, AttachCase, Child, descriptors_of, soon
from attach_client import Refused


class HostileClients(AttachCase):
    def test_clients_killed_at_any_moment_leave_nothing(self):
        choose = random.Random(7)
        self.map_once("two.safetensors")
        before = descriptors_of(self.daemon.core_pid())

        def work(tell, seed):
            step = random.Random(seed)
            client = self.connect(f"victim {seed}")
            tell("there")
            held = []
            while True:
                kind = step.randrange(4)
                if kind == 0:
                    held.append(client.call("allocate", sizeBytes=step.randrange(1, 100_000), shareable=bool(step.randrange(2)))["memory"]["allocationId"])
                elif kind == 1:
                    client.call("attach", model="two.safetensors", mode=step.choice(["read", "private"]))
                elif kind == 2 and held:
                    client.call("free", allocationId=held.pop())
                else:
                    client.send("allocate", sizeBytes=4096)  # Perhaps never answered.
                    client.receive()
                tell("done")

        for _ in range(10):
            children = [Child(work, choose.randrange(1 << 30)) for _ in range(10)]
            for child in children:
                for _ in range(choose.randrange(12)):
                    child.hear()
                self.assertEqual(child.kill(), -signal.SIGKILL)
        soon(lambda: self.attached("two.safetensors") == 0, "attached yet")
        soon(lambda: len(self.daemon.get("/api/memory/allocations").ok()["items"]) == 1, "more than the model is left")
        self.check_descriptors(before)

    def test_a_hostile_client_at_each_step_costs_another_nothing(self):
        self.map_once("two.safetensors")
        good = self.connect()
        before = descriptors_of(self.daemon.core_pid())
        hello = b'{"jsonrpc":"2.0","id":1,"method":"hello","params":{"version":1}}'
        steps = [hello, b'{"jsonrpc":"2.0","id":2,"method":"allocate","params":{"sizeBytes":4096}}', b'{"jsonrpc":"2.0","id":3,"method":"attach","params":{"model":"two.safetensors"}}',
                 b'{"jsonrpc":"2.0","id":4,"method":"list"}']
        waiting = []

        def raw(said):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            connection.settimeout(DEADLINE)
            connection.connect(self.daemon.socket_path)
            for packet in said:
                connection.send(packet)
            return connection

        for step in range(len(steps) + 1):
            raw(steps[:step]).close()  # Closes, having read nothing.
            half = raw(steps[:step])
            half.shutdown(socket.SHUT_WR)
            waiting.append(half)
            waiting.append(raw(steps[:step]))  # Stays, and never reads.
            sender = raw(steps[:step])
            sender.sendmsg([b"{}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
            while sender.recv(65536):
                pass
            sender.close()
            for end in range(1, len(steps[min(step, 3)]), 9):  # Half messages.
                connection = raw(steps[:step] + [steps[min(step, 3)][:end]])
                connection.close()
            self.assertEqual(good.call("list", owner="nobody")["items"], [])
        flood = raw([hello])
        flood.setblocking(False)
        sent = 0
        try:
            while True:
                flood.send(b"[" * 60_000)
                sent += 1
        except (BlockingIOError, BrokenPipeError):
            pass
        self.assertGreater(sent, 0)
        for _ in range(100):
            self.assertEqual(good.call("list", owner="nobody")["items"], [])
        waiting.append(flood)
        for connection in waiting:
            connection.close()
        self.check_descriptors(before)
        good.close()

    def test_a_client_that_never_reads_is_closed_and_others_are_served(self):
        good, bad = self.connect(), self.connect()
        bad.socket.setblocking(False)
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < DEADLINE:
                try:
                    bad.send("list", kind="models")
                except BlockingIOError:
                    self.assertEqual(good.call("list", owner="nobody")["items"], [])
            self.fail("it is still connected")
        except (BrokenPipeError, ConnectionError):
            print(f"\na client that never reads was closed after {time.monotonic() - begun:.1f} s")
        good.close()
        bad.close()

    def test_a_models_bytes_cannot_be_changed_by_whatever_way_and_by_the_same_user_neither(self):
        client, other = self.connect(), self.connect()
        result, (descriptor, *_) = client.answer(client.send("attach", model="two.safetensors"))
        size = result["memory"]["sizeBytes"]
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
        again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)  # Its maker's own user can, where the other one cannot; the seals hold for both.
        try:
            for one in (descriptor, again):
                with self.assertRaises(OSError):
                    os.pwrite(one, b"x", 0)
                for length in (0, size // 2, 2 * size):
                    with self.assertRaises(OSError):
                        os.ftruncate(one, length)
                for mode in (0x03, 0x10, 0x08):  # PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE, COLLAPSE_RANGE.
                    self.assertEqual(libc.fallocate(one, mode, 0, 4096), -1, mode)
                with self.assertRaises(OSError):
                    mmap.mmap(one, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
                with self.assertRaises(OSError):
                    fcntl.fcntl(one, 1033, 0x0008)  # F_ADD_SEALS, F_SEAL_WRITE
                address = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, one, 0)
                self.assertEqual(libc.mprotect(address, 4096, mmap.PROT_READ | mmap.PROT_WRITE), -1)
                libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(4096))
        finally:
            os.close(again)
            os.close(descriptor)
        _, seen = other.map("attach", model="two.safetensors")
        self.assertEqual(seen[0:65536], self.patterns["two.safetensors"])
        for one in (seen, client, other):
            one.close()

    def test_who_may_write_cannot_take_the_memory_from_under_the_daemon_nor_keep_it_from_being_sealed(self):
        client, other = self.connect(), self.connect()
        result, (descriptor, *_) = client.answer(client.send("allocate", sizeBytes=8192, shareable=True))
        where = result["memory"]["allocationId"]
        for length in (0, 4096, 1 << 20):  # A shorter one would end the core when it reads.
            with self.assertRaises(OSError):
                os.ftruncate(descriptor, length)
        os.pwrite(descriptor, b"mine", 0)
        fcntl.fcntl(descriptor, 1033, 0x0001)  # F_ADD_SEALS, F_SEAL_SEAL: no seal can be added any more.
        self.assertEqual(self.daemon.get(f"/api/memory/allocation/{where}/content").body[:4], b"mine")
        os.close(descriptor)
        client.call("free", allocationId=where)
        made, memory = other.map("allocate", sizeBytes=8192)  # None of that memory is given to anybody again.
        self.assertEqual(memory[:], bytes(8192))
        memory.close()
        other.call("free", allocationId=made["memory"]["allocationId"])
        client.close()
        other.close()

    @unittest.skipUnless(os.getuid() == 0, "only root can become another user")
    def test_who_sealed_its_memory_against_seals_shares_it_with_nobody(self):
        owner = self.connect()
        result, (descriptor, *_) = owner.answer(owner.send("allocate", sizeBytes=8192, shareable=True))
        where = result["memory"]["allocationId"]
        fcntl.fcntl(descriptor, 1033, 0x0001)  # F_SEAL_SEAL

        def work(tell):
            os.setgid(65534)
            os.setuid(65534)
            client = self.connect()
            try:
                client.call("attach", allocationId=where)
            except Refused as error:
                return tell(error.code)
            tell("it was given, and could be changed under its reader")

        child = Child(work)
        self.assertEqual(child.hear(), "system-failed")
        self.assertEqual(child.wait(), 0)
        self.assertEqual(owner.call("list", owner="nobody")["items"], [])
        os.close(descriptor)
        owner.call("free", allocationId=where)
        owner.close()

    def test_a_key_of_a_connection_that_lives_is_of_no_use_to_another(self):
        client, other = self.connect(), self.connect(None)
        made = client.call("allocate", sizeBytes=4096)["memory"]["allocationId"]
        for code, key in (("conflict", client.hello["resumeKey"]), ("not-found", client.hello["resumeKey"][::-1]), ("invalid-field", ""), ("invalid-field", "x" * 5000)):
            with self.assertRaises(Refused) as refused:
                other.call("hello", version=1, resumeKey=key)
            self.assertEqual(refused.exception.code, code, key)
        self.assertEqual([item["id"] for item in client.call("list")["items"] if item["id"] == made], [made])
        self.assertNotEqual(other.call("hello", version=1)["session"], client.hello["session"])
        client.close()
        other.close()

    @unittest.skipUnless(os.getuid() == 0, "only root can become another user")
    def test_another_user_cannot_write_or_free_what_it_may_read(self):
        owner = self.connect()
        shared, memory = owner.map("allocate", sizeBytes=8192, shareable=True)
        memory[0:5] = b"owner"
        plain, _ = owner.map("allocate", sizeBytes=8192)
        owner.map("attach", model="two.safetensors")
        ids = {"shared": shared["memory"]["allocationId"], "plain": plain["memory"]["allocationId"]}

        def cannot_write(descriptor):
            for attempt in (lambda: mmap.mmap(descriptor, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE), lambda: os.pwrite(descriptor, b"x", 0),
                            lambda: os.close(os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)), lambda: os.ftruncate(descriptor, 0)):
                try:
                    attempt()
                except OSError:
                    continue
                raise AssertionError("it could be written")

        def refused(code, client, method, **params):
            try:
                client.call(method, **params)
            except Refused as error:
                assert error.code == code, f"{error.code}: {error}"
                return str(error)
            raise AssertionError(f"{method} was not refused")

        def work(tell):
            os.setgid(65534)
            os.setuid(65534)
            client = self.connect()
            assert client.hello["owner"] == "uid:65534" and client.hello["role"] == "user", client.hello
            for params in ({"allocationId": ids["shared"]}, {"model": "two.safetensors"}):
                result, descriptors = client.answer(client.send("attach", mode="read", **params))
                cannot_write(descriptors[0])
                if "allocationId" in params:
                    assert os.pread(descriptors[0], 5, 0) == b"owner"
                    assert result["allocation"] is None
            missing = "alc_0q3xw8c5k2mznd1"
            texts = {refused("not-found", client, "attach", allocationId=one).replace(one, "") for one in (ids["plain"], missing)}
            assert len(texts) == 1, texts
            for one in (ids["shared"], ids["plain"], missing):
                refused("not-found", client, "free", allocationId=one, force=True)
            refused("not-found", client, "attach", allocationId=ids["shared"], mode="write")
            refused("conflict", client, "attach", model="two.safetensors", mode="write")
            refused("forbidden", client, "allocate", sizeBytes=1, owner="uid:0")
            assert all(item["owner"] in ("uid:65534", "vramd") for item in client.call("list")["items"])
            tell("all refused")

        child = Child(work)
        self.assertEqual(child.hear(), "all refused")
        self.assertEqual(child.wait(), 0)
        memory[0:5] = b"still"  # Mapped before the seal.
        with self.assertRaises(Refused) as sealed:
            owner.call("attach", allocationId=ids["shared"], mode="write")
        self.assertEqual(sealed.exception.code, "conflict")
        memory.close()
        owner.close()


if __name__ == "__main__":
    unittest.main()
