#include "api/tell.hpp"
#include "base/clock.hpp"

namespace vramd::api {
namespace {
u64 per_second(u64 bytes, u64 duration_ns) { return duration_ns == 0 ? 0 : static_cast<u64>(u128{bytes} * ns_per_second / duration_ns); }
}  // namespace

Model tell_model(const report::ModelTold& told) {
    Model model;
    model.id = to_text(told.id);
    if (!told.names.empty()) model.name = told.names.front();
    model.names = told.names;
    model.path = told.path;
    model.type = told.type;
    model.format = told.format;
    model.state = told.state;
    const report::ModelPlaceTold& best = told.best();
    model.predicted_bytes = best.predicted_bytes;
    model.size_bytes = best.size_bytes;
    model.tensor_bytes = told.tensor_bytes;
    model.tensor_count = told.tensor_count;
    if (told.estimated_size_mb != 0) model.estimated_size_mb = told.estimated_size_mb;
    model.attached_clients = told.attached_clients;
    for (const report::ModelPlaceTold& place : told.places) {
        model.pinned = model.pinned || place.pinned;
        model.places.push_back({place.device_id, place.tier, place.state, to_text(place.allocation), place.size_bytes});
    }
    model.operation_id = to_text(best.operation);
    if (best.loaded_wall_ns != 0) {
        model.loaded_at = time_of_ns(best.loaded_wall_ns);
        model.load_ms = milliseconds_of_ns(best.load_ns);
        model.load_bytes_per_second = per_second(best.size_bytes, best.load_ns);
    }
    return model;
}

Operation tell_operation(const report::OperationTold& told, u64 now_wall_ns) {
    Operation operation;
    operation.id = to_text(told.id);
    operation.kind = told.kind;
    operation.state = told.state;
    operation.owner = told.owner;
    operation.stage = told.stage;
    operation.model = told.request.name;
    operation.path = told.request.path;
    operation.done_bytes = told.done_bytes;
    operation.total_bytes = told.total_bytes;
    operation.progress_percentage =
        told.state == OperationState::succeeded ? Percentage{Percentage::units_max} : percentage_of(told.done_bytes, told.total_bytes);
    operation.started_at = time_of_ns(told.started_wall_ns);
    if (told.ended_wall_ns != 0) operation.ended_at = time_of_ns(told.ended_wall_ns);
    const u64 until_ns = told.ended_wall_ns != 0 ? told.ended_wall_ns : now_wall_ns;
    const u64 elapsed_ns = until_ns > told.started_wall_ns ? until_ns - told.started_wall_ns : 0;
    if (told.done_bytes > 0 && elapsed_ns > 0) operation.bytes_per_second = per_second(told.done_bytes, elapsed_ns);
    if (told.state == OperationState::running && told.done_bytes > 0 && told.total_bytes >= told.done_bytes)
        operation.eta_ms = milliseconds_of_ns(static_cast<u64>(u128{elapsed_ns} * (told.total_bytes - told.done_bytes) / told.done_bytes));
    if (told.error) operation.problem = problem_of(*told.error, {});
    if (told.upkeep && told.kind == OperationKind::defragment) operation.defragmentation = tell_defragmentation(*told.upkeep);
    if (told.upkeep && told.kind == OperationKind::optimize) operation.optimization = tell_optimization(*told.upkeep);
    return operation;
}

AvailableModel tell_available(const engine::AvailableModel& told) {
    AvailableModel model;
    model.path = told.path;
    model.folder = told.folder;
    model.file_bytes = told.file_bytes;
    if (told.inspection) {
        model.format = told.inspection->format;
        model.predicted_bytes = told.predicted_bytes;
        model.tensor_bytes = told.inspection->tensor_bytes;
        model.tensor_count = told.inspection->tensors.size();
    }
    model.loaded_as = told.loaded_as;
    if (told.error) model.problem = problem_of(*told.error, {});
    return model;
}

System tell_system(const engine::SystemTold& told, const Caller& caller) {
    System system;
    system.version = told.version;
    system.keeper_pid = static_cast<u32>(told.keeper_pid);
    system.core_pid = static_cast<u32>(told.core_pid);
    system.generation = told.generation;
    system.ledger_sequence = told.ledger_sequence;
    system.started_at = time_of_ns(told.started_wall_ns);
    system.core_started_at = time_of_ns(told.core_started_wall_ns);
    system.boot_id = told.boot_id;
    system.read_only = told.read_only;
    if (told.read_only) system.read_only_reason = told.read_only_reason;
    for (const engine::WorkerTold& worker : told.workers)
        system.workers.push_back({static_cast<u32>(worker.pid), worker.job, to_text(worker.operation)});
    const engine::RecoveryTold& recovery = told.recovery;
    system.recovery = {recovery.replayed_events,
                       milliseconds_of_ns(recovery.replay_ns),
                       recovery.adopted_blocks,
                       milliseconds_of_ns(recovery.adopt_ns),
                       milliseconds_of_ns(recovery.total_ns),
                       recovery.undone,
                       recovery.findings};
    system.owner = caller.owner;
    system.role = caller.role;
    return system;
}

Audit tell_audit(const engine::AuditTold& told, const Caller& caller) {
    Audit audit{told.ok, told.checked, told.findings.size(), std::nullopt, hex_text(told.state_hash), told.ledger_sequence};
    if (caller.role == Role::admin) audit.findings = told.findings;
    return audit;
}
}  // namespace vramd::api
