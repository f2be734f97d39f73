#include "api/handlers.hpp"
#include "api/tell.hpp"
#include "base/clock.hpp"
#include "base/random.hpp"

namespace vramd::api {
namespace {
UpkeepCommand command_for(const Call& call, OperationKind kind) {
    UpkeepCommand command;
    command.caller = call.caller;
    if (!call.params.empty()) command.device_id = call.params[0];
    command.request.kind = kind;
    command.operation_secret = random_secret();
    return command;
}

UpkeepCommand command_of(const Call& call, const DefragmentRequest& body) {
    UpkeepCommand command = command_for(call, OperationKind::defragment);
    command.request.actions = {UpkeepAction::defragment};
    command.request.strategy = body.strategy;
    command.request.time_limit_ns = body.time_limit_ms.value_or(0) * ns_per_ms;
    command.request.target_fragmentation_hundredths = body.target_fragmentation_percentage.value_or(Percentage{}).units;
    return command;
}

Result<UpkeepCommand> command_of(const Call& call, const OptimizeRequest& body) {
    UpkeepCommand command = command_for(call, OperationKind::optimize);
    command.request.actions = body.operations;
    if (body.operations.empty()) {
        command.request.actions = {UpkeepAction::garbage_collect, UpkeepAction::defragment, UpkeepAction::compact};
        if (body.target_usage_percentage) command.request.actions.push_back(UpkeepAction::cache);
    }
    command.request.time_limit_ns = body.time_limit_ms.value_or(0) * ns_per_ms;
    if (body.target_usage_percentage) command.request.target_usage_hundredths = body.target_usage_percentage->units;
    command.request.preserve_models = body.preserve_models;
    for (const std::string& text : body.preserve_allocation_ids) {
        TRY(const AllocationId id, allocation_from(text, "/preserveAllocationIds"));
        command.preserve.push_back(id);
    }
    return command;
}

/// What the operation came to, as the resource that was asked for.
template <class T>
Result<T> outcome_of(const Result<report::OperationTold>& ended, T (*tell)(const report::UpkeepProgress&)) {
    if (!ended) return std::unexpected(ended.error());
    if (ended->error) return std::unexpected(*ended->error);
    if (ended->state == OperationState::cancelled) return refuse(Code::cancelled, "operation", "The operation was cancelled.");
    return tell(*ended->upkeep);
}

enum class Course : u8 { tried, awaited, begun };
Course course_of(bool dry_run, bool wait) {
    if (dry_run) return Course::tried;
    return wait ? Course::awaited : Course::begun;
}

template <class T>
void run(const Call& call, UpkeepCommand command, Course course, T (*tell)(const report::UpkeepProgress&), Answer<T> answer) {
    engine::Engine& engine = call.engine();
    if (course == Course::tried) {
        engine.try_upkeep(std::move(command), [answer = std::move(answer), tell](const Result<report::UpkeepProgress>& tried) mutable {
            if (!tried) return std::move(answer)(std::unexpected(tried.error()));
            T told = tell(*tried);
            told.dry_run = true;
            std::move(answer)(told);
        });
        return;
    }
    const auto contested = std::make_shared<ContestedAnswer<T>>(std::move(answer));
    engine::Done<report::OperationTold> ended;
    if (course == Course::awaited)
        ended = [contested, tell](Result<report::OperationTold> told) {
            if (auto first = contested->take()) std::move (*first)(outcome_of(told, tell));
        };
    const auto id = engine.upkeep(std::move(command), std::move(ended));
    if (id && course == Course::awaited) return;
    auto first = contested->take();
    if (!first) return;
    const auto told = id ? engine.operation(call.caller, *id) : std::unexpected(id.error());
    if (told)
        std::move(*first).accepted(tell_operation(*told, read_clocks().wall_ns), "/api/operations/" + to_text(*id));
    else
        std::move (*first)(std::unexpected(told.error()));
}
}  // namespace

void defragment(Asked<Nothing, DefragmentRequest> asked, Answer<Defragmentation> answer) {
    const DefragmentRequest& body = asked.body;
    run(asked.call, command_of(asked.call, body), course_of(body.dry_run, body.wait_for_completion), &tell_defragmentation,
        std::move(answer));
}

void optimize(Asked<Nothing, OptimizeRequest> asked, Answer<Optimization> answer) {
    const OptimizeRequest& body = asked.body;
    auto command = command_of(asked.call, body);
    if (!command) return std::move(answer)(std::unexpected(command.error()));
    run(asked.call, *std::move(command), course_of(body.dry_run, body.wait_for_completion), &tell_optimization, std::move(answer));
}
}  // namespace vramd::api
