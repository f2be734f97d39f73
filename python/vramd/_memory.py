"""Memory that a daemon owns, mapped here: allocations, models and their tensors.

Everything that is made from them (views, arrays, tensors of other libraries) keeps the mapping by reference; with the last of these the
daemon is told that it is not used here any more.
"""
from __future__ import annotations

from typing import Any, Callable, Iterator, Mapping, Optional

from . import _dlpack
from ._dtypes import DTYPES
from ._errors import Disconnected, Leased, Unsupported
from ._wire import Given


def _bytes(count: int) -> str:
    """1536 as "1.5 KiB"."""
    size, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"


class Tensor:
    """A model's tensor, in place. NumPy takes it by `numpy.asarray(tensor)`, DLPack's users by `from_dlpack(tensor)`."""

    __slots__ = ("name", "dtype", "shape", "nbytes", "_memory")

    def __init__(self, told: Mapping[str, Any], memory: memoryview, rows_last: bool) -> None:
        self.name: str = told["name"]
        #: The elements' type as the file's format names it: `f32`, `bf16`, `q4_k`, ….
        self.dtype: str = told["dtype"]
        shape = tuple(told["shape"])
        #: In elements, the one that varies slowest first (GGUF tells them the other way round).
        self.shape: tuple[int, ...] = shape[::-1] if rows_last else shape
        self.nbytes: int = told["sizeBytes"]
        self._memory = memory[told["offsetBytes"] : told["offsetBytes"] + told["sizeBytes"]]

    @property
    def memory(self) -> memoryview:
        """Its bytes; read-only unless the model was loaded with `mode="private"`."""
        return self._memory

    def view(self) -> memoryview:
        """Its elements, with the type and the shape that Python's memoryview knows. Raises `Unsupported` for other types."""
        dtype = DTYPES.get(self.dtype)
        if dtype is None or dtype.letter is None:
            raise Unsupported(f"memoryview has no type {self.dtype}; the bytes of {self.name} are in .memory.")
        if not self.nbytes or not self.shape:
            return self._memory.cast(dtype.letter)
        return self._memory.cast("B").cast(dtype.letter, list(self.shape))

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """NumPy's protocol. Types that NumPy lacks come as their bytes, in one dimension; `dtype` names them."""
        dtype = DTYPES.get(self.dtype)
        known = dtype is not None and dtype.numpy is not None
        return {"version": 3, "data": self._memory, "strides": None, "typestr": dtype.numpy if dtype and known else "|u1",
                "shape": self.shape if known else (self.nbytes,)}

    def __dlpack__(self, *, stream: Any = None, **_: Any) -> Any:
        """DLPack's protocol. Consumers may write, so it needs `mode="private"`: then what they write is this process's own."""
        if self._memory.readonly:
            raise BufferError(f'DLPack has no read-only tensors, and {self.name} is mapped to be read: load the model with mode="private".')
        dtype = DTYPES.get(self.dtype)
        if dtype is None or dtype.dlpack is None:
            return _dlpack.capsule(self._memory, 1, 8, (self.nbytes,))
        return _dlpack.capsule(self._memory, *dtype.dlpack, self.shape)

    def __dlpack_device__(self) -> tuple[int, int]:
        return _dlpack.CPU

    def numpy(self) -> Any:
        """A `numpy.ndarray` on this memory, read-only as it is."""
        import numpy

        return numpy.asarray(self)

    def torch(self) -> Any:
        """A `torch.Tensor` on this memory; needs `mode="private"`."""
        import torch.utils.dlpack

        return torch.utils.dlpack.from_dlpack(self.__dlpack__())

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def __repr__(self) -> str:
        return f"<Tensor {self.name} {self.dtype} {list(self.shape)} {_bytes(self.nbytes)}>"


class Model(Mapping[str, Tensor]):
    """A model in memory: its tensors by name, in the file's order. Also a context manager; `close` lets go of it."""

    def __init__(self, record: dict[str, Any], given: Given, tensors: list[dict[str, Any]]) -> None:
        #: The model's record, as `GET /api/model/info` tells it.
        self.record = record
        self.name: str = record["name"]
        self.format: str = record["format"]
        self.allocation_id = given.allocation_id
        self.mode = given.mode
        self.nbytes = given.size_bytes
        self._given: Optional[Given] = given
        buffer = given.buffer
        self._tensors = {told["name"]: Tensor(told, buffer, rows_last=self.format == "gguf") for told in tensors}

    @property
    def memory(self) -> memoryview:
        """All its bytes; tensors lie in it at `record`'s offsets."""
        if self._given is None:
            raise ValueError(f"{self.name} was closed")
        return self._given.buffer

    def close(self) -> None:
        """Lets go of the model. What was made from its tensors keeps the memory until it goes too."""
        self._given = None
        self._tensors = {}

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._given is None else f"{len(self)} tensors {_bytes(self.nbytes)} {self.mode}"
        return f"<Model {self.name} {self.format} {state}>"


class Allocation:
    """Memory of one's own, or another's to read. As a context manager it is freed at the end if it was allocated by it."""

    def __init__(self, record: Optional[dict[str, Any]], given: Optional[Given], free: Optional[Callable[[str], None]]) -> None:
        #: The allocation's record; absent where it is another owner's.
        self.record = record
        self.id: str = given.allocation_id if given is not None else (record or {})["id"]
        self.nbytes: int = given.size_bytes if given is not None else (record or {})["sizeBytes"]
        self.device: Optional[str] = (record or {}).get("deviceId")
        self._given = given
        self._free = free

    @property
    def memory(self) -> memoryview:
        """Its bytes. Raises `Unsupported` where it shares its block with others, `ValueError` once it is closed."""
        if self._given is None and self._free is None:
            raise ValueError(f"{self.id} was closed")
        if self._given is None:
            raise Unsupported(f'{self.id} lies in a block with others; allocate with type="mapped" to map it.')
        return self._given.buffer

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {"version": 3, "data": self.memory, "strides": None, "typestr": "|u1", "shape": (self.nbytes,)}

    def free(self) -> None:
        """Gives the memory back to the daemon, whatever still refers to it here: that stays readable, and is nobody else's either.
        Raises `Leased` while others have it attached."""
        if self._free is not None:
            self._free(self.id)
        self._free, self._given = None, None

    def close(self) -> None:
        """Lets go of it; what is persistent, or another's, lives on. What others have attached is freed when the client ends."""
        try:
            if not (self.record or {}).get("persistent", False):
                self.free()
        except (Leased, Disconnected):
            pass
        self._free, self._given = None, None

    def __enter__(self) -> "Allocation":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.nbytes

    def __repr__(self) -> str:
        closed = self._given is None and self._free is None
        where = f" on {self.device}" if self.device else ""
        return f"<Allocation {self.id} {_bytes(self.nbytes)}{where}{' closed' if closed else ''}>"
