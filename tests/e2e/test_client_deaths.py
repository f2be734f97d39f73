#!/usr/bin/env python3
"""Clients by the hundred that are killed at any moment: of each everything is gone at once, and after all of them the daemon is as it was.

Each is a process of its own that allocates, attaches, writes and lets go, and dies by SIGKILL: before its hello, in a step, idle, while it waits for
room, or with answers on their way that it never reads. VRAMD_CLIENT_DEATHS says how many (500 unless told), VRAMD_SEED which.
"""
import collections
import os
import random
import time
import unittest

from attach_bed import DEADLINE, LARGE, MIB, AttachCase, Child, forever, links_of, soon
from attach_client import Attach, Refused

DEATHS = int(os.environ.get("VRAMD_CLIENT_DEATHS", "500"))
SEED = int(os.environ.get("VRAMD_SEED", "1"))
TOGETHER, WARM_UP, HELD_MAX = 8, 40, 6
DEVICE = LARGE + 192 * MIB
MODELS = ("two.safetensors", "eight.safetensors", "many.safetensors")
SIZES = (1, 100, 4096, 65_537, MIB)
# Beside what must be the same: lists of tensors that are too long for a packet are kept for the models that were attached last, and an arena stays when it is empty.
SAME, NONE = ("core", "descriptors", "keeper's"), ("usedBytes", "blocks", "otherBytes")
BLOCKS, TABLES, TABLES_MAX, EMPTY_MAX = "/memfd:vramd", "/memfd:vramd-tensors", 64, 8
ENDINGS = {"idle": 4, "unread": 6, "works on": 6, "waits": 1}  # Rarely: who waits for a whole device keeps the others from it.


def memories(pid):
    """The memory that a process has descriptors of: sizes by what it is."""
    return {(told.st_dev, told.st_ino): told.st_size for link, told in links_of(pid) if link.startswith(BLOCKS + " ")}


class Work:
    """What one client does: `steps` steps of its seed's choice, and then its `ending`, in which it stays."""

    def __init__(self, path, purpose, seed):
        self.path, self.purpose, self.choose = path, purpose, random.Random(seed)
        self.steps, (self.ending,) = self.choose.randrange(10), self.choose.choices(list(ENDINGS), ENDINGS.values())
        self.held, self.maps = [], {}

    def __call__(self, tell):
        self.client = Attach(self.path, self.purpose, **({"reclaim": True} if self.choose.randrange(2) else {}))
        tell("hello")
        for _ in range(self.steps):
            self.step(tell)
        getattr(self, self.ending.replace(" ", "_"))(tell)
        forever()

    def step(self, tell):
        kinds = [self.allocate, self.attach] + ([self.let_go] if self.held else [])
        try:
            tell(self.choose.choice(kinds)())
        except Refused as refused:  # For want of room, which others have just now.
            if refused.code not in ("insufficient-memory", "busy", "timed-out"):
                raise
            tell("refused")

    def wish(self):
        return {"sizeBytes": self.choose.choice(SIZES), "purpose": self.purpose, "persistent": self.choose.randrange(12) == 0,
                "allocationType": self.choose.choice(("mapped", "mapped", "mapped", "buffer"))}

    def allocate(self):
        wish = self.wish()
        if len(self.held) >= HELD_MAX:
            return self.let_go()
        if wish["allocationType"] == "buffer":
            made, memory = self.client.call("allocate", **wish), None
        else:
            made, memory = self.client.map("allocate", **wish)
            memory[-1] = 1 + self.choose.randrange(255)
        self.keep(made["allocation"]["id"], memory, "free")
        return ["persistent", made["allocation"]["id"]] if wish["persistent"] else "allocate"

    def attach(self):
        made, memory = self.client.map("attach", model=self.choose.choice(MODELS), mode=self.choose.choice(("read", "private")))
        if made["memory"]["mode"] == "private":
            memory[self.choose.randrange(len(memory))] ^= 255
        self.keep(made["memory"]["allocationId"], memory, "detach")
        return "attach"

    def keep(self, allocation_id, memory, method):
        if allocation_id not in self.maps:  # A model is attached once, however often it was asked for.
            self.held.append((allocation_id, method))
        self.maps[allocation_id] = memory

    def let_go(self):
        allocation_id, method = self.held.pop(self.choose.randrange(len(self.held)))
        self.maps.pop(allocation_id)
        self.client.call(method, allocationId=allocation_id)
        return ["freed", allocation_id] if method == "free" else "detach"

    def idle(self, tell):
        tell("idle")

    def unread(self, tell):
        for _ in range(1 + self.choose.randrange(4)):
            if self.choose.randrange(2):
                self.client.send("allocate", **self.wish())
            else:
                self.client.send("attach", model=self.choose.choice(MODELS))
        tell("unread")

    def waits(self, tell):
        self.client.send("allocate", **{**self.wish(), "sizeBytes": DEVICE - self.choose.randrange(2, 16) * MIB, "allocationType": "mapped", "timeoutSeconds": 1})
        tell("waits")

    def works_on(self, tell):
        for _ in range(50):
            self.step(tell)


