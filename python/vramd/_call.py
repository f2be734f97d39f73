"""A call on its way: its packet, and whom its answer is for."""
from __future__ import annotations

import json
from concurrent.futures import Future
from typing import Any, Callable, Optional

from ._errors import InvalidField

PACKET_BYTES_MAX = 65536
HARMLESS_TWICE = ("attach", "list", "subscribe", "worker.get_status", "worker.get_model_info")

Notice = Callable[[dict[str, Any]], None]


def packet_of(number: int, method: str, params: dict[str, Any]) -> bytes:
    """The call as the daemon takes it: what it could not read, it could answer to nobody."""
    texts = []
    for name, value in params.items():
        if value is None:
            continue
        try:
            texts.append(json.dumps(name) + ": " + json.dumps(value, ensure_ascii=False, allow_nan=False))
            texts[-1].encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidField(f"/{name} is nothing that a call can say: {error}.", {"field": f"/{name}"}) from error
    packet = f'{{"jsonrpc": "2.0", "id": {number}, "method": "{method}", "params": {{{", ".join(texts)}}}}}'.encode()
    if len(packet) > PACKET_BYTES_MAX:
        longest = "/" + max(texts, key=len).split('"', 2)[1]
        raise InvalidField(f"The call takes {len(packet)} bytes, most of them of {longest}; a packet holds {PACKET_BYTES_MAX}.",
                           {"field": longest, "value": len(packet), "limit": PACKET_BYTES_MAX})
    return packet


class Call:
    """One that waits for its answer."""

    def __init__(self, number: int, method: str, params: dict[str, Any], notice: Optional[Notice]) -> None:
        self.number, self.packet = number, packet_of(number, method, params)
        self.takes_memory = method in ("attach", "allocate")
        self.again = method in HARMLESS_TWICE  # Over the next connection, if this one ends before the answer.
        self.notice = notice
        self.future: Future[Any] = Future()
        self.future.set_running_or_notify_cancel()

    def fail(self, error: Exception) -> None:
        if not self.future.done():  # Else its progress has failed it.
            self.future.set_exception(error)

    def succeed(self, result: dict[str, Any]) -> None:
        if not self.future.done():
            self.future.set_result(result)
