"""A tensor as a DLPack capsule, by ctypes alone. Layout: dlpack.h, version 0 (github.com/dmlc/dlpack)."""
from __future__ import annotations

import ctypes
from typing import Any, Optional

CPU, CUDA = (1, 0), 2
#: Code and bits of an unsigned byte.
BYTES = (1, 8)


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Managed(ctypes.Structure):
    _fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.CFUNCTYPE(None, ctypes.c_void_p))]


_NAME = b"dltensor"
_lent: dict[int, tuple[Any, ...]] = {}  # What a consumer uses, by its struct's address, until it calls the deleter.


_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def _give_back(managed: int) -> None:
    _lent.pop(managed, None)


def _capsule_ends(capsule: int) -> None:
    """A capsule that nobody consumed still has its name; whose was taken, is given back by the deleter."""
    if _is_valid(ctypes.c_void_p(capsule), _NAME):
        _lent.pop(_pointer(ctypes.c_void_p(capsule), _NAME), None)


_deleter, _destructor = _Callback(_give_back), _Callback(_capsule_ends)
_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.restype, _is_valid.argtypes = ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]


def address_of(memory: memoryview) -> tuple[Optional[int], Any]:
    """Where writable, contiguous memory lies, and what keeps it."""
    data = (ctypes.c_char * memory.nbytes).from_buffer(memory) if memory.nbytes else None
    return (ctypes.addressof(data) if data is not None else None), (data, memory)


def capsule(address: Optional[int], keeper: Any, device: tuple[int, int], code: int, bits: int, shape: tuple[int, ...]) -> Any:
    """The capsule of contiguous memory; `keeper` is kept until its consumer gives it back."""
    extents = (ctypes.c_int64 * max(len(shape), 1))(*shape)
    managed = _Managed()
    managed.tensor.data = address
    managed.tensor.device_type, managed.tensor.device_id = device
    managed.tensor.ndim = len(shape)
    managed.tensor.code, managed.tensor.bits, managed.tensor.lanes = code, bits, 1
    managed.tensor.shape = ctypes.cast(extents, ctypes.POINTER(ctypes.c_int64))
    managed.deleter = _deleter
    struct = ctypes.addressof(managed)
    _lent[struct] = (managed, extents, keeper)
    return _new(struct, _NAME, ctypes.cast(_destructor, ctypes.c_void_p))
