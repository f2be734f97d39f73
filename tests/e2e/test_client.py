#!/usr/bin/env python3
"""libvramd as a stranger gets it: installed, found by pkg-config and by find_package, its header alone compiled as C++17; its example reads
models in place, says what is wrong, and other programs of it keep, share and give back memory, through the core's death."""
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest

from attach_client import Attach
from daemon import BIN, ROOT, Daemon
from test_cuda import surroundings

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
BUILD = os.path.dirname(os.path.abspath(BIN))
CMAKE = """cmake_minimum_required(VERSION 3.25)
project(stranger CXX)
find_package(vramd 0.1 REQUIRED)
add_executable(tensors tensors.cpp)
target_link_libraries(tensors vramd::vramd)
"""
KEEPER = """
#include <vramd.hpp>
#include <cstdio>
#include <cstring>
#include <iostream>
using namespace vramd::client;
// Lines of commands: what the test asks for, one at a time.
int main(int, char** arguments) {
    auto client = Client::connect(arguments[1]);
    if (!client) return 1;
    std::optional<Model> model, again;
    std::optional<Allocation> made;
    for (std::string word; std::cin >> word;) {
        std::string said = "ok";
        if (word == "load" || word == "again") {
            LoadOptions options;
            if (word == "again") options.mode = Mode::private_copy;
            std::string name;
            std::cin >> name;
            bool seen = false;
            options.progress = [&seen](const Progress&) { seen = true; };
            auto loaded = client->load(name, options);
            if (loaded) (word == "load" ? model : again) = *loaded; else said = loaded.error().code;
            if (loaded && word == "again") std::memset((*loaded).data(), 7, 16);
        } else if (word == "sum") {
            unsigned long long sum = 0;
            for (std::uint64_t i = 0; i < model->size_bytes(); ++i) sum = sum * 31 + static_cast<unsigned char>(model->data()[i]);
            said = std::to_string(sum);
        } else if (word == "drop") {
            model.reset();
        } else if (word == "dropagain") {
            again.reset();
        } else if (word == "allocate") {
            std::uint64_t bytes = 0;
            std::cin >> bytes;
            auto result = client->allocate(bytes, {"a", "client", false, true, 0});
            if (result) made = *result, std::memcpy(made->data(), "hello", 5), said = made->id(); else said = result.error().code + " " + std::to_string(result.error().suggestions.size());
        } else if (word == "free") {
            std::string id;
            std::cin >> id;
            const auto error = client->free(id);
            said = error ? error->code : "ok";
        } else if (word == "forget") {
            made.reset();
        }
        std::cout << said << std::endl;
    }
    return 0;
}
"""


def run(*words, **rest):
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, **rest)
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def fnv(data):
    total = 14695981039346656037
    for byte in data:
        total = ((total ^ byte) * 1099511628211) & (2**64 - 1)
    return f"{total:016x}"


