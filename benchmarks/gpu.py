#!/usr/bin/env python3
"""What the daemon does with a GPU's memory, each figure beside what the same machine does without it, in the same run: copies to, from and
within the GPU, models brought there, clients that attach, and a core that is killed again and again under load. Ends within four minutes;
--quick takes less memory and fewer rounds. Without a GPU it says so and ends."""
import mmap
import os
import random
import shutil
import sys
import tempfile
import threading
import time

from gpu_bed import GIB, MIB, SIZE, Attach, Cuda, Daemon, best_rate, model_file, now, say, transfer
from gpu_deaths import deaths, disturbed
from gpu_life import churn, kills


def copies(daemon, limits):
    to, back, within, fill = limits
    print(f"copies of {SIZE // MIB} MiB through the daemon, request and answer included; the limit is this machine's own, by one process with pinned memory")
    here = daemon.allocate(SIZE, deviceId="a")["id"]
    there = daemon.allocate(SIZE, deviceId="cuda0")["id"]
    begun = now()
    transfer(daemon, here, there)
    say("RAM -> VRAM, the first", SIZE / (now() - begun) / 1e9, "GB/s", "its slots are made and pinned on the way")
    rate = best_rate(lambda: transfer(daemon, here, there), SIZE)
    say("RAM -> VRAM", rate, "GB/s", f"limit {to:.1f}: {rate / to * 100:.0f} %; goal 97 %, or 90 % of a ring's 39 from memory that is not pinned")
    rate = best_rate(lambda: transfer(daemon, here, there, verify=True), SIZE, 1)
    say("RAM -> VRAM, read back and compared", rate, "GB/s")
    rate = best_rate(lambda: transfer(daemon, there, here), SIZE)
    say("VRAM -> RAM", rate, "GB/s", f"limit {back:.1f}: {rate / back * 100:.0f} %")
    for allocation in (here, there):
        daemon.delete(f"/api/memory/allocations/{allocation}").ok()
    for size in (SIZE, 3 * SIZE):
        there, other = (daemon.allocate(size, deviceId="cuda0")["id"] for _ in range(2))
        rate = best_rate(lambda: daemon.post("/api/memory/operations/copy", {"sourceAllocationId": there, "targetAllocationId": other}).ok(), size, 5)
        say(f"VRAM -> VRAM, bytes copied, {size // MIB} MiB", rate, "GB/s", f"limit {within:.0f}: {rate / within * 100:.0f} %; goal 95 %")
        rate = best_rate(lambda: daemon.post("/api/memory/operations/clear", {"allocationId": other, "fillValue": 7}).ok(), size, 5)
        say(f"fill, {size // MIB} MiB", rate, "GB/s", f"limit {fill:.0f}: {rate / fill * 100:.0f} %")
        for allocation in (there, other):
            daemon.delete(f"/api/memory/allocations/{allocation}").ok()
    for one, other in (("a", "cuda0"), ("cuda0", "a")):
        links = {link["deviceId"]: link["bytesPerSecond"] for link in daemon.get(f"/api/devices/{one}").ok()["links"]}
        say(f"what the daemon has measured of the link {one} -> {other}", links.get(other, 0) / 1e9, "GB/s")
    times = []
    for _ in range(10):
        begun = now()
        made = daemon.allocate(GIB, deviceId="cuda0")["id"]
        times.append((now() - begun) * 1e3)
        daemon.delete(f"/api/memory/allocations/{made}").ok()
    say("allocate 1 GiB, zeroed and kept by the keeper", sorted(times)[5], "ms", f"worst {max(times):.2f}")


def drop_cache(path):
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def disk_rate(path):
    """GB/s of eight threads that read the file past the cache."""
    size = os.path.getsize(path) // (8 * MIB) * (8 * MIB)

    def read(number):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
        with mmap.mmap(-1, MIB) as buffer:
            for at in range(number * MIB, size, 8 * MIB):
                os.preadv(descriptor, [buffer], at)
        os.close(descriptor)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(8)]
    begun = now()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return size / (now() - begun) / 1e9


def await_pinned(daemon, size):
    """Until so much of system memory is pinned for the GPU, so that it reads it by itself."""
    begun = now()
    while daemon.get("/api/devices/cuda0").ok().get("pinnedBytes", 0) < size and now() - begun < 20:
        pass


