/// Effects: what an event asks of devices, the vault and the loader. Each ends by a command.
#include <algorithm>

#include "base/invariant.hpp"
#include "device/channel.hpp"
#include "engine/runner.hpp"

namespace vramd::engine {
namespace {
/// Of a model in memory whose file is gone: by its name it can be had elsewhere still, from where it is.
std::optional<Inspection> known_inspection(const core::State& state, OperationId id) {
    const model::Operation* operation = state.catalogue.operation(id);
    const model::Model* model = operation == nullptr ? nullptr : state.catalogue.model_named(operation->request.name);
    if (model == nullptr || model->request.path != operation->request.path) return std::nullopt;
    if (state.catalogue.whole_copy(model->id.serial) == nullptr) return std::nullopt;
    return *model->inspection;
}

device::BlockKind kind_of(BlockKind kind, bool shareable) {
    switch (kind) {
        case BlockKind::arena:
            return device::BlockKind::arena;
        case BlockKind::pinned:
            return device::BlockKind::pinned;
        case BlockKind::dedicated:
            break;
    }
    return shareable ? device::BlockKind::shareable : device::BlockKind::dedicated;
}
}  // namespace

device::Device* Runner::device_of(u16 index) {
    const auto found = devices_.find(state_.books.devices()[index].id);
    return found == devices_.end() ? nullptr : found->second.device.get();
}

/// The block as its device knows it; nothing if the books have no such block or its device is not configured any more.
std::optional<device::BlockSpec> Runner::spec_of(BlockKey key, device::Device*& device) {
    const memory::Block* block = state_.books.block(key);
    if (block == nullptr) return std::nullopt;
    device = device_of(block->row.device);
    if (device == nullptr) return std::nullopt;
    bool shareable = false;
    if (!block->allocations().empty()) shareable = state_.books.allocation_by_serial(block->allocations().begin()->second)->row.shareable;
    return device::BlockSpec{key, block->row.size_bytes, kind_of(block->row.kind, shareable)};
}

void Runner::start(const Effect& effect) {
    std::visit([this](const auto& kind) { start_one(kind); }, effect);
}

Executor& Runner::executor_of(BlockKey key) {
    const Lock lock(lock_);
    const memory::Block* const block = state_.books.block(key);
    if (block == nullptr) return *ports_.executor;
    const auto found = devices_.find(state_.books.devices()[block->row.device].id);
    return found == devices_.end() || !found->second.executor ? *ports_.executor : *found->second.executor;
}

void Runner::start_one(const CreateBlockEffect& effect) {
    executor_of(effect.block).post([this, key = effect.block] {
        device::Device* device = nullptr;
        std::optional<device::BlockSpec> spec;
        {
            const Lock lock(lock_);
            spec = spec_of(key, device);
        }
        if (!spec) {
            conclude(BlockFailedCommand{
                key,
                {Code::device_lost, "device", 0, 0,
                 "The device of this memory is not there: it was lost, or is configured no more. Its status says which."}});
            return;
        }
        Result<Fd> memory = device->create(*spec);
        Result<void> stored;
        if (memory) stored = ports_.vault->store(key, spec->size_bytes, *memory);
        if (memory && stored) {
            conclude(BlockCreatedCommand{key});
            return;
        }
        if (memory) (void)device->release(key);  // It exists: that cannot fail.
        conclude(BlockFailedCommand{key, memory ? stored.error() : memory.error()});
    });
}

void Runner::start_one(const ReleaseBlockEffect& effect) {
    executor_of(effect.block).post([this, key = effect.block] {
        device::Device* device = nullptr;
        std::optional<device::BlockSpec> spec;
        {
            const Lock lock(lock_);
            spec = spec_of(key, device);
        }
        for (const auto& [id, configured] : devices_) device::unpin_for(*configured.device, key);
        // Either may not have it: a block whose making failed, or whose release was begun before a restart.
        if (spec) (void)device->release(key);
        (void)ports_.vault->drop(key);
        conclude(BlockReleasedCommand{key});
    });
}

void Runner::start_one(const ZeroEffect& effect) {
    transfer::Job job;
    bool found = false;
    {
        const Lock lock(lock_);
        device::Device* device = nullptr;
        if (const memory::Allocation* allocation = state_.books.allocation(effect.id)) {
            const auto spec = spec_of(allocation->row.block, device);
            if (spec) {
                const auto range = Range::within(spec->size_bytes, allocation->row.offset_bytes, effect.bytes);
                INVARIANT(range.has_value());
                job.target = transfer::Place{device, spec->key, *range};
                found = true;
            }
        }
    }
    const auto ended = [this, id = effect.id](Result<transfer::Outcome> outcome) {
        if (outcome)
            conclude(ZeroedCommand{id});
        else
            conclude(ZeroFailedCommand{id, outcome.error()});
    };
    if (!found)
        return ended(refuse(Code::device_lost, "device",
                            "The device of this memory is not there: it was lost, or is configured no more. Its status says which."));
    job.kind = transfer::Kind::zero;
    // What is not seen may have to be waited for.
    if (effect.bytes <= transfer::run_now_max_bytes && device::is_seen(*job.target->device))
        return ended(ports_.transfer->run_now(std::move(job)));
    const auto ticket = ports_.transfer->submit(std::move(job), ended);
    if (!ticket) ended(std::unexpected(ticket.error()));
}

void Runner::start_one(const InspectModelEffect& effect) {
    std::string path;
    {
        const Lock lock(lock_);
        const model::Operation* operation = state_.catalogue.operation(effect.operation);
        if (operation == nullptr) return;
        path = operation->request.path;
    }
    ports_.loading->inspect(effect.operation.serial, path, [this, id = effect.operation](Result<Inspection> inspection) {
        if (!inspection && inspection.error().code == Code::not_found) {
            const Lock lock(lock_);
            if (auto known = known_inspection(state_, id)) inspection = *std::move(known);
        }
        if (inspection)
            conclude(InspectedCommand{id, *std::move(inspection), ports_.secret(), ports_.secret()});
        else
            conclude(OperationFailedCommand{id, inspection.error()});
    });
    stop_if_cancelled(effect.operation);
}

/// A cancel that came before the job was known to `loading` found nothing to stop.
void Runner::stop_if_cancelled(OperationId operation) {
    {
        const Lock lock(lock_);
        const model::Copy* copy = state_.catalogue.loading_by(operation);
        const model::Operation* row = state_.catalogue.operation(operation);
        const bool cancelled = copy != nullptr ? state_.catalogue.cancelling(*copy) : row != nullptr && row->cancelling;
        if (!cancelled) return;
    }
    start_one(StopLoadEffect{operation});
}

/// Where room is on its way, it is asked again when a block is gone.
void Runner::start_one(const PlaceModelEffect& effect) {
    if (effect.when == PlaceModelEffect::When::after_release) {
        const Lock lock(lock_);
        const bool releasing =
            std::ranges::any_of(state_.books.blocks(), [](const auto& entry) { return entry.second.row.state == BlockState::releasing; });
        if (releasing) return waiting_places_.push_back(effect.operation);
    }
    ports_.executor->post([this, id = effect.operation] { conclude(PlaceModelCommand{id, ports_.secret()}); });
}

void Runner::retry_places() {
    std::vector<OperationId> all;
    {
        const Lock lock(lock_);
        all.swap(waiting_places_);
    }
    for (const OperationId id : all) conclude(PlaceModelCommand{id, ports_.secret()});
}

void Runner::start_one(const LoadModelEffect& effect) {
    device::Device* device = nullptr;
    std::optional<device::BlockSpec> spec;
    std::shared_ptr<const Inspection> inspection;
    std::string path;
    std::optional<AllocationId> source;
    {
        const Lock lock(lock_);
        const model::Copy* copy = state_.catalogue.loading_by(effect.operation);
        if (copy == nullptr) return;
        const model::Model& model = *state_.catalogue.model(copy->model);
        inspection = model.inspection;
        path = model.request.path;
        spec = spec_of(state_.books.allocation(copy->allocation)->row.block, device);
        if (const model::Copy* whole = state_.catalogue.whole_copy(copy->model)) source = whole->allocation;
    }
    const u64 started = ports_.clock().monotonic_ns;
    if (!spec) {
        conclude(OperationFailedCommand{
            effect.operation,
            {Code::device_lost, "device", 0, 0,
             "The device of this memory is not there: it was lost, or is configured no more. Its status says which."}});
        return;
    }
    // Sealed already: the core died between a load's end and its record. What is sealed is whole, for only a finished load is sealed.
    const auto mapping = device->map(spec->key);
    const bool whole = mapping && !mapping->write();
    if (whole || inspection->memory_bytes == 0) return load_ended(effect.operation, spec->key, *device, started, {});
    if (source) return copy_model(effect.operation, *source, {device, spec->key}, inspection->memory_bytes, started);
    Result<Fd> memory;
    if (mapping) memory = device->share(spec->key, device::Sharing::writable);  // What is not seen is lent to no process.
    if (!memory) return load_ended(effect.operation, spec->key, *device, started, std::unexpected(memory.error()));
    const u64 serial = effect.operation.serial;
    ports_.loading->load(
        serial, path, *inspection, {*std::move(memory), 0, spec->size_bytes, device, spec->key},
        [this, serial](u64 bytes) {
            const Lock lock(small_lock_);
            u64& landed = progress_[serial];
            if (bytes > landed) landed = bytes;
        },
        [this, id = effect.operation, key = spec->key, device, started](Result<void> result) {
            load_ended(id, key, *device, started, std::move(result));
        });
    stop_if_cancelled(effect.operation);
}

/// Brings a model's bytes from a copy that is whole: nothing is read again that is in memory anywhere.
void Runner::copy_model(OperationId operation, AllocationId source, BlockOf target, u64 bytes, u64 started_ns) {
    transfer::Job job;
    job.kind = transfer::Kind::copy;
    job.target = transfer::Place{target.device, target.key, *Range::within(bytes, 0, bytes)};
    {
        const Lock lock(lock_);
        device::Device* from = nullptr;
        const memory::Allocation* allocation = state_.books.allocation(source);
        const auto spec = allocation == nullptr ? std::nullopt : spec_of(allocation->row.block, from);
        if (spec) {
            job.source = transfer::Place{from, spec->key, *Range::within(spec->size_bytes, allocation->row.offset_bytes, bytes)};
            hold(source.serial);
        }
    }
    if (!job.source)
        return load_ended(
            operation, target.key, *target.device, started_ns,
            refuse(Code::device_lost, "device",
                   "The copy in memory that the load was to be made from is lost. Load it again: it is read from its file then."));
    const auto ended = [this, operation, source, target, started_ns](const Result<transfer::Outcome>& outcome) {
        {
            const Lock lock(small_lock_);
            model_copies_.erase(operation.serial);
        }
        let_go(source.serial);
        Result<void> result;
        if (!outcome) result = std::unexpected(outcome.error());
        load_ended(operation, target.key, *target.device, started_ns, std::move(result));
    };
    if (bytes <= transfer::run_now_max_bytes) return ended(ports_.transfer->run_now(std::move(job)));
    {
        const Lock lock(small_lock_);  // The end waits for the ticket's entry.
        const auto ticket = ports_.transfer->submit(std::move(job), [this, ended](const Result<transfer::Outcome>& outcome) {
            ports_.executor->post([ended, outcome] { ended(outcome); });  // Not from here: it takes the lock.
        });
        if (ticket)
            model_copies_[operation.serial] = *ticket;
        else
            ports_.executor->post([ended, error = ticket.error()] { ended(std::unexpected(error)); });
    }
    stop_if_cancelled(operation);
}

/// The loader's process is gone. What it loaded can be sealed now, so that nobody who attaches it can write it.
void Runner::load_ended(OperationId operation, BlockKey block, device::Device& device, u64 started_ns, Result<void> result) {
    if (result) {
        const auto sealed = device.seal_for_sharing(block);
        if (!sealed && sealed.error().code != Code::unsupported) result = std::unexpected(sealed.error());
    }
    // What lies in system memory is there to be brought elsewhere: a GPU may read it by itself from now on.
    if (const auto mapping = device.map(block); result && mapping)
        for (const auto& [id, configured] : devices_) device::pin_for(*configured.device, block, *mapping);
    if (result)
        conclude(LoadedCommand{operation, ports_.clock().monotonic_ns - started_ns});
    else
        conclude(OperationFailedCommand{operation, result.error()});
    const Lock lock(small_lock_);
    progress_.erase(operation.serial);  // Not before it has ended: what is told of it must not go back.
}

void Runner::start_one(const StopLoadEffect& effect) {
    std::optional<transfer::Ticket> copying;
    {
        const Lock lock(small_lock_);
        if (const auto found = model_copies_.find(effect.operation.serial); found != model_copies_.end()) copying = found->second;
    }
    if (copying) (void)ports_.transfer->cancel(*copying);  // Not there: then it has ended.
    ports_.loading->cancel(effect.operation.serial);
    ports_.executor->post(
        [this, serial = effect.operation.serial] { retry_load(serial); });  // One that waits for room has no process to stop.
}
}  // namespace vramd::engine
