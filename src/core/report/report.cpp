#include "core/report/report.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <map>

namespace vramd::report {
namespace {
void count_uncommitted(DeviceBooks& books) {
    if (books.uncommitted_bytes == 0) return;
    books.holes = 1;
    books.largest_free_bytes = books.uncommitted_bytes;
    books.hole_histogram[static_cast<std::size_t>(std::bit_width(books.uncommitted_bytes) - 1)] = 1;
}

void count_holes(DeviceBooks& books, const memory::SubAllocator& space, Detail detail) {
    const memory::SubAllocatorStats stats = space.stats();
    books.holes += stats.hole_count;
    books.largest_free_bytes = std::max(books.largest_free_bytes, stats.largest_free_bytes);
    if (detail == Detail::sums) return;
    const memory::HoleHistogram holes = space.hole_histogram();
    for (std::size_t i = 0; i < holes.counts.size(); ++i) books.hole_histogram[i] += holes.counts[i];
}
}  // namespace

DeviceBooks device_books(const core::State& state, u16 device, Detail detail) {
    const memory::DeviceSums& sums = state.books.sums(device);
    DeviceBooks told;
    told.device_id = state.books.devices()[device].id;
    told.total_bytes = state.books.devices()[device].capacity_bytes;
    told.live_bytes = sums.live;
    told.zombie_bytes = sums.zombie;
    told.reserved_bytes = state.books.reserved_bytes(device);
    told.free_bytes = state.books.free_bytes(device);
    told.uncommitted_bytes = state.books.uncommitted_bytes(device);
    told.blocks = sums.blocks;
    told.allocations = sums.allocations;
    count_uncommitted(told);
    for (const auto& [key, block] : state.books.blocks())
        if (block.row.device == device && block.space && block.row.state != BlockState::releasing) count_holes(told, *block.space, detail);
    told.largest_free_bytes = std::min(told.largest_free_bytes, told.free_bytes);  // A hole may be kept back by limits that came later.
    for (const auto& [serial, copy] : state.catalogue.copies())
        if (copy.device == device && copy.state == ModelState::resident && !copy.pinned)
            told.reclaimable_bytes += state.books.allocation(copy.allocation)->row.granted_bytes;
    return told;
}

AllocationTold allocation(const core::State& state, const memory::Allocation& allocation) {
    const memory::AllocationRow& row = allocation.row;
    const memory::Block& block = *state.books.block(row.block);
    AllocationTold told;
    told.id = row.id;
    told.device_id = state.books.devices()[block.row.device].id;
    told.size_bytes = row.size_bytes;
    told.granted_bytes = row.granted_bytes;
    told.alignment_bytes = u64{1} << row.alignment_log2;
    told.type = row.type;
    told.status = row.status;
    told.owner = state.books.name(row.owner);
    told.purpose = state.books.name(row.purpose);
    told.persistent = row.persistent;
    told.shareable = row.shareable;
    told.pinned = block.row.kind == BlockKind::pinned;
    told.block = row.block;
    told.offset_bytes = row.offset_bytes;
    told.created_wall_ns = row.created_wall_ns;
    told.accessed_wall_ns = row.accessed_wall_ns;
    told.access_count = row.access_count;
    told.lease_seconds = row.lease_seconds;
    told.lease_until_monotonic_ns = row.lease_until_monotonic_ns;
    if (const model::Model* model = state.catalogue.model(row.model)) told.model = model->names.front();
    return told;
}

AllocationPage allocations(const core::State& state, const Caller& caller, const AllocationFilter& filter) {
    AllocationPage page;
    const auto& all = state.books.allocations();
    for (auto it = std::make_reverse_iterator(all.lower_bound(filter.before_serial)); it != all.rend(); ++it) {
        const memory::Allocation& candidate = it->second;
        const memory::BlockRow& block = state.books.block(candidate.row.block)->row;
        if (!core::may_see(state, caller, candidate)) continue;
        if (!filter.device_id.empty() && state.books.devices()[block.device].id != filter.device_id) continue;
        if (!filter.owner.empty() && state.books.name(candidate.row.owner) != filter.owner) continue;
        if (filter.type && candidate.row.type != *filter.type) continue;
        if (filter.status && candidate.row.status != *filter.status) continue;
        if (page.items.size() == filter.limit) {
            page.next_before_serial = page.items.back().id.serial;
            break;
        }
        page.items.push_back(allocation(state, candidate));
    }
    return page;
}

ModelTold model(const core::State& state, const model::Model& model) {
    ModelTold told;
    told.id = model.id;
    told.names = model.names;
    told.path = model.request.path;
    told.type = model.request.type;
    told.format = model.inspection->format;
    std::vector<const model::Copy*> copies = state.catalogue.copies_of(model.id.serial);
    // First what can be used, then what is kept for use, then what came first.
    std::ranges::stable_sort(copies, {}, [](const model::Copy* copy) { return std::pair(copy->state, copy->tier); });
    std::ranges::stable_partition(copies, [](const model::Copy* copy) { return copy->state == ModelState::resident; });
    for (const model::Copy* copy : copies) {
        ModelPlaceTold place;
        place.device_id = state.books.devices()[copy->device].id;
        place.tier = copy->tier;
        place.state = copy->state;
        place.allocation = copy->allocation;
        const u64 granule = state.books.devices()[copy->device].granule_bytes;
        place.predicted_bytes = round_up(std::max<u64>(model.inspection->memory_bytes, 1), granule);
        place.size_bytes = state.books.allocation(copy->allocation)->row.granted_bytes;
        place.pinned = copy->pinned;
        place.operation = copy->operation;
        place.loaded_wall_ns = copy->loaded_wall_ns;
        place.load_ns = copy->load_ns;
        told.places.push_back(std::move(place));
    }
    const auto loaded = std::ranges::find_if(
        told.places, [](const ModelPlaceTold& place) { return place.tier == ModelTier::device && place.state == ModelState::resident; });
    const auto wanted = std::ranges::find(told.places, ModelTier::device, &ModelPlaceTold::tier);
    const bool waited_for = !state.catalogue.waiting_for_model(model.id.serial).empty();
    const bool cached = told.places.front().state == ModelState::resident;
    told.state = loaded != told.places.end()                            ? ModelState::resident
                 : wanted != told.places.end() || waited_for || !cached ? ModelState::loading
                                                                        : ModelState::cached;
    told.tensor_bytes = model.inspection->tensor_bytes;
    told.tensor_count = model.inspection->tensors.size();
    told.estimated_size_mb = model.request.estimated_size_mb;
    return told;
}

std::vector<ModelTold> models(const core::State& state) {
    std::vector<ModelTold> list;
    for (const auto& [serial, row] : state.catalogue.models()) list.push_back(model(state, row));
    std::reverse(list.begin(), list.end());
    return list;
}

UpkeepProgress upkeep(const core::State& state, const UpkeepRequest& request, std::vector<FreeFigures> before, UpkeepResult result) {
    UpkeepProgress told;
    told.request = request;
    for (const u16 device : request.devices) told.device_ids.push_back(state.books.devices()[device].id);
    told.before = std::move(before);
    told.result = std::move(result);
    for (const UpkeepActed& acted : told.result.actions) {
        told.moves += acted.moves;
        told.moved_bytes += acted.moved_bytes;
    }
    return told;
}

OperationTold operation(const core::State& state, const model::Operation& operation) {
    OperationTold told;
    told.id = operation.id;
    told.kind = operation.kind;
    told.state = operation.state;
    told.owner = operation.owner;
    told.request = operation.request;
    if (operation.state == OperationState::failed || operation.state == OperationState::cancelled) told.error = operation.error;
    told.started_wall_ns = operation.started_wall_ns;
    told.ended_wall_ns = operation.ended_wall_ns;
    const model::Model* model = state.catalogue.model(operation.model);
    told.total_bytes = operation.total_bytes;
    if (operation.is_upkeep()) {
        const model::Upkeep& row = operation.upkeep;
        told.upkeep = upkeep(state, row.request, row.before, row.result);
        told.upkeep->moves = row.moves;
        told.upkeep->moved_bytes = row.moved_bytes;
        told.done_bytes = std::min(row.moved_bytes, told.total_bytes);
    }
    if (operation.state != OperationState::running) {
        told.stage = "done";
        if (operation.state == OperationState::succeeded) told.done_bytes = told.total_bytes;
    } else if (operation.is_upkeep()) {
        const std::size_t over = operation.upkeep.result.actions.size();
        const std::vector<UpkeepAction>& actions = operation.upkeep.request.actions;
        told.stage = over < actions.size() ? name_of(actions[over]) : "done";
    } else if (model == nullptr) {
        told.stage = "inspect";
    } else {
        const model::Copy* copy = state.catalogue.copy_on(model->id.serial, operation.target);
        const bool first = copy == nullptr;  // What it is made from comes first, if that is on its way.
        if (first) copy = state.catalogue.copies_of(model->id.serial).front();
        const BlockKey block = state.books.allocation(copy->allocation)->row.block;
        const bool ready = state.books.block(block)->row.state == BlockState::ready && !(first && copy->state == ModelState::resident);
        told.stage = !ready ? "reserve" : first ? "cache" : "load";
    }
    return told;
}

namespace {
using UsageBy = std::map<std::string, OwnerUsage>;

void add(UsageBy& sums_by, const std::string& name, const memory::UseSums& sums) {
    OwnerUsage& told = sums_by[name];
    told.owner = name;
    told.live_bytes += sums.live;
    told.allocations += sums.allocations;
}

std::vector<OwnerUsage> largest_first(const UsageBy& sums_by) {
    std::vector<OwnerUsage> list;
    for (const auto& [name, told] : sums_by) list.push_back(told);
    std::ranges::stable_sort(list, std::greater{}, &OwnerUsage::live_bytes);
    return list;
}
}  // namespace

UsageTold usage(const core::State& state, const Caller& caller, std::optional<u16> device) {
    const memory::Books& books = state.books;
    UsageBy owners;
    UsageBy purposes;
    UsageBy models;
    for (const auto& [use, sums] : books.uses()) {
        if (device && use.device != *device) continue;
        add(owners, books.name(use.owner), sums);
        if (core::may_see(state, caller, use)) add(purposes, books.name(use.purpose), sums);
    }
    for (const auto& [serial, copy] : state.catalogue.copies()) {
        if (device && copy.device != *device) continue;
        const memory::Allocation* const taken = books.allocation(copy.allocation);
        const model::Model* const model = taken == nullptr ? nullptr : state.catalogue.model(taken->row.model);
        if (model != nullptr) add(models, model->names.front(), {taken->row.granted_bytes, 1});
    }
    return {largest_first(owners), largest_first(purposes), largest_first(models)};
}
}  // namespace vramd::report
