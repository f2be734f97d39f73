/// What a loading process may say, in which order, and how often: everything else ends it.
///
///   started → parsed (load only, unless files are missing) → progress* → answer, or a failure at any point
///
/// The speaker is hostile. Knows no process, socket or clock: frames and times go in, facts come out; a test or fuzzer feeds it alone.
#pragma once
#include <functional>
#include <optional>
#include <string_view>

#include "ipc/messages.hpp"
#include "worker/loader_process.hpp"

namespace vramd::worker {
enum class Subject : u8 { inspect, load };

inline constexpr u64 messages_free = 64;         ///< A process may send these at once …
inline constexpr u64 messages_per_second = 100;  ///< … and then so many more a second; progress takes 20.

/// What one message came to.
struct Heard {
    enum class Kind : u8 { nothing, started, parsed, progress, answered, failed } kind = Kind::nothing;
    u64 bytes = 0;  ///< progress: monotonic, at most `total`; parsed and answered (inspect): bytes of the table to read.
    u64 total = 0;
    Error error{};  ///< failed: what the process says of the file.
};
/// The process's own measurements; informational.
struct Told {
    u64 parse_ns = 0;
    ConfinementFacts confinement;
};

/// Not synchronised; one per process.
class Conversation {
public:
    Conversation(Subject subject, u64 began_ns) : subject_(subject), began_ns_(began_ns) {}
    /// Takes one frame that came at `now_ns`. Errors: the process must be ended: `system_failed` with what was wrong.
    [[nodiscard]] Result<Heard> hear(std::string_view frame, u64 now_ns);
    [[nodiscard]] const Told& told() const { return told_; }

private:
    enum class Stage : u8 { silent, started, parsed, ended };
    [[nodiscard]] Result<Heard> hear_notification(const ipc::Notification& said);
    [[nodiscard]] Result<Heard> hear_progress(const ipc::Notification& said);
    [[nodiscard]] Result<Heard> hear_answer(const ipc::Answer& said);
    [[nodiscard]] Result<Heard> hear_failure(const ipc::Failure& said);

    Subject subject_;
    u64 began_ns_;
    Stage stage_ = Stage::silent;
    u64 messages_ = 0;
    u64 landed_bytes_ = 0;
    u64 total_bytes_ = 0;
    Told told_;
};
/// The id of a process's only request.
inline constexpr u64 request_id = 1;
}  // namespace vramd::worker
