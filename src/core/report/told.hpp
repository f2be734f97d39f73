/// What is told of the state: plain values, made under the lock in one go and written out without it.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "terms/model.hpp"
#include "terms/transfer.hpp"
#include "terms/upkeep.hpp"

namespace vramd::report {
/// The books of one device. Bytes; total = live + zombie + reserved + free.
struct DeviceBooks {
    std::string device_id;
    u64 total_bytes = 0;        ///< The capacity, as configured.
    u64 live_bytes = 0;         ///< Granted to allocations (pending ones included).
    u64 zombie_bytes = 0;       ///< Given up, but not yet back from the system or a holder.
    u64 reserved_bytes = 0;
    u64 free_bytes = 0;         ///< Holes in arenas and what no block covers.
    u64 uncommitted_bytes = 0;  ///< What no block covers: any owner can have it.
    u64 reclaimable_bytes = 0;  ///< Models that nobody holds or pinned.
    u64 largest_free_bytes = 0;
    u64 holes = 0;              ///< Free runs: holes in arenas, and the uncommitted rest as one.
    std::array<u64, 64> hole_histogram{};  ///< [i]: free runs of 2^i … 2^(i+1)−1 bytes.
    u64 blocks = 0;
    u64 allocations = 0;
    /// 100 × (1 − largest free ÷ free), two decimals' worth of precision and no more; 0 where nothing is free.
    [[nodiscard]] double fragmentation_percentage() const {
        return free_bytes == 0 ? 0.0 : 100.0 * (1.0 - static_cast<double>(largest_free_bytes) / static_cast<double>(free_bytes));
    }
};

struct AllocationTold {
    AllocationId id;
    std::string device_id;
    u64 size_bytes = 0;
    u64 granted_bytes = 0;
    u64 alignment_bytes = 0;
    AllocationType type = AllocationType::default_;
    AllocationStatus status = AllocationStatus::live;
    std::string owner;
    std::string purpose;
    bool persistent = true;
    bool shareable = false;
    bool pinned = false;
    BlockKey block = 0;
    u64 offset_bytes = 0;  ///< In the block.
    u64 created_wall_ns = 0;
    u64 accessed_wall_ns = 0;
    u64 access_count = 0;
    u64 lease_seconds = 0;             ///< 0: no lease.
    u64 lease_until_monotonic_ns = 0;
    std::string model;                 ///< The name of the model it holds; empty: none.
    u64 attached_clients = 0;          ///< Set by the engine: connections of clients that hold it now.
};

/// A copy of a model.
struct ModelPlaceTold {
    std::string device_id;
    ModelTier tier = ModelTier::device;
    ModelState state = ModelState::loading;  ///< Loading or resident.
    AllocationId allocation;
    u64 predicted_bytes = 0;  ///< What the header said that it takes there.
    u64 size_bytes = 0;       ///< What it took.
    bool pinned = false;
    OperationId operation;    ///< That loaded it.
    u64 loaded_wall_ns = 0;   ///< 0 while loading.
    u64 load_ns = 0;
};
struct ModelTold {
    ModelId id;
    std::vector<std::string> names;  ///< The first is the one it was loaded by.
    std::string path;
    ModelType type = ModelType::other;
    ModelFormat format = ModelFormat::safetensors;
    ModelState state = ModelState::loading;
    std::vector<ModelPlaceTold> places;  ///< At least one; the first is the best one to use.
    u64 tensor_bytes = 0;
    u64 tensor_count = 0;
    u64 estimated_size_mb = 0;
    u64 attached_clients = 0;  ///< Set by the engine: connections of clients that hold one of its copies now.
    [[nodiscard]] const ModelPlaceTold& best() const { return places.front(); }
};

/// What a defragmentation or an optimize does, or would do.
struct UpkeepProgress {
    UpkeepRequest request;
    std::vector<std::string> device_ids;  ///< Of the request's devices.
    std::vector<FreeFigures> before;
    UpkeepResult result;
    u64 moves = 0;
    u64 moved_bytes = 0;
};

struct OperationTold {
    OperationId id;
    OperationKind kind = OperationKind::load_model;
    OperationState state = OperationState::running;
    std::string owner;
    LoadRequest request;
    std::optional<Error> error;
    u64 started_wall_ns = 0;
    u64 ended_wall_ns = 0;       ///< 0 while running.
    u64 done_bytes = 0;          ///< Landed so far; never goes back.
    u64 total_bytes = 0;         ///< 0 until the header is read.
    std::string stage;           ///< "inspect", "wait", "reserve", "cache", "load", "done"; of upkeep: the action's name.
    std::optional<UpkeepProgress> upkeep;  ///< Of a defragmentation or an optimize.
    std::optional<ModelTold> model;        ///< Told to who waited for a load that ended well: the model as it was then.
};

struct TransferTold {
    TransferPlan plan;
    std::string source_device_id;
    std::string target_device_id;
    TransferState state = TransferState::queued;
    bool cancelling = false;
    std::optional<Error> error;
    TransferResult result;        ///< While it runs: so far.
    u64 begun_wall_ns = 0;        ///< 0 while queued.
    u64 ended_wall_ns = 0;        ///< 0 while open.
    u64 current_bytes_per_second = 0;  ///< Over the last moment; 0 unless it runs.
    u64 peak_bytes_per_second = 0;
    u64 limit_bytes_per_second = 0;    ///< What the link can do, measured; 0: not yet.
    u64 limit_measured_wall_ns = 0;
};

/// Filters of a list; empty or absent means all.
struct TransferFilter {
    std::string device_id;  ///< Source or target.
    std::string owner;
    std::optional<TransferState> state;
    std::optional<TransferMode> mode;
    u64 before_serial = UINT64_MAX;
    u64 limit = 100;
};
struct TransferPage {
    std::vector<TransferTold> items;
    std::optional<u64> next_before_serial;
};
struct AllocationFilter {
    std::string device_id;
    std::string owner;
    std::optional<AllocationType> type;
    std::optional<AllocationStatus> status;
    u64 before_serial = UINT64_MAX;  ///< The page goes on below this serial (newest first).
    u64 limit = 100;
};
struct AllocationPage {
    std::vector<AllocationTold> items;
    std::optional<u64> next_before_serial;  ///< Where the next page begins; absent at the end.
};

struct OwnerUsage {
    std::string owner;
    u64 live_bytes = 0;
    u64 allocations = 0;
};
struct UsageTold {
    std::vector<OwnerUsage> by_owner;
    std::vector<OwnerUsage> by_purpose;  ///< `owner` holds the purpose.
    std::vector<OwnerUsage> by_model;    ///< `owner` holds the model's name.
};
}  // namespace vramd::report
