#!/usr/bin/env python3
"""The Python package through the deaths of the daemon's core: by itself, at once, and with all that it has."""
import os
import signal
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path[:0] = [os.path.join(ROOT, "python"), os.path.dirname(os.path.abspath(__file__))]
import vramd  # noqa: E402
from attach_files import write_bytes_model  # noqa: E402
from daemon import Daemon  # noqa: E402

MIB = 1 << 20


class PythonSessions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="vramd-python-")
        write_bytes_model(os.path.join(cls.folder.name, "large.safetensors"), 8 * MIB, 1)
        cls.daemon = Daemon(devices=["host:a=64MiB"], model_dirs=[cls.folder.name], door="unix").__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)
        cls.folder.cleanup()

    def connect(self):
        return vramd.connect(self.daemon.socket_path)

    def clients(self, name):
        return self.daemon.get(f"/api/model/info?name={name}").ok()["attachedClients"]

    def until(self, true, what):
        end = time.monotonic() + 30
        while not true():
            self.assertLess(time.monotonic(), end, what)

    def test_events_go_on_over_the_next_core_without_a_gap(self):
        with self.connect() as memory, memory.events(type=["allocationReserved", "allocationFreed"]) as events:
            with self.assertRaises(vramd.Conflict):
                memory.events()
            made = []
            for _ in range(5):
                mine = memory.allocate(MIB)
                made.append(mine.id)
                mine.free()
                self.daemon.kill_core()
            seen = [next(events) for _ in range(2 * len(made))]
            self.assertEqual([event.data["allocationId"] for event in seen], [id_ for id_ in made for _ in range(2)])
            self.assertEqual([event.type for event in seen], ["allocationReserved", "allocationFreed"] * len(made))
            first = seen[0].number
        with self.connect() as memory:
            past = list(memory.events(from_=first, type="allocationReserved", follow=False))
            self.assertEqual([event.data["allocationId"] for event in past][:len(made)], made)
            self.assertEqual(past[0].number, first)
            with self.assertRaises(vramd.InvalidField):
                memory.events(type="nonsense")
            with self.assertRaises(vramd.NotFound):
                memory.events(device="nowhere")

    def test_a_client_that_asks_nothing_keeps_its_memory_through_the_cores_death(self):
        with self.connect() as memory, self.connect() as reader:
            mine = memory.allocate(MIB)
            small = memory.allocate(100, type="default")
            gone = memory.allocate(MIB, persistent=True)
            model = reader.load("large.safetensors")
            mine.memory[:4] = b"mine"
            session = memory._connection.session["session"]
            for _ in range(5):
                before = memory._connection.session, reader._connection.session
                self.daemon.kill_core()
                for client, old in zip((memory, reader), before):
                    self.until(lambda: client._connection.session is not old, "it did not go on")
            gone_id = gone.id
            gone.free()
            self.assertEqual(memory._connection.session["session"], session)
            # Longer than any grace: what nobody came back for is over by then.
            with self.connect() as other:
                lost = other.allocate(MIB)
                core = self.daemon.stop_core()  # It does not hear of this one's end.
                other.close()
                self.until(lambda: other._connection._socket is None, "it is open yet")
                os.kill(core["corePid"], signal.SIGKILL)
                self.daemon.next_generation(core["generation"])
                self.until(lambda: self.daemon.get(f"/api/memory/allocation/{lost.id}").status == 404, "it lives on")
            self.assertEqual(memory._connection.session["session"], session)
            self.assertEqual(self.daemon.get(f"/api/memory/allocation/{mine.id}/content", {"Range": "bytes=0-3"}).body, b"mine")
            self.assertEqual(self.daemon.get(f"/api/memory/allocation/{small.id}").ok()["attachedClients"], 1)
            self.assertEqual(self.daemon.get(f"/api/memory/allocation/{gone_id}").status, 404)
            self.assertEqual(self.clients("large.safetensors"), 1)
            del model
            small.free()
        self.until(lambda: self.daemon.get(f"/api/memory/allocation/{mine.id}").status == 404, "it lives on")

    def test_what_is_asked_while_the_core_dies_is_asked_again_where_that_does_no_harm(self):
        with self.connect() as memory:
            stop, died = threading.Event(), []

            def kill():
                while not stop.is_set():
                    self.daemon.kill_core()
                    died.append(1)

            killer = threading.Thread(target=kill)
            killer.start()
            made, refused = [], 0
            try:
                while len(died) < 10:
                    model = memory.load("large.safetensors")
                    self.assertTrue(memory.models())
                    try:
                        made.append(memory.allocate(4096))
                    except vramd.Disconnected as error:
                        self.assertIn("carried out or not", str(error))
                        refused += 1
                    del model
                    while len(made) > 8:
                        made.pop().close()
            finally:
                stop.set()
                killer.join()
            print(f"\n{len(died)} deaths of the core under calls; {refused} allocations were told that they may have been made")


if __name__ == "__main__":
    unittest.main()
