/// The rows of the memory books: what the ledger determines. Everything else (sub-allocators, sums, indexes) is derived from them.
#pragma once
#include <string>

#include "base/types.hpp"
#include "terms/enums.hpp"
#include "terms/ids.hpp"
#include "terms/limits.hpp"

namespace vramd::memory {
struct DeviceRow {
    std::string id;
    u64 capacity_bytes = 0;
    u64 granule_bytes = 0;  ///< Sizes of blocks are multiples of it.
    DeviceLimits limits{};
    u64 limits_revision = 0;  ///< How often they were set.
};

struct BlockRow {
    BlockKey key = 0;
    u64 size_bytes = 0;
    u64 dirty_bytes = 0;  ///< Below it something was handed out since the block was made; at and above it all bytes read as zero.
    u32 owner = 0;        ///< Index in Books' names.
    u16 device = 0;       ///< Index in the devices.
    BlockKind kind = BlockKind::arena;
    BlockState state = BlockState::creating;
};

struct AllocationRow {
    AllocationId id;
    BlockKey block = 0;
    u64 offset_bytes = 0;
    u64 size_bytes = 0;     ///< As asked for.
    u64 granted_bytes = 0;  ///< As taken from the block.
    u64 created_wall_ns = 0;
    u64 accessed_wall_ns = 0;
    u64 access_count = 0;
    u64 lease_until_monotonic_ns = 0;  ///< 0: no lease.
    u64 model = 0;                     ///< Serial of the model it holds; 0: none.
    u32 lease_seconds = 0;
    u32 owner = 0;
    u32 purpose = 0;
    u8 alignment_log2 = 0;
    AllocationType type = AllocationType::default_;
    AllocationStatus status = AllocationStatus::pending;
    bool persistent = true;
    bool shareable = false;
};
}  // namespace vramd::memory
