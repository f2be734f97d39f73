#include "core/reclaim.hpp"

#include <algorithm>

#include "core/decide.hpp"

namespace vramd::core {
namespace {
bool has(std::span<const u64> sorted, u64 value) { return std::ranges::binary_search(sorted, value); }

/// Models on the device in the order of their turns.
std::vector<const model::Model*> in_turn(const State& state, const ReclaimScope& scope) {
    std::vector<const model::Model*> list;
    const auto add = [&](const model::Model& model) {
        if (model.device == scope.device && model.state == ModelState::resident) list.push_back(&model);
    };
    for (const u64 serial : scope.models)
        if (const model::Model* model = state.catalogue.model(serial)) add(*model);
    if (!scope.models.empty()) return list;
    for (const auto& [serial, model] : state.catalogue.models()) add(model);
    std::ranges::stable_sort(list, {}, &model::Model::loaded_wall_ns);
    return list;
}

bool must_stay(const State& state, const ReclaimScope& scope, const model::Model& model) {
    if (model.request.pinned || has(scope.in_use, model.allocation.serial) || !state.transfers.of(model.allocation.serial).empty())
        return true;
    return std::ranges::any_of(model.names, [&](const std::string& name) { return std::ranges::binary_search(scope.preserve, name); });
}

void take_empty_blocks(const State& state, const ReclaimScope& scope, u64 wanted_bytes, ReclaimPlan& plan) {
    for (const BlockKey key : state.books.empty_blocks(scope.device)) {
        if (plan.bytes >= wanted_bytes) return;
        if (has(scope.frozen, key)) continue;
        plan.blocks.push_back(key);
        plan.bytes += state.books.block(key)->row.size_bytes;
    }
}
}  // namespace

ReclaimPlan plan_reclaim(const State& state, const ReclaimScope& scope, u64 wanted_bytes) {
    ReclaimPlan plan;
    if (scope.reach != ReclaimReach::models_only) take_empty_blocks(state, scope, wanted_bytes, plan);
    if (scope.reach == ReclaimReach::empty_blocks || plan.bytes >= wanted_bytes) return plan;
    for (const model::Model* model : in_turn(state, scope)) {
        if (plan.bytes >= wanted_bytes) break;
        if (must_stay(state, scope, *model)) {
            plan.passed_over += 1;
            continue;
        }
        plan.models.push_back(model->id.serial);
        plan.bytes += state.books.block(state.books.allocation(model->allocation)->row.block)->row.size_bytes;
    }
    return plan;
}

void reclaim(const State& state, Decision& decision, const ReclaimPlan& plan) {
    for (const BlockKey key : plan.blocks) release_block(decision, key);
    for (const u64 serial : plan.models) {
        const model::Model& model = *state.catalogue.model(serial);
        decision.events.push_back(ModelGone{model.id});
        end_allocation(state, decision, *state.books.allocation(model.allocation),
                       AllocationFreed{model.allocation, Code::insufficient_memory});
    }
    decision.freed_bytes += plan.bytes;
    decision.passed_over += plan.passed_over;
}

u64 excess_bytes(const State& state, u16 device, u64 down_to_bytes) {
    const memory::DeviceSums& sums = state.books.sums(device);
    const u64 staying = sums.committed - sums.zombie - state.books.unwanted_bytes(device);
    return staying > down_to_bytes ? staying - down_to_bytes : 0;
}

bool make_room(const State& state, Decision& decision, const ReclaimScope& scope, u64 size_bytes) {
    const u64 usable = state.books.usable_bytes(scope.device);
    const u64 granule = state.books.devices()[scope.device].granule_bytes;
    if (size_bytes > round_down(usable, granule)) return false;
    const u64 wanted = excess_bytes(state, scope.device, usable - round_up(size_bytes, granule));
    const ReclaimPlan plan = plan_reclaim(state, scope, wanted);
    if (plan.bytes < wanted) return false;
    reclaim(state, decision, plan);
    decision.freed_bytes = 0;  // Of the request nothing is freed.
    decision.again_after_release = true;
    return true;
}
}  // namespace vramd::core
