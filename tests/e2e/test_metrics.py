#!/usr/bin/env python3
"""What /metrics tells of models by tier, evictions, links, replies, audits, the ledger's room and the devices' health is what happened."""
import os
import shutil
import unittest

from daemon import ROOT, Served

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
MIB = 1 << 20


@unittest.skipUnless(os.path.exists(os.path.join(SAMPLES, "silero_vad.onnx")), "the sample models are missing: ./dev samples")
class Metrics(Served):
    served = {"devices": ["host:a=64MiB", "host:b=32MiB"], "model_dirs": [SAMPLES], "arguments": ["--watermarks", "100,100"]}

    def figures(self):
        lines = self.daemon.get("/metrics").body.decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}

    def change(self, name, work):
        before = self.figures()[name]
        work()
        return self.figures()[name] - before

    def test_models_are_counted_by_tier_and_their_bytes_are_those_of_their_places(self):
        daemon = self.daemon
        record = daemon.post("/api/model/load/a", {"name": "vad", "path": "silero_vad.onnx", "type": "other"}).ok()
        loaded, copies, size = 'device="a",tier="device"', "vramd_model_copies", "vramd_model_copy_bytes"
        now = self.figures()
        self.assertEqual((now[f"{copies}{{{loaded}}}"], now[f"{size}{{{loaded}}}"]), (1, record["places"][0]["sizeBytes"]))
        daemon.delete("/api/model/unload?name=vad").ok()
        now = self.figures()
        self.assertEqual((now[f"{copies}{{{loaded}}}"], now[f'{copies}{{device="a",tier="ram"}}']), (0, 1))
        daemon.delete("/api/model/cache").ok()
        self.assertEqual(self.figures()[f'{size}{{device="a",tier="ram"}}'], 0)

    def test_a_model_that_had_to_go_is_an_eviction_and_one_that_was_unloaded_is_none(self):
        daemon = self.daemon
        daemon.post("/api/model/load/b", {"name": "det", "path": "ch_PP-OCRv4_det_infer.gguf", "type": "other"}).ok()
        place = next(one for one in daemon.get("/api/model/info?name=det").ok()["places"] if one["deviceId"] == "b")
        made, before = [], self.figures()
        self.assertEqual(self.change('vramd_evictions_total{device="b"}', lambda: made.append(daemon.post("/api/memory/allocations/allocate/b", {"sizeBytes": 30 * MIB}).ok())), 1)
        self.assertGreaterEqual(self.figures()['vramd_evicted_bytes_total{device="b"}'] - before['vramd_evicted_bytes_total{device="b"}'], place["sizeBytes"])
        daemon.delete(f"/api/memory/allocations/{made[0]['id']}").ok()
        daemon.post("/api/model/load/b", {"name": "det", "path": "ch_PP-OCRv4_det_infer.gguf", "type": "other"}).ok()
        self.assertEqual(self.change('vramd_evictions_total{device="b"}', lambda: daemon.delete("/api/model/unload/b?name=det").ok()), 0)
        daemon.delete("/api/model/cache").ok()

    def test_what_is_transferred_is_counted_for_its_own_link_and_direction(self):
        daemon = self.daemon
        made = daemon.allocate(4 * MIB, deviceId="a")
        there, back = ('vramd_link_transferred_bytes_total{from="a",to="b"}', 'vramd_link_transferred_bytes_total{from="b",to="a"}')
        before = self.figures()
        daemon.post("/api/memory/transfer", {"sourceAllocationId": made["id"], "targetDeviceId": "b", "mode": "move"}).ok()
        now = self.figures()
        self.assertEqual((now[there] - before[there], now[back] - before[back]), (4 * MIB, 0))
        while 'vramd_link_limit_bytes_per_second{from="a",to="b"}' not in self.figures():
            pass  # It is measured a second after the start.
        link = next(one for one in daemon.get("/api/devices/a").ok()["links"] if one["deviceId"] == "b")
        self.assertEqual(self.figures()['vramd_link_limit_bytes_per_second{from="a",to="b"}'], link["bytesPerSecond"])
        daemon.delete(f"/api/memory/allocations/{made['id']}").ok()

    def test_replies_are_counted_by_the_class_of_their_status(self):
        daemon = self.daemon
        for path, status, one in (("/api/system", 200, "2xx"), ("/api/memory/allocation/alc_0000000000000001", 404, "4xx")):
            # Counted when it is sent: this scrape's own reply is in the next one.
            self.assertEqual(self.change(f'vramd_http_replies_total{{class="{one}"}}', lambda path=path, status=status: self.assertEqual(daemon.get(path).status, status)), 2 if one == "2xx" else 1)
        full = {"sizeBytes": 63 * MIB, "deviceId": "b"}
        self.assertEqual(self.change('vramd_http_replies_total{class="5xx"}', lambda: daemon.post("/api/memory/allocations/allocate", full).problem(507, "insufficient-memory")), 1)

    def test_an_audit_is_counted_and_finds_nothing(self):
        self.assertEqual(self.change("vramd_audits_total", lambda: self.daemon.get("/api/audit").ok()), 1)
        now = self.figures()
        self.assertEqual((now["vramd_audit_findings"], now["vramd_audits_failed_total"]), (0, 0))

    def test_the_ledgers_room_shrinks_with_what_is_recorded_and_its_disk_is_the_state_directorys(self):
        before = self.figures()
        self.assertEqual(before["vramd_ledger_file_bytes"], 16 * MIB)
        self.assertAlmostEqual(before["vramd_ledger_disk_free_bytes"], shutil.disk_usage(self.daemon.state_dir).free, delta=64 * MIB)  # Others write there too.
        self.daemon.delete(f"/api/memory/allocations/{self.daemon.allocate(4096)['id']}").ok()
        spent = before["vramd_ledger_room_bytes"] - self.figures()["vramd_ledger_room_bytes"]
        self.assertTrue(0 < spent < 4096, spent)

    def test_a_device_is_in_one_state(self):
        now = self.figures()
        states = {state: now[f'vramd_device_health{{device="a",state="{state}"}}'] for state in ("good", "degraded", "lost")}
        self.assertEqual(sum(states.values()), 1)
        health = self.daemon.get("/api/devices/a").ok()["health"]
        self.assertEqual(states["good"] == 1, health == "good", states)


if __name__ == "__main__":
    unittest.main()
