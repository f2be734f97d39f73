"""Memory that came with an answer, mapped."""
from __future__ import annotations

import mmap
from typing import Any, Optional

from . import _cuda

MAP_NORESERVE = 0x4000  # Linux; not named by every Python.


class Given:
    """Memory that came with an answer, mapped. Ends with its last reference; what is made of `map` or `gpu` keeps it too."""

    def __init__(self, told: dict[str, Any], descriptor: int, devices: list[dict[str, Any]]) -> None:
        self.allocation_id: str = told["allocationId"]
        self.size_bytes: int = told["sizeBytes"]
        self.mode: str = told["mode"]
        self.device_id: str = told["deviceId"]
        self.gpu: Optional[_cuda.Mapping] = None
        device: dict[str, Any] = next((one for one in devices if one["deviceId"] == self.device_id), {})
        if device.get("kind") == "cuda":
            self.gpu = _cuda.Mapping(descriptor, told["blockBytes"], self.mode == "write", device.get("uuid"))
            return
        flags, protection = mmap.MAP_SHARED, mmap.PROT_READ
        if self.mode != "read":
            protection |= mmap.PROT_WRITE
        if self.mode == "private":
            flags = mmap.MAP_PRIVATE | MAP_NORESERVE
        self.map = mmap.mmap(descriptor, self.size_bytes, flags, protection, offset=told["offsetBytes"])

    @property
    def mapping(self) -> object:
        """What ends when nothing here uses the memory any more."""
        return self.map if self.gpu is None else self.gpu

    @property
    def buffer(self) -> memoryview:
        """All of it, as bytes; writable unless the mode is `read`. Of system memory alone."""
        return memoryview(self.map)
