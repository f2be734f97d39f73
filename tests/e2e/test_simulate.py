#!/usr/bin/env python3
"""`vramctl simulate` beside a simulation of this test's own, on traces as text, and on the ledger of a daemon that runs.

The model here shares nothing with the product: fractions instead of wide integers, lists searched instead of kept, one loop over times.
"""
import csv
import hashlib
import io
import json
import math
import os
import random
import re
import struct
import subprocess
import tempfile
import unittest
from fractions import Fraction

from daemon import BIN, ROOT, Daemon

CTL = os.path.join(BIN, "vramctl")
SECOND = 10**9


def simulate(*words, text=None):
    return subprocess.run([CTL, "simulate", *words], input=text, capture_output=True, timeout=120, check=False)


def told(*words, text=None):
    done = simulate(*words, "-o", "json", text=text)
    assert (done.returncode, done.stderr) == (0, b""), done
    return json.loads(done.stdout)


class Model:
    """One memory of `capacity` bytes under one policy. Requests are (time, name, use, pinned) in nanoseconds; sizes and loads by name."""

    def __init__(self, policy, capacity, sizes, loads, marks=(80, 70)):
        self.policy, self.capacity, self.sizes, self.loads, self.marks = policy, capacity, sizes, loads, marks
        self.there, self.waiting, self.ends, self.asked = {}, [], [], {}
        self.born = 0
        self.counts = dict.fromkeys(("hits", "joined", "loads", "refused", "evictions", "loadedBytes", "peakBytes"), 0)
        self.waits = []

    def run(self, requests):
        for when, name, use, pinned in requests:
            self.pass_time(when)
            self.request(when, name, use, pinned)
        self.pass_time(math.inf)
        waits = sorted(self.waits)
        return {**self.counts, "waitedMs": round(sum(waits) / 1e6, 3),
                "waitP50Ms": round(waits[math.ceil(len(waits) * 0.50) - 1] / 1e6, 3), "waitP99Ms": round(waits[math.ceil(Fraction(99, 100) * len(waits)) - 1] / 1e6, 3)}

    def pass_time(self, until):
        while self.ends and min(self.ends)[0] <= until:
            self.ends.sort()
            when, _, what, name = self.ends.pop(0)
            item = self.there[name]
            if what == "load":
                item.update(loaded=when, loading=False)
                first = True
                for asked, use, pinned in self.asked.pop(name):
                    if not first:
                        self.counts["hits"] += 1
                        self.counts["joined"] += 1
                    first = False
                    self.use(when, name, asked, use, pinned)
            else:
                item["users"] -= 1
                item["touched"] = when
            self.serve(when)

    def end(self, when, what, name):
        self.born += 1
        self.ends.append((when, self.born, what, name))

    def use(self, now, name, asked, use, pinned):
        item = self.there[name]
        item["touched"] = now
        item["pinned"] = item["pinned"] or pinned
        self.waits.append(now - asked)
        if use:
            item["users"] += 1
            self.end(now + use, "use", name)

    def request(self, now, name, use, pinned):
        if self.sizes[name] > self.capacity:
            self.counts["refused"] += 1
        elif name in self.there and not self.there[name]["loading"]:
            self.counts["hits"] += 1
            self.use(now, name, now, use, pinned)
        elif name in self.asked:
            self.asked[name].append((now, use, pinned))
        else:
            self.asked[name] = [(now, use, pinned)]
            self.waiting.append(name)
            self.serve(now)

    def serve(self, now):
        while self.waiting:
            name = self.waiting[0]
            if self.room(now, self.sizes[name]):
                self.born += 1
                self.there[name] = {"size": self.sizes[name], "loading": True, "users": 0, "pinned": False, "loaded": 0, "touched": 0, "born": self.born}
                self.counts["loads"] += 1
                self.counts["loadedBytes"] += self.sizes[name]
                self.counts["peakBytes"] = max(self.counts["peakBytes"], self.used())
                self.end(now + self.loads[name], "load", name)
            elif self.ends:
                return
            else:
                self.counts["refused"] += len(self.asked.pop(name))
            self.waiting.pop(0)

    def used(self):
        return sum(item["size"] for item in self.there.values())

    def value(self, now, name):
        item = self.there[name]
        if self.policy == "fifo":
            return (item["loaded"], item["born"])
        if self.policy == "lru":
            return (item["touched"], item["born"])
        return (Fraction(max(self.loads[name], 1), (now - item["touched"] + SECOND) * item["size"]), item["born"])

    def room(self, now, size):
        used, high, low = self.used() + size, Fraction(self.marks[0], 100) * self.capacity, Fraction(self.marks[1], 100) * self.capacity
        aim = min(self.capacity, math.floor(low)) if used > high else self.capacity
        idle = sorted((name for name, item in self.there.items() if not (item["loading"] or item["users"] or item["pinned"])), key=lambda name: self.value(now, name))
        if used - sum(self.sizes[name] for name in idle) > self.capacity:
            return False
        gone = []
        for name in idle:
            if used > aim:
                gone.append(name)
                used -= self.sizes[name]
        for name in reversed(list(gone)):  # None needlessly.
            if used + self.sizes[name] <= aim:
                gone.remove(name)
                used += self.sizes[name]
        for name in gone:
            del self.there[name]
            self.counts["evictions"] += 1
        return True


