#!/usr/bin/env python3
"""/openapi.json lists for each call only problems that it can answer: each was provoked somewhere in this suite, or stands below with a reason.

daemon.py notes what every script's answers showed; this script provokes what is the same for many calls, comes last and looks at all of it.
That nothing is answered which is not listed is seen at each answer (document.py).
"""
import json
import os
import signal
import socket
import tempfile
import unittest

import daemon as door
from daemon import BIN, ROOT, Answer, Daemon, Served
from document import Document

SHOWN = os.environ.get("VRAMD_PROVOKED", "")
SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
MODEL, OTHER_MODEL, LARGE_MODEL, BROKEN = "every-type.gguf", "silero_vad.gguf", "ch_PP-OCRv4_det_infer.gguf", "expected.json"
MIB = 1 << 20

# Of every call: what comes before any of them is looked at, or from the machine; and what takes a moment that a test from outside cannot hold.
ANYWHERE = {
    "forbidden": "who asks is looked at before what is asked (api_test: a stranger's token)",
    "malformed-request": "a request is read before its call is known (http's tests)",
    "method-not-allowed": "a method that a path lacks is no call of the document",
    "not-acceptable": "Accept is looked at before the call (api_test)",
    "header-too-large": "a head is read before its call is known (http's tests)",
    "system-failed": "the machine's own failure (engine_faults_test)",
    "busy": "a bound of what runs at once, or the daemon's stop (stop_test)",
    "device-lost": "a device that fails or is not configured any more (engine_faults_test, recovery)",
    "cancelled": "somebody else's cancel while this caller waits (upkeep_test, transfers_test, engine_faults_test)",
}
# (operation, code): why no test of this suite provokes it.
LOADS = ("loadModel", "loadModelOnDevice", "cacheModel", "cacheKnownModel")
ELSEWHERE = {
    ("streamEvents", "history-gone"): "history that was pruned while it was followed (event_feed_test)",
    ("transfer", "timed-out"): "a copy that takes longer than a second (transfers_test, decide_transfers_test)",
    ("cancelOperation", "read-only"): "an operation that a read-only core has found running",
    ("cancelTransfer", "read-only"): "a transfer that a read-only core has found queued",
    **{(load, "timed-out"): "a file that is not read within its deadline (hostile_test)" for load in LOADS},
    **{(call, "cancelled"): "who waits for room, and has closed its own side (test_admission)" for call in ("allocate", "allocateOnDevice")},
    **{("cacheKnownModel", code): "its file was changed, or moved, since it was loaded (models' tests)"
       for code in ("invalid-model", "path-not-allowed", "name-in-use", "unsupported")},
}


def keyed(document):
    """Calls that take an Idempotency-Key: two requests with one key at once are a conflict, of whichever call (replays_test)."""
    return {(operation["operationId"], "conflict") for item in document["paths"].values() for operation in item.values()
            if any(parameter["name"] == "Idempotency-Key" for parameter in operation["parameters"])}


def shown():
    """What all scripts of this build have provoked; nothing where one has not run since."""
    built = os.path.getmtime(os.path.join(BIN, "vramd-core"))
    provoked = set()
    folder = os.path.join(ROOT, "tests", "e2e")
    for script in sorted(os.listdir(folder)):
        record = os.path.join(SHOWN, script)
        if not script.startswith("test_") or script == os.path.basename(__file__):
            continue
        with open(os.path.join(folder, script), encoding="utf-8") as file:
            if "from daemon import" not in file.read():
                continue  # It keeps no record.
        if not os.path.exists(record) or os.path.getmtime(record) < built:
            return None
        with open(record, encoding="utf-8") as file:
            provoked |= {tuple(pair) for pair in json.load(file)}
    return provoked


