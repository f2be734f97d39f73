#include "device/d3d12/channel.hpp"

#include <algorithm>
#include <cstring>

#include "base/range.hpp"
#include "device/stream.hpp"

namespace vramd::device::d3d12 {
namespace {
/// What a fill copies again and again, and how often in one go.
constexpr u64 pattern_bytes = 2 * mib;
constexpr u64 patterns_max = 512;
}  // namespace

class HeapChannel::HeapStage final : public Stage {
public:
    HeapStage(HeapChannel& channel, Ring::SlotPointer slot) : channel_(channel), block_(channel.block_), slot_(std::move(slot)) {}
    ~HeapStage() override { (void)wait(); }

    std::span<std::byte> bytes() override { return slot_->bytes(); }
    Result<void> send(u64 offset_bytes, u64 size_bytes, u64 to_bytes) override {
        TRY_DO(Range::within(Ring::slot_bytes, offset_bytes, size_bytes));
        TRY_DO(channel_.check_range(to_bytes, size_bytes));
        if (size_bytes == 0) return {};
        return channel_.begin_to_block(*slot_, offset_bytes, to_bytes, size_bytes);
    }
    Result<void> wait() override { return channel_.context_->finish(slot_->lane); }

private:
    HeapChannel& channel_;
    const std::shared_ptr<Block> block_;
    Ring::SlotPointer slot_;
};

Result<void> HeapChannel::check_writable() const {
    if (block_->sealed) return refuse(Code::conflict, "block", "The memory is sealed for sharing and can no longer be written.");
    return {};
}

Result<void> HeapChannel::check_range(u64 offset_bytes, u64 size_bytes) const {
    TRY_DO(Range::within(block_->memory->size_bytes(), offset_bytes, size_bytes));
    return context_->check_lost();
}

Result<void> HeapChannel::begin_to_block(Ring::Slot& slot, u64 slot_bytes, u64 to_bytes, u64 size_bytes) {
    return context_->submit(slot.lane, [&](ID3D12GraphicsCommandList& list) {
        for (u64 done = 0; done < size_bytes;) {
            const Memory::Place to = block_->memory->at(to_bytes + done);
            const u64 size = std::min(to.room_bytes, size_bytes - done);
            list.CopyBufferRegion(to.buffer, to.offset_bytes, slot.buffer.get(), slot.begin_bytes + slot_bytes + done, size);
            done += size;
        }
    });
}

Result<void> HeapChannel::begin_from_block(Ring::Slot& slot, u64 from_bytes, u64 size_bytes) const {
    return context_->submit(slot.lane, [&](ID3D12GraphicsCommandList& list) {
        for (u64 done = 0; done < size_bytes;) {
            const Memory::Place from = block_->memory->at(from_bytes + done);
            const u64 size = std::min(from.room_bytes, size_bytes - done);
            list.CopyBufferRegion(slot.buffer.get(), slot.begin_bytes + done, from.buffer, from.offset_bytes, size);
            done += size;
        }
    });
}

Result<void> HeapChannel::write(u64 offset_bytes, std::span<const std::byte> from) {
    TRY_DO(check_writable());
    TRY_DO(check_range(offset_bytes, from.size()));
    if (from.empty()) return {};
    TRY(const auto slot, ring_->take(Ring::Way::up));
    for (u64 done = 0; done < from.size(); done += Ring::slot_bytes) {
        const auto part = from.subspan(done, std::min(Ring::slot_bytes, from.size() - done));
        stream_copy(slot->bytes().first(part.size()), part);
        const auto begun = begin_to_block(*slot, 0, offset_bytes + done, part.size());
        TRY_DO(context_->finish(slot->lane));
        TRY_DO(begun);
    }
    return {};
}

Result<void> HeapChannel::read(u64 offset_bytes, std::span<std::byte> into) {
    TRY_DO(check_range(offset_bytes, into.size()));
    if (into.empty()) return {};
    TRY(const auto slot, ring_->take(Ring::Way::down));
    for (u64 done = 0; done < into.size(); done += Ring::slot_bytes) {
        const auto part = into.subspan(done, std::min(Ring::slot_bytes, into.size() - done));
        const auto begun = begin_from_block(*slot, offset_bytes + done, part.size());
        TRY_DO(context_->finish(slot->lane));
        TRY_DO(begun);
        // Anew each time: where the processor's caches do not follow by themselves, that is what makes them.
        const D3D12_RANGE all{0, part.size()};
        const D3D12_RANGE nothing{};
        void* address = nullptr;
        TRY_DO(context_->check("Map", slot->buffer->Map(0, &all, &address)));
        stream_copy(part, {static_cast<const std::byte*>(address), part.size()});
        slot->buffer->Unmap(0, &nothing);
    }
    return {};
}

Result<void> HeapChannel::fill(u64 offset_bytes, u64 size_bytes, std::byte value) {
    TRY_DO(check_writable());
    TRY_DO(check_range(offset_bytes, size_bytes));
    if (size_bytes == 0) return {};
    TRY(const auto slot, ring_->take(Ring::Way::up));
    const u64 pattern = std::min(pattern_bytes, size_bytes);
    std::memset(slot->mapped, static_cast<int>(value), pattern);
    for (u64 done = 0; done < size_bytes;) {
        const u64 part = std::min(pattern_bytes * patterns_max, size_bytes - done);
        const auto begun = context_->submit(slot->lane, [&](ID3D12GraphicsCommandList& list) {
            for (u64 at = done; at < done + part;) {
                const Memory::Place to = block_->memory->at(offset_bytes + at);
                const u64 size = std::min({to.room_bytes, pattern, done + part - at});
                list.CopyBufferRegion(to.buffer, to.offset_bytes, slot->buffer.get(), slot->begin_bytes, size);
                at += size;
            }
        });
        TRY_DO(context_->finish(slot->lane));
        TRY_DO(begun);
        done += part;
    }
    return {};
}

/// A buffer cannot be read and written by one copy, so the bytes go by way of another.
Result<void> HeapChannel::copy_within(u64 offset_bytes, u64 source_offset_bytes, u64 size_bytes) {
    TRY(const auto slot, ring_->take(Ring::Way::within));
    for (u64 done = 0; done < size_bytes; done += Ring::slot_bytes) {
        const u64 size = std::min(Ring::slot_bytes, size_bytes - done);
        const auto out = begin_from_block(*slot, source_offset_bytes + done, size);
        TRY_DO(context_->finish(slot->lane));
        TRY_DO(out);
        const auto in = begin_to_block(*slot, 0, offset_bytes + done, size);
        TRY_DO(context_->finish(slot->lane));
        TRY_DO(in);
    }
    return {};
}

Result<void> HeapChannel::copy_from(u64 offset_bytes, const Channel& source, u64 source_offset_bytes, u64 size_bytes) {
    const auto* const other = dynamic_cast<const HeapChannel*>(&source);
    if (other == nullptr || other->context_ != context_) return refuse(Code::unsupported, "source", "The source is of another device.");
    TRY_DO(check_writable());
    TRY_DO(check_range(offset_bytes, size_bytes));
    TRY_DO(other->check_range(source_offset_bytes, size_bytes));
    if (size_bytes == 0) return {};
    if (other->block_ == block_) return copy_within(offset_bytes, source_offset_bytes, size_bytes);
    TRY(const auto slot, ring_->take(Ring::Way::within));  // For its command list.
    const auto begun = context_->submit(slot->lane, [&](ID3D12GraphicsCommandList& list) {
        for (u64 done = 0; done < size_bytes;) {
            const Memory::Place to = block_->memory->at(offset_bytes + done);
            const Memory::Place from = other->block_->memory->at(source_offset_bytes + done);
            const u64 size = std::min({to.room_bytes, from.room_bytes, size_bytes - done});
            list.CopyBufferRegion(to.buffer, to.offset_bytes, from.buffer, from.offset_bytes, size);
            done += size;
        }
    });
    TRY_DO(context_->finish(slot->lane));
    return begun;
}

Result<std::unique_ptr<Stage>> HeapChannel::stage() {
    TRY_DO(check_writable());
    TRY(auto slot, ring_->take(Ring::Way::up));
    return std::make_unique<HeapStage>(*this, std::move(slot));
}
}  // namespace vramd::device::d3d12
