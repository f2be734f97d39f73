/// Answers remembered by Idempotency-Key, so that a request that is sent again after a lost answer does its work once.
///
/// A key belongs to its owner, method and path. While the first request runs, a second with its key is refused (`conflict`); afterwards
/// it gets the first one's answer. Only successes are remembered: a refusal changed nothing, so trying again does no harm. The memory is
/// this process's: bounded, and gone with the core.
#pragma once
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "base/mutex.hpp"
#include "http/message.hpp"

namespace vramd::api {
inline constexpr u64 replay_entries_max = 4096;
inline constexpr u64 replay_body_bytes_max = 64 * kib;  ///< A longer answer is not remembered.
inline constexpr u64 idempotency_key_bytes_max = 128;

/// Thread-safe.
class Replays {
public:
    /// Takes the key for a request with this body. Nothing: go on, and call `ended`. A reply: what it was answered before.
    /// Errors: `conflict` (the first still runs), `invalid_field` (the key came with another body), `busy` (too many keys at work).
    [[nodiscard]] Result<std::optional<http::Reply>> begin(const std::string& key, const std::string& body);
    /// The request that took the key was answered so.
    void ended(const std::string& key, const http::Reply& reply);

private:
    struct Entry {
        u64 body_hash = 0;
        u16 status = 0;  ///< 0 while it runs.
        std::string content_type;
        std::vector<http::Field> headers;
        std::string body;
    };
    Mutex mutex_;
    std::map<std::string, Entry> entries_ GUARDED_BY(mutex_);
    std::deque<std::string> answered_ GUARDED_BY(mutex_);  ///< Oldest first.
};
}  // namespace vramd::api
