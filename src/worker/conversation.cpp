#include "worker/conversation.hpp"

#include <algorithm>

#include "base/clock.hpp"

namespace vramd::worker {
namespace protocol = ipc::worker_protocol;
namespace {
constexpr u64 stage_ns_max = 86'400 * ns_per_second;

std::unexpected<Error> nonsense(std::string what) {
    return refuse(Code::system_failed, "loader", "The loading process spoke nonsense: " + what);
}

/// A time as the process tells it; what is missing or absurd counts as 0, for nothing depends on it.
u64 told_ns(const boost::json::object& params, std::string_view field) { return ipc::read_u64(params, field, stage_ns_max).value_or(0); }

/// Control characters would reach terminals and logs.
std::string printable(std::string text) {
    std::replace_if(
        text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
    return text;
}
}  // namespace

Result<Heard> Conversation::hear(std::string_view frame, u64 now_ns) {
    ++messages_;
    const u64 elapsed_ns = now_ns > began_ns_ ? now_ns - began_ns_ : 0;
    if (messages_ > messages_free + elapsed_ns / (ns_per_second / messages_per_second)) return nonsense("too many messages.");
    if (stage_ == Stage::ended) return nonsense("a message after its last.");
    auto message = ipc::parse_message(frame);
    if (!message) return nonsense(describe(message.error()));
    if (const auto* notification = std::get_if<ipc::Notification>(&*message)) return hear_notification(*notification);
    if (const auto* answer = std::get_if<ipc::Answer>(&*message)) return hear_answer(*answer);
    if (const auto* failure = std::get_if<ipc::Failure>(&*message)) return hear_failure(*failure);
    return nonsense("a request of its own.");
}

Result<Heard> Conversation::hear_notification(const ipc::Notification& said) {
    if (said.method == protocol::started && stage_ == Stage::silent) {
        stage_ = Stage::started;
        told_.confinement.seccomp = ipc::read_u64(said.params, "seccomp", 1).value_or(0) == 1;
        told_.confinement.landlock_abi = ipc::read_u64(said.params, "landlock_abi", 1024).value_or(0);
        told_.confinement.uid = ipc::read_u64(said.params, "uid", UINT32_MAX).value_or(0);
        return Heard{Heard::Kind::started, 0, 0, {}};
    }
    if (said.method == protocol::parsed && stage_ == Stage::started && subject_ == Subject::load) {
        const auto bytes = ipc::read_u64(said.params, "table_bytes", ipc::table_bytes_max);
        if (!bytes) return nonsense(describe(bytes.error()));
        if (*bytes == 0) return nonsense("a table without bytes.");
        stage_ = Stage::parsed;
        told_.parse_ns = told_ns(said.params, "parse_ns");
        return Heard{Heard::Kind::parsed, *bytes, 0, {}};
    }
    if (said.method == protocol::progress && stage_ == Stage::parsed) return hear_progress(said);
    return nonsense("\"" + printable(said.method) + "\" at the wrong moment.");
}

Result<Heard> Conversation::hear_progress(const ipc::Notification& said) {
    const auto total = ipc::read_u64(said.params, "total");
    if (!total) return nonsense(describe(total.error()));
    const auto bytes = ipc::read_u64(said.params, "bytes", *total);
    if (!bytes) return nonsense(describe(bytes.error()));
    if (*bytes < landed_bytes_ || (total_bytes_ != 0 && *total != total_bytes_)) return nonsense("progress that goes backwards.");
    landed_bytes_ = *bytes;
    total_bytes_ = *total;
    return Heard{Heard::Kind::progress, *bytes, *total, {}};
}

Result<Heard> Conversation::hear_answer(const ipc::Answer& said) {
    const bool loaded = subject_ == Subject::load && stage_ == Stage::parsed;
    const bool inspected = stage_ == Stage::started;  // A load that misses files answers as an inspection does.
    if (said.id != request_id || !(loaded || inspected)) return nonsense("an answer at the wrong moment.");
    stage_ = Stage::ended;
    if (loaded) return Heard{Heard::Kind::answered, 0, 0, {}};
    const auto bytes = ipc::read_u64(said.result, "table_bytes", ipc::table_bytes_max);
    if (!bytes) return nonsense(describe(bytes.error()));
    if (*bytes == 0) return nonsense("an answer without a table.");
    told_.parse_ns = told_ns(said.result, "parse_ns");
    return Heard{Heard::Kind::answered, *bytes, 0, {}};
}

Result<Heard> Conversation::hear_failure(const ipc::Failure& said) {
    if (said.id != request_id && said.id != 0) return nonsense("an answer to what nobody asked.");
    stage_ = Stage::ended;
    Error error = said.error;
    // Only these can be a file's or the machine's fault; a process cannot make the daemon answer with any other.
    if (error.code != Code::invalid_model && error.code != Code::unsupported && error.code != Code::out_of_range)
        error.code = Code::system_failed;
    error.field = printable(std::move(error.field));
    error.detail = printable(std::move(error.detail));
    return Heard{Heard::Kind::failed, 0, 0, std::move(error)};
}
}  // namespace vramd::worker
