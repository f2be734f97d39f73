#include "device/cuda/ring.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <chrono>

namespace vramd::device::cuda {
Ring::~Ring() {
    const bool usable = context_->enter().has_value();
    for (std::byte* const memory : free_) {
        if (usable) (void)context_->check("cuMemHostUnregister", context_->driver().host_unregister(memory));
        munmap(memory, slot_bytes);
    }
}

Result<std::unique_ptr<Ring::Slot>> Ring::take() {
    TRY(Context::LanePointer lane, context_->lane());
    TRY(std::byte* const memory, take_memory());
    return std::make_unique<Slot>(*this, memory, std::move(lane));
}

Result<std::byte*> Ring::take_memory() {
    std::unique_lock lock(mutex_);
    bool refused = false;
    for (;;) {
        if (!free_.empty()) {
            std::byte* const memory = free_.back();
            free_.pop_back();
            return memory;
        }
        if (made_ < slots_max && !refused) {
            made_ += 1;
            lock.unlock();
            auto made = make();
            if (made) return made;
            lock.lock();
            made_ -= 1;
            if (made_ == 0) return made;  // Else one comes back.
            refused = true;
            continue;
        }
        // Whoever has one gives it back, also when the GPU is lost.
        (void)returned_.wait_for(lock, std::chrono::seconds(1));
    }
}

Result<std::byte*> Ring::make() {
    void* const address = mmap(nullptr, slot_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (address == MAP_FAILED) return std::unexpected(system_error("mmap", errno));
    // A child that copied these pages would leave the GPU with others than this process sees.
    (void)madvise(address, slot_bytes, MADV_DONTFORK);
    if (auto pinned = context_->check("cuMemHostRegister", context_->driver().host_register(address, slot_bytes, 0)); !pinned) {
        munmap(address, slot_bytes);
        return std::unexpected(std::move(pinned).error());
    }
    return static_cast<std::byte*>(address);
}

void Ring::keep(std::byte* memory) {
    {
        const Lock lock(mutex_);
        free_.push_back(memory);
    }
    returned_.notify_one();
}
}  // namespace vramd::device::cuda
