"""Who may die while a model lies in VRAM and somebody reads it there: loading processes, clients, and all but the keeper. And what a client that works on the
GPU notices of a defragmentation beside it."""
import ctypes
import os
import random
import signal
import subprocess
import sys
import threading

from gpu_bed import GIB, KILLS, MIB, QUICK, SIZE, Attach, now, say

PART = 64 * MIB
TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "e2e")
#: A client that has a model and a GiB of its own mapped, both in VRAM.
CLIENT = """
import sys
sys.path.insert(0, sys.argv[2])
from attach_client import Attach
from cuda_client import Cuda
cuda, client = Cuda(), Attach(sys.argv[1], "victim")
own, first = client.answer(client.send("allocate", sizeBytes=1 << 30, deviceId="cuda0", allocationType="mapped"))
cuda.attach(first[own["memory"]["descriptor"]], 1 << 30)
model, second = client.answer(client.send("attach", model="large", mode="read"))
address, _ = cuda.attach(second[model["memory"]["descriptor"]], -(-model["memory"]["sizeBytes"] // (2 << 20)) * (2 << 20))
print(cuda.read(address, 64)[0], flush=True)
sys.stdin.read()
"""


class Reader:
    """Somebody who attached the model once, and reads it in place from then on, wherever."""

    def __init__(self, daemon, cuda):
        self.cuda, self.wrong, self.parts, self.stop = cuda, 0, 0, threading.Event()
        self.want = random.Random("large.safetensors").randbytes(PART)
        self.client = Attach(daemon.socket_path, "reader")
        told, descriptors = self.client.answer(self.client.send("attach", model="large", mode="read"))
        self.size = told["memory"]["sizeBytes"]
        self.address, _ = cuda.attach(descriptors[told["memory"]["descriptor"]], -(-self.size // (2 * MIB)) * 2 * MIB)
        self.context = ctypes.c_void_p()
        cuda.call("cuCtxGetCurrent", ctypes.byref(self.context))
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def part(self, number):
        self.wrong += self.cuda.read(ctypes.c_uint64(self.address.value + number * PART), PART) != self.want
        self.parts += 1

    def run(self):
        self.cuda.call("cuCtxSetCurrent", self.context)
        while not self.stop.is_set():
            self.part(random.randrange(SIZE // PART))

    def end(self):
        """All of it once more. How many parts were wrong."""
        self.stop.set()
        self.thread.join()
        for number in range(SIZE // PART):
            self.part(number)
        self.client.close()
        return self.wrong


def victim(daemon):
    process = subprocess.Popen([sys.executable, "-c", CLIENT, daemon.socket_path, TESTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if not process.stdout.readline():
        raise RuntimeError("the client has not begun")
    return process


def free_bytes(cuda):
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    cuda.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    return free.value


def kill(process):
    process.kill()
    process.wait()
    return now()


def loading(core):
    """The processes that read models' heads for that core."""
    found = []
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or int(pid) <= core:
            continue  # Begun before it: looking at every process takes longer than those live.
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                if file.read().rpartition(")")[2].split()[1] == str(core):
                    found.append(int(pid))
        except (OSError, IndexError):
            pass  # No process, or one that has ended.
    return found


def load_other(daemon):
    """A connection of its own: its answer may be the death of who loads."""
    client = daemon.client("unix")
    try:
        return client.request("POST", "/api/model/load/cuda0", {"name": "other", "path": "other.safetensors", "type": "other"}).status
    except OSError:
        return 0
    finally:
        client.close()


def kill_loaders(daemon):
    """Loads whose processes are killed as they begin: how many were hit, and the answers."""
    hit, answers, core = 0, {}, daemon.core_pid()
    daemon.delete("/api/model/cache/other")  # From there it would come without them.
    for _ in range(KILLS):
        answer = []
        thread = threading.Thread(target=lambda: answer.append(load_other(daemon)))  # pylint: disable=cell-var-from-loop
        thread.start()
        struck = False
        while thread.is_alive() and not struck:
            for pid in loading(core):
                try:
                    os.kill(pid, signal.SIGKILL)
                    struck = True
                except ProcessLookupError:
                    pass
        thread.join()
        hit += struck
        answers[answer[0]] = answers.get(answer[0], 0) + 1
        if answer[0] == 200:
            daemon.delete("/api/model/unload?name=other&keepCached=false").ok()
    print(f"  {hit} loading processes of {KILLS} loads killed (SIGKILL); the loads' answers, and how often: {answers}", flush=True)


def kill_clients(daemon, cuda):
    books, room = [], []
    for _ in range(KILLS):
        before = daemon.get("/api/memory/status/cuda0").ok()["usedBytes"], free_bytes(cuda)
        process = victim(daemon)
        died = kill(process)
        while daemon.get("/api/memory/status/cuda0").ok()["usedBytes"] > before[0] and now() - died < 30:
            pass
        books.append((now() - died) * 1e3)
        while free_bytes(cuda) < before[1] - 64 * MIB and now() - died < 30:
            pass
        room.append((now() - died) * 1e3)
    say("a client killed: until its GiB is out of the books", sorted(books)[KILLS // 2], "ms", f"goal 10; worst {max(books):.1f}")
    say("a client killed: until the driver has it free, its context too", sorted(room)[KILLS // 2], "ms", f"worst {max(room):.1f}")


def kill_all_but_the_keeper(daemon):
    """The core, loading processes at work and a client at once."""
    answers, lost = [], 0
    for _ in range(KILLS):
        process = victim(daemon)
        before = daemon.system()
        thread = threading.Thread(target=load_other, args=(daemon,))
        thread.start()
        begun = now()
        for pid in [before["corePid"], *loading(before["corePid"])]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.kill()
        daemon.next_generation(before["generation"])
        answers.append((now() - begun) * 1e3)
        process.wait()
        thread.join()
        names = {model["name"] for model in daemon.get("/api/model/status").ok()["loadedModels"]}
        lost += "large" not in names
        daemon.delete("/api/model/unload?name=other&keepCached=false")
    begun = now()
    while any(item["owner"] != "vramd" for item in daemon.get("/api/memory/allocations").ok()["items"]) and now() - begun < 30:
        pass  # The dead clients' sessions may be gone on with for some seconds.
    say("the last dead client's memory: until it is out of the books", (now() - begun) * 1e3, "ms", "a next core waits 10 s for its session to be gone on with")
    say("all but the keeper killed: until HTTP answers", sorted(answers)[KILLS // 2], "ms", f"goal 50; worst {max(answers):.1f}; the model was there {KILLS - lost} times of {KILLS}")
    return lost == 0


def deaths(daemon, cuda):
    print(f"{KILLS} deaths of each kind, while a client that attached a model of {SIZE // MIB} MiB in VRAM before reads it there and compares")
    daemon.post("/api/model/load/cuda0", {"name": "large", "path": "large.safetensors", "type": "other"}).ok()
    reader = Reader(daemon, cuda)
    try:
        kill_loaders(daemon)
        kill_clients(daemon, cuda)
        good = kill_all_but_the_keeper(daemon)
    finally:
        wrong = reader.end()
    say("parts of 64 MiB that were not what the file says", wrong, "", f"of {reader.parts} read in place, all of the model's at the end")
    audit = daemon.get("/api/audit").ok()
    print(f"  the audit finds {'nothing' if audit['ok'] else audit}", flush=True)
    daemon.delete("/api/model/unload?name=large&keepCached=false")
    return good and wrong == 0 and audit["ok"]


def disturbed(daemon, cuda):
    """A client fills 256 MiB of its own again and again, and waits for each: alone, and while the daemon defragments beside it."""
    address, size = ctypes.c_uint64(), 256 * MIB
    cuda.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))

    def fills(until):
        took = []
        while not until():
            begun = now()
            cuda.call("cuMemsetD8Async", address, ctypes.c_ubyte(1), ctypes.c_size_t(size), cuda.stream)
            cuda.call("cuStreamSynchronize", cuda.stream)
            took.append((now() - begun) * 1e3)
        return sorted(took)

    def told(name, took, beside=""):
        say(name, took[len(took) // 2], "ms", f"p99 {took[len(took) * 99 // 100]:.2f}, worst {took[-1]:.2f}, of {len(took)}{beside}")

    end = now() + 1
    told("a client's fill of 256 MiB, alone", fills(lambda: now() > end))
    count = 100 if QUICK else 600
    made = [daemon.allocate(6 * MIB, deviceId="cuda0")["id"] for _ in range(count)]
    for allocation in made[::2]:
        daemon.delete(f"/api/memory/allocations/{allocation}").ok()
    answer = []
    begun = now()
    thread = threading.Thread(target=lambda: answer.append(daemon.client("unix").request("POST", "/api/memory/operations/defragment/cuda0", {"strategy": "thorough", "waitForCompletion": True})))
    thread.start()
    took = fills(lambda: not thread.is_alive())
    thread.join()
    done = answer[0].json()
    told("the same while the daemon defragments that GPU", took or [0.0], f"; {done.get('movedBytes', 0) // MIB} MiB moved in {(now() - begun) * 1e3:.0f} ms ({answer[0].status})")
    for allocation in made[1::2]:
        daemon.delete(f"/api/memory/allocations/{allocation}").ok()
    cuda.call("cuMemFree_v2", address)
    return True
