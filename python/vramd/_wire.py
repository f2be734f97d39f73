"""One connection: calls out, answers and descriptors in. docs/attach-protocol.md specifies it.

Calls may be made from any thread; a thread of the connection's own takes what comes. What was mapped is let go of when its last user is
gone, which the garbage collector may find out anywhere: so `drop` takes no lock, it leaves a note and wakes that thread.
"""
from __future__ import annotations

import collections
import itertools
import json
import mmap
import os
import select
import socket
import threading
import weakref
from concurrent.futures import Future
from typing import Any, Callable, Optional

from ._errors import Disconnected, Error, InvalidField, error_of

PACKET_BYTES_MAX = 65536
DESCRIPTORS_MAX = 8
VERSION = 1
MAP_NORESERVE = 0x4000  # Linux; not named by every Python.

Notice = Callable[[dict[str, Any]], None]


def default_socket() -> str:
    """Where the daemon listens unless told otherwise: VRAMD_SOCKET, else root's or this user's place."""
    named = os.environ.get("VRAMD_SOCKET")
    if named:
        return named
    if os.geteuid() == 0:
        return "/run/vramd/vramd.sock"
    return os.path.join(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}"), "vramd", "vramd.sock")


class Given:
    """Memory that came with an answer, mapped. Ends with its last reference; `buffer` keeps it too."""

    def __init__(self, told: dict[str, Any], descriptor: int) -> None:
        self.allocation_id: str = told["allocationId"]
        self.size_bytes: int = told["sizeBytes"]
        self.mode: str = told["mode"]
        flags, protection = mmap.MAP_SHARED, mmap.PROT_READ
        if self.mode != "read":
            protection |= mmap.PROT_WRITE
        if self.mode == "private":
            flags = mmap.MAP_PRIVATE | MAP_NORESERVE
        self.map = mmap.mmap(descriptor, self.size_bytes, flags, protection, offset=told["offsetBytes"])

    @property
    def buffer(self) -> memoryview:
        """All of it, as bytes; writable unless the mode is `read`."""
        return memoryview(self.map)


class _Call:
    def __init__(self, notice: Optional[Notice]) -> None:
        self.notice = notice
        self.future: Future[Any] = Future()
        self.future.set_running_or_notify_cancel()


