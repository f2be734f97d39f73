#include "device/cuda/channel.hpp"

#include <algorithm>

#include "base/range.hpp"
#include "device/stream.hpp"

namespace vramd::device::cuda {
namespace {
/// What the processor copies while the GPU copies the piece before: a slot has as many as a lane has marks.
constexpr u64 piece_bytes = Ring::slot_bytes / Lane::marks;
}  // namespace

class CudaChannel::CudaStage final : public Stage {
public:
    CudaStage(CudaChannel& channel, std::unique_ptr<Ring::Slot> slot) : channel_(channel), block_(channel.block_), slot_(std::move(slot)) {}
    ~CudaStage() override { (void)wait(); }

    std::span<std::byte> bytes() override { return slot_->bytes(); }
    Result<void> send(u64 offset_bytes, u64 size_bytes, u64 to_bytes) override {
        Context& context = *channel_.context_;
        TRY(const Range part, Range::within(Ring::slot_bytes, offset_bytes, size_bytes));
        TRY(const Address to, channel_.at(to_bytes, size_bytes));
        TRY_DO(context.enter());
        sent_ = true;
        return context.check("cuMemcpyHtoDAsync", context.driver().copy_to_device(to, slot_->bytes().data() + part.offset_bytes(),
                                                                                  size_bytes, slot_->lane().stream));
    }
    Result<void> wait() override {
        if (!sent_) return {};
        TRY_DO(channel_.context_->enter());
        TRY_DO(channel_.context_->finish(slot_->lane()));
        sent_ = false;
        return {};
    }

private:
    CudaChannel& channel_;
    const std::shared_ptr<Block> block_;
    std::unique_ptr<Ring::Slot> slot_;
    bool sent_ = false;
};

Result<void> CudaChannel::check_writable() const {
    if (block_->sealed) return refuse(Code::conflict, "block", "The memory is sealed for sharing and can no longer be written.");
    return {};
}

Result<Address> CudaChannel::at(u64 offset_bytes, u64 size_bytes) const {
    TRY_DO(Range::within(block_->memory->size_bytes(), offset_bytes, size_bytes));
    return address_ + offset_bytes;
}

Result<void> CudaChannel::settle(const Lane& lane, StreamPointer stream, Result<void> done) {
    const auto finished = context_->finish(lane, stream);
    return done ? finished : done;
}

Result<void> CudaChannel::write(u64 offset_bytes, std::span<const std::byte> from) {
    TRY_DO(check_writable());
    TRY(const Address to, at(offset_bytes, from.size()));
    if (from.empty()) return {};
    if (const auto pin = pins_->find(from)) return write_pinned(*pin, to, from);
    TRY(const auto slot, ring_->take());
    for (u64 done = 0; done < from.size(); done += Ring::slot_bytes) {
        const auto part = from.subspan(done, std::min(Ring::slot_bytes, from.size() - done));
        TRY_DO(settle(slot->lane(), slot->lane().stream, write_slot(*slot, to + done, part)));
    }
    return {};
}

/// A copy lies in one piece: each was pinned by itself.
Result<void> CudaChannel::write_pinned(const Pin& pin, Address to, std::span<const std::byte> from) {
    TRY(const Context::LanePointer lane, context_->lane());
    TRY(const StreamPointer stream, context_->bulk(Context::Way::to_device));
    Result<void> begun;
    for (u64 at = 0; begun && at < from.size();) {
        const u64 size = std::min(pin.piece_room(from.data() + at), from.size() - at);
        begun = context_->check("cuMemcpyHtoDAsync", context_->driver().copy_to_device(to + at, from.data() + at, size, stream));
        at += size;
    }
    return settle(*lane, stream, std::move(begun));
}

Result<void> CudaChannel::read_pinned(const Pin& pin, Address from, std::span<std::byte> into) {
    TRY(const Context::LanePointer lane, context_->lane());
    TRY(const StreamPointer stream, context_->bulk(Context::Way::to_system));
    Result<void> begun;
    for (u64 at = 0; begun && at < into.size();) {
        const u64 size = std::min(pin.piece_room(into.data() + at), into.size() - at);
        begun = context_->check("cuMemcpyDtoHAsync", context_->driver().copy_to_host(into.data() + at, from + at, size, stream));
        at += size;
    }
    return settle(*lane, stream, std::move(begun));
}

Result<void> CudaChannel::write_slot(const Ring::Slot& slot, Address to, std::span<const std::byte> from) {
    for (u64 at = 0; at < from.size(); at += piece_bytes) {
        const u64 size = std::min(piece_bytes, from.size() - at);
        stream_copy(slot.bytes().subspan(at, size), from.subspan(at, size));
        TRY_DO(context_->check("cuMemcpyHtoDAsync",
                               context_->driver().copy_to_device(to + at, slot.bytes().data() + at, size, slot.lane().stream)));
    }
    return {};
}

Result<void> CudaChannel::read(u64 offset_bytes, std::span<std::byte> into) {
    TRY(const Address from, at(offset_bytes, into.size()));
    if (into.empty()) return {};
    if (const auto pin = pins_->find(into)) return read_pinned(*pin, from, into);
    TRY(const auto slot, ring_->take());
    for (u64 done = 0; done < into.size(); done += Ring::slot_bytes) {
        const auto part = into.subspan(done, std::min(Ring::slot_bytes, into.size() - done));
        auto read = read_slot(*slot, from + done, part);
        if (!read) return settle(slot->lane(), slot->lane().stream, std::move(read));
    }
    return {};
}

Result<void> CudaChannel::read_slot(const Ring::Slot& slot, Address from, std::span<std::byte> into) {
    const Lane& lane = slot.lane();
    std::size_t mark = 0;
    for (u64 at = 0; at < into.size(); at += piece_bytes, ++mark) {
        const u64 size = std::min(piece_bytes, into.size() - at);
        TRY_DO(
            context_->check("cuMemcpyDtoHAsync", context_->driver().copy_to_host(slot.bytes().data() + at, from + at, size, lane.stream)));
        TRY_DO(context_->mark(lane, mark));
    }
    mark = 0;
    for (u64 at = 0; at < into.size(); at += piece_bytes, ++mark) {
        const u64 size = std::min(piece_bytes, into.size() - at);
        TRY_DO(context_->wait(lane, mark));
        stream_copy(into.subspan(at, size), slot.bytes().subspan(at, size));
    }
    return {};
}

Result<void> CudaChannel::fill(u64 offset_bytes, u64 size_bytes, std::byte value) {
    TRY_DO(check_writable());
    TRY(const Address to, at(offset_bytes, size_bytes));
    if (size_bytes == 0) return {};
    TRY(const Context::LanePointer lane, context_->lane());
    return settle(
        *lane, lane->stream,
        context_->check("cuMemsetD8Async", context_->driver().fill(to, static_cast<unsigned char>(value), size_bytes, lane->stream)));
}

Result<void> CudaChannel::copy_from(u64 offset_bytes, const Channel& source, u64 source_offset_bytes, u64 size_bytes) {
    const auto* const other = dynamic_cast<const CudaChannel*>(&source);
    if (other == nullptr) return refuse(Code::unsupported, "source", "The source is of another device.");
    TRY_DO(check_writable());
    if (other->context_ != context_ && !other->block_->memory->is_reached_by(context_->gpu()))
        return refuse(Code::unsupported, "source", "The source is of another GPU, to whose memory this one has no way.");
    TRY(const Address to, at(offset_bytes, size_bytes));
    TRY(const Address from, other->at(source_offset_bytes, size_bytes));
    if (size_bytes == 0) return {};
    TRY(const Context::LanePointer lane, context_->lane());
    return settle(*lane, lane->stream,
                  context_->check("cuMemcpyDtoDAsync", context_->driver().copy_on_device(to, from, size_bytes, lane->stream)));
}

Result<std::unique_ptr<Stage>> CudaChannel::stage() {
    TRY_DO(check_writable());
    TRY(auto slot, ring_->take());
    return std::make_unique<CudaStage>(*this, std::move(slot));
}
}  // namespace vramd::device::cuda
