/// The threads that bring a plan's bytes from the files to their final place in the lent memory.
///
/// Two threads already saturate copying out of the page cache on the machines measured; the copy is cut into pieces that threads take in
/// order. Before a piece is read its pages are mapped in one call: the memory was touched by the core, and a read fault maps 16 such
/// pages at a time where a write fault maps one (9 against 24 ms for 512 MiB, measured on a two-core virtual machine).
///
/// Invariants: only [copy or decode ranges] of the memory are written; the threads exist before the confinement is complete, for none can
/// be made behind it; the first error stops all.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "base/mutex.hpp"
#include "formats/model_file.hpp"

namespace vramd::loader {
inline constexpr u64 piece_bytes = 4 * mib;  ///< What a thread takes at once.
inline constexpr u64 step_bytes = 1 * mib;   ///< What one read asks for: progress moves in these steps.
inline constexpr u64 progress_every_ms = 50;

/// A file of the model: a borrowed descriptor and its size when the job began.
struct LentFile {
    int fd = -1;
    u64 size_bytes = 0;
};
/// What to fill. All of it outlives the call of `fill`.
struct FillWork {
    std::span<const LentFile> files;  ///< As in `Plan::files`.
    const formats::Plan& plan;
    std::span<std::byte> memory;  ///< At least `plan.memory_bytes`; page-aligned.
};

class Crew {
public:
    /// Starts `threads` (1 … 16) and returns once all wait for work.
    explicit Crew(u32 threads);
    ~Crew();
    Crew(const Crew&) = delete;
    Crew& operator=(const Crew&) = delete;

    /// Fills the memory; returns when every byte has landed or with the first error, no thread being at work any more. `progress` runs on
    /// the calling thread at least every `progress_every_ms`, with bytes landed so far: monotonic, at the end exactly the sum.
    /// Errors: as `formats::decode` and `FileSource::read`.
    [[nodiscard]] Result<void> fill(const FillWork& work, const std::function<void(u64 landed_bytes)>& progress);

private:
    struct Piece {
        u64 first = 0;  ///< Offset within the copy; unused for a decode.
        u64 size_bytes = 0;
        u32 index = 0;  ///< In copies or decodes.
        formats::Decode const* decode = nullptr;
    };
    void run();
    void take_pieces(const FillWork& work);
    Result<void> bring(const FillWork& work, const Piece& piece);

    Mutex mutex_;
    std::condition_variable_any changed_;
    const FillWork* work_ GUARDED_BY(mutex_) = nullptr;
    u64 round_ GUARDED_BY(mutex_) = 0;  ///< Counts calls of `fill`, so that a thread works once in each.
    u32 ready_ GUARDED_BY(mutex_) = 0;  ///< Threads that wait for work for the first time.
    u32 busy_ GUARDED_BY(mutex_) = 0;
    enum class Phase : u8 { open, ending } phase_ GUARDED_BY(mutex_) = Phase::open;
    std::optional<Error> error_ GUARDED_BY(mutex_);
    std::vector<Piece> pieces_;  ///< Written only while no thread is at work.
    std::atomic<std::size_t> next_ = 0;
    std::atomic<u64> landed_bytes_ = 0;
    std::vector<std::thread> threads_;
};
/// Bytes that a fill brings: copies and decodes.
[[nodiscard]] u64 landing_bytes(const formats::Plan& plan);
}  // namespace vramd::loader