class Victim(Child):
    """A client, and what it has told; `die` answers when its death was reaped."""

    def __init__(self, work):
        super().__init__(work)
        self.purpose, self.ending, self.told = work.purpose, work.ending, []

    def hear_some(self, count):
        while len(self.told) < count:
            self.told.append(self.hear())

    def die(self):
        os.kill(self.pid, 9)
        status = os.waitpid(self.pid, 0)[1]
        reaped = time.monotonic()
        assert os.waitstatus_to_exitcode(status) == -9, f"{self.purpose} ended by itself: {self.pipe.read()}"
        while line := self.pipe.readline():  # What it still said.
            self.told.append(self.parsed(line))
        self.pipe.close()
        return reaped

    def persistent(self):
        """The ids of what it was given for longer than its life, and did not free."""
        of = {kind: {what[1] for what in self.told if what[0] == kind} for kind in ("persistent", "freed")}
        return of["persistent"] - of["freed"]


class ClientDeaths(AttachCase):
    def setUp(self):
        self.choose, self.took, self.done, self.living = random.Random(SEED), collections.defaultdict(list), collections.Counter(), []
        self.watcher = self.connect("watcher")

    def tearDown(self):
        for victim, _ in self.living:
            victim.die()
        super().tearDown()
        self.watcher.close()

    def shown(self, purpose):
        """What the books have of that client."""
        return [item for item in self.watcher.call("list", kind="allocations", limit=1000)["items"] if item["purpose"] == purpose]

    def begin(self, number):
        work = Work(self.daemon.socket_path, f"victim {number}", self.choose.randrange(1 << 60))
        return Victim(work), work.steps

    def end(self, victim, steps):
        """Kills one; waits until nothing of it is shown but what was to outlive it."""
        victim.hear_some(self.choose.randrange(steps + 3))  # Its hello, its steps, its ending.
        for _ in range(self.choose.randrange(4000)):
            pass  # Some microseconds, for it to get anywhere.
        reaped = victim.die()
        left = self.shown(victim.purpose)
        while not all(item["persistent"] for item in left):
            self.assertLess(time.monotonic(), reaped + DEADLINE, left)
            left = self.shown(victim.purpose)
        self.took[victim.ending].append(1e3 * (time.monotonic() - reaped))
        left = {item["id"] for item in left}
        self.assertLessEqual(victim.persistent(), left | self.freeing(victim))
        for allocation_id in left:
            soon(lambda: self.freed(allocation_id), allocation_id)
        self.done.update(what if isinstance(what, str) else what[0] for what in victim.told)

    def freed(self, allocation_id):
        """Frees what outlived its client. Where its answer came too late for the client the daemon frees it itself, once it is ready."""
        try:
            return bool(self.watcher.call("free", allocationId=allocation_id))
        except Refused as refused:
            return refused.code == "not-found" or refused.code

    def freeing(self, victim):
        """A free that was carried out and not told any more takes one away."""
        return victim.persistent() if not victim.told or victim.told[-1] not in ("idle", "unread", "waits") else set()

    def kill(self, count):
        for number in range(count):
            self.living.append(self.begin(number))
            if len(self.living) == TOGETHER:  # The youngest, which is at work, or any.
                self.end(*self.living.pop(self.choose.choice((-1, self.choose.randrange(TOGETHER)))))
        while self.living:
            self.end(*self.living.pop())

    def figures(self):
        pid, status = self.daemon.core_pid(), self.daemon.get("/api/memory/status/a").ok()
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            told = dict(line.split(":\t", 1) for line in file if ":\t" in line)
        links = collections.Counter(link.split(" ")[0] for link, _ in links_of(pid))
        blocks, kept = memories(pid), memories(self.daemon.process.pid)
        return {"core": pid, "descriptors": links.total() - links[TABLES] - links[BLOCKS], "keeper's": self.daemon.keeper_descriptors() - len(kept),
                "threads": int(told["Threads"]), "usedBytes": status["usedBytes"], "blocks": len(kept) - status["blockCount"],
                "otherBytes": sum(size for which, size in blocks.items() if which not in kept) - status["poolBytes"],
                "tables": links[TABLES], "emptyBlocks": status["blockCount"], "RssAnon": told["RssAnon"].strip()}

    def settle(self):
        """Unloads every model, which nobody may hold any more; then nothing is left, nor comes of what the dead had asked for."""
        def free():
            left = self.daemon.get("/api/model/status").ok()["loadedModels"]
            for model in left:
                self.daemon.delete(f"/api/model/unload?name={model['name']}")
            return not left or [(model["name"], model["attachedClients"]) for model in left]

        soon(free, "models")
        soon(lambda: (lambda items: not items or items)(self.daemon.get("/api/memory/allocations").ok()["items"]), "allocations")
        self.assertTrue(self.daemon.get("/api/audit").ok()["ok"])

    def calm(self, before=None):
        """The figures, once nothing is used, no memory is there but of the books and the pool, and all is the same as before."""
        def same():
            now = self.figures()
            right = not any(now[name] for name in NONE) and all(now[name] == (before or now)[name] for name in SAME)
            return self.last.append(now) or True if right else now

        self.daemon.default.close()  # Idle for so long that it may have been closed at the other end.
        self.settle()
        self.last = []
        soon(same, f"figures, {before} before")
        return self.last[0]

    def test_killed_clients_leave_nothing_and_the_daemon_as_it_was(self):
        self.kill(WARM_UP)  # Threads and buffers that the first ones cause.
        before = self.calm()
        self.took.clear()
        self.done.clear()
        begun = time.monotonic()
        self.kill(DEATHS)
        seconds = time.monotonic() - begun
        after = self.calm(before)
        self.assertLess(after["threads"], before["threads"] + 8, "threads that stay behind")  # Some begin with the first who needs them.
        print(f"\n{DEATHS} clients killed in {seconds:.0f} s, VRAMD_SEED={SEED}; they had done {dict(self.done)}\nbefore {before}\nafter  {after}\n"
              "from a death reaped to books without it, asked by a call each, by what was to be the client's last:")
        for ending, took in sorted(self.took.items()):
            took.sort()
            print(f"{ending:8}  min {took[0]:.2f} ms, median {took[len(took) // 2]:.2f} ms, p99 {took[len(took) * 99 // 100]:.2f} ms, max {took[-1]:.2f} ms, of {len(took)}")
        self.assertLessEqual({"hello", "allocate", "attach", "persistent", "freed", "detach", "idle", "unread", "waits"}, set(self.done))
        self.assertLessEqual(after["tables"], TABLES_MAX)
        self.assertLessEqual(after["emptyBlocks"], EMPTY_MAX)


if __name__ == "__main__":
    unittest.main()
