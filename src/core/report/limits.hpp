/// What is told of limits: what holds, and what a change would lead to, computed on the state as it is. The caller holds the lock.
#pragma once
#include "core/reclaim.hpp"

namespace vramd::report {
struct OwnerQuotaTold {
    std::string owner;
    u64 quota_bytes = 0;
    u64 held_bytes = 0;
    bool operator==(const OwnerQuotaTold&) const = default;
};
/// The limits of one device and what they come to now. Bytes.
struct LimitsTold {
    std::string device_id;
    DeviceLimits limits;
    u64 revision = 0;
    u64 capacity_bytes = 0;
    u64 max_bytes = 0;        ///< The most that may be used, whatever form it was given in.
    u64 usable_bytes = 0;     ///< The same less the reserve.
    u64 emergency_bytes = 0;  ///< From this use on models go by themselves.
    u64 used_bytes = 0;       ///< Live and zombie.
    u64 held_bytes = 0;       ///< In blocks: used, and what arenas hold in advance.
    u64 available_bytes = 0;
    std::vector<OwnerQuotaTold> quotas;  ///< By owner.
};
/// What limits lead to. Bytes.
struct LimitsImpact {
    u64 over_bytes = 0;               ///< What blocks hold beyond what may be used.
    u64 reclaimable_bytes = 0;        ///< Of that, what a reclaim gives back (whole blocks: it can be more).
    u64 reclaimable_blocks = 0;       ///< Arenas that hold nothing and would go.
    std::vector<std::string> models;  ///< Models that would go, in order.
    u64 remains_over_bytes = 0;       ///< What no reclaim can take: allocations in use. It comes down as they are freed.
    u64 available_bytes_before = 0;
    u64 available_bytes_after = 0;  ///< Where they are enforced: when all that goes for them is back.
    std::vector<OwnerQuotaTold> over_quota;  ///< Owners that hold more than their quota; they keep it and get no more.
};

/// Of `limits` if they held on the device; the revision is the present one.
[[nodiscard]] LimitsTold limits(const core::State& state, u16 device, const DeviceLimits& limits);
/// Of `limits` if they held on the scope's device. The scope says what a reclaim could take.
[[nodiscard]] LimitsImpact impact(const core::State& state, const core::ReclaimScope& scope, const DeviceLimits& limits, Enforce enforce);
}  // namespace vramd::report
