"""What lasts on a GPU: memory while the core is killed again and again under load, and room after much has come and gone."""
import hashlib
import os
import random
import threading

from gpu_bed import BLOCKS, GIB, KILLS, MIB, QUICK, now, say


class Load:
    """Somebody who allocates, writes and frees all the while."""

    def __init__(self, daemon):
        self.daemon, self.stop, self.done = daemon, threading.Event(), 0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        client = self.daemon.client("unix")
        body = b"x" * 4 * MIB
        while not self.stop.is_set():
            try:
                made = client.request("POST", "/api/memory/allocations/allocate", {"sizeBytes": len(body), "deviceId": "cuda0"})
                if made.status == 201:
                    allocation = made.json()["id"]
                    client.request("PUT", f"/api/memory/allocation/{allocation}/content", body)
                    client.request("DELETE", f"/api/memory/allocations/{allocation}")
                    self.done += 1
            except Exception:  # pylint: disable=broad-except
                client.close()  # The core was killed meanwhile: that is the point.

    def end(self):
        self.stop.set()
        self.thread.join()


def kills(daemon):
    print(f"the core killed {KILLS} times (SIGKILL) under load, {BLOCKS} blocks of 8 MiB held in VRAM")
    size = 8 * MIB
    kept = {}
    pieces = [random.Random(i).randbytes(size) for i in range(16)]
    for i in range(BLOCKS):
        made = daemon.allocate(size, deviceId="cuda0")["id"]
        daemon.put(f"/api/memory/allocation/{made}/content", pieces[i % 16]).ok()
        kept[made] = pieces[i % 16]
    load = Load(daemon)
    answers, works, wrong = [], [], 0
    chosen = list(kept)
    try:
        for _ in range(KILLS):
            before = daemon.system()
            begun = now()
            os.kill(before["corePid"], 9)
            daemon.next_generation(before["generation"])
            answers.append((now() - begun) * 1e3)
            first = random.choice(chosen)
            answer = daemon.get(f"/api/memory/allocation/{first}/content")
            while answer.status == 503 and now() - begun < 30:  # The driver begins behind what answers already.
                answer = daemon.get(f"/api/memory/allocation/{first}/content")
            good = answer.body == kept[first]
            works.append((now() - begun) * 1e3)
            wrong += 0 if good else 1
            wrong += sum(daemon.get(f"/api/memory/allocation/{one}/content").body != kept[one] for one in random.sample(chosen, min(25, BLOCKS)))
    finally:
        load.end()
    wrong += sum(daemon.get(f"/api/memory/allocation/{one}/content").body != data for one, data in kept.items())
    say("core killed: until HTTP answers", sorted(answers)[KILLS // 2], "ms", f"goal 50; worst {max(answers):.1f}")
    say("core killed: until 8 MiB were read out of VRAM", sorted(works)[KILLS // 2], "ms", f"goal 120; worst {max(works):.1f}")
    say("contents that were wrong", wrong, "", f"of {KILLS} x 26 and at the end all {BLOCKS}; {load.done} allocations came and went meanwhile")
    print(f"  the last start: {daemon.system().get('recovery')}")
    audit = daemon.get("/api/audit").ok()
    print(f"  the audit finds {'nothing' if audit['ok'] else audit}", flush=True)
    for allocation in kept:
        daemon.delete(f"/api/memory/allocations/{allocation}").ok()
    return wrong == 0 and audit["ok"]


def churn(daemon):
    """Random allocations that come and go, then one of nearly all that is left."""
    count = 2000 if QUICK else 10000
    chance, live, made = random.Random(7), {}, 0
    daemon.put("/api/memory/limits/cuda0", {"maxBytes": 6 * GIB}).ok()
    begun = now()
    while made < count:
        if live and (len(live) > 300 or chance.random() < 0.45):
            daemon.delete(f"/api/memory/allocations/{live.pop(chance.choice(list(live)))[0]}").ok()
            continue
        size = chance.choice((chance.randint(1, 65536), chance.randint(1, MIB), chance.randint(1, 24 * MIB)))
        answer = daemon.post("/api/memory/allocations/allocate", {"sizeBytes": size, "deviceId": "cuda0"})
        made += 1
        if answer.status == 201:
            live[made] = (answer.json()["id"], None)
    say(f"{made} random allocations and their frees, of each", (now() - begun) * 1e3 / made, "ms")
    kept = {}
    for identity, _ in live.values():
        size = daemon.get(f"/api/memory/allocation/{identity}").ok()["sizeBytes"]
        data = random.Random(identity).randbytes(size)
        daemon.put(f"/api/memory/allocation/{identity}/content", data).ok()
        kept[identity] = hashlib.sha256(data).digest()
    free = daemon.get("/api/memory/status/cuda0").ok()["availableBytes"]
    begun = now()
    large = daemon.post("/api/memory/allocations/allocate", {"sizeBytes": free * 95 // 100, "deviceId": "cuda0", "timeoutSeconds": 30})
    say("then one allocation of 95 % of what is available", (now() - begun) * 1e3, "ms", f"{free * 95 // 100 // MIB} MiB: {'succeeded' if large.status == 201 else large.body}")
    wrong = sum(hashlib.sha256(daemon.get(f"/api/memory/allocation/{one}/content").body).digest() != digest for one, digest in kept.items())
    say("contents that were wrong", wrong, "", f"of {len(kept)}")
    for identity in [*kept, *([large.json()["id"]] if large.status == 201 else [])]:
        daemon.delete(f"/api/memory/allocations/{identity}").ok()
    daemon.put("/api/memory/limits/cuda0", {"maxPercentage": 100}).ok()
    return wrong == 0 and large.status == 201
