/// A history from the ledger's events alone.
#include "core/report/history.hpp"

namespace vramd::report {
Rebuilding::Rebuilding(const core::State& state) {
    for (const memory::DeviceRow& row : state.books.devices()) {
        devices_.push_back(row.id);
        levels_.push_back(0);
    }
    for (const auto& [key, block] : state.books.blocks()) blocks_.emplace(key, block.row.device);
    for (const auto& [serial, allocation] : state.books.allocations()) {
        const memory::AllocationRow& row = allocation.row;
        Held held{{row.block, row.granted_bytes}, state.books.name(row.owner), state.books.name(row.purpose), {}};
        take(held.place);
        if (const memory::Move* move = state.books.move(serial)) {
            held.second = Place{move->block, move->granted_bytes};
            take(*held.second);
        }
        allocations_.emplace(serial, std::move(held));
    }
    for (const auto& [serial, model] : state.catalogue.models())
        models_.emplace(serial, Loaded{model.request.name, state.catalogue.copies_of(serial).size()});
    for (const auto& [serial, transfer] : state.transfers.transfers())
        if (transfer.is_open()) transfers_.emplace(serial, std::pair(transfer.plan.source_device, transfer.plan.target_device));
    for (const auto& [serial, operation] : state.catalogue.operations())
        if (operation.state == OperationState::running) loads_.emplace(serial, operation.request.name);
}

void Rebuilding::event(const Event& event, u64 wall_ns) {
    std::visit(
        [this, wall_ns](const auto& kind) {
            if constexpr (requires { this->on(kind, wall_ns); }) on(kind, wall_ns);
        },
        event);
}

void Rebuilding::settle(u64 wall_ns) {
    for (std::size_t i = 0; i < devices_.size(); ++i) history_.device(devices_[i], wall_ns).track.set(levels_[i], wall_ns);
}

History Rebuilding::finish(u64 wall_ns) && {
    settle(wall_ns);
    for (auto& [key, track] : history_.names_) track.set(track.level_bytes(), wall_ns);
    return std::move(history_);
}

const std::string* Rebuilding::device_of(BlockKey block) const {
    const auto found = blocks_.find(block);
    return found == blocks_.end() || found->second >= devices_.size() ? nullptr : &devices_[found->second];
}

void Rebuilding::take(const Place& place) {
    if (device_of(place.block) != nullptr) levels_[blocks_.at(place.block)] += place.bytes;
}

void Rebuilding::give(const Place& place) {
    if (device_of(place.block) == nullptr) return;
    u64& level = levels_[blocks_.at(place.block)];
    level -= std::min(level, place.bytes);
}

void Rebuilding::on(const DeviceAdded& event, u64 wall_ns) {
    if (std::ranges::find(devices_, event.device_id) != devices_.end()) {
        for (auto& [key, track] : history_.names_) track.set(0, wall_ns);
        for (auto& [id, device] : history_.devices_) device.track.set(0, wall_ns);
        devices_.clear(), levels_.clear(), blocks_.clear(), allocations_.clear(), models_.clear(), loads_.clear(), transfers_.clear();
    }
    devices_.push_back(event.device_id);
    levels_.push_back(0);
}

void Rebuilding::on(const BlockReserved& event, u64) {
    if (event.device < devices_.size()) blocks_.insert_or_assign(event.block, event.device);
}

void Rebuilding::on(const BlockGone& event, u64) { blocks_.erase(event.block); }

void Rebuilding::on(const AllocationReserved& event, u64 wall_ns) {
    const std::string* device = device_of(event.block);
    if (device == nullptr) return;
    const auto model = models_.find(event.model);
    history_.arrive(*device,
                    {event.granted_bytes, event.owner, event.purpose, model == models_.end() ? std::string_view() : model->second.name},
                    wall_ns);
    Held held{{event.block, event.granted_bytes}, event.owner, event.purpose, {}};
    take(held.place);
    allocations_.insert_or_assign(event.id.serial, std::move(held));
}

void Rebuilding::release(u64 serial, u64 wall_ns) {
    const auto found = allocations_.find(serial);
    if (found == allocations_.end()) return;
    const Held& held = found->second;
    if (const std::string* device = device_of(held.place.block))
        history_.leave(*device, {held.place.bytes, held.owner, held.purpose, {}}, wall_ns);
    give(held.place);
    if (held.second) give(*held.second);
    allocations_.erase(found);
}

void Rebuilding::on(const MoveReserved& event, u64) {
    const auto found = allocations_.find(event.id.serial);
    if (found == allocations_.end() || found->second.second) return;
    found->second.second = Place{event.block, event.granted_bytes};
    take(*found->second.second);
}

void Rebuilding::on(const AllocationMoved& event, u64 wall_ns) {
    const auto found = allocations_.find(event.id.serial);
    if (found == allocations_.end() || !found->second.second) return;
    Held& held = found->second;
    const std::string* from = device_of(held.place.block);
    const std::string* to = device_of(held.second->block);
    if (from != nullptr && to != nullptr && *from != *to) {
        history_.leave(*from, {held.place.bytes, held.owner, held.purpose, {}}, wall_ns);
        history_.arrive(*to, {held.second->bytes, held.owner, held.purpose, {}}, wall_ns);
    }
    give(held.place);
    held.place = *held.second;
    held.second.reset();
}

void Rebuilding::on(const MoveDropped& event, u64) {
    const auto found = allocations_.find(event.id.serial);
    if (found == allocations_.end() || !found->second.second) return;
    give(*found->second.second);
    found->second.second.reset();
}

void Rebuilding::on(const OperationStarted& event, u64) { loads_.insert_or_assign(event.id.serial, event.request.name); }

void Rebuilding::on(const OperationEnded& event, u64) { loads_.erase(event.id.serial); }

void Rebuilding::on(const TransferQueued& event, u64) {
    transfers_.insert_or_assign(event.plan.id.serial, std::pair(event.plan.source_device, event.plan.target_device));
}

void Rebuilding::on(const TransferEnded& event, u64 wall_ns) {
    const auto found = transfers_.extract(event.id.serial);
    if (found.empty() || event.state != TransferState::succeeded) return;
    const auto [from, to] = found.mapped();
    if (from < devices_.size() && to < devices_.size()) history_.move(devices_[from], devices_[to], event.result, wall_ns);
}

void Rebuilding::on(const ModelLoading& event, u64) {
    const auto load = loads_.find(event.operation.serial);
    if (load != loads_.end()) models_.insert_or_assign(event.id.serial, Loaded{load->second, 1});
}

void Rebuilding::on(const ModelCopying& event, u64) {
    if (const auto found = models_.find(event.id.serial); found != models_.end()) found->second.copies += 1;
}

void Rebuilding::on(const ModelGone& event, u64 wall_ns) {
    const auto found = models_.find(event.id.serial);
    if (found == models_.end()) return;
    if (const auto held = allocations_.find(event.allocation.serial); held != allocations_.end())
        if (const std::string* device = device_of(held->second.place.block))
            history_.name_track(*device, NameKind::model, found->second.name, wall_ns).left(held->second.place.bytes, wall_ns);
    if (--found->second.copies == 0) models_.erase(found);
}
}  // namespace vramd::report
