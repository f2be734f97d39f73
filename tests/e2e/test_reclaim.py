#!/usr/bin/env python3
"""Clients that are asked to let go of models that others wait for: one that does lets the other through, one that does not costs it its time,
one that dies is no obstacle; two that cannot both fit have their models in turn."""
import os
import select
import tempfile
import threading
import unittest

from attach_bed import MIB, Child, forever
from attach_client import Attach, Refused
from attach_files import write_bytes_model
from daemon import Daemon

MODEL = 40 * MIB
ROUNDS = 25


class Reclaim(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="vramd-models-")
        for seed, name in enumerate(("one", "other"), 1):
            write_bytes_model(os.path.join(cls.folder.name, name + ".safetensors"), MODEL, seed)
        cls.daemon = Daemon(devices=["host:a=64MiB"], model_dirs=[cls.folder.name], arguments=["--ram-cache", "0"], door="unix").__enter__()
        cls.held = cls.taken("one.safetensors")

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)
        cls.folder.cleanup()

    @classmethod
    def taken(cls, name):
        """What a model takes."""
        client = Attach(cls.daemon.socket_path)
        size = client.call("attach", model=name)["model"]["sizeBytes"]
        client.close()
        return size

    def tearDown(self):
        self.assertTrue(self.daemon.get("/api/audit").ok()["ok"])

    def connect(self, reclaim=False):
        client = Attach(self.daemon.socket_path, "test", reclaim=reclaim)
        self.addCleanup(client.close)
        return client

    def holder(self, name="one.safetensors"):
        client = self.connect(reclaim=True)
        return client, client.call("attach", model=name)["memory"]["allocationId"]

    def figure(self, name):
        lines = self.daemon.get("/metrics").body.decode().splitlines()
        return next(int(float(line.split()[1])) for line in lines if line.startswith(name + " "))

    def test_a_load_goes_on_when_the_holder_has_let_go(self):
        before = self.figure("vramd_reclaim_given_bytes_total")
        holder, place = self.holder()
        other = self.connect()
        call = other.send("attach", model="other.safetensors")
        asked = holder.hear_asked()
        self.assertEqual((asked["allocationId"], asked["model"], asked["bytes"]), (place, "one.safetensors", self.held))
        self.assertTrue(9000 < asked["withinMs"] <= 10000, asked)
        holder.call("detach", allocationId=place)
        with self.assertRaises(Refused) as beyond:
            holder.call("reclaimed", allocationId=place, bytes=self.held + 1)
        self.assertEqual((beyond.exception.code, beyond.exception.data["field"], beyond.exception.data["limit"]), ("out-of-range", "/bytes", self.held))
        self.assertEqual(holder.call("reclaimed", allocationId=place, bytes=self.held), {"allocationId": place, "bytes": self.held})
        self.assertEqual(other.answer(call)[0]["model"]["name"], "other.safetensors")
        self.assertEqual(self.daemon.get("/api/model/info?name=one.safetensors").status, 404)
        self.assertEqual(self.figure("vramd_reclaim_given_bytes_total") - before, self.held)
        with self.assertRaises(Refused) as refused:
            holder.call("reclaimed", allocationId=place, bytes=0)
        self.assertEqual(refused.exception.code, "not-found")

    def test_who_does_not_answer_costs_the_others_their_time_and_they_are_told_what_it_holds(self):
        self.holder()
        waiting = self.connect()
        loading = self.connect()
        load = loading.send("attach", model="other.safetensors")
        with self.assertRaises(Refused) as refused:
            waiting.call("allocate", sizeBytes=32 * MIB, timeoutSeconds=1)
        self.assertEqual(refused.exception.code, "timed-out")
        self.assertIn(f"Clients that were asked to let go hold {self.held} bytes.", str(refused.exception))
        with self.assertRaises(Refused) as refused:
            loading.answer(load)
        self.assertEqual(refused.exception.code, "timed-out")
        self.assertIn(f"Clients that were asked to let go hold {self.held} bytes.", str(refused.exception))
        self.assertEqual(self.daemon.get("/api/model/info?name=one.safetensors").ok()["attachedClients"], 1)

    def test_who_keeps_what_it_has_and_says_so_is_not_waited_for(self):
        holder, place = self.holder()
        other = self.connect()
        call = other.send("attach", model="other.safetensors")
        holder.hear_asked()
        holder.call("reclaimed", allocationId=place, bytes=0)
        with self.assertRaises(Refused) as refused:
            other.answer(call)
        self.assertEqual(refused.exception.code, "insufficient-memory")
        self.assertIn(f"Clients that were asked to let go hold {self.held} bytes.", str(refused.exception))

    def test_who_did_not_wish_to_be_asked_is_not_and_the_load_fails_at_once(self):
        holder = self.connect()
        holder.call("attach", model="one.safetensors")
        with self.assertRaises(Refused) as refused:
            self.connect().call("attach", model="other.safetensors")
        self.assertEqual(refused.exception.code, "insufficient-memory")
        self.assertNotIn("asked", str(refused.exception))

    def test_a_holder_that_dies_is_no_obstacle(self):
        def hold(tell):
            client = Attach(self.daemon.socket_path, "dies", reclaim=True)
            client.call("attach", model="one.safetensors")
            tell("held")
            client.hear_asked()
            tell("asked")
            forever()

        child = Child(hold)
        self.assertEqual(child.hear(), "held")
        other = self.connect()
        call = other.send("attach", model="other.safetensors")
        self.assertEqual(child.hear(), "asked")
        child.kill()
        self.assertEqual(other.answer(call)[0]["model"]["name"], "other.safetensors")

    def test_many_that_wait_ask_once(self):
        holder, place = self.holder()
        many = [self.connect() for _ in range(12)]
        calls = [client.send("allocate", sizeBytes=4 * MIB * (i % 3 + 7), timeoutSeconds=30) for i, client in enumerate(many)]
        holder.hear_asked()
        holder.call("list")
        self.assertEqual(holder.asked, [])
        self.assertEqual(select.select([holder.socket], [], [], 0)[0], [])
        holder.call("detach", allocationId=place)
        waiting = {client.socket: (client, call) for client, call in zip(many, calls)}
        while waiting:  # Each gives it back by its end, and so lets the next one through, in whichever order their calls came in.
            ready = select.select(list(waiting), [], [], 60)[0]
            self.assertTrue(ready, "nobody is served any more")
            for socket in ready:
                client, call = waiting.pop(socket)
                self.assertEqual(client.answer(call)[0]["allocation"]["status"], "live")
                client.close()

    def test_two_that_cannot_both_fit_have_their_models_in_turn(self):
        failures, turns = [], []

        def use(name):
            try:
                client = Attach(self.daemon.socket_path, name, reclaim=True)
                for _ in range(ROUNDS):
                    place = client.call("attach", model=name)["memory"]["allocationId"]
                    turns.append(name)
                    if len(turns) < 2 * ROUNDS and not done.is_set():
                        client.socket.settimeout(30)
                        client.hear_asked()
                    client.asked.clear()
                    client.call("detach", allocationId=place)
                client.close()
            except BaseException as error:  # pylint: disable=broad-except
                failures.append((name, error))
            finally:
                done.set()

        done = threading.Event()
        threads = [threading.Thread(target=use, args=(name,)) for name in ("one.safetensors", "other.safetensors")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        first = turns[:2 * ROUNDS - 2]
        self.assertTrue(all(a != b for a, b in zip(first, first[1:])), turns)


if __name__ == "__main__":
    unittest.main()
