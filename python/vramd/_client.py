"""The client: what a program asks a daemon for."""
from __future__ import annotations

import math
import operator
import os
import re
import reprlib
from fractions import Fraction
from html import escape
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Optional, Union

from ._errors import Error, InvalidField
from ._events import Events
from ._html import Allocations, Models, bar
from ._memory import Allocation, Model
from ._reclaim import OnReclaim
from ._wire import Connection, default_socket

#: Where a daemon listens.
Socket = Union[str, "os.PathLike[str]"]
_SIZE = "a number of bytes, or a text of one with KiB, MiB, GiB or TiB"
_UNITS = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


class Progress(NamedTuple):
    """How far a load is."""

    model: str
    stage: str  #: `inspect`, `wait`, `reserve`, `cache`, `load` or `done`.
    done_bytes: int
    total_bytes: int  #: 0 until the file's header is read.

    @property
    def percentage(self) -> float:
        return 100.0 * self.done_bytes / self.total_bytes if self.total_bytes else 0.0


def size_in_bytes(size: Union[int, str]) -> int:
    """4096, "512MiB", "1.5 GiB" as a number of bytes."""
    if isinstance(size, bool) or not isinstance(size, str):
        try:
            return size if isinstance(size, bool) else operator.index(size)  # Of what is no number the daemon says so.
        except TypeError:
            raise _wrong("/sizeBytes", _SIZE, size) from None
    found = re.fullmatch(r"\s*([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([A-Za-z]*)\s*", size, re.ASCII)
    unit = _UNITS.get(found.group(2).upper()) if found else None
    if found is None or unit is None:
        raise _wrong("/sizeBytes", _SIZE, size)
    return int(Fraction(found.group(1)) * unit)


def _wrong(field: str, must: str, given: object, **more: Any) -> InvalidField:
    return InvalidField(f"{field} must be {must}, got {reprlib.repr(given)}.", {"field": field, **more})


def text_of(value: object, field: str) -> str:
    """`None` would be left out of the call, and miss there as something else."""
    if not isinstance(value, str):
        raise _wrong(field, "a text", value)
    return value


