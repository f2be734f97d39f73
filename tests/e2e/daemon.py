"""A real vramd for a test: started on free ports and a state directory of its own, ended and looked over at the end.

    with Daemon(devices=["host:a=64MiB"]) as daemon:
        made = daemon.post("/api/memory/allocations/allocate", {"sizeBytes": 4096}).ok()

Nothing here waits for time: a read with a deadline waits for the ready line, a request waits until the next core answers.
VRAMD_BIN names the folder of the programs (build/bin unless told).
"""
import atexit
import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from document import Document

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BIN = os.environ.get("VRAMD_BIN", os.path.join(ROOT, "build", "bin"))
READY_SECONDS = 180
ANSWER_SECONDS = 180
# What a sanitizer, an invariant or an uncaught exception leaves in the log: the keeper would hide it by starting the next core.
FAULTS = ("AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:", "invariant broken", "terminate called", "was killed by signal 6",
          "was killed by signal 11")


document_of_this_build = None


@atexit.register
def tell_provoked():
    """What this script's answers have shown of the problems that the document lists: a file each, for test_problems.py."""
    folder = os.environ.get("VRAMD_PROVOKED")
    script = os.path.basename(sys.argv[0])
    if folder and script.startswith("test_"):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, script), "w", encoding="utf-8") as file:
            json.dump(sorted(document_of_this_build.provoked) if document_of_this_build else [], file)


