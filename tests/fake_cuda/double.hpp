/// A double of the NVIDIA driver, for tests: memory is memfds, so that it outlives its maker by its descriptors as a GPU's does, and errors
/// come to order at any call. The daemon takes it in place of the real libraries where VRAMD_CUDA_LIBRARY names it; it says what it is.
///
/// What is measured of the real one holds here: addresses mean nothing to the processor; work begun in a stream is done when an event is
/// asked for the second time, never before; a mapping of another size than the handle's is refused with 801; an imported handle cannot be
/// exported; fresh memory is not zero; unmapping does not wait for what is under way, which then fails for good (700); after that copies
/// fail and making memory still "succeeds"; memory that was not registered is refused as a copy's host side, for the daemon never means
/// that.
///
/// In the environment: VRAMD_CUDA_DOUBLE_TOTAL (bytes of one GPU, 1 GiB), _GPUS (their number, 1), _NAME (whose memfds count as in use:
/// processes that shall see each other's have the same), _ORDERS (a file of lines `FUNCTION STATUS [COUNT]`, looked at on each call:
/// COUNT calls, or all while the line is there, answer STATUS; `hang`: not before the file is gone).
#pragma once
#include <cstdint>

extern "C" {
/// The `after`-th call of `function` from now on (0: the next), and the `count - 1` that follow, answer `status`. Null: any function.
void vramd_cuda_double_order(const char* function, int status, std::uint64_t after, std::uint64_t count);
/// No order, no lie, no failure that lasts.
void vramd_cuda_double_calm();
/// As in a new process: no handle, mapping or registration is left of what could not be given back.
void vramd_cuda_double_forget();
/// What is told as free from now on; all ones: the truth.
void vramd_cuda_double_lie(std::uint64_t free_bytes);
/// Calls so far that can be made to fail.
std::uint64_t vramd_cuda_double_calls();
/// Work that was begun and is not done.
std::uint64_t vramd_cuda_double_pending();
/// Handles, reservations, mappings, registrations, streams and events that there are.
std::uint64_t vramd_cuda_double_objects();
}