class Client(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="vramd-client-")
        cls.folder, cls.prefix = cls.temporary.name, os.path.join(cls.temporary.name, "prefix")
        run("cmake", "--install", BUILD, "--component", "client", "--prefix", cls.prefix)
        with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as file:
            sanitize = next((line.split("=", 1)[1].strip() for line in file if line.startswith("VRAMD_SANITIZE:")), "")
        cls.flags = [f"-fsanitize={sanitize}"] if sanitize else []
        lib = next(where for where, _, names in os.walk(cls.prefix) if "vramd.pc" in names)
        cls.environment = {**os.environ, "PKG_CONFIG_PATH": lib, "LD_LIBRARY_PATH": os.path.dirname(lib)}
        cls.words = run("pkg-config", "--cflags", "--libs", "vramd", env=cls.environment).split()
        cls.tensors = cls.build(os.path.join(ROOT, "examples", "tensors.cpp"), "tensors")
        keeper = os.path.join(cls.folder, "keeper.cpp")
        with open(keeper, "w", encoding="utf-8") as file:
            file.write(KEEPER)
        cls.keeper = cls.build(keeper, "keeper")
        head = json.dumps({"w": {"dtype": "U8", "shape": [1 << 20], "data_offsets": [0, 1 << 20]}}).encode()
        with open(os.path.join(cls.folder, "big.safetensors"), "wb") as file:
            file.write(struct.pack("<Q", len(head)) + head + os.urandom(1 << 20))
        many = {f"t{i:05}": {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i in range(4000)}
        head = json.dumps(many).encode()
        with open(os.path.join(cls.folder, "many.safetensors"), "wb") as file:
            file.write(struct.pack("<Q", len(head)) + head + os.urandom(4000))

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @classmethod
    def build(cls, source, name):
        program = os.path.join(cls.folder, name)
        run("g++", "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *cls.flags, source, *cls.words, "-o", program, env=cls.environment)
        return program

    @staticmethod
    def soon(holds):
        deadline = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < deadline, "not within 30 s"

    def daemon(self):
        return Daemon(devices=["host:a=32MiB"], model_dirs=[self.folder, SAMPLES], door="unix")

    def test_the_example_reads_every_tensor_as_it_is_in_the_file(self):
        self.hold_the_example(self.daemon(), self.environment)

    def test_the_example_reads_a_model_that_lies_on_a_gpu(self):
        around = surroundings(self.folder)
        self.hold_the_example(Daemon(devices=["cuda:0=64MiB"], model_dirs=[self.folder, SAMPLES], door="unix", environment=around), {**self.environment, **around})

    def hold_the_example(self, served, environment):
        with served as daemon:
            for path in ("silero_vad.safetensors", "every-type.gguf", "many.safetensors"):
                lines = run(self.tensors, path, daemon.socket_path, env=environment).splitlines()
                told = daemon.get(f"/api/model/info?name={path}").ok()
                content = daemon.get(f"/api/memory/allocation/{told['places'][0]['allocationId']}/content").body
                tensors, cursor = [], ""
                while cursor is not None:
                    page = daemon.get(f"/api/model/{path}/tensors?limit=1000{cursor and '&cursor=' + cursor}").ok()
                    tensors += page["items"]
                    cursor = page["nextCursor"]
                self.assertEqual(lines[0], f"{path} {told['format']}, {len(content)} bytes")
                self.assertEqual(lines[1:], [f"{t['name']} {t['dtype']} {t['sizeBytes']} {fnv(content[t['offsetBytes']:t['offsetBytes'] + t['sizeBytes']])}" for t in tensors])
            done = subprocess.run([self.tensors, "absent.gguf", daemon.socket_path], capture_output=True, text=True, timeout=60, env=environment, check=False)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("There is no file absent.gguf beneath the model folders. (not-found)", done.stderr)
        done = subprocess.run([self.tensors, "m", "/nowhere/vramd.sock"], capture_output=True, text=True, timeout=60, env=environment, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Is vramd running", done.stderr)

    def test_a_cmake_project_finds_it(self):
        source, build = os.path.join(self.folder, "stranger"), os.path.join(self.folder, "stranger-build")
        os.mkdir(source)
        with open(os.path.join(source, "CMakeLists.txt"), "w", encoding="utf-8") as file:
            file.write(CMAKE)
        os.symlink(os.path.join(ROOT, "examples", "tensors.cpp"), os.path.join(source, "tensors.cpp"))
        run("cmake", "-G", "Ninja", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DCMAKE_CXX_FLAGS={' '.join(self.flags)}")
        run("cmake", "--build", build)
        with self.daemon() as daemon:
            self.assertIn("big.safetensors", run(os.path.join(build, "tensors"), "big.safetensors", daemon.socket_path))

    def test_only_its_own_names_leave_the_library(self):
        library = next(os.path.join(where, name) for where, _, names in os.walk(self.prefix) for name in names if name == "libvramd.so")
        names = [line.split()[-1] for line in run("nm", "-D", "--defined-only", "-C", library).splitlines() if " T " in line]
        self.assertTrue(names)
        odd = [name for name in names if "boost" in name]
        self.assertEqual(odd, [])

    def test_cores_that_die_while_they_greet_cost_a_client_nothing(self):
        door = os.path.join(self.folder, "door")
        with self.daemon() as daemon:
            os.symlink(daemon.socket_path, door)
            with subprocess.Popen([self.keeper, door], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment) as process:
                process.stdin.write("allocate 100000\n")
                process.stdin.flush()
                made = process.stdout.readline().strip()
                with Attach(daemon.socket_path) as other:  # Over when no grace is left.
                    lost = other.call("allocate", sizeBytes=4096)["allocation"]["id"]
                    core = daemon.stop_core()
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dying:
                    os.unlink(door)
                    dying.bind(door)
                    dying.listen(4)
                    dying.settimeout(20)
                    os.kill(core["corePid"], signal.SIGKILL)
                    for death in range(3):
                        taken, _ = dying.accept()
                        self.assertIn(b"resumeKey", taken.recv(65536))
                        if death == 2:
                            os.unlink(door)
                            os.symlink(daemon.socket_path, door)
                        taken.close()
                daemon.next_generation(core["generation"])
                self.soon(lambda: daemon.get(f"/api/memory/allocation/{lost}").status == 404)
                self.assertEqual(daemon.get(f"/api/memory/allocation/{made}").ok()["attachedClients"], 1)
                process.stdin.close()
        os.unlink(door)

    def test_memory_is_held_shared_and_given_back_through_the_cores_death(self):
        with self.daemon() as daemon:
            with subprocess.Popen([self.keeper, daemon.socket_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment) as process:
                def ask(*words):
                    process.stdin.write(" ".join(words) + "\n")
                    process.stdin.flush()
                    return process.stdout.readline().strip()

                clients = lambda: daemon.get("/api/model/info?name=big.safetensors").ok()["attachedClients"]
                self.assertEqual(ask("load", "big.safetensors"), "ok")
                total = ask("sum")
                self.assertEqual(ask("again", "big.safetensors"), "ok")  # Written to: a copy of its own.
                self.assertEqual((ask("sum"), clients()), (total, 1))
                self.assertEqual(ask("dropagain"), "ok")
                self.assertEqual(clients(), 1)
                daemon.delete("/api/model/unload?name=big.safetensors&keepCached=false").problem(409, "leased")
                made = ask("allocate", "100000")
                self.assertEqual(daemon.get(f"/api/memory/allocation/{made}/content", {"Range": "bytes=0-4"}).body, b"hello")
                self.assertEqual(ask("allocate", str(1 << 40)), "insufficient-memory 1")
                for _ in range(3):
                    daemon.kill_core()
                    self.assertEqual(ask("sum"), total)
                    while ask("load", "big.safetensors") != "ok":
                        pass
                    self.assertEqual(clients(), 1)
                for _ in range(3):  # It asks nothing, and keeps what is its own all the same.
                    daemon.kill_core()
                    self.soon(lambda: daemon.get(f"/api/memory/allocation/{made}").ok()["attachedClients"] == 1)
                with Attach(daemon.socket_path) as other:  # Over when no grace is left.
                    lost = other.call("allocate", sizeBytes=4096)["allocation"]["id"]
                    core = daemon.stop_core()
                os.kill(core["corePid"], signal.SIGKILL)
                daemon.next_generation(core["generation"])
                self.soon(lambda: daemon.get(f"/api/memory/allocation/{lost}").status == 404)
                self.assertEqual(clients(), 1)
                self.assertEqual(daemon.get(f"/api/memory/allocation/{made}/content", {"Range": "bytes=0-4"}).body, b"hello")
                self.assertEqual(ask("sum"), total)
                self.assertEqual(ask("free", "alc_none"), "not-found")
                self.assertEqual(ask("drop"), "ok")
                self.assertEqual(clients(), 0)
                daemon.delete("/api/model/unload?name=big.safetensors&keepCached=false").ok()
                self.assertEqual(ask("forget"), "ok")
                self.assertEqual(daemon.get(f"/api/memory/allocation/{made}").status, 404)
                process.stdin.close()
                self.assertEqual(process.wait(60), 0)
            self.assertTrue(daemon.get("/api/audit").ok()["ok"])


if __name__ == "__main__":
    unittest.main()
