/// What the memory did over the last week: a fold over the ledger's events in bounded memory.
///
/// A track per device, and one per name (owner, purpose, model) and device for at most `names_max` names; what has no track of its own is
/// told together as `other_name`. Beside it, per device, how the free memory lay and how tight it was, as the engine sampled it, and what
/// was copied and cleared in place.
///
/// Fed twice with the same result: live by the engine, which gives it each event with the state before it, and after a restart from the
/// ledger by `Rebuilding`, which needs no state. Invariant: nothing here grows with the number of events or allocations, but for
/// `Rebuilding`, which knows the allocations of the moment that it has come to and ends with the rebuild.
#pragma once
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/report/track.hpp"
#include "core/state.hpp"

namespace vramd::report {
inline constexpr std::size_t names_max = 128;
inline constexpr std::string_view other_name = "other";
enum class NameKind : u8 { owner, purpose, model };

/// How a device was at a moment; what a bucket keeps of it is the worst.
struct Sample {
    u64 free_bytes = 0;
    u64 largest_free_bytes = 0;
    u64 holes = 0;
    u64 level = 0;  ///< Pressure, hundredths.
    /// Hundredths of a percent, rounded down; 0 where nothing is free.
    [[nodiscard]] u64 fragmentation() const {
        return free_bytes == 0 ? 0 : static_cast<u64>(u128{free_bytes - std::min(largest_free_bytes, free_bytes)} * 100'00 / free_bytes);
    }
};
/// A minute or an hour of samples.
struct SampleBucket {
    u64 index = ~u64{0};
    u64 samples = 0;
    u64 fragmentation_max = 0;
    u64 fragmentation_last = 0;
    u64 largest_free_min = 0;
    u64 holes_max = 0;
    u64 level_max = 0;
};
/// What the daemon does to bytes in place; not in the ledger, so known since the core's start only.
enum class Work : u8 { copy, clear };
struct Worked {
    u64 count = 0;
    u64 bytes = 0;
    u64 duration_ns = 0;  ///< Of their own times; they may have overlapped.
};

/// Not synchronised.
class History {
public:
    /// From here on it is fed; levels are the state's.
    void begin(const core::State& state, u64 wall_ns);
    /// What the event is about to change; `before` is the state that it will be applied to.
    void note(const core::State& before, const Event& event, u64 wall_ns);
    /// The devices' levels as they are after a batch: exactly the books'.
    void settle(const core::State& state, u64 wall_ns);
    void sample(std::string_view device_id, const Sample& sample, u64 wall_ns);
    /// Nothing happens for a device that is not known.
    void worked(std::string_view device_id, Work work, u64 bytes, u64 duration_ns, u64 wall_ns);

    /// Nothing for a device that was never there.
    [[nodiscard]] std::optional<Span> span(std::string_view device_id, Window window, u64 wall_ns);
    struct Named {
        std::string name;
        Span span;
    };
    /// Of one device; by name, largest peak first.
    [[nodiscard]] std::vector<Named> named(std::string_view device_id, NameKind kind, Window window, u64 wall_ns);
    /// By time; minutes up to an hour, else hours.
    [[nodiscard]] std::vector<SampleBucket> samples(std::string_view device_id, Window window, u64 wall_ns) const;
    [[nodiscard]] Worked worked(std::string_view device_id, Work work, Window window, u64 wall_ns);

    /// Takes in what was known before this history began.
    void absorb(const History& earlier);
    [[nodiscard]] std::size_t names() const { return names_.size(); }

private:
    friend class Rebuilding;
    struct Flow {
        u64 bytes = 0;
        std::string_view owner;
        std::string_view purpose;
        std::string_view model;
    };
    struct DeviceTrack {
        Track track;
        std::array<std::vector<SampleBucket>, 2> samples;  ///< Minutes, hours.
        std::array<Track, 2> works;                        ///< By `Work`: of a track, only what was moved.
    };
    struct NameKey {
        std::string device_id;
        NameKind kind{};
        std::string name;
        auto operator<=>(const NameKey&) const = default;
    };
    DeviceTrack& device(std::string_view device_id, u64 wall_ns);
    Track& name_track(std::string_view device_id, NameKind kind, std::string_view name, u64 wall_ns);
    void arrive(std::string_view device_id, const Flow& flow, u64 wall_ns);
    void leave(std::string_view device_id, const Flow& flow, u64 wall_ns);
    void move(std::string_view from_id, std::string_view to_id, const TransferResult& result, u64 wall_ns);
    void forget_one(u64 wall_ns);

    std::map<std::string, DeviceTrack, std::less<>> devices_;
    std::map<NameKey, Track> names_;
};

/// Makes a history from the ledger's events alone, in their order. An event that does not fit what is known (history begins in the middle,
/// or a file was damaged) is passed over. A device that is added again is the sign of another life of the memory: all of the life before is
/// gone then.
class Rebuilding {
public:
    Rebuilding() = default;
    /// Begins with what a snapshot holds.
    explicit Rebuilding(const core::State& state);
    void event(const Event& event, u64 wall_ns);
    /// After the last event of a batch.
    void settle(u64 wall_ns);
    /// The levels stand until `wall_ns`; then what was learnt.
    [[nodiscard]] History finish(u64 wall_ns) &&;

private:
    /// Where bytes lie.
    struct Place {
        BlockKey block = 0;
        u64 bytes = 0;
    };
    struct Held {
        Place place;
        std::string owner;
        std::string purpose;
        std::optional<Place> second;
    };
    struct Loaded {
        std::string name;
        u64 copies = 0;
    };
    void on(const DeviceAdded& event, u64 wall_ns);
    void on(const BlockReserved& event, u64 wall_ns);
    void on(const BlockGone& event, u64 wall_ns);
    void on(const AllocationReserved& event, u64 wall_ns);
    void on(const AllocationDropped& event, u64 wall_ns) { release(event.id.serial, wall_ns); }
    void on(const AllocationFreed& event, u64 wall_ns) { release(event.id.serial, wall_ns); }
    void on(const MoveReserved& event, u64 wall_ns);
    void on(const AllocationMoved& event, u64 wall_ns);
    void on(const MoveDropped& event, u64 wall_ns);
    void on(const OperationStarted& event, u64 wall_ns);
    void on(const OperationEnded& event, u64 wall_ns);
    void on(const TransferQueued& event, u64 wall_ns);
    void on(const TransferEnded& event, u64 wall_ns);
    void on(const ModelLoading& event, u64 wall_ns);
    void on(const ModelCopying& event, u64 wall_ns);
    void on(const ModelGone& event, u64 wall_ns);
    void release(u64 serial, u64 wall_ns);
    void take(const Place& place);
    void give(const Place& place);
    [[nodiscard]] const std::string* device_of(BlockKey block) const;

    History history_;
    std::vector<std::string> devices_;
    std::vector<u64> levels_;
    std::map<BlockKey, u16> blocks_;
    std::map<u64, Held> allocations_;
    std::map<u64, Loaded> models_;
    std::map<u64, std::pair<u16, u16>> transfers_;  ///< Source and target device.
    std::map<u64, std::string> loads_;              ///< Operation serial → the name that it loads.
};
}  // namespace vramd::report
