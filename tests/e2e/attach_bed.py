"""What the tests of the attach protocol share: a daemon with model files, processes of the test's own, and looks at what is left."""
import ctypes
import json
import os
import signal
import tempfile
import time
import unittest

from attach_client import Attach
from attach_files import write_bytes_model, write_safetensors
from daemon import Daemon

MIB = 1 << 20
LARGE = int(os.environ.get("VRAMD_ATTACH_MIB", "256")) * MIB
DEADLINE = 30


class Child:
    """A process of the test's own: `work(tell)` runs in it; `tell(value)` sends a line to `hear`. It ends with 0, or says why not."""

    def __init__(self, work, *arguments):
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it does not outlive the test.
                os.close(reader)
                work(lambda value: os.write(writer, json.dumps(value).encode() + b"\n"), *arguments)
                status = 0
            except BaseException as error:  # pylint: disable=broad-except
                os.write(writer, json.dumps(f"failed: {error!r}").encode() + b"\n")
            finally:
                os._exit(status)
        os.close(writer)
        self.pipe = os.fdopen(reader, "rb")

    def hear(self):
        return self.parsed(self.pipe.readline())

    @staticmethod
    def parsed(line):
        assert line, "the process ended"
        told = json.loads(line)
        assert not (isinstance(told, str) and told.startswith("failed")), told
        return told

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self):
        status = os.waitpid(self.pid, 0)[1]
        self.pipe.close()
        return os.waitstatus_to_exitcode(status)


def forever():
    while True:
        signal.pause()


def soon(holds, what):
    """Until it holds; the last thing seen where it does not."""
    deadline = time.monotonic() + DEADLINE
    while True:
        seen = holds()
        if seen is True:
            return
        assert time.monotonic() < deadline, f"{what}: {seen}"


def links_of(pid):
    """Where a process's descriptors lead, each with its status."""
    links = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.append((os.readlink(f"/proc/{pid}/fd/{name}"), os.stat(f"/proc/{pid}/fd/{name}")))
        except OSError:
            pass  # Closed meanwhile.
    return links


def descriptors_of(pid):
    """Beside those of blocks, which come and go with the pool."""
    return sum(not link.startswith("/memfd:vramd ") for link, _ in links_of(pid))


class EmptyAfterwards(unittest.TestCase):
    """With a `daemon` and a `folder` of the class, set up by it: whatever a test did, nothing is held, nothing handed out, and the books are right."""

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)
        cls.folder.cleanup()

    def tearDown(self):
        for model in self.daemon.get("/api/model/status").ok()["loadedModels"]:
            soon(lambda name=model["name"]: self.daemon.delete(f"/api/model/unload?name={name}").status in (200, 404), model)
        try:
            soon(lambda: (lambda items: not items or items)(self.daemon.get("/api/memory/allocations").ok()["items"]), "left")
        except AssertionError:
            for left in self.daemon.get("/api/memory/allocations").ok()["items"]:  # One test fails for it, not each that comes after.
                self.daemon.delete(f"/api/memory/allocations/{left['id']}?force=true")
            raise
        self.assertTrue(self.daemon.get("/api/audit").ok()["ok"])


class AttachCase(EmptyAfterwards):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="vramd-models-")
        cls.patterns = {name: write_bytes_model(os.path.join(cls.folder.name, name), size, seed)
                        for seed, (name, size) in enumerate((("two.safetensors", 2 * MIB), ("eight.safetensors", 8 * MIB), ("large.safetensors", LARGE)), 1)}
        write_safetensors(os.path.join(cls.folder.name, "many.safetensors"), [(f"layer.{i}.weight", [2], [i, -i]) for i in range(3000)])
        cls.daemon = Daemon(devices=[f"host:a={LARGE + 192 * MIB}"], model_dirs=[cls.folder.name], arguments=["--ram-cache", "0"], door="unix").__enter__()
        os.chmod(cls.daemon.folder, 0o711)  # For clients of other users.

    def check_descriptors(self, before):
        """The core has as many descriptors as before, and of memory no more than the books know."""
        def flat():
            pid = self.daemon.core_pid()
            sizes = {(told.st_dev, told.st_ino): told.st_size for link, told in links_of(pid) if link.startswith("/memfd:vramd ")}
            status = self.daemon.get("/api/memory/status/a").ok()
            now = (descriptors_of(pid), sum(sizes.values()))
            return (now[0] <= before and now[1] == status["usedBytes"] + status["poolBytes"]) or (now, status["usedBytes"], status["poolBytes"])

        soon(flat, f"descriptors, {before} before")

    def connect(self, name="test"):
        return Attach(self.daemon.socket_path, name)

    def attached(self, name):
        return self.daemon.get(f"/api/model/info?name={name}").ok()["attachedClients"]

    def map_once(self, name):
        client = self.connect()
        result, memory = client.map("attach", model=name)
        with memory:
            pattern = self.patterns[name]
            self.assertEqual(memory[:65536], pattern)
            self.assertEqual(memory[-65536:], pattern)
        client.close()
        return result["memory"]["sizeBytes"]
