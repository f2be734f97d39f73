"""Models and memory of a vramd daemon, read in place.

    import vramd

    with vramd.connect() as memory:
        model = memory.load("silero_vad.onnx")
        print(model["conv1.weight"].numpy().mean())

A model's tensors and an allocation's bytes are the daemon's own memory, mapped into this process: nothing is copied, and eight processes
that load one model share one copy of it. What was mapped stays valid as long as anything refers to it: an array, a view, a tensor.
Nothing but the standard library is needed; NumPy and PyTorch are used where a caller asks for their types.
"""
from ._aio import AsyncClient, aconnect
from ._client import Client, Progress, connect
from ._errors import (
    Busy,
    Cancelled,
    Conflict,
    DeviceLost,
    Disconnected,
    Error,
    Forbidden,
    InsufficientMemory,
    InvalidField,
    InvalidModel,
    Leased,
    LimitExceeded,
    NameInUse,
    NotFound,
    PathNotAllowed,
    QuotaExceeded,
    ReadOnly,
    TimedOut,
    Unsupported,
)
from ._events import AsyncEvents, Event, Events
from ._memory import Allocation, Model, Tensor
from ._reclaim import ReclaimRequest
from ._torch import torch_allocator
from ._worker import MemoryWorker

__version__ = "0.1.0"
__all__ = [
    "Allocation",
    "AsyncClient",
    "AsyncEvents",
    "Busy",
    "Cancelled",
    "Client",
    "Conflict",
    "DeviceLost",
    "Disconnected",
    "Error",
    "Event",
    "Events",
    "Forbidden",
    "InsufficientMemory",
    "InvalidField",
    "InvalidModel",
    "Leased",
    "LimitExceeded",
    "MemoryWorker",
    "Model",
    "NameInUse",
    "NotFound",
    "PathNotAllowed",
    "Progress",
    "QuotaExceeded",
    "ReadOnly",
    "ReclaimRequest",
    "Tensor",
    "TimedOut",
    "Unsupported",
    "aconnect",
    "connect",
    "torch_allocator",
]
