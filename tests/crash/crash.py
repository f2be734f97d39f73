#!/usr/bin/env python3
"""SIGKILLs the core at random moments under mixed work, and checks that nothing acknowledged is lost and nothing is leaked.

Real processes, the real HTTP doors. Several clients allocate, write, copy, clear, read, free and load models at once; each keeps a model of
what was acknowledged to it. After each kill, when the keeper's next core answers:
  an acknowledged allocation is there, in its place, with its bytes equal by hash;
  one whose allocation was not acknowledged is absent, or whole (its size right, reading as zero);
  one whose free was not acknowledged is absent, or whole with its old bytes;
  bytes of a write, copy or clear that was not acknowledged are each the old or the new;
  an acknowledged model is resident with the bytes that it had; one that was not is absent or just as whole; a load fails for want of
  room and for nothing else;
  `GET /api/audit` finds nothing, the sums of status and usage equal those of the records to the byte, the keeper holds as many
  descriptors as the blocks say, and no loading process is left.
Everything random comes from --seed; the line that replays is printed. Threads interleave freely, so a replay repeats the work, not each moment.
"""
import argparse
import collections
import hashlib
import http.client
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from daemon import ROOT, Daemon  # noqa: E402
from verdict import verify, wait_until  # noqa: E402

CLIENTS = 4
HELD_MAX = 8
DEVICE_BYTES = 512 << 20
SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
LOST = (OSError, http.client.HTTPException)


def digest(data):
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class Held:
    """An allocation as its client knows it: `before` and `after` differ only while a write is not acknowledged."""

    def __init__(self, record):
        self.id, self.size, self.place = record["id"], record["sizeBytes"], (record["blockId"], record["offsetBytes"])
        self.content = bytes(self.size)
        self.writing = None  # (offset, bytes) that was sent and not acknowledged
        self.freeing = False

    def agrees(self, got):
        """Every byte is the old one, or, in the span of the open write, the new one."""
        if self.writing is None or len(got) != self.size:
            return got == self.content
        offset, data = self.writing
        end = offset + len(data)
        if got[:offset] != self.content[:offset] or got[end:] != self.content[end:]:
            return False
        old, now = self.content[offset:end], got[offset:end]
        return now in (old, data) or all(byte in pair for byte, *pair in zip(now, old, data))


