#include "engine/load_target.hpp"

#include "base/invariant.hpp"

namespace vramd::engine {
namespace {}

Result<LoadTarget> LoadTarget::open(Loading::Destination into) {
    LoadTarget target;
    auto mapping = into.device->map(into.block);
    if (mapping) {
        target.mapping_ = *std::move(mapping);
        TRY(const auto place, target.mapping_.write());
        target.place_ = place.subspan(into.offset_bytes, into.size_bytes);
    } else if (mapping.error().code == Code::unsupported) {
        INVARIANT(into.offset_bytes == 0);  // A model has a block of its own.
        TRY(target.channel_, device::channel_to(*into.device, into.block));
    } else {
        return std::unexpected(std::move(mapping).error());
    }
    target.into_ = std::move(into);
    return target;
}

Result<void> LoadTarget::aim(worker::LoadJob& work) {
    if (channel_ == nullptr) {
        work.memory = std::move(into_.memory);
        work.offset_bytes = into_.offset_bytes;
        work.place = place_;
        return {};
    }
    if (work.plan != nullptr && work.plan->decoded_bytes == 0) {
        work.channel = channel_;
        return {};
    }
    TRY(between_, device::host::Memory::make(round_up(into_.size_bytes, page_bytes), 0));
    TRY(work.memory, between_.descriptor().duplicate());
    work.place = between_.bytes().first(into_.size_bytes);
    return {};
}

Result<void> LoadTarget::settle(Result<void> loaded) {
    if (loaded && between_) loaded = channel_->write(0, between_.bytes().first(into_.size_bytes));
    place_ = {};
    mapping_ = {};
    channel_.reset();
    between_.reset();
    return loaded;
}
}  // namespace vramd::engine
