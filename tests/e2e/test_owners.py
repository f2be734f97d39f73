#!/usr/bin/env python3
"""Two users and an admin, by their tokens: who sees what of the others. A user sees its own records and purposes, and of others only sums."""
import os
import tempfile
import unittest

from daemon import Daemon

TOKENS = {"alice": ("alices-secret", "user"), "bob": ("bobs-secret", "user"), "root": ("roots-secret", "admin")}


class Owners(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        descriptor, cls.tokens = tempfile.mkstemp(prefix="vramd-tokens-")
        with open(descriptor, "w", encoding="utf-8") as file:
            file.writelines(f"{secret} {owner} {role}\n" for owner, (secret, role) in TOKENS.items())
        cls.daemon = Daemon(devices=["host:a=64MiB"], arguments=["--token-file", cls.tokens]).__enter__()
        cls.held = {"alice": [("alices-plan", 4096), ("alices-plan", 8192), ("shared-word", 4096)], "bob": [("bobs-plan", 65536), ("shared-word", 16384)]}
        cls.ids = {owner: [cls.ask(owner, "POST", "/api/memory/allocations/allocate", {"sizeBytes": size, "purpose": purpose}).ok()["id"]
                           for purpose, size in wanted] for owner, wanted in cls.held.items()}

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)
        os.unlink(cls.tokens)

    @classmethod
    def ask(cls, owner, method, path, body=None):
        return cls.daemon.default.request(method, path, body, {"Authorization": f"Bearer {TOKENS[owner][0]}"})

    def usages(self, owner):
        """The usage by each path that tells it."""
        status = self.ask(owner, "GET", "/api/memory/status/a?includeUsageStats=true").ok()
        return [self.ask(owner, "GET", "/api/memory/usage").ok(), self.ask(owner, "GET", "/api/memory/usage/a").ok(), status["usage"]]

    def purposes(self, *owners):
        """{purpose: (bytes, allocations)} of these owners."""
        sums = {}
        for owner in owners:
            for purpose, size in self.held[owner]:
                bytes_before, count = sums.get(purpose, (0, 0))
                sums[purpose] = (bytes_before + size, count + 1)
        return sums

    def test_a_user_sees_only_its_own_purposes_and_an_admin_all(self):
        for owner, whose in (("alice", ["alice"]), ("bob", ["bob"]), ("root", ["alice", "bob"])):
            for usage in self.usages(owner):
                told = {share["name"]: (share["bytes"], share["allocations"]) for share in usage["byPurpose"]}
                self.assertEqual(told, self.purposes(*whose), owner)

    def test_of_other_owners_a_user_sees_one_sum_and_an_admin_each(self):
        mine = {owner: sum(size for _, size in wanted) for owner, wanted in self.held.items()}
        for owner, expected in (("alice", {"alice": mine["alice"], "other": mine["bob"]}), ("bob", {"bob": mine["bob"], "other": mine["alice"]}), ("root", mine)):
            for usage in self.usages(owner):
                self.assertEqual({share["name"]: share["bytes"] for share in usage["byOwner"]}, expected)
                self.assertEqual(usage["liveBytes"], sum(mine.values()))

    def test_no_word_of_anothers_is_in_any_list_or_record(self):
        for path in ("/api/memory/usage", "/api/memory/allocations?limit=1000", "/api/memory/allocations?owner=bob", "/api/devices", "/api/operations",
                     "/api/memory/status?includeAllocations=true&includeUsageStats=true&includeFragmentation=true", "/api/model/status", "/api/system"):
            body = self.ask("alice", "GET", path).body
            for word in (b"bobs-plan", *(made.encode() for made in self.ids["bob"])):
                self.assertNotIn(word, body, path)
        self.assertIn(b"bobs-plan", self.ask("root", "GET", "/api/memory/allocations?owner=bob").body)

    def test_anothers_id_answers_as_one_that_is_not_there(self):
        for one, other in (("alice", "bob"), ("bob", "alice")):
            for made in self.ids[other]:
                for method, path, body in (("GET", f"/api/memory/allocation/{made}", None), ("GET", f"/api/memory/allocation/{made}/content", None),
                                           ("DELETE", f"/api/memory/allocations/{made}?force=true", None), ("PUT", f"/api/memory/allocation/{made}/content", b"x"),
                                           ("POST", "/api/memory/operations/clear", {"allocationId": made}),
                                           ("POST", "/api/memory/operations/copy", {"sourceAllocationId": made, "targetAllocationId": self.ids[one][0]}),
                                           ("POST", "/api/memory/operations/copy", {"sourceAllocationId": self.ids[one][0], "targetAllocationId": made})):
                    told = self.ask(one, method, path, body).problem(404, "not-found")
                    missing = self.ask(one, method, path.replace(made, "alc_0q3xw8c5k2mznd1"),
                                       {key: "alc_0q3xw8c5k2mznd1" if value == made else value for key, value in body.items()} if isinstance(body, dict) else body)
                    self.assertEqual(told["detail"].replace(made, ""), missing.json()["detail"].replace("alc_0q3xw8c5k2mznd1", ""))
        self.assertEqual(self.ask("root", "GET", f"/api/memory/allocation/{self.ids['bob'][0]}").ok()["owner"], "bob")

    def test_only_an_admin_allocates_for_another(self):
        body = {"sizeBytes": 1, "owner": "bob"}
        self.ask("alice", "POST", "/api/memory/allocations/allocate", body).problem(403, "forbidden")
        made = self.ask("root", "POST", "/api/memory/allocations/allocate", body).ok()
        self.assertEqual(made["owner"], "bob")
        self.ask("bob", "DELETE", f"/api/memory/allocations/{made['id']}").ok()

    def test_a_wrong_token_is_nobody(self):
        answer = self.daemon.default.request("GET", "/api/memory/usage", headers={"Authorization": "Bearer wrong"})
        self.assertIn(answer.status, (401, 403), answer.body)


if __name__ == "__main__":
    unittest.main()
