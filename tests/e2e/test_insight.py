#!/usr/bin/env python3
"""How tight memory is, how it was and what would help: pressure, usage over a window, analytics, advice, model memory."""
import json
import os
import re
import subprocess
import time
import unittest

from daemon import BIN, ROOT, Daemon

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
MIB = 1 << 20
OPTIMIZE = "/api/memory/operations/optimize-models"


def until(ask, holds, seconds=30):
    """The first answer of `ask` that holds; each ask is a request, so nothing is waited for without asking."""
    deadline = time.monotonic() + seconds
    while True:
        told = ask()
        if holds(told):
            return told
        assert time.monotonic() < deadline, told


class Insight(unittest.TestCase):
    def daemon(self, *devices, models=False):
        return Daemon(devices=devices or ["host:a=64MiB"], model_dirs=[SAMPLES] if models else [])

    def test_pressure_follows_what_is_allocated_and_a_crossing_is_recorded_once_also_over_a_crash(self):
        with self.daemon() as daemon:
            calm = daemon.get("/api/memory/pressure/a").ok()
            self.assertEqual((calm["band"], calm["recordedBand"], calm["thresholds"]), ("low", "low", {"moderate": 75, "high": 90, "critical": 95}))
            self.assertEqual(calm["recommendedActions"], [])
            self.assertIn("machine", [part["part"] for part in calm["parts"]])
            made = daemon.allocate(50 * MIB)
            tight = daemon.get("/api/memory/pressure/a").ok()
            self.assertGreaterEqual(tight["level"], 78.12)
            room = next(part for part in tight["parts"] if part["part"] == "room")
            self.assertEqual((room["level"], room["usedBytes"], room["wholeBytes"], room["cause"]), (78.12, 50 * MIB, 64 * MIB, "thisService"))
            self.assertEqual(tight["availableBytes"], 14 * MIB)
            recorded = until(lambda: daemon.get("/api/memory/pressure/a").ok(), lambda told: told["recordedBand"] != "low")
            self.assertEqual(recorded["recordedBand"], recorded["band"])
            self.assertIn("trend", recorded)
            sequence = daemon.system()["ledgerSequence"]
            daemon.kill_core()
            again = daemon.get("/api/memory/pressure/a").ok()
            self.assertEqual((again["recordedBand"], again["recordedSince"]), (recorded["recordedBand"], recorded["recordedSince"]))
            until(lambda: daemon.get("/api/memory/pressure/a").ok(), lambda told: "trend" in told)  # More than a second has passed.
            self.assertLessEqual(daemon.system()["ledgerSequence"], sequence + 1)
            daemon.delete(f"/api/memory/allocations/{made['id']}").ok()
            until(lambda: daemon.get("/api/memory/pressure/a").ok(), lambda told: told["recordedBand"] == "low")
            daemon.get("/api/memory/pressure/b").problem(404, "not-found")
            self.assertTrue(daemon.get("/api/audit").ok()["ok"])

    def test_the_tightest_device_stands_for_all(self):
        with self.daemon("host:a=64MiB", "host:b=64MiB") as daemon:
            daemon.allocate(62 * MIB, deviceId="b")
            told = daemon.get("/api/memory/pressure").ok()
            levels = {device["deviceId"]: device["level"] for device in told["devices"]}
            self.assertEqual((told["level"], told["band"]), (max(levels.values()), "critical"))
            self.assertEqual(next(device for device in told["devices"] if device["deviceId"] == "b")["timeToCriticalSeconds"], 0)

    def test_every_recommended_action_names_a_call_that_exists(self):
        with self.daemon("host:a=64MiB", "host:b=128MiB", models=True) as daemon:
            paths = json.loads(daemon.get("/openapi.json").body)["paths"]
            patterns = [(method.upper(), re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + "$")) for path, item in paths.items() for method in item]
            daemon.post("/api/model/load", {"name": "vad", "path": "silero_vad.onnx", "type": "other", "deviceId": "a"}).ok()
            daemon.allocate(50 * MIB, deviceId="a")
            actions = next(device for device in daemon.get("/api/memory/pressure").ok()["devices"] if device["deviceId"] == "a")["recommendedActions"]
            actions += daemon.get("/api/memory/optimization").ok()["recommendations"]
            kinds = {action["action"] for action in actions}
            self.assertLessEqual({"evictModels", "lookAtUsage"}, kinds)
            for action in actions:
                call = action["call"]
                self.assertTrue(any(method == call["method"] and pattern.match(call["path"]) for method, pattern in patterns), call)
                self.assertTrue(action["reason"])

    def test_following_the_advice_brings_what_it_said(self):
        with self.daemon("host:a=64MiB", models=True) as daemon:
            for name, path in (("vad", "silero_vad.onnx"), ("det", "ch_PP-OCRv4_det_infer.gguf")):
                daemon.post("/api/model/load", {"name": name, "path": path, "type": "other"}).ok()
            daemon.allocate(50 * MIB)
            advice = [one for one in daemon.get("/api/memory/optimization").ok()["recommendations"] if one["action"] == "evictModels"]
            self.assertEqual(len(advice), 1)
            call = advice[0]["call"]
            done = daemon.post(call["path"], call["body"]).ok()
            self.assertEqual(done["freedBytes"], advice[0]["freedBytes"])
            device = done["devices"][0]
            for figure in ("usedBytes", "uncommittedBytes", "largestFreeBytes", "fragmentationPercentage"):
                self.assertEqual(device["after"][figure], advice[0]["after"][figure], figure)
            self.assertTrue(daemon.get("/api/audit").ok()["ok"])

    def test_usage_over_each_window_is_right_and_outlives_the_core(self):
        with self.daemon() as daemon:
            ids = [daemon.allocate(MIB, purpose="scratch")["id"] for _ in range(10)]
            for one in ids[:4]:
                daemon.delete(f"/api/memory/allocations/{one}").ok()

            def check(past):
                self.assertEqual((past["peakBytes"], past["allocatedCount"], past["allocatedBytes"], past["freedCount"], past["freedBytes"]), (10 * MIB, 10, 10 * MIB, 4, 4 * MIB))
                self.assertEqual(past["meanAllocationBytes"], MIB)
                self.assertEqual([(owner["name"], owner["peakBytes"]) for owner in past["byOwner"]], [("http", 10 * MIB)])
                self.assertEqual(past["byPurpose"], [])  # No admin asks here.
                self.assertLessEqual(past["averageBytes"], 10 * MIB)

            for window in ("1m", "5m", "1h", "24h", "7d"):
                told = daemon.get(f"/api/memory/usage/a?window={window}").ok()
                self.assertEqual((told["liveBytes"], told["past"][0]["window"]), (6 * MIB, window))
                check(told["past"][0])
            check(daemon.get("/api/memory/usage").ok()["past"][0])
            daemon.kill_core()
            past = until(lambda: daemon.get("/api/memory/usage/a?window=5m").ok()["past"][0], lambda told: told["allocatedCount"] > 0)
            check(past)
            daemon.get("/api/memory/usage?window=2h").problem(400, "invalid-field")
            admin = Daemon.client(daemon, "unix").request("GET", "/api/memory/usage/a").ok()
            self.assertEqual([purpose["name"] for purpose in admin["past"][0]["byPurpose"]], ["scratch"])

    def test_analytics_tell_rates_efficiency_and_how_it_went(self):
        with self.daemon("host:a=64MiB", "host:b=64MiB") as daemon:
            ids = [daemon.allocate(300_000, deviceId="a")["id"] for _ in range(8)]
            for one in ids[::2]:
                daemon.delete(f"/api/memory/allocations/{one}").ok()
            told = daemon.get("/api/memory/analytics?deviceId=a&window=1m").ok()
            self.assertEqual([device["deviceId"] for device in told["devices"]], ["a"])
            device = told["devices"][0]
            self.assertEqual(sum(point["allocatedCount"] for point in device["points"]), 8)
            self.assertGreater(device["throughput"]["allocationsPerSecond"], 0)
            self.assertEqual(device["efficiency"]["requestedBytes"], 4 * 300_000)
            self.assertEqual(device["efficiency"]["grantedBytes"], 4 * 300_032)
            self.assertEqual(device["fragmentation"], daemon.get("/api/memory/status/a?includeFragmentation=true").ok()["fragmentation"])
            points = until(lambda: daemon.get("/api/memory/analytics?deviceId=a").ok()["devices"][0]["fragmentationPoints"], bool)
            self.assertGreater(points[-1]["holes"], 0)
            self.assertEqual(len(daemon.get("/api/memory/analytics").ok()["devices"]), 2)
            daemon.get("/api/memory/analytics?deviceId=nowhere").problem(404, "not-found")

    def test_analytics_tell_copies_and_clears_as_they_tell_transfers(self):
        with self.daemon("host:a=64MiB", "host:b=64MiB") as daemon:
            one, two = (daemon.allocate(4 * MIB, deviceId="a")["id"] for _ in range(2))
            for size in (4 * MIB, MIB):
                copied = daemon.post("/api/memory/operations/copy", {"sourceAllocationId": one, "targetAllocationId": two, "sizeBytes": size}).ok()
                self.assertEqual(copied["bytes"], size)
            daemon.post("/api/memory/operations/clear", {"allocationId": two, "fillValue": 7}).ok()
            small = [daemon.allocate(100_000, deviceId="a")["id"] for _ in range(2)]  # In one block, which stays for the other.
            daemon.delete(f"/api/memory/allocations/{small[0]}").ok()
            admin = daemon.client("unix")
            swept = admin.request("POST", "/api/memory/operations/clear/a", {"fillValue": 1}).ok()
            admin.close()
            self.assertGreater(swept["bytes"], 0)
            daemon.post("/api/memory/transfer", {"sourceAllocationId": one, "targetDeviceId": "b"}).ok()
            for window in ("1m", "1h", "7d"):
                told = {device["deviceId"]: device["throughput"] for device in daemon.get(f"/api/memory/analytics?window={window}").ok()["devices"]}
                self.assertEqual((told["a"]["copies"]["count"], told["a"]["copies"]["bytes"]), (2, 5 * MIB), window)
                self.assertEqual((told["a"]["clears"]["count"], told["a"]["clears"]["bytes"]), (2, 4 * MIB + swept["bytes"]))
                self.assertEqual((told["a"]["transfers"]["count"], told["a"]["transfers"]["bytes"]), (1, 4 * MIB))
                self.assertEqual((told["b"]["copies"]["count"], told["b"]["clears"]["count"], told["b"]["transfers"]["count"]), (0, 0, 1))
                self.assertNotIn("bytesPerSecond", told["b"]["copies"])
                for work in ("copies", "clears", "transfers"):
                    self.assertGreater(told["a"][work]["bytesPerSecond"], 0)
            measured = until(lambda: daemon.get("/api/memory/analytics").ok()["devices"][0]["throughput"], lambda told: told["clears"]["limitBytesPerSecond"] > 0)
            for work in ("copies", "clears", "transfers"):
                self.assertGreater(measured[work]["efficiencyPercentage"], 0)

    def test_limits_that_stand_in_somebody_s_way_are_advised_to_be_changed_and_following_that_helps(self):
        with self.daemon("host:a=64MiB") as daemon:
            admin = daemon.client("unix")
            admin.request("PUT", "/api/memory/limits/a", {"reserveBytes": 16 * MIB, "ownerQuotas": {"http": 10 * MIB, "anna": MIB}}).ok()
            daemon.allocate(9 * MIB + MIB // 2)
            daemon.post("/api/memory/allocations/allocate", {"sizeBytes": 2 * MIB}).problem(409, "quota-exceeded")

            def advised(kind):
                return next((one for one in admin.request("GET", "/api/memory/optimization").ok()["recommendations"] if one["action"] == kind), None)

            def follow(advice):
                return admin.request(advice["call"]["method"], advice["call"]["path"], advice["call"]["body"]).ok()

            self.assertNotIn("raiseQuota", [one["action"] for one in daemon.get("/api/memory/optimization").ok()["recommendations"]], "only an admin may")
            raised = follow(advised("raiseQuota"))
            self.assertEqual([row["owner"] for row in raised["ownerQuotas"]], ["anna", "http"])
            daemon.allocate(2 * MIB)
            admin.request("PUT", "/api/memory/limits/a", {"maxBytes": 18 * MIB}).ok()
            over = advised("raiseLimit")
            self.assertEqual(follow(over)["availableBytes"], over["freedBytes"])
            self.assertIsNone(advised("raiseLimit"))
            admin.request("PUT", "/api/memory/limits/a", {"maxPercentage": 100, "ownerQuotas": {}}).ok()
            waiting = subprocess.Popen([os.path.join(BIN, "vramctl"), "--url", f"http://127.0.0.1:{daemon.port}", "alloc", "44MiB", "--timeout", "60"], stdout=subprocess.PIPE)
            lowered = until(lambda: advised("lowerReserve"), lambda told: told is not None)
            self.assertIn("http waits for 46137344 bytes", lowered["reason"])
            follow(lowered)
            self.assertEqual(waiting.wait(timeout=60), 0, waiting.communicate()[0])
            waiting.stdout.close()
            admin.close()

    def test_models_are_unloaded_by_strategy_exclusions_and_bounds(self):
        with self.daemon("host:a=64MiB", models=True) as daemon:
            for name, path in (("one", "silero_vad.onnx"), ("two", "ch_PP-OCRv4_det_infer.gguf"), ("three", "ch_ppocr_mobile_v2.0_cls_infer.onnx")):
                daemon.post("/api/model/load", {"name": name, "path": path, "type": "other"}).ok()
            memory = daemon.get("/api/memory/models").ok()
            self.assertTrue(memory["agrees"], memory)
            self.assertEqual(memory["devices"][0]["modelBytes"], memory["devices"][0]["deviceBytes"])
            self.assertEqual({model["name"] for model in memory["devices"][0]["models"]}, {"one", "two", "three"})
            nothing = daemon.post(OPTIMIZE, {"strategy": "balanced"}).ok()
            self.assertEqual(([model["stays"] for model in nothing["left"]], nothing["unloaded"]), (["notNeeded"] * 3, []))
            idle = daemon.post(OPTIMIZE, {"strategy": "conservative", "targetPressurePercentage": 0}).ok()
            self.assertEqual({model["stays"] for model in idle["left"]}, {"touchedLately"})
            dry = daemon.post(OPTIMIZE, {"strategy": "aggressive", "targetPressurePercentage": 0, "excludeModels": ["two"], "maxModels": 1, "dryRun": True}).ok()
            self.assertTrue(dry["dryRun"])
            self.assertEqual(daemon.get("/api/model/status").ok()["modelCount"], 3)
            done = daemon.post(OPTIMIZE, {"strategy": "aggressive", "targetPressurePercentage": 0, "excludeModels": ["two"], "maxModels": 1}).ok()
            self.assertEqual([model["name"] for model in done["unloaded"]], ["one"])
            self.assertEqual({model["name"]: model["stays"] for model in done["left"]}, {"two": "excluded", "three": "bound"})
            self.assertEqual((done["freedBytes"], done["unloaded"]), (dry["freedBytes"], dry["unloaded"]))
            self.assertFalse(done["devices"][0]["targetReached"])
            smart = daemon.post(OPTIMIZE, {"strategy": "smart", "targetPressurePercentage": 0}).ok()
            self.assertEqual(len(smart["unloaded"]), 2)
            self.assertEqual(daemon.get("/api/model/status").ok()["modelCount"], 0)
            daemon.post(OPTIMIZE, {"strategy": "gentle"}).problem(400, "invalid-field")
            daemon.post(OPTIMIZE, {"deviceId": "nowhere"}).problem(404, "not-found")
            daemon.post(OPTIMIZE, {"excludeModels": ["nobody"]}).problem(404, "not-found")
            self.assertTrue(daemon.get("/api/audit").ok()["ok"])

    def test_vramctl_shows_each_as_a_table_and_as_the_servers_json(self):
        with self.daemon("host:a=64MiB", models=True) as daemon:
            daemon.post("/api/model/load", {"name": "vad", "path": "silero_vad.onnx", "type": "other"}).ok()
            daemon.allocate(50 * MIB)

            def run(*words):
                done = subprocess.run([os.path.join(BIN, "vramctl"), "--socket", daemon.http_socket, *words], capture_output=True, text=True, timeout=60)
                self.assertEqual(done.returncode, 0, done.stderr)
                return done.stdout

            self.assertRegex(run("pressure"), r"DEVICE.*LEVEL.*BAND.*CAUSE[\s\S]*moderate")
            self.assertEqual(json.loads(run("-o", "json", "pressure", "a"))["deviceId"], "a")
            self.assertRegex(run("analytics", "--window", "1m"), r"DEVICE.*MEAN USE[\s\S]*a ")
            self.assertRegex(run("advise"), r"ACTION[\s\S]*evictModels[\s\S]*optimize-models")
            self.assertIn("recommendations", json.loads(run("-o", "json", "advise")))


if __name__ == "__main__":
    unittest.main()
