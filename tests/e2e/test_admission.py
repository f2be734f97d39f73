#!/usr/bin/env python3
"""What a load may cost others: one that cannot be takes nothing of anybody's, one for the cache takes nothing that is loaded, one with room
waits for nobody else's; a pin that is asked for holds; a model with several names goes when the last one does; who dies waiting gets nothing."""
import json
import os
import socket
import tempfile
import threading
import unittest

from attach_bed import MIB, Child, forever, soon
from attach_client import Attach, Refused
from attach_files import write_bytes_model
from daemon import Daemon

SIZES = {"one": 9, "two": 9, "middle": 40, "large": 60}


class Admission(unittest.TestCase):
    """Two devices, a with 64 MiB and b with 16; models may keep 80 % of a in the cache."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="vramd-models-")
        for seed, (name, size) in enumerate(SIZES.items(), 1):
            write_bytes_model(os.path.join(cls.folder.name, name + ".safetensors"), size * MIB - 4096, seed)
        cls.daemon = Daemon(devices=["host:a=64MiB", "host:b=16MiB"], model_dirs=[cls.folder.name], arguments=["--watermarks", "100,100"], door="unix").__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)
        cls.folder.cleanup()

    def tearDown(self):
        self.doCleanups()  # Whoever holds something yet.
        soon(self.empty, "something stays")
        self.assertTrue(self.daemon.get("/api/audit").ok()["ok"])

    def empty(self):
        for model in self.daemon.get("/api/model/status").ok()["loadedModels"]:
            for name in model["names"]:
                self.daemon.delete(f"/api/model/unload?name={name}&keepCached=false")
        self.daemon.delete("/api/model/cache").ok()
        return self.states() == {}

    def load(self, name, device="a", path=None, client=None, **more):
        body = {"name": name, "path": (path or name) + ".safetensors", "type": "other", **more}
        return (client or self.daemon.default).request("POST", f"/api/model/load/{device}" if device else "/api/model/load", body)

    def states(self):
        """Name → state, of all models in memory, and of loaded ones with their devices."""
        states = {model["name"]: "cached" for model in self.daemon.get("/api/model/cache").ok()["items"]}
        for model in self.daemon.get("/api/model/status").ok()["loadedModels"]:
            states[model["name"]] = "".join(sorted(place["deviceId"] for place in model["places"] if place["tier"] == "device"))
        return {name: state for name, state in states.items() if state}

    def connect(self, **hello):
        client = Attach(self.daemon.socket_path, **hello)
        self.addCleanup(client.close)
        return client

    def cache(self, *names):
        for name in names:
            self.load(name).ok()
            self.daemon.delete(f"/api/model/unload?name={name}").ok()

    def test_a_load_that_no_device_can_hold_takes_nothing_from_the_cache(self):
        self.cache("one", "two")
        told = self.load("middle", "b").problem(507, "insufficient-memory")
        self.assertIn("on b", told["detail"])
        self.assertEqual(self.states(), {"one": "cached", "two": "cached"})

    def test_a_model_larger_than_the_cache_may_be_takes_nothing_from_it(self):
        self.cache("one", "two")
        self.daemon.post("/api/model/cache", {"name": "large", "path": "large.safetensors", "type": "other"}).problem(409, "limit-exceeded")
        self.assertEqual(self.states(), {"one": "cached", "two": "cached"})

    def test_what_is_loaded_does_not_go_for_what_is_only_kept(self):
        for name in ("one", "two"):
            self.load(name).ok()
        self.load("third", path="one").ok()  # A second name.
        keep = {"name": "middle", "path": "middle.safetensors", "type": "other"}
        self.daemon.post("/api/model/cache", keep).ok()
        self.assertEqual(self.states(), {"one": "a", "two": "a", "middle": "cached"})
        self.daemon.delete("/api/model/cache").ok()
        held = self.daemon.post("/api/memory/allocations/allocate", {"sizeBytes": 24 * MIB, "deviceId": "a"}).ok()
        self.daemon.post("/api/model/cache", keep).problem(507, "insufficient-memory")
        self.assertEqual(self.states(), {"one": "a", "two": "a"})
        self.daemon.delete(f"/api/memory/allocations/{held['id']}").ok()

    def test_a_pin_holds_though_the_model_was_there_before(self):
        self.load("one").ok()
        self.assertTrue(self.load("one", pinned=True).ok()["pinned"])
        self.assertTrue(self.load("one").ok()["pinned"])  # Asking without takes no pin back.
        self.load("large").problem(507, "insufficient-memory")
        self.assertEqual(self.states(), {"one": "a"})
        client = self.connect()
        client.call("attach", model="two", path="two.safetensors")
        self.assertTrue(client.call("attach", model="two", pinned=True)["model"]["pinned"])

    def test_a_pin_holds_though_another_began_the_load(self):
        for _ in range(5):
            self.load("middle", waitForCompletion=False)
            self.assertTrue(self.load("middle", pinned=True).ok()["pinned"])
            self.daemon.delete("/api/model/unload?name=middle&keepCached=false").ok()

    def test_a_worker_leaves_what_others_loaded(self):
        self.load("one", pinned=True).ok()
        worker = self.connect()
        worker.call("worker.initialize", device_id="a", memory_limit_mb=4)
        with self.assertRaises(Refused) as refused:
            worker.call("worker.load_model", name="mine", path="one.safetensors")
        self.assertEqual((refused.exception.code, refused.exception.data["field"]), ("limit-exceeded", "/path"))
        worker.call("worker.initialize", device_id="a")
        worker.call("worker.load_model", name="mine", path="one.safetensors")
        worker.call("worker.load_model", name="one", path="one.safetensors")
        self.assertEqual(worker.call("worker.cleanup")["unloaded_models"], ["mine"])
        told = self.daemon.get("/api/model/info?name=one").ok()
        self.assertEqual((self.states(), told["pinned"], told["names"]), ({"one": "a"}, True, ["one"]))

    def test_a_name_more_goes_alone_with_its_device_named_too(self):
        self.load("one", pinned=True).ok()
        self.load("again", path="one").ok()
        self.daemon.delete("/api/model/unload/a?name=again").ok()
        self.assertEqual(self.states(), {"one": "a"})
        self.load("again", path="one").ok()
        self.load("again", "b", path="one").ok()
        self.assertIn("other devices", self.daemon.delete("/api/model/unload/b?name=again").problem(409, "conflict")["detail"])
        self.assertEqual(self.states(), {"one": "ab"})

    def test_a_load_with_room_does_not_wait_for_who_wants_another_device(self):
        self.load("two", "b").ok()
        holder = self.connect(reclaim=True)
        place = holder.call("attach", model="two", deviceId="b")["memory"]["allocationId"]
        http = self.daemon.client("unix")
        self.addCleanup(http.close)
        waits = threading.Thread(target=lambda: self.load("more", "b", path="one", client=http).ok())
        waits.start()
        asked = holder.hear_asked()
        self.load("middle", None).ok()
        self.daemon.post("/api/model/cache", {"name": "one", "path": "one.safetensors", "type": "other"}).ok()
        self.assertTrue(waits.is_alive())  # It has had no room yet.
        holder.call("reclaimed", allocationId=place, bytes=asked["bytes"])  # A word before the deed.
        holder.call("detach", allocationId=place)
        waits.join()

    def test_who_dies_while_it_waits_for_room_has_nothing_evicted(self):
        self.load("one").ok()
        holder = self.connect()
        holder.call("attach", model="middle", path="middle.safetensors", deviceId="a")

        def work(tell):
            client = Attach(self.daemon.socket_path)
            client.send("allocate", sizeBytes=50 * MIB, deviceId="a", timeoutSeconds=60)
            client.call("list")  # So the daemon has read it.
            tell("waits")
            forever()

        child = Child(work)
        child.hear()
        self.assertEqual(self.waiting(), 1)
        child.kill()
        soon(lambda: self.waiting() == 0, "the dead waits")
        holder.close()
        soon(lambda: self.daemon.get("/api/model/info?name=middle").ok()["attachedClients"] == 0, "held yet")
        made = self.daemon.post("/api/memory/allocations/allocate", {"sizeBytes": 4096, "deviceId": "b"}).ok()  # Whoever could go would have gone.
        self.assertEqual(self.states(), {"one": "a", "middle": "a"})
        self.daemon.delete(f"/api/memory/allocations/{made['id']}").ok()

    def test_who_hangs_up_while_it_waits_for_room_gets_none(self):
        self.load("one").ok()
        holder = self.connect()
        holder.call("attach", model="middle", path="middle.safetensors", deviceId="a")
        body = json.dumps({"sizeBytes": 50 * MIB, "deviceId": "a", "timeoutSeconds": 60})
        for key, waiting in (("", 0), ("Idempotency-Key: mine\r\n", 1)):
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(self.daemon.http_socket)
                caller.sendall(f"POST /api/memory/allocations/allocate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{key}Content-Length: {len(body)}\r\n\r\n{body}".encode())
                soon(lambda: self.waiting() == 1, "it does not wait")
                if not waiting:  # Its own side alone: then it can be told.
                    caller.shutdown(socket.SHUT_WR)
                    told = caller.makefile("rb").read()
                    self.assertIn(b"HTTP/1.1 409 ", told)
                    self.assertIn(b'"code":"cancelled"', told)
            if not waiting:
                soon(lambda: self.waiting() == 0, "who has left waits")
        self.daemon.get("/api/model/status").ok()
        self.assertEqual((self.waiting(), self.states()), (1, {"one": "a", "middle": "a"}))  # Who can ask again by its key.
        holder.close()
        soon(lambda: self.waiting() == 0, "it gets nothing")
        made = [item for item in self.daemon.get("/api/memory/allocations").ok()["items"] if item["sizeBytes"] == 50 * MIB]
        self.assertEqual(len(made), 1)
        soon(lambda: self.daemon.delete(f"/api/memory/allocations/{made[0]['id']}?force=true").status == 200, "it is not ready")

    def waiting(self):
        lines = self.daemon.get("/metrics").body.decode().splitlines()
        return next(int(float(line.split()[1])) for line in lines if line.startswith("vramd_waiting_allocations "))

    def test_a_refused_load_leaves_the_name_where_it_was(self):
        self.cache("one")
        self.load("one", "b", path="large").problem(507, "insufficient-memory")
        self.assertEqual(self.states(), {"one": "cached"})
        self.assertEqual(self.daemon.get("/api/model/info?name=one").ok()["path"], "one.safetensors")
        self.load("one", path="large").ok()  # And one that finds its place has it.
        self.assertEqual(self.daemon.get("/api/model/info?name=one").ok()["path"], "large.safetensors")

    def test_what_is_loaded_can_be_had_elsewhere_though_its_file_is_gone(self):
        path = os.path.join(self.folder.name, "brief.safetensors")
        write_bytes_model(path, 2 * MIB, 7)
        self.load("brief", "b").ok()
        self.daemon.delete("/api/model/cache").ok()
        os.unlink(path)
        self.daemon.post("/api/model/cache/brief").ok()
        self.assertTrue(self.load("brief", "a", pinned=True).ok()["pinned"])
        self.assertEqual(self.states()["brief"], "ab")
        write_bytes_model(path, 3 * MIB, 8)  # Another one by now.
        told = self.load("brief", "a").problem(409, "name-in-use")
        self.assertIn("not the one any more", told["detail"])
        self.assertEqual(self.load("newer", "a", path="brief").ok()["state"], "resident")
        os.unlink(path)

    def test_a_target_of_nothing_is_a_target(self):
        for name in ("one", "two"):
            self.load(name).ok()
        told = self.daemon.post("/api/memory/operations/optimize", {"operations": ["cache"], "targetUsagePercentage": 0}).ok()
        self.assertEqual(sorted(told["actions"][0]["models"]), ["one", "two"])
        self.assertEqual(self.states(), {})

    def test_a_name_left_out_is_not_everything(self):
        self.cache("one")
        told = self.daemon.delete("/api/model/cache/").problem(404, "not-found")
        self.assertIn("name is missing", told["detail"])
        self.assertEqual(self.states(), {"one": "cached"})

    def test_a_load_that_waits_says_so(self):
        self.load("two", "b").ok()
        holder = self.connect(reclaim=True)
        place = holder.call("attach", model="two", deviceId="b")["memory"]["allocationId"]
        url = self.load("one", "b", waitForCompletion=False).headers["Location"]
        holder.hear_asked()
        self.assertEqual(self.daemon.get(url).ok()["stage"], "wait")
        holder.call("detach", allocationId=place)
        soon(lambda: self.daemon.get(url).ok()["stage"] == "done", "it waits yet")

    def test_figures_that_are_nothing_are_told(self):
        all_of_it = self.daemon.post("/api/memory/allocations/allocate", {"sizeBytes": 16 * MIB, "deviceId": "b"}).ok()
        self.addCleanup(lambda: self.daemon.delete(f"/api/memory/allocations/{all_of_it['id']}").ok())
        told = self.daemon.post("/api/memory/allocations/allocate", {"sizeBytes": 4096, "deviceId": "b"}).problem(507, "insufficient-memory")
        self.assertEqual((told["field"], told["value"], told["limit"]), ("/sizeBytes", 4096, 0))

    def test_names_to_preserve_that_stand_for_nothing_are_refused(self):
        self.load("one").ok()
        body = {"operations": ["cache"], "targetUsagePercentage": 1, "preserveModels": ["ghost"]}
        told = self.daemon.post("/api/memory/operations/optimize", body).problem(404, "not-found")
        self.assertEqual((told["field"], "ghost" in told["detail"]), ("/preserveModels", True))
        self.assertEqual(self.states(), {"one": "a"})


if __name__ == "__main__":
    unittest.main()
