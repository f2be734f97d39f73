/// After the connection's end: the session goes on over another one, and holds what is mapped here.
#include <poll.h>
#include <sys/socket.h>

#include <boost/json.hpp>

#include "client/connection.hpp"

namespace json = boost::json;

namespace vramd::client {
namespace {
constexpr std::uint64_t protocol_version = 1;

/// What the daemon says that the session holds: ids with their modes.
std::map<std::string, std::string> held_by(const json::object& hello) {
    std::map<std::string, std::string> held;
    const json::value* const groups = hello.if_contains("held");
    if (groups == nullptr || !groups->is_array()) return held;
    for (const json::value& group : groups->get_array()) {
        const json::object* const told = group.if_object();
        const json::value* const mode = told == nullptr ? nullptr : told->if_contains("mode");
        const json::value* const ids = told == nullptr ? nullptr : told->if_contains("allocationIds");
        if (mode == nullptr || !mode->is_string() || ids == nullptr || !ids->is_array()) continue;
        for (const json::value& id : ids->get_array())
            if (id.is_string()) held.emplace(std::string(id.get_string()), std::string(mode->get_string()));
    }
    return held;
}
}  // namespace

/// Hello, with the session of before if the daemon knows it yet.
Result<Answer> Connection::greet() {
    json::object params{{"version", protocol_version}, {"client", name_}};
    if (auto error = unsayable(params)) return *std::move(error);
    if (watch_) params["reclaim"] = true;
    if (!resume_key_.empty()) {
        json::object with_key = params;
        with_key["resumeKey"] = resume_key_;
        auto resumed = ask("hello", with_key, {});
        // Else its grace is over, or it ended while the core lived.
        if (resumed || (resumed.error().code != "not-found" && resumed.error().code != "conflict")) return resumed;
    }
    auto hello = ask("hello", params, {});
    if (hello)
        if (const json::value* const key = hello->result.if_contains("resumeKey"); key != nullptr && key->is_string())
            resume_key_ = std::string(key->get_string());
    return hello;
}

/// The session holds what is mapped here, and nothing else. Errors: "disconnected".
std::optional<Error> Connection::take_up(const json::object& hello) {
    auto held = held_by(hello);
    const auto tell = [this](const char* method, json::object params) -> std::optional<Error> {
        const auto answer = ask(method, params, {});
        // Refused where it is gone: then there is nothing to tell.
        return answer || answer.error().code != "disconnected" ? std::nullopt : std::optional<Error>(answer.error());
    };
    for (const auto& [id, hold] : holds_) {
        const auto found = held.find(id);
        const bool mapped = found != held.end() && found->second != "none";
        if (found != held.end()) held.erase(found);
        if (mapped) continue;  // Else the session is another one.
        if (auto error = tell("attach", {{"allocationId", id}, {"mode", hold.mode}})) return error;
    }
    for (const auto& [id, mode] : held) {  // Let go of meanwhile, or never heard of, for the answer was lost.
        const auto left = left_.find(id);
        if (auto error = tell(left != left_.end() && left->second ? "free" : "detach", {{"allocationId", id}})) return error;
    }
    left_.clear();
    return std::nullopt;
}

/// How long the daemon is waited for, to take the connection and to answer.
void Connection::set_patience(int seconds) {
    const timeval limit{seconds, 0};
    (void)setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    wait_ms_max_ = seconds == for_ever ? -1 : seconds * 1000;
}

void Connection::guard_locked() {
    if (guarding_) return;
    if (guard_.joinable()) guard_.join();  // It has nothing left to do.
    guarding_ = true;
    guard_ = std::thread([this] { guard(); });
}

/// Waits for the connection's end and opens another. Where nobody listens it ends, and the next call begins anew.
void Connection::guard() {
    for (;;) {
        int link = -1;
        {
            const std::lock_guard lock(lock_);
            if (socket_.get() < 0 && open_locked()) {
                guarding_ = false;
                return;
            }
            link = socket_.get();
        }
        pollfd waits[2] = {{link, POLLRDHUP, 0}, {stop_.get(), POLLIN, 0}};
        (void)poll(waits, 2, -1);  // Interrupted, it looks again.
        if (waits[1].revents != 0) return;
        if ((waits[0].revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) == 0) continue;
        const std::lock_guard lock(lock_);
        if (socket_.get() == link && link >= 0) {  // Nobody has noticed yet; if it is a new one of that number, its end is looked for too.
            pollfd now{link, POLLRDHUP, 0};
            if (poll(&now, 1, 0) > 0) (void)lost("The daemon ended the connection.");
        }
    }
}
}  // namespace vramd::client
