#!/usr/bin/env python3
"""SIGKILLs the core at every single step that its ledger takes during a short script of work, one daemon a step, until none is left.

Each run goes through the whole script: what the kill cut off is open, all else acknowledged; then the crash test's own verification
holds what is there against it. VRAMD_FAILPOINT=ledger.step:N kills the first core at its Nth step; the cores after it live.
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from crash import LOST, SAMPLES, Worker, verify  # noqa: E402
from daemon import Daemon  # noqa: E402


def script(worker):
    """The work, as calls that each make one request."""
    def first():
        return next(iter(worker.held.values()), None)

    def load(path):
        worker.loading = ("client0-1", path)
        if worker.ask("load", "POST", "/api/model/load", {"name": "client0-1", "path": path, "type": "other"}).status in (200, 201):
            worker.loaded["client0-1"] = path
            worker.loading = None

    def unload():
        if worker.loaded:
            worker.loading = ("client0-1", worker.loaded.pop("client0-1"))
            worker.ask("unload", "DELETE", "/api/model/unload?name=client0-1")
            worker.loading = None

    model = os.path.join(SAMPLES, "every-type.gguf")
    steps = [worker.allocate, lambda: first() and worker.write(first()), worker.allocate, worker.allocate, lambda: first() and worker.clear(first()),
             lambda: first() and worker.copy(first(), list(worker.held.values())[-1]), lambda: first() and worker.free(first()), worker.allocate]
    if os.path.exists(model):
        steps += [lambda: load(model), unload]
    return steps + [lambda: first() and worker.free(first())]


def settle(daemon, worker):
    """Verifies; a kill may still come meanwhile, for freed blocks are recorded in the background. There is one kill only."""
    try:
        verify(daemon, [worker], None)
    except LOST:
        daemon.next_generation(1)
        verify(daemon, [worker], None)


def run_with_kill_at(step):
    """Whether the core was killed at all: False once the script takes fewer steps than that."""
    with Daemon(devices=["host:a=128MiB"], model_dirs=[SAMPLES], door="unix", environment={"VRAMD_FAILPOINT": f"ledger.step:{step}"}) as daemon:
        worker = Worker(0, "steps", daemon, [], {})
        worker.client = daemon.client("unix")
        for work in script(worker):
            try:
                work()
            except LOST:
                daemon.next_generation(1)
                settle(daemon, worker)
        settle(daemon, worker)
        killed = daemon.system()["generation"] > 1
        worker.client.close()
        return killed


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=1, help="the first step to kill at")
    parser.add_argument("--stride", type=int, default=1, help="every how many steps")
    options = parser.parse_args(arguments)
    step = options.first
    try:
        while run_with_kill_at(step):
            step += options.stride
    except AssertionError as failure:
        print(f"steps: FAILED at step {step}: {failure}\nthe same again: python3 tests/crash/steps.py --first {step}")
        return 1
    if step == options.first:
        print("steps: FAILED: no kill happened: VRAMD_FAILPOINT does nothing")
        return 1
    print(f"steps: the core was killed at each of {(step - options.first) // options.stride} steps of its ledger; nothing acknowledged was lost")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
