#!/usr/bin/env python3
"""What a client waits for, and what it costs the machine: attaching, sharing, swapping, giving way, coming back after a death. Each figure
stands beside what the same machine does without the daemon, in the same run. --quick takes smaller models and fewer rounds."""
import json
import mmap
import os
import random
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path[:0] = [os.path.join(ROOT, "python"), os.path.join(ROOT, "tests", "e2e")]
import vramd  # noqa: E402
from daemon import Daemon  # noqa: E402
from events import Stream  # noqa: E402
from test_pressure import Group, Hog  # noqa: E402

os.environ["VRAMD_HOLD"] = "0"  # Answers are measured here, not held against the document.
MIB = 1 << 20
QUICK = "--quick" in sys.argv
SIZES = (2, 64, 256) if QUICK else (2, 64, 2048)
ROUNDS = 5 if QUICK else 15


def now():
    return time.perf_counter() * 1e3


def say(what, value, unit, beside=""):
    print(f"  {what:58} {value:10.3f} {unit:4} {beside}", flush=True)


def model_file(folder, name, mib):
    """A safetensors file with 64 tensors; its bytes are in the page cache."""
    part = mib * MIB // 64
    head = json.dumps({f"layer.{i}": {"dtype": "U8", "shape": [part], "data_offsets": [i * part, (i + 1) * part]} for i in range(64)}).encode()
    head += b" " * (-len(head) % 8)
    path = os.path.join(folder, f"{name}.safetensors")
    piece = random.Random(name).randbytes(part)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for _ in range(64):
            file.write(piece)
    return path


def median(times):
    return statistics.median(times)


def attach_to_first_byte(memory, folder):
    print(f"a model in memory, from the call to the first byte of a tensor: medians of {ROUNDS}")
    for mib in SIZES:
        path = model_file(folder, f"attach-{mib}", mib)
        name = f"attach-{mib}.safetensors"
        memory.load(name).close()
        times, plain = [], []
        for _ in range(ROUNDS):
            begun = now()
            model = memory.load(name)
            _ = model["layer.63"].memory[0]
            times.append(now() - begun)
            del model
        for _ in range(3):
            begun = now()
            with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE | mmap.MAP_POPULATE) as copy:
                _ = copy[len(copy) - 1]
            plain.append(now() - begun)
        say(f"attach, {mib} MiB", median(times), "ms", f"goal 1 ms; to map and touch the file takes {median(plain):.3f} ms; worst {max(times):.3f}")


def attaches_a_second(memory):
    count = 500 if QUICK else 5000
    name = f"attach-{SIZES[0]}.safetensors"
    begun = now()
    for _ in range(count):
        memory.load(name, tensors=["layer.0"]).close()
    say("attach and detach, one Python client", count / (now() - begun) * 1e3, "/s", "goal 10,000 from several clients")


def loads_that_hit(daemon):
    name = f"attach-{SIZES[-1]}.safetensors"
    times = []
    for _ in range(ROUNDS * 4):
        begun = now()
        daemon.post("/api/model/load/a", {"name": name, "path": name, "type": "other"}).ok()
        times.append(now() - begun)
    say(f"POST load of a model that is there, {SIZES[-1]} MiB", median(times), "ms", f"goal 1 ms; worst {max(times):.3f}")


CHILD = """
import sys, hashlib
sys.path.insert(0, sys.argv[1])
import vramd
model = vramd.connect(sys.argv[2]).load(sys.argv[3])
hashlib.blake2b(model.memory).digest()
print("read", flush=True)
sys.stdin.read()
"""


