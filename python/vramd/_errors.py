"""What can go wrong, one exception to one kind of problem.

    Error
    ├── Disconnected            the connection ended before the answer came
    ├── InvalidField            a parameter is missing, unknown or out of range
    ├── NotFound · Forbidden · PathNotAllowed
    ├── Conflict                the present state does not allow it
    │   ├── Leased              somebody uses the memory
    │   └── NameInUse           the name stands for another file
    ├── LimitExceeded · QuotaExceeded
    ├── InsufficientMemory      with what is there, and what would make it fit
    ├── TimedOut · Cancelled · Busy · ReadOnly · DeviceLost
    └── InvalidModel · Unsupported
"""
from __future__ import annotations

from typing import Any, Mapping, Optional


class Error(Exception):
    """A call that was refused: `str(error)` is the daemon's sentence, with the remedy and the suggestions that it has."""

    code = "error"

    def __init__(self, message: str, facts: Optional[Mapping[str, Any]] = None) -> None:
        facts = facts or {}
        self.detail = message
        #: The kind of problem, as the daemon names it.
        self.code = str(facts.get("code", type(self).code))
        #: The parameter at fault, as a JSON pointer (`/sizeBytes`) or a bare word.
        self.field: Optional[str] = facts.get("field")
        self.value: Optional[int] = facts.get("value")
        self.limit: Optional[int] = facts.get("limit")
        self.remedy: Optional[str] = facts.get("remedy")
        self.requested_bytes: Optional[int] = facts.get("requestedBytes")
        self.available_bytes: Optional[int] = facts.get("availableBytes")
        self.largest_free_bytes: Optional[int] = facts.get("largestFreeBytes")
        #: Sentences; each of them, when followed, makes it fit.
        self.suggestions: tuple[str, ...] = tuple(facts.get("suggestions", ()))
        more = self.suggestions or ((self.remedy,) if self.remedy else ())
        super().__init__(" ".join((message, *more)))


class Disconnected(Error):
    code = "disconnected"


class InvalidField(Error):
    code = "invalid-field"


class NotFound(Error):
    code = "not-found"


class Forbidden(Error):
    code = "forbidden"


class PathNotAllowed(Error):
    code = "path-not-allowed"


class Conflict(Error):
    code = "conflict"


class Leased(Conflict):
    code = "leased"


class NameInUse(Conflict):
    code = "name-in-use"


class LimitExceeded(Error):
    code = "limit-exceeded"


class QuotaExceeded(Error):
    code = "quota-exceeded"


class InsufficientMemory(Error):
    code = "insufficient-memory"


class TimedOut(Error):
    code = "timed-out"


class Cancelled(Error):
    code = "cancelled"


class Busy(Error):
    code = "busy"


class ReadOnly(Error):
    code = "read-only"


class DeviceLost(Error):
    code = "device-lost"


class InvalidModel(Error):
    code = "invalid-model"


class Unsupported(Error):
    code = "unsupported"


def _kinds(base: type[Error]) -> dict[str, type[Error]]:
    found = {base.code: base}
    for kind in base.__subclasses__():
        found.update(_kinds(kind))
    return found


def error_of(told: Mapping[str, Any]) -> Error:
    """The exception for the `error` of an answer."""
    facts = told.get("data") or {}
    kind = _kinds(Error).get(str(facts.get("code")), Error)
    return kind(str(told.get("message", "The daemon refused and said no more.")), facts)
