#!/usr/bin/env python3
"""docs/reliability.md is what its script makes of the results, and SECURITY.md promises nothing that no test shows."""
import json
import os
import re
import subprocess
import sys
import tomllib
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
SCRIPT = os.path.join(ROOT, "scripts", "reliability.py")
RESULTS = os.path.join(ROOT, "benchmarks", "results", "reliability")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


class Reliability(unittest.TestCase):
    def test_the_page_is_what_the_script_makes_of_the_results(self):
        made = subprocess.run([sys.executable, SCRIPT, "--print"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(read("docs/reliability.md"), made, "./dev reliability writes it")

    def test_each_row_has_a_short_form_and_each_result_its_row(self):
        rows = tomllib.loads(read("tests/reliability.toml"))
        for row, told in rows.items():
            self.assertTrue(told["short"], row)
            for path in told["short"]:
                self.assertTrue(os.path.exists(os.path.join(ROOT, path)), f"{row}: {path}")
        for name in os.listdir(RESULTS):
            result = json.loads(read(os.path.join("benchmarks", "results", "reliability", name)))
            self.assertEqual(name, result["row"] + ".json")
            self.assertIn(result["row"], rows)
            self.assertGreater(result["reached"], 0)
            self.assertTrue(result["command"] and result["lines"] and re.fullmatch(r"\d{4}-\d\d-\d\d", result["date"]), name)

    def test_each_promise_of_security_md_names_a_test_that_exists(self):
        promises = [line for line in read("SECURITY.md").split("## Promises", 1)[1].split("\n## ", 1)[0].splitlines() if line.startswith("| ")][1:]
        self.assertGreater(len(promises), 10)
        for line in promises:
            named = re.findall(r"`([\w./]+)` \"([^\"]+)\"", line)
            self.assertTrue(named, f"no test is named: {line}")
            for path, name in named:
                text = read(path)
                wanted = f"def test_{name.replace(' ', '_')}(" if path.endswith(".py") else f'"{name}"'
                self.assertIn(wanted, text, path)


if __name__ == "__main__":
    unittest.main()
