#!/usr/bin/env python3
"""packaging/grafana/vramd.json: its shape, and every expression of its panels answered by a real Prometheus that scraped a real vramd with real models."""
import json
import os
import re
import unittest

from daemon import ROOT, Daemon
from prometheus_bed import Prometheus, needed

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
# Panels of Grafana 9 and later; what is not here is deprecated (graph, singlestat, table-old, …) or a plugin of somebody else's.
PANELS = {"row", "stat", "timeseries", "bargauge", "state-timeline"}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
MIB = 1 << 20


def dashboard():
    with open(os.path.join(ROOT, "packaging", "grafana", "vramd.json"), encoding="utf-8") as file:
        return json.load(file)


def targets(board):
    """(panel's title, expression) of all there are, the annotations' too."""
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def filled_in(expression):
    """The expression as Grafana would ask it with all daemons and devices chosen."""
    for word, value in (("$__rate_interval", "1m"), ("$instance", ".+"), ("$device", "a|b")):
        expression = expression.replace(word, value)
    assert "$" not in expression, expression
    return expression


class Shape(unittest.TestCase):
    def test_it_is_of_a_form_that_grafana_takes_and_has_no_deprecated_panel(self):
        board = dashboard()
        self.assertGreaterEqual(board["schemaVersion"], 36)
        self.assertIsNone(board["id"])
        self.assertEqual({panel["type"] for panel in board["panels"]} - PANELS, set())
        ids = [panel["id"] for panel in board["panels"]]
        self.assertEqual(len(ids), len(set(ids)))

    def test_which_prometheus_which_daemon_and_which_device_can_be_chosen(self):
        board = dashboard()
        variables = {one["name"]: one for one in board["templating"]["list"]}
        self.assertEqual((variables["datasource"]["type"], variables["datasource"]["query"]), ("datasource", "prometheus"))
        self.assertTrue(variables["device"]["multi"] and variables["device"]["includeAll"])
        for panel in board["panels"]:
            if panel["type"] == "row":
                continue
            self.assertEqual([one["datasource"] for one in [panel, *panel["targets"]]], [DATASOURCE] * (1 + len(panel["targets"])), panel["title"])
            self.assertTrue(panel["description"].endswith("."), panel["title"])
            for target in panel["targets"]:
                self.assertIn('instance=~"$instance"', target["expr"], panel["title"])
        for title, expression in targets(board):
            for device_metric in re.findall(r"vramd_(?:device|model_cop)\w+\{([^}]*)\}", expression):
                self.assertIn('device=~"$device"', device_metric, title)

    def test_no_panel_lies_on_another(self):
        taken = {}
        for panel in dashboard()["panels"]:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])):
                self.assertNotIn(cell, taken, f"{panel['title']} lies on {taken.get(cell)}")
                taken[cell] = panel["title"]


