#!/usr/bin/env python3
"""Each hostile request of http_vectors.toml, sent to a real daemon over TCP and the Unix socket.

What must come back stands in the table. Behind each the same connection brings another request: it is answered where the first was a whole
one, and else never read, so that nobody hides a request in another. Meanwhile other clients are served, and at the end nothing has come of it
all: the books are as before and agree, no descriptor, thread or connection is left, the memory that the core has for itself has not grown.
"""
import gzip
import json
import os
import re
import socket
import tempfile
import time
import tomllib
import unittest

from daemon import Daemon

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "http_vectors.toml")
ALLOCATE = "/api/memory/allocations/allocate"
ADMIN, USER = "of-the-admin", "of-the-user"
CANARY = b"GET /canary HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n"
PATIENCE_SECONDS = 120
GROWN_BYTES_MAX = 48 << 20  # Of the core's own memory: a bomb of the table has 256 MiB.
FIELDS = {"name", "ask", "http", "host", "head", "body", "json", "chunks", "raw", "door", "back", "on", "code", "cut", "many"}
BOMB = gzip.compress(gzip.compress(bytes(256 << 20), 1), 9).decode("latin-1")


def repeated(text):
    """The text with each {{part*N}} written out."""
    return re.sub(r"\{\{(.+?)\*(\d+)\}\}", lambda found: "".join(found[1].replace("#", str(number)) for number in range(int(found[2]))), text, flags=re.S)


