"""Some bytes of memory that a daemon gave, in system memory or on a GPU, as each protocol of sharing arrays has them."""
from __future__ import annotations

from typing import Any

from . import _dlpack
from ._dtypes import DTYPES
from ._errors import Unsupported
from ._given import Given


class Span:
    """Keeps the memory."""

    __slots__ = ("_given", "_offset", "_size", "_what")

    def __init__(self, given: Given, offset_bytes: int, size_bytes: int, what: str) -> None:
        self._given, self._offset, self._size, self._what = given, offset_bytes, size_bytes, what

    @property
    def on_gpu(self) -> bool:
        return self._given.gpu is not None

    def host(self) -> memoryview:
        """The bytes; of memory on a GPU Python has no view."""
        if self.on_gpu:
            raise Unsupported(f"{self._what} lies on {self._given.device_id}, which the processor does not see: take .torch(), DLPack or __cuda_array_interface__ "
                              "there, or .tobytes() for a copy.")
        return self._given.buffer[self._offset : self._offset + self._size]

    def tobytes(self) -> bytes:
        """A copy, from wherever they lie."""
        return self._given.gpu.read(self._offset, self._size) if self._given.gpu is not None else bytes(self.host())

    def array_interface(self, typestr: str, shape: tuple[int, ...]) -> dict[str, Any]:
        """NumPy's protocol, of system memory."""
        if self.on_gpu:
            raise AttributeError("__array_interface__")  # So whoever looks whether it is there finds that it is not.
        return {"version": 3, "data": self.host(), "strides": None, "typestr": typestr, "shape": shape}

    def cuda_array_interface(self, typestr: str, shape: tuple[int, ...]) -> dict[str, Any]:
        """Numba's protocol, which CuPy, PyTorch and others take too, of memory on a GPU. PyTorch refuses memory that says it is read-only, so it does not:
        a kernel that writes to memory mapped to be read fails, and with it this process's use of the GPU; the memory stays as it was."""
        if self._given.gpu is None:
            raise AttributeError("__cuda_array_interface__")
        address = self._given.gpu.address + self._offset if self._size else 0
        return {"version": 3, "data": (address, False), "strides": None, "typestr": typestr, "shape": shape, "stream": None}

    def dlpack(self, dtype: str, shape: tuple[int, ...]) -> Any:
        """DLPack's protocol. Types that it lacks come as bytes. System memory that is mapped to be read is refused, for consumers may write; on a GPU the
        same holds as for `cuda_array_interface`."""
        known = DTYPES.get(dtype)
        code, bits = known.dlpack if known is not None and known.dlpack is not None else _dlpack.BYTES
        if known is None or known.dlpack is None:
            shape = (self._size,)
        gpu = self._given.gpu
        if gpu is not None:
            return _dlpack.capsule(gpu.address + self._offset if self._size else None, gpu, (_dlpack.CUDA, gpu.ordinal), code, bits, shape)
        memory = self.host()
        if memory.readonly:
            raise BufferError(f'DLPack has no read-only tensors, and {self._what} is mapped to be read: load or attach it with mode="private".')
        address, keeper = _dlpack.address_of(memory)
        return _dlpack.capsule(address, keeper, _dlpack.CPU, code, bits, shape)

    def dlpack_device(self) -> tuple[int, int]:
        return _dlpack.CPU if self._given.gpu is None else (_dlpack.CUDA, self._given.gpu.ordinal)
