#include "api/api.hpp"

#include <algorithm>

#include "api/compress.hpp"
#include "api/route.hpp"

namespace vramd::api {
namespace {
constexpr std::string_view json_type = "application/json";

/// A media type without its parameters.
std::string_view media_of(std::string_view field) { return http::trimmed(field.substr(0, field.find(';'))); }

std::string_view type_of(Media media) {
    switch (media) {
        case Media::json:
            return json_type;
        case Media::octets:
            return "application/octet-stream";
        case Media::html:
            return "text/html";
        case Media::text:
            return "text/plain";
        case Media::events:
            return "text/event-stream";
        case Media::none:
            break;
    }
    return {};
}

/// True if one range of the Accept field covers `type` with a weight above 0; or there is no such field.
bool accepts(const http::RequestHead& head, std::string_view type) {
    const std::string* const accept = head.headers.find("Accept");
    if (accept == nullptr || http::trimmed(*accept).empty() || type.empty()) return true;
    std::string_view rest = *accept;
    while (!rest.empty()) {
        const std::size_t comma = std::min(rest.find(','), rest.size());
        const std::string_view one = rest.substr(0, comma);
        rest.remove_prefix(std::min(comma + 1, rest.size()));
        const std::string_view range = media_of(one);
        const std::size_t weight = one.find("q=");
        const bool refused =
            weight != std::string_view::npos && http::trimmed(one.substr(weight + 2)).find_first_not_of("0.") == std::string_view::npos;
        const bool covers =
            range == "*/*" || http::equals_without_case(range, type) ||
            (range.ends_with("/*") && http::equals_without_case(range.substr(0, range.size() - 1), type.substr(0, range.size() - 1)));
        if (covers && !refused) return true;
    }
    return false;
}

Result<void> check_content_type(const http::RequestHead& head, Media media) {
    const bool has_body =
        head.framing == http::Framing::chunked || (head.framing == http::Framing::length && head.content_length_bytes > 0);
    const std::string* const given = head.headers.find("Content-Type");
    if (!has_body || media == Media::none) return {};
    if (const std::string* const coding = head.headers.find("Content-Encoding");
        coding != nullptr && !http::equals_without_case(*coding, "identity"))
        return refuse(Code::unsupported_media_type, "Content-Encoding",
                      "Bodies are taken as they are: Content-Encoding must be identity or absent.");
    if (given == nullptr && media == Media::octets) return {};
    if (given != nullptr && http::equals_without_case(media_of(*given), type_of(media))) return {};
    return refuse(Code::unsupported_media_type, "Content-Type", "Content-Type must be " + std::string(type_of(media)) + ".");
}

/// Compares in a time that depends on the lengths only.
bool equal_secrets(std::string_view a, std::string_view b) {
    u8 difference = a.size() == b.size() ? 0 : 1;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
        difference = static_cast<u8>(difference | (static_cast<u8>(a[i]) ^ static_cast<u8>(b[i])));
    return difference == 0;
}

Result<Caller> caller_of(const http::RequestHead& head, const Options& options) {
    if (const std::string* const given = head.headers.find("Authorization"); given != nullptr) {
        constexpr std::string_view scheme = "Bearer ";
        const std::string_view value = *given;
        if (value.size() > scheme.size() && http::equals_without_case(value.substr(0, scheme.size()), scheme))
            for (const Token& token : options.tokens)
                if (equal_secrets(token.secret, http::trimmed(value.substr(scheme.size())))) return Caller{token.owner, token.role};
        return refuse(Code::forbidden, "Authorization", "The token is none of the daemon's --token-file.");
    }
    if (head.peer.door == http::Door::tcp) {
        if (!http::comes_over_loopback(head.peer))
            return refuse(Code::forbidden, "Authorization",
                          "From another machine a bearer token of the daemon's --token-file is needed (Authorization: Bearer …).");
        return Caller{"http", Role::user};
    }
    const bool admin = head.peer.uid == 0 || head.peer.uid == options.daemon_uid;
    return Caller{"uid:" + std::to_string(head.peer.uid), admin ? Role::admin : Role::user};
}

class TheApi final : public Api {
public:
    TheApi(engine::Engine& engine, Options options) : surface_(engine, std::move(options)) {}

    http::Routing route(const http::RequestHead& head) override {
        if (head.method == http::Method::options && head.path == "*")
            return http::Reply{204, {}, {{"Allow", allow_anywhere(routes())}}, {}, {}};
        if (std::optional<http::Reply> page = page_reply(head, surface_.options.page)) return *std::move(page);
        Match found = match(routes(), head.method, head.segments);
        if (found.allow.empty()) {
            const bool gap = std::ranges::find(head.segments, std::string()) != head.segments.end();
            const char* const why = gap ? "There is no such path: a name is missing between slashes, or at the end."
                                        : "There is no such path; /openapi.json lists all.";
            return problem_reply(Error{Code::not_found, {}, 0, 0, why}, head.path);
        }
        if (head.method == http::Method::options) return http::Reply{204, {}, {{"Allow", found.allow}}, {}, {}};
        if (found.route == nullptr) {
            http::Reply reply = problem_reply(Error{Code::method_not_allowed, {}, 0, 0, "This path takes " + found.allow + "."}, head.path);
            reply.headers.emplace_back("Allow", found.allow);
            return reply;
        }
        const auto caller = checked(head, *found.route);
        if (!caller) return problem_reply(caller.error(), head.path);
        const Media media = found.route->outcomes[0].media;
        http::Routing routing = found.route->handle(Call{&surface_, *caller, std::move(found.params), head, found.route->pattern});
        const bool packs = media != Media::octets && media != Media::events && takes_gzip(head);
        return packs ? packing(std::move(routing)) : std::move(routing);
    }

    EventStreams& event_streams() override { return *surface_.event_streams; }
    void count_by(std::function<http::ServerCounts()> counts) override {
        const Lock lock(surface_.counts_lock);
        surface_.counts = std::move(counts);
    }

private:
    Result<Caller> checked(const http::RequestHead& head, const Route& route) const {
        const Media media = route.outcomes[0].media;
        if (!accepts(head, type_of(media)))
            return refuse(Code::not_acceptable, "Accept",
                          "This call answers " + std::string(type_of(media)) + ", which the Accept header does not take.");
        TRY_DO(check_content_type(head, route.body_media));
        return caller_of(head, surface_.options);
    }

    Surface surface_;
};
}  // namespace

std::unique_ptr<Api> Api::make(engine::Engine& engine, Options options) { return std::make_unique<TheApi>(engine, std::move(options)); }
}  // namespace vramd::api
