"""What happens in the daemon, as it happens: its ledger's events, read from a stream of their own."""
from __future__ import annotations

import json
import os
from typing import IO, Any, Callable, Iterator, NamedTuple, Optional

from ._errors import error_of


class Event(NamedTuple):
    """One entry of the ledger."""

    number: int  #: One higher than that of the entry before; `from_` takes it.
    type: str  #: `allocationReserved`, `modelResident`, ….
    data: dict[str, Any]  #: `time`, `deviceId`, and what belongs to the type.


class Parser:
    """Lines of server-sent events → events."""

    def __init__(self, from_: int) -> None:
        self.next = from_  #: The number of the first event that has not come yet.
        self._number: Optional[int] = None
        self._type = self._data = ""

    def feed(self, line: str) -> Optional[Event]:
        field, _, value = line.rstrip("\n").partition(": ")
        if field == "id":
            self._number = int(value)
        elif field == "event":
            self._type = value
        elif field == "data":
            self._data = value
        elif not line.strip() and self._type == "problem":
            problem = json.loads(self._data)
            raise error_of({"message": problem.get("detail", ""), "data": problem})
        elif not line.strip() and self._number is not None:  # Whole: what a stream's end cuts off comes again.
            self.next = self._number + 1
            number, type_, data = self._number, self._type, self._data
            self._number, self._type, self._data = None, "", ""
            if not data:
                return None  # It only says how far it is.
            return Event(number, type_, json.loads(data))
        return None


class Events(Iterator[Event]):
    """Events, oldest first; waits for the next one. Of one thread. Goes on over the daemon's next core where the one before ended, without
    a gap. Also a context manager. Raises `Disconnected` where the daemon is gone, `Error` where what comes next is no longer kept."""

    def __init__(self, open_: Callable[[Optional[int]], "tuple[int, int]"], from_: Optional[int], follow: bool) -> None:
        self._open, self._follow = open_, follow
        self._stream: Optional[IO[str]] = None
        self._parser = Parser(0)
        self._begin(from_)

    def _begin(self, from_: Optional[int]) -> None:
        descriptor, first = self._open(from_)
        self._stream = os.fdopen(descriptor, "r", encoding="utf-8", newline="\n")
        self._parser = Parser(first)

    def __next__(self) -> Event:
        while self._stream is not None:
            line = self._stream.readline()
            if not line.endswith("\n"):  # The end, in the middle of an event perhaps: of this core, or of what there is.
                self._stream.close()
                self._stream = None
                if self._follow:
                    self._begin(self._parser.next)
                continue
            event = self._parser.feed(line)
            if event is not None:
                return event
        raise StopIteration

    def close(self) -> None:
        """Reads no more."""
        self._follow = False
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Events from {self._parser.next}{'' if self._stream else ', closed'}>"