@unittest.skipUnless(os.path.exists(os.path.join(SAMPLES, MODEL)), "no samples: ./dev samples")
class Calls(Served):
    """What is the same for many calls, and a call that no other script looks at."""

    @classmethod
    def setUpClass(cls):
        cls.own = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
        with open(os.path.join(cls.own.name, "old.gguf"), "wb") as file:
            file.write(b"GGUF" + (1).to_bytes(4, "little") + bytes(64))
        cls.served = {"devices": ["host:a=64MiB", "host:b=16MiB"], "model_dirs": [SAMPLES, cls.own.name], "door": "unix"}
        super().setUpClass()
        cls.kept = cls.daemon.allocate(4096, persistent=False, leaseSeconds=3600, deviceId="a")["id"]
        cls.large = cls.daemon.allocate(20 * MIB, deviceId="a")["id"]
        cls.daemon.post("/api/model/load", {"name": "m", "path": MODEL, "type": "other"}).ok()
        cls.document = json.loads(cls.daemon.get("/openapi.json").body)

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.own.cleanup()

    def call(self, operation, body=None, query="", headers=None, **parameters):
        """The call by its name, with {id}, {device} and {name} filled in."""
        method, path = next((method, path) for path, item in self.document["paths"].items() for method, told in item.items()
                            if told["operationId"] == operation)
        path = path.format(**{"id": self.kept, "device": "a", "name": "m", **parameters})
        return self.daemon.default.request(method.upper(), path + query, body, headers)

    def test_a_body_of_another_type_or_too_long_is_refused_by_every_call_that_takes_json(self):
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                if "application/json" not in operation.get("requestBody", {}).get("content", {}):
                    continue
                path = path.format(id=self.kept, device="a", name="m")
                with self.subTest(path=path):
                    self.daemon.default.request(method.upper(), path, b"{}", {"Content-Type": "text/plain"}).problem(415, "unsupported-media-type")
                    connection = self.daemon.default.connect()
                    connection.putrequest(method.upper(), path)
                    connection.putheader("Content-Type", "application/json")
                    connection.putheader("Content-Length", str(1 << 30))
                    connection.endheaders()
                    response = connection.getresponse()
                    answer = Answer(response.status, dict(response.getheaders()), response.read())
                    connection.close()
                    answer.problem(413, "too-large")
                    self.daemon.default.hold(method.upper(), path, answer)

    def test_what_is_not_there_is_missing(self):
        nowhere = "alc_0q3xw8c5k2mznd1"
        self.call("renewLease", {"leaseSeconds": 60}, id=nowhere).problem(404, "not-found")
        self.call("cancelOperation", id="op_0q3xw8c5k2mznd1").problem(404, "not-found")
        self.call("cancelTransfer", id="xfr_0q3xw8c5k2mznd1").problem(404, "not-found")
        self.call("cacheModel", {"name": "x", "path": "none.gguf", "type": "other"}).problem(404, "not-found")
        self.call("cacheKnownModel", name="none").problem(404, "not-found")
        self.call("uncacheModel", name="none").problem(404, "not-found")
        for operation in ("optimize", "optimizeDevice"):
            self.call(operation, {"preserveAllocationIds": [nowhere]}).problem(404, "not-found")

    def test_what_a_state_does_not_allow_is_a_conflict(self):
        holder = self.daemon.get("/api/model/info?name=m").ok()["places"][0]["allocationId"]
        self.call("writeContent", b"abc", id=holder).problem(409, "conflict")
        self.call("transfer", {"sourceAllocationId": self.kept, "targetAllocationId": self.large, "sourceOffsetBytes": 8192}).problem(416, "out-of-range")
        read = self.daemon.allocate(8 * MIB, deviceId="a")["id"]
        with self.reader_of(read):
            self.call("freeAllocation", id=read).problem(409, "leased")
            move = {"sourceAllocationId": read, "targetDeviceId": "b", "mode": "move", "waitForCompletion": False}
            self.call("transfer", move).ok()  # It waits for the reader.
            self.call("transfer", move).problem(409, "leased")
        self.call("loadModel", {"name": "read", "path": LARGE_MODEL, "type": "other", "deviceId": "b"}).ok()
        places = {place["deviceId"]: place["allocationId"] for place in self.daemon.get("/api/model/info?name=read").ok()["places"]}
        with self.reader_of(places["b"]):
            self.call("unloadModel", query="?name=read").problem(409, "leased")
            self.call("unloadModelFromDevice", query="?name=read", device="b").problem(409, "leased")
        with self.reader_of(places["a"]):
            self.call("uncacheModel", name="read").problem(409, "leased")
        while (answer := self.call("unloadModel", query="?name=read&keepCached=false")).status == 409:
            answer.problem(409, "leased")  # That the last reader has gone is heard a moment later.
        answer.ok()

    def reader_of(self, allocation):
        """Somebody who reads it and is not done: the rest waits in the socket."""
        reader = socket.socket(socket.AF_UNIX)
        reader.connect(self.daemon.http_socket)
        reader.sendall(f"GET /api/memory/allocation/{allocation}/content HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self.assertTrue(reader.recv(64))
        return reader

    def test_a_model_s_file_is_looked_at_by_every_call_that_loads_it(self):
        for operation in ("loadModelOnDevice", "cacheModel"):
            for path, status, code in ((BROKEN, 422, "invalid-model"), ("/etc/passwd", 403, "path-not-allowed")):
                self.call(operation, {"name": "x", "path": path, "type": "other"}).problem(status, code)
            self.call(operation, {"name": "m", "path": OTHER_MODEL, "type": "other"}).problem(409, "name-in-use")
        for operation in ("loadModel", "loadModelOnDevice"):
            self.call(operation, {"name": "x", "path": "old.gguf", "type": "other"}).problem(501, "unsupported")

    def test_limits_and_room_hold_for_every_call_that_takes_memory(self):
        """What each asks of a device without room, of a quota and of a limit that are too small."""
        asks = {"allocate": {"sizeBytes": 32 * MIB, "deviceId": "b"}, "allocateOnDevice": {"sizeBytes": 32 * MIB},
                "transfer": {"sourceAllocationId": self.large, "targetDeviceId": "b"},
                "loadModel": {"name": "x", "path": OTHER_MODEL, "type": "other", "deviceId": "b"},
                "loadModelOnDevice": {"name": "x", "path": OTHER_MODEL, "type": "other"}}
        filler = self.daemon.allocate(15 * MIB, deviceId="b")["id"]
        for operation, body in asks.items():
            with self.subTest(operation=operation):
                self.call(operation, body, device="b").problem(507, "insufficient-memory")
        self.call("allocateOnDevice", {"sizeBytes": 8 * MIB, "timeoutSeconds": 1}, device="b").problem(504, "timed-out")
        self.daemon.delete(f"/api/memory/allocations/{filler}").ok()
        whose = self.daemon.get("/api/system").ok()["owner"]
        for change, code in (({"ownerQuotas": {whose: 4096, "vramd": 4096}}, "quota-exceeded"), ({"ownerQuotas": {}, "maxBytes": 4096}, "limit-exceeded")):
            self.call("setLimits", change, device="b").ok()
            for operation, body in asks.items():
                with self.subTest(operation=operation, code=code):
                    self.call(operation, {**body, **({"sizeBytes": MIB} if "sizeBytes" in body else {})}, device="b").problem(409, code)
        self.call("setLimits", {"maxPercentage": 100}, device="b").ok()

    def test_the_cache_is_held_to_its_device_s_room_too(self):
        self.call("loadModelOnDevice", {"name": "there", "path": OTHER_MODEL, "type": "other"}, device="b").ok()
        self.call("uncacheModel", name="there").ok()
        asks = (("cacheModel", {"name": "x", "path": LARGE_MODEL, "type": "other"}), ("cacheKnownModel", None))
        for change, code in (({"ownerQuotas": {"vramd": 4096}}, "quota-exceeded"), ({"ownerQuotas": {}, "maxBytes": 4096}, "limit-exceeded")):
            self.call("setLimits", change).ok()
            for operation, body in asks:
                self.call(operation, body, name="there").problem(409, code)
        self.call("setLimits", {"maxPercentage": 100}).ok()
        filler = self.daemon.allocate(self.daemon.get("/api/memory/status/a").ok()["availableBytes"] - 2 * MIB, deviceId="a")["id"]
        for operation, body in asks:
            self.call(operation, body, name="there").problem(507, "insufficient-memory")
        self.daemon.delete(f"/api/memory/allocations/{filler}").ok()
        self.call("unloadModel", query="?name=there&keepCached=false").ok()

    def test_every_call_that_is_recorded_is_refused_while_nothing_can_be(self):
        self.call("loadModel", {"name": "cached", "path": OTHER_MODEL, "type": "other", "deviceId": "b"}).ok()
        told = self.daemon.system()
        for _ in range(12):  # Three within ten seconds are meant; a busy machine may need more to get there.
            if not told["readOnly"]:
                os.kill(told["corePid"], signal.SIGABRT)
                told = self.daemon.next_generation(told["generation"])
        self.assertTrue(told["readOnly"])
        load = {"name": "x", "path": OTHER_MODEL, "type": "other"}
        bodies = {"allocate": {"sizeBytes": 4096}, "allocateOnDevice": {"sizeBytes": 4096}, "renewLease": {"leaseSeconds": 60}, "defragment": {},
                  "defragmentDevice": {}, "optimize": {}, "optimizeDevice": {},
                  "transfer": {"sourceAllocationId": self.kept, "targetDeviceId": "b"}, "loadModel": load, "loadModelOnDevice": load, "cacheModel": load,
                  "setLimits": {"maxPercentage": 90}}
        listed = {operation for operation, code in Document(json.dumps(self.document)).listed() if code == "read-only"}
        for operation in sorted(listed - {operation for operation, code in ELSEWHERE if code == "read-only"} - {"readReadiness"}):
            with self.subTest(operation=operation):
                self.call(operation, bodies.get(operation), "?name=m" if operation.startswith("unload") else "",
                          name="cached" if operation == "uncacheModel" else "m").problem(503, "read-only")
        self.daemon.process.send_signal(signal.SIGHUP)
        self.daemon.next_generation(told["generation"])
        # The aborts were asked for here: the look for faults at the end is not to find them.
        os.truncate(os.path.join(self.daemon.folder, "log"), 0)


class Problems(unittest.TestCase):
    @unittest.skipUnless(SHOWN and os.path.exists(SAMPLES), "only with the whole suite, through ctest, and its samples")
    def test_every_problem_that_a_call_lists_is_one_that_it_answers(self):
        provoked = shown()
        if provoked is None:
            self.skipTest("only where the whole suite has run on this build")
        provoked |= door.document_of_this_build.provoked
        with Daemon() as daemon:
            document = Document(daemon.get("/openapi.json").body)
        listed = document.listed()
        never = {(operation, code) for operation, code in listed - provoked - set(ELSEWHERE) - keyed(document.document) if code not in ANYWHERE}
        self.assertEqual(sorted(never), [])
        self.assertEqual(sorted(set(ELSEWHERE) & provoked), [], "they are provoked: nothing need be said of them")
        self.assertEqual(sorted(set(ELSEWHERE) - listed), [], "no call lists them")


if __name__ == "__main__":
    unittest.main()
