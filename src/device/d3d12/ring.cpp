#include "device/d3d12/ring.hpp"

#include <chrono>

#include "device/d3d12/memory.hpp"

namespace vramd::device::d3d12 {
namespace {
constexpr D3D12_HEAP_TYPE heap_of(Ring::Way way) {
    switch (way) {
        case Ring::Way::up:
            return D3D12_HEAP_TYPE_UPLOAD;
        case Ring::Way::down:
            return D3D12_HEAP_TYPE_READBACK;
        case Ring::Way::within:
            break;
    }
    return D3D12_HEAP_TYPE_DEFAULT;
}
/// As the two heaps that the processor sees demand it.
constexpr D3D12_RESOURCE_STATES state_of(Ring::Way way) {
    switch (way) {
        case Ring::Way::up:
            return D3D12_RESOURCE_STATE_GENERIC_READ;
        case Ring::Way::down:
            return D3D12_RESOURCE_STATE_COPY_DEST;
        case Ring::Way::within:
            break;
    }
    return D3D12_RESOURCE_STATE_COMMON;
}
}  // namespace

Ring::~Ring() {
    for (auto& slots : free_)
        for (const auto& slot : slots) end(*slot);
}

void Ring::end(Slot& slot) {
    context_->end(std::move(slot.buffer));
    context_->end(std::move(slot.lane.list));
    context_->end(std::move(slot.lane.allocator));
    context_->end(std::move(slot.lane.fence));
}

Result<Ring::SlotPointer> Ring::take(Way way) {
    const auto index = static_cast<std::size_t>(way);
    std::unique_lock lock(mutex_);
    bool refused = false;
    for (;;) {
        TRY_DO(context_->check_lost());
        if (!free_[index].empty()) {
            SlotPointer slot(free_[index].back().release(), GiveBack{this});
            free_[index].pop_back();
            return slot;
        }
        if (made_[index] < slots_max[index] && !refused) {
            made_[index] += 1;
            lock.unlock();
            auto made = make(way);
            if (made) return SlotPointer(made->release(), GiveBack{this});
            lock.lock();
            made_[index] -= 1;
            if (made_[index] == 0) return std::unexpected(std::move(made).error());  // Else one comes back.
            refused = true;
            continue;
        }
        (void)returned_.wait_for(lock, std::chrono::seconds(1));
    }
}

Result<std::unique_ptr<Ring::Slot>> Ring::make(Way way) {
    auto slot = std::make_unique<Slot>();
    slot->way = way;
    TRY(slot->lane, context_->make_lane());
    D3D12_HEAP_PROPERTIES heap{};
    heap.Type = heap_of(way);
    const D3D12_RESOURCE_DESC description = buffer_of(slot_bytes + page_bytes, D3D12_RESOURCE_FLAG_NONE);
    TRY_DO(context_->check("CreateCommittedResource",
                           context_->device().CreateCommittedResource(&heap, D3D12_HEAP_FLAG_NONE, &description, state_of(way), nullptr,
                                                                      id_of<ID3D12Resource>(), slot->buffer.put())));
    if (way != Way::up) return slot;
    const D3D12_RANGE nothing{};  // The processor reads none of it.
    void* address = nullptr;
    TRY_DO(context_->check("Map", slot->buffer->Map(0, &nothing, &address)));
    const auto begin = reinterpret_cast<std::uintptr_t>(address);
    slot->begin_bytes = round_up(begin, page_bytes) - begin;
    slot->mapped = static_cast<std::byte*>(address) + slot->begin_bytes;
    return slot;
}

void Ring::keep(Slot* slot) {
    {
        const Lock lock(mutex_);
        free_[static_cast<std::size_t>(slot->way)].emplace_back(slot);
    }
    returned_.notify_one();
}
}  // namespace vramd::device::d3d12