class Worker:
    """One client: its connection, its random choices, its model of what it was promised."""

    def __init__(self, number, seed, daemon, models, shared):
        self.name = f"client{number}"
        self.random = random.Random(f"{seed}/{number}")
        self.client = daemon.client("unix" if number % 2 else "tcp")
        self.models, self.shared = models, shared
        self.held, self.tried, self.loaded = {}, {}, {}
        self.loading, self.tag, self.answered = None, 0, collections.Counter()

    def ask(self, kind, method, path, body=None, headers=None):
        answer = self.client.request(method, path, body, headers)
        self.answered[kind, "done" if answer.status < 300 else "refused"] += 1
        return answer

    def step(self):
        """One operation; LOST leaves it marked as not acknowledged."""
        choice = self.random.random()
        if choice < 0.30 and len(self.held) < HELD_MAX:
            self.allocate()
        elif choice < 0.48 and self.held:
            self.write(self.any_held())
        elif choice < 0.56 and self.held:
            self.copy(self.any_held(), self.any_held())
        elif choice < 0.64 and self.held:
            self.clear(self.any_held())
        elif choice < 0.80 and self.held:
            self.read(self.any_held())
        elif choice < 0.95 and self.held:
            self.free(self.any_held())
        elif choice >= 0.95 and self.models:
            self.load_or_unload()

    def any_held(self):
        return self.random.choice(list(self.held.values()))

    def allocate(self):
        size = self.random.choice([1, 255, 4096, self.random.randrange(1, 65536), self.random.randrange(1, 1 << 20), 9 << 20])
        self.tag += 1
        purpose = f"{self.name}/{self.tag}"
        self.tried[purpose] = size
        answer = self.ask("allocate", "POST", "/api/memory/allocations/allocate", {"sizeBytes": size, "purpose": purpose})
        if answer.status == 201:
            record = answer.json()
            self.held[record["id"]] = Held(record)
        elif answer.status not in (503, 507):
            raise AssertionError(f"allocate: {answer.status} {answer.body!r}")
        if answer.status != 503:
            del self.tried[purpose]

    def span(self, *sizes):
        """An offset into each size and a length that fits behind all of them."""
        offsets = [self.random.randrange(size) for size in sizes]
        room = min(size - offset for size, offset in zip(sizes, offsets))
        return *offsets, min(self.random.choice([1, 4096, max(sizes)]), room)

    def change(self, held, offset, data, *request):
        """A request by which `data` is to come to lie at `offset`."""
        held.writing = (offset, data)
        answer = self.ask(*request)
        if answer.status == 503:
            return
        assert answer.status == 200, f"{request[:3]}: {answer.status} {answer.body!r}"
        held.content = held.content[:offset] + data + held.content[offset + len(data):]
        held.writing = None

    def write(self, held):
        offset, size = self.span(held.size)
        data = self.random.randbytes(size)
        self.change(held, offset, data, "write", "PUT", f"/api/memory/allocation/{held.id}/content", data, {"Content-Range": f"bytes {offset}-{offset + size - 1}/*"})

    def copy(self, source, target):
        """Between two allocations, or within one, where both ends may overlap."""
        if source.writing is not None:
            return  # What it would copy is not known.
        source_offset, target_offset, size = self.span(source.size, target.size)
        body = {"sourceAllocationId": source.id, "targetAllocationId": target.id, "sourceOffsetBytes": source_offset, "targetOffsetBytes": target_offset,
                "sizeBytes": size}
        self.change(target, target_offset, source.content[source_offset:source_offset + size], "copy", "POST", "/api/memory/operations/copy", body)

    def clear(self, held):
        offset, size = self.span(held.size)
        value = self.random.choice([0, 1, 255])
        body = {"allocationId": held.id, "offsetBytes": offset, "sizeBytes": size, "fillValue": value}
        self.change(held, offset, bytes([value]) * size, "clear", "POST", "/api/memory/operations/clear", body)

    def read(self, held):
        answer = self.ask("read", "GET", f"/api/memory/allocation/{held.id}/content")
        if answer.status == 503:
            return
        assert answer.status == 200, f"read: {answer.status} {answer.body!r}"
        assert held.agrees(answer.body), f"{self.name}: {held.id} reads otherwise than it was written"

    def free(self, held):
        held.freeing = True
        answer = self.ask("free", "DELETE", f"/api/memory/allocations/{held.id}")
        if answer.status == 503:
            return
        assert answer.status == 200, f"free: {answer.status} {answer.body!r}"
        del self.held[held.id]

    def load_or_unload(self):
        if self.loaded:
            name = self.random.choice(sorted(self.loaded))
            self.loading = (name, self.loaded.pop(name))
            keep = self.random.choice(["", "&keepCached=false"])
            answer = self.ask("unload", "DELETE", f"/api/model/unload?name={name}{keep}")
        else:
            path = self.random.choice(self.models)
            self.tag += 1
            name = f"{self.name}-{self.tag}"
            self.loading = (name, path)
            answer = self.ask("load", "POST", "/api/model/load", {"name": name, "path": path, "type": "other"})
            if answer.status in (200, 201):
                self.loaded[name] = path
        if answer.status == 503:
            assert answer.json()["code"] == "busy", f"model: {answer.body!r}"
            return
        assert answer.status in (200, 201, 204) or answer.json()["code"] == "insufficient-memory", f"model: {answer.status} {answer.body!r}"
        self.loading = None

    def verify(self, records):
        """Holds what is there now against what was promised; settles what was open."""
        self.client.close()  # It may lead to the core that was killed.
        for held in list(self.held.values()):
            answer = self.client.request("GET", f"/api/memory/allocation/{held.id}/content")
            if answer.status == 404 and held.freeing:
                assert held.id not in records, f"{held.id} is listed and cannot be read"
                del self.held[held.id]
                continue
            assert answer.status == 200, f"{self.name}: {held.id}, acknowledged, answers {answer.status} {answer.body!r}"
            assert held.id in records, f"{held.id} ({held.__dict__ | {'content': ''}}) can be read and is not listed: {self.client.request('GET', '/api/memory/allocation/' + held.id).body!r}"
            record = records[held.id]
            assert (record["sizeBytes"], (record["blockId"], record["offsetBytes"])) == (held.size, held.place), f"{held.id} lies elsewhere: {record}"
            assert held.agrees(answer.body), f"{self.name}: {held.id} has other bytes than were acknowledged ({digest(answer.body)})"
            held.content, held.writing, held.freeing = answer.body, None, False
        for record in records.values():
            if record["purpose"] in self.tried and record["id"] not in self.held:
                held = Held(record)
                assert record["sizeBytes"] == self.tried[record["purpose"]], f"half an allocation: {record}"
                assert record["status"] == "live", f"an allocation that nobody makes ready: {record}"
                got = self.client.request("GET", f"/api/memory/allocation/{held.id}/content").body
                assert got == held.content, f"{held.id} was never written and does not read as zero"
                self.held[held.id] = held
        self.tried.clear()
        mine = {record["purpose"]: record["id"] for record in records.values() if record["purpose"].startswith(self.name + "/")}
        assert len(mine) == len(self.held), f"{self.name} has {len(self.held)} allocations, the daemon lists {mine}"

    def verify_models(self, resident):
        """`resident`: {name: record}."""
        if self.loading:
            name, path = self.loading
            if name in resident:
                self.loaded[name] = path
            self.loading = None
        for name, path in self.loaded.items():
            assert name in resident, f"the model {name}, acknowledged, is gone"
            record = resident[name]
            assert record["state"] == "resident", record
            data = self.client.request("GET", f"/api/memory/allocation/{record['places'][0]['allocationId']}/content").body
            known = self.shared.setdefault(path, digest(data))
            assert known == digest(data), f"the model {name} has other bytes than before"
        unknown = [name for name in resident if name.startswith(self.name + "-") and name not in self.loaded]
        assert not unknown, f"models that nobody asked for: {unknown}"


