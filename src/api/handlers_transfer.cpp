#include "api/handlers.hpp"
#include "api/paging.hpp"
#include "api/tell.hpp"
#include "base/clock.hpp"

namespace vramd::api {
namespace {
std::string url_of(TransferId id) { return "/api/memory/transfer/" + to_text(id); }

Result<TransferId> transfer_from(std::string_view text) {
    const auto id = id_from<TransferTag>(text);
    if (!id) return refuse(Code::not_found, "id", "There is no transfer " + quoted_text(text) + ", or it is not yours.");
    return *id;
}

Result<TransferCommand> command_of(const Call& call, const TransferRequest& body) {
    TransferCommand command;
    command.caller = call.caller;
    TRY(command.source, allocation_from(body.source_allocation_id, "/sourceAllocationId"));
    if (body.target_allocation_id) {
        TRY(command.target, allocation_from(*body.target_allocation_id, "/targetAllocationId"));
    }
    command.target_device_id = body.target_device_id.value_or(std::string());
    command.source_offset_bytes = body.source_offset_bytes;
    command.target_offset_bytes = body.target_offset_bytes;
    command.size_bytes = body.size_bytes;
    command.mode = body.mode;
    command.priority = body.priority;
    command.verify = body.verify;
    command.timeout_ns = body.timeout_seconds.value_or(0) * ns_per_second;
    return command;
}
}  // namespace

void transfer(Asked<Nothing, TransferRequest> asked, Answer<Transfer> answer) {
    auto command = command_of(asked.call, asked.body);
    if (!command) return std::move(answer)(std::unexpected(command.error()));
    const bool waits = asked.body.wait_for_completion;
    engine::Engine& engine = asked.call.engine();
    AllocateCommand room;  // What did not fit, for the figures and suggestions of the refusal.
    room.caller = asked.call.caller;
    room.device_id = command->target_device_id;
    const auto source = engine.allocation(asked.call.caller, command->source);
    room.size_bytes = command->size_bytes.value_or(source ? source->size_bytes : 1);
    auto done = [&engine, room, waits, answer = std::move(answer)](Result<report::TransferTold> result) mutable {
        if (!result && result.error().code == Code::insufficient_memory)
            std::move(answer).refuse(result.error(), engine.shortfall_of(room));
        else if (!result)
            std::move(answer)(std::unexpected(result.error()));
        else if (!waits)
            std::move(answer).accepted(tell_transfer(*result), url_of(result->plan.id));
        else if (result->error)
            std::move(answer)(std::unexpected(*result->error));
        else
            std::move(answer).at(tell_transfer(*result), url_of(result->plan.id));
    };
    engine.transfer(*std::move(command), waits ? engine::Engine::Until::ended : engine::Engine::Until::accepted, std::move(done));
}

Result<TransferList> list_transfers(const Asked<TransfersQuery, Nothing>& asked) {
    const TransfersQuery& query = asked.query;
    if (query.device_id) TRY_DO(asked.call.engine().known_device(*query.device_id));
    report::TransferFilter filter;
    filter.device_id = query.device_id.value_or(std::string());
    filter.owner = query.owner.value_or(std::string());
    filter.state = query.status;
    filter.mode = query.type;
    filter.limit = query.limit;
    TRY(filter.before_serial, cursor_number(query.cursor, filter.before_serial));
    const report::TransferPage page = asked.call.engine().transfers(asked.call.caller, filter);
    TransferList list;
    for (const report::TransferTold& told : page.items) list.items.push_back(tell_transfer(told));
    if (page.next_before_serial) list.next_cursor = "p" + std::to_string(*page.next_before_serial);
    return list;
}

Result<Transfer> read_transfer(const Plain& asked) {
    TRY(const TransferId id, transfer_from(asked.call.params[0]));
    TRY(const report::TransferTold told, asked.call.engine().read_transfer(asked.call.caller, id));
    return tell_transfer(told);
}

Result<Transfer> cancel_transfer(const Plain& asked) {
    TRY(const TransferId id, transfer_from(asked.call.params[0]));
    TRY(const report::TransferTold told, asked.call.engine().cancel_transfer({asked.call.caller, id}));
    return tell_transfer(told);
}
}  // namespace vramd::api
