#!/usr/bin/env python3
"""The web page as a browser gets it: its files, its policy, what is kept and for how long, and who may come from where."""
import gzip
import os
import re
import tempfile
import unittest

from daemon import Daemon, Served

SYSTEM = "/api/system"
ALLOCATE = "/api/memory/allocations/allocate"


def with_page(test):
    """Leaves a test out where this build has no page (-DVRAMD_WEB=OFF)."""
    def run(self):
        if not self.assets:
            self.skipTest("built without the page")
        test(self)
    run.__name__ = test.__name__
    return run


class Page(Served):
    served = {"devices": ["host:a=64MiB"]}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.page = cls.daemon.get("/")
        cls.html = cls.page.body.decode()
        cls.assets = sorted({path for html in (cls.html, cls.daemon.get("/docs").body.decode()) for path in re.findall(r'(?:src|href)="(/assets/[^"]+)"', html)})

        cls.docs = cls.daemon.get("/docs")

    def ask(self, path, **headers):
        return self.daemon.get(path, {name.replace("_", "-"): value for name, value in headers.items()})

    def test_the_page_is_html_that_is_asked_for_anew_each_time(self):
        self.assertEqual((self.page.status, self.page.headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertEqual(self.page.headers["Cache-Control"], "no-cache")
        self.assertEqual(self.page.headers["X-Content-Type-Options"], "nosniff")
        self.assertTrue(self.assets or "-DVRAMD_WEB=OFF" in self.html, self.html)

    def test_the_policy_lets_the_page_load_and_ask_nothing_but_this_daemon(self):
        policy = dict(part.strip().split(" ", 1) for part in self.page.headers["Content-Security-Policy"].split(";"))
        self.assertEqual(policy.pop("default-src"), "'none'")
        for name in ("base-uri", "form-action", "frame-ancestors"):
            self.assertEqual(policy.pop(name), "'none'", name)
        self.assertEqual(policy, {name: "'self'" for name in ("script-src", "style-src", "img-src", "connect-src")})
        self.assertIsNone(re.search(r"<style|<script(?![^>]* src=)|\sstyle=|\son\w+=|https?://|//[a-z]", self.html), self.html)

    def test_the_page_of_the_api_comes_under_the_same_policy(self):
        self.assertEqual((self.docs.status, self.docs.headers["Content-Type"], self.docs.headers["Cache-Control"]), (200, "text/html; charset=utf-8", "no-cache"))
        self.assertEqual(self.docs.headers["Content-Security-Policy"], self.page.headers["Content-Security-Policy"])
        html = self.docs.body.decode()
        self.assertIsNone(re.search(r"<style|<script(?![^>]* src=)|\sstyle=|\son\w+=|https?://|//[a-z]", html), html)
        self.assertIn("/assets/docs-" if self.assets else "/openapi.json", html)
        self.ask("/docs/").problem(404, "not-found")
        self.ask("/docs.html").problem(404, "not-found")

    @with_page
    def test_every_file_of_the_page_is_there_and_is_kept_for_ever(self):
        kinds = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
        self.assertEqual({path.rsplit(".", 1)[1] for path in self.assets}, set(kinds))
        for path in self.assets:
            got = self.ask(path)
            self.assertEqual((got.status, got.headers["Content-Type"]), (200, kinds[path.rsplit(".", 1)[1]]), path)
            self.assertEqual(got.headers["Cache-Control"], "public, max-age=31536000, immutable")
            packed = self.ask(path, Accept_Encoding="gzip")
            self.assertEqual((packed.headers["Content-Encoding"], packed.headers["Vary"]), ("gzip", "Accept-Encoding"))
            self.assertEqual(gzip.decompress(packed.body), got.body)
            self.assertNotEqual(packed.headers["ETag"], got.headers["ETag"])
            self.assertNotIn("Content-Encoding", self.ask(path, Accept_Encoding="br, gzip;q=0").headers)
        icon = self.ask("/icon.svg")
        self.assertEqual((icon.status, icon.headers["Cache-Control"]), (200, "no-cache"))

    def test_who_has_it_already_gets_no_second_copy(self):
        for path in ["/", "/docs", *self.assets]:
            for accept in ("identity", "gzip"):
                tag = self.ask(path, Accept_Encoding=accept).headers["ETag"]
                for tags in (tag, f'"other", W/{tag}', "*"):
                    same = self.ask(path, Accept_Encoding=accept, If_None_Match=tags)
                    self.assertEqual((same.status, same.body, same.headers["ETag"]), (304, b"", tag), path)
                self.assertEqual(self.ask(path, Accept_Encoding=accept, If_None_Match='"other"').status, 200)

    def test_the_head_of_the_page_is_the_page_without_its_body(self):
        for path in ["/", "/docs", *self.assets]:
            for accept in ("identity", "gzip"):
                got = self.ask(path, Accept_Encoding=accept)
                head = self.daemon.default.request("HEAD", path, headers={"Accept-Encoding": accept})
                self.assertEqual((head.status, head.body), (200, b""))
                self.assertEqual({**head.headers, "Date": ""}, {**got.headers, "Date": ""}, path)
                self.assertEqual(int(head.headers["Content-Length"]), len(got.body))

    def test_the_page_takes_no_change(self):
        for path in ["/", "/docs", *self.assets]:
            for method in ("PUT", "POST", "DELETE", "PATCH"):
                refused = self.daemon.default.request(method, path)
                refused.problem(405, "method-not-allowed")
                self.assertEqual(refused.headers["Allow"], "GET, HEAD, OPTIONS")
            self.assertEqual(self.daemon.default.request("OPTIONS", path).status, 204)
        for path in ("/index.html", "/assets/", "/assets/none.js", "/assets/../icon.svg", "/favicon.ico"):
            self.ask(path).problem(404, "not-found")

    def test_a_page_of_another_origin_and_a_name_that_is_not_ours_get_nothing(self):
        ours = f"127.0.0.1:{self.daemon.port}"
        for host in ("example.org", f"example.org:{self.daemon.port}", "127.0.0.1:1", "127.1"):
            for path in ["/", *self.assets, SYSTEM]:
                self.ask(path, Host=host).problem(403, "forbidden")
        for origin in ("http://example.org", "https://" + ours, "http://127.0.0.1:1", "null"):
            for path in ("/", SYSTEM):
                self.ask(path, Origin=origin).problem(403, "forbidden")
            self.daemon.post(ALLOCATE, {"sizeBytes": 1}, {"Origin": origin}).problem(403, "forbidden")
        for host in (ours, f"localhost:{self.daemon.port}"):
            self.assertEqual(self.daemon.post(ALLOCATE, {"sizeBytes": 1}, {"Host": host, "Origin": f"http://{host}"}).status, 201)


class PageAndTokens(unittest.TestCase):
    def test_the_page_is_there_before_anybody_gave_a_token_and_acts_as_whoever_did(self):
        with tempfile.TemporaryDirectory(prefix="vramd-tokens-") as folder:
            tokens = os.path.join(folder, "tokens")
            with open(os.path.join(folder, "tokens"), "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write("token-of-the-admin-0001 root admin\n")
            with Daemon(arguments=["--token-file", tokens]) as daemon:
                for headers in ({}, {"Authorization": "Bearer wrong"}):
                    self.assertEqual(daemon.get("/", headers).status, 200)
                told = daemon.get(SYSTEM).ok()
                self.assertEqual((told["owner"], told["role"]), ("http", "user"))
                told = daemon.get(SYSTEM, {"Authorization": "Bearer token-of-the-admin-0001"}).ok()
                self.assertEqual((told["owner"], told["role"]), ("root", "admin"))
                daemon.get(SYSTEM, {"Authorization": "Bearer wrong"}).problem(403, "forbidden")


if __name__ == "__main__":
    unittest.main()
