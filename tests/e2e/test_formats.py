#!/usr/bin/env python3
"""vramctl -o: what is told beside tables in each form; what has one form only refuses the others."""
import csv
import io
import json
import os
import subprocess
import unittest

from daemon import BIN, Served


class Formats(Served):
    served = {"devices": ["host:a=64MiB"], "door": "unix"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.kept = cls.daemon.allocate(4096, purpose="a test's, quoted")["id"]

    def ctl(self, *words):
        return subprocess.run([os.path.join(BIN, "vramctl"), "--socket", self.daemon.socket_path, *words], capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL, check=False)

    def test_every_verb_honours_every_format_or_refuses_it_by_name(self):
        for words, name in ((["events", "--last", "5"], None), (["version"], None), (["explain", "pinned"], "pinned"), (["doctor"], None)):
            table = self.ctl(*words).stdout
            csv_text = self.ctl(*words, "-o", "csv").stdout
            rows = list(csv.reader(io.StringIO(csv_text)))
            self.assertGreater(len(rows), 1, words)
            self.assertEqual({len(row) for row in rows}, {len(rows[0])}, words)
            names = self.ctl(*words, "-o", "name").stdout.splitlines()
            self.assertEqual(len(names), len(rows) - 1, words)
            self.assertTrue(all(one and one in table for one in names), names)
            if name:
                self.assertEqual(names, [name])
        document = json.loads(self.daemon.get("/openapi.json").body)["components"]["schemas"]["LedgerEvent"]
        head, *rows = csv.reader(io.StringIO(self.ctl("events", "--last", "5", "-o", "csv").stdout))
        self.assertEqual(head, list(document["properties"]))
        lines = [json.loads(line) for line in self.ctl("events", "--last", "5", "-o", "jsonl").stdout.splitlines()]
        self.assertEqual([[int(row[0]), row[1], row[2]] for row in rows], [[line["sequence"], line["type"], line["at"]] for line in lines])
        self.assertEqual([row[head.index("sizeBytes")] for row in rows], [str(line.get("sizeBytes", "")) for line in lines])
        self.assertEqual(self.ctl("events", "--last", "5", "--owner", "nobody", "-o", "csv").stdout, ",".join(head) + "\n")
        for words in (["cat", self.kept], ["completion", "bash"]):
            for form in ("csv", "name", "wide"):
                refused = self.ctl(*words, "-o", form)
                self.assertEqual((refused.returncode, refused.stdout), (2, ""), words)
                self.assertIn(f"{words[0]} writes what it is about as it is: -o {form} does not apply; table, json and jsonl do.", refused.stderr)
            plain = self.ctl(*words).stdout
            for form in ("table", "json", "jsonl"):  # In JSON a failure is the server's problem.
                self.assertEqual(self.ctl(*words, "-o", form).stdout, plain, form)


if __name__ == "__main__":
    unittest.main()
