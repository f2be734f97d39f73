#!/usr/bin/env python3
"""A crowd of clients that hold their connections and give nothing: silent ones, heads, bodies and chunks that come a byte at a time, readers that
do not read. Everybody else is served all the while, and when the crowd is gone nothing of it is left.

VRAMD_CROWD=N: so many of them, as far as the limit of descriptors goes (120 unless told; 10,000 by `./dev chaos network`).
VRAMD_SEED=N replays the order. How long healthy clients wait is printed, never judged: that is a matter of the machine.
VRAMD_CROWD_RESULT=FILE keeps what came of it.
"""
import json
import os
import random
import resource
import socket
import time
import unittest

from daemon import Daemon

CROWD = int(os.environ.get("VRAMD_CROWD", "120"))
SEED = int(os.environ.get("VRAMD_SEED", "1"))
SPARE_DESCRIPTORS = 200
PATIENCE_SECONDS = 180
ROUNDS_MAX = 40_000
ROUNDS = 400  # Of a few bytes from some of the crowd, and one request of a healthy client.
HEAD = "HTTP/1.1\r\nHost: localhost:{port}\r\n"
KINDS = {
    "silent": "",
    "slow head": "GET /api/system " + HEAD + "X: " + "a" * 4000,
    "slow body": "POST /api/memory/allocations/allocate " + HEAD + "Content-Type: application/json\r\nContent-Length: 9000\r\n\r\n" + " " * 8000,
    "slow chunks": "POST /api/memory/allocations/allocate " + HEAD + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + "1\r\n \r\n" * 900,
    "does not read": ("GET /openapi.json " + HEAD + "\r\n") * 40,
    "does not read events": "GET /api/events " + HEAD + "\r\n",
}
AT_ONCE = ("does not read", "does not read events")


def percentile(seconds, share):
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))] * 1000


class Member:
    """One of the crowd."""

    def __init__(self, kind, port):
        self.kind, self.left = kind, KINDS[kind].format(port=port).encode()
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        if kind in AT_ONCE:
            self.socket.sendall(self.left)
            self.left = b""
        else:
            self.say(len(self.left) // 2 if kind != "slow head" else 40)  # The head of a slow body comes whole.
        self.socket.setblocking(False)

    def say(self, size):
        """The next few bytes, unless the daemon has ended the connection."""
        try:
            self.left = self.left[self.socket.send(self.left[:size]):] if self.left else b""
        except BlockingIOError:
            pass
        except OSError:
            self.left = b""


    def has_answer(self):
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False


class Crowd(unittest.TestCase):
    def setUp(self):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.size = max(len(KINDS), min(CROWD, limit - SPARE_DESCRIPTORS))
        self.random = random.Random(SEED)

    def ask(self, daemon, waits):
        began = time.monotonic()
        daemon.get("/api/memory/status").ok()
        waits.append(time.monotonic() - began)

    def round(self, daemon, crowd, among, fresh):
        """A byte from some of the crowd, and a request of somebody else; now and then one by a new connection."""
        for member in self.random.sample(crowd, min(40, len(crowd))):
            member.say(1)
        self.ask(daemon, among)
        if len(among) % 20 == 0:
            client, began = daemon.client(), time.monotonic()
            client.request("GET", "/readyz").ok()
            fresh.append(time.monotonic() - began)
            client.close()

    def remains(self, daemon):
        pid = daemon.core_pid()
        return {"core": pid, "descriptors": len(os.listdir(f"/proc/{pid}/fd")), "threads": len(os.listdir(f"/proc/{pid}/task")),
                "keeper's": daemon.keeper_descriptors(), "allocations": daemon.get("/api/memory/status").ok()["devices"][0]["allocationCount"]}

    def gather(self, daemon):
        """The crowd, in an order of chance."""
        kinds = [list(KINDS)[number % len(KINDS)] for number in range(self.size)]
        self.random.shuffle(kinds)
        return [Member(kind, daemon.port) for kind in kinds]

    def test_a_crowd_that_gives_nothing_takes_nothing_from_others_and_leaves_nothing(self):
        with Daemon(devices=["host:a=16MiB"]) as daemon:
            alone, among, fresh = [], [], []
            for _ in range(ROUNDS):
                self.ask(daemon, alone)
            before, began = self.remains(daemon), time.monotonic()
            crowd = self.gather(daemon)
            try:
                slow = next(member for member in crowd if member.kind == "slow head")
                # A large crowd is watched for as long as the daemon lets a slow head go on.
                while len(among) < ROUNDS or (len(crowd) > ROUNDS and not slow.has_answer() and len(among) < ROUNDS_MAX):
                    self.round(daemon, crowd, among, fresh)
                slow.socket.settimeout(PATIENCE_SECONDS)
                self.assertRegex(slow.socket.recv(1 << 16), rb"^HTTP/1\.1 400 ", "a head that never ends is told so, and its connection ended")
            finally:
                for member in crowd:
                    member.socket.close()
            seconds = time.monotonic() - began
            while self.remains(daemon) != before:
                self.assertLess(time.monotonic() - began - seconds, PATIENCE_SECONDS, f"{self.remains(daemon)}, before {before}")
            self.assertTrue(daemon.get("/api/audit").ok()["ok"])
            self.tell(alone, among, fresh, seconds)

    def tell(self, alone, among, fresh, seconds):
        lines = [f"{self.size} connections that give nothing, {seconds:.1f} s, VRAMD_SEED={SEED}",
                 f"a healthy client waits, alone   p50 {percentile(alone, 0.5):.2f} ms, p99 {percentile(alone, 0.99):.2f} ms",
                 f"                       among    p50 {percentile(among, 0.5):.2f} ms, p99 {percentile(among, 0.99):.2f} ms, of {len(among)} requests",
                 f"                       of these the first {ROUNDS}, while the crowd's answers fill its sockets: p99 {percentile(among[:ROUNDS], 0.99):.2f} ms"
                 + (f"; afterwards {percentile(among[ROUNDS:], 0.99):.2f} ms" if len(among) > ROUNDS else ""),
                 f"a new one among them            p50 {percentile(fresh, 0.5):.2f} ms, most {max(fresh) * 1000:.2f} ms"]
        print("\n".join(lines))
        if "VRAMD_CROWD_RESULT" in os.environ:
            with open(os.environ["VRAMD_CROWD_RESULT"], "w", encoding="utf-8") as file:
                json.dump({"reached": self.size, "lines": lines}, file)


if __name__ == "__main__":
    unittest.main()
