/// Moves, fills and sums bytes in the blocks of devices, on threads of its own.
///
/// A job is cut into chunks. Each free thread takes the next chunk of the most urgent job, and jobs of one priority take turns: so two
/// large jobs share the machine fairly and a small urgent one waits for no more than a chunk. A copy whose source and target overlap
/// runs in one lane and in the direction that leaves the right bytes, as memmove does.
///
/// Invariants: 1. `done` is called exactly once for each accepted job, on a transfer thread (or in `step`), with no lock held.
/// 2. A job writes nothing outside its target range. 3. After `done` no thread touches the job's memory. 4. A failed or cancelled job may
/// have written part of its target; the outcome says how much was finished, never that all was.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "base/predecessor.hpp"
#include "base/range.hpp"
#include "device/device.hpp"

namespace vramd::transfer {
/// Bytes of a block. The device outlives the job; the block may be released while it runs.
struct Place {
    device::Device* device = nullptr;
    u64 key = 0;
    Range range;  ///< Within the block.
};

enum class Kind : u8 {
    zero,      ///< target := 0
    fill,      ///< target := `fill_value`
    copy,      ///< target := source; same size
    checksum,  ///< reads source
    read_out,  ///< `out` := source; same size
    write_in,  ///< target := `in`; same size
};
enum class Priority : u8 { low, normal, high, critical };
enum class Verify : u8 {
    none,
    checksum,  ///< `copy`, `read_out`, `write_in`: both sides are summed and compared; a difference is `device_lost`.
};
/// What others do to the source meanwhile. One that may change is read like memory of another program: what is read then is some mix of
/// old and new, and the caller sees to it that such a copy does not count.
enum class Source : u8 {
    still,
    may_change,  ///< With `Verify::checksum` a source that changed is `conflict`, and not blamed on the memory.
};

/// One piece of work. `in` and `out` stay valid and untouched until `done`.
struct Job {
    Kind kind = Kind::zero;
    std::optional<Place> source{};
    std::optional<Place> target{};
    std::byte fill_value{};
    std::span<const std::byte> in{};
    std::span<std::byte> out{};
    Verify verify = Verify::none;
    Source source_stands = Source::still;
    Priority priority = Priority::normal;
};

/// What a finished job did. In stepped mode the times are 0: a simulation has its own clock.
struct Outcome {
    u64 bytes = 0;
    u64 wait_ns = 0;              ///< From `submit` to the first chunk's start.
    u64 duration_ns = 0;          ///< From the first chunk's start to the last one's end.
    std::optional<u64> checksum;  ///< `chunked_checksum` of the bytes; where the job made one.
};
using Done = std::move_only_function<void(Result<Outcome>)>;

/// Names a job of one engine; never reused. 0 names none.
using Ticket = u64;

/// What one thread takes at a time.
inline constexpr u64 chunk_bytes = 4 * mib;
/// The sum that jobs make: XXH3 over the XXH3 sums of consecutive pieces of `summed_piece_bytes`, so that pieces can be summed in parallel,
/// and copied while they are in the processor's cache.
[[nodiscard]] u64 chunked_checksum(std::span<const std::byte> bytes);
inline constexpr u64 summed_piece_bytes = mib;  // Fits a core's second cache; large enough for streaming stores.
static_assert(chunk_bytes % summed_piece_bytes == 0);

/// Jobs up to this size may be run on the caller's thread: handing them over would cost more than they do.
inline constexpr u64 run_now_max_bytes = 64 * kib;

struct Options {
    enum class Mode : u8 {
        threads,
        stepped,  ///< No thread: jobs advance in `step` only, in a repeatable order. For the simulation.
    };
    Mode mode = Mode::threads;
    u32 threads = 0;        ///< 0: the processors, at most 4.
    u32 jobs_max = 10'000;  ///< Accepted and unfinished jobs at most.
    /// Stepped mode: sees each piece of a verified copy once it has landed and before it is summed, and may spoil it as failing memory
    /// does. Empty: nobody looks.
    std::function<void(std::span<std::byte>)> landed{};
    /// The process before this one: no thread touches a byte before it is gone. Null: there was none.
    std::shared_ptr<const Predecessor> predecessor = nullptr;
};

struct Progress {
    u64 bytes_done = 0;
    u64 bytes_total = 0;
};

/// All calls may come from any thread. Destruction cancels what is left, calls each `done`, and joins.
class Engine {
public:
    explicit Engine(const Options& options);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// Accepts a job. `done` may run before this returns. Errors (then `done` is never called): `invalid_field` (a part is missing or sizes
    /// differ), `out_of_range`, `busy` (too many jobs), and what the devices' `map` says (`not_found`, `unsupported`, `device_lost`,
    /// `conflict` for a sealed target).
    [[nodiscard]] Result<Ticket> submit(Job job, Done done);
    /// Runs a job of at most `run_now_max_bytes` to its end on this thread. Errors: as `submit` and as the job; `too_large`.
    [[nodiscard]] Result<Outcome> run_now(Job job);
    /// Absent when the job has ended or never was.
    [[nodiscard]] std::optional<Progress> progress(Ticket ticket) const;
    /// Asks a job to end: chunks that run are finished, then `done` gets `cancelled`. A job whose last chunk is done ends as finished.
    /// Errors: `not_found` (ended already, or never was).
    [[nodiscard]] Result<void> cancel(Ticket ticket);
    /// Stepped mode: runs the next chunk, and `done` where it was a job's last. The chunks run: 0 or 1. Threads mode: always 0.
    u64 step();
    /// Accepted and unfinished jobs.
    [[nodiscard]] u64 pending() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// What this machine can do at best, all transfer threads together: the faster of the C library's memcpy and memset and of streaming
/// stores. For `efficiencyPercentage`.
struct Limits {
    u64 copy_bytes_per_second = 0;
    u64 zero_bytes_per_second = 0;
};
/// Measures it, anew on each call, for about 40 ms, in 2 × 32 MiB of its own (whose first touch comes on top). `threads` as in `Options`.
[[nodiscard]] Result<Limits> measure_limits(u32 threads);
}  // namespace vramd::transfer
