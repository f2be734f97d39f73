#include "core/model/catalogue.hpp"

#include <algorithm>
#include <set>

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

Copy& Catalogue::loading_copy(ModelId model, OperationId operation, AllocationId allocation, u16 device, ModelTier tier) {
    const auto row = operations_.find(operation.serial);
    INVARIANT(row != operations_.end() && copy_on(model.serial, device) == nullptr);
    Copy copy;
    copy.model = model.serial;
    copy.allocation = allocation;
    copy.device = device;
    copy.tier = tier;
    copy.operation = operation;
    copy.pinned = row->second.request.pinned && tier == ModelTier::device;
    return copies_.emplace(allocation.serial, std::move(copy)).first->second;
}

void Catalogue::apply(const ModelLoading& event) {
    const auto operation = operations_.find(event.operation.serial);
    INVARIANT(operation != operations_.end() && operation->second.model == 0 && event.id.serial >= next_model_);
    Model model;
    model.id = event.id;
    model.request = operation->second.request;
    model.names = {operation->second.request.name};
    model.inspection = std::make_shared<const Inspection>(event.inspection);
    operation->second.model = event.id.serial;
    operation->second.target = event.target;
    operation->second.total_bytes = event.inspection.memory_bytes;
    const auto named = names_.emplace(model.names.front(), event.id.serial);
    INVARIANT(named.second);
    next_model_ = event.id.serial + 1;
    models_.emplace(event.id.serial, std::move(model));
    loading_copy(event.id, event.operation, event.allocation, event.device, event.tier);
}

void Catalogue::apply(const ModelCopying& event) {
    INVARIANT(models_.contains(event.id.serial));
    loading_copy(event.id, event.operation, event.allocation, event.device, event.tier);
}

void Catalogue::apply(const ModelResident& event) {
    const auto found = copies_.find(event.allocation.serial);
    INVARIANT(found != copies_.end() && found->second.state == ModelState::loading);
    found->second.state = ModelState::resident;
    found->second.load_ns = event.load_ns;
    found->second.loaded_wall_ns = event.wall_ns;
}

void Catalogue::apply(const ModelTiered& event) {
    const auto found = copies_.find(event.allocation.serial);
    INVARIANT(found != copies_.end() && (found->second.tier != event.tier || found->second.pinned != event.pinned));
    found->second.tier = event.tier;
    found->second.pinned = event.pinned;
}

void Catalogue::apply(const CacheSet& event) { cache_ = Cache{event.device, event.max_bytes, event.order, event.marks}; }

