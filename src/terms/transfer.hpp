/// What a transfer was accepted as: the same value in its event, in the books and in what is told of it.
#pragma once
#include <string>

#include "terms/enums.hpp"
#include "terms/ids.hpp"

namespace vramd {
/// A transfer between two places. A copy leaves the source as it is. A move into an allocation frees the source when the bytes are there;
/// a move to a device keeps the source's id, which then lies there (`target` is `source`).
struct TransferPlan {
    TransferId id;
    std::string owner;  ///< Who asked.
    AllocationId source;
    AllocationId target;
    u16 source_device = 0;
    u16 target_device = 0;
    u64 source_offset_bytes = 0;
    u64 target_offset_bytes = 0;
    u64 size_bytes = 0;
    TransferMode mode = TransferMode::copy;
    Priority priority = Priority::normal;
    bool verify = false;            ///< Source and target are summed and compared.
    bool makes_target = false;      ///< The target allocation is made by this transfer and is there when it succeeds.
    u64 deadline_monotonic_ns = 0;  ///< 0: none.
    u64 wall_ns = 0;                ///< When it was accepted.
    bool operator==(const TransferPlan&) const = default;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.owner, s.source, s.target, s.source_device, s.target_device, s.source_offset_bytes, s.target_offset_bytes,
              s.size_bytes, s.mode, s.priority, s.verify, s.makes_target, s.deadline_monotonic_ns, s.wall_ns);
    }
    /// True where the source itself changes its device.
    [[nodiscard]] bool keeps_id() const { return mode == TransferMode::move && target == source; }
};

/// What a transfer did, once it has ended.
struct TransferResult {
    u64 bytes = 0;        ///< Copied; with a failure, at least that many.
    u64 wait_ns = 0;      ///< From its acceptance to its first byte.
    u64 duration_ns = 0;  ///< From the first byte to the last.
    u64 checksum = 0;     ///< XXH3 in pieces (transfer/engine.hpp); 0 where none was made.
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.bytes, s.wait_ns, s.duration_ns, s.checksum);
    }
};
}  // namespace vramd
