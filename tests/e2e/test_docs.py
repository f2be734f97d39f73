"""docs/api.md tells of every call of /openapi.json and of no other; its fields are fields that the schemas have; what docs/mission.md names is there; links of
the docs lead somewhere."""
import json
import os
import re
import unittest

from daemon import ROOT, Daemon

PAGES = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] + [os.path.join("docs", name) for name in sorted(os.listdir(os.path.join(ROOT, "docs"))) if name.endswith(".md")]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def names_in(schema):
    """Every property name below a schema."""
    if isinstance(schema, list):
        return set().union(*map(names_in, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    found = set(schema["properties"]) if isinstance(schema.get("properties"), dict) else set()
    for value in schema.values():
        found |= names_in(value)
    return found


class Docs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with Daemon() as daemon:
            cls.document = json.loads(daemon.get("/openapi.json").body)

    def test_the_page_of_the_api_tells_of_every_call_and_of_no_other(self):
        there = {f"{method.upper()} {path}" for path, item in self.document["paths"].items() for method in item if method in ("get", "put", "post", "delete")}
        told = re.findall(r"^\*\*`((?:GET|PUT|POST|DELETE) [^`]+)`\*\*", read("docs/api.md"), re.M)
        self.assertEqual(sorted(there), sorted(told))

    def test_every_field_that_the_page_shows_is_one_of_the_document(self):
        known = names_in(self.document)
        blocks = [block for block in re.findall(r"^```console\n(.*?)^```", read("docs/api.md"), re.M | re.S) if "/openapi.json" not in block]
        shown = set(re.findall(r'"([a-zA-Z]+)":', re.sub(r'"ownerQuotas":{[^}]*}', '"ownerQuotas":', "\n".join(blocks))))  # Its keys are owners.
        self.assertGreater(len(shown), 40)
        self.assertEqual(sorted(shown - known), [])

    def test_every_call_schema_and_test_that_the_page_of_the_mission_names_is_there(self):
        page = read("docs/mission.md")
        there = {f"{method.upper()} {path}" for path, item in self.document["paths"].items() for method in item}
        told = set(re.findall(r"`((?:GET|PUT|POST|DELETE) /[^`?]+)", page))
        self.assertGreater(len(told), 20)
        self.assertEqual(sorted(told - there), [])
        responses = page.split("## The eight responses", 1)[1].split("\n## ", 1)[0]
        schemas = set(re.findall(r"`([A-Z]\w+)`", responses))
        self.assertGreater(len(schemas), 8)
        self.assertEqual(sorted(schemas - set(self.document["components"]["schemas"])), [])
        for path in set(re.findall(r"`((?:tests|src)/[^`]+)`", page)):
            self.assertTrue(os.path.exists(os.path.join(ROOT, path)), f"docs/mission.md points to {path}")

    def test_every_field_that_the_page_of_the_mission_names_is_one_of_the_document(self):
        known = names_in(self.document) | {parameter["name"] for item in self.document["paths"].values() for call in item.values() for parameter in call.get("parameters", [])}
        shown = set(re.findall(r"`([a-z]+(?:[A-Z][a-z]+)+)`", read("docs/mission.md")))
        self.assertGreater(len(shown), 5)
        self.assertEqual(sorted(shown - known), [])

    def test_every_test_that_the_invariants_name_is_there(self):
        table = read("ARCHITECTURE.md").split("## Invariants", 1)[1].split("\n## ", 1)[0]
        names = re.findall(r'"([^"]+)"', table)
        self.assertGreater(len(names), 20)
        sources = [os.path.join(folder, name) for top in ("src", "tests") for folder, _, files in os.walk(os.path.join(ROOT, top)) for name in files]
        there = []
        for path in sources:
            if path.endswith("_test.cpp"):
                there += re.findall(r'TEST_CASE\("((?:[^"\\]|\\.)*)"', read(path))
            elif re.search(r"test_\w+\.py$", path):
                there += [name.replace("_", " ") for name in re.findall(r"def test_(\w+)", read(path))]
        there = [re.sub(r"\W+", " ", one) for one in there]
        for name in names:
            self.assertTrue(any(re.sub(r"\W+", " ", name).strip() in one for one in there), f"no test is called {name}")

    def test_every_link_between_the_documents_leads_to_a_file(self):
        for page in PAGES + ["docs/notes/README.md"]:
            for target in re.findall(r"\]\(([^)#:]+)\)", read(page)):
                self.assertTrue(os.path.exists(os.path.join(ROOT, os.path.dirname(page), target)), f"{page} points to {target}")


if __name__ == "__main__":
    unittest.main()
