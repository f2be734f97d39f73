#include "core/model/catalogue.hpp"

#include <algorithm>

#include "base/invariant.hpp"
#include "terms/archive.hpp"

namespace vramd::model {
void Catalogue::apply(const OperationStarted& event) {
    INVARIANT(event.id.serial >= next_operation_);
    Operation operation;
    operation.id = event.id;
    operation.kind = event.kind;
    operation.owner = event.owner;
    operation.request = event.request;
    operation.started_wall_ns = event.wall_ns;
    next_operation_ = event.id.serial + 1;
    operations_.emplace(event.id.serial, std::move(operation));
}

void Catalogue::apply(const OperationCancelling& event) {
    const auto found = operations_.find(event.id.serial);
    INVARIANT(found != operations_.end() && found->second.state == OperationState::running);
    found->second.cancelling = true;
}

void Catalogue::apply(const OperationEnded& event) {
    const auto found = operations_.find(event.id.serial);
    INVARIANT(found != operations_.end() && found->second.state == OperationState::running);
    Operation& operation = found->second;
    operation.state = event.state;
    operation.ended_wall_ns = event.wall_ns;
    operation.cancelling = false;
    if (event.state != OperationState::succeeded) operation.error = event.error;
    finished_.push_back(event.id.serial);
    if (finished_.size() > finished_max) {
        operations_.erase(finished_.front());
        finished_.pop_front();
    }
}

void Catalogue::apply(const UpkeepStarted& event) {
    apply(OperationStarted{event.id, event.request.kind, event.owner, {}, event.wall_ns});
    operations_.at(event.id.serial).upkeep = {event.request, event.before, {}, event.monotonic_ns, 0, 0};
}

void Catalogue::apply(const UpkeepTold& event) {
    const auto found = operations_.find(event.id.serial);
    INVARIANT(found != operations_.end() && found->second.is_upkeep());
    found->second.upkeep.result = event.result;
    found->second.total_bytes = event.result.planned_bytes;
}

void Catalogue::count_move(u64 operation, u64 bytes) {
    const auto found = operations_.find(operation);
    if (found == operations_.end()) return;  // Ended so long ago that nobody can ask for it.
    found->second.upkeep.moves += 1;
    found->second.upkeep.moved_bytes += bytes;
}

void Catalogue::apply(const ModelLoading& event) {
    const auto operation = operations_.find(event.operation.serial);
    INVARIANT(operation != operations_.end() && operation->second.model == 0 && event.id.serial >= next_model_);
    Model model;
    model.id = event.id;
    model.operation = event.operation;
    model.allocation = event.allocation;
    model.device = event.device;
    model.request = operation->second.request;
    model.names = {operation->second.request.name};
    model.inspection = std::make_shared<const Inspection>(event.inspection);
    operation->second.model = event.id.serial;
    operation->second.total_bytes = event.inspection.memory_bytes;
    const auto named = names_.emplace(model.names.front(), event.id.serial);
    INVARIANT(named.second);
    next_model_ = event.id.serial + 1;
    models_.emplace(event.id.serial, std::move(model));
}

void Catalogue::apply(const ModelResident& event) {
    const auto found = models_.find(event.id.serial);
    INVARIANT(found != models_.end() && found->second.state == ModelState::loading);
    found->second.state = ModelState::resident;
    found->second.load_ns = event.load_ns;
    found->second.loaded_wall_ns = event.wall_ns;
}

void Catalogue::apply(const ModelNamed& event) {
    const auto found = models_.find(event.id.serial);
    const auto operation = operations_.find(event.operation.serial);
    INVARIANT(found != models_.end() && operation != operations_.end());
    operation->second.model = event.id.serial;
    operation->second.total_bytes = found->second.inspection->memory_bytes;
    const std::string& name = operation->second.request.name;
    const auto [place, fresh] = names_.emplace(name, event.id.serial);
    INVARIANT(place->second == event.id.serial);
    if (fresh) found->second.names.push_back(name);
}

void Catalogue::apply(const ModelUnnamed& event) {
    const auto found = models_.find(event.id.serial);
    INVARIANT(found != models_.end() && found->second.names.size() > 1);
    std::erase(found->second.names, event.name);
    names_.erase(event.name);
}

void Catalogue::apply(const ModelGone& event) {
    const auto found = models_.find(event.id.serial);
    INVARIANT(found != models_.end());
    for (const std::string& name : found->second.names) names_.erase(name);
    models_.erase(found);
}

const Model* Catalogue::model(u64 serial) const {
    const auto found = models_.find(serial);
    return found == models_.end() ? nullptr : &found->second;
}

const Model* Catalogue::model_named(std::string_view name) const {
    const auto found = names_.find(name);
    return found == names_.end() ? nullptr : model(found->second);
}

const Model* Catalogue::model_of(const FileIdentity& identity) const {
    for (const auto& [serial, model] : models_)
        if (model.inspection->identity == identity) return &model;
    return nullptr;
}

const Model* Catalogue::loading_by(OperationId operation) const {
    for (const auto& [serial, model] : models_)
        if (model.operation == operation && model.state == ModelState::loading) return &model;
    return nullptr;
}

const Operation* Catalogue::operation_by_serial(u64 serial) const {
    const auto found = operations_.find(serial);
    return found == operations_.end() ? nullptr : &found->second;
}

const Operation* Catalogue::operation(OperationId id) const {
    const Operation* found = operation_by_serial(id.serial);
    return found != nullptr && found->id == id ? found : nullptr;
}

std::vector<OperationId> Catalogue::waiting_for(u64 model) const {
    std::vector<OperationId> waiting;
    for (const auto& [serial, operation] : operations_)
        if (operation.model == model && operation.state == OperationState::running) waiting.push_back(operation.id);
    return waiting;
}

std::vector<OperationId> Catalogue::upkeeps_of(u16 device) const {
    std::vector<OperationId> upkeeps;
    for (const auto& [serial, operation] : operations_)
        if (operation.is_upkeep() && operation.state == OperationState::running && std::ranges::find(operation.upkeep.request.devices, device) != operation.upkeep.request.devices.end())
            upkeeps.push_back(operation.id);
    return upkeeps;
}

bool Catalogue::cancelling(u64 model) const {
    return std::ranges::any_of(operations_, [model](const auto& entry) {
        return entry.second.model == model && entry.second.state == OperationState::running && entry.second.cancelling;
    });
}

void Catalogue::audit(std::vector<std::string>& findings) const {
    std::size_t names = 0;
    for (const auto& [serial, model] : models_) {
        if (model.names.empty()) findings.push_back("model " + std::to_string(serial) + " has no name.");
        for (const std::string& name : model.names) {
            ++names;
            if (const auto found = names_.find(name); found == names_.end() || found->second != serial)
                findings.push_back("the name " + name + " does not lead to its model.");
        }
        if (model.state == ModelState::loading && waiting_for(serial).empty())
            findings.push_back("model " + std::to_string(serial) + " is loading, but no operation waits for it.");
    }
    if (names != names_.size()) findings.push_back("there are names without a model.");
    std::size_t finished = 0;
    for (const auto& [serial, operation] : operations_) finished += operation.state != OperationState::running ? 1 : 0;
    if (finished != finished_.size()) findings.push_back("the list of finished operations differs from the operations.");
}

// ---------------------------------------------------------------------------------------------------------------------------- snapshots
namespace {
struct SavedModel {
    Model model;
    Inspection inspection;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.model.id, s.model.state, s.model.operation, s.model.allocation, s.model.device, s.model.request, s.model.names, s.inspection, s.model.load_ns,
              s.model.loaded_wall_ns);
    }
};
struct SavedOperation {
    Operation operation;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        auto& o = s.operation;
        visit(o.id, o.kind, o.state, o.owner, o.request, o.model, o.total_bytes, o.cancelling, o.error.code, o.error.field, o.error.value, o.error.limit, o.error.detail, o.started_wall_ns, o.ended_wall_ns, o.upkeep.request, o.upkeep.before, o.upkeep.result, o.upkeep.started_monotonic_ns, o.upkeep.moves, o.upkeep.moved_bytes);
    }
};
}  // namespace

