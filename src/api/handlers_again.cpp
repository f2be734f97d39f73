/// Requests that come again after the core that carried them out is gone: their answers, made anew of what the change led to.
#include "api/handlers.hpp"
#include "api/tell.hpp"
#include "base/clock.hpp"

namespace vramd::api {
namespace {
DeviceAfter device_now(const Call& call, const std::string& device_id) {
    const auto told = call.engine().device(device_id);
    if (told) return tell_after(told->books);
    DeviceAfter gone;
    gone.device_id = device_id;
    return gone;
}

/// What a defragmentation or an optimize came to, or that it still runs.
template <class T>
void upkeep_again(const Call& call, const engine::KeyTold& used, T (*tell)(const report::UpkeepProgress&), Answer<T> answer) {
    const auto id = id_from<OperationTag>(used.subject);
    const auto told = id ? call.engine().operation(call.caller, *id) : std::unexpected(made_before_error(used));
    if (!told || !told->upkeep) return std::move(answer)(std::unexpected(made_before_error(used)));
    if (told->state == OperationState::running)
        return std::move(answer).accepted(tell_operation(*told, read_clocks().wall_ns), "/api/operations/" + used.subject);
    std::move(answer)(tell(*told->upkeep));
}
}  // namespace

/// The allocation, if it is still there.
template <>
void answer_again(const Call& call, const engine::KeyTold& used, Answer<AllocationMade> answer) {
    const u64 begun_ns = monotonic_ns();
    const auto id = id_from<AllocationTag>(used.subject);
    const auto told = id ? call.engine().allocation(call.caller, *id) : std::unexpected(made_before_error(used));
    if (!told) {
        Error gone = made_before_error(used);
        gone.detail += " It is not there any more.";
        return std::move(answer)(std::unexpected(std::move(gone)));
    }
    if (told->status == AllocationStatus::pending)
        return std::move(answer)(
            refuse(Code::conflict, "Idempotency-Key", "The first request with this Idempotency-Key is still running."));
    AllocationMade made;
    static_cast<Allocation&>(made) = tell_allocation(*told);
    made.device_after = device_now(call, made.device_id);
    made.performance = tell_total(monotonic_ns() - begun_ns);
    std::move(answer).at(made, "/api/memory/allocation/" + made.id);
}

/// What was given back then, and the device as it is now.
template <>
void answer_again(const Call& call, const engine::KeyTold& used, Answer<Freed> answer) {
    const u64 begun_ns = monotonic_ns();
    Freed freed;
    freed.freed_bytes = used.bytes;
    freed.device_after = device_now(call, used.device_id);
    freed.performance = tell_total(monotonic_ns() - begun_ns);
    std::move(answer)(freed);
}

/// The model, or the load that still runs.
template <>
void answer_again(const Call& call, const engine::KeyTold& used, Answer<Model> answer) {
    engine::Engine& engine = call.engine();
    const auto id = id_from<OperationTag>(used.subject);
    const auto told = id ? engine.operation(call.caller, *id) : std::unexpected(made_before_error(used));
    if (told && told->state == OperationState::running)
        return std::move(answer).accepted(tell_operation(*told, read_clocks().wall_ns), "/api/operations/" + used.subject);
    const auto model = told ? engine.model(told->request.name) : std::unexpected(made_before_error(used));
    if (!model) return std::move(answer)(std::unexpected(made_before_error(used)));
    std::move(answer)(tell_model(*model));
}

/// The transfer, as far as it is.
template <>
void answer_again(const Call& call, const engine::KeyTold& used, Answer<Transfer> answer) {
    const auto id = id_from<TransferTag>(used.subject);
    const auto told = id ? call.engine().read_transfer(call.caller, *id) : std::unexpected(made_before_error(used));
    if (!told) return std::move(answer)(std::unexpected(made_before_error(used)));
    const std::string url = "/api/memory/transfer/" + used.subject;
    const bool open = told->state == TransferState::queued || told->state == TransferState::running;
    if (open)
        std::move(answer).accepted(tell_transfer(*told), url);
    else if (told->error)
        std::move(answer)(std::unexpected(*told->error));
    else
        std::move(answer).at(tell_transfer(*told), url);
}

template <>
void answer_again(const Call& call, const engine::KeyTold& used, Answer<Defragmentation> answer) {
    upkeep_again(call, used, &tell_defragmentation, std::move(answer));
}

template <>
void answer_again(const Call& call, const engine::KeyTold& used, Answer<Optimization> answer) {
    upkeep_again(call, used, &tell_optimization, std::move(answer));
}
}  // namespace vramd::api
