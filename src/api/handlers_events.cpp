#include "api/event_streams.hpp"
#include "api/handlers.hpp"

namespace vramd::api {
namespace {
Result<EventsWanted> wanted_from(const Call& call) {
    TRY(EventsQuery query, parse_query<EventsQuery>(call.head.query));
    return wanted_events(call.engine(), call.caller, std::move(query), call.head.headers.find("Last-Event-ID"), "?");
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