@needed("prometheus")
@unittest.skipUnless(os.path.exists(os.path.join(SAMPLES, "silero_vad.onnx")), "the sample models are missing: ./dev samples")
class Asked(unittest.TestCase):
    """One busy daemon, seen by one Prometheus."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(devices=["host:a=64MiB", "host:b=32MiB"], model_dirs=[SAMPLES], arguments=["--watermarks", "100,100"]).__enter__()
        cls.addClassCleanup(cls.daemon.__exit__, None, None, None)
        cls.daemon.kill_core()
        cls.prometheus = Prometheus(cls.daemon.port).__enter__()
        cls.addClassCleanup(cls.prometheus.__exit__)
        cls.prometheus.wait_for("count_over_time(vramd_read_only[10m]) >= 2")
        cls.work()
        cls.prometheus.wait_for("vramd_link_limit_bytes_per_second")
        seen = cls.prometheus.wait_for("count_over_time(vramd_read_only[10m])")[0][1]
        cls.prometheus.wait_for(f"count_over_time(vramd_read_only[10m]) >= {seen + 2}")

    @classmethod
    def work(cls):
        """Something of everything that the panels tell of."""
        daemon, admin = cls.daemon, cls.daemon.client("unix")
        for name, path in (("vad", "silero_vad.onnx"), ("det", "ch_PP-OCRv4_det_infer.gguf"), ("cls", "ch_ppocr_mobile_v2.0_cls_infer.safetensors")):
            daemon.post("/api/model/load/a", {"name": name, "path": path, "type": "other"}).ok()
        daemon.delete("/api/model/unload?name=cls").ok()
        daemon.post("/api/model/load/b", {"name": "rec", "path": "ch_PP-OCRv4_rec_infer.gguf", "type": "other"}).ok()
        made = daemon.allocate(4 * MIB, purpose="moved")
        daemon.post("/api/memory/transfer", {"sourceAllocationId": made["id"], "targetDeviceId": "b"}).ok()
        admin.request("PUT", "/api/memory/limits/a", {"reserveBytes": MIB, "ownerQuotas": {"http": 60 * MIB}}).ok()
        daemon.post("/api/memory/allocations/allocate/b", {"sizeBytes": 24 * MIB}).ok()  # The model there goes.
        daemon.get("/api/memory/allocation/alc_0000000000000001").problem(404, "not-found")
        daemon.post("/api/memory/allocations/allocate/b", {"sizeBytes": 30 * MIB}).problem(507, "insufficient-memory")
        admin.close()

    def value(self, expression):
        found = self.prometheus.wait_for(expression, 20)
        self.assertEqual(len(found), 1, f"{expression}: {found}")
        return found[0][1]

    def test_every_panel_has_an_answer_to_each_of_its_expressions(self):
        asked = list(targets(dashboard()))
        self.assertGreater(len(asked), 30)
        for title, expression in asked:
            with self.subTest(title, expression=expression):
                self.prometheus.wait_for(filled_in(expression), 20)

    def test_the_five_parts_of_a_device_are_its_capacity_and_what_the_api_says(self):
        panel = next(one for one in dashboard()["panels"] if one.get("repeat") == "device")
        named = {target["legendFormat"].removeprefix("{{device}} "): filled_in(target["expr"]).replace("a|b", "a") for target in panel["targets"]}
        self.assertEqual(list(named), ["live by ours", "zombie", "reserved", "other programs", "free", "capacity"])
        parts = {name: self.value(expression) for name, expression in named.items()}
        self.assertEqual(sum(parts.values()), 2 * parts["capacity"], parts)
        status = self.daemon.get("/api/memory/status/a").ok()
        self.assertEqual((parts["live by ours"], parts["zombie"], parts["reserved"], parts["capacity"]), tuple(status[name] for name in ("liveBytes", "zombieBytes", "reservedBytes", "totalBytes")))
        self.assertEqual(parts["reserved"], MIB)

    def test_what_was_done_is_seen(self):
        self.assertEqual(self.value('vramd_model_copies{device="a",tier="device"}'), 2)
        self.assertEqual(self.value('vramd_model_copies{device="a",tier="ram"}'), 2)  # What was unloaded, and what came to b by way of the cache.
        self.assertGreater(self.value('increase(vramd_evictions_total{device="b"}[5m])'), 0)
        self.assertEqual(self.value('vramd_link_transferred_bytes_total{from="a",to="b"}'), 4 * MIB)
        self.assertGreater(self.value('increase(vramd_http_replies_total{class="5xx"}[5m])'), 0)
        self.assertEqual(self.value("vramd_core_starts_total"), 2)
        self.assertEqual(self.value('vramd_owner_quota_bytes{owner="http"}'), 60 * MIB)

    def test_the_rules_are_worked_out_without_a_fault_and_none_fires_that_should_not(self):
        rules = [rule for group in self.prometheus.ask("/api/v1/rules")["groups"] for rule in group["rules"]]
        self.assertGreater(len(rules), 12)
        self.assertEqual([(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] == "err"], [])
        firing = {rule["name"] for rule in rules if rule["type"] == "alerting" and rule["state"] == "firing"}
        self.assertEqual(firing - {"VramdPressureCritical", "VramdLedgerNearFull", "VramdDeviceDegraded"}, set())  # Those three are the machine's own affair.
        self.prometheus.wait_for("vramd:device_obtainable_bytes")


if __name__ == "__main__":
    unittest.main()
