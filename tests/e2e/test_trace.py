#!/usr/bin/env python3
"""A thousand requests over thirty models that take four times the device, under each policy, while cores and loading processes are killed.

An oracle folds /api/events: at no event is more held than the limit; whenever models go, they are exactly those whose turn it was, and none
needlessly. What the requests found is told beside `vramctl simulate` on the same requests and what hindsight would do.
`test_trace.py --print [REQUESTS]` prints that as a table."""
import csv
import hashlib
import http.client
import io
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from fractions import Fraction

from daemon import BIN, Daemon
from events import recorded

MODELS, REQUESTS, DEVICE, PAGE = 30, 1000, "a", 4096
POLICIES = ("fifo", "lru", "smart")
HIGH, LOW = Fraction(80, 100), Fraction(70, 100)


def pages(size):
    return -(-size // PAGE) * PAGE


def make_model(path, dice, size):
    """A safetensors file of a few tensors at odd sizes, `size` bytes in all; returns what its memory must hold."""
    head, at = {}, 0
    while at < size:
        step = min(size - at, dice.choice((3, 257, 4096, size // 3 + 1, size // 2 + 1)))
        head[f"layer.{len(head)}"] = {"dtype": "U8", "shape": [step], "data_offsets": [at, at + step]}
        at += step
    words = json.dumps(head).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(words)) + words + dice.randbytes(size))


class Oracle:
    """The device as the events tell it, and what must go whenever something goes."""

    def __init__(self, policy, capacity):
        self.policy, self.capacity = policy, capacity
        self.blocks, self.releasing, self.granted, self.models = {}, set(), {}, {}
        self.going, self.begun = [], None
        self.peak = self.evictions = self.loads = self.near_ties = 0

    def held(self):
        return sum(self.blocks.values())

    def staying(self):
        return sum(size for block, size in self.blocks.items() if block not in self.releasing)

    def take(self, number, kind, data):
        step = getattr(self, kind, None)
        if step is not None:
            step(number, data)
        self.peak = max(self.peak, self.held())
        assert self.held() <= self.capacity, f"{self.held()} of {self.capacity} bytes are held at event {number}"

    def blockReserved(self, _, data):
        self.blocks[data["blockId"]] = data["sizeBytes"]

    def blockReleasing(self, _, data):
        self.releasing.add(data["blockId"])

    def blockGone(self, _, data):
        self.blocks.pop(data["blockId"])
        self.releasing.discard(data["blockId"])

    def allocationReserved(self, _, data):
        self.granted[data["allocationId"]] = data["grantedBytes"]

    def modelLoading(self, number, data):
        if self.going:
            self.judge(number, pages(data["sizeBytes"]))

    def modelResident(self, number, data):
        self.loads += 1
        self.models[data["allocationId"]] = {"loaded": number, "touched": number, "touchedAt": seconds(data["at"]), "loadMs": data["durationMs"]}

    def allocationAccessed(self, number, data):
        if data["allocationId"] in self.models:
            self.models[data["allocationId"]].update(touched=number, touchedAt=seconds(data["at"]))

    def modelGone(self, _, data):
        if data["allocationId"] not in self.models:
            return  # A load that failed.
        if not self.going:
            self.begun = (self.staying(), dict(self.models))
        self.going.append(data["allocationId"])
        del self.models[data["allocationId"]]
        self.evictions += 1
        self.last_at = seconds(data["at"])

    def weight(self, model, allocation, now):
        if self.policy == "fifo":
            return model["loaded"]
        if self.policy == "lru":
            return model["touched"]
        return model["loadMs"] / ((now - model["touchedAt"] + 1) * self.granted[allocation])

    def judge(self, number, coming):
        used, models = self.begun
        used += coming
        aim = int(LOW * self.capacity) if used > HIGH * self.capacity else self.capacity
        now = self.last_at
        ranks = {name: self.weight(model, name, now) for name, model in models.items()}
        turns, gone, left = sorted(models, key=ranks.get), [], used
        for name in turns:
            if left > aim:
                gone.append(name)
                left -= self.granted[name]
        for name in reversed(list(gone)):
            if left + self.granted[name] <= aim:
                gone.remove(name)
                left += self.granted[name]
        went, self.going = set(self.going), []
        freed = sum(self.granted[name] for name in went)
        for name in went:
            assert used - freed + self.granted[name] > aim, f"event {number}: {name} went needlessly"
        if went == set(gone):
            return
        # Times are told rounded: of two whose turns lie within a hundredth of each other either may be first.
        odd = [ranks[name] for name in went ^ set(gone)]
        assert self.policy == "smart" and max(odd) < min(odd) * 1.05, f"event {number}: {sorted(went)} went, not {sorted(gone)}: {ranks}"
        self.near_ties += 1


def seconds(text):
    stamp, fraction = text.rstrip("Z").split(".") if "." in text else (text.rstrip("Z"), "0")
    return time.mktime(time.strptime(stamp, "%Y-%m-%dT%H:%M:%S")) + float("0." + fraction)


class Killer:
    """Kills the core or a loading process within one of `every` requests, at a moment of its own: the core that is killed has answered."""

    def __init__(self, daemon, seed, every):
        self.daemon, self.dice, self.every = daemon, random.Random(seed), every
        self.cores = self.workers = 0

    def within_next(self):
        if self.dice.randrange(self.every) == 0:
            threading.Timer(self.dice.choice((0, self.dice.uniform(0, 0.002), self.dice.uniform(0, 0.03))), self.kill).start()

    def kill(self):
        family = sorted(self.daemon.family())
        if not family:
            return
        workers = family[1:]
        kill_worker = workers and self.dice.random() < 0.5
        try:
            os.kill(self.dice.choice(workers) if kill_worker else family[0], signal.SIGKILL)
        except ProcessLookupError:
            return
        self.workers += 1 if kill_worker else 0
        self.cores += 0 if kill_worker else 1


def simulate(replay):
    """What `vramctl simulate` says of the requests, by policy; loads take a millisecond each."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(["timeMs", "model", "bytes", "loadMs"])
    for i, name in enumerate(replay.requests):
        rows.writerow([i * 1000, name, replay.taken[name], 1])
    done = subprocess.run([os.path.join(BIN, "vramctl"), "simulate", "-", "--capacity", str(replay.capacity), "-o", "json"], input=out.getvalue().encode(),
                          capture_output=True, timeout=60, check=True)
    told = json.loads(done.stdout)
    return {**{item["policy"]: item for item in told["items"]}, "hindsight": told.get("hindsight")}


class Replay:
    """The requests made of a real daemon, one after the other."""

    def __init__(self, folder, policy, count=REQUESTS, seed=1, every=0):
        dice = random.Random(seed)
        self.folder, self.policy = folder, policy
        self.sizes = {f"model-{i:02}": dice.choice((64 << 10, 300_001, 1 << 20, 2_500_000, 5 << 20)) + dice.randint(0, 5) * PAGE for i in range(MODELS)}
        self.capacity = pages(sum(pages(size) for size in self.sizes.values()) // 4)
        for name, size in self.sizes.items():
            path = os.path.join(folder, f"{name}.safetensors")
            if not os.path.exists(path):
                make_model(path, random.Random(name), size)
        names = list(self.sizes)
        dice.shuffle(names)
        weights = [1 / (1 + i) for i in range(MODELS)]
        self.requests = dice.choices(names, weights, k=count)
        self.every, self.sums, self.taken, self.failed, self.killer, self.seed = every, {}, {}, 0, None, seed

    def run(self):
        with Daemon(devices=[f"host:{DEVICE}={self.capacity}"], model_dirs=[self.folder],
                    arguments=["--ram-cache", "0", "--eviction", self.policy]) as daemon:
            self.killer = Killer(daemon, self.seed, self.every) if self.every else None
            for name in self.requests:
                if self.killer:
                    self.killer.within_next()
                self.serve(daemon, name)
            while threading.active_count() > 1:  # A kill may still be due.
                pass
            daemon.next_generation(0)
            oracle = Oracle(self.policy, self.capacity)
            for number, kind, data in recorded(daemon.tcp()):
                oracle.take(number, kind, data)
            assert daemon.get("/api/memory/models").ok()["agrees"]
            audit = daemon.get("/api/audit").ok()
            assert audit["ok"], audit
            used = daemon.get(f"/api/memory/status/{DEVICE}").ok()["usedBytes"]
            assert used == oracle.staying(), (used, oracle.staying())
            self.load_ms = {}
            for _, kind, data in recorded(daemon.tcp(), type="modelResident"):
                if kind == "modelResident":
                    self.load_ms.setdefault(data["modelId"], data["durationMs"])
            return oracle

    def serve(self, daemon, name):
        """Asks until it is answered: a load that a kill ended is asked for again, by the same key."""
        key = f"{name}-{random.random()}"
        while True:
            try:
                loaded = daemon.post(f"/api/model/load/{DEVICE}", {"name": name, "path": f"{name}.safetensors", "type": "other"}, {"Idempotency-Key": key})
                if loaded.status == 202:  # It goes on under the next core.
                    operation = loaded.json()["id"]
                    while daemon.get(f"/api/operations/{operation}").ok()["state"] == "running":
                        pass
                    key = f"{name}-{random.random()}"  # That one has its answer.
                    continue
                if loaded.status != 200:
                    told = loaded.json()
                    assert told["code"] in ("device-lost", "busy", "read-only", "cancelled", "system-failed", "invalid-model", "conflict"), told
                    self.failed += 1
                    key = f"{name}-{random.random()}"
                    continue
                allocation = loaded.json()["places"][0]["allocationId"]
                self.taken[name] = loaded.json()["sizeBytes"]
                content = daemon.get(f"/api/memory/allocation/{allocation}/content")
                if content.status != 200:
                    continue  # The core ended in between.
                total = hashlib.sha256(content.body).hexdigest()
                assert self.sums.setdefault(name, total) == total, f"{name} has other bytes than before"
                return
            except (OSError, http.client.HTTPException):
                daemon.default.close()


class Trace(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vramd-trace-")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def check(self, policy):
        seed = int(os.environ.get("VRAMD_SEED", "1")) & 0xFFFF
        replay = Replay(self.folder, policy, seed=seed, every=25)
        try:
            oracle = replay.run()
        except BaseException:
            print(f"the same again: VRAMD_SEED={seed} {sys.argv[0]} Trace.test_{policy}")
            raise
        self.assertGreater(oracle.evictions, 20)
        self.assertGreater(replay.killer.cores + replay.killer.workers, 3)
        # Kills make some loads come twice; without them the simulation says exactly what happens.
        told = simulate(replay)
        if policy != "smart":
            self.assertLessEqual(abs(oracle.loads - told[policy]["loads"]), 2 * (replay.killer.cores + replay.killer.workers) + replay.failed)

    def test_fifo(self):
        self.check("fifo")

    def test_lru(self):
        self.check("lru")

    def test_smart(self):
        self.check("smart")

    def test_without_kills_what_happens_is_what_simulate_says(self):
        for policy in ("fifo", "lru"):
            replay = Replay(self.folder, policy, count=300, seed=7)
            oracle = replay.run()
            told = simulate(replay)
            self.assertEqual((oracle.loads, oracle.evictions), (told[policy]["loads"], told[policy]["evictions"]), policy)


def print_table(count):
    with tempfile.TemporaryDirectory(prefix="vramd-trace-") as folder:
        print(f"{count} requests, {MODELS} models, 4 times the device; a kill within one of 25 requests")
        print(f"{'policy':8} {'hits %':>7} {'loads':>6} {'evictions':>9} {'peak %':>7} {'kills':>6} {'simulate hits %':>16} {'hindsight hits %':>17}")
        for policy in POLICIES:
            replay = Replay(folder, policy, count=count, every=25)
            oracle = replay.run()
            told = simulate(replay)
            print(f"{policy:8} {100 - 100 * oracle.loads / count:7.2f} {oracle.loads:6} {oracle.evictions:9} {100 * oracle.peak / replay.capacity:7.2f} "
                  f"{replay.killer.cores + replay.killer.workers:6} {told[policy]['hitPercentage']:16.2f} {told['hindsight']['hitPercentage']:17.2f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--print"]:
        print_table(int(sys.argv[2]) if len(sys.argv) > 2 else REQUESTS)
    else:
        unittest.main()
