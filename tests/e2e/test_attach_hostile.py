#!/usr/bin/env python3
"""Clients that die, attack or belong to another user: nothing is left of them, and nobody else notices."""
import array
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
