"""The client for asyncio: the same calls, awaited. Progress comes in the event loop."""
from __future__ import annotations

import asyncio
import inspect
import socket as sockets
from typing import Any, Callable, Iterable, Optional, Union

from ._call import Notice
from ._client import Client, Progress, Socket, allocate_params, connect, event_params, model_params, notice_of, text_of
from ._events import AsyncEvents
from ._memory import Allocation, Model
from ._reclaim import OnReclaim, ReclaimRequest


LINE_BYTES_MAX = 1 << 20  # Of an event.


class AsyncClient:
    """A connection to a daemon, for one event loop. Also an async context manager. A call that is cancelled is still carried out; what
    it would have given is given back."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def load(self, name: str, *, path: Optional[str] = None, mode: str = "read", device: Optional[str] = None, pinned: bool = False,
                   tensors: Optional[Iterable[str]] = None, priority: Optional[str] = None, type: Optional[str] = None,
                   progress: Optional[Callable[[Progress], None]] = None) -> Model:
        """As `Client.load`."""
        loop = asyncio.get_running_loop()
        result = await self._call("attach", _in_loop(loop, notice_of(progress)), **model_params(name, mode, path, device, pinned, tensors, priority, type))
        return Model(result["model"], result["memory"], result["tensors"])

    async def models(self, *, device: Optional[str] = None) -> list[dict[str, Any]]:
        """As `Client.models`."""
        return await asyncio.to_thread(self._client.models, device=device)

    async def allocate(self, size: Union[int, str], *, device: Optional[str] = None, type: str = "mapped", purpose: str = "",
                       persistent: bool = False, shareable: bool = False, timeout: float = 0, priority: Optional[str] = None) -> Allocation:
        """As `Client.allocate`."""
        result = await self._call("allocate", None, **allocate_params(size, device, type, purpose, persistent, shareable, timeout, priority))
        return Allocation(result["allocation"], result["memory"], self._client.free)

    async def attach(self, allocation_id: str, *, mode: str = "read") -> Allocation:
        """As `Client.attach`."""
        result = await self._call("attach", None, allocationId=text_of(allocation_id, "/allocationId"), mode=mode)
        return Allocation(result["allocation"], result["memory"], None)

    async def free(self, allocation_id: str) -> None:
        """As `Client.free`."""
        await self._call("free", None, allocationId=text_of(allocation_id, "/allocationId"))

    async def allocations(self, *, device: Optional[str] = None, owner: Optional[str] = None) -> list[dict[str, Any]]:
        """As `Client.allocations`."""
        return await asyncio.to_thread(self._client.allocations, device=device, owner=owner)

    async def events(self, *, from_: Optional[int] = None, type: Union[str, Iterable[str]] = (), device: Optional[str] = None,
                     owner: Optional[str] = None, follow: bool = True) -> AsyncEvents:
        """As `Client.events`, for `async for` and `async with`."""
        params = event_params(type, device, owner, follow)

        async def open_(first: Optional[int]) -> "tuple[asyncio.StreamReader, asyncio.StreamWriter, int]":
            told = await self._call("subscribe", None, **{"from": first}, **params)
            link = sockets.socket(fileno=told["descriptor"])
            try:
                reader, writer = await asyncio.open_connection(sock=link, limit=LINE_BYTES_MAX)
            except BaseException:
                link.close()
                raise
            return reader, writer, told["from"]

        events = AsyncEvents(open_, follow)
        await events.begin(from_)
        return events

    @property
    def devices(self) -> list[dict[str, Any]]:
        return self._client.devices

    @property
    def owner(self) -> str:
        return self._client.owner

    async def close(self) -> None:
        """As `Client.close`."""
        self._client.close()

    async def _call(self, method: str, notice: Optional[Notice], **params: Any) -> Any:
        future = self._client._connection.call(method, notice, **params)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            self._client._connection.disown(method, future)
            raise

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Async{repr(self._client)[1:]}"


def _in_loop(loop: asyncio.AbstractEventLoop, notice: Optional[Notice]) -> Optional[Notice]:
    if notice is None:
        return None
    tell = notice

    def later(told: dict[str, Any]) -> None:
        loop.call_soon_threadsafe(tell, told)

    return later


def _asked_in_loop(loop: asyncio.AbstractEventLoop, on_reclaim: Optional[OnReclaim]) -> Optional[OnReclaim]:
    if on_reclaim is None:
        return None
    tell = on_reclaim

    async def run(request: ReclaimRequest) -> None:
        outcome = tell(request)
        if inspect.isawaitable(outcome):
            await outcome

    return lambda request: asyncio.run_coroutine_threadsafe(run(request), loop).result()


async def aconnect(socket: Optional[Socket] = None, *, client: str = "python", on_reclaim: Optional[OnReclaim] = None) -> AsyncClient:
    """As `connect`, for asyncio: `on_reclaim`, a function or a coroutine function, is called in the event loop."""
    asked = _asked_in_loop(asyncio.get_running_loop(), on_reclaim)
    return AsyncClient(await asyncio.to_thread(connect, socket, client=client, on_reclaim=asked))
