"""The analysis' memory worker: seven operations with its own names and fields, done by the daemon."""
from __future__ import annotations

import asyncio
from typing import Any, Mapping, Optional, Union

from ._client import connect


class MemoryWorker:
    """Keeps models on one device within a limit. Its results are the worker's own: `loaded_models`, `memory_usage_mb`, `memory_limit_mb`,
    `available_memory_mb`, `model_count`; refusals are the exceptions of this package.

        worker = vramd.MemoryWorker(memory_limit_mb=8192)
        await worker.initialize()
        await worker.load_model({"name": "unet", "path": "unet.safetensors", "type": "unet", "estimated_size_mb": 1024})
    """

    def __init__(self, *, device: Optional[str] = None, memory_limit_mb: Optional[float] = None, socket: Optional[str] = None) -> None:
        self._device, self._limit, self._socket = device, memory_limit_mb, socket
        self._client: Any = None

    async def initialize(self) -> dict[str, Any]:
        """Begins; the first operation, and the first one again after `cleanup`."""
        if self._client is None:
            self._client = await asyncio.to_thread(connect, self._socket, client="memory worker")
        return await self._call("initialize", device_id=self._device, memory_limit_mb=self._limit)

    async def load_model(self, model_data: Mapping[str, Any]) -> dict[str, Any]:
        """Loads `model_data["path"]` as `model_data["name"]`; raises `LimitExceeded` beyond the worker's limit."""
        return await self._call("load_model", **{key: model_data.get(key) for key in ("name", "path", "type", "estimated_size_mb")})

    async def unload_model(self, model_data: Union[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Unloads the model called so."""
        return await self._call("unload_model", name=model_data if isinstance(model_data, str) else model_data.get("name"))

    async def get_model_info(self) -> dict[str, Any]:
        """What is loaded, and what it takes."""
        return await self._call("get_model_info")

    async def optimize_memory(self) -> dict[str, Any]:
        """Where more than 80 % is used, unloads models down to 70 %; also tells `unloaded_models`."""
        return await self._call("optimize_memory")

    async def get_status(self) -> dict[str, Any]:
        """The same as `get_model_info`."""
        return await self._call("get_status")

    async def cleanup(self) -> dict[str, Any]:
        """Unloads what this worker loaded: `unloaded_models` and `kept_models`, with the reasons. It must be initialized anew."""
        return await self._call("cleanup")

    async def _call(self, operation: str, **params: Any) -> dict[str, Any]:
        if self._client is None:
            self._client = await asyncio.to_thread(connect, self._socket, client="memory worker")
        result: dict[str, Any] = await asyncio.wrap_future(self._client._connection.call(f"worker.{operation}", **params))
        return result

    def __repr__(self) -> str:
        limit = "no limit" if self._limit is None else f"{self._limit} MiB"
        return f"<MemoryWorker {self._device or 'first device'} {limit}>"