class Crew:
    """The workers' threads: running freely, or parked between two operations."""

    def __init__(self, workers):
        self.workers, self.failure = workers, None
        self.turn = threading.Condition()
        self.running, self.parked, self.over = False, 0, False
        self.threads = [threading.Thread(target=self.work, args=(worker,), daemon=True) for worker in workers]
        for thread in self.threads:
            thread.start()

    def work(self, worker):
        while True:
            with self.turn:
                self.parked += 1
                self.turn.notify_all()
                self.turn.wait_for(lambda: self.running or self.over)
                if self.over:
                    return
                self.parked -= 1
            try:
                while self.running:
                    worker.step()
            except LOST:
                worker.client.close()
                with self.turn:  # Its operation is open: it waits for the verdict.
                    self.turn.wait_for(lambda: not self.running)
            except Exception as failure:  # Any other end is the test's.
                self.failure = self.failure or failure
                with self.turn:
                    self.turn.wait_for(lambda: not self.running)

    def run(self):
        with self.turn:
            assert self.turn.wait_for(lambda: self.parked == len(self.workers), timeout=120), "a client hangs"
            self.running = True
            self.turn.notify_all()

    def park(self):
        with self.turn:
            self.running = False
            self.turn.notify_all()
            assert self.turn.wait_for(lambda: self.parked == len(self.workers), timeout=120), "a client hangs: a request was never answered"
        if self.failure:
            raise self.failure

    def end(self):
        with self.turn:
            self.running, self.over = False, True
            self.turn.notify_all()


