#include "api/replays.hpp"

#include <span>

#include "base/checksum.hpp"

namespace vramd::api {
Result<std::optional<http::Reply>> Replays::begin(const std::string& key, const std::string& body) {
    const u64 body_hash = checksum(std::as_bytes(std::span(body)));
    const Lock lock(mutex_);
    const auto known = entries_.find(key);
    if (known != entries_.end()) {
        const Entry& entry = known->second;
        if (entry.body_hash != body_hash)
            return refuse(Code::invalid_field, "Idempotency-Key",
                          "Idempotency-Key came before with another body; use a new key for a new request.");
        if (entry.status == 0)
            return refuse(Code::conflict, "Idempotency-Key", "The first request with this Idempotency-Key is still running.");
        http::Reply reply{entry.status, entry.content_type, entry.headers, entry.body, {}};
        reply.headers.emplace_back("Idempotent-Replayed", "true");
        return std::optional<http::Reply>(std::move(reply));
    }
    if (entries_.size() >= replay_entries_max) {
        if (answered_.empty())
            return refuse(
                Code::busy, "Idempotency-Key",
                std::to_string(replay_entries_max) + " requests with an Idempotency-Key are running, which is as many as may at once.");
        entries_.erase(answered_.front());
        answered_.pop_front();
    }
    entries_.emplace(key, Entry{body_hash, 0, {}, {}, {}});
    return std::optional<http::Reply>();
}

void Replays::ended(const std::string& key, const http::Reply& reply) {
    const Lock lock(mutex_);
    const auto known = entries_.find(key);
    if (known == entries_.end()) return;
    if (reply.status / 100 != 2 || reply.source || reply.body.size() > replay_body_bytes_max) {
        entries_.erase(known);
        return;
    }
    known->second.status = reply.status;
    known->second.content_type = reply.content_type;
    known->second.headers = reply.headers;
    known->second.body = reply.body;
    answered_.push_back(key);
}
}  // namespace vramd::api
