"""One connection: calls out, answers and descriptors in. docs/attach-protocol.md specifies it.

When the daemon's core dies or is upgraded, the connection's thread goes on with the session over another one at once, whether anybody asks
anything or not: what is mapped or was allocated stays what it is. What was asked and not answered is asked again if that does no harm.

Calls may be made from any thread; a thread of the connection's own takes what comes. What was mapped is let go of when its last user is
gone, which the garbage collector may find out anywhere: so `drop` takes no lock, it leaves a note and wakes that thread.
"""
from __future__ import annotations

import collections
import functools
import itertools
import json
import os
import select
import socket
import struct
import threading
import time
import weakref
from concurrent.futures import Future
from typing import Any, Callable, Optional

from ._call import PACKET_BYTES_MAX, Call, Notice, packet_of
from ._errors import Conflict, Disconnected, Error, NotFound, error_of
from ._given import Given
from ._reclaim import Answers, OnReclaim

DESCRIPTORS_MAX = 8
VERSION = 1
RESUME_SECONDS = 30  # For how long the next core is waited for.
REOPEN_SECONDS = 10  # For how long cores that die at the hello are followed by another try.


def default_socket() -> str:
    """Where the daemon listens unless told otherwise: VRAMD_SOCKET, else root's or this user's place."""
    named = os.environ.get("VRAMD_SOCKET")
    if named:
        return named
    if os.geteuid() == 0:
        return "/run/vramd/vramd.sock"
    return os.path.join(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}"), "vramd", "vramd.sock")


