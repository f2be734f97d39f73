#include "core/model/trace_events.hpp"

#include <algorithm>

namespace vramd::model {
namespace {
constexpr u32 no_model = UINT32_MAX;

u64 from_to(u64 begin_ns, u64 end_ns) { return end_ns > begin_ns ? end_ns - begin_ns : 0; }
}  // namespace

void TraceEvents::begin_life() {
    for (const auto& [serial, life] : lives_) end_pin(life, last_wall_ns_);
    devices_.clear();
    lives_.clear();
    allocations_.clear();
    wishes_.clear();
}

Result<void> TraceEvents::see(const Event& event, u64 wall_ns) {
    last_wall_ns_ = wall_ns;
    const auto visit = [&]<class E>(const E& kind) -> Result<void> {
        if constexpr (std::is_same_v<E, ModelGone>)
            gone(kind, wall_ns);
        else if constexpr (requires { static_cast<Result<void>>(this->on(kind)); })
            return on(kind);
        else if constexpr (requires { this->on(kind); })
            on(kind);
        return {};
    };
    return std::visit(visit, event);
}

void TraceEvents::on(const DeviceAdded& event) {
    devices_.push_back({event.device_id, std::clamp<u64>(event.granule_bytes, 1, number_max)});
    capacities_[event.device_id] = event.capacity_bytes;
}

void TraceEvents::on(const DeviceResized& event) {
    if (event.device < devices_.size() && event.capacity_bytes > 0) capacities_[devices_[event.device].id] = event.capacity_bytes;
}

void TraceEvents::on(const OperationStarted& event) {
    if (event.kind != OperationKind::load_model) return;
    wishes_[event.id.serial] = {event.request.name, event.wall_ns, event.request.pinned ? Keeps::pinned : Keeps::while_used, false};
}

Result<void> TraceEvents::want(u32 model, u64 at_ns) { return builder_.add_request({at_ns, 0, model, Keeps::while_used}); }

Result<void> TraceEvents::on(const ModelLoading& event) {
    const auto wish = wishes_.find(event.operation.serial);
    if (wish == wishes_.end()) return {};  // The history begins after its operation.
    const FileIdentity& file = event.inspection.identity;
    const Content content{file.device, file.inode, file.size_bytes, file.modified_ns, file.header_hash};
    auto known = models_.find(content);
    if (known == models_.end()) {
        const u64 granule = event.device < devices_.size() ? devices_[event.device].granule_bytes : 1;
        const u64 bytes = std::clamp<u64>(event.inspection.memory_bytes, 1, number_max);
        TRY(const u32 model, builder_.add_model(wish->second.name, bytes > number_max - granule ? bytes : round_up(bytes, granule)));
        known = models_.emplace(content, model).first;
    }
    if (event.device < devices_.size()) loaded_onto_.insert(devices_[event.device].id);
    called_[wish->second.name] = known->second;
    wish->second.placed = true;
    Life& life = lives_[event.id.serial];
    life = {known->second, 0, none, {builder_.requests().size()}, 1};
    allocations_[event.allocation.serial] = event.id.serial;
    TRY_DO(want(known->second, wish->second.at_ns));
    builder_.requests().back().keeps = wish->second.keeps;
    if (wish->second.keeps == Keeps::pinned) life.pinned_by = life.waiting.front();
    return {};
}

void TraceEvents::on(const ModelResident& event) {
    const auto life = lives_.find(event.id.serial);
    if (life == lives_.end() || life->second.resident_ns != 0) return;  // A further copy costs no load from its file.
    builder_.add_load(life->second.model, event.load_ns);
    life->second.resident_ns = event.wall_ns;
    life->second.waiting.clear();
}

void TraceEvents::on(const ModelCopying& event) {
    const auto life = lives_.find(event.id.serial);
    if (life == lives_.end()) return;
    life->second.copies += 1;
    allocations_[event.allocation.serial] = event.id.serial;
    if (event.device < devices_.size()) loaded_onto_.insert(devices_[event.device].id);
}

Result<void> TraceEvents::on(const ModelNamed& event) {
    const auto wish = wishes_.find(event.operation.serial);
    const auto life = lives_.find(event.id.serial);
    if (wish == wishes_.end() || life == lives_.end()) return {};
    called_[wish->second.name] = life->second.model;
    wish->second.placed = true;
    if (life->second.resident_ns == 0) life->second.waiting.push_back(builder_.requests().size());
    return want(life->second.model, wish->second.at_ns);
}

Result<void> TraceEvents::on(const OperationEnded& event) {
    const auto found = wishes_.find(event.id.serial);
    if (found == wishes_.end()) return {};
    const Wish wish = std::move(found->second);
    wishes_.erase(found);
    if (wish.placed || event.state != OperationState::failed || event.error.code != Code::insufficient_memory) return {};
    const auto known = called_.find(wish.name);
    if (known != called_.end()) return want(known->second, wish.at_ns);
    refused_of_unknown_size_ += 1;
    return {};
}

Result<void> TraceEvents::on(const AllocationAccessed& event) {
    const auto serial = allocations_.find(event.id.serial);
    if (serial == allocations_.end()) return {};
    const Life& life = lives_.at(serial->second);
    if (builder_.requests().back().model != life.model) return want(life.model, event.wall_ns);
    ReplayRequest& request = builder_.requests().back();
    request.use_ns = std::max(request.use_ns, from_to(std::max(request.at_ns, life.resident_ns), event.wall_ns));
    return {};
}

/// Pinned until then is used until then.
void TraceEvents::end_pin(const Life& life, u64 wall_ns) {
    if (life.pinned_by == none) return;
    ReplayRequest& request = builder_.requests()[life.pinned_by];
    request.keeps = Keeps::while_used;
    request.use_ns = std::max(request.use_ns, from_to(std::max(request.at_ns, life.resident_ns), wall_ns));
}

void TraceEvents::gone(const ModelGone& event, u64 wall_ns) {
    const auto found = lives_.find(event.id.serial);
    if (found == lives_.end()) return;
    allocations_.erase(event.allocation.serial);
    Life& life = found->second;
    life.copies -= 1;
    if (life.copies > 0) return;
    end_pin(life, wall_ns);
    for (const u64 request : life.waiting) builder_.requests()[request].model = no_model;  // Its load failed.
    lives_.erase(found);
}

EventTrace TraceEvents::finish() && {
    EventTrace made;
    std::erase_if(builder_.requests(), [](const ReplayRequest& request) { return request.model == no_model; });
    made.named = std::move(builder_).finish();
    for (const std::string& device : loaded_onto_) {
        made.devices.push_back(device);
        const u64 bytes = capacities_[device];
        made.capacity_bytes += std::min(bytes, number_max - made.capacity_bytes);
    }
    made.refused_of_unknown_size = refused_of_unknown_size_;
    return made;
}
}  // namespace vramd::model
