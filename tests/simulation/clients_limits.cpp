/// Limits as admins have set them, requests that wait for room, and what a refusal advises.
///
/// The model keeps the limits as they were answered and works out by itself what they allow; of a request it knows when it was made, what
/// it asks and how urgent it is. Who was served, and in which order, is read from the allocations: each carries its request's secret.
#include <algorithm>
#include <charconv>

#include "clients.hpp"

namespace vramd::simulation {
namespace {
constexpr u64 overtakings_borne = 8;
/// From the lowest priority to above the highest, and the steps by which a closed device is passed once more.
constexpr u64 overtaken_max = 5 * overtakings_borne;
constexpr u64 wanted_sizes[] = {4096, 20'000, 65'536, 100'000, 200'000};
constexpr u64 first_secret = u64{1} << 40;  ///< Apart from those that the core draws.

u64 number_after(std::string_view text, std::string_view words) {
    const auto at = text.find(words);
    u64 value = 0;
    if (at != std::string_view::npos) (void)std::from_chars(text.data() + at + words.size(), text.data() + text.size(), value);
    return value;
}

bool same_kind(const AllocateCommand& a, const AllocateCommand& b) {
    return a.caller.owner == b.caller.owner && a.device_id == b.device_id && a.type == b.type && a.shareable == b.shareable;
}
}  // namespace

u64 Clients::usable(const std::string& device, u64 capacity_bytes) const {
    const auto found = limits_.find(device);
    if (found == limits_.end()) return capacity_bytes;
    const DeviceLimits& limits = found->second;
    u64 most = capacity_bytes;
    if (limits.form == LimitForm::bytes) most = std::min(most, limits.max_bytes);
    if (limits.form == LimitForm::percentage)
        most = capacity_bytes / 10'000 * limits.max_hundredths + capacity_bytes % 10'000 * limits.max_hundredths / 10'000;
    return most > limits.reserve_bytes ? most - limits.reserve_bytes : 0;
}

LimitsChange Clients::any_change(Choices& choices, u64 capacity_bytes) {
    LimitsChange change;
    switch (choices.below(7)) {
        case 0:
            change.max_bytes = capacity_bytes / 4 + choices.below(capacity_bytes * 3 / 4 + 1);
            break;
        case 1:
            change.max_hundredths = 2'000 + choices.below(8'001);
            break;
        case 2:
            change.reserve_bytes = choices.below(capacity_bytes / 2);
            break;
        case 3:
            change.emergency_hundredths = 1 + choices.below(8'000);
            break;
        case 4:
            change.owner_quotas.emplace();
            for (u64 i = choices.below(3); i > 0; --i)
                (*change.owner_quotas)[caller_of(choices.below(3)).owner] = choices.below(capacity_bytes / 2);
            break;
        default:
            change.max_hundredths = 100'00;
            change.reserve_bytes = 0;
            change.emergency_hundredths = 100'00;
            change.owner_quotas.emplace();
    }
    return change;
}

/// Sets them and notes what is allowed from then on; nothing where the ledger could not take it just now.
std::optional<engine::LimitsChanged> Clients::change_limits(const SetLimitsCommand& command) {
    const DeviceLimits before = limits_[command.device_id];
    DeviceLimits& limits = limits_[command.device_id];
    if (command.change.max_bytes) limits.form = LimitForm::bytes, limits.max_bytes = *command.change.max_bytes;
    if (command.change.max_hundredths) limits.form = LimitForm::percentage, limits.max_hundredths = *command.change.max_hundredths;
    if (command.change.reserve_bytes) limits.reserve_bytes = *command.change.reserve_bytes;
    if (command.change.emergency_hundredths) limits.emergency_hundredths = *command.change.emergency_hundredths;
    if (command.change.owner_quotas) limits.owner_quotas = *command.change.owner_quotas;
    if (command.change.owner_quotas)
        for (auto& [secret, wanted] : wanted_) wanted.had_quota = wanted.had_quota || quota_of(wanted.command);
    const auto changed = world_.core().set_limits(command, engine::Trial::real);
    if (!changed && changed.error().code != Code::read_only) fail("limits cannot be set: " + describe(changed.error()));
    if (!changed) return limits_[command.device_id] = before, std::nullopt;
    if (changed->limits.usable_bytes != usable(command.device_id, changed->limits.capacity_bytes))
        fail("limits are told that were not set");
    met_["limits were set"] += 1;
    met_["limits evicted a model"] += changed->reclaimed.models.size();
    return *changed;
}

std::optional<u64> Clients::quota_of(const AllocateCommand& command) const {
    for (const auto& [device, limits] : limits_) {
        if (!command.device_id.empty() && command.device_id != device) continue;
        if (const auto found = limits.owner_quotas.find(command.caller.owner); found != limits.owner_quotas.end()) return found->second;
    }
    return std::nullopt;
}

/// A request for room, more often than not one that has to wait for it.
void Clients::want(Choices& choices) {
    AllocateCommand command;
    command.caller = caller_of(choices.below(3));
    command.device_id = std::array{"a", "a", "b", ""}[choices.below(4)];
    command.size_bytes = wanted_sizes[choices.below(std::size(wanted_sizes))];
    command.priority = static_cast<Priority>(choices.below(4));
    command.type = choices.one_in(2) ? AllocationType::mapped : AllocationType::default_;
    const u64 timeout = choices.one_in(4) ? 0 : (1 + choices.below(500)) * ns_per_second;
    ask(command, timeout);
}

/// Asks for memory and follows the request to its one answer.
void Clients::ask(AllocateCommand command, u64 timeout_ns) {
    command.secret = first_secret + next_secret_++;
    u64 next_block = 0;
    world_.core().look([&](const core::State& state) { next_block = state.books.next_block(); });
    wanted_.emplace(command.secret, Wanted{command, world_.now_ns() + timeout_ns, next_block, quota_of(command).has_value()});
    const bool alone = wanted_.size() == 1;
    const auto at_once = std::make_shared<bool>(true);
    const u64 epoch = world_.epoch;
    ++unanswered_;
    world_.core().allocate(command, timeout_ns, [this, epoch, command, at_once, alone](Result<engine::Allocated> allocated) {
        if (epoch != world_.epoch) return;  // A dead core's answer reaches nobody.
        --unanswered_;
        wanted_.erase(command.secret);
        if (allocated) return took_asked(command, allocated->record);
        if (!*at_once || excused(allocated.error(), nullptr)) return;
        refused(command, allocated.error(), alone);
        met_["a request was refused"] += 1;
        refusal_ = command;
        refusal_reason_ = describe(allocated.error());
    });
    *at_once = false;
    if (const auto waiting = wanted_.find(command.secret); waiting != wanted_.end()) met_["a request waited"] += 1;
}

void Clients::took_asked(const AllocateCommand& command, const report::AllocationTold& record) {
    if (record.size_bytes != command.size_bytes || record.owner != command.caller.owner) fail("an allocation is not what was asked for");
    if (record.offset_bytes % command.alignment_bytes != 0) fail("an allocation is misaligned");
    Held held;
    held.owner = command.caller;
    held.bytes.resize(command.size_bytes);
    held.lease_seconds = command.lease_seconds;
    if (command.type == AllocationType::pinned || command.type == AllocationType::mapped)
        held.fixed = Place{record.block, record.offset_bytes};
    if (!command.persistent) held.lease_until_ns = record.lease_until_monotonic_ns;
    took(record.id, std::move(held));
}

/// A refusal at once has its reason on every device that was asked.
void Clients::refused(const AllocateCommand& command, const Error& error, bool alone) {
    if (error.code != Code::insufficient_memory && error.code != Code::quota_exceeded && error.code != Code::limit_exceeded)
        fail("a request was refused: " + describe(error));
    world_.core().look([&](const core::State& state) {
        for (u16 i = 0; i < state.books.devices().size(); ++i) {
            const memory::DeviceRow& row = state.books.devices()[i];
            if (row.capacity_bytes == 0 || (!command.device_id.empty() && command.device_id != row.id)) continue;
            if (error.code == Code::limit_exceeded && round_up(command.size_bytes, row.granule_bytes) <= usable(row.id, row.capacity_bytes))
                fail("a request within the limits was refused as above them");
            if (alone && fits(state, i, command)) fail("a request that fits was refused: " + describe(error));
        }
    });
}

/// A new block for the request is within limit and quota, by the list of blocks and allocations alone.
/// `less_bytes` of them taken away.
bool Clients::fits(const core::State& state, u16 device, const AllocateCommand& command, u64 less_bytes) const {
    const memory::DeviceRow& row = state.books.devices()[device];
    const u64 wanted = round_up(command.size_bytes, row.granule_bytes);
    u64 committed = 0;
    for (const auto& [key, block] : state.books.blocks())
        if (block.row.device == device) committed += block.row.size_bytes;
    if (committed - less_bytes + wanted > usable(row.id, row.capacity_bytes)) return false;
    const auto limits = limits_.find(row.id);
    if (limits == limits_.end()) return true;
    const auto quota = limits->second.owner_quotas.find(command.caller.owner);
    return quota == limits->second.owner_quotas.end() || held_on(state, device, command.caller.owner) + wanted <= quota->second;
}

/// What the owner holds on the device, second places of moves included.
u64 Clients::held_on(const core::State& state, u16 device, const std::string& owner) const {
    u64 held = 0;
    for (const auto& [serial, allocation] : state.books.allocations())
        if (state.books.name(allocation.row.owner) == owner && state.books.block(allocation.row.block)->row.device == device)
            held += allocation.row.granted_bytes;
    for (const auto& [serial, move] : state.books.moves()) {
        const memory::Allocation& moved = *state.books.allocation_by_serial(serial);
        const bool arrives =
            state.books.block(move.block)->row.device == device && state.books.block(moved.row.block)->row.device != device;
        if (arrives && state.books.name(moved.row.owner) == owner) held += move.granted_bytes;
    }
    return held;
}

/// Does what a refusal advised, while nobody else waits for anything, a transfer neither: then the same request, or the smaller one, gets
/// its place.
void Clients::follow_advice(Choices& choices) {
    const auto command = std::exchange(refusal_, std::nullopt);
    if (!command || unanswered_ > 0) return;
    const engine::Shortfall told = world_.core().shortfall_of(*command);
    if (told.suggestions.empty()) return;
    const std::string& advice = told.suggestions[choices.below(told.suggestions.size())];
    AllocateCommand again = *command;
    if (advice.starts_with("Ask for at most ")) {
        again.size_bytes = number_after(advice, "Ask for at most ");
        again.device_id = advice.substr(advice.size() - 2, 1);
    } else if (advice.starts_with("Name the device ")) {
        again.device_id = advice.substr(std::string_view("Name the device ").size(), 1);
    } else if (advice.starts_with("Let an admin ")) {
        SetLimitsCommand change;
        change.caller = admin;
        change.device_id = advice.substr(advice.find("limits/") + std::string_view("limits/").size(), 1);
        if (advice.find("{\"maxBytes\":") != std::string::npos) {
            change.change.max_bytes = number_after(advice, "{\"maxBytes\":");
        } else {
            change.change.max_hundredths = 100'00;
            change.change.reserve_bytes = number_after(advice, "\"reserveBytes\":");
        }
        if (again.device_id.empty()) again.device_id = change.device_id;
        if (!change_limits(change)) return;
    } else if (advice.starts_with("Free the allocation ")) {
        if (!free_as_advised(advice)) return;
    } else if (advice.starts_with("Unload the model ")) {
        auto why = std::make_shared<std::string>();  // A refusal comes at once, the rest when the memory is back.
        const std::string name = advice.substr(advice.size() - 2);
        const std::size_t at = advice.find("unload/");
        const std::string device_id = at == std::string::npos ? std::string() : advice.substr(at + std::string_view("unload/").size(), 1);
        world_.core().unload_model({admin, name, device_id},
                                   [why](const Result<engine::Freed>& freed) { *why = freed ? std::string() : describe(freed.error()); });
        if (!why->empty()) fail("a model that is to be unloaded for room cannot be: " + *why);
        resident_.erase(name);
        pinned_.erase(name);
    } else {
        return;
    }
    met_["advice was followed: " + advice.substr(0, advice.find(' ', 4))] += 1;
    const std::string before = refusal_reason_;
    ask(again, 0);
    if (refusal_.has_value()) fail("what a refusal (" + before + ") advised did not help: " + advice + " (" + refusal_reason_ + ")");
}

bool Clients::free_as_advised(const std::string& advice) {
    const auto named = std::ranges::find_if(held_, [&](const auto& entry) { return advice.ends_with("/" + to_text(entry.first)); });
    if (named == held_.end() || named->second.ending || expired(named->second) || !upkeeps_.empty()) return false;
    if (named->second.loose > 0) return false;
    if (named->second.busy > 0 || named->second.in_transfer() || named->second.firm > 0) fail("what is in use is to be freed for room");
    bool gone = false;
    world_.core().free({named->second.owner, named->first}, false, [&gone](const Result<engine::Freed>& freed) {
        gone = freed.has_value();
        if (!freed && freed.error().code != Code::read_only) fail("what is to be freed for room cannot be: " + describe(freed.error()));
    });
    if (gone) held_.erase(named);
    return gone;
}

/// Whoever was served since the last look: within limits and quotas, and no later than those who were to come after.
void Clients::see_served() {
    world_.core().look([this](const core::State& state) {
        check_admitted(state);
        check_order(state);
        check_overtaken(state);
        check_emergency(state);
        next_serial_ = state.books.next_allocation();
        next_block_ = state.books.next_block();
        for (const memory::DeviceRow& row : state.books.devices()) seen_capacity_[row.id] = row.capacity_bytes;
        for (auto& [secret, wanted] : wanted_) wanted.seen = true;
    });
}

void Clients::check_admitted(const core::State& state) const {
    for (u16 i = 0; i < state.books.devices().size(); ++i) {
        const memory::DeviceRow& row = state.books.devices()[i];
        const auto before = seen_capacity_.find(row.id);
        const u64 allowed = usable(row.id, std::max(row.capacity_bytes, before == seen_capacity_.end() ? 0 : before->second));
        u64 committed = 0;
        bool grew = false;
        for (const auto& [key, block] : state.books.blocks()) {
            if (block.row.device != i) continue;
            committed += block.row.size_bytes;
            grew = grew || key >= next_block_;
        }
        if (grew && committed > allowed) fail("a block was made beyond the limit of " + row.id);
        u64 live = 0;
        std::set<std::string> served;
        for (const auto& [serial, allocation] : state.books.allocations()) {
            if (state.books.block(allocation.row.block)->row.device != i) continue;
            live += allocation.row.granted_bytes;
            if (serial >= next_serial_) served.insert(std::string(state.books.name(allocation.row.owner)));
        }
        if (!served.empty() && live > allowed) fail("memory was given out beyond the limit of " + row.id);
        const auto limits = limits_.find(row.id);
        if (limits == limits_.end()) continue;
        for (const std::string& owner : served)
            if (const auto quota = limits->second.owner_quotas.find(owner);
                quota != limits->second.owner_quotas.end() && held_on(state, i, owner) > quota->second)
                fail(owner + " was given more than its quota on " + row.id);
    }
}

/// Of two that waited for the same, the more urgent and older one is served first, though the other has been overtaken meanwhile.
void Clients::check_order(const core::State& state) {
    std::vector<u64> served;  // In the order in which they were.
    for (const auto& [serial, allocation] : state.books.allocations())
        if (serial >= next_serial_ && wanted_.contains(allocation.row.id.secret)) served.push_back(allocation.row.id.secret);
    for (const u64 secret : served) {
        Wanted& first = wanted_.at(secret);
        first.served = true;
        if (!first.seen) continue;
        met_["a request that waited was served"] += 1;
        const u64 standing = static_cast<u64>(first.command.priority) + (state.books.next_block() - first.next_block) / overtakings_borne;
        for (const auto& [other_secret, other] : wanted_) {
            if (!other.seen || other.served || other.command.size_bytes > first.command.size_bytes) continue;
            // A hole that the one fits into may lie wrongly for the other (a byte aligned to 8 KiB, where 4 KiB aligned to 32 went).
            if (other.command.alignment_bytes > first.command.alignment_bytes) continue;
            if (!same_kind(other.command, first.command)) continue;
            const u64 lowest = static_cast<u64>(other.command.priority);
            const bool more_urgent = lowest > standing && !may_be_closed_to(state, other_secret, secret);
            const bool older = lowest == static_cast<u64>(first.command.priority) && other_secret < secret && standing == lowest;
            if (more_urgent || older) fail("a request was served before a more urgent or older one");
        }
    }
}

/// Room may be kept from the one and not from the other for one that is between them in age and was overtaken often enough.
bool Clients::may_be_closed_to(const core::State& state, u64 secret, u64 not_to) const {
    for (const auto& [other, wanted] : wanted_)
        if (other < secret && other > not_to && state.books.next_block() - wanted.next_block >= overtakings_borne) return true;
    return false;
}

/// The oldest that waits is not overtaken for ever.
void Clients::check_overtaken(const core::State& state) {
    const auto oldest = std::ranges::find_if(wanted_, [](const auto& entry) { return !entry.second.served; });
    for (const auto& [key, block] : state.books.blocks())
        if (key >= next_block_ && oldest != wanted_.end() && oldest->second.seen &&
            state.books.devices()[block.row.device].id == oldest->second.command.device_id)
            oldest->second.overtaken += 1;
    if (oldest != wanted_.end() && oldest->second.overtaken > overtaken_max && !oldest->second.had_quota)
        fail("a request that waits was overtaken " + std::to_string(oldest->second.overtaken) + " times");
    if (oldest != wanted_.end() && oldest->second.overtaken > overtakings_borne) met_["a request was overtaken often"] += 1;
}

/// What blocks hold of which nobody has any use: models that could go.
u64 Clients::evictable_bytes(const core::State& state, u16 device) const {
    u64 bytes = 0;
    for (const u64 serial : evictable(state, device))
        bytes += state.books.block(state.books.allocation_by_serial(serial)->row.block)->row.size_bytes;
    return bytes;
}

/// Once everything that was begun has ended, the oldest that waits is one that has no room: whatever made room has woken it.
void Clients::rest(Choices& choices) {
    settle(choices);
    check();
    const auto oldest = std::ranges::find_if(wanted_, [](const auto& entry) { return !entry.second.served; });
    if (oldest == wanted_.end()) return;
    met_["a rest with somebody waiting"] += 1;
    world_.core().look([&](const core::State& state) {
        for (u16 i = 0; i < state.books.devices().size(); ++i) {
            const AllocateCommand& command = oldest->second.command;
            const std::string& id = state.books.devices()[i].id;
            if ((command.device_id.empty() || command.device_id == id) && fits(state, i, command))
                fail("a request waits for room that is there on " + id);
            if ((command.device_id.empty() || command.device_id == id) && fits(state, i, command, evictable_bytes(state, i)))
                fail("a request waits for room that nobody uses on " + id);
            const u64 asked_for = evictable_bytes(state, i) + askable_bytes(state, i);
            if (command.device_id == id && oldest->second.deadline_ns > world_.now_ns() && fits(state, i, command, asked_for))
                fail("a request waits for room that nobody was asked for on " + id);
        }
    });
}

void Clients::lift_limits() {
    for (const char* device : {"a", "b"}) {
        SetLimitsCommand command;
        command.caller = admin;
        command.device_id = device;
        command.change.max_hundredths = 100'00;
        command.change.reserve_bytes = 0;
        command.change.emergency_hundredths = 100'00;
        command.change.owner_quotas.emplace();
        if (!change_limits(command)) fail("limits cannot be set at rest");
    }
}
}  // namespace vramd::simulation
