/// Models: operations started, cancelled, told; and the survey of what lies in the model folders.
#include <algorithm>

#include "engine/runner.hpp"

namespace vramd::engine {
namespace {
constexpr const char* waits_for_room = "wait";  // A stage.
}

Result<OperationId> Runner::load_model(LoadModelCommand command, Done<report::OperationTold> ended) {
    if (command.operation_secret == 0) command.operation_secret = ports_.secret();
    {
        const Lock lock(lock_);
        if (stopping_) return refuse(Code::busy, "daemon", "The daemon is stopping.");
    }
    const bool held = command.held;
    const u64 session = command.caller.session;
    TRY(const core::Decision decision, commit(std::move(command), [&](const core::Decision& made) {
            if (ended) operation_waiters_[made.operation.serial].push_back(std::move(ended));
            if (held) held_loads_[made.operation.serial] = {session, 0};
        }));
    return decision.operation;
}

void Runner::let_loaded_go(OperationId id) {
    EndedUses ended;
    {
        const Lock lock(lock_);
        const auto held = held_loads_.extract(id.serial);
        if (!held.empty() && held.mapped().serial != 0) end_use(held.mapped().serial, ended);
        if (!held.empty() && !waiting_loads_.empty()) ended.evictable = true;  // Those wait for whoever attached it, or do so no longer.
    }
    follow(std::move(ended));
}

void Runner::unload_model(UnloadModelCommand command, Done<Freed> done) {
    Giving giving{.begun_ns = ports_.clock().monotonic_ns};
    u16 device = 0;
    {
        const Lock lock(lock_);
        const model::Model* model = state_.catalogue.model_named(command.name);
        if (model != nullptr)
            for (const model::Copy* copy : state_.catalogue.copies_of(model->id.serial))
                if (copy->tier == ModelTier::device) device = copy->device;
        if (const auto named = state_.books.device_named(command.device_id)) device = *named;
        command.in_use = used_allocations();
        const u64 clients = model == nullptr ? 0 : attached_to(*model);
        give_up(Command(command), device, giving);
        if (clients > 0 && !giving.decision && giving.decision.error().code == Code::leased)
            giving.decision.error().detail = "Clients have the model " + command.name + " attached (attachedClients is " +
                                             std::to_string(clients) + "); it can be unloaded when they have detached it or ended.";
    }
    tell_released(std::move(giving), device, std::move(done));
}

void Runner::uncache(UncacheCommand command, Done<Freed> done) {
    Giving giving{.begun_ns = ports_.clock().monotonic_ns};
    u16 device = 0;
    {
        const Lock lock(lock_);
        if (const auto& cache = state_.catalogue.cache()) device = cache->device;
        command.in_use = used_allocations();
        give_up(Command(command), device, giving);
    }
    tell_released(std::move(giving), device, std::move(done));
}

CacheTold Runner::cache() {
    const Lock lock(lock_);
    const auto& cache = state_.catalogue.cache();
    if (!cache || cache->max_bytes == 0) return {};
    return {state_.books.devices()[cache->device].id, cache->max_bytes, core::excess_cached_bytes(state_, 0)};
}

Result<report::OperationTold> Runner::cancel(CancelOperationCommand command) {
    const OperationId id = command.id;
    report::OperationTold told;
    u64 loading = 0;
    TRY_DO(commit(std::move(command), [&](const core::Decision&) {
        const model::Operation& operation = *state_.catalogue.operation(id);
        told = report::operation(state_, operation);
        loading = loading_serial_of(operation);
    }));
    fill_progress(told, loading);
    return told;
}

/// Several operations may wait for one load: its progress is kept by the one that began it.
u64 Runner::loading_serial_of(const model::Operation& operation) {
    const model::Copy* wanted = state_.catalogue.copy_on(operation.model, operation.target);
    if (wanted != nullptr) return wanted->operation.serial;
    for (const model::Copy* copy : state_.catalogue.copies_of(operation.model))
        if (copy->state == ModelState::loading) return copy->operation.serial;
    return operation.id.serial;
}

void Runner::fill_progress(report::OperationTold& told, u64 loading_serial) {
    if (told.state != OperationState::running) return;
    const Lock lock(small_lock_);
    if (const auto found = progress_.find(loading_serial); found != progress_.end())
        told.done_bytes = std::min(found->second, told.total_bytes);
    if (const auto found = model_copies_.find(loading_serial); found != model_copies_.end())
        if (const auto progress = ports_.transfer->progress(found->second))
            told.done_bytes = std::min(progress->bytes_done, told.total_bytes);
}

Result<report::OperationTold> Runner::operation(const Caller& caller, OperationId id) {
    report::OperationTold told;
    u64 loading = 0;
    {
        const Lock lock(lock_);
        const model::Operation* operation = state_.catalogue.operation(id);
        if (operation == nullptr || (caller.role != Role::admin && operation->owner != caller.owner))
            return refuse(Code::not_found, "operation", "There is no operation " + to_text(id) + ", or it is not yours.");
        told = report::operation(state_, *operation);
        if (waiting_loads_.contains(id.serial)) told.stage = waits_for_room;
        loading = loading_serial_of(*operation);
    }
    fill_progress(told, loading);
    return told;
}

std::vector<report::OperationTold> Runner::operations(const Caller& caller, u64 limit) {
    std::vector<report::OperationTold> list;
    std::vector<u64> loading;
    {
        const Lock lock(lock_);
        const auto& all = state_.catalogue.operations();
        for (auto it = all.rbegin(); it != all.rend() && list.size() < limit; ++it) {
            if (caller.role != Role::admin && it->second.owner != caller.owner) continue;
            list.push_back(report::operation(state_, it->second));
            if (waiting_loads_.contains(it->first)) list.back().stage = waits_for_room;
            loading.push_back(loading_serial_of(it->second));
        }
    }
    for (std::size_t i = 0; i < list.size(); ++i) fill_progress(list[i], loading[i]);
    return list;
}

std::vector<report::ModelTold> Runner::models() {
    const Lock lock(lock_);
    std::vector<report::ModelTold> list = report::models(state_);
    for (report::ModelTold& told : list)
        if (const model::Model* model = state_.catalogue.model(told.id.serial)) told.attached_clients = attached_to(*model);
    return list;
}

Result<report::ModelTold> Runner::model(std::string_view name) {
    const Lock lock(lock_);
    const model::Model* model = state_.catalogue.model_named(name);
    if (model == nullptr) return refuse(Code::not_found, "name", "There is no model " + std::string(name) + ".");
    report::ModelTold told = report::model(state_, *model);
    told.attached_clients = attached_to(*model);
    return told;
}

Result<std::vector<Tensor>> Runner::tensors(std::string_view name) {
    std::shared_ptr<const Inspection> inspection;
    {
        const Lock lock(lock_);
        const model::Model* model = state_.catalogue.model_named(name);
        if (model == nullptr) return refuse(Code::not_found, "name", "There is no model " + std::string(name) + ".");
        inspection = model->inspection;
    }
    return inspection->tensors;  // Copied without the lock: a table can be long.
}

// ---------------------------------------------------------------------------------------------------------------- what the folders hold
/// One walk through the model folders: files not known yet are inspected one after the other.
struct Runner::Survey {
    std::vector<Loading::File> files;
    std::size_t next = 0;
    Done<std::vector<AvailableModel>> done;
};

namespace {
std::string key_of(const Loading::File& file) { return file.folder + '\0' + file.path; }
/// A refusal that says something of the file, not of the moment (a busy loader, a deadline missed).
bool is_lasting(const Result<Inspection>& result) {
    return result || result.error().code == Code::invalid_model || result.error().code == Code::unsupported;
}
bool same_file(const Loading::File& a, const Loading::File& b) {
    return a.inode == b.inode && a.modified_ns == b.modified_ns && a.file_bytes == b.file_bytes;
}
}  // namespace

void Runner::available_models(Done<std::vector<AvailableModel>> done) {
    ports_.executor->post([this, done = std::move(done)]() mutable {
        auto survey = std::make_shared<Survey>();
        survey->files = ports_.loading->files();
        survey->done = std::move(done);
        survey_next(std::move(survey));
    });
}

void Runner::survey_next(std::shared_ptr<Survey> survey) {
    u64 job = 0;
    {
        const Lock lock(small_lock_);
        while (survey->next < survey->files.size()) {
            const Loading::File& file = survey->files[survey->next];
            const auto known = inspected_.find(key_of(file));
            if (known == inspected_.end() || !same_file(known->second.file, file) || !is_lasting(known->second.result)) break;
            ++survey->next;
        }
        job = next_survey_job_++;
    }
    if (survey->next == survey->files.size()) return survey_ended(*survey);
    const Loading::File file = survey->files[survey->next++];
    ports_.loading->inspect(job, file.folder + "/" + file.path, [this, file, survey](Result<Inspection> result) {
        {
            const Lock lock(small_lock_);
            inspected_.insert_or_assign(key_of(file), Inspected{file, std::move(result)});
        }
        ports_.executor->post([this, survey] { survey_next(survey); });  // Not from here: a chain of callbacks would grow with the files.
    });
}

void Runner::survey_ended(Survey& survey) {
    std::vector<AvailableModel> list;
    {
        const Lock small(small_lock_);
        std::set<std::string> there;
        for (const Loading::File& file : survey.files) {
            AvailableModel& told = list.emplace_back();
            told.path = file.path;
            told.folder = file.folder;
            told.file_bytes = file.file_bytes;
            const auto found = inspected_.find(*there.insert(key_of(file)).first);
            if (found == inspected_.end()) continue;
            if (!found->second.result) {
                told.error = found->second.result.error();
                continue;
            }
            told.inspection = *found->second.result;
            const u64 granule = state_.books.devices().empty() ? 1 : state_.books.devices().front().granule_bytes;
            told.predicted_bytes = round_up(std::max<u64>(told.inspection->memory_bytes, 1), granule);
        }
        std::erase_if(inspected_,
                      [&there](const auto& entry) { return !there.contains(entry.first); });  // Files that are gone are forgotten.
    }
    {
        const Lock lock(lock_);
        for (AvailableModel& told : list)
            if (const model::Model* model = told.inspection ? state_.catalogue.model_of(told.inspection->identity) : nullptr)
                told.loaded_as = model->names;
    }
    survey.done(std::move(list));
}
}  // namespace vramd::engine
