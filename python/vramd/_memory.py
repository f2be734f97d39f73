"""Memory that a daemon owns, mapped here: allocations, models and their tensors.

Everything that is made from them (views, arrays, tensors of other libraries) keeps the mapping by reference; with the last of these the
daemon is told that it is not used here any more.
"""
from __future__ import annotations

from typing import Any, Callable, Iterator, Mapping, Optional, Union

from ._dtypes import DTYPES
from ._errors import Disconnected, Leased, Unsupported
from ._given import Given
from ._html import size_text, table
from ._span import Span
from ._torch import tensor_of


class Tensor:
    """A model's tensor, in place. NumPy takes it by `numpy.asarray(tensor)`, DLPack's users by `from_dlpack(tensor)`, PyTorch by `.torch()`; on a GPU CuPy
    and Numba by `__cuda_array_interface__`."""

    __slots__ = ("name", "dtype", "shape", "nbytes", "_span")

    def __init__(self, told: Mapping[str, Any], given: Given, rows_last: bool) -> None:
        self.name: str = told["name"]
        #: The elements' type as the file's format names it: `f32`, `bf16`, `q4_k`, ….
        self.dtype: str = told["dtype"]
        shape = tuple(told["shape"])
        #: In elements, the one that varies slowest first (GGUF tells them the other way round).
        self.shape: tuple[int, ...] = shape[::-1] if rows_last else shape
        self.nbytes: int = told["sizeBytes"]
        self._span = Span(given, told["offsetBytes"], told["sizeBytes"], self.name)

    @property
    def memory(self) -> memoryview:
        """Its bytes; read-only unless the model was loaded with `mode="private"`. Raises `Unsupported` on a GPU."""
        return self._span.host()

    def tobytes(self) -> bytes:
        """A copy of its bytes, from a GPU too."""
        return self._span.tobytes()

    def view(self) -> memoryview:
        """Its elements, with the type and the shape that Python's memoryview knows. Raises `Unsupported` for other types, and on a GPU."""
        memory = self.memory
        dtype = DTYPES.get(self.dtype)
        if dtype is None or dtype.letter is None:
            raise Unsupported(f"memoryview has no type {self.dtype}; the bytes of {self.name} are in .memory.")
        if not self.nbytes or not self.shape:
            return memory.cast(dtype.letter)
        return memory.cast("B").cast(dtype.letter, list(self.shape))

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """NumPy's protocol. Types that NumPy lacks come as their bytes, in one dimension; `dtype` names them."""
        return self._span.array_interface(*self._numpy_type())

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """The same for memory on a GPU; absent in system memory."""
        return self._span.cuda_array_interface(*self._numpy_type())

    def _numpy_type(self) -> tuple[str, tuple[int, ...]]:
        dtype = DTYPES.get(self.dtype)
        return (dtype.numpy, self.shape) if dtype is not None and dtype.numpy is not None else ("|u1", (self.nbytes,))

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        """What NumPy asks for where there is no `__array_interface__`, on a GPU: refused there, for nobody said that it may be copied."""
        array = self.numpy()
        return array if dtype is None and not copy else array.astype(dtype or array.dtype)

    def __dlpack__(self, *, stream: Any = None, **_: Any) -> Any:
        """DLPack's protocol. Consumers may write, so system memory needs `mode="private"`: then what they write is this process's own."""
        return self._span.dlpack(self.dtype, self.shape)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._span.dlpack_device()

    def numpy(self) -> Any:
        """A `numpy.ndarray` on this memory, read-only as it is. Raises `Unsupported` on a GPU."""
        import numpy

        self._span.host()
        return numpy.asarray(self)

    def torch(self) -> Any:
        """A `torch.Tensor` on this memory, on a GPU too; in system memory it needs `mode="private"`. Raises `Unsupported` for types that PyTorch lacks."""
        return tensor_of(self._span, self.dtype, self.shape)

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def __repr__(self) -> str:
        return f"<Tensor {self.name} {self.dtype} {list(self.shape)} {size_text(self.nbytes)}>"

    def _repr_html_(self) -> str:
        return table("tensor", ("name", "dtype", "shape", "size"), [self._row()])

    def _row(self) -> tuple[object, ...]:
        return self.name, self.dtype, " × ".join(map(str, self.shape)) or "scalar", self.nbytes


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
        #: Where it lies: `deviceId` of one of the client's devices.
        self.device = given.device_id
        self._tensors = {told["name"]: Tensor(told, given, rows_last=self.format == "gguf") for told in tensors}

    @property
    def memory(self) -> memoryview:
        """All its bytes; tensors lie in it at `record`'s offsets. Raises `Unsupported` on a GPU."""
        if self._given is None:
            raise ValueError(f"{self.name} was closed")
        return Span(self._given, 0, self.nbytes, self.name).host()

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
        state = "closed" if self._given is None else f"{len(self)} tensors {size_text(self.nbytes)} {self.mode}"
        return f"<Model {self.name} {self.format} {state}>"

    def _repr_html_(self) -> str:
        rows = (tensor._row() for tensor in self._tensors.values())
        return table(repr(self)[1:-1], ("name", "dtype", "shape", "size"), rows)


