/// Unloading models until the pressure is below a target: a policy's plan under the lock, then a reclaim of its models per device, which
/// decides anew who may go.
#include <algorithm>

#include "engine/runner.hpp"

namespace vramd::engine {
namespace {
constexpr u64 look_again_ns = 2 * ns_per_ms;
constexpr u64 released_within_ns = 5 * ns_per_second;
}  // namespace

struct Runner::Optimizing {
    struct Task {
        std::size_t outcome = 0;  ///< Its row of the answer.
        u64 serial = 0;
        BlockKey block = 0;
    };
    OptimizeModelsRequest request;
    Done<OptimizedModels> done;
    u64 begun_ns = 0;
    u64 released_until_ns = 0;
    std::vector<Task> tasks;
    std::vector<u16> devices;  ///< In the order of the answer's.
    OptimizedModels answer;
};

Result<void> Runner::plan_models(Optimizing& work) {
    const OptimizeModelsRequest& request = work.request;
    const auto readings = read_devices();
    core::State copy;
    report::Surroundings around;
    std::vector<std::vector<u64>> unloads;
    {
        const Lock lock(lock_);
        if (!request.device_id.empty() && !state_.books.device_named(request.device_id))
            return core::no_device(state_.books, request.device_id);
        std::set<u64> excluded;
        for (const std::string& name : request.exclude) {
            const model::Model* model = state_.catalogue.model_named(name);
            if (model == nullptr) return refuse(Code::not_found, "/excludeModels", "There is no model " + name + ".");
            excluded.insert(model->id.serial);
        }
        around = surroundings(readings);
        model::EvictionBounds bounds = request.bounds;
        for (u16 i = 0; i < around.machine.size(); ++i) {
            const std::string& id = state_.books.devices()[i].id;
            if (!around.machine[i] || (!request.device_id.empty() && request.device_id != id)) continue;
            std::vector<model::Resident> models = report::residents(state_, i, around.in_use);
            for (model::Resident& model : models) model.excluded = excluded.contains(state_.catalogue.copy(model.serial)->model);
            const u64 target = request.target_level.value_or(model::default_target(request.policy));
            const model::Eviction plan =
                report::plan_eviction(state_, i, *around.machine[i], models, request.policy, target, bounds, around.now_wall_ns);
            bounds.models_max -= plan.unload.size();
            bounds.bytes_max -= plan.freed_bytes;
            DeviceOutcome outcome;
            outcome.device_id = id;
            outcome.target_level = target;
            outcome.before = outcome.after = report::outlook_of(state_, i, *around.machine[i]);
            work.answer.devices.push_back(std::move(outcome));
            work.devices.push_back(i);
            unloads.push_back(plan.unload);
            const auto add = [&](u64 serial, std::optional<model::Stays> stays) {
                const model::Model& model = *state_.catalogue.model(state_.catalogue.copy(serial)->model);
                const memory::AllocationRow& row = state_.books.allocation_by_serial(serial)->row;
                if (!stays) work.tasks.push_back({work.answer.models.size(), serial, row.block});
                work.answer.models.push_back({model.names.front(), id, row.granted_bytes, stays, {}});
            };
            for (const u64 serial : plan.unload) add(serial, std::nullopt);
            for (const auto& [serial, why] : plan.left) add(serial, why);
        }
        if (request.run == Run::dry) copy = state_;
    }
    if (request.run == Run::really) return {};
    for (std::size_t i = 0; i < work.devices.size(); ++i) {
        DeviceOutcome& outcome = work.answer.devices[i];
        outcome.freed_bytes =
            report::unload_on_copy(copy, work.devices[i], *around.machine[work.devices[i]], unloads[i], around.now_wall_ns, outcome.after);
    }
    return {};
}

void Runner::optimize_models(OptimizeModelsRequest request, Done<OptimizedModels> done) {
    auto work = std::make_shared<Optimizing>();
    work->request = std::move(request);
    work->done = std::move(done);
    work->begun_ns = ports_.clock().monotonic_ns;
    if (work->request.run == Run::dry)
        return aside([this, work = std::move(work)] {
            const auto planned = plan_models(*work);
            if (!planned) return work->done(std::unexpected(planned.error()));
            work->answer.duration_ns = ports_.clock().monotonic_ns - work->begun_ns;
            work->done(std::move(work->answer));
        });
    if (const auto planned = plan_models(*work); !planned) return work->done(std::unexpected(planned.error()));
    reclaim_planned(*work);
    work->released_until_ns = ports_.clock().monotonic_ns + released_within_ns;
    models_optimized(std::move(work));
}

/// One reclaim per device.
void Runner::reclaim_planned(Optimizing& work) {
    for (std::size_t i = 0; i < work.devices.size(); ++i) {
        DeviceOutcome& device = work.answer.devices[i];
        ReclaimCommand command;
        command.device = work.devices[i];
        command.wanted_bytes = number_max;
        command.reach = ReclaimReach::models_only;
        for (const Optimizing::Task& task : work.tasks)
            if (work.answer.models[task.outcome].device_id == device.device_id) command.copies.push_back(task.serial);
        if (command.copies.empty()) continue;
        const auto reclaimed = reclaim(std::move(command));
        if (reclaimed) device.freed_bytes += reclaimed->bytes;
        const Lock lock(lock_);
        for (const Optimizing::Task& task : work.tasks) {
            ModelOutcome& outcome = work.answer.models[task.outcome];
            if (outcome.device_id != device.device_id || state_.catalogue.copy(task.serial) == nullptr) continue;
            outcome.stays = model::Stays::in_use;
            outcome.detail = reclaimed ? "It came to be used, or pinned, meanwhile." : describe(reclaimed.error());
        }
    }
}

/// Answers once the blocks are really gone, so that `after` shows what can be had.
void Runner::models_optimized(std::shared_ptr<Optimizing> work) {
    bool releasing = false;
    {
        const Lock lock(lock_);
        for (const Optimizing::Task& task : work->tasks) {
            const memory::Block* block = state_.books.block(task.block);
            releasing = releasing || (block != nullptr && block->row.state == BlockState::releasing);
        }
        releasing = releasing && !stopping_;
    }
    const u64 now = ports_.clock().monotonic_ns;
    if (releasing && now < work->released_until_ns)
        return ports_.executor->post_at(now + look_again_ns,
                                        [this, work = std::move(work)]() mutable { models_optimized(std::move(work)); });
    const auto readings = read_devices();
    {
        const Lock lock(lock_);
        const report::Surroundings around = surroundings(readings);
        for (std::size_t i = 0; i < work->devices.size(); ++i)
            if (const auto& machine = around.machine[work->devices[i]])
                work->answer.devices[i].after = report::outlook_of(state_, work->devices[i], *machine);
    }
    work->answer.duration_ns = ports_.clock().monotonic_ns - work->begun_ns;
    work->done(std::move(work->answer));
}
}  // namespace vramd::engine
