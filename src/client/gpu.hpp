/// Memory of a GPU that came as a descriptor, mapped into this process by the NVIDIA driver, which is loaded when the first such memory
/// comes (VRAMD_CUDA_LIBRARY names another library, for tests). docs/cuda.md tells what is measured of it.
///
/// The process's primary context is used, which is also that of CUDA's runtime and of PyTorch. The caller's current context stays what it
/// was.
#pragma once
#include <memory>

#include "client/vramd.hpp"

namespace vramd::client {
class Cuda;

/// Which of this process's GPUs that one is, which CUDA_VISIBLE_DEVICES may have changed. Errors: "unsupported".
[[nodiscard]] Result<int> gpu_ordinal(const std::string& uuid);

/// A block at an address of the GPU's, for this process. Ends when what was begun on it is done: the driver does not wait for that by
/// itself.
class GpuMapping {
public:
    /// `block_bytes`: of the whole block. `uuid`: the GPU, as nvidia-smi prints it. The descriptor stays the caller's.
    /// Errors: "unsupported" (no driver here, or it does not show that GPU), "system-failed" (what the driver said).
    [[nodiscard]] static Result<std::unique_ptr<GpuMapping>> make(int descriptor, std::uint64_t block_bytes, bool writable,
                                                                  const std::string& uuid);
    ~GpuMapping();
    GpuMapping(const GpuMapping&) = delete;
    GpuMapping& operator=(const GpuMapping&) = delete;

    /// Of the driver's kind (CUdeviceptr): means nothing to the processor.
    [[nodiscard]] std::uint64_t address() const { return address_; }
    /// Copies bytes of it to system memory. Errors: "system-failed".
    [[nodiscard]] std::optional<Error> read(std::uint64_t address, void* to, std::uint64_t size_bytes) const;

private:
    GpuMapping(std::shared_ptr<Cuda> cuda, int ordinal, std::uint64_t size_bytes)
        : cuda_(std::move(cuda)), ordinal_(ordinal), size_bytes_(size_bytes) {}
    [[nodiscard]] std::optional<Error> map(int descriptor, bool writable);

    std::shared_ptr<Cuda> cuda_;
    int ordinal_;
    std::uint64_t size_bytes_;
    unsigned long long address_ = 0;
    bool mapped_ = false;
};
}  // namespace vramd::client
