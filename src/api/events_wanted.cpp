/// From a query of events to what a reader wants, or why that cannot be had.
#include <algorithm>
#include <charconv>

#include "api/event_streams.hpp"
#include "api/handlers.hpp"

namespace vramd::api {
namespace {
/// The types that the query names, as bits by tag.
Result<std::vector<bool>> types_from(std::string_view list, const std::string& field) {
    std::vector<bool> types;
    if (list.empty()) return types;
    const auto names = event_names();
    types.resize(names.size());
    for (;;) {
        const std::string_view name = list.substr(0, list.find(','));
        const auto found = std::ranges::find(names, name);
        if (found == names.end())
            return refuse(Code::invalid_field, field, field + ": there is no event of the type '" + std::string(name) + "'.");
        types[static_cast<std::size_t>(found - names.begin())] = true;
        if (name.size() == list.size()) return types;
        list.remove_prefix(name.size() + 1);
    }
}

/// Where to begin: as asked, after the last event that the reader has seen, or now.
Result<u64> first_event(const EventsQuery& query, const std::string* seen, std::string field, u64 last, u64 oldest) {
    u64 from = last + 1;
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
        return std::unexpected(Error{Code::invalid_field, std::move(field), from, last + 1,
                                     "There is no such event yet; the next one will be " + std::to_string(last + 1) + "."});
    if (from < oldest)
        return std::unexpected(
            Error{Code::history_gone, std::move(field), from, oldest,
                  "Event " + std::to_string(from) + " is no longer kept; the oldest is " + std::to_string(oldest) + "."});
    return from;
}
}  // namespace

Result<EventsWanted> wanted_events(engine::Engine& engine, const Caller& caller, EventsQuery query, const std::string* seen,
                                   std::string_view mark) {
    const auto named = [mark](const char* field) { return std::string(mark) + field; };
    EventsWanted wanted;
    wanted.caller = caller;
    TRY(wanted.types, types_from(query.type, named("type")));
    if (query.device_id)
        if (const auto known = engine.known_device(*query.device_id); !known)
            return std::unexpected(told_of_device(known.error(), named("deviceId")));
    wanted.device_id = std::move(query.device_id).value_or(std::string());
    wanted.owner = std::move(query.owner);
    const u64 last = engine.events().last();
    TRY(wanted.from, first_event(query, seen, named("from"), last, engine.events().oldest()));
    if (query.from && *query.from == 0) wanted.gaps = EventsWanted::Gaps::are_passed_over;
    if (!query.follow) wanted.to = last;
    return wanted;
}
}  // namespace vramd::api
