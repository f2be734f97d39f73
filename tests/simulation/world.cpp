#include "world.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

namespace vramd::simulation {
bool SteppedExecutor::step(Choices& choices, u64 now_ns) {
    while (!later_.empty() && later_.begin()->first <= now_ns) {
        due_.push_back(std::move(later_.begin()->second));
        later_.erase(later_.begin());
    }
    if (due_.empty()) return false;
    const auto at = due_.begin() + static_cast<std::ptrdiff_t>(choices.below(due_.size()));
    auto work = std::move(*at);
    due_.erase(at);
    work();
    return true;
}

Result<void> SimVault::store(BlockKey key, u64 size_bytes, const Fd&) {
    if (failures > 0) {
        --failures;
        return refuse(Code::limit_exceeded, "blocks", blocks.size(), blocks.size());
    }
    if (!blocks.emplace(key, size_bytes).second) return refuse(Code::conflict, "block", key, 0);
    return {};
}

Result<void> SimVault::drop(BlockKey key) {
    if (blocks.erase(key) == 0) return refuse(Code::not_found, "block", key, 0);
    if (let_go) let_go(key);
    return {};
}

std::byte model_byte(const ModelFile& file, u64 offset) {
    const u64 mixed = (offset + 1) * (file.seed | 1) + file.version * 131;
    return static_cast<std::byte>((mixed ^ (mixed >> 17)) | 1);
}

namespace {
Inspection inspection_of(const std::string& path, const ModelFile& file) {
    Inspection inspection;
    inspection.format = ModelFormat::safetensors;
    inspection.identity = {1, std::hash<std::string>{}(path), file.size_bytes, file.version, file.seed};
    inspection.memory_bytes = file.size_bytes;
    inspection.tensor_bytes = file.size_bytes;
    inspection.tensors = {{"weight", "u8", {file.size_bytes}, 0, file.size_bytes}};
    return inspection;
}
}  // namespace

void SimLoading::inspect(u64 job, const std::string& path, Inspected done) {
    Job work;
    work.path = path;
    work.inspected = std::move(done);
    jobs_.insert_or_assign(job, std::move(work));
}

void SimLoading::load(u64 job, const std::string& path, const Inspection& expected, Destination into,
                      std::move_only_function<void(u64)> progress, std::move_only_function<void(Result<void>)> done) {
    Job work;
    work.path = path;
    work.expected = expected;
    work.into = std::move(into);
    work.progress = std::move(progress);
    work.loaded = std::move(done);
    jobs_.insert_or_assign(job, std::move(work));
}

void SimLoading::cancel(u64 job) {
    if (const auto found = jobs_.find(job); found != jobs_.end()) found->second.cancelled = true;
}

void SimLoading::end(std::map<u64, Job>::iterator at, Result<void> result) {
    auto loaded = std::move(at->second.loaded);
    jobs_.erase(at);
    loaded(std::move(result));
}

bool SimLoading::step(Choices& choices) {
    if (jobs_.empty()) return false;
    auto at = jobs_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(choices.below(jobs_.size())));
    Job& job = at->second;
    const auto file = files_.find(job.path);
    if (job.inspected) {
        auto done = std::move(job.inspected);
        const bool cancelled = job.cancelled;
        const std::string path = job.path;
        jobs_.erase(at);
        if (cancelled)
            done(refuse(Code::cancelled, "operation", "cancelled"));
        else if (file == files_.end())
            done(refuse(Code::not_found, "/path", "There is no such file."));
        else
            done(inspection_of(path, file->second));
        return true;
    }
    if (job.cancelled) return end(at, refuse(Code::cancelled, "operation", "cancelled")), true;
    if (file == files_.end() || inspection_of(job.path, file->second).identity != job.expected.identity)
        return end(at, refuse(Code::invalid_model, "path", "The file changed.")), true;
    auto mapping = job.into.device->map(job.into.block);
    if (!mapping) return end(at, std::unexpected(mapping.error())), true;
    auto bytes = mapping->write();
    if (!bytes) return end(at, std::unexpected(bytes.error())), true;
    const u64 until =
        std::min(file->second.size_bytes, job.landed + file->second.size_bytes / 4 + 1 + choices.below(file->second.size_bytes));
    for (; job.landed < until; ++job.landed) (*bytes)[job.landed] = model_byte(file->second, job.landed);
    job.progress(job.landed);
    if (job.landed == file->second.size_bytes) end(at, {});
    return true;
}

World::World(u64 seed, std::map<std::string, u64> capacities_then, u64 cache_max_bytes_then, core::ReliefMarks relief_then)
    : capacities(std::move(capacities_then)), cache_max_bytes(cache_max_bytes_then), relief(relief_then), secrets_(seed ^ 0x5eed) {
    // In memory where there is such a folder: the histories are many, and a disk shows nothing more.
    std::string pattern = access("/dev/shm", W_OK) == 0 ? "/dev/shm/vramd-simulation-XXXXXX" : "/tmp/vramd-simulation-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    folder_ = pattern;
    vault->let_go = [this](BlockKey key) {
        for (const auto& backing : backings) (void)backing->drop(key);  // Known to the core, or on the other device: then it stays.
    };
    for (const auto& [id, capacity] : capacities) {
        device::sim::Backing::Options options;
        options.id = id;
        options.capacity_bytes = capacity;
        if (id == "a") options.common_memory = "machine";
        if (id == "b") options.granularity_bytes = 16 * kib;  // So that what moves there takes another size.
        backings.push_back(std::make_unique<device::sim::Backing>(options));
    }
    start();
}

