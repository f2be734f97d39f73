#!/usr/bin/env python3
"""The Python package and libvramd, asked to let go of models that others wait for: what they let go of is given back, what they keep is kept."""
import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import unittest

from attach_bed import MIB, soon
from attach_files import write_bytes_model
from daemon import BIN, ROOT, Daemon

sys.path.insert(0, os.path.join(ROOT, "python"))
import vramd  # noqa: E402

BUILD = os.path.dirname(os.path.abspath(BIN))
HOLDER = """
#include <vramd.hpp>
#include <iostream>
#include <mutex>
using namespace vramd::client;
// Holds a model until it is asked for it; keeps it if told so.
int main(int, char** arguments) {
    std::mutex lock;
    std::optional<Model> model;
    const bool gives = std::string(arguments[3]) == "gives";
    auto client = Client::connect(arguments[1], "holder", [&](const ReclaimRequest& asked) {
        const std::lock_guard held(lock);
        const bool right = model && asked.allocation_id == model->allocation_id();
        if (gives) model.reset();
        std::cout << "asked " << asked.model << ' ' << asked.bytes << ' ' << right << std::endl;
    });
    if (!client) return 1;
    {
        const std::lock_guard held(lock);
        auto loaded = client->load(arguments[2]);
        if (!loaded) return 2;
        model = *loaded;
    }
    std::cout << "held" << std::endl;
    std::string line;
    while (std::getline(std::cin, line)) std::cout << client->devices().size() << ' ' << static_cast<bool>(client->allocate(4096)) << std::endl;
    return 0;
}
"""


class ReclaimClients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="vramd-models-")
        cls.folder = cls.temporary.name
        for seed, name in enumerate(("one", "other"), 1):
            write_bytes_model(os.path.join(cls.folder, name + ".safetensors"), 20 * MIB, seed)
        cls.daemon = Daemon(devices=["host:a=32MiB"], model_dirs=[cls.folder], arguments=["--ram-cache", "0"], door="unix").__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)
        cls.temporary.cleanup()

    def setUp(self):
        self.asked = []

    def tearDown(self):
        soon(lambda: self.daemon.get("/api/model/status").ok()["loadedModels"] == [] or self.unload(), "left")
        self.assertTrue(self.daemon.get("/api/audit").ok()["ok"])

    def unload(self):
        return [self.daemon.delete(f"/api/model/unload?name={name}.safetensors").status for name in ("one", "other")]

    def check_asked(self, size):
        self.assertEqual([(request.model, request.bytes >= size) for request in self.asked], [("one.safetensors", True)])
        self.assertTrue(0 < self.asked[0].within_seconds <= 10)

    def test_what_is_closed_when_asked_lets_the_other_through(self):
        def give(request):
            self.assertEqual(request.allocation_id, held[0].allocation_id)
            self.asked.append(request)
            held.pop().close()

        with vramd.connect(self.daemon.socket_path, on_reclaim=give) as client, vramd.connect(self.daemon.socket_path) as other:
            held = [client.load("one.safetensors")]
            with other.load("other.safetensors") as model:
                self.assertEqual(model.name, "other.safetensors")
            self.check_asked(20 * MIB)

    def test_what_is_kept_is_said_to_be_and_an_error_of_the_program_s_own_keeps_nobody_waiting(self):
        def fail(request):
            self.asked.append(request)
            raise RuntimeError("by intent")

        for on_reclaim in (self.asked.append, fail):
            self.asked.clear()
            hook, threading.excepthook = threading.excepthook, lambda _: None
            try:
                with vramd.connect(self.daemon.socket_path, on_reclaim=on_reclaim) as client, vramd.connect(self.daemon.socket_path) as other:
                    with client.load("one.safetensors"):
                        with self.assertRaises(vramd.InsufficientMemory) as refused:
                            other.load("other.safetensors")
                    self.assertIn("Clients that were asked to let go hold", str(refused.exception))
            finally:
                threading.excepthook = hook
            self.check_asked(20 * MIB)
            # Until it is gone it holds the model, and is not asked again so soon.
            soon(lambda: self.daemon.get("/api/model/info?name=one.safetensors").ok()["attachedClients"] == 0, "it does not end")

    def test_it_is_asked_in_the_event_loop_and_may_await(self):
        async def main():
            loop = asyncio.get_running_loop()

            async def give(request):
                self.assertIs(asyncio.get_running_loop(), loop)
                await asyncio.sleep(0)
                self.asked.append(request)
                held.pop().close()

            async with await vramd.aconnect(self.daemon.socket_path, on_reclaim=give) as client, await vramd.aconnect(self.daemon.socket_path) as other:
                held = [await client.load("one.safetensors")]
                with await other.load("other.safetensors") as model:
                    self.assertEqual(model.name, "other.safetensors")

        asyncio.run(main())
        self.check_asked(20 * MIB)

    def test_libvramd_gives_or_keeps(self):
        source, program = os.path.join(self.folder, "holder.cpp"), os.path.join(self.folder, "holder")
        with open(source, "w", encoding="utf-8") as file:
            file.write(HOLDER)
        with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as file:
            sanitize = next((line.split("=", 1)[1].strip() for line in file if line.startswith("VRAMD_SANITIZE:")), "")
        library = next(where for where, _, names in os.walk(BUILD) if "libvramd.so" in names)
        flags = [f"-fsanitize={sanitize}"] if sanitize else []
        done = subprocess.run(["g++", "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *flags, source, "-I", os.path.join(ROOT, "src", "client"), "-L", library,
                               "-lvramd", "-o", program], capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        for manner in ("gives", "keeps"):
            with subprocess.Popen([program, self.daemon.socket_path, "one.safetensors", manner], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  env={**os.environ, "LD_LIBRARY_PATH": library}) as holder, vramd.connect(self.daemon.socket_path) as other:
                self.assertEqual(holder.stdout.readline(), "held\n")
                if manner == "gives":
                    other.load("other.safetensors").close()
                else:
                    with self.assertRaises(vramd.InsufficientMemory):
                        other.load("other.safetensors")
                self.assertRegex(holder.stdout.readline(), r"^asked one\.safetensors 2\d+ 1\n$")
                holder.stdin.write("still there?\n")  # The connection's own thread has taken no answer of a call.
                holder.stdin.flush()
                self.assertEqual(holder.stdout.readline(), "1 1\n")
                holder.stdin.close()
                self.assertEqual(holder.wait(60), 0)


if __name__ == "__main__":
    unittest.main()
