"""The NVIDIA driver, called by this process as any client of the daemon would: what it can do by itself, and mapping what the daemon gave."""
import ctypes
import time

GIB = 1 << 30
now = time.perf_counter


class Location(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("id", ctypes.c_int)]


class Access(ctypes.Structure):
    _fields_ = [("location", Location), ("flags", ctypes.c_int)]


class Cuda:
    """The driver, called by this process as any client would."""

    def __init__(self):
        self.library = ctypes.CDLL("libcuda.so.1")
        begun = now()
        self.call("cuInit", 0)
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self.call("cuCtxSetCurrent", context)
        self.start_ms = (now() - begun) * 1e3
        self.stream = ctypes.c_void_p()
        self.call("cuStreamCreate", ctypes.byref(self.stream), 1)

    def call(self, name, *arguments):
        status = getattr(self.library, name)(*arguments)
        if status != 0:
            raise RuntimeError(f"{name} answered {status}")

    def timed(self, work, rounds=3):
        """The shortest time of some."""
        best = 1e9
        for _ in range(rounds):
            begun = now()
            work()
            self.call("cuStreamSynchronize", self.stream)
            best = min(best, now() - begun)
        return best

    def limits(self):
        """GB/s of pinned copies in both directions, of a copy on the device (bytes copied) and of a fill."""
        size = GIB
        host, first, second = ctypes.c_void_p(), ctypes.c_uint64(), ctypes.c_uint64()
        self.call("cuMemHostAlloc", ctypes.byref(host), ctypes.c_size_t(size), 0)
        self.call("cuMemAlloc_v2", ctypes.byref(first), ctypes.c_size_t(size))
        self.call("cuMemAlloc_v2", ctypes.byref(second), ctypes.c_size_t(size))
        many = ctypes.c_size_t(size)
        to = self.timed(lambda: self.call("cuMemcpyHtoDAsync_v2", first, host, many, self.stream))
        back = self.timed(lambda: self.call("cuMemcpyDtoHAsync_v2", host, first, many, self.stream))
        within = self.timed(lambda: self.call("cuMemcpyDtoDAsync_v2", second, first, many, self.stream))
        fill = self.timed(lambda: self.call("cuMemsetD8Async", first, ctypes.c_ubyte(0), many, self.stream))
        for address in (first, second):
            self.call("cuMemFree_v2", address)
        self.call("cuMemFreeHost", host)
        return [size / seconds / 1e9 for seconds in (to, back, within, fill)]

    def both_ways(self):
        """GB/s of two pinned copies at once, one in each direction, summed."""
        size = GIB
        hosts, devices, streams = [ctypes.c_void_p(), ctypes.c_void_p()], [ctypes.c_uint64(), ctypes.c_uint64()], [ctypes.c_void_p(), ctypes.c_void_p()]
        many = ctypes.c_size_t(size)
        for i in range(2):
            self.call("cuMemHostAlloc", ctypes.byref(hosts[i]), many, 0)
            self.call("cuMemAlloc_v2", ctypes.byref(devices[i]), many)
            self.call("cuStreamCreate", ctypes.byref(streams[i]), 1)

        def once():
            for _ in range(4):
                self.call("cuMemcpyHtoDAsync_v2", devices[0], hosts[0], many, streams[0])
                self.call("cuMemcpyDtoHAsync_v2", hosts[1], devices[1], many, streams[1])
            for stream in streams:
                self.call("cuStreamSynchronize", stream)

        rate = 8 * size / self.timed(once) / 1e9
        for i in range(2):
            self.call("cuMemFree_v2", devices[i])
            self.call("cuMemFreeHost", hosts[i])
        return rate

    def count(self):
        count = ctypes.c_int()
        self.call("cuDeviceGetCount", ctypes.byref(count))
        return count.value

    def between(self):
        """GB/s of copies from the first GPU to the second by the second's engines; nothing where they do not reach each other."""
        can, here, there, size = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p(), GIB
        self.call("cuDeviceCanAccessPeer", ctypes.byref(can), 1, 0)
        if not can.value:
            return None
        source, target, stream, many = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_void_p(), ctypes.c_size_t(size)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(here), 0)
        self.call("cuMemAlloc_v2", ctypes.byref(source), many)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(there), 1)
        self.call("cuCtxSetCurrent", there)
        self.call("cuCtxEnablePeerAccess", here, 0)
        self.call("cuMemAlloc_v2", ctypes.byref(target), many)
        self.call("cuStreamCreate", ctypes.byref(stream), 1)
        best = 1e9
        for _ in range(3):
            begun = now()
            for _ in range(8):
                self.call("cuMemcpyDtoDAsync_v2", target, source, many, stream)
            self.call("cuStreamSynchronize", stream)
            best = min(best, now() - begun)
        self.call("cuMemFree_v2", target)
        self.call("cuCtxSetCurrent", here)
        self.call("cuMemFree_v2", source)
        return 8 * size / best / 1e9

    def attach(self, descriptor, size):
        """Imports and maps; the address. It stays until the process ends, or `detach`."""
        handle, address = ctypes.c_uint64(), ctypes.c_uint64()
        self.call("cuMemImportFromShareableHandle", ctypes.byref(handle), ctypes.c_void_p(descriptor), 1)
        self.call("cuMemAddressReserve", ctypes.byref(address), ctypes.c_size_t(size), ctypes.c_size_t(0), ctypes.c_uint64(0), ctypes.c_uint64(0))
        self.call("cuMemMap", address, ctypes.c_size_t(size), ctypes.c_size_t(0), handle, ctypes.c_uint64(0))
        access = Access(Location(1, 0), 1)  # To read.
        self.call("cuMemSetAccess", address, ctypes.c_size_t(size), ctypes.byref(access), ctypes.c_size_t(1))
        return address, handle

    def detach(self, address, handle, size):
        self.call("cuMemUnmap", address, ctypes.c_size_t(size))
        self.call("cuMemAddressFree", address, ctypes.c_size_t(size))
        self.call("cuMemRelease", handle)

    def read(self, address, size):
        bytes_here = ctypes.create_string_buffer(size)
        self.call("cuMemcpyDtoH_v2", bytes_here, address, ctypes.c_size_t(size))
        return bytes_here.raw