World::~World() {
    core_->abandon();
    ++epoch;
    loading_.reset();
    executor_.reset();
    transfer_.reset();
    core_.reset();
    std::error_code ignored;  // A folder under /tmp that stays behind harms nobody.
    std::filesystem::remove_all(folder_, ignored);
}

void World::start() {
    ++epoch;
    executor_ = std::make_shared<SteppedExecutor>();
    loading_ = std::make_shared<SimLoading>(files);
    transfer::Options stepped;
    stepped.mode = transfer::Options::Mode::stepped;
    stepped.landed = [this](std::span<std::byte> bytes) {
        if (flips == 0) return;
        --flips;
        bytes[bytes.size() / 2] ^= std::byte{1};
    };
    transfer_ = std::make_shared<transfer::Engine>(stepped);
    engine::Ports ports;
    ports.clock = [this] { return now_; };
    ports.secret = [this] { return secrets_.next(); };
    ports.vault = vault;
    ports.executor = executor_;
    ports.loading = loading_;
    ports.transfer = transfer_;
    for (const auto& backing : backings) {
        std::shared_ptr<device::Device> device = backing->open();
        ports.devices.push_back({device->facts().id, capacities.at(device->facts().id), device->facts().granularity_bytes, device});
    }
    for (const auto& [key, size] : vault->blocks) ports.kept.push_back({key, size, Fd()});
    engine::Options options;
    options.state_directory = folder_ / "ledger";
    options.life = "simulation";
    options.ledger_segment_bytes = 256 * kib;
    options.cache_device_id = "a";
    options.cache_max_bytes = cache_max_bytes;
    options.eviction = static_cast<EvictionOrder>(cache_max_bytes / kib % 3);
    options.relief = relief;
    options.sample_every_ns = relief == core::no_relief ? 0 : 100 * ns_per_ms;
    options.watermarks = cache_max_bytes / kib % 2 == 0 ? Watermarks{} : no_watermarks;
    core_ = std::make_unique<engine::Runner>(std::move(options), std::move(ports));
    if (const auto recovered = core_->recover(); !recovered) throw std::runtime_error("recovery: " + describe(recovered.error()));
}

bool World::step(Choices& choices) {
    switch (choices.below(3)) {
        case 0:
            return executor_->step(choices, now_ns()) || transfer_->step() > 0 || loading_->step(choices);
        case 1:
            return transfer_->step() > 0 || loading_->step(choices) || executor_->step(choices, now_ns());
        default:
            return loading_->step(choices) || executor_->step(choices, now_ns()) || transfer_->step() > 0;
    }
}

void World::disarm() {
    vault->failures = 0;
    flips = 0;
    for (const auto& backing : backings) {
        backing->fail_creates(0, Code::insufficient_memory);
        backing->fail_call(UINT64_MAX / 2, Code::system_failed);  // Never reached.
    }
}

namespace {
/// The state that the ledger's files lead to, by themselves.
Result<u64> replayed_hash(const std::filesystem::path& folder) {
    ledger::Options options;
    options.directory = folder;
    options.life = "simulation";
    options.segment_bytes = 256 * kib;
    TRY(const ledger::Opened opened, ledger::Ledger::open(options));
    core::State state;
    if (opened.snapshot) {
        TRY(state, core::restore(opened.snapshot->state));
    }
    TRY_DO(opened.ledger->replay([&state](const ledger::Batch& batch) -> Result<ledger::Visit> {
        for (const auto bytes : batch.events) {
            TRY(const Event event, decode_event(bytes));
            core::apply(state, event);
        }
        return ledger::Visit::more;
    }));
    return core::state_hash(state);
}
}  // namespace

std::vector<std::string> World::crash() {
    std::vector<std::string> wrong;
    const u64 before = core_->hash();
    core_->abandon();
    ++epoch;
    loading_.reset();
    executor_.reset();
    transfer_.reset();
    core_.reset();
    // What the core had made and not given to the keeper yet ends with it.
    for (const auto& backing : backings)
        for (const device::BlockSpec& block : backing->blocks())
            if (!vault->blocks.contains(block.key)) (void)backing->drop(block.key);  // No core knows it: it goes.
    const auto replayed = replayed_hash(folder_ / "ledger");
    if (!replayed)
        wrong.push_back("the ledger cannot be read: " + describe(replayed.error()));
    else if (*replayed != before)
        wrong.push_back("the replay leads to another state than the one before the crash");
    start();
    return wrong;
}

std::vector<std::string> World::leaks() {
    std::vector<std::string> wrong = core_->audit().findings;
    std::set<BlockKey> on_devices;
    for (const auto& backing : backings)
        for (const device::BlockSpec& block : backing->blocks()) on_devices.insert(block.key);
    std::set<BlockKey> in_vault;
    for (const auto& [key, size] : vault->blocks) in_vault.insert(key);
    if (on_devices != in_vault) wrong.push_back("devices and vault hold different blocks");
    u64 in_books = 0;
    for (const engine::DeviceTold& device : core_->devices()) in_books += device.books.blocks;
    if (in_books != on_devices.size())
        wrong.push_back("the books have " + std::to_string(in_books) + " blocks, the devices " + std::to_string(on_devices.size()));
    return wrong;
}
}  // namespace vramd::simulation