def models(daemon, folder, limits):
    size = SIZE
    path = os.path.join(folder, "large.safetensors")
    model_file(folder, "large.safetensors", size)
    model_file(folder, "small.safetensors", 64 * 1000 * 1024, 64 * 1024)
    model_file(folder, "tiny.safetensors", 64 * MIB, 64 * MIB)
    print(f"models brought to the GPU; {size // MIB} MiB in tensors of 64 MiB")

    def load(name, before=lambda: None, rounds=3, keep="false", pause=0.0):
        best, told = 1e9, None
        for _ in range(rounds):
            before()
            time.sleep(pause)  # tidy: no event tells that the driver has scrubbed what was freed
            begun = now()
            told = daemon.post("/api/model/load/cuda0", {"name": name, "path": f"{name}.safetensors", "type": "other"}).ok()
            best = min(best, now() - begun)
            daemon.delete(f"/api/model/unload?name={name}&keepCached={keep}").ok()
        return best

    disk, cold = [], []
    for _ in range(4):  # In turns: this disk's rate is not the same for long.
        drop_cache(path)
        disk.append(disk_rate(path))
        cold.append(size / load("large", lambda: drop_cache(path), rounds=1) / 1e9)
    say("disk -> VRAM", max(cold), "GB/s", f"the disk past the cache, in turns: {max(disk):.2f}: {max(cold) / max(disk) * 100:.0f} %; goal 90 %; "
        f"{', '.join(f'{one:.2f} of {limit:.2f}' for one, limit in zip(cold, disk))}")
    with open(path, "rb") as file:
        while file.read(64 * MIB):
            pass
    warm = size / load("large") / 1e9
    say("page cache -> VRAM, by way of new memory of the RAM cache", warm, "GB/s", f"pinned link {limits[0]:.1f}; safetensors' load_file was measured at 5.3 to 6.3")

    def cached():
        daemon.post("/api/model/cache", {"name": "large", "path": "large.safetensors", "type": "other"}).ok()

    ram = size / load("large", cached) / 1e9
    say("RAM cache -> VRAM, right after it was cached", ram, "GB/s", f"pinned link {limits[0]:.1f}: {ram / limits[0] * 100:.0f} %; it is being pinned then")
    cached()
    await_pinned(daemon, size)
    ram = size / load("large", keep="true") / 1e9
    say("RAM cache -> VRAM, right after as much was freed there", ram, "GB/s", f"pinned link {limits[0]:.1f}: {ram / limits[0] * 100:.0f} %; the driver scrubs that meanwhile")
    ram = size / load("large", keep="true", pause=1) / 1e9
    say("RAM cache -> VRAM", ram, "GB/s", f"pinned link {limits[0]:.1f}: {ram / limits[0] * 100:.0f} %; goal 97 %")
    daemon.delete("/api/model/cache/large").ok()
    small = 64 * 1000 * 1024 / load("small", rounds=5) / 1e9
    say("1,000 tensors of 64 KiB, likewise", small, "GB/s", "goal 30; one by one 16")
    say("a load of 64 MiB, likewise, from call to answer", load("tiny", rounds=8) * 1e3, "ms", "of which set-up shall be at most 20")


def straight(folder, limits):
    """Loads of a daemon without a RAM cache: from the page cache to the GPU with no memory made in between."""
    print("models brought straight to the GPU (--ram-cache 0), from the page cache")
    with Daemon(devices=["host:a=64MiB", f"cuda:0={2 * SIZE}"], model_dirs=[folder], arguments=["--watermarks", "100,100", "--ram-cache", "0"], door="unix") as daemon:
        for name, rounds in (("large", 3), ("small", 5), ("tiny", 5)):
            path = os.path.join(folder, f"{name}.safetensors")
            with open(path, "rb") as file:
                while file.read(64 * MIB):
                    pass
            best = 1e9
            for _ in range(rounds):
                begun = now()
                daemon.post("/api/model/load/cuda0", {"name": name, "path": f"{name}.safetensors", "type": "other"}).ok()
                best = min(best, now() - begun)
                daemon.delete(f"/api/model/unload?name={name}").ok()
            size = os.path.getsize(path)
            say(f"{name}, {size // MIB} MiB", size / best / 1e9, "GB/s", f"{best * 1e3:.1f} ms; pinned link {limits[0]:.1f}")
    return True


