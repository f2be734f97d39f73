/// Clears and copies.
#include <algorithm>
#include <cstring>

#include "clients.hpp"

namespace vramd::simulation {
void Clients::clear(Choices& choices) {
    const auto id = any(choices);
    if (!id) return;
    Held& held = held_.at(*id);
    if (!held.may_write() || expired(held)) return;
    engine::ClearRequest request;
    request.caller = held.owner;
    request.allocation = *id;
    request.offset_bytes = choices.below(held.bytes.size());
    request.size_bytes = 1 + choices.below(held.bytes.size() - request.offset_bytes);
    request.fill_value = static_cast<u8>(choices.below(256));
    const u64 lease_before_ns = held.lease_until_ns;
    renewed(held);
    held.busy += 1;
    ++unanswered_;
    const u64 epoch = world_.epoch;
    world_.core().clear(request, [this, epoch, id = *id, request, lease_before_ns](Result<engine::Moved> moved) {
        if (epoch != world_.epoch) return;
        --unanswered_;
        const auto found = held_.find(id);
        if (found == held_.end()) return;  // Moved into another, before this answer came.
        Held& cleared = found->second;
        cleared.busy -= 1;
        if (!moved) {
            if (!excused(moved.error(), &cleared)) fail("a clear failed: " + describe(moved.error()));
            if (moved.error().code == Code::conflict) cleared.lease_until_ns = lease_before_ns;
            cleared.unsure = cleared.unsure || moved.error().code != Code::conflict;
            return;
        }
        std::fill_n(cleared.bytes.begin() + static_cast<std::ptrdiff_t>(request.offset_bytes), *request.size_bytes,
                    static_cast<std::byte>(request.fill_value));
    });
}

void Clients::copy(Choices& choices) {
    const auto from = any(choices);
    const auto to = any(choices);
    if (!from || !to) return;
    Held& source = held_.at(*from);
    Held& target = held_.at(*to);
    if (source.owner.owner != target.owner.owner || !source.may_write() || !target.may_write() || expired(source) || expired(target))
        return;
    engine::CopyRequest request{source.owner, *from, *to, choices.below(source.bytes.size()), choices.below(target.bytes.size()),
                                std::nullopt};
    const u64 size = std::min(source.bytes.size() - request.source_offset_bytes, target.bytes.size() - request.target_offset_bytes);
    request.size_bytes = size;
    source.busy += 1;
    target.busy += 1;
    ++unanswered_;
    const u64 epoch = world_.epoch;
    world_.core().copy(request, [this, epoch, request](Result<engine::Moved> moved) {
        if (epoch != world_.epoch) return;
        --unanswered_;
        const auto from_there = held_.find(request.source);
        const auto to_there = held_.find(request.target);
        if (from_there != held_.end()) from_there->second.busy -= 1;
        if (to_there != held_.end()) to_there->second.busy -= 1;
        if (to_there == held_.end()) return;  // Moved into another, before this answer came; so the next.
        if (from_there == held_.end()) return void(to_there->second.unsure = true);
        Held& read = from_there->second;
        Held& written = to_there->second;
        if (!moved) {
            const bool allowed =
                moved.error().code == Code::unsupported || excused(moved.error(), &read) || excused(moved.error(), &written);
            if (!allowed) fail("a copy failed: " + describe(moved.error()));
            return;  // Refused before its first byte.
        }
        // When the copy began is not known here, only that it renewed both leases: what the core says is taken.
        for (const auto& [id, held] : {std::pair{request.source, &read}, std::pair{request.target, &written}})
            if (held->lease_until_ns != 0)
                held->lease_until_ns = std::max(held->lease_until_ns, world_.core().allocation(admin, id)->lease_until_monotonic_ns);
        // What a transfer that was cut off left in the source is not known, and so is what the copy brought of it.
        written.unsure = written.unsure || read.unsure;
        std::memmove(written.bytes.data() + request.target_offset_bytes, read.bytes.data() + request.source_offset_bytes,
                     *request.size_bytes);
    });
}

/// Free memory is overwritten; whatever is placed meanwhile and afterwards must not notice.
void Clients::clear_free(Choices& choices) {
    engine::ClearRequest request;
    request.caller = admin;
    request.device_id = std::array{"a", "b"}[choices.below(2)];
    request.fill_value = static_cast<u8>(choices.below(256));
    ++unanswered_;
    const u64 epoch = world_.epoch;
    world_.core().clear(request, [this, epoch](const Result<engine::Moved>& moved) {
        if (epoch != world_.epoch) return;
        --unanswered_;
        if (!moved && !excused(moved.error(), nullptr)) fail("a clear of free memory failed: " + describe(moved.error()));
    });
}

}  // namespace vramd::simulation
