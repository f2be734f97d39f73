/// A job made ready to run: its parts checked, its memory mapped, cut into chunks that any thread can take. Internal to the room.
///
/// A side whose device the processor cannot see has a channel in place of bytes. What is to be summed there is read back, so a verified
/// copy is held against what the device gives, not against what was sent.
#pragma once
#include <vector>

#include "base/mutex.hpp"
#include "device/channel.hpp"
#include "transfer/engine.hpp"

namespace vramd::transfer {
/// Whether a job's chunks may run side by side.
enum class Lanes : u8 {
    many,
    one_forward,  ///< Overlapping copy to lower offsets.
    one_backward  ///< Overlapping copy to higher offsets: the last chunk first.
};

/// Where a job's bytes are on one side.
struct Side {
    device::Mapping mapping{};                   ///< Of what is seen and no memory of the caller's.
    std::shared_ptr<device::Channel> channel{};  ///< Of what is not seen.
    u64 offset_bytes = 0;                        ///< Of the job's range in the channel's block.
    std::optional<Place> unseen{};               ///< Where the channel leads, or will lead once its device is ready.
    [[nodiscard]] bool is_seen() const { return !unseen.has_value(); }
};

/// What one thread takes at a time of a job with a side that it does not see: a device's stage or, where no byte passes the processor, what
/// keeps the device busy.
inline constexpr u64 staged_chunk_bytes = device::stage_bytes_min;
inline constexpr u64 unseen_chunk_bytes = 4 * staged_chunk_bytes;

/// Holds the mappings: what it points to stays valid while it lives. `run` of distinct chunks may be called at once.
class Work {
public:
    /// Errors: as `Engine::submit`.
    [[nodiscard]] static Result<Work> prepare(const Job& job);

    [[nodiscard]] u64 size_bytes() const { return size_bytes_; }
    [[nodiscard]] u64 chunk_count() const { return div_ceil(size_bytes_, chunk_bytes_); }
    [[nodiscard]] Lanes lanes() const { return lanes_; }
    /// Does chunk `number`, counted in the order in which they are to be begun; answers its bytes.
    /// Errors: `device_lost` when verification finds a difference; `conflict` when it is the source that became another.
    [[nodiscard]] Result<u64> run(u64 number);
    /// Of all chunks, once they have run; absent where the job makes none.
    [[nodiscard]] std::optional<u64> sum() const;
    /// `see` outlives the work; it is called as `Options::landed` says.
    void let_see(const std::function<void(std::span<std::byte>)>& see) { landed_ = &see; }
    /// Ends the mappings: nothing runs after it.
    void let_go();

private:
    Work() = default;
    [[nodiscard]] Result<void> take_source(const Job& job);
    [[nodiscard]] Result<void> take_target(const Job& job);
    /// Sums bytes [at, at + size) of the source, and copies and verifies them as the job wants, piece by piece.
    [[nodiscard]] Result<void> run_summed(u64 at, u64 size);
    /// Opens channels of devices that were not ready when the job came; waits for them.
    [[nodiscard]] Result<void> open_channels();
    [[nodiscard]] Result<void> run_plain(u64 at, u64 size);
    /// The same where a side is not seen: a chunk at once, for each look at that side is a copy of its own.
    [[nodiscard]] Result<void> run_summed_unseen(u64 at, u64 size);
    /// Bytes of a side: as they lie there, or read into `room`.
    [[nodiscard]] Result<std::span<const std::byte>> look(const Side& side, std::span<const std::byte> seen, u64 at, u64 size,
                                                          std::vector<std::byte>& room) const;
    void move(u64 at, u64 size);
    [[nodiscard]] Result<void> move_unseen(u64 at, u64 size);

    Kind kind_ = Kind::zero;
    Lanes lanes_ = Lanes::many;
    Source source_stands_ = Source::still;
    std::byte fill_value_{};
    Side source_;
    Side target_;
    std::unique_ptr<Mutex> opening_ = std::make_unique<Mutex>();
    std::span<const std::byte> from_;  ///< In `source_` or the job's `in`; empty for zero and fill, and where the source is not seen.
    std::span<std::byte> to_;          ///< In `target_` or the job's `out`; empty for checksum, and where the target is not seen.
    u64 size_bytes_ = 0;
    u64 chunk_bytes_ = chunk_bytes;
    u64 distance_bytes_ = 0;                ///< Between the beginnings of two ranges that overlap.
    std::optional<std::vector<u64>> sums_;  ///< One per summed piece, where the job makes them. Each chunk writes its own.
    const std::function<void(std::span<std::byte>)>* landed_ = nullptr;
};
}  // namespace vramd::transfer
