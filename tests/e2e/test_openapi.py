#!/usr/bin/env python3
"""/openapi.json is complete and well-formed: a public linter finds nothing, and every example in it is what its own schema says.

The linter (spectral) comes from npm, as tests/openapi/package-lock.json has it; it is fetched once into .cache.
"""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from daemon import ROOT, Daemon
from document import Document

HOME = os.path.join(ROOT, ".cache", "openapi")
METHODS = ("get", "put", "post", "delete", "patch")


def linter():
    """The linter's program, fetched when it is not there."""
    program = os.path.join(HOME, "node_modules", ".bin", "spectral")
    if not os.path.exists(program):
        os.makedirs(HOME, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(ROOT, "tests", "openapi", name), HOME)
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=HOME, check=True, stdout=subprocess.DEVNULL, timeout=550)
    return program


class Openapi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with Daemon() as daemon:
            cls.text = daemon.get("/openapi.json").body
        cls.document = Document(cls.text)

    def test_a_public_linter_finds_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "openapi.json")
            with open(path, "wb") as file:
                file.write(self.text)
            done = subprocess.run([linter(), "lint", "--fail-severity", "hint", "--ruleset", os.path.join(ROOT, "tests", "openapi", "ruleset.yaml"), path],
                                  capture_output=True, text=True, timeout=300, check=False)
            self.assertEqual(done.returncode, 0, (done.stdout + done.stderr)[-4000:])

    def test_every_example_is_what_its_schema_says(self):
        looked = 0
        for name, schema in self.document.document["components"]["schemas"].items():
            for example in schema.get("examples", []):
                self.assertEqual(self.document.faults(example, {"$ref": f"#/components/schemas/{name}"}), [], name)
                looked += 1
            for member, part in schema.get("properties", {}).items():
                for example in part.get("examples", []):
                    self.assertEqual(self.document.faults(example, part), [], f"{name}.{member}")
                    looked += 1
        for path, item in self.document.document["paths"].items():
            for method in METHODS:
                for parameter in item.get(method, {}).get("parameters", []):
                    self.assertEqual(self.document.faults(parameter["example"], parameter["schema"]), [], f"{method} {path} {parameter['name']}")
                    looked += 1
                for content in item.get(method, {}).get("requestBody", {}).get("content", {}).values():
                    for name, example in content["examples"].items():
                        self.assertEqual(self.document.faults(example["value"], content["schema"]), [], f"{method} {path} {name}")
                        looked += 1
                for status, response in item.get(method, {}).get("responses", {}).items():
                    for content in response.get("content", {}).values():
                        if int(status) < 400 and content["schema"] != {"type": "object"}:
                            self.assertEqual(self.document.faults(content["example"], content["schema"]), [], f"{method} {path} {status}")
                            looked += 1
        for name, example in self.document.document["components"]["examples"].items():
            self.assertEqual(self.document.faults(example["value"], {"$ref": "#/components/schemas/Problem"}), [], name)
            looked += 1
        self.assertGreater(looked, 500)

    def test_every_field_and_parameter_says_what_it_is_its_range_and_an_example(self):
        for name, schema in self.document.document["components"]["schemas"].items():
            self.assertTrue(schema.get("description"), name)
            for member, part in schema.get("properties", {}).items():
                where = f"{name}.{member}"
                self.assertTrue(part.get("description"), where)
                kinds = part.get("type", [])
                if "integer" in kinds or "number" in kinds:
                    self.assertIn("minimum", part, where)
                    self.assertIn("maximum", part, where)
                if member.endswith("Bytes"):
                    self.assertEqual(part.get("x-unit", "bytes"), "bytes", where)
                if "array" not in kinds and "$ref" not in part:
                    self.assertTrue("examples" in part, where)

    def test_the_document_holds_what_it_should_and_not_what_it_should_not(self):
        schema = {"$ref": "#/components/schemas/DeviceAfter"}
        good = json.loads(self.text)["components"]["schemas"]["DeviceAfter"]["examples"][0]
        self.assertEqual(self.document.faults(good, schema), [])
        for spoil in (lambda value: value.pop("usedBytes"), lambda value: value.update(usedBytes=-1), lambda value: value.update(usedBytes="1"),
                      lambda value: value.update(usedBytes=1.5), lambda value: value.update(usedBytes=True), lambda value: value.update(extra=1),
                      lambda value: value.update(fragmentationPercentage=101), lambda value: value.update(deviceId="")):
            bad = dict(good)
            spoil(bad)
            self.assertNotEqual(self.document.faults(bad, schema), [], bad)


if __name__ == "__main__":
    unittest.main()
