"""What happens in the daemon, as it happens: its ledger's events, read from a stream of their own."""
from __future__ import annotations

import asyncio
import json
import os
from typing import IO, Any, AsyncIterator, Awaitable, Callable, Iterator, NamedTuple, Optional, Tuple

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
        self._open, self._follow, self._over = open_, follow, False
        self._stream: Optional[IO[str]] = None
        self._parser = Parser(0)
        self._begin(from_)

    def _begin(self, from_: Optional[int]) -> None:
        descriptor, first = self._open(from_)
        self._stream = os.fdopen(descriptor, "r", encoding="utf-8", newline="\n")
        self._parser = Parser(first)

    def __next__(self) -> Event:
        while not self._over:
            if self._stream is None:  # Also where the last try to go on was interrupted, or failed.
                self._begin(self._parser.next)
            assert self._stream is not None
            line = self._stream.readline()
            if not line.endswith("\n"):  # The end, in the middle of an event perhaps: of this core, or of what there is.
                self._stream.close()
                self._stream = None
                self._over = not self._follow
                continue
            event = self._parser.feed(line)
            if event is not None:
                return event
        raise StopIteration

    def close(self) -> None:
        """Reads no more."""
        self._over = True
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Events from {self._parser.next}{', closed' if self._over else ''}>"


Opened = Tuple[asyncio.StreamReader, asyncio.StreamWriter, int]


class AsyncEvents(AsyncIterator[Event]):
    """The same for asyncio, of one task. Who is cancelled while it waits for the next one misses none."""

    def __init__(self, open_: Callable[[Optional[int]], Awaitable[Opened]], follow: bool) -> None:
        self._open, self._follow, self._over = open_, follow, False
        self._reader: Optional[asyncio.StreamReader] = None
        self._writer: Optional[asyncio.StreamWriter] = None
        self._parser = Parser(0)

    async def begin(self, from_: Optional[int]) -> None:
        self._reader, self._writer, first = await self._open(from_)
        self._parser = Parser(first)

    async def __anext__(self) -> Event:
        while not self._over:
            if self._reader is None:
                await self.begin(self._parser.next)
            assert self._reader is not None
            try:
                line = (await self._reader.readline()).decode()
            except ConnectionError:
                line = ""
            if not line.endswith("\n"):
                self._end()
                self._over = not self._follow
                continue
            event = self._parser.feed(line)
            if event is not None:
                return event
        raise StopAsyncIteration

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def close(self) -> None:
        """Reads no more."""
        self._over = True
        writer = self._writer
        self._end()
        if writer is not None:
            await writer.wait_closed()  # Then the daemon knows, and gives another.

    async def __aenter__(self) -> "AsyncEvents":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncEvents from {self._parser.next}{', closed' if self._over else ''}>"