class Answer:
    """One HTTP answer."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def ok(self):
        """The JSON of a success; anything else fails the test with what was said."""
        assert 200 <= self.status < 300, f"{self.status} {self.body[:600]!r}"
        return json.loads(self.body) if self.body else None

    def problem(self, status, code):
        """The problem document; anything but this status and code fails the test."""
        assert self.headers.get("Content-Type", "").startswith("application/problem+json"), f"{self.status} {self.headers} {self.body[:300]!r}"
        told = json.loads(self.body)
        assert (self.status, told["code"]) == (status, code), f"{self.status} {told}, not {status} {code}"
        assert told["status"] == status and told["type"] and told["title"] and told["detail"], told
        return told


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Client:
    """One connection's worth of requests; made anew when the daemon closed it. Not shared between threads."""

    def __init__(self, connect):
        self.connect, self.connection = connect, None

    def request(self, method, path, body=None, headers=None):
        headers = dict(headers or {})
        asked = set(body) if isinstance(body, dict) else set()
        if body is not None and not isinstance(body, (bytes, bytearray, memoryview)):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        elif body is not None:
            headers.setdefault("Content-Type", "application/octet-stream")
        if self.connection is None:
            self.connection = self.connect()
        try:
            self.connection.request(method, path, body=body, headers=headers)
            response = self.connection.getresponse()
            answer = Answer(response.status, dict(response.getheaders()), response.read())
        except Exception:
            self.close()
            raise
        if answer.headers.get("Connection", "").lower() == "close":
            self.close()
        if answer.headers.get("Content-Type", "").startswith("application/problem+json") and asked:
            # One form: a field of the body is named by a JSON pointer, never by its bare name.
            assert json.loads(answer.body).get("field") not in asked, f"{path}: {answer.body!r}"
        self.hold(method, path, answer)
        return answer

    def hold(self, method, path, answer):
        """Every answer of every test must be one that /openapi.json allows. VRAMD_HOLD=0 leaves that out."""
        global document_of_this_build  # pylint: disable=global-statement
        if os.environ.get("VRAMD_HOLD") == "0":
            return
        if document_of_this_build is None:
            connection = self.connect()
            try:
                connection.request("GET", "/openapi.json")
                response = connection.getresponse()
                text = response.read()
                if response.status != 200:
                    return  # Asked of a core that is not ready: the next answer is held.
                document_of_this_build = Document(text)
            except (OSError, http.client.HTTPException):
                return  # The core ended meanwhile, likewise.
            finally:
                connection.close()
        document_of_this_build.check(method, path, answer)

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Daemon:
    """`vramd serve` under test. A context manager; `stop` also asserts a clean end."""

    def __init__(self, devices=("host:a=64MiB",), model_dirs=(), environment=None, state_dir=None, arguments=(), door="tcp"):
        self.folder = tempfile.mkdtemp(prefix="vramd-")
        self.state_dir = state_dir or os.path.join(self.folder, "state")
        self.socket_path = os.path.join(self.folder, "vramd.sock")
        self.http_socket = os.path.join(self.folder, "vramd-http.sock")
        self.command = [os.path.join(BIN, "vramd"), "serve", "--listen", "127.0.0.1:0", "--socket", self.socket_path, "--state-dir", self.state_dir]
        for device in devices:
            self.command += ["--device", device]
        for folder in model_dirs:
            self.command += ["--model-dir", folder]
        # What else runs on the machine is no part of a test: only who asks for relief gets it.
        if "--relief" not in arguments:
            self.command += ["--relief", "100,100,100"]
        self.command += list(arguments)
        self.environment = {**os.environ, **(environment or {})}
        self.process = self.log = self.default = None
        self.port, self.door = 0, door
        self.descriptors = ()  # What the keeper inherits, by number.

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.discard()
            raise

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.stop()
            else:
                print(f"--- vramd said:\n{self.said()[-4000:]}")
        finally:
            self.discard()

    def start(self):
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.log, env=self.environment, pass_fds=self.descriptors)
        line = self.read_ready(time.monotonic() + READY_SECONDS)
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        self.port = int(words["http"].rsplit(":", 1)[1])
        self.ready = words
        self.default = self.client(self.door)
        return self

    def read_ready(self, deadline):
        got = b""
        while b"\n" not in got:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.process.stdout], [], [], left)[0], f"no ready line; it said: {self.said()}"
            piece = os.read(self.process.stdout.fileno(), 4096)
            assert piece, f"vramd ended before it was ready, with {self.process.wait()}; it said: {self.said()}"
            got += piece
        line = got.split(b"\n")[0].decode()
        assert line.startswith("vramd ready "), line
        return line

    def said(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def tcp(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)

    def unix(self):
        return UnixConnection(self.http_socket, ANSWER_SECONDS)

    def client(self, door="tcp"):
        """A client of one's own, for a thread."""
        return Client(self.unix if door == "unix" else self.tcp)

    def get(self, path, headers=None):
        return self.default.request("GET", path, headers=headers)

    def post(self, path, body=None, headers=None):
        return self.default.request("POST", path, body, headers)

    def put(self, path, body=None, headers=None):
        return self.default.request("PUT", path, body, headers)

    def delete(self, path, headers=None):
        return self.default.request("DELETE", path, headers=headers)

    def allocate(self, size_bytes=4096, **fields):
        """A new allocation's record."""
        return self.post("/api/memory/allocations/allocate", {"sizeBytes": size_bytes, **fields}).ok()

    def system(self):
        return self.get("/api/system").ok()

    def core_pid(self):
        return self.system()["corePid"]

    def kill_core(self):
        """SIGKILL to the core, and the answer of /api/system of the next one."""
        before = self.system()
        os.kill(before["corePid"], signal.SIGKILL)
        told = self.next_generation(before["generation"])
        assert told["generation"] == before["generation"] + 1, f"a core died by itself in between; it said: {self.said()[-3000:]}"
        return told

    def stop_core(self):
        """SIGSTOP to the core: it hears of nothing from here on. A stop takes effect when one of its threads comes to run, not before."""
        told = self.system()
        os.kill(told["corePid"], signal.SIGSTOP)
        deadline = time.monotonic() + READY_SECONDS
        while any(state_of(told["corePid"], thread) != "T" for thread in os.listdir(f"/proc/{told['corePid']}/task")):
            assert time.monotonic() < deadline, "the core goes on after SIGSTOP"
        return told

    def next_generation(self, generation, seconds=READY_SECONDS):
        """What /api/system says once a core after `generation` answers. The listening sockets outlive the core, so a connection waits in them."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.default.close()
            try:
                told = self.system()
                if told["generation"] > generation:
                    return told
            except (OSError, http.client.HTTPException):
                continue
            except AssertionError:  # A core that is not ready yet says so in words.
                continue
        raise AssertionError(f"no core after generation {generation} within {seconds} s; it said: {self.said()[-3000:]}")

    def family(self):
        """The pids of every process below the keeper."""
        found, ahead = set(), [self.process.pid]
        while ahead:
            pid = ahead.pop()
            try:
                with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                    children = [int(word) for word in file.read().split()]
            except OSError:
                continue
            found.update(children)
            ahead += children
        return found

    def keeper_descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self, signal_number=signal.SIGTERM, seconds=60):
        """SIGTERM; asserts exit 0, no process and no socket left."""
        family = self.family()
        self.default.close()
        self.process.send_signal(signal_number)
        status = self.process.wait(timeout=seconds)
        assert status == 0, f"vramd ended with {status}; it said: {self.said()[-3000:]}"
        left = [pid for pid in family if os.path.exists(f"/proc/{pid}") and not is_zombie(pid)]
        assert not left, f"processes left: {left}"
        sockets = [path for path in (self.socket_path, self.http_socket) if os.path.exists(path)]
        assert not sockets, f"sockets left: {sockets}"
        faults = [line for line in self.said().splitlines() if any(word in line for word in FAULTS)]
        assert not faults, f"a process of the daemon failed by itself: {faults[:5]}"

    def discard(self):
        if self.default is not None:
            self.default.close()
        if self.process is not None:
            if self.process.poll() is None:
                family = self.family()
                self.process.kill()
                self.process.wait()
                for pid in family:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
            self.process.stdout.close()
        if self.log is not None:
            self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def state_of(pid, thread=None):
    """The letter of proc(5) for a process, or for one thread of it; X for one that is gone."""
    path = f"/proc/{pid}/stat" if thread is None else f"/proc/{pid}/task/{thread}/stat"
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "X"


def is_zombie(pid):
    return state_of(pid) in "ZX"


class Served(unittest.TestCase):
    """Tests that share one daemon, started as `served` says."""
    served = {}

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(**cls.served).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)
