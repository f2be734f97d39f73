"""Types of tensors' elements, by the formats' names for them."""
from __future__ import annotations

from typing import NamedTuple, Optional


class Dtype(NamedTuple):
    """What NumPy's array interface, `memoryview.cast` and DLPack call an element; nothing where they have no name for it."""

    size_bytes: int
    numpy: Optional[str]
    letter: Optional[str]
    dlpack: Optional[tuple[int, int]]  # Code and bits.


_INT, _UINT, _FLOAT, _BFLOAT, _COMPLEX, _BOOL = 0, 1, 2, 4, 5, 6

#: Every type whose elements take whole bytes of their own. Of the others (packed and quantised ones) a tensor is bytes.
DTYPES: dict[str, Dtype] = {
    "bool": Dtype(1, "|b1", "?", (_BOOL, 8)),
    "u8": Dtype(1, "|u1", "B", (_UINT, 8)),
    "i8": Dtype(1, "|i1", "b", (_INT, 8)),
    "u16": Dtype(2, "<u2", "H", (_UINT, 16)),
    "i16": Dtype(2, "<i2", "h", (_INT, 16)),
    "u32": Dtype(4, "<u4", "I", (_UINT, 32)),
    "i32": Dtype(4, "<i4", "i", (_INT, 32)),
    "u64": Dtype(8, "<u8", "Q", (_UINT, 64)),
    "i64": Dtype(8, "<i8", "q", (_INT, 64)),
    "f16": Dtype(2, "<f2", "e", (_FLOAT, 16)),
    "bf16": Dtype(2, None, None, (_BFLOAT, 16)),
    "f32": Dtype(4, "<f4", "f", (_FLOAT, 32)),
    "f64": Dtype(8, "<f8", "d", (_FLOAT, 64)),
    "c64": Dtype(8, "<c8", None, (_COMPLEX, 64)),
    "c128": Dtype(16, "<c16", None, (_COMPLEX, 128)),
}