def odd_requests(seed, count, names):
    """Times in whole microseconds, so that milliseconds have three decimals."""
    dice = random.Random(seed)
    sizes = {name: dice.randint(1, 400) for name in names}
    loads = {name: dice.randint(0, 3_000_000) * 1000 for name in names}
    weights = [1 / (1 + i) for i in range(len(names))]
    now, requests = 0, []
    for i in range(count):
        now += 0 if i == 0 else dice.choice((0, 1, dice.randint(0, 2_000_000))) * 1000
        use = dice.choice((0, dice.randint(0, 5_000_000))) * 1000
        requests.append((now, dice.choices(names, weights)[0], use, dice.random() < 0.005))
    return sizes, loads, requests


def as_text(sizes, loads, requests):
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["timeMs", "model", "bytes", "loadMs", "useMs", "pinned"])
    for when, name, use, pinned in requests:
        rows.writerow([f"{when / 1e6:.3f}", name, sizes[name], f"{loads[name] / 1e6:.3f}", f"{use / 1e6:.3f}", "yes" if pinned else ""])
    return out.getvalue().encode()


def model_file(path, size):
    """A safetensors file with one tensor of `size` bytes."""
    head = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head + os.urandom(size))


def files_of(folder):
    """What the files hold, but for the daemon's own measurement, which comes when it is done."""
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            if name == "link-limits":
                continue
            with open(os.path.join(where, name), "rb") as file:
                found[os.path.join(where, name)] = hashlib.sha256(file.read()).hexdigest()
    return found


