"""Memory of a GPU that came as a descriptor, mapped into this process by the NVIDIA driver. docs/cuda.md tells what is measured of it.

The driver is loaded when the first such memory comes; VRAMD_CUDA_LIBRARY names another library, for tests. The process's primary context is
used, which is also PyTorch's: who has a tensor there already pays nothing for it.
"""
from __future__ import annotations

import ctypes
import os
import threading
import weakref
from typing import Any, Optional

from ._errors import Error, Unsupported

_DEVICE, _POSIX, _READ, _WRITE = 1, 1, 1, 3


class _Location(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("id", ctypes.c_int)]


class _Access(ctypes.Structure):
    _fields_ = [("location", _Location), ("flags", ctypes.c_int)]


class _Driver:
    """libcuda, begun, with a context for each GPU that was asked for."""

    def __init__(self) -> None:
        name = os.environ.get("VRAMD_CUDA_LIBRARY", "libcuda.so.1")
        try:
            self._library = ctypes.CDLL(name)
        except OSError as error:
            raise Unsupported(f"This memory is a GPU's, and the NVIDIA driver cannot be loaded here: {error}.") from error
        self._contexts: dict[int, ctypes.c_void_p] = {}
        self.call("cuInit", ctypes.c_uint(0))

    def call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, function)(*arguments)
        if status != 0:
            name = ctypes.c_char_p()
            self._library.cuGetErrorName(status, ctypes.byref(name))
            raise Error(f"The NVIDIA driver refused {function}: {name.value.decode() if name.value else status}.", {"code": "device-lost" if status >= 700 else "system-failed"})

    def ordinal_of(self, uuid: Optional[str]) -> int:
        """The GPU's number in this process, which CUDA_VISIBLE_DEVICES may have changed."""
        count = ctypes.c_int()
        self.call("cuDeviceGetCount", ctypes.byref(count))
        for ordinal in range(count.value):
            device, told = ctypes.c_int(), (ctypes.c_ubyte * 16)()
            self.call("cuDeviceGet", ctypes.byref(device), ordinal)
            self.call("cuDeviceGetUuid_v2", told, device)
            digits = bytes(told).hex()
            if uuid == f"GPU-{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}":
                return ordinal
        raise Unsupported(f"The memory is on {uuid}, which this process does not see; is it left out of CUDA_VISIBLE_DEVICES?")

    def enter(self, ordinal: int) -> ctypes.c_void_p:
        """Makes the GPU's context this thread's; answers the one that was, for `leave`."""
        before = ctypes.c_void_p()
        if ordinal not in self._contexts:
            device, context = ctypes.c_int(), ctypes.c_void_p()
            self.call("cuDeviceGet", ctypes.byref(device), ordinal)
            self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
            self._contexts[ordinal] = context
        self.call("cuCtxGetCurrent", ctypes.byref(before))
        self.call("cuCtxSetCurrent", self._contexts[ordinal])
        return before

    def leave(self, before: ctypes.c_void_p) -> None:
        self.call("cuCtxSetCurrent", before)


_lock = threading.Lock()
_driver: Optional[_Driver] = None


def _begun() -> _Driver:
    global _driver
    with _lock:
        if _driver is None:
            _driver = _Driver()
        return _driver


class Mapping:
    """A block of a GPU's memory at an address of this process. It goes with the last reference, when the GPU has done what was begun on it."""

    def __init__(self, descriptor: int, size_bytes: int, writable: bool, uuid: Optional[str]) -> None:
        driver = _begun()
        self.ordinal = driver.ordinal_of(uuid)
        size = ctypes.c_size_t(size_bytes)
        handle, address = ctypes.c_uint64(), ctypes.c_uint64()
        nothing = ctypes.c_uint64(0)
        before = driver.enter(self.ordinal)
        try:
            driver.call("cuMemImportFromShareableHandle", ctypes.byref(handle), ctypes.c_void_p(descriptor), _POSIX)
            try:
                driver.call("cuMemAddressReserve", ctypes.byref(address), size, ctypes.c_size_t(0), nothing, nothing)
                try:
                    driver.call("cuMemMap", address, size, ctypes.c_size_t(0), handle, nothing)
                    access = _Access(_Location(_DEVICE, self.ordinal), _WRITE if writable else _READ)
                    try:
                        driver.call("cuMemSetAccess", address, size, ctypes.byref(access), ctypes.c_size_t(1))
                    except Error:
                        driver.call("cuMemUnmap", address, size)
                        raise
                except Error:
                    driver.call("cuMemAddressFree", address, size)
                    raise
            finally:
                driver.call("cuMemRelease", handle)  # The mapping keeps the memory.
        finally:
            driver.leave(before)
        self.address = int(address.value)
        weakref.finalize(self, _unmap, driver, self.ordinal, address, size, os.getpid()).atexit = False

    def read(self, offset_bytes: int, size_bytes: int) -> bytes:
        """A copy in this process's own memory."""
        driver = _begun()
        copy = bytearray(size_bytes)
        if size_bytes:
            before = driver.enter(self.ordinal)
            try:
                driver.call("cuMemcpyDtoH_v2", (ctypes.c_char * size_bytes).from_buffer(copy), ctypes.c_uint64(self.address + offset_bytes), ctypes.c_size_t(size_bytes))
            finally:
                driver.leave(before)
        return bytes(copy)

    def write(self, offset_bytes: int, data: memoryview) -> None:
        """Copies bytes there."""
        driver = _begun()
        if data:
            source = data.tobytes() if data.readonly else (ctypes.c_char * len(data)).from_buffer(data)  # No address is had of the former but by copying.
            before = driver.enter(self.ordinal)
            try:
                driver.call("cuMemcpyHtoD_v2", ctypes.c_uint64(self.address + offset_bytes), source, ctypes.c_size_t(len(data)))
            finally:
                driver.leave(before)


def _unmap(driver: _Driver, ordinal: int, address: ctypes.c_uint64, size: ctypes.c_size_t, process: int) -> None:
    """The driver does not wait for what runs on memory that is unmapped: so this does."""
    if process != os.getpid():
        return
    try:
        before = driver.enter(ordinal)
        try:
            driver.call("cuCtxSynchronize")
            driver.call("cuMemUnmap", address, size)
            driver.call("cuMemAddressFree", address, size)
        finally:
            driver.leave(before)
    except Error:
        pass  # A GPU that failed is final for this process, and takes its mappings with it.