def sample_models():
    small = ["ch_ppocr_mobile_v2.0_cls_infer.onnx", "ch_ppocr_mobile_v2.0_cls_infer.safetensors", "every-type.gguf", "silero_vad.gguf"]
    return [os.path.join(SAMPLES, name) for name in small if os.path.exists(os.path.join(SAMPLES, name))]


def run(kills, seed, minutes):
    """Kills and verifies; yields the number of each kill that was survived whole."""
    models = sample_models()
    moments = random.Random(f"{seed}/moments")
    over = time.monotonic() + 60 * minutes
    slowest = total = 0.0
    with Daemon(devices=[f"host:a={DEVICE_BYTES}"], model_dirs=[SAMPLES] if models else [], door="unix") as daemon:
        shared = {}
        workers = [Worker(number, seed, daemon, models, shared) for number in range(CLIENTS)]
        beside = verify(daemon, workers, None)
        crew = Crew(workers)
        never = threading.Event()
        try:
            for kill in range(1, kills + 1):
                before = daemon.system()
                crew.run()
                never.wait(moments.choice([0.0005, 0.002, 0.01, 0.05]) * moments.random() * 4)  # A random moment, not a wait for anything.
                begun = time.monotonic()
                os.kill(before["corePid"], signal.SIGKILL)
                daemon.next_generation(before["generation"])
                took = time.monotonic() - begun
                slowest, total = max(slowest, took), total + took
                crew.park()
                verify(daemon, workers, beside)
                yield kill
                kills = kill if time.monotonic() > over else kills
                if kill % 100 == 0 or kill == kills:
                    print(f"  {kill} kills, {sum(sum(worker.answered.values()) for worker in workers)} operations acknowledged or refused, "
                          f"down for {1000 * total / kill:.0f} ms on average, {1000 * slowest:.0f} ms at most", flush=True)
                if kill == kills:
                    break
        finally:
            crew.end()
        for worker in workers:
            for held in list(worker.held.values()):
                daemon.delete(f"/api/memory/allocations/{held.id}").ok()
            for name in list(worker.loaded):
                daemon.delete(f"/api/model/unload?name={name}").ok()
        daemon.delete("/api/model/cache").ok()
        tell_answered(sum((worker.answered for worker in workers), collections.Counter()), kills, models)
        wait_until(lambda: empty(daemon) or None, "a device without any used byte after everything was freed")


def tell_answered(answered, kills, models):
    """Each kind of work must have been done at times, else its losses were not looked for."""
    kinds = ["allocate", "write", "copy", "clear", "read", "free"] + (["load", "unload"] if models else [])
    print("  done: " + ", ".join(f"{answered[kind, 'done']} {kind}" for kind in kinds) + f"; {sum(n for (_, how), n in answered.items() if how == 'refused')} refused")
    missed = [kind for kind in kinds if answered[kind, "done"] == 0]
    assert not missed or kills < 100, f"never done in {kills} kills: {missed}"


def empty(daemon):
    device = daemon.get("/api/memory/status").ok()["devices"][0]
    return device["usedBytes"] == 0 and device["allocationCount"] == 0


def main(arguments):
    parser = argparse.ArgumentParser(description="Kills the core under load and checks every byte.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--minutes", type=float, default=1e6, help="begin no further kill after this time")
    options = parser.parse_args(arguments)
    print(f"crash: {options.kills} kills, seed {options.seed}; the same again: python3 tests/crash/crash.py --kills {options.kills} --seed {options.seed}",
          flush=True)
    passed = failed = 0
    try:
        for passed in run(options.kills, options.seed, options.minutes):
            pass
        print("crash: every acknowledged operation was there, every byte as written, nothing leaked")
    except (AssertionError, *LOST) as failure:
        failed = 1
        print(f"crash: FAILED: {failure}")
    print(f"{passed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