def both_ways(daemon, cuda):
    """One transfer there and one back at once, beside two streams of this process."""
    here, back = (daemon.allocate(SIZE, deviceId="a")["id"] for _ in range(2))
    there, other = (daemon.allocate(SIZE, deviceId="cuda0")["id"] for _ in range(2))
    transfer(daemon, here, there)
    transfer(daemon, other, back)

    class Lane:
        """A connection of one's own."""

        def __init__(self):
            self.client = daemon.client("unix")

        def post(self, path, body):
            return self.client.request("POST", path, body)

    lanes = [Lane(), Lane()]

    def once():
        threads = [threading.Thread(target=transfer, args=(lane, *pair)) for lane, pair in zip(lanes, ((here, there), (other, back)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    once()
    rate, limit = best_rate(once, 2 * SIZE), cuda.both_ways()
    say("both ways at once, summed", rate, "GB/s", f"limit {limit:.1f}: {rate / limit * 100:.0f} %; goal 95 %")
    for allocation in (here, there, back, other):
        daemon.delete(f"/api/memory/allocations/{allocation}").ok()


def swaps(daemon, folder, limits):
    """Two models in the RAM cache, of which the GPU may hold one."""
    size = SIZE
    model_file(folder, "other.safetensors", size)
    for name in ("large", "other"):
        daemon.post("/api/model/cache", {"name": name, "path": f"{name}.safetensors", "type": "other"}).ok()
    await_pinned(daemon, 2 * size)
    before = daemon.get("/api/memory/limits/cuda0").ok().get("maxBytes")
    daemon.put("/api/memory/limits/cuda0", {"maxBytes": size + size // 2}).ok()
    times = []
    for i in range(8):
        name = ("large", "other")[i % 2]
        begun = now()
        daemon.post("/api/model/load/cuda0", {"name": name, "path": f"{name}.safetensors", "type": "other"}).ok()
        times.append((now() - begun) * 1e3)
    best = min(times[2:])
    link = size / limits[0] / 1e6
    say(f"swap of two models of {size // MIB} MiB, of which one fits", best, "ms", f"bytes / link {link:.1f} ms: {best / link:.2f} x; goal 1.1; median {sorted(times[2:])[3]:.1f}")
    daemon.put("/api/memory/limits/cuda0", {"maxBytes": before} if before else {"maxPercentage": 100}).ok()
    for name in ("large", "other"):
        daemon.delete(f"/api/model/unload?name={name}&keepCached=false")


def attaching(daemon, cuda, folder):
    size = SIZE
    daemon.post("/api/model/load/cuda0", {"name": "large", "path": "large.safetensors", "type": "other"}).ok()
    times, imports = [], []
    content = None
    for _ in range(10):
        client = Attach(daemon.socket_path)
        begun = now()
        result, descriptors = client.answer(client.send("attach", model="large", mode="read"))
        middle = now()
        whole = -(-result["memory"]["sizeBytes"] // (2 * MIB)) * 2 * MIB
        address, handle = cuda.attach(descriptors[result["memory"]["descriptor"]], whole)
        times.append((now() - begun) * 1e3)
        imports.append((now() - middle) * 1e3)
        for descriptor in descriptors:
            os.close(descriptor)
        content = cuda.read(address, 64 * MIB) if content is None else content
        cuda.detach(address, handle, whole)
        client.close()
    want = random.Random("large.safetensors").randbytes(64 * MIB)
    say(f"another process attaches {size // MIB} MiB in VRAM, from call to mapped", sorted(times)[5], "ms", f"goal 10; of it in the driver {sorted(imports)[5]:.2f}; worst {max(times):.2f}")
    print(f"  what it reads there {'is what the file says' if content == want else 'IS NOT WHAT THE FILE SAYS'}", flush=True)
    daemon.delete("/api/model/unload?name=large&keepCached=false").ok()
    return content == want


def pair(cuda):
    """Two GPUs: what lies on one comes to the other."""
    limit = cuda.between()
    print(f"two GPUs: {'they do not reach each other' if limit is None else f'from one to the other {limit:.1f} GB/s by one process'}", flush=True)
    with Daemon(devices=[f"cuda:0={SIZE + GIB}", f"cuda:1={SIZE + GIB}"], arguments=["--watermarks", "100,100"], door="unix") as daemon:
        here, there = (daemon.allocate(SIZE, deviceId=device)["id"] for device in ("cuda0", "cuda1"))
        data = random.Random(5).randbytes(64 * MIB)
        daemon.put(f"/api/memory/allocation/{here}/content", data).ok()
        for source, target in ((here, there), (there, here)):
            rate = best_rate(lambda: transfer(daemon, source, target), SIZE, 5)
            say("one GPU -> the other", rate, "GB/s", "through system memory" if limit is None else f"limit {limit:.1f}: {rate / limit * 100:.0f} %; goal 95 %")
        same = daemon.get(f"/api/memory/allocation/{there}/content", headers={"Range": f"bytes=0-{64 * MIB - 1}"}).body == data
        print(f"  what came is {'what went' if same else 'NOT WHAT WENT'}", flush=True)
    return same


def main():
    try:
        cuda = Cuda()
    except (OSError, RuntimeError) as failed:
        print(f"no GPU can be used here ({failed}): nothing is measured")
        return 0
    folder = tempfile.mkdtemp(prefix="vramd-bench-", dir="/var/tmp")
    good = True
    try:
        limits = cuda.limits()
        print(f"the machine itself: pinned RAM -> VRAM {limits[0]:.1f}, VRAM -> RAM {limits[1]:.1f}, VRAM -> VRAM {limits[2]:.0f}, fill {limits[3]:.0f} GB/s; "
              f"driver and context begin in {cuda.start_ms:.0f} ms")
        if cuda.count() > 1:
            good = pair(cuda)
        begun = now()
        with Daemon(devices=[f"host:a={3 * SIZE}", f"cuda:0={4 * SIZE + 12 * GIB}"], model_dirs=[folder], arguments=["--watermarks", "100,100"], door="unix") as daemon:
            say("the daemon's start, with the GPU", (now() - begun) * 1e3, "ms")
            told = daemon.get("/api/devices/cuda0").ok()
            print(f"  {told['name']}, {told['driver']}, health {told['health']} {told['healthReasons']}")
            for part in (lambda: copies(daemon, limits), lambda: both_ways(daemon, cuda), lambda: models(daemon, folder, limits), lambda: swaps(daemon, folder, limits), lambda: attaching(daemon, cuda, folder), lambda: deaths(daemon, cuda), lambda: disturbed(daemon, cuda), lambda: kills(daemon), lambda: churn(daemon)):
                good = part() is not False and good
        straight(folder, limits)
    finally:
        shutil.rmtree(folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
