#!/usr/bin/env python3
"""Sessions of clients outlive the daemon's core: by whatever it ends, they keep every id, hold and mapping; and nobody else's end does so."""
import json
import os
import random
import signal
import sys
import tempfile
import time
import unittest
import zlib

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path[:0] = [os.path.join(ROOT, "python"), os.path.dirname(os.path.abspath(__file__))]
import vramd  # noqa: E402
from attach_bed import EmptyAfterwards, MIB, Child, forever, soon  # noqa: E402
from attach_client import Attach, Refused  # noqa: E402
from attach_files import write_bytes_model  # noqa: E402
from daemon import Daemon  # noqa: E402

DEATHS = int(os.environ.get("VRAMD_SESSION_DEATHS", "100"))
GRACE_SECONDS = 10


class Sessions(EmptyAfterwards):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="vramd-models-")
        cls.pattern = write_bytes_model(os.path.join(cls.folder.name, "eight.safetensors"), 8 * MIB, 1)
        cls.daemon = Daemon(devices=["host:a=128MiB"], model_dirs=[cls.folder.name], arguments=["--ram-cache", "0"], door="unix").__enter__()
        os.chmod(cls.daemon.folder, 0o711)  # For clients of other users.

    def resume(self, key, name="test"):
        """A connection with the session of that key; its hello's answer is `hello`."""
        client = Attach(self.daemon.socket_path, None)
        try:
            client.hello = client.call("hello", version=1, client=name, resumeKey=key)
        except BaseException:
            client.close()
            raise
        return client

    def refusal(self, key):
        with self.assertRaises(Refused) as refused:
            self.resume(key)
        return refused.exception.code

    def record(self, allocation_id):
        answer = self.daemon.get(f"/api/memory/allocation/{allocation_id}")
        return answer.json() if answer.status == 200 else None

    def attached(self, allocation_id):
        return self.record(allocation_id)["attachedClients"]

    def end_core(self, signal_number):
        """The core ends in order, as the keeper has it: an upgrade or a new configuration."""
        generation = self.daemon.system()["generation"]
        os.kill(self.daemon.process.pid, signal_number)
        self.daemon.next_generation(generation)

    def hold_all(self):
        """A client with memory of its own that ends with it, memory that is kept, and a model; and what each is, by inode and sum."""
        client = Attach(self.daemon.socket_path)
        maps = {}
        for name, params in (("own", {"method": "allocate", "sizeBytes": 2 * MIB}), ("kept", {"method": "allocate", "sizeBytes": MIB, "persistent": True}),
                             ("model", {"method": "attach", "model": "eight.safetensors"})):
            result, memory = client.map(**params)
            if name != "model":
                memory[:] = random.Random(len(maps)).randbytes(len(memory))
            maps[name] = (result["memory"]["allocationId"], memory, zlib.crc32(memory))
        return client, maps

    def check_goes_on(self, key, first, maps):
        """The session goes on over another connection, with all that it held, in the very same memory."""
        client = self.resume(key)
        self.assertEqual((client.hello["session"], client.hello["resumeKey"]), (first["session"], key))
        held = {allocation_id: group["mode"] for group in client.hello["held"] for allocation_id in group["allocationIds"]}
        self.assertEqual(held, {maps["own"][0]: "write", maps["kept"][0]: "write", maps["model"][0]: "read"})
        for name, (allocation_id, memory, right) in maps.items():
            self.assertEqual(zlib.crc32(memory), right, name)
            self.assertEqual(zlib.crc32(self.daemon.get(f"/api/memory/allocation/{allocation_id}/content").body[:len(memory)]), right, name)
            self.assertEqual(self.attached(allocation_id), 1, name)
        stamp = os.urandom(8)
        maps["own"][1][0:8] = stamp  # What is mapped and what the daemon means are one memory.
        self.assertEqual(self.daemon.get(f"/api/memory/allocation/{maps['own'][0]}/content", {"Range": "bytes=0-7"}).body, stamp)
        maps["own"] = (maps["own"][0], maps["own"][1], zlib.crc32(maps["own"][1]))
        return client

    def end(self, client, maps):
        client.call("free", allocationId=maps["kept"][0])
        client.close()
        for _, memory, _ in maps.values():
            memory.close()
        soon(lambda: self.record(maps["own"][0]) is None, "it lives on")

    def test_a_client_keeps_ids_holds_and_mappings_through_a_hundred_deaths_of_the_core(self):
        client, maps = self.hold_all()
        first = client.hello
        self.assertEqual(first["graceSeconds"], GRACE_SECONDS)
        begun = time.monotonic()
        for _ in range(DEATHS):
            self.daemon.kill_core()
            client.close()
            client = self.check_goes_on(first["resumeKey"], first, maps)
        print(f"\n{DEATHS} deaths of the core, each gone on with, in {time.monotonic() - begun:.1f} s")
        self.end(client, maps)

    def test_the_same_through_an_upgrade_and_a_new_configuration(self):
        client, maps = self.hold_all()
        first = client.hello
        for number in (signal.SIGUSR2, signal.SIGHUP, signal.SIGUSR2):
            self.end_core(number)
            client.close()
            client = self.check_goes_on(first["resumeKey"], first, maps)
        self.end(client, maps)

    def test_nobody_takes_what_is_held_while_its_client_has_not_come_back(self):
        client, maps = self.hold_all()
        first = client.hello
        self.daemon.kill_core()
        client.close()
        self.daemon.delete("/api/model/unload?name=eight.safetensors").problem(409, "leased")
        self.daemon.delete(f"/api/memory/allocations/{maps['kept'][0]}").problem(409, "leased")
        self.daemon.post("/api/memory/allocations/allocate", {"sizeBytes": 120 * MIB, "deviceId": "a"}).problem(507, "insufficient-memory")
        self.end(self.check_goes_on(first["resumeKey"], first, maps), maps)

    def test_what_is_freed_by_force_is_its_clients_until_the_last_lets_go_through_the_cores_death_too(self):
        client = Attach(self.daemon.socket_path)
        first = client.hello
        result, memory = client.map("allocate", sizeBytes=5_000_000, persistent=True)
        made = result["allocation"]
        memory[:] = b"z" * len(memory)
        told = self.daemon.delete(f"/api/memory/allocations/{made['id']}?force=true").ok()
        self.assertEqual((told["status"], told["freedBytes"]), ("zombie", made["grantedBytes"]))
        for _ in range(2):
            status = self.daemon.get("/api/memory/status/a").ok()
            self.assertEqual(status["zombieBytes"], made["grantedBytes"])
            # What others hold may change meanwhile: an earlier client's memory goes when its session is over.
            self.assertEqual(status["availableBytes"], status["totalBytes"] - status["liveBytes"] - status["zombieBytes"] - status["reservedBytes"])
            self.assertEqual((self.record(made["id"])["status"], self.attached(made["id"])), ("zombie", 1))
            listed = self.daemon.get("/api/memory/allocations?status=zombie").ok()["items"]
            self.assertEqual([one["id"] for one in listed], [made["id"]])
            self.assertIn("was freed", self.daemon.get(f"/api/memory/allocation/{made['id']}/content").problem(409, "conflict")["detail"])
            self.assertEqual(memory[:], b"z" * len(memory))
            self.daemon.kill_core()
            client.close()
            client = self.resume(first["resumeKey"])
        self.assertEqual(client.hello["held"], [{"mode": "write", "allocationIds": [made["id"]]}])
        client.call("detach", allocationId=made["id"])
        soon(lambda: self.record(made["id"]) is None, "the zombie stays")
        soon(lambda: self.daemon.get("/api/memory/status/a").ok()["zombieBytes"] == 0, "its bytes do not come back")
        client.close()
        memory.close()

    def test_a_zombie_whose_client_does_not_come_back_is_free_when_the_grace_is_over(self):
        client = Attach(self.daemon.socket_path)
        result, memory = client.map("allocate", sizeBytes=MIB, persistent=True)
        self.daemon.delete(f"/api/memory/allocations/{result['allocation']['id']}?force=true").ok()
        self.daemon.kill_core()
        client.close()
        memory.close()
        self.assertEqual(self.record(result["allocation"]["id"])["status"], "zombie")
        soon(lambda: self.record(result["allocation"]["id"]) is None, "the zombie stays")

    def test_a_session_whose_client_dies_while_no_core_runs_ends_when_the_grace_does(self):
        def work(tell):
            client = Attach(self.daemon.socket_path)
            own = client.map("allocate", sizeBytes=MIB)[0]
            kept = client.map("allocate", sizeBytes=MIB, persistent=True)[0]
            tell([own["memory"]["allocationId"], kept["memory"]["allocationId"], client.hello["resumeKey"]])
            forever()

        child = Child(work)
        own, kept, key = child.hear()
        core = self.daemon.stop_core()  # It does not hear of the client's end.
        child.kill()
        killed = time.monotonic()
        os.kill(core["corePid"], signal.SIGKILL)
        self.daemon.next_generation(core["generation"])
        self.assertEqual((self.attached(own), self.attached(kept)), (1, 1))
        soon(lambda: self.record(own) is None, "it lives on")
        took = time.monotonic() - killed
        print(f"\na session that nobody went on with was over {took:.1f} s after the core's death")
        self.assertGreater(took, GRACE_SECONDS)
        soon(lambda: self.attached(kept) == 0 or self.attached(kept), "held yet")
        self.assertEqual(self.refusal(key), "not-found")
        told = self.daemon.get("/api/events?from=0&follow=false&type=sessionEnded").body.decode()
        self.assertEqual(json.loads(told.strip().splitlines()[-1][len("data: "):])["reason"], "timed-out")
        self.daemon.delete(f"/api/memory/allocations/{kept}").ok()

    def test_a_session_is_its_owners_one_connections_and_its_own_clients(self):
        one, other = Attach(self.daemon.socket_path), Attach(self.daemon.socket_path)
        allocation = one.map("allocate", sizeBytes=MIB, persistent=True)[0]["memory"]["allocationId"]
        shared = other.call("attach", allocationId=allocation, mode="read")["memory"]["allocationId"]
        self.assertEqual(shared, allocation)
        keys = [client.hello["resumeKey"] for client in (one, other)]
        self.assertNotEqual(*keys)
        self.assertEqual(self.refusal(keys[0]), "conflict")
        self.daemon.kill_core()
        one.close()
        other.close()
        self.assertEqual(self.attached(allocation), 2)
        one = self.resume(keys[0])
        self.assertEqual(self.attached(allocation), 2)
        self.assertEqual(self.refusal(keys[0]), "conflict")
        one.call("detach", allocationId=allocation)
        self.assertEqual(self.attached(allocation), 1)
        other = self.resume(keys[1])
        self.assertEqual(other.hello["held"], [{"mode": "read", "allocationIds": [allocation]}])
        other.close()
        soon(lambda: self.attached(allocation) == 0, "held yet")
        self.assertEqual(self.refusal(keys[1]), "not-found")  # It ended with its connection, as the core lives.
        one.call("free", allocationId=allocation)
        one.close()

    @unittest.skipUnless(os.geteuid() == 0, "only root has other users at hand")
    def test_another_users_key_is_no_key(self):
        client = Attach(self.daemon.socket_path)
        key = client.hello["resumeKey"]
        self.daemon.kill_core()
        client.close()

        def work(tell):
            os.setgid(65534)
            os.setuid(65534)
            tell(self.refusal(key))

        child = Child(work)
        self.assertEqual(child.hear(), "not-found")
        self.assertEqual(child.wait(), 0)
        self.resume(key).close()


if __name__ == "__main__":
    unittest.main()
