/// Unloading models and the RAM cache: what is not needed on its device any more stays where the cache is, as long as that has room.
#include <algorithm>

#include "core/decide.hpp"

namespace vramd::core {
namespace {
/// Why a copy cannot go now, if it cannot.
std::optional<Error> why_used(const State& state, const model::Copy& copy, std::span<const u64> in_use) {
    const std::string& name = state.catalogue.model(copy.model)->names.front();
    if (const auto transfers = state.transfers.of(copy.allocation.serial); !transfers.empty())
        return Error{
            Code::leased, "name", 0, 0,
            "The model " + name + " is read by the transfer " + to_text(transfers.front()->plan.id) + "; wait for its end or cancel it."};
    if (std::ranges::binary_search(in_use, copy.allocation.serial))
        return Error{Code::leased, "name", 0, 0, "The model " + name + " is being read; try again when that has ended."};
    for (const model::Copy* other : state.catalogue.copies_of(copy.model))
        if (other->state == ModelState::loading)
            return Error{Code::conflict, "name", 0, 0,
                         "The model " + name + " is being loaded; cancel operation " + to_text(other->operation) + " instead."};
    return std::nullopt;
}

u64 granted_bytes(const State& state, const model::Copy& copy) { return state.books.allocation(copy.allocation)->row.granted_bytes; }

/// Whether the copy may stay in the cache; others that only the cache keeps make room for it.
bool keep_cached(const State& state, Decision& decision, const UnloadModelCommand& command, const model::Copy& copy, Moment now) {
    const auto& cache = state.catalogue.cache();
    const u64 bytes = granted_bytes(state, copy);
    if (command.cached == UnloadModelCommand::Cached::drop || !cache || cache->device != copy.device || bytes > cache->max_bytes)
        return false;
    const u64 wanted = excess_cached_bytes(state, cache->max_bytes - bytes);
    const ReclaimPlan plan =
        plan_reclaim(state, {cache->device, ReclaimReach::cache_only, {}, {}, command.in_use, {}, now.wall_ns}, wanted);
    if (plan.bytes < wanted) return false;
    const u64 freed_bytes = decision.freed_bytes;
    reclaim(state, decision, plan);
    decision.freed_bytes = freed_bytes;  // Of this model nothing is freed.
    return true;
}
}  // namespace

u64 excess_cached_bytes(const State& state, u64 down_to_bytes) {
    u64 cached = 0;
    for (const auto& [serial, copy] : state.catalogue.copies())
        if (copy.tier == ModelTier::ram) cached += granted_bytes(state, copy);
    return cached > down_to_bytes ? cached - down_to_bytes : 0;
}

void end_copy(const State& state, Decision& decision, const model::Copy& copy, Code reason) {
    decision.events.push_back(ModelGone{state.catalogue.model(copy.model)->id, copy.allocation, copy.device});
    end_allocation(state, decision, *state.books.allocation(copy.allocation), AllocationFreed{copy.allocation, reason});
}

Result<Decision> decide_one(const State& state, const UnloadModelCommand& command, Moment now) {
    if (!command.device_id.empty() && !state.books.device_named(command.device_id)) return no_device(state.books, command.device_id);
    const model::Model* model = state.catalogue.model_named(command.name);
    if (model == nullptr) return not_found("model", command.name);
    const auto device = command.device_id.empty() ? std::nullopt : state.books.device_named(command.device_id);
    std::vector<const model::Copy*> going;
    for (const model::Copy* copy : state.catalogue.copies_of(model->id.serial))
        if (copy->tier == ModelTier::device && (!device || copy->device == *device)) going.push_back(copy);
    if (going.empty() && device)
        return refuse(Code::not_found, "model", "There is no model " + command.name + " on the device " + command.device_id + ".");
    if (going.empty())
        return refuse(Code::not_found, "model",
                      "The model " + command.name + " is loaded on no device; the RAM cache keeps it: DELETE /api/model/cache/" +
                          command.name + " gives that up.");
    for (const model::Copy* copy : state.catalogue.copies_of(model->id.serial))
        if (copy->state == ModelState::loading)
            return refuse(Code::conflict, "name",
                          "The model " + command.name + " is being loaded; cancel operation " + to_text(copy->operation) + " instead.");
    Decision decision;
    if (model->names.size() > 1) {  // Others know the same memory by another name.
        const auto copies = state.catalogue.copies_of(model->id.serial);
        const auto on_devices = std::ranges::count(copies, ModelTier::device, &model::Copy::tier);
        if (std::cmp_less(going.size(), on_devices))
            return refuse(Code::conflict, "name",
                          "The model " + command.name +
                              " is loaded on other devices too, and others know it by other names: which of "
                              "them need it on " +
                              command.device_id + " is not known. Unload it without a device.");
        decision.events.push_back(ModelUnnamed{model->id, command.name});
        return decision;
    }
    for (const model::Copy* copy : going) {
        decision.allocation = copy->allocation;
        if (keep_cached(state, decision, command, *copy, now)) {
            decision.events.push_back(ModelTiered{model->id, copy->allocation, copy->device, ModelTier::ram, false});
            continue;
        }
        if (auto used = why_used(state, *copy, command.in_use)) return std::unexpected(*std::move(used));
        decision.freed_bytes += granted_bytes(state, *copy);
        end_copy(state, decision, *copy, Code::cancelled);
    }
    if (command.cached == UnloadModelCommand::Cached::keep) return decision;
    const auto copies = state.catalogue.copies_of(model->id.serial);
    if (std::cmp_less(going.size(), std::ranges::count(copies, ModelTier::device, &model::Copy::tier))) return decision;
    for (const model::Copy* copy : copies) {  // Loaded nowhere any more: what the cache keeps of it goes too.
        if (copy->tier != ModelTier::ram) continue;
        if (auto used = why_used(state, *copy, command.in_use)) return std::unexpected(*std::move(used));
        decision.freed_bytes += granted_bytes(state, *copy);
        end_copy(state, decision, *copy, Code::cancelled);
    }
    return decision;
}

Result<Decision> decide_one(const State& state, const UncacheCommand& command, Moment) {
    const model::Model* named = command.name.empty() ? nullptr : state.catalogue.model_named(command.name);
    if (named == nullptr && !command.name.empty()) return not_found("model", command.name);
    Decision decision;
    for (const auto& [serial, copy] : state.catalogue.copies()) {
        if (named != nullptr && copy.model != named->id.serial) continue;
        const bool here = state.catalogue.cache() && copy.device == state.catalogue.cache()->device;
        if (copy.tier == ModelTier::device) {
            if (named != nullptr && here)
                return refuse(Code::conflict, "name",
                              "The model " + command.name + " is loaded on " + state.books.devices()[copy.device].id +
                                  ", where the RAM cache's copy is the same memory; unload it instead.");
            continue;
        }
        if (auto used = why_used(state, copy, command.in_use)) {
            if (named != nullptr) return std::unexpected(*std::move(used));
            decision.passed_over += 1;
            continue;
        }
        decision.allocation = copy.allocation;
        decision.freed_bytes += granted_bytes(state, copy);
        end_copy(state, decision, copy, Code::cancelled);
    }
    if (named != nullptr && decision.events.empty())
        return refuse(Code::not_found, "model", "The RAM cache has no copy of the model " + command.name + ".");
    return decision;
}

Result<Decision> decide_one(const State& state, const SetCacheCommand& command, Moment) {
    const auto device = state.books.device_named(command.device_id);
    if (!device) return no_device(state.books, command.device_id);
    Decision decision;
    const auto& cache = state.catalogue.cache();
    if (cache && cache->device == *device && cache->max_bytes == command.max_bytes && cache->order == command.order &&
        cache->marks == command.marks)
        return decision;
    // What the cache kept elsewhere, or beyond its new bound, counts as loaded: nobody's memory goes by a change of the configuration.
    u64 kept = 0;
    for (const auto& [serial, copy] : state.catalogue.copies()) {
        if (copy.tier != ModelTier::ram) continue;
        const u64 bytes = granted_bytes(state, copy);
        if (copy.device == *device && kept + bytes <= command.max_bytes)
            kept += bytes;
        else
            decision.events.push_back(
                ModelTiered{state.catalogue.model(copy.model)->id, copy.allocation, copy.device, ModelTier::device, false});
    }
    decision.events.push_back(CacheSet{*device, command.max_bytes, command.order, command.marks});
    return decision;
}
}  // namespace vramd::core
