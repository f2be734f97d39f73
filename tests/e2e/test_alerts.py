#!/usr/bin/env python3
"""packaging/prometheus: promtool takes the rules, each alert fires and does not fire as its tests say, asks for metrics that there are, and has its page of the runbook."""
import os
import re
import subprocess
import unittest

from daemon import ROOT, Daemon
from prometheus_bed import RULES, needed

ALERT = re.compile(r"^      - alert: (\w+)\n(.*?)(?=^      - alert: |\Z)", re.M | re.S)


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def alerts():
    """{name: its lines}"""
    return dict(ALERT.findall(read("packaging", "prometheus", "vramd-alerts.yml")))


class Alerts(unittest.TestCase):
    def promtool(self, *words):
        ran = subprocess.run(["promtool", *words], cwd=RULES, capture_output=True, text=True, check=False)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    @needed("promtool")
    def test_promtool_takes_the_rules_and_the_example_of_a_configuration(self):
        self.promtool("check", "rules", "vramd-alerts.yml", "vramd-records.yml")
        self.promtool("check", "config", "prometheus.yml")

    @needed("promtool")
    def test_each_alert_fires_and_does_not_fire_as_its_tests_say(self):
        self.promtool("test", "rules", "vramd-alerts-test.yml")

    def test_each_alert_is_tried_firing_and_not_firing(self):
        tests = read("packaging", "prometheus", "vramd-alerts-test.yml")
        quiet = set(re.findall(r"alertname: (\w+), eval_time: \w+, exp_alerts: \[\]", tests))
        loud = set(re.findall(r"alertname: (\w+)\n +eval_time: \w+\n +exp_alerts:\n +- exp_labels", tests))
        self.assertGreater(len(alerts()), 8)
        self.assertEqual((sorted(quiet), sorted(loud)), (sorted(alerts()), sorted(alerts())))

    def test_each_alert_says_in_words_what_is_and_leads_to_its_page_of_the_runbook(self):
        headings = re.findall(r"^## (Vramd\w+)$", read("docs", "runbook.md"), re.M)
        self.assertEqual(sorted(headings), sorted(alerts()))
        for name, lines in alerts().items():
            self.assertRegex(lines, r'summary: "[^"]{20,}\."', name)
            self.assertRegex(lines, r"severity: (critical|warning)\n", name)
            self.assertIn(f"runbook: docs/runbook.md#{name.lower()}\n", lines, name)

    def test_the_rules_ask_for_metrics_that_there_are(self):
        with Daemon(devices=["host:a=64MiB"]) as daemon:
            there = set(re.findall(r"^# TYPE (\w+) ", daemon.get("/metrics").body.decode(), re.M))
        recorded = set(re.findall(r"record: ([\w:]+)", read("packaging", "prometheus", "vramd-records.yml")))
        for file in ("vramd-alerts.yml", "vramd-records.yml"):
            asked = set()
            for expression in re.findall(r"expr: (?:\|\n((?: {10}.*\n)+)|(.*)\n)", read("packaging", "prometheus", file)):
                asked |= set(re.findall(r"\bvramd[_:][\w:]+", "".join(expression)))
            self.assertGreater(len(asked), 3)
            self.assertEqual(sorted(asked - there - recorded), [], file)


if __name__ == "__main__":
    unittest.main()
