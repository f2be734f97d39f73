#!/usr/bin/env python3
"""HTTP manners: methods, negotiation, packing, tags, preferences; an allocation's history; metrics that promtool takes."""
import gzip
import json
import shutil
import subprocess
import threading
import unittest

from daemon import Served

ALLOCATE = "/api/memory/allocations/allocate"


class Manners(Served):
    served = {"devices": ["host:a=64MiB"]}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.document = json.loads(cls.daemon.get("/openapi.json").body)

    def paths(self):
        for path, item in self.document["paths"].items():
            yield path.replace("{device}", "a").replace("{id}", "x").replace("{name}", "x").replace("{code}", "busy"), {word.upper() for word in item if word in ("get", "put", "post", "delete", "patch")}

    def test_each_path_says_its_methods_and_refuses_the_others_with_them(self):
        for path, methods in self.paths():
            allowed = set(methods) | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
            answer = self.daemon.default.request("OPTIONS", path)
            self.assertEqual((answer.status, answer.body), (204, b""), path)
            said = {word.strip() for word in answer.headers["Allow"].split(",")}
            self.assertTrue(allowed <= said, f"{path}: {said}")
            for method in sorted({"GET", "PUT", "POST", "DELETE", "PATCH"} - said):
                refused = self.daemon.default.request(method, path)
                self.assertEqual({word.strip() for word in refused.headers["Allow"].split(",")}, said, f"{method} {path}")
                refused.problem(405, "method-not-allowed")

    def test_head_is_get_without_the_body(self):
        for path, methods in self.paths():
            if "GET" not in methods or path == "/api/events":
                continue
            got, head = self.daemon.get(path), self.daemon.default.request("HEAD", path)
            self.assertEqual((head.status, head.headers.get("Content-Type"), head.body), (got.status, got.headers.get("Content-Type"), b""), path)
            self.assertIn("Content-Length", head.headers, path)

    def test_what_the_caller_does_not_take_is_406_and_names_what_there_is(self):
        for path, kind in (("/api/system", "application/json"), ("/api/events", "text/event-stream"), ("/metrics", "text/plain"), ("/problems", "text/html")):
            self.assertIn(kind, self.daemon.get(path, {"Accept": "image/png"}).problem(406, "not-acceptable")["detail"])
            if path != "/api/events":
                self.assertEqual(self.daemon.get(path, {"Accept": f"image/png, {kind};q=0.2"}).status, 200)

    def test_large_answers_are_packed_for_who_takes_that_and_for_nobody_else(self):
        plain = self.daemon.get("/openapi.json")
        self.assertNotIn("Content-Encoding", plain.headers)
        for accept in ("gzip", "deflate, gzip;q=0.5", "*", "GZIP"):
            packed = self.daemon.get("/openapi.json", {"Accept-Encoding": accept})
            self.assertEqual((packed.headers["Content-Encoding"], packed.headers["Vary"]), ("gzip", "Accept-Encoding"), accept)
            self.assertLess(len(packed.body) * 4, len(plain.body))
            self.assertEqual(gzip.decompress(packed.body), plain.body)
            self.assertTrue(packed.headers["ETag"].startswith("W/"))
        for accept in ("identity", "gzip;q=0", "br", "", "*;q=0"):
            self.assertNotIn("Content-Encoding", self.daemon.get("/openapi.json", {"Accept-Encoding": accept}).headers, accept)
        self.assertNotIn("Content-Encoding", self.daemon.get("/healthz", {"Accept-Encoding": "gzip"}).headers)
        for _ in range(20):
            self.daemon.allocate(100)
        listed = self.daemon.get("/api/memory/allocations", {"Accept-Encoding": "gzip"})
        self.assertEqual(listed.headers["Content-Encoding"], "gzip")
        self.assertEqual(len(json.loads(gzip.decompress(listed.body))["items"]), len(self.daemon.get("/api/memory/allocations").ok()["items"]))

    def test_a_range_of_what_may_have_changed_is_answered_with_the_whole(self):
        content = f"/api/memory/allocation/{self.daemon.allocate(100)['id']}/content"
        self.assertEqual(self.daemon.get(content, {"Range": "bytes=0-1"}).status, 206)
        for validator in ('"some-tag"', "Tue, 24 Nov 2026 10:00:00 GMT"):
            answer = self.daemon.get(content, {"Range": "bytes=0-1", "If-Range": validator})
            self.assertEqual((answer.status, len(answer.body)), (200, 100), validator)

    def test_a_packed_body_is_refused_and_not_stored_as_it_came(self):
        content = f"/api/memory/allocation/{self.daemon.allocate(100)['id']}/content"
        for path, method, body in ((content, "PUT", b"packed"), (ALLOCATE, "POST", b'{"sizeBytes":1}')):
            headers = {"Content-Type": "application/json" if method == "POST" else "application/octet-stream", "Content-Encoding": "gzip"}
            refused = self.daemon.default.request(method, path, body, headers).problem(415, "unsupported-media-type")
            self.assertIn("identity", refused["detail"])
            self.daemon.default.request(method, path, body, {**headers, "Content-Encoding": "identity"}).ok()
        self.assertEqual(self.daemon.get(content).body[:6], b"packed")

    def test_who_has_the_document_already_is_told_so(self):
        tag = self.daemon.get("/openapi.json").headers["ETag"]
        for given in (tag, "W/" + tag, f'"x", {tag}', "*"):
            answer = self.daemon.get("/openapi.json", {"If-None-Match": given})
            self.assertEqual((answer.status, answer.body, answer.headers["ETag"]), (304, b"", tag))
        self.assertEqual(self.daemon.get("/openapi.json", {"If-None-Match": '"x"'}).status, 200)

    def test_who_prefers_not_to_wait_is_answered_202_with_the_place_to_look(self):
        made = self.daemon.allocate(4096)
        answer = self.daemon.delete(f"/api/memory/allocations/{made['id']}", {"Prefer": "return=minimal, respond-async"})
        self.assertIn(answer.status, (200, 202))  # A free that is over already may win.
        self.assertEqual(answer.headers["Preference-Applied"], "respond-async")
        self.assertNotIn("Preference-Applied", self.daemon.get("/api/system", {"Prefer": "respond-async"}).headers)
        load = self.daemon.post("/api/model/load", {"name": "n", "path": "none.gguf", "type": "other"}, {"Prefer": "respond-async"})
        self.assertEqual((load.status, load.headers["Preference-Applied"]), (202, "respond-async"))
        self.assertTrue(load.headers["Location"].startswith("/api/operations/op_"))

    def test_pages_stay_right_while_things_are_made_between_them(self):
        def load(number):
            self.daemon.post("/api/model/load", {"name": f"page{number}", "path": "none.gguf", "type": "other", "waitForCompletion": False}).ok()

        for number in range(7):
            load(number)
        seen, cursor = [], ""
        while cursor is not None:
            page = self.daemon.get(f"/api/operations?limit=2{cursor and '&cursor=' + cursor}").ok()
            seen += [item["id"] for item in page["items"]]
            cursor = page["nextCursor"]
            load(len(seen) + 100)
        self.assertEqual(len(seen), len(set(seen)))
        everything = [item["id"] for item in self.daemon.get("/api/operations?limit=1000").ok()["items"]]
        self.assertEqual(seen, everything[len(everything) - len(seen):])

    def test_an_allocation_tells_its_life_through_the_core_s_death(self):
        daemon = self.daemon
        made = daemon.allocate(4096, purpose="life")
        path = f"/api/memory/allocation/{made['id']}"
        daemon.put(path + "/content", b"x" * 4096).ok()
        self.assertNotIn("history", daemon.get(path).ok())
        daemon.kill_core()
        daemon.get(path + "/content")
        told = daemon.get(path + "?includeHistory=true").ok()
        self.assertEqual([event["type"] for event in told["history"]], ["allocationReserved", "allocationReady", "allocationAccessed", "allocationAccessed"])
        self.assertEqual((told["historyComplete"], told["historyOmitted"]), (True, 0))
        self.assertTrue(all((event["allocationId"], event["owner"], event["deviceId"]) == (made["id"], "http", "a") for event in told["history"]))
        numbers = [event["sequence"] for event in told["history"]]
        self.assertEqual(numbers, sorted(set(numbers)))
        daemon.get("/api/memory/allocation/alc_0000000000000001?includeHistory=true").problem(404, "not-found")

    def test_prometheus_takes_the_metrics_and_they_are_what_the_api_says(self):
        made = self.daemon.allocate(3 << 20)
        answer = self.daemon.get("/metrics", {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"})
        self.assertTrue(answer.headers["Content-Type"].startswith("text/plain; version=0.0.4"))
        self.assertIsNotNone(shutil.which("promtool"), "the package prometheus is missing")
        checked = subprocess.run(["promtool", "check", "metrics"], input=answer.body, capture_output=True, check=False)
        self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, b""))
        figures = dict(line.rsplit(" ", 1) for line in answer.body.decode().splitlines() if not line.startswith("#"))
        status = self.daemon.get("/api/memory/status/a").ok()
        self.assertEqual(float(figures['vramd_device_capacity_bytes{device="a"}']), status["totalBytes"])
        self.assertEqual(float(figures['vramd_device_live_bytes{device="a"}']), status["usedBytes"] - status["zombieBytes"])
        self.assertEqual(float(figures['vramd_owner_live_bytes{owner="http"}']), status["usedBytes"] - status["zombieBytes"])
        before = float(figures['vramd_events_total{type="allocationFreed"}'])
        self.daemon.delete(f"/api/memory/allocations/{made['id']}").ok()
        after = dict(line.rsplit(" ", 1) for line in self.daemon.get("/metrics").body.decode().splitlines() if not line.startswith("#"))
        self.assertEqual(float(after['vramd_events_total{type="allocationFreed"}']), before + 1)
        self.assertEqual(float(figures['vramd_device_live_bytes{device="a"}']) - float(after['vramd_device_live_bytes{device="a"}']), made["grantedBytes"])
        self.assertGreater(float(after["vramd_http_requests_total"]), 1)

    def figures(self):
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in self.daemon.get("/metrics").body.decode().splitlines() if not line.startswith("#"))}

    def test_pressure_limits_transfers_and_who_waits_are_in_the_metrics_as_the_api_tells_them(self):
        daemon, admin = self.daemon, self.daemon.client("unix")
        before = self.figures()
        made = daemon.allocate(8 << 20)
        moved = daemon.post("/api/memory/transfer", {"sourceAllocationId": made["id"], "targetDeviceId": "a"}).ok()
        admin.request("PUT", "/api/memory/limits/a", {"maxPercentage": 75, "reserveBytes": 1 << 20, "ownerQuotas": {"http": 32 << 20, "anna": 1 << 20}}).ok()
        now = self.figures()
        limits, pressure = admin.request("GET", "/api/memory/limits/a").ok(), daemon.get("/api/memory/pressure/a").ok()
        self.assertEqual(now['vramd_device_limit_bytes{device="a"}'], limits["maxBytes"])
        for row in limits["ownerQuotas"]:
            labels = f'{{device="a",owner="{row["owner"]}"}}'
            self.assertEqual((now["vramd_owner_quota_bytes" + labels], now["vramd_owner_quota_used_bytes" + labels]), (row["quotaBytes"], row["heldBytes"]))
        self.assertEqual(len(limits["ownerQuotas"]), 2)
        self.assertEqual(now['vramd_device_available_bytes{device="a"}'], daemon.get("/api/memory/status/a").ok()["availableBytes"])
        causes = {cause: now[f'vramd_device_pressure_cause{{device="a",cause="{cause}"}}'] for cause in ("thisService", "otherProcesses", "system")}
        self.assertEqual((sum(causes.values()), causes[pressure["cause"]]), (1, 1))
        self.assertAlmostEqual(now['vramd_device_pressure_ratio{device="a"}'], pressure["level"] / 100, delta=0.2)  # The machine's part moves by itself.
        self.assertEqual(now["vramd_transfer_bytes_total"] - before["vramd_transfer_bytes_total"], moved["transferredBytes"])
        ended = 'vramd_transfers_ended_total{state="succeeded"}'
        self.assertEqual((now[ended] - before[ended], now['vramd_transfers{state="queued"}'], now['vramd_transfers{state="running"}']), (1, 0, 0))
        self.assertEqual(now["vramd_waiting_allocations"], 0)
        other = daemon.client("tcp")
        asked = threading.Thread(target=lambda: other.request("POST", "/api/memory/allocations/allocate", {"sizeBytes": 30 << 20, "timeoutSeconds": 60}).ok())
        asked.start()
        while self.figures()["vramd_waiting_allocations"] != 1:
            pass
        admin.request("PUT", "/api/memory/limits/a", {"maxPercentage": 100, "reserveBytes": 0, "ownerQuotas": {}}).ok()
        asked.join()
        other.close()
        self.assertFalse(any(name.startswith("vramd_owner_quota") and not name.startswith("#") for name in self.figures()))
        for record in daemon.get("/api/memory/allocations").ok()["items"]:
            daemon.delete(f"/api/memory/allocations/{record['id']}").ok()
        admin.close()


if __name__ == "__main__":
    unittest.main()
