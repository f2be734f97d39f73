#include "core/report/history.hpp"

namespace vramd::report {
namespace {
constexpr std::array<Grain, 2> sample_grains = {Grain::minute, Grain::hour};

/// Which of the two rings of samples answers a window.
std::size_t ring_for(Window window) { return seconds_of(window) <= 3600 ? 0 : 1; }
std::size_t size_of_ring(std::size_t ring) { return ring_sizes[static_cast<std::size_t>(sample_grains[ring])]; }
}  // namespace

History::DeviceTrack& History::device(std::string_view device_id, u64 wall_ns) {
    const auto found = devices_.find(device_id);
    if (found != devices_.end()) return found->second;
    const Track nothing(0, wall_ns);
    return devices_.emplace(device_id, DeviceTrack{nothing, {}, {nothing, nothing}}).first->second;
}

/// Makes room for one more name: the one that holds nothing and was quiet for longest goes.
void History::forget_one(u64 wall_ns) {
    auto quietest = names_.end();
    for (auto it = names_.begin(); it != names_.end(); ++it) {
        if (it->first.name == other_name || it->second.level_bytes() > 0 || it->second.now_ns() >= wall_ns) continue;
        if (quietest == names_.end() || it->second.now_ns() < quietest->second.now_ns()) quietest = it;
    }
    if (quietest != names_.end()) names_.erase(quietest);
}

Track& History::name_track(std::string_view device_id, NameKind kind, std::string_view name, u64 wall_ns) {
    NameKey key{std::string(device_id), kind, std::string(name)};
    if (const auto found = names_.find(key); found != names_.end()) return found->second;
    if (names_.size() >= names_max) forget_one(wall_ns);
    if (names_.size() >= names_max) key.name = other_name;
    return names_.try_emplace(std::move(key), Track(0, wall_ns)).first->second;
}

void History::arrive(std::string_view device_id, const Flow& flow, u64 wall_ns) {
    device(device_id, wall_ns).track.count_arrived(flow.bytes, wall_ns);
    name_track(device_id, NameKind::owner, flow.owner, wall_ns).arrived(flow.bytes, wall_ns);
    name_track(device_id, NameKind::purpose, flow.purpose, wall_ns).arrived(flow.bytes, wall_ns);
    if (!flow.model.empty()) name_track(device_id, NameKind::model, flow.model, wall_ns).arrived(flow.bytes, wall_ns);
}

void History::leave(std::string_view device_id, const Flow& flow, u64 wall_ns) {
    device(device_id, wall_ns).track.count_left(flow.bytes, wall_ns);
    name_track(device_id, NameKind::owner, flow.owner, wall_ns).left(flow.bytes, wall_ns);
    name_track(device_id, NameKind::purpose, flow.purpose, wall_ns).left(flow.bytes, wall_ns);
}

void History::begin(const core::State& state, u64 wall_ns) {
    settle(state, wall_ns);
    std::map<NameKey, u64> levels;
    for (const auto& [use, sums] : state.books.uses()) {
        const std::string& id = state.books.devices()[use.device].id;
        levels[{id, NameKind::owner, state.books.name(use.owner)}] += sums.live;
        levels[{id, NameKind::purpose, state.books.name(use.purpose)}] += sums.live;
    }
    for (const auto& [serial, copy] : state.catalogue.copies())
        if (const memory::Allocation* taken = state.books.allocation(copy.allocation))
            levels[{state.books.devices()[copy.device].id, NameKind::model, state.catalogue.model(copy.model)->request.name}] +=
                taken->row.granted_bytes;
    for (const auto& [key, bytes] : levels) {
        Track& track = name_track(key.device_id, key.kind, key.name, wall_ns);
        track.set(track.level_bytes() + bytes, wall_ns);
    }
}

void History::settle(const core::State& state, u64 wall_ns) {
    const auto& rows = state.books.devices();
    for (u16 i = 0; i < rows.size(); ++i) device(rows[i].id, wall_ns).track.set(state.books.sums(i).live, wall_ns);
}

void History::note(const core::State& before, const Event& event, u64 wall_ns) {
    const auto device_of = [&before](BlockKey key) -> const std::string& {
        return before.books.devices()[before.books.block(key)->row.device].id;
    };
    const auto flow_of = [&before](const memory::AllocationRow& row) {
        return Flow{row.granted_bytes, before.books.name(row.owner), before.books.name(row.purpose), {}};
    };
    if (const auto* reserved = std::get_if<AllocationReserved>(&event)) {
        const model::Model* model = before.catalogue.model(reserved->model);
        const std::string_view name = model == nullptr ? std::string_view() : model->request.name;
        arrive(device_of(reserved->block), {reserved->granted_bytes, reserved->owner, reserved->purpose, name}, wall_ns);
    } else if (std::holds_alternative<AllocationFreed>(event) || std::holds_alternative<AllocationDropped>(event)) {
        const auto* freed = std::get_if<AllocationFreed>(&event);
        const AllocationId id = freed != nullptr ? freed->id : std::get<AllocationDropped>(event).id;
        const memory::AllocationRow& row = before.books.allocation(id)->row;
        leave(device_of(row.block), flow_of(row), wall_ns);
    } else if (const auto* gone = std::get_if<ModelGone>(&event)) {
        const model::Model* model = before.catalogue.model(gone->id.serial);
        if (model == nullptr || before.books.allocation(gone->allocation) == nullptr) return;
        const memory::AllocationRow& row = before.books.allocation(gone->allocation)->row;
        name_track(device_of(row.block), NameKind::model, model->request.name, wall_ns).left(row.granted_bytes, wall_ns);
    } else if (const auto* moved = std::get_if<AllocationMoved>(&event)) {
        const memory::AllocationRow& row = before.books.allocation(moved->id)->row;
        const memory::Move& move = *before.books.move(moved->id.serial);
        if (device_of(row.block) == device_of(move.block)) return;
        leave(device_of(row.block), flow_of(row), wall_ns);
        Flow there = flow_of(row);
        there.bytes = move.granted_bytes;
        arrive(device_of(move.block), there, wall_ns);
    } else if (const auto* ended = std::get_if<TransferEnded>(&event)) {
        const memory::Transfer* transfer = before.transfers.transfer(ended->id);
        if (ended->state != TransferState::succeeded || transfer == nullptr) return;
        const auto& devices = before.books.devices();
        move(devices[transfer->plan.source_device].id, devices[transfer->plan.target_device].id, ended->result, wall_ns);
    }
}

/// A transfer within a device counts once.
void History::move(std::string_view from_id, std::string_view to_id, const TransferResult& result, u64 wall_ns) {
    device(from_id, wall_ns).track.count_moved(result.bytes, result.duration_ns, wall_ns);
    if (from_id != to_id) device(to_id, wall_ns).track.count_moved(result.bytes, result.duration_ns, wall_ns);
}

void History::sample(std::string_view device_id, const Sample& sample, u64 wall_ns) {
    auto& rings = device(device_id, wall_ns).samples;
    for (std::size_t i = 0; i < rings.size(); ++i) {
        if (rings[i].empty()) rings[i].resize(size_of_ring(i));
        const u64 index = wall_ns / ns_of(sample_grains[i]);
        SampleBucket& bucket = rings[i][index % rings[i].size()];
        if (bucket.index != index) {
            bucket = SampleBucket{};
            bucket.index = index;
            bucket.largest_free_min = sample.largest_free_bytes;
        }
        bucket.samples += 1;
        bucket.fragmentation_last = sample.fragmentation();
        bucket.fragmentation_max = std::max(bucket.fragmentation_max, bucket.fragmentation_last);
        bucket.largest_free_min = std::min(bucket.largest_free_min, sample.largest_free_bytes);
        bucket.holes_max = std::max(bucket.holes_max, sample.holes);
        bucket.level_max = std::max(bucket.level_max, sample.level);
    }
}

void History::worked(std::string_view device_id, Work work, u64 bytes, u64 duration_ns, u64 wall_ns) {
    const auto found = devices_.find(device_id);
    if (found != devices_.end()) found->second.works[static_cast<std::size_t>(work)].count_moved(bytes, duration_ns, wall_ns);
}

Worked History::worked(std::string_view device_id, Work work, Window window, u64 wall_ns) {
    const auto found = devices_.find(device_id);
    if (found == devices_.end()) return {};
    const Bucket all = found->second.works[static_cast<std::size_t>(work)].span(window, wall_ns).all;
    return {all.moved_count, all.moved_bytes, all.moved_ns};
}

std::optional<Span> History::span(std::string_view device_id, Window window, u64 wall_ns) {
    const auto found = devices_.find(device_id);
    if (found == devices_.end()) return std::nullopt;
    return found->second.track.span(window, wall_ns);
}

std::vector<History::Named> History::named(std::string_view device_id, NameKind kind, Window window, u64 wall_ns) {
    std::vector<Named> list;
    for (auto it = names_.lower_bound({std::string(device_id), kind, {}}); it != names_.end(); ++it) {
        if (it->first.device_id != device_id || it->first.kind != kind) break;
        Span span = it->second.span(window, wall_ns);
        if (span.all.level_max > 0 || span.all.arrived_count > 0 || span.all.left_count > 0)
            list.push_back({it->first.name, std::move(span)});
    }
    std::ranges::stable_sort(list, std::ranges::greater{}, [](const Named& named) { return named.span.all.level_max; });
    return list;
}

std::vector<SampleBucket> History::samples(std::string_view device_id, Window window, u64 wall_ns) const {
    std::vector<SampleBucket> list;
    const auto found = devices_.find(device_id);
    if (found == devices_.end()) return list;
    const std::size_t ring = ring_for(window);
    const auto& buckets = found->second.samples[ring];
    const u64 width = ns_of(sample_grains[ring]);
    const u64 span_ns = seconds_of(window) * ns_per_second;
    if (buckets.empty()) return list;
    for (u64 index = wall_ns > span_ns ? (wall_ns - span_ns) / width : 0; index <= wall_ns / width; ++index)
        if (buckets[index % buckets.size()].index == index) list.push_back(buckets[index % buckets.size()]);
    return list;
}

void History::absorb(const History& earlier) {
    for (const auto& [id, theirs] : earlier.devices_) device(id, theirs.track.now_ns()).track.absorb(theirs.track);
    for (const auto& [key, theirs] : earlier.names_) name_track(key.device_id, key.kind, key.name, theirs.now_ns()).absorb(theirs);
}
}  // namespace vramd::report