def pss_of(pid):
    """KiB of the sealed memory that the process has mapped, shared pages by their share."""
    total, ours = 0, False
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as file:
        for line in file:
            if "-" in line.split(" ", 1)[0]:
                ours = "memfd:" in line
            elif ours and line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def eight_processes(daemon, keeper_pids):
    mib = SIZES[1]
    name = f"attach-{mib}.safetensors"
    children = [subprocess.Popen([sys.executable, "-c", CHILD, os.path.join(ROOT, "python"), daemon.socket_path, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                for _ in range(8)]
    for child in children:
        child.stdout.readline()
    total = sum(pss_of(child.pid) for child in children)
    for child in children:
        child.stdin.close()
        child.wait()
    say(f"8 processes read one model of {mib} MiB: sum of PSS / size", total / 1024 / mib, "x", "goal 1.02; loaders that copy: 8")


def swap(daemon, folder):
    mib = 64 if QUICK else 512
    for name in ("swap-a", "swap-b"):
        model_file(folder, name, mib)
    print(f"two models of {mib} MiB that fill their device in turns, from the page cache: medians")
    load = lambda name: daemon.post("/api/model/load/b", {"name": name, "path": f"{name}.safetensors", "type": "other"}).ok()
    alone, swapped = [], []
    for i in range(3 if QUICK else 9):
        begun = now()
        load("swap-a")
        alone.append(now() - begun)
        begun = now()
        load("swap-b")
        swapped.append(now() - begun)
        daemon.delete("/api/model/unload?name=swap-b&keepCached=false").ok()
    say("load into an empty device", median(alone[1:]), "ms")
    say("load that takes the other's place", median(swapped[1:]), "ms", f"{median(swapped[1:]) / median(alone[1:]):.2f} x; goal 1.1")


def death_of_a_client(daemon):
    mib = 256
    code = "import sys; sys.path.insert(0, sys.argv[1]); import vramd\nm = vramd.connect(sys.argv[2]); a = m.allocate(sys.argv[3]); print(a.id, flush=True); sys.stdin.read()"
    times = []
    for _ in range(ROUNDS):
        stream = Stream(daemon.unix(), "/api/events")
        child = subprocess.Popen([sys.executable, "-c", code, os.path.join(ROOT, "python"), daemon.socket_path, f"{mib}MiB"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        allocation = child.stdout.readline().strip()
        begun = now()
        child.send_signal(signal.SIGKILL)
        for _, kind, data in stream:
            if kind == "allocationFreed" and data.get("allocationId") == allocation:
                break
        times.append(now() - begun)
        child.wait()
        stream.close()
    say(f"kill -9 of a client with {mib} MiB: memory back, heard as an event", median(times), "ms", f"goal 10 ms; worst {max(times):.3f}")


def giving_way(folder):
    group = Group.make(1024 * MIB)
    if group is None:
        print("  no control group can be made here: giving way is not measured")
        return
    times = []
    try:
        for i in range(3 if QUICK else 9):
            model_file(folder, f"kept-{i}", 64)
            daemon = Daemon(devices=["host:a=512MiB"], model_dirs=[folder], arguments=["--relief", "75,90,95"], door="unix")
            daemon.command = group.within(daemon.command)
            with daemon:
                for n in range(3):
                    daemon.post("/api/model/cache", {"name": f"m{n}", "path": f"kept-{i}.safetensors" if n == 0 else f"attach-{SIZES[1]}.safetensors", "type": "other"}).ok()
                gone = []
                stream = Stream(daemon.unix(), "/api/events")

                def listen():
                    for _, kind, _ in stream:
                        if kind == "modelGone":
                            gone.append(now())
                            return

                ear = threading.Thread(target=listen)
                ear.start()
                hog = Hog(group.within)
                begun = None
                while not gone:
                    before = now()
                    hog.take(4)
                    begun = (before, now()) if not gone else begun
                ear.join()
                times.append(gone[0] - begun[0] if begun else 0)
                hog.end()
                stream.close()
    finally:
        group.remove()
    say("first unload after the hog's last step of 4 MiB had begun", median(times), "ms", f"goal 50 ms after the crossing; worst {max(times):.3f}")


def main():
    folder = tempfile.mkdtemp(prefix="vramd-bench-", dir="/var/tmp")
    try:
        place = (SIZES[-1] + SIZES[1] + SIZES[0] + 320) * MIB
        fill = (64 if QUICK else 512) * MIB * 3 // 2
        with Daemon(devices=[f"host:a={place}", f"host:b={fill}"], model_dirs=[folder], arguments=["--watermarks", "100,100", "--ram-cache", "0"], door="unix") as daemon:
            with vramd.connect(daemon.socket_path) as memory:
                attach_to_first_byte(memory, folder)
                attaches_a_second(memory)
            loads_that_hit(daemon)
            eight_processes(daemon, daemon.family())
            death_of_a_client(daemon)
            swap(daemon, folder)
        giving_way(folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
