#!/usr/bin/env python3
"""The programs carry what the compiler and the linker have against exploits: position-independent, full RELRO, bound at once, no memory that is both
written and run, stack protector; released ones also fortified calls, CET's landing pads and probes for large stack frames.

Debian 12's C library is built without CET, so the linker cannot mark a program for it and the kernel does not enforce it: what is looked for are the
landing pads, which a system that does enforce it needs. The flags of each translation unit are read from its debug information.
"""
import os
import re
import struct
import subprocess
import unittest

BIN = os.environ.get("VRAMD_BIN", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "bin"))
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PROGRAMS = ("vramd", "vramd-core", "vramd-worker", "vramctl")
LANDING_PAD = b"\xf3\x0f\x1e\xfa"  # endbr64


def readelf(path, *flags):
    return subprocess.run(["readelf", "-W", *flags, path], capture_output=True, text=True, check=True).stdout


class Program:
    """What an ELF file says of itself."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = file.read()
        self.path = path
        self.kind = struct.unpack_from("<H", self.bytes, 16)[0]
        self.segments = re.findall(r"^\s+([A-Z_]+)\s+0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x\w+ ([RWE ]{3})", readelf(path, "-l"), re.M)
        self.dynamic = readelf(path, "-d")
        self.imports = set(re.findall(r" UND (\w+)", readelf(path, "--dyn-syms")))
        # Of the programs' own code; what is linked in from Debian's archives has no debug information.
        self.producers = set(re.findall(rb"GNU C\+\+23 \d[^\0]*", self.bytes))

    def sanitized(self):
        return any("asan" in name or "tsan" in name for name in self.imports) or b"libasan.so" in self.bytes or b"libtsan.so" in self.bytes

    def code_at(self, name, size):
        """The first bytes of a function."""
        address = None
        for line in readelf(self.path, "-s").splitlines():
            words = line.split()
            if words[-1:] == [name] and "FUNC" in words:
                address = int(words[1], 16)
        for kind, offset, start, length, _ in self.segments:
            if kind == "LOAD" and address is not None and int(start, 16) <= address < int(start, 16) + int(length, 16):
                at = int(offset, 16) + address - int(start, 16)
                return self.bytes[at:at + size]
        return b""


class Hardening(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folders = {os.path.realpath(folder) for folder in (BIN, os.path.join(ROOT, "build", "bin"))}
        for name in PROGRAMS:
            assert os.path.exists(os.path.join(BIN, name)), f"{name} is not in {BIN}"
        # Those under test, and the released ones where they are built.
        found = [os.path.join(folder, name) for folder in sorted(folders) for name in PROGRAMS]
        cls.programs = [Program(path) for path in found if os.path.exists(path)]

    def test_no_place_of_a_program_is_known_beforehand(self):
        for program in self.programs:
            with self.subTest(program.path):
                self.assertEqual(program.kind, 3, "not a position-independent file")
                self.assertRegex(program.dynamic, r"FLAGS_1\).*\bPIE\b")
                self.assertNotIn("TEXTREL", program.dynamic)

    def test_what_is_linked_cannot_be_written_afterwards(self):
        for program in self.programs:
            with self.subTest(program.path):
                self.assertIn("GNU_RELRO", [segment[0] for segment in program.segments])
                self.assertRegex(program.dynamic, r"BIND_NOW|FLAGS_1\).*\bNOW\b")

    def test_no_memory_is_both_written_and_run(self):
        for program in self.programs:
            with self.subTest(program.path):
                stack = [segment for segment in program.segments if segment[0] == "GNU_STACK"]
                self.assertEqual(len(stack), 1)
                for kind, _, _, _, rights in program.segments:
                    self.assertFalse("W" in rights and "E" in rights, f"{kind} {rights}")

    def test_no_library_is_looked_for_in_a_folder_of_the_build(self):
        for program in self.programs:
            with self.subTest(program.path):
                self.assertNotRegex(program.dynamic, r"\((RPATH|RUNPATH)\)")

    def test_a_smashed_stack_is_noticed(self):
        for program in self.programs:
            with self.subTest(program.path):
                self.assertIn("__stack_chk_fail", program.imports)
                self.assertTrue(program.producers, "it has no debug information to read the flags from")
                for producer in program.producers:
                    self.assertIn(b"-fstack-protector-strong", producer)

    def test_released_programs_have_fortified_calls_landing_pads_and_probed_stacks(self):
        looked_at = 0
        for program in self.programs:
            with self.subTest(program.path):
                if program.sanitized():
                    continue
                looked_at += 1
                fortified = {name for name in program.imports if name.endswith("_chk")}
                self.assertTrue(fortified, "no call is fortified")
                for producer in program.producers:
                    self.assertIn(b"-fstack-clash-protection", producer)
                    if os.uname().machine == "x86_64":
                        self.assertIn(b"-fcf-protection=full", producer)
                if os.uname().machine == "x86_64":
                    self.assertEqual(program.code_at("main", 4), LANDING_PAD, "main begins without a landing pad")
        if looked_at == 0:
            self.skipTest("no released program is built")


if __name__ == "__main__":
    unittest.main()
