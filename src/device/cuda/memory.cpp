#include "device/cuda/memory.hpp"

#include <cstdint>

namespace vramd::device::cuda {
namespace {
AllocationProperties properties_of(const Gpu& gpu) {
    AllocationProperties properties;
    properties.location.id = gpu.number;
    return properties;
}
}  // namespace

Result<std::shared_ptr<Memory>> Memory::make(std::shared_ptr<Context> context, u64 size_bytes) {
    std::shared_ptr<Memory> memory(new Memory(size_bytes));
    Context& gpu = *context;
    TRY_DO(gpu.enter());
    const AllocationProperties properties = properties_of(gpu.gpu());
    const Lock lock(memory->mutex_);
    memory->context_ = std::move(context);
    Handle handle = 0;
    TRY_DO(gpu.check("cuMemCreate", gpu.driver().create(&handle, size_bytes, &properties, 0)));
    memory->handle_ = handle;
    int descriptor = -1;
    TRY_DO(gpu.check("cuMemExportToShareableHandle", gpu.driver().export_handle(&descriptor, handle, handle_type_posix, 0)));
    memory->descriptor_ = Fd(descriptor);
    TRY_DO(memory->map());
    TRY_DO(memory->zero());
    return memory;
}

std::shared_ptr<Memory> Memory::adopt(u64 size_bytes, Fd descriptor) {
    std::shared_ptr<Memory> memory(new Memory(size_bytes));
    memory->descriptor_ = std::move(descriptor);
    return memory;
}

/// Nothing of it runs any more: who began a copy holds this object until it has ended. What is lost may not even return.
Memory::~Memory() {
    if (context_ == nullptr || (!handle_ && reserved_ == 0) || !context_->enter()) return;
    const Driver& driver = context_->driver();
    if (mapped_ != 0) (void)context_->check("cuMemUnmap", driver.unmap(mapped_, size_bytes_));
    if (reserved_ != 0) (void)context_->check("cuMemAddressFree", driver.address_free(reserved_, size_bytes_));
    if (handle_) (void)context_->check("cuMemRelease", driver.release(*handle_));
}

Result<Address> Memory::address(const std::shared_ptr<Context>& context) {
    TRY_DO(context->enter());
    const Lock lock(mutex_);
    context_ = context;
    if (!handle_) TRY_DO(import());
    if (mapped_ == 0) TRY_DO(map());
    return mapped_;
}

Result<void> Memory::import() {
    Handle handle = 0;
    void* const descriptor = reinterpret_cast<void*>(static_cast<std::intptr_t>(descriptor_.get()));
    TRY_DO(context_->check("cuMemImportFromShareableHandle", context_->driver().import_handle(&handle, descriptor, handle_type_posix)));
    handle_ = handle;
    return {};
}

/// Each step is done once: what failed halfway goes on from there, or is undone at the end.
Result<void> Memory::map() {
    const Driver& driver = context_->driver();
    if (reserved_ == 0) {
        Address reserved = 0;
        TRY_DO(context_->check("cuMemAddressReserve", driver.reserve(&reserved, size_bytes_, 0, 0, 0)));
        reserved_ = reserved;
    }
    TRY_DO(context_->check("cuMemMap", driver.map(reserved_, size_bytes_, 0, *handle_, 0)));
    mapped_ = reserved_;
    AccessDescription access;
    access.location.id = context_->gpu().number;
    if (const auto set = context_->check("cuMemSetAccess", driver.set_access(mapped_, size_bytes_, &access, 1)); !set) {
        (void)driver.unmap(mapped_, size_bytes_);
        mapped_ = 0;
        return set;
    }
    return {};
}

bool Memory::is_reached_by(const Gpu& gpu) {
    const Lock lock(mutex_);
    const auto [found, fresh] = reached_.try_emplace(gpu.number, false);
    int can = 0;
    if (!fresh || context_->driver().can_reach(&can, gpu.number, context_->gpu().number) != status_success || can == 0)
        return found->second;
    AccessDescription access;
    access.location.id = gpu.number;
    access.flags = access_reads;
    found->second = context_->driver().set_access(mapped_, size_bytes_, &access, 1) == status_success;
    return found->second;
}

Result<void> Memory::zero() {
    TRY(const Context::LanePointer lane, context_->lane());
    TRY_DO(context_->check("cuMemsetD8Async", context_->driver().fill(mapped_, 0, size_bytes_, lane->stream)));
    return context_->finish(*lane);
}
}  // namespace vramd::device::cuda
