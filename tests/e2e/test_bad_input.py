#!/usr/bin/env python3
"""Bad input, drawn from the daemon's own /openapi.json so that no endpoint and no field is forgotten.

For each field of each body and query: missing, null, of each wrong type, at 0 and around its limits, 2^31, 2^53+1, 2^63, 2^64-1,
negative, fractional, with an exponent, beyond every integer, too long, twice, and an unknown field beside it. The answer is a success
only where the schema allows the value; else a 4xx problem whose detail names the field, the value that was given and the limit that it
broke; and never a 5xx but 501, 503, 504 and 507. The books are the same afterwards, and agree.
"""
import json
import re
import unittest
import urllib.parse

from daemon import Served

INTEGERS = [-1, 0, 1, 2, (1 << 31) - 1, 1 << 31, (1 << 31) + 1, (1 << 32), (1 << 53) - 1, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 10 ** 25]
SHOWN_BYTES_MAX = 60  # Of a value, in a problem's detail.
NOWHERE = "alc_0q3xw8c5k2mznd1"


class Token(str):
    """A JSON token as it is to stand in the body."""


TOKENS = [Token(text) for text in ("1e3", "1E0", "1.0", "4096.5", "-0", "0.1e1", "1e400", "-1e-400", "18446744073709551616.0")]
OTHERS = [None, True, "", "x", "x" * 5000, "\u0000", [], {}, [1], {"a": 1}, 0.5, -0.5, 1e300, 1.0]
UNDERSTOOD = {501, 503, 504, 507}
WAYS_NOT_TAKEN = {"timeoutSeconds"}  # A large one that is allowed would wait for room that never comes.


def resolve(document, schema):
    while "$ref" in schema:
        schema = {**document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]}
    return schema


def written(value):
    """A body's value as JSON text."""
    return str(value) if isinstance(value, Token) else json.dumps(value)


def body_of(fields):
    return ("{" + ",".join(f"{json.dumps(name)}:{written(value)}" for name, value in fields) + "}").encode()


def told_as(value):
    """How a detail shows a value that was given."""
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    if isinstance(value, str) and not isinstance(value, Token):
        return json.dumps(value[:SHOWN_BYTES_MAX])[:-1]
    return written(value)