class Connection:
    """A connection that goes on with its session when the daemon's core was started anew."""

    def __init__(self, path: str, client: str, on_reclaim: Optional[OnReclaim] = None) -> None:
        self._path, self._client, self._pid = path, client, os.getpid()
        self._ids = itertools.count(1)
        self._calls: dict[int, Call] = {}
        self._order = threading.Lock()  # Of sends whose order matters: attaches, and the detaches that must not overtake them.
        self._attaching: set[int] = set()
        self._holds: collections.Counter[str] = collections.Counter()  # Of the reader's thread alone, as is the next.
        self._modes: dict[str, str] = {}
        self._dropped: collections.deque[str] = collections.deque()
        self._woken, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._answers = None if on_reclaim is None else Answers(on_reclaim, _waker_of(weakref.ref(self)))
        self._socket: Optional[socket.socket] = None
        self._closed = False
        self._reader: Optional[threading.Thread] = None
        self.session: dict[str, Any] = {}
        _connections.add(self)
        self._connect()

    # ------------------------------------------------------------------------------------------------------------------ for callers
    def call(self, method: str, notice: Optional[Notice] = None, **params: Any) -> "Future[Any]":
        """Sends the call. The future has its result; where memory came with it, `result["memory"]` is a `Given`, and a table of tensors
        is read already."""
        return self._begin(self._made(method, notice, params))

    def ask(self, method: str, notice: Optional[Notice] = None, **params: Any) -> Any:
        """Calls and waits. What comes for who does not wait any more, being interrupted, is given back."""
        if threading.current_thread() is self._reader:
            raise Conflict("What is called for a load's progress is called from the connection's own thread, which a call would wait for: call from another.")
        call = self._made(method, notice, params)
        try:
            return self._begin(call).result()
        except BaseException:
            self.disown(method, call.future)
            raise

    def _made(self, method: str, notice: Optional[Notice], params: dict[str, Any]) -> Call:
        if os.getpid() != self._pid:
            raise Disconnected("This connection is another process's, which forked; connect again here.")
        if self._closed:
            raise Disconnected("This connection was closed.")
        return Call(next(self._ids), method, params, notice)

    def _begin(self, call: Call) -> "Future[Any]":
        with self._order:
            if self._socket is None:
                self._connect()
            assert self._socket is not None
            try:
                self._send(self._socket, call)
            except (BrokenPipeError, ConnectionResetError):
                call.again = True  # It was not sent. The reader finds the end next, and sends it over the next connection.
            except OSError as error:
                self._forget(call.number)
                raise Disconnected(f"{self._path}: {error.strerror or error}.") from error
        return call.future

    def disown(self, method: str, future: "Future[Any]") -> None:
        """Whatever it brings is given back: nobody waits for it any more."""
        future.add_done_callback(functools.partial(self._give_back, method))

    def _give_back(self, method: str, future: "Future[Any]") -> None:
        if future.exception() is not None:
            return
        result = future.result()
        try:
            if method == "subscribe":
                os.close(result["descriptor"])
            if method == "allocate":  # What is attached alone ends with its mapping.
                self.call("free", allocationId=result["allocation"]["id"])
        except Disconnected:
            pass  # Then it ends with the session.

    def _send(self, link: socket.socket, call: Call) -> None:
        self._calls[call.number] = call
        if call.takes_memory:
            self._attaching.add(call.number)
        link.send(call.packet)

    def _forget(self, number: int) -> None:
        self._attaching.discard(number)
        self._calls.pop(number, None)

    def drop(self, allocation_id: str) -> None:
        """One mapping of the allocation is gone. From any thread at any time, the collector's too."""
        self._dropped.append(allocation_id)
        self._wake()

    def close(self) -> None:
        """Ends the connection; what is mapped stays readable."""
        self._closed = True
        self._wake()

    def forked(self) -> None:
        """In a process that forked: the connection is its parent's alone, and is to end with that."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def __del__(self) -> None:
        self._wake()  # A reader that runs finds out, and ends.
        os.close(self._waker)
        if self._socket is None:
            os.close(self._woken)

    # -------------------------------------------------------------------------------------------------------------- the reader's own
    def _wake(self) -> None:
        if os.getpid() != self._pid:
            return
        try:
            os.write(self._waker, b"w")
        except (BlockingIOError, OSError):
            pass  # It is awake already, or has ended.

    def _connect(self) -> None:
        self._socket = self._open()
        self._reader = threading.Thread(target=_read, args=(weakref.ref(self), self._socket, self._woken), name="vramd", daemon=True)
        self._reader.start()

    def _open(self) -> socket.socket:
        """Another connection, with the session of before if the daemon knows it yet. What is mapped here is attached there."""
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            # The kernel's own deadline: with one of Python's a full queue before the door would be a refusal.
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", RESUME_SECONDS, 0))
            link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", RESUME_SECONDS, 0))
            link.connect(self._path)
            self._greet(link)
            held = {allocation_id: group["mode"] for group in self.session.get("held", ()) for allocation_id in group["allocationIds"]}
            for allocation_id in list(self._holds):
                if held.pop(allocation_id, "none") == "none":  # The session is another one.
                    for descriptor in self._ask(link, "attach", allocationId=allocation_id, mode=self._modes[allocation_id])[1]:
                        os.close(descriptor)
            for allocation_id, mode in held.items():  # Let go of here, or never heard of, for the answer was lost.
                if mode != "none":
                    self._ask(link, "detach", allocationId=allocation_id)
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 0))
            link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 0))
        except OSError as error:
            link.close()
            raise Disconnected(f"{self._path}: {error.strerror or error}. Is vramd running, and may this user reach its socket?") from error
        except BaseException:
            link.close()
            raise
        return link

    def _greet(self, link: socket.socket) -> None:
        who: dict[str, Any] = {"version": VERSION, "client": self._client}
        if self._answers is not None:
            who["reclaim"] = True
        key = self.session.get("resumeKey")
        if key is not None:
            try:
                self.session = self._ask(link, "hello", resumeKey=key, **who)[0]
                return
            except (NotFound, Conflict):
                pass  # Its grace is over, or it ended while the core lived.
        self.session = self._ask(link, "hello", **who)[0]

    def _ask(self, link: socket.socket, method: str, **params: Any) -> tuple[dict[str, Any], list[int]]:
        """A call whose answer is the next one, before the reader runs. A refused attach costs what it was for, not the connection."""
        link.send(packet_of(0, method, params))
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
            self._answer(link)
        except OSError:
            return False
        return not self._closed

    def _take(self, told: dict[str, Any], descriptors: list[int]) -> None:
        try:
            if told.get("method") == "reclaim" and self._answers is not None:
                self._answers.ask(told["params"])
                return
            if "method" in told:
                self._tell(told.get("params") or {})
                return
            call = self._calls.pop(told["id"], None) if isinstance(told.get("id"), int) else None
            if call is None:
                return
            self._attaching.discard(told["id"])
            if "error" in told:
                call.fail(error_of(told["error"]))
                return
            try:
                call.succeed(self._result(told["result"], descriptors))
            except Exception as error:  # Mapping it failed: told to whom it was for.
                call.fail(error)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _result(self, result: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        table = result.pop("tensorTable", None)
        if table is not None:
            result["tensors"] = json.loads(os.pread(descriptors[table["descriptor"]], table["sizeBytes"], 0))
        if "descriptor" in result:
            result["descriptor"] = os.dup(descriptors[result["descriptor"]])  # For whoever asked, who closes it.
        memory = result.get("memory")
        if memory is not None:
            given = Given(memory, descriptors[memory["descriptor"]], self.session["devices"])
            self._holds[given.allocation_id] += 1
            self._modes[given.allocation_id] = given.mode
            weakref.finalize(given.mapping, self.drop, given.allocation_id).atexit = False
            result["memory"] = given
        return result

    def _tell(self, params: dict[str, Any]) -> None:
        call = self._calls.get(params.get("call", 0))
        if call is None or call.notice is None:
            return
        try:
            call.notice(params)
        except Exception as error:  # The caller's own: it hears of it. What is loaded, is let go of when it comes.
            call.notice = None
            call.fail(error)

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

    def _answer(self, link: socket.socket) -> None:
        """Says of what was asked for whether it is held still, once all is detached that was let go of."""
        while self._answers is not None and not self._dropped:
            request = self._answers.take()
            if request is None:
                return
            given = 0 if self._holds[request.allocation_id] > 0 else request.bytes
            packet = {"jsonrpc": "2.0", "id": "reclaimed", "method": "reclaimed", "params": {"allocationId": request.allocation_id, "bytes": given}}
            link.send(json.dumps(packet).encode())

    def _open_again(self) -> Optional[socket.socket]:
        """Another connection, though cores die before they answer; None where nobody listens or answers: the next call tries again."""
        until = time.monotonic() + REOPEN_SECONDS
        while True:
            try:
                return self._open()
            except Disconnected as error:
                met_its_end = error.__cause__ is None or isinstance(error.__cause__, (BrokenPipeError, ConnectionResetError))
                if not met_its_end or time.monotonic() > until:
                    return None
            except Error:
                return None

    def _over(self, link: socket.socket) -> Optional[socket.socket]:
        """This connection is over: goes on over another, unless it was closed here. That one; None where there is none."""
        fresh: Optional[socket.socket] = None
        with self._order:
            _end(link)
            self._socket = None
            calls, self._calls = self._calls, {}
            self._attaching.clear()
            if not self._closed:
                fresh = self._socket = self._open_again()
            if fresh is not None:
                again = {number: calls.pop(number) for number in [number for number, call in calls.items() if call.again]}
                self._calls.update(again)
                self._attaching.update(number for number, call in again.items() if call.takes_memory)
                try:
                    for call in again.values():
                        fresh.send(call.packet)
                except OSError:
                    pass  # That one has ended too: the reader finds it, and all are asked again over the next.
        for call in calls.values():
            call.fail(Disconnected("The connection ended before the answer came; it may have been carried out or not."))
        self._wake()  # For what was let go of meanwhile.
        return fresh


_connections: "weakref.WeakSet[Connection]" = weakref.WeakSet()


def _forked() -> None:
    for connection in list(_connections):
        connection.forked()


os.register_at_fork(after_in_child=_forked)


def _end(link: socket.socket) -> None:
    """Ends it for whoever else has a descriptor of it too."""
    try:
        link.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It has ended.
    link.close()


def _waker_of(of: "weakref.ref[Connection]") -> Callable[[], None]:
    """Wakes a connection that is there yet."""
    def wake() -> None:
        connection = of()
        if connection is not None:
            connection._wake()

    return wake


def _read(of: "weakref.ref[Connection]", link: socket.socket, woken: int) -> None:
    """The reader's thread: lives as long as its connection, which it does not keep alive."""
    poll = select.poll()
    poll.register(link, select.POLLIN)
    poll.register(woken, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        connection = of()
        if connection is None:
            _end(link)
            os.close(woken)
            return
        if woken in ready:
            try:
                os.read(woken, 4096)
            except BlockingIOError:
                pass
        if not connection._step(link, link.fileno() in ready):
            poll.unregister(link)
            fresh = connection._over(link)
            if fresh is None:
                return
            link = fresh
            poll.register(link, select.POLLIN)
        del connection
