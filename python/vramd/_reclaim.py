"""Being asked to let go of models that others wait for, and the answer. docs/attach-protocol.md, "reclaimed", has the rules."""
from __future__ import annotations

import collections
import threading
from typing import Any, Callable, Mapping, NamedTuple, Optional


class ReclaimRequest(NamedTuple):
    """What the daemon asks for: to let go of a model that is mapped here, for somebody waits for the room."""

    allocation_id: str  #: As `Model.allocation_id`.
    model: str  #: The model's first name.
    bytes: int  #: What comes back when all who have it have let go of it.
    within_seconds: float  #: How long that is of use.


OnReclaim = Callable[[ReclaimRequest], Any]


class Answers:
    """Calls `on_reclaim` on threads of its own, and keeps what is to be answered until the connection's thread takes it."""

    def __init__(self, on_reclaim: OnReclaim, wake: Callable[[], None]) -> None:
        self._on_reclaim, self._wake = on_reclaim, wake
        self._done: collections.deque[ReclaimRequest] = collections.deque()

    def ask(self, told: Mapping[str, Any]) -> None:
        request = ReclaimRequest(told["allocationId"], told["model"], told["bytes"], told["withinMs"] / 1000)
        threading.Thread(target=self._run, args=(request,), name="vramd reclaim", daemon=True).start()

    def take(self) -> Optional[ReclaimRequest]:
        """One that was dealt with; whether it is held still, the caller knows."""
        return self._done.popleft() if self._done else None

    def _run(self, request: ReclaimRequest) -> None:
        try:
            self._on_reclaim(request)
        finally:  # Whatever went wrong there: nobody is to wait for it.
            self._done.append(request)
            self._wake()
