/// libvramd_torch: PyTorch's GPU memory from a vramd daemon, by torch.cuda.memory.CUDAPluggableAllocator.
///
///     import torch, vramd
///     torch.cuda.memory.change_current_allocator(vramd.torch_allocator())   # before anything is on the GPU
///
/// What PyTorch then takes is an allocation of this user at the daemon (`vramctl ps` shows it, limits and quotas hold), on the daemon's
/// device that is the GPU which PyTorch means. The daemon is the one of VRAMD_SOCKET, else of the default place, and is connected to by the
/// first request. What a tensor gives back is kept for the next one on the same stream; the daemon has it back when more is wanted than
/// there is, at `vramd_torch_trim`, and when the process ends. Thread-safe. Not to be called while a CUDA graph is captured, if memory must
/// be had of the daemon then.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#if defined(__GNUC__)
#define VRAMD_TORCH_API __attribute__((visibility("default")))
#else
#define VRAMD_TORCH_API
#endif

extern "C" {
/// What PyTorch calls: an address on GPU `device` (as this process counts them), or null for 0 bytes. Throws std::runtime_error with the
/// daemon's words when there is no memory to be had, which PyTorch raises as RuntimeError.
VRAMD_TORCH_API void* vramd_torch_malloc(ssize_t size_bytes, int device, void* stream);
/// Gives an address back; the work that was begun on it on that stream may still run.
VRAMD_TORCH_API void vramd_torch_free(void* address, ssize_t size_bytes, int device, void* stream);
/// As `vramd_torch_malloc`, but answers null with the words in `why` (cut to `why_bytes`, always ended by 0) in place of throwing.
VRAMD_TORCH_API void* vramd_torch_try_malloc(ssize_t size_bytes, int device, void* stream, char* why, std::size_t why_bytes);
/// Gives back what nobody uses, when the GPU has done what was begun on it; how many bytes that were.
VRAMD_TORCH_API std::uint64_t vramd_torch_trim();
/// Of what PyTorch uses, and of what is held of the daemon, on GPU `device`.
VRAMD_TORCH_API std::uint64_t vramd_torch_used_bytes(int device);
VRAMD_TORCH_API std::uint64_t vramd_torch_held_bytes(int device);
}