class Connection:
    """A connection that says hello again when the daemon's core was started anew, with all that is still mapped."""

    def __init__(self, path: str, client: str) -> None:
        self._path, self._client, self._pid = path, client, os.getpid()
        self._ids = itertools.count(1)
        self._calls: dict[int, _Call] = {}
        self._order = threading.Lock()  # Of sends whose order matters: attaches, and the detaches that must not overtake them.
        self._attaching: set[int] = set()
        self._holds: collections.Counter[str] = collections.Counter()  # Of the reader's thread alone, as is the next.
        self._modes: dict[str, str] = {}
        self._dropped: collections.deque[str] = collections.deque()
        self._woken, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._socket: Optional[socket.socket] = None
        self._closed = False
        self.session: dict[str, Any] = {}
        self._connect()

    # ------------------------------------------------------------------------------------------------------------------ for callers
    def call(self, method: str, notice: Optional[Notice] = None, **params: Any) -> "Future[Any]":
        """Sends the call. The future has its result; where memory came with it, `result["memory"]` is a `Given`, and a table of tensors
        is read already."""
        if os.getpid() != self._pid:
            raise Disconnected("This connection is another process's, which forked; connect again here.")
        if self._closed:
            raise Disconnected("This connection was closed.")
        number = next(self._ids)
        packet = json.dumps({"jsonrpc": "2.0", "id": number, "method": method,
                             "params": {name: value for name, value in params.items() if value is not None}}).encode()
        if len(packet) > PACKET_BYTES_MAX:
            raise InvalidField(f"The call takes {len(packet)} bytes; a packet holds {PACKET_BYTES_MAX}.")
        call = self._calls[number] = _Call(notice)
        try:
            with self._order:
                if self._socket is None:
                    self._connect()
                if method in ("attach", "allocate"):
                    self._attaching.add(number)
                assert self._socket is not None
                self._socket.send(packet)
        except OSError as error:
            self._attaching.discard(number)
            self._calls.pop(number, None)
            raise Disconnected(f"{self._path}: {error.strerror or error}.") from error
        return call.future

    def drop(self, allocation_id: str) -> None:
        """One mapping of the allocation is gone. From any thread at any time, the collector's too."""
        self._dropped.append(allocation_id)
        self._wake()

    def close(self) -> None:
        """Ends the connection; what is mapped stays readable."""
        self._closed = True
        self._wake()

    def __del__(self) -> None:
        self._wake()  # A reader that runs finds out, and ends.
        os.close(self._waker)
        if self._socket is None:
            os.close(self._woken)

    # -------------------------------------------------------------------------------------------------------------- the reader's own
    def _wake(self) -> None:
        try:
            os.write(self._waker, b"w")
        except (BlockingIOError, OSError):
            pass  # It is awake already, or has ended.

    def _connect(self) -> None:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            link.connect(self._path)
            self.session = self._ask(link, "hello", version=VERSION, client=self._client[:128])[0]
            for allocation_id in list(self._holds):  # After the core's death: what is mapped here is to stay what it is.
                for descriptor in self._ask(link, "attach", allocationId=allocation_id, mode=self._modes[allocation_id])[1]:
                    os.close(descriptor)
        except OSError as error:
            link.close()
            raise Disconnected(f"{self._path}: {error.strerror or error}. Is vramd running, and may this user reach its socket?") from error
        except BaseException:
            link.close()
            raise
        self._socket = link
        threading.Thread(target=_read, args=(weakref.ref(self), link, self._woken), name="vramd", daemon=True).start()

    def _ask(self, link: socket.socket, method: str, **params: Any) -> tuple[dict[str, Any], list[int]]:
        """A call whose answer is the next one, before the reader runs. A refused attach costs what it was for, not the connection."""
        link.send(json.dumps({"jsonrpc": "2.0", "id": 0, "method": method, "params": params}).encode())
        data, descriptors, _, _ = socket.recv_fds(link, PACKET_BYTES_MAX, DESCRIPTORS_MAX, socket.MSG_CMSG_CLOEXEC)
        if not data:
            raise Disconnected("The daemon closed the connection.")
        told = json.loads(data)
        if "error" in told and method == "hello":
            raise error_of(told["error"])
        return told.get("result", {}), list(descriptors)

    def _step(self, link: socket.socket, readable: bool) -> bool:
        """Takes what has come; False when the connection is over."""
        try:
            if readable:
                data, descriptors, _, _ = socket.recv_fds(link, PACKET_BYTES_MAX, DESCRIPTORS_MAX, socket.MSG_CMSG_CLOEXEC)
                if not data:
                    return False
                self._take(json.loads(data), list(descriptors))
            self._detach(link)
        except OSError:
            return False
        return not self._closed

    def _take(self, told: dict[str, Any], descriptors: list[int]) -> None:
        try:
            if "method" in told:
                self._tell(told.get("params") or {})
                return
            call = self._calls.pop(told["id"], None) if isinstance(told.get("id"), int) else None
            if call is None:
                return
            self._attaching.discard(told["id"])
            if "error" in told:
                call.future.set_exception(error_of(told["error"]))
                return
            try:
                call.future.set_result(self._result(told["result"], descriptors))
            except Exception as error:  # Mapping it failed: told to whom it was for.
                call.future.set_exception(error)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _result(self, result: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        table = result.pop("tensorTable", None)
        if table is not None:
            result["tensors"] = json.loads(os.pread(descriptors[table["descriptor"]], table["sizeBytes"], 0))
        memory = result.get("memory")
        if memory is not None:
            given = Given(memory, descriptors[memory["descriptor"]])
            self._holds[given.allocation_id] += 1
            self._modes[given.allocation_id] = given.mode
            weakref.finalize(given.map, self.drop, given.allocation_id).atexit = False
            result["memory"] = given
        return result

    def _tell(self, params: dict[str, Any]) -> None:
        call = self._calls.get(params.get("call", 0))
        if call is not None and call.notice is not None:
            call.notice(params)

    def _detach(self, link: socket.socket) -> None:
        """Detaches what nobody here uses any more; not while an attach is under way, which it could undo."""
        with self._order:
            while self._dropped and not self._attaching:
                allocation_id = self._dropped.popleft()
                self._holds[allocation_id] -= 1
                if self._holds[allocation_id] > 0:
                    continue
                self._holds.pop(allocation_id, None)
                self._modes.pop(allocation_id, None)
                packet = {"jsonrpc": "2.0", "id": "detach", "method": "detach", "params": {"allocationId": allocation_id}}
                link.send(json.dumps(packet).encode())

    def _over(self, link: socket.socket) -> None:
        with self._order:
            link.close()
            if self._socket is link:
                self._socket = None
            calls, self._calls = self._calls, {}
            self._attaching.clear()
        for call in calls.values():
            call.future.set_exception(Disconnected("The connection ended before the answer came; ask again."))


def _read(of: "weakref.ref[Connection]", link: socket.socket, woken: int) -> None:
    """The reader's thread: lives as long as its connection, which it does not keep alive."""
    poll = select.poll()
    poll.register(link, select.POLLIN)
    poll.register(woken, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        connection = of()
        if connection is None:
            link.close()
            os.close(woken)
            return
        if woken in ready:
            try:
                os.read(woken, 4096)
            except BlockingIOError:
                pass
        if not connection._step(link, link.fileno() in ready):
            connection._over(link)
            return
        del connection
