#include "clients.hpp"

#include <algorithm>
#include <cstring>

namespace vramd::simulation {
namespace {
constexpr u64 sizes[] = {1, 255, 256, 257, 4096, 5000, 20'000, 65'536, 200'000};
}  // namespace

void Clients::act(Choices& choices) {
    switch (choices.below(36)) {
        case 0 ... 4: allocate(choices); break;
        case 5 ... 7: free(choices); break;
        case 8 ... 10: write(choices); break;
        case 11 ... 12: read(choices); break;
        case 13: clear(choices); break;
        case 14: copy(choices); break;
        case 15: renew(choices); break;
        case 16: touch_others(choices); break;
        case 17 ... 18: load(choices); break;
        case 19: unload(choices); break;
        case 20: cancel(choices); break;
        case 21: change_file(choices); break;
        case 22: fault(choices); break;
        case 23: world_.advance_ns(choices.below(20) * ns_per_second); break;
        case 24:
            if (choices.one_in(8)) crash(choices);
            break;
        case 25: hold_open(choices); break;
        case 26: force_free(choices); break;
        case 27: clear_free(choices); break;
        default: (void)world_.step(choices); break;  // Nothing may be due.
    }
    check();
}

std::optional<AllocationId> Clients::any(Choices& choices) {
    if (held_.empty()) return std::nullopt;
    auto at = held_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(choices.below(held_.size())));
    return at->first;
}

void Clients::took(AllocationId id, Held held) {
    for (const std::byte byte : content(held.owner, id))
        if (byte != std::byte{0}) fail("a new allocation shows bytes of an older one");
    if (!held_.emplace(id, std::move(held)).second) fail("an id was given out twice");
}

void Clients::allocate(Choices& choices) {
    AllocateCommand command;
    command.caller = caller_of(choices.below(3));
    command.device_id = std::array{"", "a", "b"}[choices.below(3)];
    command.size_bytes = sizes[choices.below(std::size(sizes))];
    command.alignment_bytes = u64{1} << choices.below(14);
    command.type = std::array{AllocationType::default_, AllocationType::default_, AllocationType::buffer, AllocationType::mapped,
                              AllocationType::texture}[choices.below(5)];
    command.shareable = choices.one_in(8);
    command.persistent = !choices.one_in(4);
    command.lease_seconds = 10 + choices.below(50);
    command.priority = static_cast<Priority>(choices.below(4));
    const u64 timeout = choices.one_in(4) ? choices.below(60) * ns_per_second : 0;
    const u64 epoch = world_.epoch;
    ++unanswered_;
    world_.core().allocate(command, timeout, [this, epoch, command](Result<engine::Allocated> allocated) {
        if (epoch == world_.epoch) --unanswered_;
        if (epoch != world_.epoch || !allocated) return;  // A dead core's answer reaches nobody.
        const report::AllocationTold& record = allocated->record;
        if (record.size_bytes != command.size_bytes || record.owner != command.caller.owner) fail("an allocation is not what was asked for");
        if (record.offset_bytes % command.alignment_bytes != 0) fail("an allocation is misaligned");
        Held held{command.caller, std::vector<std::byte>(command.size_bytes), 0, command.lease_seconds, 0, false, false};
        if (!command.persistent) held.lease_until_ns = record.lease_until_monotonic_ns;
        took(record.id, std::move(held));
    });
}

void Clients::free(Choices& choices) {
    const auto id = any(choices);
    if (!id) return;
    Held& held = held_.at(*id);
    const bool busy = held.busy > 0 || held.ending;
    const bool gone = expired(held);
    bool answered = false;
    world_.core().free({held.owner, *id}, false, [&](Result<engine::Freed> freed) {
        answered = true;
        if (freed && busy) fail("memory was freed while it was being written");
        if (!freed && !busy && !gone) fail("a free was refused: " + describe(freed.error()));
        if (freed) held_.erase(*id);
    });
    if (!answered) fail("a free was not answered");
}

std::vector<std::byte> Clients::content(const Caller& caller, AllocationId id) {
    auto opened = world_.core().open_content(caller, id, engine::Access::read);
    if (!opened) fail("content cannot be read: " + describe(opened.error()));
    std::vector<std::byte> bytes;
    while (bytes.size() < (*opened)->size_bytes()) {
        const auto part = (*opened)->view(bytes.size(), 10'000);
        if (!part || part->empty()) fail("a view of content is missing");
        bytes.insert(bytes.end(), part->begin(), part->end());
    }
    return bytes;
}

void Clients::write(Choices& choices) {
    const auto id = any(choices);
    if (!id) return;
    Held& held = held_.at(*id);
    if (held.busy > 0 || held.ending || expired(held)) return;
    auto opened = world_.core().open_content(held.owner, *id, engine::Access::write);
    if (!opened) fail("content cannot be written: " + describe(opened.error()));
    const u64 from = choices.below(held.bytes.size());
    const u64 count = 1 + choices.below(held.bytes.size() - from);
    const auto value = static_cast<std::byte>(1 + choices.below(255));
    const auto room = (*opened)->room(from, count);
    if (!room || room->size() < count) fail("there is no room to write");
    std::memset(room->data(), static_cast<int>(value), count);
    std::fill_n(held.bytes.begin() + static_cast<std::ptrdiff_t>(from), count, value);
    if (held.lease_until_ns != 0) held.lease_until_ns = world_.now_ns() + held.lease_seconds * ns_per_second;
}

void Clients::compare(AllocationId id, Held& held) {
    if (held.busy > 0 || held.ending) return;
    const std::vector<std::byte> bytes = content(held.owner, id);
    if (held.unsure && bytes.size() == held.bytes.size()) {
        held.bytes = bytes;
        held.unsure = false;
    }
    if (bytes != held.bytes) fail("allocation " + std::to_string(id.serial) + " holds other bytes than were written");
    if (held.lease_until_ns != 0) held.lease_until_ns = world_.now_ns() + held.lease_seconds * ns_per_second;
}

void Clients::read(Choices& choices) {
    const auto id = any(choices);
    if (id && !expired(held_.at(*id))) compare(*id, held_.at(*id));
}

void Clients::clear(Choices& choices) {
    const auto id = any(choices);
    if (!id) return;
    Held& held = held_.at(*id);
    if (held.busy > 0 || held.ending || expired(held)) return;
    engine::ClearRequest request;
    request.caller = held.owner;
    request.allocation = *id;
    request.offset_bytes = choices.below(held.bytes.size());
    request.size_bytes = 1 + choices.below(held.bytes.size() - request.offset_bytes);
    request.fill_value = static_cast<u8>(choices.below(256));
    if (held.lease_until_ns != 0) held.lease_until_ns = world_.now_ns() + held.lease_seconds * ns_per_second;
    held.busy += 1;
    ++unanswered_;
    const u64 epoch = world_.epoch;
    world_.core().clear(request, [this, epoch, id = *id, request](Result<engine::Moved> moved) {
        if (epoch != world_.epoch) return;
        --unanswered_;
        Held& cleared = held_.at(id);
        cleared.busy -= 1;
        if (!moved) fail("a clear failed: " + describe(moved.error()));
        std::fill_n(cleared.bytes.begin() + static_cast<std::ptrdiff_t>(request.offset_bytes), *request.size_bytes, static_cast<std::byte>(request.fill_value));
    });
}

void Clients::copy(Choices& choices) {
    const auto from = any(choices);
    const auto to = any(choices);
    if (!from || !to) return;
    Held& source = held_.at(*from);
    Held& target = held_.at(*to);
    if (source.owner.owner != target.owner.owner || source.busy > 0 || target.busy > 0 || source.ending || target.ending || expired(source) || expired(target)) return;
    engine::CopyRequest request{source.owner, *from, *to, choices.below(source.bytes.size()), choices.below(target.bytes.size()), std::nullopt};
    const u64 size = std::min(source.bytes.size() - request.source_offset_bytes, target.bytes.size() - request.target_offset_bytes);
    request.size_bytes = size;
    source.busy += 1;
    target.busy += 1;
    ++unanswered_;
    const u64 epoch = world_.epoch;
    world_.core().copy(request, [this, epoch, request](Result<engine::Moved> moved) {
        if (epoch != world_.epoch) return;
        --unanswered_;
        Held& read = held_.at(request.source);
        Held& written = held_.at(request.target);
        read.busy -= 1;
        written.busy -= 1;
        if (!moved) {
            if (moved.error().code != Code::unsupported) fail("a copy failed: " + describe(moved.error()));
            return;
        }
        // When the copy began is not known here, only that it renewed both leases: what the core says is taken.
        for (const auto& [id, held] : {std::pair{request.source, &read}, std::pair{request.target, &written}})
            if (held->lease_until_ns != 0) held->lease_until_ns = std::max(held->lease_until_ns, world_.core().allocation(admin, id)->lease_until_monotonic_ns);
        std::memmove(written.bytes.data() + request.target_offset_bytes, read.bytes.data() + request.source_offset_bytes, *request.size_bytes);
    });
}

void Clients::renew(Choices& choices) {
    const auto id = any(choices);
    if (!id) return;
    Held& held = held_.at(*id);
    if (held.lease_until_ns == 0 || held.ending || expired(held)) return;
    held.lease_seconds = 1 + choices.below(100);
    const auto told = world_.core().renew_lease({held.owner, *id, held.lease_seconds});
    if (!told) fail("a lease was not renewed: " + describe(told.error()));
    held.lease_until_ns = told->lease_until_monotonic_ns;
}

/// Another's allocation looks like a missing one, whatever is tried.
void Clients::touch_others(Choices& choices) {
    const auto id = any(choices);
    if (!id) return;
    const Caller stranger{"stranger", Role::user};
    const auto expect_missing = [](const auto& result) {
        if (result || result.error().code != Code::not_found) fail("another's allocation does not look missing");
    };
    expect_missing(world_.core().allocation(stranger, *id));
    expect_missing(world_.core().open_content(stranger, *id, engine::Access::read));
    expect_missing(world_.core().renew_lease({stranger, *id, 5}));
    world_.core().free({stranger, *id}, false, expect_missing);
    world_.core().free({held_.at(*id).owner, {id->serial, id->secret + 1}}, false, expect_missing);
}

void Clients::change_file(Choices& choices) {
    ModelFile& file = world_.files[model_paths[choices.below(std::size(model_paths))]];
    file.size_bytes = 1 + choices.below(100'000);
    file.seed = choices.below(1000);
    file.version += 1;
}

/// Somebody begins to read, or one of those who read stops.
void Clients::hold_open(Choices& choices) {
    if (readers_.size() >= 3 || (!readers_.empty() && choices.one_in(2))) return let_reader_go(choices.below(readers_.size()));
    const auto id = any(choices);
    if (!id || held_.at(*id).ending || expired(held_.at(*id))) return;
    Held& held = held_.at(*id);
    auto opened = world_.core().open_content(held.owner, *id, engine::Access::read);
    if (!opened) fail("content cannot be read: " + describe(opened.error()));
    held.busy += 1;
    if (held.lease_until_ns != 0) held.lease_until_ns = world_.now_ns() + held.lease_seconds * ns_per_second;
    readers_.emplace_back(*id, *std::move(opened));
}

void Clients::let_reader_go(std::size_t index) {
    auto reader = std::move(readers_[index]);
    readers_.erase(readers_.begin() + static_cast<std::ptrdiff_t>(index));
    held_.at(reader.first).busy -= 1;
    reader.second.reset();
}

/// A forced free waits for those who read and write now, and then frees.
void Clients::force_free(Choices& choices) {
    const auto id = any(choices);
    if (!id || held_.at(*id).ending || expired(held_.at(*id))) return;
    Held& held = held_.at(*id);
    const auto reads_it = [&id](const auto& reader) { return reader.first == *id; };
    if (held.busy != static_cast<u64>(std::ranges::count_if(readers_, reads_it))) return;  // A clear's answer may come after the free's.
    held.ending = true;
    ++unanswered_;
    const u64 epoch = world_.epoch;
    world_.core().free({held.owner, *id}, true, [this, epoch, id = *id](const Result<engine::Freed>& freed) {
        if (epoch != world_.epoch) return;
        --unanswered_;
        if (!freed) fail("a forced free was refused: " + describe(freed.error()));
        if (held_.at(id).busy > 0) fail("a forced free did not wait for those at it");
        held_.erase(id);
    });
}

/// Free memory is overwritten; whatever is placed meanwhile and afterwards must not notice.
void Clients::clear_free(Choices& choices) {
    engine::ClearRequest request;
    request.caller = admin;
    request.device_id = std::array{"a", "b"}[choices.below(2)];
    request.fill_value = static_cast<u8>(choices.below(256));
    ++unanswered_;
    const u64 epoch = world_.epoch;
    world_.core().clear(request, [this, epoch](const Result<engine::Moved>& moved) {
        if (epoch != world_.epoch) return;
        --unanswered_;
        if (!moved) fail("a clear of free memory failed: " + describe(moved.error()));
    });
}

void Clients::fault(Choices& choices) {
    if (choices.one_in(2))
        world_.vault->failures = 1;
    else
        world_.backings[choices.below(world_.backings.size())]->fail_creates(1, Code::insufficient_memory);
}

void Clients::compare_models() {
    for (const auto& [name, path] : resident_) {
        const auto told = world_.core().model(name);
        if (!told || told->state != ModelState::resident) fail("the model " + name + " is not there any more");
        const std::vector<std::byte> bytes = content({"anybody", Role::user}, told->allocation);
        // The file may have changed since: what was loaded must be one whole version of it, which its first load fixed.
        const auto known = resident_files_.find(to_text(told->id));
        if (known == resident_files_.end()) continue;
        for (u64 i = 0; i < known->second.size_bytes; ++i)
            if (bytes[i] != model_byte(known->second, i)) fail("the model " + name + " holds wrong bytes");
    }
}

// -------------------------------------------------------------------------------------------------------------------------- the oracle
void Clients::check() {
    // A lease that ran out ends at the world's next steps; what is gone by then is forgotten here.
    std::erase_if(held_, [this](const auto& entry) {
        return expired(entry.second) && entry.second.busy == 0 && !world_.core().allocation(admin, entry.first);
    });
    for (const report::ModelTold& model : world_.core().models())
        if (model.state == ModelState::resident && !resident_files_.contains(to_text(model.id)))
            if (const auto file = world_.files.find(model.path); file != world_.files.end() && file->second.size_bytes == model.tensor_bytes)
                resident_files_[to_text(model.id)] = file->second;
    // Who needs room takes it from models that nobody reads; they go with all their names.
    std::erase_if(resident_, [this](const auto& entry) {
        if (world_.core().model(entry.first)) return false;
        ++evicted_;
        return true;
    });
    for (const auto& [id, content] : readers_)
        if (!world_.core().allocation(admin, id)) fail("memory went away while it was being read");
    for (const std::string& finding : world_.core().findings()) fail(finding);
    for (const engine::DeviceTold& device : world_.core().devices()) {
        const report::DeviceBooks& books = device.books;
        if (books.live_bytes + books.zombie_bytes + books.reserved_bytes + books.free_bytes != books.total_bytes) fail("a device's bytes do not add up");
        if (books.largest_free_bytes > books.free_bytes) fail("the largest hole is larger than all that is free");
    }
}

void Clients::compare_all() {
    for (auto& [id, held] : held_) {
        if (expired(held) && !world_.core().allocation(admin, id)) continue;
        compare(id, held);
    }
    compare_models();
}

void Clients::crash(Choices& choices) {
    while (!readers_.empty()) let_reader_go(0);  // Before the core that they read from.
    unanswered_ = 0;
    world_.capacities.at("b") = choices.one_in(2) ? 256 * kib : 64 * kib + choices.below(32) * 4096;
    loads_.clear();  // Whoever waited for them lost the connection.
    for (auto& [id, held] : held_) {
        held.unsure = held.unsure || held.busy > 0;
        held.busy = 0;
        held.ending = false;
    }
    std::set<std::string> acknowledged;
    for (const auto& [name, path] : resident_) acknowledged.insert(name);
    for (const std::string& wrong : world_.crash()) fail(wrong);
    for (const std::string& name : acknowledged)
        if (!world_.core().model(name)) fail("the model " + name + " was lost in a crash");
    compare_all();
    // Exactly what was acknowledged is there: an answer that nobody heard leaves nothing behind but models and loads that go on.
    report::AllocationFilter all;
    all.limit = 100'000;
    for (const report::AllocationTold& told : world_.core().allocations(admin, all).items)
        if (told.model.empty() && told.owner != "vramd" && !held_.contains(told.id)) fail("an allocation that nobody was told of outlived a crash");
}

void Clients::finish(Choices& choices) {
    while (!readers_.empty()) let_reader_go(0);
    world_.settle(choices);
    check();
    compare_all();
    for (const report::ModelTold& model : world_.core().models())
        for (const std::string& name : model.names) world_.core().unload_model({admin, name, ""}, [](Result<engine::Freed>) {});
    world_.advance_ns(1000 * ns_per_second);
    world_.settle(choices);
    check();
    if (unanswered_ != 0) fail("a request outlived its deadline");
    // Requests that waited for room get it as others let go: until nobody holds anything.
    while (!held_.empty()) {
        const auto [id, held] = *held_.begin();
        held_.erase(id);
        world_.core().free({held.owner, id}, false, [](const Result<engine::Freed>& freed) {
            if (!freed) fail("the last free was refused: " + describe(freed.error()));
        });
        world_.settle(choices);
    }
    if (unanswered_ != 0) fail(std::to_string(unanswered_) + " requests were never answered");
    for (const report::OperationTold& told : world_.core().operations(admin, 10'000))
        if (told.state == OperationState::running) fail("a load never ended");
    for (const engine::DeviceTold& device : world_.core().devices())
        if (device.books.total_bytes != world_.capacities.at(device.books.device_id)) fail("the configured capacity does not hold");
    for (const std::string& wrong : world_.leaks()) fail(wrong);
    for (const engine::DeviceTold& device : world_.core().devices())
        if (device.books.live_bytes + device.books.zombie_bytes != 0) fail("bytes are left after everything was given back");
}
}  // namespace vramd::simulation
