#!/usr/bin/env python3
"""Bad input, drawn from the daemon's own /openapi.json so that no endpoint and no field is forgotten.

For each field of each body and query: missing, null, of each wrong type, at 0 and around its limits, 2^31, 2^53+1, 2^63, 2^64-1,
negative, fractional, beyond every integer, too long, and an unknown field beside it. The answer is a success only where the schema
allows the value; else a 4xx problem that names the field; and never a 5xx but 501, 503, 504 and 507. The books are the same afterwards.
"""
import json
import unittest

from daemon import Daemon

INTEGERS = [-1, 0, 1, 2, (1 << 31) - 1, 1 << 31, (1 << 31) + 1, (1 << 32), (1 << 53) - 1, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 10 ** 25]
OTHERS = [None, True, "", "x", "x" * 5000, "\u0000", [], {}, [1], {"a": 1}, 0.5, -0.5, 1e300, 1.0]
UNDERSTOOD = {501, 503, 504, 507}
WAYS_NOT_TAKEN = {"timeoutSeconds"}  # A large one that is allowed would wait for room that never comes.


def resolve(document, schema):
    while "$ref" in schema:
        schema = {**document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]}
    return schema


def allows(document, schema, value):
    """Whether the schema allows the value; enough of JSON Schema for what the document uses."""
    schema = resolve(document, schema)
    for part in schema.get("allOf", []):
        if not allows(document, part, value):
            return False
    if "anyOf" in schema or "oneOf" in schema:
        return any(allows(document, part, value) for part in schema.get("anyOf", schema.get("oneOf")))
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    integral = isinstance(value, int) and not isinstance(value, bool)
    fits = {"string": isinstance(value, str), "integer": integral, "number": integral or isinstance(value, float), "boolean": isinstance(value, bool),
            "array": isinstance(value, list), "object": isinstance(value, dict), "null": value is None}
    if kinds and not any(fits[kind] for kind in kinds):
        return False
    if integral and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return False
    if isinstance(value, str) and not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return False
    return True


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(devices=["host:a=16MiB"], door="unix").__enter__()
        cls.document = cls.daemon.get("/openapi.json").ok()
        cls.kept = cls.daemon.allocate(4096, deviceId="a", persistent=False, leaseSeconds=86400)
        cls.daemon.put(f"/api/memory/allocation/{cls.kept['id']}/content", b"k" * 4096).ok()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)

    def books(self):
        device = self.daemon.get("/api/memory/status").ok()["devices"][0]
        return {key: device[key] for key in ("liveBytes", "zombieBytes", "reservedBytes", "allocationCount")}

    def operations(self):
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation

    def filled(self, path):
        """The path with parameters that exist, where such exist."""
        return path.format(device="a", id=self.kept["id"], name="none", code="busy")

    def valid_body(self, schema):
        """A body whose required fields are right; ids are the kept allocation's."""
        body = {}
        for name in schema.get("required", []):
            field = resolve(self.document, schema["properties"][name])
            if name.endswith("AllocationId"):
                body[name] = self.kept["id"]
            elif "enum" in field:
                body[name] = field["enum"][0]
            else:
                body[name] = {"integer": max(1, field.get("minimum", 1)), "string": "none"}[field["type"]]
        return body

    def bodies(self):
        """(method, path, schema, valid body) of each operation that takes JSON."""
        for method, path, operation in self.operations():
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" in content:
                schema = resolve(self.document, content["application/json"]["schema"])
                yield method, path, schema, self.valid_body(schema)

    def undo(self, answer):
        """Gives back what an allowed request made."""
        if answer.status == 201 and answer.json().get("id", "").startswith("alc_"):
            self.daemon.delete(f"/api/memory/allocations/{answer.json()['id']}").ok()

    def hold(self, answer, allowed, what, field=None):
        self.assertTrue(answer.status < 500 or answer.status in UNDERSTOOD, f"{what}: {answer.status} {answer.body[:500]!r}")
        if answer.status >= 400:
            told = answer.problem(answer.status, answer.json()["code"])
            if not allowed and field is not None:
                self.assertEqual(told["code"], "invalid-field", f"{what}: {told}")
                self.assertIn(field, told.get("field", "") + told["detail"], f"{what}: {told}")
        else:
            self.assertTrue(allowed, f"{what} was taken: {answer.status} {answer.body[:300]!r}")
            self.undo(answer)

    def test_each_field_of_each_body_at_each_edge(self):
        count = 0
        for method, path, schema, valid in self.bodies():
            for name, field in schema["properties"].items():
                if path.endswith("/clear/{device}") or (path.endswith("/clear") and name == "deviceId"):
                    continue  # Fills all free memory at each try; its fields are held by the codec's own tests.
                edges = [resolve(self.document, field).get(key) for key in ("minimum", "maximum")]
                around = [edge + delta for edge in edges if isinstance(edge, int) for delta in (-1, 0, 1)]
                for value in dict.fromkeys(INTEGERS + around):
                    count += self.try_value(method, path, valid, name, field, value)
                for value in OTHERS:
                    count += self.try_value(method, path, valid, name, field, value)
        self.assertGreater(count, 800)

    def try_value(self, method, path, valid, name, field, value):
        allowed = allows(self.document, field, value)
        if allowed and name in WAYS_NOT_TAKEN:
            return 0
        before = self.books()
        answer = self.daemon.default.request(method, self.filled(path), {**valid, name: value})
        self.hold(answer, allowed, f"{method} {path} {name}={str(value)[:60]}", name)
        self.wait_for(before, f"{method} {path} {name}={str(value)[:60]}")
        return 1

    def wait_for(self, before, what):
        """Freed blocks go back in the background: the books are equal once they have."""
        for _ in range(3000):
            if self.books() == before or self.books()["allocationCount"] != before["allocationCount"]:
                break
        self.assertEqual(self.books(), before, what)

    def test_each_required_field_missing_and_an_unknown_one_beside_the_right_ones(self):
        for method, path, schema, valid in self.bodies():
            for name in schema.get("required", []):
                body = {key: value for key, value in valid.items() if key != name}
                self.hold(self.daemon.default.request(method, self.filled(path), body), False, f"{method} {path} without {name}", name)
            answer = self.daemon.default.request(method, self.filled(path), {**valid, "sizeByte": 1})
            self.hold(answer, False, f"{method} {path} with sizeByte", "sizeByte")

    def test_each_field_of_each_query(self):
        count = 0
        for method, path, operation in self.operations():
            for parameter in operation.get("parameters", []):
                if parameter["in"] != "query" or method == "DELETE":
                    continue
                others = "".join(f"&{other['name']}=none" for other in operation["parameters"]
                                 if other["in"] == "query" and other.get("required") and other["name"] != parameter["name"])
                for value in ["-1", "0", "1001", "18446744073709551616", "1.5", "1e3", "", "true", "x" * 4000, "%00", "%ff", "%zz"]:
                    answer = self.daemon.default.request(method, f"{self.filled(path)}?{parameter['name']}={value}{others}")
                    self.assertTrue(answer.status < 500, f"{method} {path} {parameter['name']}={value[:40]}: {answer.status} {answer.body[:300]!r}")
                    count += 1
                answer = self.daemon.default.request(method, f"{self.filled(path)}?{parameter['name']}s=1{others}")
                self.assertEqual(answer.status, 400, f"{method} {path} {parameter['name']}s: {answer.body[:300]!r}")
        self.assertGreater(count, 100)

    def test_bodies_that_are_no_object(self):
        for method, path, _, _ in self.bodies():
            for text in (b"", b"null", b"[]", b"1", b'"x"', b"{", b"{}}", b'{"a":1,"a":2}', b"\xff\xfe", b"[" * 100, b'{"a":' * 40 + b"1" + b"}" * 40, b"nan", b"{'a':1}"):
                answer = self.daemon.default.request(method, self.filled(path), text, {"Content-Type": "application/json"})
                if text == b"" and answer.status < 400:
                    self.undo(answer)
                    continue
                self.assertIn(answer.status, (400, 413), f"{method} {path} {text[:20]!r}: {answer.status} {answer.body[:300]!r}")

    def test_paths_and_methods_that_do_not_exist(self):
        for path in ("/", "/api", "/api/memory", "/api/memory/allocation/", "/api/memory/allocation/%2e%2e", "/api//memory", "/problems/none", "/x" * 3000):
            answer = self.daemon.get(path)
            self.assertTrue(400 <= answer.status < 500 or path in ("/",), f"{path[:60]}: {answer.status}")
        for _, path, _ in self.operations():
            answer = self.daemon.default.request("PATCH", self.filled(path))
            self.assertIn(answer.status, (405, 501), f"PATCH {path}: {answer.status} {answer.body[:200]!r}")

    def test_content_ranges_at_every_edge(self):
        path = f"/api/memory/allocation/{self.kept['id']}/content"
        edges = [0, 1, 4095, 4096, 4097, (1 << 31) - 1, 1 << 32, (1 << 63) - 1, (1 << 63), (1 << 64) - 1, 1 << 64]
        for first in edges:
            for last in edges:
                answer = self.daemon.get(path, {"Range": f"bytes={first}-{last}"})
                if first < 4096 and first <= last < 1 << 63:
                    self.assertEqual((answer.status, answer.body), (206, b"k" * (min(last, 4095) - first + 1)), f"{first}-{last}")
                else:
                    self.assertIn(answer.status, (200, 206, 400, 416), f"{first}-{last}: {answer.body[:200]!r}")
                answer = self.daemon.put(path, b"k", {"Content-Range": f"bytes {first}-{last}/*"})
                self.assertEqual(answer.status < 300, first == last < 4096, f"PUT {first}-{last}: {answer.status} {answer.body[:200]!r}")
        for text in ("bytes", "bytes=", "bytes=a-b", "bytes=-", "bytes=1", "lines=0-1", "bytes=0-1,3-4", "bytes=--1"):
            self.assertLess(self.daemon.get(path, {"Range": text}).status, 500, text)
        self.assertEqual(self.daemon.get(path).body, b"k" * 4096)

    def test_the_document_is_whole(self):
        self.assertEqual(self.document["openapi"], "3.1.0")
        names = [operation["operationId"] for _, _, operation in self.operations()]
        self.assertEqual(len(names), len(set(names)))
        text = json.dumps(self.document)
        for name in self.document["components"]["schemas"]:
            self.assertIn(f"#/components/schemas/{name}\"", text)
        for _, _, operation in self.operations():
            self.assertTrue(operation["summary"] and operation["description"] and operation["responses"], operation)


if __name__ == "__main__":
    unittest.main()