def _texts(values: object, field: str) -> list[str]:
    """Names; one text is no list of them, though Python would take it for one of letters."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise _wrong(field, "a list of names", values)
    return [text_of(value, f"{field}/{index}") for index, value in enumerate(values)]


def _seconds(timeout: float) -> int:
    """Whole ones, as the daemon counts: rounded up, for who wants to wait is not to be refused at once."""
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 <= timeout < math.inf:
        raise _wrong("/timeoutSeconds", "a number of seconds from 0", timeout, limit=0)
    return math.ceil(timeout)


def model_params(name: str, mode: str, path: Optional[str], device: Optional[str], pinned: bool, tensors: Optional[Iterable[str]],
                 priority: Optional[str], type_: Optional[str]) -> dict[str, Any]:
    return {"model": text_of(name, "/model"), "mode": mode, "path": path, "deviceId": device, "pinned": pinned or None, "priority": priority, "type": type_,
            "tensors": None if tensors is None else _texts(tensors, "/tensors")}


def allocate_params(size: Union[int, str], device: Optional[str], type_: str, purpose: str, persistent: bool, shareable: bool,
                    timeout: float, priority: Optional[str]) -> dict[str, Any]:
    return {"sizeBytes": size_in_bytes(size), "deviceId": device, "allocationType": type_, "purpose": purpose or None, "persistent": persistent,
            "shareable": shareable or None, "timeoutSeconds": _seconds(timeout) or None, "priority": priority}


def event_params(type_: Union[str, Iterable[str]], device: Optional[str], owner: Optional[str], follow: bool) -> dict[str, Any]:
    types = type_ if isinstance(type_, str) else ",".join(_texts(type_, "/type"))
    return {"type": types or None, "deviceId": device, "owner": owner, "follow": None if follow else False}


def notice_of(progress: Optional[Callable[[Progress], None]]) -> Optional[Callable[[dict[str, Any]], None]]:
    if progress is None:
        return None
    if not callable(progress):
        raise TypeError(f"progress must be callable, not {reprlib.repr(progress)}")
    tell = progress
    return lambda told: tell(Progress(told["model"], told["stage"], told["doneBytes"], told["totalBytes"]))


class Client:
    """A connection to a daemon. Any thread may use it; a process that forked connects anew. Also a context manager."""

    def __init__(self, socket: Optional[Socket] = None, client: str = "python", on_reclaim: Optional[OnReclaim] = None) -> None:
        if on_reclaim is not None and not callable(on_reclaim):
            raise TypeError(f"on_reclaim must be callable, not {reprlib.repr(on_reclaim)}")
        self._connection = Connection(os.fsdecode(socket or default_socket()), client, on_reclaim)

    # ----------------------------------------------------------------------------------------------------------------------- models
    def load(self, name: str, *, path: Optional[str] = None, mode: str = "read", device: Optional[str] = None, pinned: bool = False,
             tensors: Optional[Iterable[str]] = None, priority: Optional[str] = None, type: Optional[str] = None,
             progress: Optional[Callable[[Progress], None]] = None) -> Model:
        """The model `name`, from memory if it is there, else loaded from `path` (or the file called so) beneath a model folder.

        `mode`: `read`, or `private` for memory that may be written, of which only what is written becomes this process's own copy.
        `tensors`: only these are told. `progress` is called from the connection's thread while it loads.
        It may not wait for this client there; what it raises, `load` raises.
        Raises `NotFound`, `InvalidModel`, `InsufficientMemory`, `NameInUse`, `PathNotAllowed`, `Disconnected`, ….
        """
        result = self._connection.ask("attach", notice_of(progress), **model_params(name, mode, path, device, pinned, tensors, priority, type))
        return Model(result["model"], result["memory"], result["tensors"])

    def models(self, *, device: Optional[str] = None) -> list[dict[str, Any]]:
        """The records of all models in memory, newest first."""
        return Models(self._pages("models", deviceId=device))

    # ------------------------------------------------------------------------------------------------------------------- allocations
    def allocate(self, size: Union[int, str], *, device: Optional[str] = None, type: str = "mapped", purpose: str = "",
                 persistent: bool = False, shareable: bool = False, timeout: float = 0, priority: Optional[str] = None) -> Allocation:
        """New memory, which reads as zero. `size`: bytes, or a text such as "2GiB". Unless `persistent` it ends with this client.

        `shareable`: others may attach it, to read. `timeout`: seconds to wait for room, rounded up to whole ones.
        Raises `InsufficientMemory` with suggestions that work, `QuotaExceeded`, `LimitExceeded`, `TimedOut`, ….
        """
        params = allocate_params(size, device, type, purpose, persistent, shareable, timeout, priority)
        result = self._connection.ask("allocate", **params)
        return Allocation(result["allocation"], result["memory"], self.free)

    def attach(self, allocation_id: str, *, mode: str = "read") -> Allocation:
        """An allocation that is there: one's own (`mode` read, private or write), or another's that is shareable (read, private)."""
        result = self._connection.ask("attach", allocationId=text_of(allocation_id, "/allocationId"), mode=mode)
        return Allocation(result["allocation"], result["memory"], None)

    def free(self, allocation_id: str) -> None:
        """Gives memory back. Raises `Leased` while others have it attached, `NotFound`."""
        self._connection.ask("free", allocationId=text_of(allocation_id, "/allocationId"))

    def allocations(self, *, device: Optional[str] = None, owner: Optional[str] = None) -> list[dict[str, Any]]:
        """The records of all allocations that this user may see, newest first."""
        return Allocations(self._pages("allocations", deviceId=device, owner=owner))

    def events(self, *, from_: Optional[int] = None, type: Union[str, Iterable[str]] = (), device: Optional[str] = None,
               owner: Optional[str] = None, follow: bool = True) -> Events:
        """What happens, from now on; `from_` the event with this number on (0: the oldest that is kept).

        `type`: only these, a name or several. `follow=False`: only what there is by now. A client has one such stream at a time.
        Raises `InvalidField`, `NotFound` (a device), `Conflict` (there is one already), `Error` (`from_` is no longer kept).
        """
        params = event_params(type, device, owner, follow)

        def open_(first: Optional[int]) -> "tuple[int, int]":
            told = self._connection.ask("subscribe", None, **{"from": first}, **params)
            return told["descriptor"], told["from"]

        return Events(open_, from_, follow)

    # ------------------------------------------------------------------------------------------------------------------------- itself
    @property
    def devices(self) -> list[dict[str, Any]]:
        """The daemon's devices, each with `deviceId`, `kind`, `capabilities`, `totalBytes`, `granularityBytes`."""
        return list(self._connection.session["devices"])

    @property
    def owner(self) -> str:
        """Who this process is to the daemon."""
        return str(self._connection.session["owner"])

    def close(self) -> None:
        """Ends the connection: what it allocated without `persistent` is freed, and what is mapped stays readable here."""
        self._connection.close()

    def _pages(self, kind: str, **filters: Any) -> Iterator[dict[str, Any]]:
        cursor = None
        while True:
            page = self._connection.ask("list", kind=kind, limit=1000, cursor=cursor, **filters)
            yield from page["items"]
            cursor = page["nextCursor"]
            if cursor is None:
                return

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        session = self._connection.session
        return f"<Client {session['session']} of vramd {session['daemonVersion']}, {session['owner']}>"

    def _repr_html_(self) -> str:
        """The daemon's devices with what models take of each, and the models. A daemon that does not answer leaves the line of `repr`."""
        title = f"<p>{escape(repr(self)[1:-1])}</p>"
        try:
            models = Models(self._pages("models", deviceId=None))
        except Error as error:
            return title + f"<p>{escape(str(error))}</p>"
        taken: dict[str, int] = {}
        for model in models:
            for place in model.get("places", ()):
                taken[place["deviceId"]] = taken.get(place["deviceId"], 0) + int(model["sizeBytes"])
        bars = (bar(f"{device['deviceId']}, models", taken.get(device["deviceId"], 0), device["totalBytes"]) for device in self.devices)
        return title + "".join(bars) + models._repr_html_()


def connect(socket: Optional[Socket] = None, *, client: str = "python", on_reclaim: Optional[OnReclaim] = None) -> Client:
    """A client of the daemon at `socket`: VRAMD_SOCKET or the default place unless told. Raises `Disconnected` where nobody listens.

    `on_reclaim` is called, on a thread of its own, when somebody waits for the room of a model that is mapped here. What it lets go of
    until it returns (`Model.close`, and whatever was made from its tensors) is given back; what it does not, is kept, and the daemon is
    told so. Without it this client is never asked.
    """
    return Client(socket, client, on_reclaim)
