/// The threads that decode a plan's values from the files to their final place in the lent memory.
///
/// Invariants: only ranges of decodes are written; the threads exist before the confinement is complete, for none can be made behind it;
/// the first error stops all.
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
inline constexpr u64 progress_every_ms = 50;

/// A file of the model: a borrowed descriptor and its size when the job began.
struct LentFile {
    int fd = -1;
    u64 size_bytes = 0;
};
/// What to decode. All of it outlives the call of `decode`.
struct DecodeWork {
    std::span<const LentFile> files;  ///< As in `Plan::files`.
    std::span<const formats::Decode> decodes;
    std::span<std::byte> memory;  ///< The model's: every decode lies within it.
};

class Crew {
public:
    /// Starts `threads` (1 … 16) and returns once all wait for work.
    explicit Crew(u32 threads);
    ~Crew();
    Crew(const Crew&) = delete;
    Crew& operator=(const Crew&) = delete;

    /// Returns when every value has landed or with the first error, no thread being at work any more. `progress` runs on the calling thread
    /// at least every `progress_every_ms`, with bytes landed so far: monotonic, at the end exactly `decoded_bytes`.
    /// Errors: as `formats::decode` and `FileSource::read`.
    [[nodiscard]] Result<void> decode(const DecodeWork& work, const std::function<void(u64 landed_bytes)>& progress);

private:
    void run();
    void take_items(const DecodeWork& work);
    Result<void> bring(const DecodeWork& work, const formats::Decode& item);

    Mutex mutex_;
    std::condition_variable_any changed_;
    const DecodeWork* work_ GUARDED_BY(mutex_) = nullptr;
    u64 round_ GUARDED_BY(mutex_) = 0;  ///< Counts calls of `decode`, so that a thread works once in each.
    u32 ready_ GUARDED_BY(mutex_) = 0;  ///< Threads that wait for work for the first time.
    u32 busy_ GUARDED_BY(mutex_) = 0;
    enum class Phase : u8 { open, ending } phase_ GUARDED_BY(mutex_) = Phase::open;
    std::optional<Error> error_ GUARDED_BY(mutex_);
    std::atomic<std::size_t> next_ = 0;
    std::atomic<u64> landed_bytes_ = 0;
    std::vector<std::thread> threads_;
};
/// Bytes of memory that its decodes bring.
[[nodiscard]] u64 decoded_bytes(const formats::Plan& plan);
}  // namespace vramd::loader
