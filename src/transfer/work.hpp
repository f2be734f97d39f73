/// A job made ready to run: its parts checked, its memory mapped, cut into chunks that any thread can take. Internal to the room.
#pragma once
#include <vector>

#include "transfer/engine.hpp"

namespace vramd::transfer {
/// Whether a job's chunks may run side by side.
enum class Lanes : u8 {
    many,
    one_forward,  ///< Overlapping copy to lower offsets.
    one_backward  ///< Overlapping copy to higher offsets: the last chunk first.
};

/// Holds the mappings: what it points to stays valid while it lives. `run` of distinct chunks may be called at once.
class Work {
public:
    /// Errors: as `Engine::submit`.
    [[nodiscard]] static Result<Work> prepare(const Job& job);

    [[nodiscard]] u64 size_bytes() const { return size_bytes_; }
    [[nodiscard]] u64 chunk_count() const { return div_ceil(size_bytes_, chunk_bytes); }
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
    void move(u64 at, u64 size);

    Kind kind_ = Kind::zero;
    Lanes lanes_ = Lanes::many;
    Source source_stands_ = Source::still;
    std::byte fill_value_{};
    device::Mapping source_;
    device::Mapping target_;
    std::span<const std::byte> from_;  ///< In `source_` or the job's `in`; empty for zero and fill.
    std::span<std::byte> to_;          ///< In `target_` or the job's `out`; empty for checksum.
    u64 size_bytes_ = 0;
    std::optional<std::vector<u64>> sums_;  ///< One per summed piece, where the job makes them. Each chunk writes its own.
    const std::function<void(std::span<std::byte>)>* landed_ = nullptr;
};
}  // namespace vramd::transfer
