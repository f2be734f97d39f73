#!/usr/bin/env python3
"""docs/attach-protocol.md: every transcript is replayed against a daemon, byte for byte, and every table names what there is."""
import os
import re
import socket
import tempfile
import unittest

from attach_files import write_safetensors
from daemon import ROOT, Daemon

KINDS = {"TIME": r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "MS": r"\d+\.\d{3}", "RATE": r"\d+", "BLOCK": r"blk_\d+", "USED": r"\d+", "FREE": r"\d+", "SHARE": r"\d+\.\d\d", "FROM": r"\d+",
         "session": r"ses_[0-9a-z]+", "key": r"[0-9a-f]{32}", "lasting": r"ses_[0-9a-z]+", "again": r"[0-9a-f]{32}", "kept": r"alc_[0-9a-z]+", "version": r"\d+\.\d+\.\d+", "owner": r"uid:\d+", "first": r"alc_[0-9a-z]+", "shared": r"alc_[0-9a-z]+",
         "small": r"alc_[0-9a-z]+", "place": r"alc_[0-9a-z]+", "model": r"mdl_[0-9a-z]+", "load": r"op_[0-9a-z]+"}
HELLO = b'{"jsonrpc":"2.0","id":1,"method":"hello","params":{"version":1,"client":"example"}}'


def page():
    with open(os.path.join(ROOT, "docs", "attach-protocol.md"), encoding="utf-8") as file:
        return file.read()


def transcripts(text):
    """[(sign, packet), …] of each block."""
    for block in re.findall(r"^```attach\n(.*?)^```", text, re.M | re.S):
        steps = []
        for line in block.splitlines():
            if line.startswith("  "):
                steps[-1][1] += line[2:]
            else:
                sign, _, packet = line.partition(" ")
                steps.append([sign, packet])
        yield steps


class AttachDocs(unittest.TestCase):
    @staticmethod
    def connect(path):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(60)
        connection.connect(path)
        return connection

    def replay(self, steps, daemon, bound):
        connection = self.connect(daemon.socket_path)
        try:
            if '"hello"' not in steps[0][1]:
                connection.send(HELLO)
                self.assertIn(b'"result"', connection.recv(65536))
            progress = False
            for sign, packet in steps:
                if sign == ">":
                    connection.send(re.sub(r"\$([a-z]+)", lambda match: bound[match.group(1)], packet).encode())
                elif sign == "…":
                    progress = True
                elif sign == "!":
                    daemon.kill_core()
                    self.assertEqual(connection.recv(65536), b"")
                    connection.close()
                    connection = self.connect(daemon.socket_path)
                else:
                    self.expect(connection, int(sign[1:] or "0"), packet, progress, bound)
                    progress = False
        finally:
            connection.close()

    def expect(self, connection, descriptors, packet, progress, bound):
        while True:
            said, beside, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(8 * 4))
            count = sum(len(content) // 4 for _, _, content in beside)
            for _, _, content in beside:
                for at in range(0, len(content) // 4 * 4, 4):
                    os.close(int.from_bytes(content[at:at + 4], "little"))
            if progress and b'"method":"progress"' in said:
                continue
            break
        self.assertEqual(count, descriptors, said)
        pattern = ""
        for part in re.split(r"(\$[A-Za-z]+)", packet):
            name = part[1:]
            if not part.startswith("$"):
                pattern += re.escape(part)
            elif name in bound:
                pattern += re.escape(bound[name])
            elif name.islower() and f"(?P<{name}>" not in pattern:
                pattern += f"(?P<{name}>{KINDS[name]})"
            else:
                pattern += f"(?P={name})" if name.islower() else KINDS[name]
        match = re.fullmatch(pattern, said.decode())
        self.assertIsNotNone(match, f"\nshown: {packet}\nsaid:  {said.decode()}")
        bound.update(match.groupdict())

    def test_every_transcript_of_the_page_is_what_the_daemon_says(self):
        blocks = list(transcripts(page()))
        self.assertGreater(len(blocks), 7)
        with tempfile.TemporaryDirectory(prefix="vramd-models-") as folder:
            write_safetensors(os.path.join(folder, "tiny.safetensors"), [("weight", [2, 2], [1, 2, 3, 4]), ("bias", [2], [5, 6])])
            with Daemon(devices=["host:a=64MiB"], model_dirs=[folder]) as daemon:
                bound = {}
                for steps in blocks:
                    self.replay(steps, daemon, bound)
                self.assertEqual(set(bound), {name for name in KINDS if name.islower()})

    def test_every_method_that_there_is_has_its_section_and_no_other(self):
        with Daemon(devices=["host:a=64MiB"]) as daemon, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(daemon.socket_path)
            connection.send(b'{"jsonrpc":"2.0","id":1,"method":"?"}')
            there = re.search(rb"there are: ([a-z, ._]+)\.\"", connection.recv(65536)).group(1).decode().split(", ")
        sections = [name for name in there if "." not in name]
        self.assertEqual(sorted(sections), sorted(re.findall(r"^## ([a-z]+)$", page(), re.M)))
        self.assertEqual(sorted(set(there) - set(sections)), sorted(set(re.findall(r"`(worker\.[a-z_]+)`", page()))))

    def test_the_page_names_the_quotas_that_hold(self):
        with open(os.path.join(ROOT, "src", "attach", "quotas.hpp"), encoding="utf-8") as file:
            quotas = {name: value for name, value in re.findall(r"u64 (\w+) = ([\d']+);", file.read())}
        table = page().split("## How it ends", 1)[1]
        for name in ("connections_max", "connections_per_uid_max", "held_max", "in_flight_max", "untaken_descriptors_max", "untaken_descriptors_per_uid_max", "faults_max", "lease_seconds"):
            self.assertRegex(table, rf"\b{int(quotas[name].replace(chr(39), '')):,}\b", name)


if __name__ == "__main__":
    unittest.main()