struct Catalogue::Saved {
    std::vector<SavedModel> models;
    std::vector<SavedOperation> operations;
    std::vector<u64> finished;
    u64 next_model = 1;
    u64 next_operation = 1;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.models, s.operations, s.finished, s.next_model, s.next_operation);
    }
};

void Catalogue::save(std::vector<std::byte>& out) const {
    Saved saved;
    for (const auto& [serial, model] : models_) saved.models.push_back({model, *model.inspection});
    for (const auto& [serial, operation] : operations_) saved.operations.push_back({operation});
    saved.finished.assign(finished_.begin(), finished_.end());
    saved.next_model = next_model_;
    saved.next_operation = next_operation_;
    ArchiveWriter writer(out);
    writer(saved);
}

Result<Catalogue> Catalogue::restore(std::span<const std::byte> bytes) {
    Saved saved;
    ArchiveReader reader(bytes);
    reader(saved);
    TRY_DO(reader.finish());
    Catalogue catalogue;
    for (SavedModel& row : saved.models) {
        row.model.inspection = std::make_shared<const Inspection>(std::move(row.inspection));
        for (const std::string& name : row.model.names) catalogue.names_.emplace(name, row.model.id.serial);
        catalogue.models_.emplace(row.model.id.serial, std::move(row.model));
    }
    for (SavedOperation& row : saved.operations) catalogue.operations_.emplace(row.operation.id.serial, std::move(row.operation));
    catalogue.finished_.assign(saved.finished.begin(), saved.finished.end());
    catalogue.next_model_ = saved.next_model;
    catalogue.next_operation_ = saved.next_operation;
    return catalogue;
}
}  // namespace vramd::model