class Allocation:
    """Memory of one's own, or another's to read. As a context manager it is freed at the end if it was allocated by it."""

    def __init__(self, record: Optional[dict[str, Any]], given: Optional[Given], free: Optional[Callable[[str], None]]) -> None:
        #: The allocation's record; absent where it is another owner's.
        self.record = record
        self.id: str = given.allocation_id if given is not None else (record or {})["id"]
        self.nbytes: int = given.size_bytes if given is not None else (record or {})["sizeBytes"]
        self.device: Optional[str] = given.device_id if given is not None else (record or {}).get("deviceId")
        self._given = given
        self._free = free

    @property
    def memory(self) -> memoryview:
        """Its bytes. Raises `Unsupported` where it shares its block with others and on a GPU, `ValueError` once it is closed."""
        return self._span().host()

    def tobytes(self) -> bytes:
        """A copy of its bytes, from a GPU too."""
        return self._span().tobytes()

    def write(self, data: Union[bytes, bytearray, memoryview], offset: int = 0) -> None:
        """Copies bytes, or whatever shows some, into it, onto a GPU too. Raises `ValueError` where they do not fit, `TypeError` where it is mapped to be read."""
        span, data = self._span(), memoryview(data).cast("B")
        if offset < 0 or offset + len(data) > self.nbytes:
            raise ValueError(f"{len(data)} bytes at {offset} do not fit into {self.id}, which has {self.nbytes}")
        assert self._given is not None
        if self._given.gpu is None:
            span.host()[offset : offset + len(data)] = data
        elif self._given.mode != "write":
            raise TypeError(f"{self.id} is mapped to be read")
        else:
            self._given.gpu.write(offset, data)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._span().array_interface("|u1", (self.nbytes,))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self._span().cuda_array_interface("|u1", (self.nbytes,))

    def __dlpack__(self, *, stream: Any = None, **_: Any) -> Any:
        return self._span().dlpack("u8", (self.nbytes,))

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._span().dlpack_device()

    def torch(self) -> Any:
        """A `torch.Tensor` of its bytes, on this memory; `.view(dtype)` gives them another type."""
        return tensor_of(self._span(), "u8", (self.nbytes,))

    def _span(self) -> Span:
        if self._given is None and self._free is None:
            raise ValueError(f"{self.id} was closed")
        if self._given is None:
            raise Unsupported(f'{self.id} lies in a block with others; allocate with type="mapped" to map it.')
        return Span(self._given, 0, self.nbytes, self.id)

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
        return f"<Allocation {self.id} {size_text(self.nbytes)}{where}{' closed' if closed else ''}>"

    def _repr_html_(self) -> str:
        row = (self.id, self.device or "", (self.record or {}).get("status", ""), (self.record or {}).get("purpose", ""), self.nbytes)
        return table("allocation", ("id", "device", "status", "purpose", "size"), [row])
