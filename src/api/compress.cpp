#include "api/compress.hpp"

#include <zlib.h>

#include <algorithm>

#include "base/invariant.hpp"

namespace vramd::api {
namespace {
constexpr int gzip_window_bits = 15 + 16;  // The largest window, with gzip's head and sum around it.
constexpr int level = 3;                   // Three quarters of the best ratio at a fifth of its time, on lists of allocations.
constexpr int memory_level = 8;

bool is_text(std::string_view type) {
    return type.starts_with("application/json") || type.starts_with("application/problem+json") || type.starts_with("text/");
}

/// The packed bytes; empty where zlib could not (no memory).
std::string packed(const std::string& body) {
    z_stream stream{};
    if (deflateInit2(&stream, level, Z_DEFLATED, gzip_window_bits, memory_level, Z_DEFAULT_STRATEGY) != Z_OK) return {};
    std::string out(deflateBound(&stream, body.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));  // zlib reads it only.
    stream.avail_in = static_cast<uInt>(body.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int ended = deflate(&stream, Z_FINISH);
    out.resize(ended == Z_STREAM_END ? stream.total_out : 0);
    deflateEnd(&stream);
    return out;
}

class PackingChannel final : public http::ReplyChannel {
public:
    explicit PackingChannel(http::Responder responder) : responder_(std::move(responder)) {}
    void reply(http::Reply reply) override {
        pack(reply);
        std::move(responder_)(std::move(reply));
    }
    std::shared_ptr<http::StreamChannel> stream(http::Reply head, u64 buffered_bytes_max) override {
        (void)head;
        (void)buffered_bytes_max;
        invariant_broken("an answer that is packed streams", __FILE__, __LINE__);
    }
    void on_gone(std::move_only_function<void()> told) override { responder_.on_gone(std::move(told)); }
    [[nodiscard]] bool is_gone() const override { return responder_.gone(); }

private:
    http::Responder responder_;
};
}  // namespace

bool takes_gzip(const http::RequestHead& head) {
    const std::string* const given = head.headers.find("Accept-Encoding");
    if (given == nullptr) return false;
    bool by_star = false;
    std::string_view rest = *given;
    while (!rest.empty()) {
        const std::string_view one = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(one.size() + 1, rest.size()));
        const std::string_view name = http::trimmed(one.substr(0, one.find(';')));
        const std::size_t weight = one.find("q=");
        const bool refused =
            weight != std::string_view::npos && http::trimmed(one.substr(weight + 2)).find_first_not_of("0.") == std::string_view::npos;
        if (http::equals_without_case(name, "gzip") || http::equals_without_case(name, "x-gzip")) return !refused;
        if (name == "*") by_star = !refused;
    }
    return by_star;
}

void pack(http::Reply& reply) {
    if (reply.source || reply.body.size() < packed_bytes_min || reply.body.size() > gib || !is_text(reply.content_type)) return;
    const auto versioned = [](const http::Field& field) {
        return http::equals_without_case(field.first, "ETag") && field.second.starts_with("\"r");
    };
    if (std::ranges::any_of(reply.headers, versioned)) return;
    std::string smaller = packed(reply.body);
    if (smaller.empty() || smaller.size() >= reply.body.size()) return;
    reply.body = std::move(smaller);
    reply.headers.emplace_back("Content-Encoding", "gzip");
    reply.headers.emplace_back("Vary", "Accept-Encoding");
    // The tag of the plain form names this one only weakly.
    for (auto& [name, value] : reply.headers)
        if (http::equals_without_case(name, "ETag") && value.starts_with('"')) value.insert(0, "W/");
}

http::Routing packing(http::Routing routing) {
    if (auto* reply = std::get_if<http::Reply>(&routing)) pack(*reply);
    if (auto* buffered = std::get_if<http::BufferBody>(&routing))
        buffered->answer = [answer = std::move(buffered->answer)](http::Request request, http::Responder responder) mutable {
            answer(std::move(request), http::Responder(std::make_shared<PackingChannel>(std::move(responder))));
        };
    return routing;
}
}  // namespace vramd::api
