#include "api/handlers.hpp"
#include "api/paging.hpp"
#include "api/tell.hpp"
#include "base/clock.hpp"
#include "base/random.hpp"

namespace vramd::api {
namespace {
/// Set in the numbers by which requests over HTTP are known while they wait: no connection of the attach protocol has such a one.
constexpr u64 no_connection = u64{1} << 63;

std::string url_of(AllocationId id) { return "/api/memory/allocation/" + to_text(id); }

Result<AllocationList> page_of(const Call& call, const DeviceAllocationsQuery& query, std::string device_id) {
    report::AllocationFilter filter;
    filter.device_id = std::move(device_id);
    filter.owner = query.owner.value_or(std::string());
    filter.type = query.type;
    filter.status = query.status;
    filter.limit = query.limit;
    TRY(filter.before_serial, cursor_number(query.cursor, filter.before_serial));
    return tell_allocations(call.engine().allocations(call.caller, filter));
}

AllocateCommand command_of(const Call& call, const AllocateHereRequest& body, std::string device_id) {
    AllocateCommand command;
    command.caller = call.caller;
    command.device_id = std::move(device_id);
    command.size_bytes = body.size_bytes;
    command.alignment_bytes = body.alignment;
    command.type = body.allocation_type;
    command.priority = body.priority;
    command.purpose = body.purpose;
    command.owner = body.owner.value_or(std::string());
    command.persistent = body.persistent;
    command.shareable = body.shareable;
    command.lease_seconds = body.lease_seconds;
    command.secret = random_secret();
    return command;
}

engine::Shortfall shortfall_of(engine::Engine& engine, const AllocateCommand& command, Code code) {
    engine::Shortfall shortfall = engine.shortfall_of(command);
    if (code == Code::timed_out)
        shortfall.suggestions.insert(shortfall.suggestions.begin(), "Allow more time with timeoutSeconds, or ask at a higher priority.");
    return shortfall;
}

void allocate_on(const Call& call, const AllocateHereRequest& body, std::string device_id, Answer<AllocationMade> answer) {
    AllocateCommand command = command_of(call, body, std::move(device_id));
    engine::Engine& engine = call.engine();
    // Who gave a key may come back for what was made; of what is made for another who has left nobody would ever hear.
    const bool forgettable = body.timeout_seconds > 0 && call.head.headers.find("Idempotency-Key") == nullptr;
    if (forgettable) {
        command.caller.session = no_connection | command.secret;
        answer.on_gone([&engine, waits = command.caller.session] { engine.forget_waiting(waits); });
    }
    auto done = [&engine, command, forgettable, answer = std::move(answer)](Result<engine::Allocated> result) mutable {
        if (result && forgettable && answer.gone()) {
            engine.free({command.caller, result->record.id}, true, [](const Result<engine::Freed>&) {});
            result = refuse(Code::cancelled, "connection", "Whoever waited for it has closed the connection, or its own side of it.");
        }
        if (result)
            std::move(answer).at(tell_made(*result), url_of(result->record.id));
        else if (result.error().code == Code::insufficient_memory || result.error().code == Code::timed_out)
            std::move(answer).refuse(result.error(), shortfall_of(engine, command, result.error().code));
        else
            std::move(answer)(std::unexpected(result.error()));
    };
    engine.allocate(command, body.timeout_seconds * ns_per_second, std::move(done));
}

auto cleared_to(Answer<Cleared> answer) {
    return [answer = std::move(answer)](Result<engine::Moved> result) mutable {
        if (!result) return std::move(answer)(std::unexpected(result.error()));
        Cleared cleared;
        static_cast<Moved&>(cleared) = tell_moved(result->bytes, result->duration_ns, result->limit_bytes_per_second);
        cleared.allocations_touched = result->allocations_touched;
        cleared.free_ranges_touched = result->free_ranges_touched;
        std::move(answer)(cleared);
    };
}

Result<engine::ClearRequest> clear_request(const Call& call, const ClearRequest& body) {
    if (body.allocation_id.has_value() == body.device_id.has_value())
        return refuse(Code::invalid_field, "/allocationId", "Exactly one of /allocationId and /deviceId must be given.");
    if (body.device_id && (body.offset_bytes != 0 || body.size_bytes))
        return refuse(Code::invalid_field, body.size_bytes ? "/sizeBytes" : "/offsetBytes",
                      "With /deviceId all free memory is filled: /offsetBytes and /sizeBytes do not apply.");
    engine::ClearRequest request;
    request.caller = call.caller;
    if (body.allocation_id) {
        TRY(request.allocation, allocation_from(*body.allocation_id, "/allocationId"));
    }
    request.device_id = body.device_id.value_or(std::string());
    request.offset_bytes = body.offset_bytes;
    request.size_bytes = body.size_bytes;
    request.fill_value = static_cast<u8>(body.fill_value);
    return request;
}

Result<engine::CopyRequest> copy_request(const Call& call, const CopyRequest& body) {
    engine::CopyRequest request;
    request.caller = call.caller;
    TRY(request.source, allocation_from(body.source_allocation_id, "/sourceAllocationId"));
    TRY(request.target, allocation_from(body.target_allocation_id, "/targetAllocationId"));
    request.source_offset_bytes = body.source_offset_bytes;
    request.target_offset_bytes = body.target_offset_bytes;
    request.size_bytes = body.size_bytes;
    return request;
}

/// Answers with the record, and with what its bytes are where that was asked for.
void with_content(const Asked<AllocationQuery, Nothing>& asked, AllocationId id, Allocation record, Answer<Allocation> answer) {
    if (!asked.query.include_content_stats) return std::move(answer)(record);
    asked.call.engine().content_stats(asked.call.caller, id,
                                      [record = std::move(record), answer = std::move(answer)](Result<engine::ContentStats> told) mutable {
                                          if (!told) return std::move(answer)(std::unexpected(told.error()));
                                          record.content_stats = tell_content(*told);
                                          std::move(answer)(record);
                                      });
}
}  // namespace

Result<AllocationId> allocation_from(std::string_view text, std::string_view field) {
    const auto id = id_from<AllocationTag>(text);
    if (!id) return refuse(Code::not_found, field, "There is no allocation " + quoted_text(text) + ", or it is not yours.");
    return *id;
}

Result<AllocationList> list_allocations(const Asked<AllocationsQuery, Nothing>& asked) {
    if (asked.query.device_id) TRY_DO(asked.call.engine().known_device(*asked.query.device_id));
    return page_of(asked.call, asked.query, asked.query.device_id.value_or(std::string()));
}

Result<AllocationList> list_device_allocations(const Asked<DeviceAllocationsQuery, Nothing>& asked) {
    TRY_DO(asked.call.engine().known_device(asked.call.params[0]));
    return page_of(asked.call, asked.query, asked.call.params[0]);
}

void read_allocation(Asked<AllocationQuery, Nothing> asked, Answer<Allocation> answer) {
    engine::Engine& engine = asked.call.engine();
    const auto told = [&]() -> Result<report::AllocationTold> {
        TRY(const AllocationId id, allocation_from(asked.call.params[0], "id"));
        return engine.allocation(asked.call.caller, id);
    }();
    if (!told) return std::move(answer)(std::unexpected(told.error()));
    if (!asked.query.include_history) return with_content(asked, told->id, tell_allocation(*told), std::move(answer));
    auto with_history = [asked, record = tell_allocation(*told), id = told->id, owner = told->owner, device_id = told->device_id,
                         answer = std::move(answer)](Result<engine::AllocationHistory> history) mutable {
        if (!history) return std::move(answer)(std::unexpected(history.error()));
        record.history.emplace();
        for (engine::EventTold& event : history->events) {
            event.whose.owner = owner;
            if (event.whose.device_id.empty()) event.whose.device_id = device_id;
            record.history->push_back(tell_event(event));
        }
        record.history_complete = history->complete;
        record.history_omitted = history->omitted;
        with_content(asked, id, std::move(record), std::move(answer));
    };
    engine.events().history_of(asked.call.caller, told->id, history_events_max, std::move(with_history));
}

void allocate(Asked<Nothing, AllocateRequest> asked, Answer<AllocationMade> answer) {
    const AllocateRequest& body = asked.body;
    const AllocateHereRequest rest{body.size_bytes, body.allocation_type, body.alignment,       body.purpose,  body.persistent,
                                   body.shareable,  body.lease_seconds,   body.timeout_seconds, body.priority, body.owner};
    allocate_on(asked.call, rest, body.device_id.value_or(std::string()), std::move(answer));
}

void allocate_here(Asked<Nothing, AllocateHereRequest> asked, Answer<AllocationMade> answer) {
    allocate_on(asked.call, asked.body, asked.call.params[0], std::move(answer));
}

void free_allocation(Asked<FreeQuery, Nothing> asked, Answer<Freed> answer) {
    engine::Engine& engine = asked.call.engine();
    const auto told = [&]() -> Result<report::AllocationTold> {
        TRY(const AllocationId id, allocation_from(asked.call.params[0], "id"));
        return engine.allocation(asked.call.caller, id);
    }();
    if (!told) return std::move(answer)(std::unexpected(told.error()));
    const auto contested = std::make_shared<ContestedAnswer<Freed>>(std::move(answer));
    engine.free(FreeCommand{asked.call.caller, told->id}, asked.query.force, [contested](Result<engine::Freed> result) {
        auto first = contested->take();
        if (first && result) std::move (*first)(tell_freed(*result));
        if (first && !result) std::move (*first)(std::unexpected(result.error()));
    });
    if (asked.query.wait_for_completion) return;
    if (auto first = contested->take()) std::move(*first).accepted(tell_allocation(*told), url_of(told->id));
}

Result<Allocation> renew_lease(const Asked<Nothing, LeaseRequest>& asked) {
    TRY(const AllocationId id, allocation_from(asked.call.params[0], "id"));
    TRY(const report::AllocationTold told, asked.call.engine().renew_lease({asked.call.caller, id, asked.body.lease_seconds}));
    return tell_allocation(told);
}

void clear(Asked<Nothing, ClearRequest> asked, Answer<Cleared> answer) {
    auto request = clear_request(asked.call, asked.body);
    if (!request) return std::move(answer)(std::unexpected(request.error()));
    asked.call.engine().clear(*std::move(request), cleared_to(std::move(answer)));
}

void clear_device(Asked<Nothing, ClearDeviceRequest> asked, Answer<Cleared> answer) {
    engine::ClearRequest request;
    request.caller = asked.call.caller;
    request.device_id = asked.call.params[0];
    request.fill_value = static_cast<u8>(asked.body.fill_value);
    asked.call.engine().clear(std::move(request), cleared_to(std::move(answer)));
}

void copy(Asked<Nothing, CopyRequest> asked, Answer<Moved> answer) {
    const auto request = copy_request(asked.call, asked.body);
    if (!request) return std::move(answer)(std::unexpected(request.error()));
    asked.call.engine().copy(*request, [answer = std::move(answer)](Result<engine::Moved> result) mutable {
        if (result)
            std::move(answer)(tell_moved(result->bytes, result->duration_ns, result->limit_bytes_per_second));
        else
            std::move(answer)(std::unexpected(result.error()));
    });
}
}  // namespace vramd::api
