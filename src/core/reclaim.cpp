#include "core/reclaim.hpp"

#include <algorithm>

#include "core/decide.hpp"
#include "core/model/eviction.hpp"

namespace vramd::core {
namespace {
bool has(std::span<const u64> sorted, u64 value) { return std::ranges::binary_search(sorted, value); }

u64 touched_wall_ns(const State& state, const model::Copy& copy) {
    return std::max(copy.loaded_wall_ns, state.books.allocation(copy.allocation)->row.accessed_wall_ns);
}
u64 idle_ns(const State& state, const model::Copy& copy, const ReclaimScope& scope) {
    return scope.now_wall_ns - std::min(scope.now_wall_ns, touched_wall_ns(state, copy));
}

/// Copies of models on the device in the order of their turns.
std::vector<const model::Copy*> in_turn(const State& state, const ReclaimScope& scope) {
    std::vector<const model::Copy*> list;
    const auto add = [&](const model::Copy& copy) {
        const bool cached_only = scope.reach == ReclaimReach::cache_only || scope.reach == ReclaimReach::cache;
        const bool reached = copy.tier == ModelTier::ram || (!cached_only && idle_ns(state, copy, scope) >= scope.idle_min_ns);
        if (copy.device == scope.device && copy.state == ModelState::resident && reached) list.push_back(&copy);
    };
    for (const u64 serial : scope.copies)
        if (const model::Copy* copy = state.catalogue.copy(serial)) add(*copy);
    if (!scope.copies.empty()) return list;
    for (const auto& [serial, copy] : state.catalogue.copies()) add(copy);
    const auto resident = [&state](const model::Copy* copy) {
        const memory::AllocationRow& row = state.books.allocation(copy->allocation)->row;
        return model::Resident{.serial = row.id.serial,
                               .size_bytes = row.granted_bytes,
                               .loaded_wall_ns = copy->loaded_wall_ns,
                               .touched_wall_ns = touched_wall_ns(state, *copy),
                               .load_ns = copy->load_ns};
    };
    const EvictionOrder order = state.catalogue.order();
    std::ranges::sort(list, [&](const model::Copy* a, const model::Copy* b) {
        if (a->tier != b->tier) return a->tier == ModelTier::ram;
        return model::goes_before(order, resident(a), resident(b), scope.now_wall_ns);
    });
    return list;
}

bool must_stay(const State& state, const ReclaimScope& scope, const model::Copy& copy) {
    if (copy.pinned || has(scope.in_use, copy.allocation.serial) || !state.transfers.of(copy.allocation.serial).empty()) return true;
    // Of what the cache keeps, nothing that a load waits to be made from goes for another load: they would undo one another for ever.
    if (scope.reach == ReclaimReach::cache_only && !state.catalogue.waiting_for_model(copy.model).empty()) return true;
    // Another is being made from it.
    for (const model::Copy* other : state.catalogue.copies_of(copy.model))
        if (other->state == ModelState::loading) return true;
    return std::ranges::any_of(state.catalogue.model(copy.model)->names,
                               [&](const std::string& name) { return std::ranges::binary_search(scope.preserve, name); });
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
    const bool blocks_too = scope.reach != ReclaimReach::models_only && scope.reach != ReclaimReach::cache_only;
    if (blocks_too) take_empty_blocks(state, scope, wanted_bytes, plan);
    if (scope.reach == ReclaimReach::empty_blocks || plan.bytes >= wanted_bytes) return plan;
    std::vector<u64> sizes;  // Of the copies.
    for (const model::Copy* copy : in_turn(state, scope)) {
        if (plan.bytes >= wanted_bytes) break;
        if (must_stay(state, scope, *copy)) {
            plan.passed_over += 1;
            continue;
        }
        plan.copies.push_back(copy->allocation.serial);
        sizes.push_back(state.books.block(state.books.allocation(copy->allocation)->row.block)->row.size_bytes);
        plan.bytes += sizes.back();
    }
    // The last one was needed; what it makes up for stays, the most missed first.
    for (std::size_t i = sizes.size(); i-- > 0;) {
        if (plan.bytes < wanted_bytes || plan.bytes - sizes[i] < wanted_bytes) continue;
        plan.bytes -= sizes[i];
        plan.copies.erase(plan.copies.begin() + static_cast<std::ptrdiff_t>(i));
    }
    return plan;
}

void reclaim(const State& state, Decision& decision, const ReclaimPlan& plan) {
    for (const BlockKey key : plan.blocks) release_block(decision, key);
    for (const u64 serial : plan.copies) {
        const model::Copy& copy = *state.catalogue.copy(serial);
        decision.evicted.push_back({copy.device, state.books.block(state.books.allocation(copy.allocation)->row.block)->row.size_bytes});
        end_copy(state, decision, copy, Code::insufficient_memory);
    }
    decision.freed_bytes += plan.bytes;
    decision.passed_over += plan.passed_over;
}

u64 excess_bytes(const State& state, u16 device, u64 down_to_bytes) {
    const memory::DeviceSums& sums = state.books.sums(device);
    const u64 staying = sums.committed - sums.returning() - state.books.unwanted_bytes(device);
    return staying > down_to_bytes ? staying - down_to_bytes : 0;
}

namespace {
/// How much is to go ahead of need where so many more bytes come.
u64 beyond_marks(const State& state, u16 device, u64 size_bytes) {
    const u64 coming = round_up(size_bytes, state.books.devices()[device].granule_bytes);
    return model::watermark(excess_bytes(state, device, 0) + coming, state.books.usable_bytes(device), state.catalogue.marks());
}
}  // namespace

bool make_room(const State& state, Decision& decision, const ReclaimScope& scope, u64 size_bytes, Ahead ahead) {
    const u64 usable = state.books.usable_bytes(scope.device);
    const u64 granule = state.books.devices()[scope.device].granule_bytes;
    if (size_bytes > round_down(usable, granule)) return false;
    const u64 needed = excess_bytes(state, scope.device, usable - round_up(size_bytes, granule));
    const u64 wanted = ahead == Ahead::of_need ? std::max(needed, beyond_marks(state, scope.device, size_bytes)) : needed;
    const ReclaimPlan plan = plan_reclaim(state, scope, wanted);
    if (plan.bytes < needed) return false;
    reclaim(state, decision, plan);
    decision.freed_bytes = 0;  // Of the request nothing is freed.
    decision.again_after_release = true;
    return true;
}

void keep_marks(const State& state, Decision& decision, const ReclaimScope& scope, u64 size_bytes) {
    reclaim(state, decision, plan_reclaim(state, scope, beyond_marks(state, scope.device, size_bytes)));
    decision.freed_bytes = 0;  // Of the request nothing is freed.
}
}  // namespace vramd::core