class Simulate(unittest.TestCase):
    def test_every_figure_is_that_of_another_simulation(self):
        names = [f"m {i}, \"{'x' * (i % 3)}\"" for i in range(30)]
        for seed in range(6):
            sizes, loads, requests = odd_requests(seed, 1000, names)
            text = as_text(sizes, loads, requests)
            asked = {name for _, name, _, _ in requests}
            for marks, words in (((80, 70), []), ((100, 100), ["--watermarks", "100,100"]), ((90, 33.33), ["--watermarks", "90,33.33"])):
                capacity = sum(sizes.values()) // 4
                result = told("-", "--capacity", str(capacity), *words, text=text)
                self.assertEqual((result["requests"], result["models"], result["modelsMeasured"]), (1000, len(asked), len(asked)))
                exact = tuple(Fraction(str(mark)) for mark in marks)
                for item in result["items"][:3]:
                    expected = Model(item["policy"], capacity, sizes, loads, exact).run(requests)
                    got = {key: item[key] for key in expected}
                    for key, value in expected.items():
                        self.assertAlmostEqual(got[key], value, delta=0.0011, msg=(seed, marks, item["policy"], key))
                    self.assertLessEqual(item["peakBytes"], capacity)
                self.assertEqual([item["policy"] for item in result["items"]], ["fifo", "lru", "smart", "hindsight"])

    def test_the_verdict_names_the_best_and_by_how_much(self):
        # Two of three fit; a takes 10 s to load, b and c 10 ms.
        rows = [(i * 20 * SECOND, name, 0, False) for i, name in enumerate("abcabcabc")]
        text = as_text(dict.fromkeys("abc", 2), {"a": 10 * SECOND, "b": SECOND // 100, "c": SECOND // 100}, rows)
        done = simulate("-", "--capacity", "4", "--watermarks", "100,100", text=text)
        self.assertEqual(done.returncode, 0, done)
        lines = done.stdout.decode().splitlines()
        self.assertEqual(lines[-1], "On this trace smart did best: 66.5 % less waiting than fifo, 66.5 % less waiting than lru.")
        self.assertTrue(lines[0].startswith("9 requests for 3 models (6 B) over 2 min 40 s, in 4 B, evicting what does not fit:"), lines[0])
        self.assertEqual([line.split()[0] for line in lines[1:6]], ["POLICY", "fifo", "lru", "smart", "hindsight"])
        one = told("-", "--capacity", "4", "--policy", "lru", text=text)
        self.assertEqual(([item["policy"] for item in one["items"]], one["best"], one["verdict"]), (["lru", "hindsight"], "lru", ""))
        same = told("-", "--capacity", "6", "--watermarks", "100,100", text=text)
        self.assertEqual(same["verdict"], "On this trace all policies did the same.")
        self.assertEqual((same["bound"]["hitsMax"], same["bound"]["loadedBytesMin"]), (6, 6))
        shown = simulate("-", "--capacity", "4", "-o", "csv", text=text).stdout.decode().splitlines()
        self.assertEqual(len(shown), 5)
        self.assertTrue(shown[0].startswith("policy,hitPercentage,loads,loadedBytes,evictions,refused,waitedMs"), shown[0])

    def test_the_pages_example_is_what_it_tells(self):
        with open(os.path.join(ROOT, "docs", "models.md"), encoding="utf-8") as file:
            page = file.read()
        trace, shown = re.search(r"```\n(timeMs,.*?)```\n```\n\$ vramctl simulate trace.csv (.*?)```", page, re.S).groups()
        words, output = shown.split("\n", 1)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "trace.csv")
            with open(path, "w", encoding="utf-8") as file:
                file.write(trace)
            self.assertEqual(simulate(path, *words.split()).stdout.decode(), output)

    def test_what_cannot_be_replayed_is_refused_in_words(self):
        good = b"timeMs,model,bytes\n0,a,5\n"
        for words, text, code, what in (
                (["-"], good, 2, "does not say how large"), (["-", "--capacity", "0"], good, 2, "0 bytes"), (["-", "--capacity", "much"], good, 2, "much"),
                (["-", "--capacity", "9", "--watermarks", "70,80"], good, 2, "70,80"), (["-", "--capacity", "9", "--watermarks", "80"], good, 2, "80"),
                (["-", "--capacity", "9", "--watermarks", "nan,nan"], good, 2, "nan"), (["-", "--capacity", "9", "--policy", "best"], good, 2, "best"),
                (["-", "--capacity", "9"], good + b"1,b,many\n", 2, "stdin:3: bytes: 'many'"), (["-", "--capacity", "9"], b"\x00" * 9000, 2, "stdin:1: It is longer"),
                (["-", "--capacity", "9"], b"", 2, "without a head"), (["/none", "--capacity", "9"], None, 3, "/none"), (["/usr", "--capacity", "9"], None, 3, "no ledger"),
                (["-", "--curl"], good, 2, "no REST call")):
            done = simulate(*words, text=text)
            lines = done.stderr.decode().splitlines()
            self.assertEqual((done.returncode, done.stdout), (code, b""), (words, done))
            self.assertIn(what, lines[0])
            self.assertTrue(1 <= len(lines) <= 3 and lines[0].startswith("vramctl: "), lines)

    def test_a_running_daemons_ledger_is_replayed_as_it_was_and_left_as_it_is(self):
        with tempfile.TemporaryDirectory() as folder, Daemon(devices=["host:a=16MiB"], model_dirs=[folder]) as daemon:
            for name in "ab":
                model_file(os.path.join(folder, f"{name}.safetensors"), 9 << 20)
            sizes = {}
            for name in "aabba":  # One fits: each change is a load, and nothing else is.
                made = daemon.post("/api/model/load", {"name": name, "path": f"{name}.safetensors", "type": "other"}).ok()
                sizes[name] = made["sizeBytes"]
                daemon.get(f"/api/memory/allocation/{made['places'][0]['allocationId']}/content", headers={"Range": "bytes=0-9"})
            before = sorted(files_of(daemon.state_dir))
            result = told(daemon.state_dir)
            self.assertEqual(sorted(files_of(daemon.state_dir)), before)
            self.assertEqual((result["requests"], result["models"], result["modelsMeasured"], result["capacityBytes"]), (5, 2, 2, 16 << 20))
            self.assertEqual(result["modelBytes"], sum(sizes.values()))
            for item in result["items"]:
                self.assertEqual((item["hits"], item["loads"], item["evictions"], item["refused"]), (2, 3, 2, 0), item)
                self.assertEqual(item["loadedBytes"], 2 * sizes["a"] + sizes["b"])
            self.assertTrue(daemon.get("/api/audit").ok()["ok"])
            daemon.stop()
            still = files_of(daemon.state_dir)
            self.assertEqual(told(daemon.state_dir)["requests"], 5)
            self.assertEqual(told(os.path.join(daemon.state_dir, "ledger"))["requests"], 5)
            self.assertEqual(files_of(daemon.state_dir), still)


if __name__ == "__main__":
    unittest.main()