def bytes_of(vector):
    """What is sent, but for PORT and KEPT."""
    if "raw" in vector:
        return repeated(vector["raw"]).encode("latin-1")
    head, body = list(vector.get("head", [])), repeated(vector.get("body", "")).encode("latin-1")
    if "json" in vector:
        body = (BOMB if vector["json"] == "GZIP-BOMB" else repeated(vector["json"])).encode("latin-1")
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    if "chunks" in vector:
        body = repeated(vector["chunks"]).encode("latin-1")
        head += ["Content-Type: application/json", "Transfer-Encoding: chunked"]
    host = vector.get("host", "localhost:PORT")
    lines = [f"{vector.get('ask', 'GET /api/system')} {vector.get('http', 'HTTP/1.1')}"] + ([f"Host: {host.strip()}"] if host else []) + head
    return repeated("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def answers_in(got):
    """[(status, head, body)] of all that came back, which must be whole answers and nothing else."""
    answers = []
    while got:
        head, parted, rest = got.partition(b"\r\n\r\n")
        line = re.match(rb"HTTP/1\.1 (\d{3}) [A-Za-z ]+\r\n", head + b"\r\n")
        assert parted and line, f"no answer: {got[:200]!r}"
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        size = int(length[1]) if length else 0
        assert len(rest) >= size, f"an answer of {size} bytes broke off after {len(rest)}: {head!r}"
        answers.append((int(line[1]), head.decode("latin-1"), rest[:size]))
        got = rest[size:]
    return answers


class Vectors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open(TABLE, "rb") as file:
            cls.table = tomllib.load(file)
        descriptor, cls.tokens = tempfile.mkstemp(prefix="vramd-tokens-")
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(f"# secret owner role\n{ADMIN} vectors-admin admin\n{USER} vectors-user user\n")
        cls.daemon = Daemon(devices=["host:a=16MiB"], arguments=["--token-file", cls.tokens]).__enter__()
        cls.kept = cls.daemon.allocate(4096)["id"]
        cls.daemon.put(f"/api/memory/allocation/{cls.kept}/content", b"k" * 4096).ok()
        cls.slowest_seconds = 0

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)
        os.unlink(cls.tokens)

    def connection(self, door):
        if door == "tcp":
            return socket.create_connection(("127.0.0.1", self.daemon.port), PATIENCE_SECONDS)
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(PATIENCE_SECONDS)
        made.connect(self.daemon.http_socket)
        return made

    def ask(self, door, vector):
        """The answers to the vector, and to the canary behind it."""
        sent = bytes_of(vector) + (b"" if vector.get("cut") else CANARY)
        for word, meant in ((b"PORT", str(self.daemon.port)), (b"KEPT", self.kept), (b"ALLOCATE", ALLOCATE), (b"ADMIN", ADMIN), (b"USER", USER)):
            sent = sent.replace(word, meant.encode())
        with self.connection(door) as client:
            try:
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # It has heard enough: what it said is read below.
            got = b""
            while piece := client.recv(1 << 16):
                got += piece
        return answers_in(got)

    def hold(self, door, vector):
        """Fails unless what comes back is what the table says."""
        answers = self.ask(door, vector)
        wanted = vector["back"] * vector.get("many", 1)
        if vector.get("on"):
            self.assertEqual([answer[0] for answer in answers[len(wanted):]], [404], f"the canary's answer, after {answers[:2]}")
            self.assertIn(b'"/canary"', answers.pop()[2])
        self.assertEqual([answer[0] for answer in answers], wanted, answers[:3])
        for status, head, body in answers:
            self.assertIn("X-Content-Type-Options: nosniff", head)
            self.assertNotIn("Access-Control-Allow", head)
            if status >= 400:
                told = json.loads(body)
                self.assertIn("Content-Type: application/problem+json", head)
                self.assertEqual((told["status"], bool(told["detail"])), (status, True))
                self.assertEqual(told["code"], vector.get("code", told["code"]))
                self.assertFalse(re.search(r"/tmp/|0x[0-9a-f]{9}|/src/", told["detail"]), told)

    def healthy(self):
        """A client that does no harm is served, by a connection that it has had all the while and by a new one."""
        began = time.monotonic()
        self.daemon.get("/healthz").ok()
        self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
        fresh = self.daemon.client("unix")
        fresh.request("GET", "/readyz").ok()
        fresh.close()

    def remains(self):
        """What must be the same before and after."""
        pid = self.daemon.core_pid()
        status = self.daemon.get("/api/memory/status").ok()["devices"][0]
        told = {key: status[key] for key in ("liveBytes", "reservedBytes", "zombieBytes", "allocationCount")}
        content = self.daemon.get(f"/api/memory/allocation/{self.kept}/content").body
        return {**told, "core": pid, "keeper's": self.daemon.keeper_descriptors(), "threads": len(os.listdir(f"/proc/{pid}/task")), "content": content}

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.daemon.core_pid()}/fd"))

    def own_bytes(self):
        with open(f"/proc/{self.daemon.core_pid()}/status", encoding="ascii") as file:
            return int(re.search(r"RssAnon:\s+(\d+)", file.read())[1]) << 10

    def test_every_hostile_request_gets_what_the_table_says_and_leaves_nothing(self):
        self.healthy()
        before, descriptors, own = self.remains(), self.descriptors(), self.own_bytes()
        sent = 0
        for group, vectors in self.table.items():
            for vector in vectors:
                for door in [vector["door"]] if "door" in vector else ["tcp", "unix"]:
                    with self.subTest(group=group, name=vector["name"], door=door):
                        self.hold(door, vector)
                        sent += 1
                self.healthy()
        self.assertEqual(self.remains() | {"content": b""}, before | {"content": b""})
        self.assertTrue(self.daemon.get("/api/audit").ok()["ok"])
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.descriptors() > descriptors:
            self.assertLess(time.monotonic(), deadline, f"{self.descriptors()} descriptors, {descriptors} before")
        if "asan" not in self.daemon.command[0]:  # AddressSanitizer keeps what was freed for a while.
            self.assertLess(self.own_bytes() - own, GROWN_BYTES_MAX)
        line = f"{sent} requests; the slowest answer to a healthy client between them took {self.slowest_seconds * 1000:.1f} ms"
        print(line)
        if "VRAMD_VECTORS_RESULT" in os.environ:
            rows = [f"{group}: {len(vectors)}" for group, vectors in self.table.items()]
            with open(os.environ["VRAMD_VECTORS_RESULT"], "w", encoding="utf-8") as file:
                json.dump({"reached": sum(map(len, self.table.values())), "lines": [", ".join(rows), line]}, file)

    def test_the_table_says_each_thing_once_and_enough_of_them(self):
        vectors = [(group, vector) for group, rows in self.table.items() for vector in rows]
        self.assertGreaterEqual(len(vectors), 200)
        names = [(group, vector["name"]) for group, vector in vectors]
        self.assertEqual(len(names), len(set(names)), sorted(name for name in names if names.count(name) > 1))
        for group, vector in vectors:
            self.assertLessEqual(set(vector), FIELDS, f"{group}: {vector['name']}")
        sent = [(bytes_of(vector), vector.get("door")) for _, vector in vectors]
        twice = [name for name, one in zip(names, sent) if sent.count(one) > 1]
        self.assertEqual(twice, [])


if __name__ == "__main__":
    unittest.main()