def limits_of(document, schema):
    """What a detail must say of the values that are allowed: the texts of the limits."""
    schema = resolve(document, schema)
    if "anyOf" in schema or "oneOf" in schema:
        return limits_of(document, next(part for part in schema.get("anyOf", schema.get("oneOf")) if part.get("type") != "null"))
    kinds = schema.get("type", [])
    kind = next(kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null")
    if "enum" in schema:
        return [word for word in schema["enum"] if word is not None]
    if kind == "boolean":
        return ["true", "false"]
    if kind == "string":
        return [f"{schema.get('minLength', 0)} to {schema.get('maxLength', '')}"] if "format" not in schema else ["time"]
    if kind == "number":
        return [f"from {schema['minimum']:.2f} to {schema['maximum']:.2f}"]
    if kind == "object":
        return ["an object"] if not schema.get("additionalProperties") else []  # Of a table the detail names the entry.
    if kind == "array":
        return ["a list"]
    if kind == "integer":
        return [f"from {schema['minimum']} to {schema['maximum']}"]
    return [kind]


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
    if isinstance(value, Token):
        decimal = "number" in kinds and re.fullmatch(r"[0-9]+\.[0-9]{1,2}", value) and schema["minimum"] <= float(value) <= schema["maximum"]
        return bool(decimal) or (value == "-0" and allows(document, schema, 0))
    if kinds and not any(fits[kind] for kind in kinds):
        return False
    if integral and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return False
    if isinstance(value, str) and not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return False
    return True


class BadInput(Served):
    served = {"devices": ["host:a=16MiB"], "door": "unix"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.document = cls.daemon.get("/openapi.json").ok()
        cls.kept = cls.daemon.allocate(4096, deviceId="a", persistent=False, leaseSeconds=86400)
        cls.daemon.put(f"/api/memory/allocation/{cls.kept['id']}/content", b"k" * 4096).ok()

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

    def tearDown(self):
        audit = self.daemon.get("/api/audit").ok()
        self.assertTrue(audit["ok"], audit)
        self.assertEqual(self.daemon.get("/api/memory/usage").ok()["allocationCount"], 1)
        self.assertEqual(self.daemon.get(f"/api/memory/allocation/{self.kept['id']}").ok()["sizeBytes"], 4096)

    def names(self, answer, field, value, limits, what):
        """A refusal that names the field, the value that was given and the limit."""
        told = answer.problem(400, "invalid-field")
        self.assertEqual(told.get("field"), field, f"{what}: {told}")
        for text in [field, *([] if value is None else [value]), *limits]:
            self.assertIn(text, told["detail"], f"{what}: {told}")

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
                edges = [resolve(self.document, field).get(key) for key in ("minimum", "maximum")]
                around = [edge + delta for edge in edges if isinstance(edge, int) for delta in (-1, 0, 1)]
                for value in [*dict.fromkeys(INTEGERS + around), *OTHERS, *TOKENS]:
                    count += self.try_value(method, path, valid, name, field, value)
        self.assertGreater(count, 1000)

    def try_value(self, method, path, valid, name, field, value):
        allowed = allows(self.document, field, value)
        if allowed and name in WAYS_NOT_TAKEN:
            return 0
        before, what = self.books(), f"{method} {path} {name}={str(value)[:60]}"
        # What may be of a limit is tried only: it would hold for all that comes after.
        tried = {"dryRun": True} if path.startswith("/api/memory/limits/") else {}
        body = body_of({**tried, **valid, name: value}.items())
        answer = self.daemon.default.request(method, self.filled(path), body, {"Content-Type": "application/json"})
        self.hold(answer, allowed, what)
        if not allowed:
            limits = [] if value == "\u0000" else limits_of(self.document, field)
            self.names(answer, f"/{name}", told_as(value), limits, what)
        self.wait_for(before, what)
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
                answer = self.daemon.default.request(method, self.filled(path), body)
                self.names(answer, f"/{name}", "missing", limits_of(self.document, schema["properties"][name]), f"{method} {path} without {name}")
            answer = self.daemon.default.request(method, self.filled(path), {**valid, "sizeByte": 1})
            self.names(answer, "/sizeByte", "not a known field", schema["properties"], f"{method} {path} with sizeByte")

    def test_each_field_given_twice(self):
        for method, path, schema, valid in self.bodies():
            for name in schema["properties"]:
                body = body_of([*valid.items(), (name, valid.get(name, 1)), (name, valid.get(name, 1))])
                answer = self.daemon.default.request(method, self.filled(path), body, {"Content-Type": "application/json"})
                self.names(answer, f"/{name}", "more than once", [], f"{method} {path} {name} twice")

    def test_each_field_of_each_query(self):
        """DELETE too: with what is refused on the allocation that must stay, with what is allowed on one that is not there."""
        count = 0
        for method, path, operation in self.operations():
            queries = [parameter for parameter in operation.get("parameters", []) if parameter["in"] == "query"]
            for parameter in queries:
                name, schema = parameter["name"], parameter["schema"]
                if name == "follow":
                    continue  # True never ends; the events' own tests follow.
                others = "&follow=false" if path == "/api/events" else ""
                others += "".join(f"&{other['name']}=none" for other in queries if other.get("required") and other["name"] != name)
                edges = [str(edge + delta) for edge in (schema.get("minimum"), schema.get("maximum")) if isinstance(edge, int) for delta in (-1, 0, 1)]
                for value in dict.fromkeys([*map(str, INTEGERS), *edges, "1.5", "1e3", "1.0", "+1", "01", "", "true", "True", "x" * 4000, "[]", "{}", "null"]):
                    allowed = self.query_allows(schema, value)
                    target = path.format(device="a", id=NOWHERE if allowed and method != "GET" else self.kept["id"], name="none", code="busy")
                    what = f"{method} {path} {name}={value[:40]}"
                    answer = self.daemon.default.request(method, f"{target}?{name}={urllib.parse.quote(value)}{others}")
                    self.assertTrue(answer.status < 500 or answer.status in UNDERSTOOD, f"{what}: {answer.status} {answer.body[:300]!r}")
                    if not allowed:
                        self.names(answer, f"?{name}", value[:SHOWN_BYTES_MAX], limits_of(self.document, schema), what)
                    count += 1
                for value in ("%00", "%ff", "%zz", "%"):
                    self.daemon.default.request(method, f"{self.filled(path)}?{name}={value}{others}").problem(400, "malformed-request")
                answer = self.daemon.default.request(method, f"{self.filled(path)}?{name}=1&{name}=1{others}")
                self.assertEqual(answer.problem(400, "invalid-field")["field"], f"?{name}", f"{method} {path} {name} twice")
            known = [parameter["name"] for parameter in queries] or ["none"]
            bytes_wanted = "application/octet-stream" in operation.get("requestBody", {}).get("content", {})
            body = b"" if bytes_wanted else {} if "requestBody" in operation else None
            answer = self.daemon.default.request(method, f"{self.filled(path)}?unknown=1", body)
            if path.startswith("/api/"):
                self.names(answer, "?unknown", "not a known query parameter", known, f"{method} {path}?unknown=1")
        self.assertGreater(count, 500)

    def query_allows(self, schema, value):
        schema = resolve(self.document, schema)
        if schema.get("type") in ("integer", "number"):
            return bool(re.fullmatch(r"0|[1-9][0-9]*", value)) and schema["minimum"] <= int(value) <= schema["maximum"]
        if schema.get("type") == "boolean":
            return value in ("true", "false")
        return allows(self.document, schema, value)

    def test_what_each_field_alone_may_be_and_the_state_does_not_allow(self):
        """Ranges beyond the memory, what does not exist, what is too much: the field, the value and the limit again."""
        kept, content = self.kept["id"], f"/api/memory/allocation/{self.kept['id']}/content"
        clear, copy = "/api/memory/operations/clear", "/api/memory/operations/copy"
        both = {"sourceAllocationId": kept, "targetAllocationId": kept}
        beyond = [4097, 1 << 31, (1 << 53) + 1, (1 << 63) - 1]
        rows = [("POST", clear, {"allocationId": kept, "offsetBytes": value}, 416, "/offsetBytes", value, 4096) for value in beyond]
        rows += [("POST", clear, {"allocationId": kept, "offsetBytes": 4000, "sizeBytes": value}, 416, "/sizeBytes", value, 96) for value in [97, *beyond]]
        rows += [("POST", copy, {**both, f"{end}OffsetBytes": value}, 416, f"/{end}OffsetBytes", value, 4096) for end in ("source", "target") for value in beyond]
        rows += [("POST", copy, {**both, "sizeBytes": value}, 416, "/sizeBytes", value, 4096) for value in beyond]
        rows += [("POST", copy, {**both, "targetOffsetBytes": 1, "sizeBytes": 4096}, 416, "/sizeBytes", 4096, 4095)]
        rows += [("POST", "/api/memory/allocations/allocate", {"sizeBytes": value}, 507, "/sizeBytes", value, None) for value in ((16 << 20) + 1, (1 << 63) - 1)]
        rows += [("POST", "/api/memory/allocations/allocate", {"sizeBytes": 1, "alignment": value}, 400, "/alignment", value, 1 << 30) for value in (3, 4095, (1 << 30) - 1)]
        for device in ("none", "A", "a ", "../a"):
            rows += [("POST", "/api/memory/allocations/allocate", {"sizeBytes": 1, "deviceId": device}, 404, "/deviceId", device, None),
                     ("POST", clear, {"deviceId": device}, 404, "/deviceId", device, None),
                     ("POST", f"{clear}/{urllib.parse.quote(device, safe='')}", {}, 404, "device", device, None),
                     ("GET", f"/api/devices/{urllib.parse.quote(device, safe='')}", None, 404, "device", device, None)]
        for other in (NOWHERE, "alc_", "op_5g7hj2k4m6npqr8", "x" * 64, "alc_" + "Z" * 14):
            rows += [("POST", clear, {"allocationId": other}, 404, "allocation", other, None), ("POST", copy, {**both, "sourceAllocationId": other}, 404, "ource", other, None),
                     ("POST", copy, {**both, "targetAllocationId": other}, 404, "arget", other, None), ("GET", f"/api/memory/allocation/{other}", None, 404, "", other, None),
                     ("DELETE", f"/api/memory/allocations/{other}?force=true", None, 404, "", other, None)]
        rows += [("GET", f"{path}?cursor={value}", None, 400, "?cursor", value, None) for path in ("/api/memory/allocations", "/api/operations") for value in ("x", "p", "p-1", "p1.5", "p99999999999999999999")]
        rows += [("POST", clear, {"allocationId": kept, "deviceId": "a"}, 400, "/allocationId", "/deviceId", None), ("POST", clear, {}, 400, "/allocationId", "/deviceId", None),
                 ("POST", clear, {"deviceId": "a", "sizeBytes": 1}, 400, "/sizeBytes", "/deviceId", None)]
        for method, path, body, status, field, value, limit in rows:
            with self.subTest(f"{method} {path} {body}"):
                before = self.books()
                answer = self.daemon.default.request(method, path, *([] if body is None else [body_of(body.items()), {"Content-Type": "application/json"}]))
                told = answer.json()
                self.assertEqual(answer.status, status, told)
                self.assertIn(field, told["field"])
                for text in (str(value), *(str(told[figure]) for figure in ("value", "limit") if figure in told)):
                    self.assertIn(text[:SHOWN_BYTES_MAX], told["detail"])
                if limit is not None:
                    self.assertEqual((told["value"], told["limit"]), (value, limit))
                self.assertEqual(self.books(), before)
        for range_of in ("bytes=4096-", "bytes=9223372036854775807-"):
            told = self.daemon.get(content, {"Range": range_of}).problem(416, "out-of-range")
            self.assertEqual((told["field"], told["value"], told["limit"]), ("Range", int(range_of[6:-1]), 4096))

    def test_an_unknown_device_is_named_as_the_request_names_it(self):
        """In the path, in the body, in the query: every operation that takes one."""
        filters = {("GET", "/api/memory/allocations"), ("GET", "/api/memory/transfers"), ("GET", "/api/events")}  # Nothing of it is no error.
        asked = []
        for method, path, operation in self.operations():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            schema = resolve(self.document, content["schema"]) if content else {"properties": {}}
            queries = [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"]
            required = "".join(f"&{parameter['name']}=none" for parameter in operation.get("parameters", []) if parameter["in"] == "query" and parameter.get("required"))
            valid = self.valid_body(schema) if content else None
            if "{device}" in path:
                asked.append((method, path.replace("{device}", "nowhere") + "?" + required.lstrip("&"), valid, "device"))
            for name in set(schema["properties"]) & {"deviceId", "targetDeviceId"}:
                asked.append((method, path + "?" + required.lstrip("&"), {**valid, name: "nowhere"}, f"/{name}"))
            if "deviceId" in queries and (method, path) not in filters:
                asked.append((method, f"{path}?deviceId=nowhere{required}", valid, "?deviceId"))
        for method, target, body, field in asked:
            with self.subTest(f"{method} {target} {body}"):
                told = self.daemon.default.request(method, target.rstrip("?"), body).problem(404, "not-found")
                self.assertEqual((told["field"], "nowhere" in told["detail"]), (field, True), told)
        self.assertGreaterEqual(len(asked), 20)

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
