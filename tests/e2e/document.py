"""Holds answers against /openapi.json: the path, the status, the type, every field, and the problem's code must be what the document says.

daemon.py gives every answer of every test to `check`, so the whole suite is the document's test.
"""
import datetime
import gzip
import json
import re

# What a schema of ours may say; a word that is not known here would hold nothing, so it is refused.
WORDS = {"type", "description", "examples", "default", "format", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "properties", "required",
         "additionalProperties", "maxProperties", "items", "enum", "anyOf", "$ref", "x-unit", "x-rule", "contentMediaType"}
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}


def is_of(value, kind):
    if kind in ("integer", "number") and isinstance(value, bool):
        return False
    return isinstance(value, TYPES[kind])


class Document:
    def __init__(self, text):
        self.document = json.loads(text)
        self.routes = []
        for path, item in self.document["paths"].items():
            pattern = re.compile("/".join("[^/]+" if part.startswith("{") else re.escape(part) for part in path.split("/")) + "$")
            self.routes.append((path.count("{"), path, pattern, item))
        self.routes.sort(key=lambda route: route[0])
        self.provoked = set()  # (operation, code) of each problem that was answered.

    def faults(self, value, schema, where="$"):
        """A sentence for each thing in which the value is not what the schema says."""
        unknown = set(schema) - WORDS
        assert not unknown, f"the schema at {where} uses {unknown}, which this test does not know"
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            return self.faults(value, self.document["components"]["schemas"][name], where)
        if "anyOf" in schema:
            tried = [self.faults(value, one, where) for one in schema["anyOf"]]
            return [] if any(not one for one in tried) else min(tried, key=len)
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(is_of(value, kind) for kind in kinds):
            return [f"{where} is {value!r}, not of the type {kinds}"]
        return self.limits(value, schema, where) + self.parts(value, schema, where)

    @staticmethod
    def limits(value, schema, where):
        found = []
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                found.append(f"{where} is {value}, not within {schema.get('minimum')} and {schema.get('maximum')}")
        if isinstance(value, str):
            size = len(value.encode())
            if not schema.get("minLength", size) <= size <= schema.get("maxLength", size):
                found.append(f"{where} has {size} bytes")
            if schema.get("format") == "date-time":
                try:
                    datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ")
                except ValueError:
                    found.append(f"{where} is {value!r}, no time")
        if isinstance(value, list) and not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            found.append(f"{where} has {len(value)} items")
        if isinstance(value, dict) and len(value) > schema.get("maxProperties", len(value)):
            found.append(f"{where} has {len(value)} members")
        if "enum" in schema and value not in schema["enum"]:
            found.append(f"{where} is {value!r}, none of {schema['enum']}")
        return found

    def parts(self, value, schema, where):
        found = []
        if isinstance(value, list) and "items" in schema:
            for index, item in enumerate(value[:200]):
                found += self.faults(item, schema["items"], f"{where}[{index}]")
        if isinstance(value, dict):
            properties = schema.get("properties")
            found += [f"{where} lacks {name}" for name in schema.get("required", []) if name not in value]
            for name, item in value.items():
                if properties is None or name not in properties:
                    if schema.get("additionalProperties", True) is False:
                        found.append(f"{where} has {name}, which the document does not know")
                    elif isinstance(schema.get("additionalProperties"), dict):
                        found += self.faults(item, schema["additionalProperties"], f"{where}.{name}")
                else:
                    found += self.faults(item, properties[name], f"{where}.{name}")
        return found

    @staticmethod
    def is_page(path):
        """The web page's files are no part of the API, and so none of its document: test_page.py looks at them."""
        return path in ("/", "/docs", "/icon.svg") or path.startswith("/assets/")

    def check(self, method, target, answer):
        """Asserts that the document allows this answer. What is no path of the document must be answered as missing, or refused before that."""
        path = target.split("?", 1)[0]
        item = next((item for _, _, pattern, item in self.routes if pattern.fullmatch(path)), None)
        said = f"{method} {target} answered {answer.status}"
        kind = answer.headers.get("Content-Type", "").split(";")[0]
        body = gzip.decompress(answer.body) if answer.headers.get("Content-Encoding") == "gzip" and answer.body else answer.body
        operation = None if item is None else item.get("get" if method == "HEAD" else method.lower())
        if operation is None:
            page = self.is_page(path)
            if method == "OPTIONS" or (page and answer.status in (200, 304)):
                return
            assert answer.status in (400, 404, 405, 431, 501) or (page and answer.status == 403), f"{said}, but the document has no such call"
            if body:
                self.hold(json.loads(body), {"$ref": "#/components/schemas/Problem"}, said)
            return
        response = operation["responses"].get(str(answer.status))
        if response is None and answer.status == 304:
            return
        assert response is not None, f"{said} {body[:300]!r}, a status that the document does not list for it ({sorted(operation['responses'])})"
        if not body or method == "HEAD":
            return
        assert kind in response.get("content", {}), f"{said} with {kind}, not one of {list(response.get('content', {}))}"
        content = response["content"][kind]
        if kind.endswith("json"):
            told = json.loads(body)
            if content["schema"] != {"type": "object"}:
                self.hold(told, content["schema"], said)
            if kind == "application/problem+json":
                self.provoked.add((operation["operationId"], told["code"]))
                assert told["code"] in content["examples"], f"{said} with the code {told['code']}, which the document lists not for it ({sorted(content['examples'])})"
                shown = self.document["components"]["examples"][told["code"]]["value"]
                for name in ("type", "title", "status"):
                    assert told[name] == shown[name], f"{said} with the {name} {told[name]!r}, but the document's example of it has {shown[name]!r}"

    def listed(self):
        """(operation, code) of each problem that the document lists."""
        return {(operation["operationId"], code) for item in self.document["paths"].values() for operation in item.values()
                for response in operation["responses"].values()
                for code in response.get("content", {}).get("application/problem+json", {}).get("examples", {})}

    def hold(self, value, schema, said):
        found = self.faults(value, schema)
        assert not found, f"{said}, but {'; '.join(found[:5])}"
