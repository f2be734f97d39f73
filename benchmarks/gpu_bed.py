"""What the parts of the measurement on a GPU share: sizes, how a figure is told, and the daemon of the tests."""
import hashlib
import json
import os
import random
import struct
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from attach_client import Attach  # noqa: E402
from cuda_client import Cuda  # noqa: E402
from daemon import Daemon  # noqa: E402

os.environ["VRAMD_HOLD"] = "0"  # Answers are measured here, not held against the document.
MIB, GIB = 1 << 20, 1 << 30
QUICK = "--quick" in sys.argv
SIZE = 1 * GIB if QUICK else 4 * GIB
KILLS = 5 if QUICK else 20
BLOCKS = 100 if QUICK else 1000


def now():
    return time.perf_counter()


def say(what, value, unit, beside=""):
    print(f"  {what:66} {value:10.2f} {unit:5} {beside}", flush=True)


def transfer(daemon, source, target, verify=False):
    told = daemon.post("/api/memory/transfer", {"sourceAllocationId": source, "targetAllocationId": target, "mode": "copy", "verify": verify, "waitForCompletion": True,
                                                "timeoutSeconds": 120}).ok()
    assert told["status"] == "succeeded", told
    return told


def best_rate(work, size, rounds=3):
    """GB/s of the fastest of some, by this process's clock: request and answer included."""
    best = 1e9
    for _ in range(rounds):
        begun = now()
        work()
        best = min(best, now() - begun)
    return size / best / 1e9


def model_file(folder, name, size, part=64 * MIB):
    """A safetensors file of tensors of `part`; the hash of its tensors' bytes."""
    count = size // part
    head = json.dumps({f"t{i:05}": {"dtype": "U8", "shape": [part], "data_offsets": [i * part, (i + 1) * part]} for i in range(count)}).encode()
    head += b" " * (-(len(head) + 8) % 4096)
    piece = random.Random(name).randbytes(min(part, 64 * MIB))
    digest = hashlib.sha256()
    with open(os.path.join(folder, name), "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for _ in range(count):
            file.write(piece)
            digest.update(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.digest()
