#!/usr/bin/env python3
"""Every example of /openapi.json is sent to a real daemon and does what it says: each body, each parameter, each header.

The examples speak of one small world (src/api/examples.hpp); it is made anew before each request, and their ids are replaced by real ones.
"""
import json
import os
import re
import shutil
import tempfile
import time
import unittest
import urllib.parse

from daemon import ROOT, Daemon

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
FILE = "ch_PP-OCRv4_det_infer.onnx"
MIB = 1 << 20
# What must be so with the model before the call; else it is loaded on host0.
ABSENT = ("loadModel", "loadModelOnDevice", "cacheModel")
CACHED = ("uncacheModel", "readCachedModel")
# Work that may have ended before its cancel comes: then they say so.
CANCELS = ("cancelTransfer", "cancelOperation")


@unittest.skipUnless(os.path.exists(os.path.join(SAMPLES, FILE)), "no samples: ./dev samples")
class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.own = tempfile.TemporaryDirectory(prefix="vramd-examples-")  # pylint: disable=consider-using-with
        os.mkdir(os.path.join(cls.own.name, "ocr"))
        shutil.copy(os.path.join(SAMPLES, FILE), os.path.join(cls.own.name, "ocr"))
        cls.daemon = Daemon(devices=["host:host0=256MiB", "host:host1=256MiB"], model_dirs=[cls.own.name], door="unix").__enter__()
        cls.document = json.loads(cls.daemon.get("/openapi.json").body)
        cls.operations = [(method.upper(), path, operation) for path, item in cls.document["paths"].items() for method, operation in item.items()]

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)
        cls.own.cleanup()

    def model(self, name):
        """Makes the model absent, cached, or loaded on host0."""
        self.daemon.delete("/api/model/unload?name=detector")
        self.daemon.delete("/api/model/cache").ok()
        if name in ABSENT:
            return
        self.daemon.post("/api/model/load/host0", {"name": "detector", "path": f"ocr/{FILE}", "type": "other"}).ok()
        if name in CACHED:
            self.daemon.delete("/api/model/unload?name=detector").ok()

    def world(self, name):
        """The real ids that stand for those of the examples, and what else a request must have from this daemon."""
        for held in self.daemon.get("/api/memory/allocations?owner=uid:0").ok()["items"]:
            self.daemon.delete(f"/api/memory/allocations/{held['id']}").ok()
        self.model(name)
        lasts = name != "renewLease"
        first, second = (self.daemon.allocate(2 * MIB, deviceId="host0", persistent=lasts)["id"] for _ in range(2))
        self.daemon.put(f"/api/memory/allocation/{first}/content", b"hello").ok()
        transfer = self.daemon.post("/api/memory/transfer", {"sourceAllocationId": first, "targetAllocationId": second, "sizeBytes": 4096}).ok()["id"]
        operation = self.daemon.post("/api/memory/operations/defragment", {"waitForCompletion": False}).ok()["id"]
        return {"alc_0q3xw8c5k2mznd1": first, "alc_7t1vb9e4h6pqrs2": second, "xfr_6k2mznd10q3xw8c5": transfer, "op_5g7hj2k4m6npqr8": operation}

    def real(self, text, world):
        for shown, there in world.items():
            text = text.replace(shown, there)
        return text

    def header(self, operation, parameter, number):
        """The header's value for this daemon: what names a state must name the present one, in the example's form."""
        name, example = parameter["name"], parameter["example"]
        if name in ("If-Match", "If-None-Match"):
            tag = self.daemon.get("/api/memory/limits/host0").headers["ETag"]
            self.assertRegex(example, re.sub(r"\d+", r"\\d+", re.escape(tag).replace("\\\"", '"')) + "$")
            return tag
        if name == "Last-Event-ID":
            self.assertRegex(example, r"^\d+$")
            return str(self.daemon.system()["ledgerSequence"] - 1)
        return f"{example}-{operation['operationId']}-{number}" if name == "Idempotency-Key" else example

    def requests(self, operation):
        """(parameters beside the required ones, name and text of the body): one for each example."""
        bodies = [(name, example["value"]) for content in operation.get("requestBody", {}).get("content", {}).values() for name, example in content["examples"].items()]
        yield from ([((), *body) for body in bodies] or [((), None, None)])
        for parameter in operation["parameters"]:
            if not parameter["required"]:
                yield (parameter,), *(bodies[0] if bodies else (None, None))

    def send(self, method, path, operation, more, body, number):
        """The answer to one example."""
        name = operation["operationId"]
        world = self.world(name)
        query, headers = {"follow": "false"} if operation["operationId"] == "streamEvents" else {}, {}
        for parameter in [one for one in operation["parameters"] if one["required"]] + list(more):
            example = parameter["example"] if isinstance(parameter["example"], str) else json.dumps(parameter["example"])
            if parameter["in"] == "path":
                path = path.replace("{" + parameter["name"] + "}", self.real(example, world))
            elif parameter["in"] == "query":
                query.setdefault(parameter["name"], self.real(example, world))
            else:
                headers[parameter["name"]] = self.header(operation, parameter, number)
        if isinstance(body, dict):
            body = json.loads(self.real(json.dumps(body), world))
        elif "Content-Range" in headers:
            body = b"x" * 1024  # As many as its example says.
        elif body is not None:
            body = body.encode()
        target = path + ("?" + urllib.parse.urlencode(query) if query else "")
        return self.daemon.default.request(method, target, body, headers)

    def send_in_peace(self, *call, operation_id):
        """The answer once what an earlier example began, and did not wait for, is over."""
        deadline = time.monotonic() + 30
        while True:
            try:
                answer = self.send(*call)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
                continue
            if answer.status != 409 or operation_id in CANCELS or time.monotonic() > deadline:
                return answer

    def test_every_example_is_a_request_that_succeeds(self):
        sent = 0
        for method, path, operation in self.operations:
            for number, (more, name, body) in enumerate(self.requests(operation)):
                shown = f"{operation['operationId']}, example {name or '-'}, with {[one['name'] for one in more]}"
                with self.subTest(shown):
                    answer = self.send_in_peace(method, path, operation, more, body, number, operation_id=operation["operationId"])
                    if operation["operationId"] in CANCELS and answer.status == 409:
                        self.assertIn("has ended already", answer.problem(409, "conflict")["detail"])
                        continue
                    self.assertIn(answer.status, (200, 201, 202, 206, 304), f"{shown}: {answer.status} {answer.body[:600]!r}")
                    sent += 1
        self.assertGreater(sent, 120)

    def test_what_is_shown_of_an_answer_that_is_no_json_is_in_the_answer(self):
        looked = 0
        for method, path, operation in self.operations:
            media, content = next(iter(operation["responses"]["200"]["content"].items())) if "200" in operation["responses"] else ("", {})
            if media in ("", "application/json", "text/event-stream"):
                continue
            got = self.send(method, path, operation, (), None, 0).body.decode()
            for line in re.sub(r"</head>.*", "", re.sub(r".*<title>", "<title>", content["example"])).splitlines():
                self.assertIn(re.sub(r"^(vramd_\S+) \d+$", r"\1 ", line), got, operation["operationId"])
                looked += 1
        self.assertGreater(looked, 4)
        shown = self.document["paths"]["/openapi.json"]["get"]["responses"]["200"]["content"]["application/json"]["example"]
        self.assertEqual({"openapi": self.document["openapi"], "info": {"title": self.document["info"]["title"]}, "tags": [{"name": self.document["tags"][0]["name"]}]}, shown)

    def test_a_dry_run_changes_nothing_and_says_so_in_its_name(self):
        """The examples called trial are safe to send to a daemon that serves somebody."""
        trials = [(method, path, operation, example["value"]) for method, path, operation in self.operations
                  for content in operation.get("requestBody", {}).get("content", {}).values() for name, example in content["examples"].items() if name == "trial"]
        self.assertGreater(len(trials), 3)
        for method, path, operation, body in trials:
            self.assertIs(body["dryRun"], True, operation["operationId"])


if __name__ == "__main__":
    unittest.main()