void Catalogue::apply(const ModelNamed& event) {
    const auto found = models_.find(event.id.serial);
    const auto operation = operations_.find(event.operation.serial);
    INVARIANT(found != models_.end() && operation != operations_.end());
    operation->second.model = event.id.serial;
    operation->second.target = event.target;
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
    INVARIANT(found != models_.end() && copies_.erase(event.allocation.serial) == 1);
    if (!copies_of(event.id.serial).empty()) return;
    for (const std::string& name : found->second.names) names_.erase(name);
    models_.erase(found);
    for (auto& [serial, operation] : operations_) {  // What it was to be made from went: it looks at the file once more.
        if (operation.model != event.id.serial || operation.state != OperationState::running) continue;
        operation.model = operation.target = 0;
        operation.total_bytes = 0;
    }
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

const Copy* Catalogue::copy(u64 allocation_serial) const {
    const auto found = copies_.find(allocation_serial);
    return found == copies_.end() ? nullptr : &found->second;
}

std::vector<const Copy*> Catalogue::copies_of(u64 model) const {
    std::vector<const Copy*> list;
    for (const auto& [serial, copy] : copies_)
        if (copy.model == model) list.push_back(&copy);
    return list;
}

const Copy* Catalogue::copy_on(u64 model, u16 device) const {
    for (const auto& [serial, copy] : copies_)
        if (copy.model == model && copy.device == device) return &copy;
    return nullptr;
}

const Copy* Catalogue::whole_copy(u64 model) const {
    const Copy* found = nullptr;
    for (const auto& [serial, copy] : copies_)
        if (copy.model == model && copy.state == ModelState::resident && (found == nullptr || copy.tier == ModelTier::device))
            found = &copy;
    return found;
}

const Copy* Catalogue::loading_by(OperationId operation) const {
    for (const auto& [serial, copy] : copies_)
        if (copy.operation == operation && copy.state == ModelState::loading) return &copy;
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

std::vector<OperationId> Catalogue::waiting_for_model(u64 model) const {
    std::vector<OperationId> waiting;
    for (const auto& [serial, operation] : operations_)
        if (operation.model == model && operation.state == OperationState::running) waiting.push_back(operation.id);
    return waiting;
}

std::vector<OperationId> Catalogue::waiting_for(const Copy& copy) const {
    std::vector<OperationId> waiting = waiting_for_model(copy.model);
    if (copies_of(copy.model).size() > 1)
        std::erase_if(waiting, [&](OperationId id) { return operations_.at(id.serial).target != copy.device; });
    return waiting;
}

std::vector<OperationId> Catalogue::upkeeps_of(u16 device) const {
    std::vector<OperationId> upkeeps;
    for (const auto& [serial, operation] : operations_)
        if (operation.is_upkeep() && operation.state == OperationState::running &&
            std::ranges::find(operation.upkeep.request.devices, device) != operation.upkeep.request.devices.end())
            upkeeps.push_back(operation.id);
    return upkeeps;
}

bool Catalogue::cancelling(const Copy& copy) const {
    return std::ranges::any_of(waiting_for(copy), [this](OperationId id) { return operations_.at(id.serial).cancelling; });
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
        if (copies_of(serial).empty()) findings.push_back("model " + std::to_string(serial) + " has no copy.");
    }
    std::set<std::pair<u64, u16>> places;
    for (const auto& [serial, copy] : copies_) {
        if (!models_.contains(copy.model)) findings.push_back("the copy " + std::to_string(serial) + " is of a model that is not there.");
        if (!places.emplace(copy.model, copy.device).second)
            findings.push_back("model " + std::to_string(copy.model) + " has two copies on one device.");
        if (copy.state == ModelState::loading && waiting_for(copy).empty())
            findings.push_back("model " + std::to_string(copy.model) + " is loading, but no operation waits for it.");
        if (copy.tier == ModelTier::ram && (!cache_ || cache_->device != copy.device))
            findings.push_back("the copy " + std::to_string(serial) + " is in the RAM cache's tier, and elsewhere.");
    }
    if (names != names_.size()) findings.push_back("there are names without a model.");
    std::size_t finished = 0;
    for (const auto& [serial, operation] : operations_) finished += operation.state != OperationState::running ? 1 : 0;
    if (finished != finished_.size()) findings.push_back("the list of finished operations differs from the operations.");
    for (const auto& [serial, operation] : operations_)
        if (operation.state == OperationState::running && operation.model != 0 && !models_.contains(operation.model))
            findings.push_back("the operation " + std::to_string(serial) + " waits for a model that is not there.");
}

// ---------------------------------------------------------------------------------------------------------------------------- snapshots
namespace {
struct SavedModel {
    Model model;
    Inspection inspection;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.model.id, s.model.request, s.model.names, s.inspection);
    }
};
struct SavedCopy {
    Copy copy;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.copy.model, s.copy.allocation, s.copy.device, s.copy.state, s.copy.tier, s.copy.operation, s.copy.pinned, s.copy.load_ns,
              s.copy.loaded_wall_ns);
    }
};
struct SavedOperation {
    Operation operation;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        auto& o = s.operation;
        visit(o.id, o.kind, o.state, o.owner, o.request, o.model, o.target, o.total_bytes, o.cancelling, o.error.code, o.error.field,
              o.error.value, o.error.limit, o.error.detail, o.started_wall_ns, o.ended_wall_ns, o.upkeep.request, o.upkeep.before,
              o.upkeep.result, o.upkeep.started_monotonic_ns, o.upkeep.moves, o.upkeep.moved_bytes);
    }
};
}  // namespace

struct Catalogue::Saved {
    std::vector<SavedModel> models;
    std::vector<SavedCopy> copies;
    bool has_cache = false;
    CacheSet cache;
    std::vector<SavedOperation> operations;
    std::vector<u64> finished;
    u64 next_model = 1;
    u64 next_operation = 1;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.models, s.copies, s.has_cache, s.cache, s.operations, s.finished, s.next_model, s.next_operation);
    }
};

void Catalogue::save(std::vector<std::byte>& out) const {
    Saved saved;
    for (const auto& [serial, model] : models_) saved.models.push_back({model, *model.inspection});
    for (const auto& [serial, copy] : copies_) saved.copies.push_back({copy});
    saved.has_cache = cache_.has_value();
    if (cache_) saved.cache = {cache_->device, cache_->max_bytes, cache_->order, cache_->marks};
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
    for (SavedCopy& row : saved.copies) catalogue.copies_.emplace(row.copy.allocation.serial, std::move(row.copy));
    if (saved.has_cache) catalogue.apply(saved.cache);
    for (SavedOperation& row : saved.operations) catalogue.operations_.emplace(row.operation.id.serial, std::move(row.operation));
    catalogue.finished_.assign(saved.finished.begin(), saved.finished.end());
    catalogue.next_model_ = saved.next_model;
    catalogue.next_operation_ = saved.next_operation;
    return catalogue;
}
}  // namespace vramd::model
