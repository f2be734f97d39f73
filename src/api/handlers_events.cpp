#include <algorithm>
#include <charconv>

#include "api/event_streams.hpp"
#include "api/handlers.hpp"

namespace vramd::api {
namespace {
/// The types that the query names, as bits by tag.
Result<std::vector<bool>> types_from(std::string_view list) {
    std::vector<bool> types;
    if (list.empty()) return types;
    const auto names = event_names();
    types.resize(names.size());
    for (;;) {
        const std::string_view name = list.substr(0, list.find(','));
        const auto found = std::ranges::find(names, name);
        if (found == names.end())
            return refuse(Code::invalid_field, "?type", "?type: there is no event of the type '" + std::string(name) + "'.");
        types[static_cast<std::size_t>(found - names.begin())] = true;
        if (name.size() == list.size()) return types;
        list.remove_prefix(name.size() + 1);
    }
}

/// Where to begin: as asked, after the last event that the reader has seen, or now.
Result<u64> first_event(const Call& call, const EventsQuery& query, u64 last, u64 oldest) {
    const std::string* const seen = call.head.headers.find("Last-Event-ID");
    u64 from = last + 1;
    std::string_view field = "?from";
    if (query.from) {
        from = *query.from == 0 ? oldest : *query.from;
    } else if (seen != nullptr && !seen->empty()) {
        field = "Last-Event-ID";
        u64 number = 0;
        const auto [end, failed] = std::from_chars(seen->data(), seen->data() + seen->size(), number);
        if (failed != std::errc{} || end != seen->data() + seen->size() || number == ~u64{0})
            return refuse(Code::invalid_field, field, "Last-Event-ID must be the number of an event.");
        from = number + 1;
    }
    if (from > last + 1)
        return std::unexpected(Error{Code::invalid_field, std::string(field), from, last + 1,
                                     "There is no such event yet; the next one will be " + std::to_string(last + 1) + "."});
    if (from < oldest)
        return std::unexpected(
            Error{Code::history_gone, std::string(field), from, oldest,
                  "Event " + std::to_string(from) + " is no longer kept; the oldest is " + std::to_string(oldest) + "."});
    return from;
}

Result<EventsWanted> wanted_from(const Call& call) {
    TRY(EventsQuery query, parse_query<EventsQuery>(call.head.query));
    EventsWanted wanted;
    wanted.caller = call.caller;
    TRY(wanted.types, types_from(query.type));
    if (query.device_id) {
        const auto known = call.engine().known_device(*query.device_id);
        if (!known) return std::unexpected(told_of_device(known.error(), "?deviceId"));
    }
    wanted.device_id = std::move(query.device_id).value_or(std::string());
    wanted.owner = std::move(query.owner);
    const u64 last = call.engine().events().last();
    TRY(wanted.from, first_event(call, query, last, call.engine().events().oldest()));
    if (query.from && *query.from == 0) wanted.gaps = EventsWanted::Gaps::are_passed_over;
    if (!query.follow) wanted.to = last;
    return wanted;
}
}  // namespace

http::Routing stream_events(Call call) {
    auto wanted = wanted_from(call);
    if (!wanted) return problem_reply(wanted.error(), call.head.path);
    http::BufferBody none;
    none.body_bytes_max = 0;
    none.answer = [surface = call.surface, wanted = *std::move(wanted)](http::Request, http::Responder responder) mutable {
        surface->event_streams->add(std::move(wanted), std::move(responder));
    };
    return none;
}
}  // namespace vramd::api
