/// Transfers of the simulated clients. Each is seen from its acceptance to its one end, and what it must bring is known before.
#include <algorithm>

#include "clients.hpp"

namespace vramd::simulation {
namespace {
constexpr std::size_t over_max = 40;

bool is_open(TransferState state) { return state == TransferState::queued || state == TransferState::running; }

std::vector<std::byte> part_of(const std::vector<std::byte>& bytes, u64 offset_bytes, u64 size_bytes) {
    const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(offset_bytes);
    return {from, from + static_cast<std::ptrdiff_t>(size_bytes)};
}
}  // namespace

/// A free that was accepted lets no transfer come between.
void Clients::transfer_what_goes(Choices& choices, AllocationId id) {
    TransferCommand command;
    command.caller = held_.at(id).owner;
    command.source = id;
    command.mode = choices.one_in(2) ? TransferMode::move : TransferMode::copy;
    command.target_device_id = choices.one_in(2) ? "a" : "b";
    const u64 epoch = world_.epoch;
    world_.core().transfer(command, engine::Engine::Until::accepted, [this, epoch](const Result<report::TransferTold>& told) {
        if (epoch == world_.epoch && told) fail("a transfer came between the last reader and a free");
    });
    met_["a transfer of what is being freed"] += 1;
}

/// One transfer, or so many that some wait for their turn.
void Clients::transfer(Choices& choices) {
    for (u64 i = choices.one_in(8) ? 8 : 1; i > 0; --i) transfer_one(choices);
}

void Clients::transfer_one(Choices& choices) {
    const auto from = any(choices);
    if (!from || expired(held_.at(*from))) return;
    if (held_.at(*from).ending) return transfer_what_goes(choices, *from);
    const Held& source = held_.at(*from);
    TransferCommand command;
    command.caller = source.owner;
    command.source = *from;
    command.mode = choices.one_in(2) ? TransferMode::move : TransferMode::copy;
    if (command.mode == TransferMode::copy && source.busy > 0) return;
    const std::string model_name = model_names[choices.below(std::size(model_names))];
    const auto model = command.mode == TransferMode::copy && choices.one_in(4) ? world_.core().model(model_name)
                                                                               : Result<report::ModelTold>(refuse(Code::not_found, "", ""));
    if (model && model->state == ModelState::resident) command.source = model->best().allocation;
    command.target_device_id = choices.one_in(2) ? "a" : "b";
    bool missing = false;
    if (const auto to = any(choices); choices.one_in(2)) {
        const Held& target = held_.at(*to);
        if (target.busy > 0 || target.ending || expired(target)) return;
        command.target = *to;
        command.target_device_id.clear();
        missing = target.owner.owner != source.owner.owner;
        if (choices.one_in(3)) command.target_offset_bytes = choices.below(target.bytes.size());
    }
    if (command.mode == TransferMode::copy && choices.one_in(3)) command.source_offset_bytes = choices.below(source.bytes.size());
    if (command.mode == TransferMode::copy && choices.one_in(4)) command.size_bytes = 1 + choices.below(source.bytes.size());
    command.verify = choices.one_in(2);
    command.priority = static_cast<Priority>(choices.below(4));
    if (choices.one_in(4)) command.timeout_ns = choices.below(20) * ns_per_second;
    const auto until = choices.one_in(2) ? engine::Engine::Until::accepted : engine::Engine::Until::ended;
    ++unanswered_;
    const auto answered = std::make_shared<bool>(false);
    const u64 epoch = world_.epoch;
    world_.core().transfer(command, until, [this, answered, epoch, missing, until](const Result<report::TransferTold>& told) {
        if (epoch != world_.epoch) return;
        if (std::exchange(*answered, true)) fail("a transfer was answered twice");
        --unanswered_;
        if (told && missing) fail("a transfer reached another owner's allocation");
        if (told && is_open(told->state) != (until == engine::Engine::Until::accepted)) fail("a transfer is answered in the wrong moment");
        if (!told && (told.error().code == Code::read_only || told.error().code == Code::system_failed))
            fail("a transfer was refused: " + describe(told.error()));
    });
}

void Clients::cancel_transfer(Choices& choices) {
    if (transfers_.empty()) return;
    auto at = transfers_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(choices.below(transfers_.size())));
    if (world_.core().cancel_transfer({{"stranger", Role::user}, at->first})) fail("a stranger cancelled a transfer");
    const auto told = world_.core().cancel_transfer({{at->second.told.plan.owner, Role::user}, at->first});
    if (!told) fail("an open transfer cannot be cancelled: " + describe(told.error()));
    at->second.cancelled = true;
}

/// Looks at what became of all transfers, and for new ones: also those that nobody was told of before a crash.
void Clients::see_transfers() {
    report::TransferFilter filter;
    filter.limit = 8;
    std::vector<report::TransferTold> fresh;
    for (bool more = true; more;) {
        const report::TransferPage page = world_.core().transfers(admin, filter);
        more = page.next_before_serial.has_value();
        filter.before_serial = page.next_before_serial.value_or(0);
        for (const report::TransferTold& told : page.items)
            if (told.plan.id.serial > last_transfer_)
                fresh.push_back(told);
            else
                more = false;
    }
    // Ends before beginnings: one that waited for another's end may read what that one wrote, and begin in the same step.
    see_open_transfers();
    for (auto told = fresh.rbegin(); told != fresh.rend(); ++told) {
        began(*told);
        if (!is_open(told->state)) see_open_transfers();
    }
}

void Clients::see_open_transfers() {
    for (auto at = transfers_.begin(); at != transfers_.end();) {
        const auto told = world_.core().read_transfer(admin, at->first);
        if (!told) fail("an open transfer is forgotten");
        if (at->second.told.state == TransferState::running && told->state == TransferState::queued)
            fail("a transfer went back into the queue");
        at->second.told = *told;
        if (is_open(told->state)) {
            ++at;
            continue;
        }
        Transferring over = std::move(at->second);
        at = transfers_.erase(at);
        ended(std::move(over));
    }
}

void Clients::began(const report::TransferTold& told) {
    last_transfer_ = told.plan.id.serial;
    const TransferPlan& plan = told.plan;
    Transferring transferring{told};
    const auto source = held_.find(plan.source);
    const auto target = held_.find(plan.target);
    if (plan.mode == TransferMode::copy && source != held_.end()) {
        source->second.sourcing += 1;
        if (source->second.busy == 0 && !source->second.unsure)
            transferring.bytes = part_of(source->second.bytes, plan.source_offset_bytes, plan.size_bytes);
    } else if (plan.mode == TransferMode::copy) {
        if (const auto bytes = content(admin, plan.source, nullptr))
            transferring.bytes = part_of(*bytes, plan.source_offset_bytes, plan.size_bytes);
        met_["a copy of a model"] += 1;
    } else {
        if (source == held_.end()) fail("a transfer moves what nobody holds");
        source->second.moving += 1;
    }
    if (!plan.keeps_id() && !plan.makes_target) target->second.filling += 1;
    transfers_.emplace(plan.id, std::move(transferring));
}

void Clients::ended(Transferring transferring) {
    const TransferPlan& plan = transferring.told.plan;
    over_.emplace(plan.id, transferring.told.state);
    if (over_.size() > over_max) over_.erase(over_.begin());
    if (const auto source = held_.find(plan.source); source != held_.end())
        (plan.mode == TransferMode::copy ? source->second.sourcing : source->second.moving) -= 1;
    if (const auto target = held_.find(plan.target); target != held_.end() && !plan.keeps_id() && !plan.makes_target)
        target->second.filling -= 1;
    met_[std::string(plan.keeps_id()                   ? "a move to a device "
                     : plan.mode == TransferMode::move ? "a move into another "
                                                       : "a copy ") +
         std::string(name_of(transferring.told.state))] += 1;
    if (transferring.told.state == TransferState::succeeded)
        succeeded(transferring);
    else
        did_not_succeed(transferring);
}

void Clients::succeeded(const Transferring& transferring) {
    const TransferPlan& plan = transferring.told.plan;
    const auto source = held_.find(plan.source);
    std::optional<std::vector<std::byte>> bytes = transferring.bytes;
    if (plan.mode == TransferMode::move && source != held_.end() && !source->second.unsure) bytes = source->second.bytes;
    if (transferring.told.result.bytes != plan.size_bytes) fail("a transfer succeeded with other bytes than asked");
    if (plan.verify && bytes && transferring.told.result.checksum != transfer::chunked_checksum(*bytes))
        fail("a transfer's checksum is not its bytes'");
    const auto on_device = world_.core().allocation(admin, plan.target);
    if (on_device && on_device->device_id != transferring.told.target_device_id) fail("what was transferred is on another device");
    if (plan.makes_target) return took_transferred(transferring);
    if (plan.keeps_id()) {
        for (auto& [id, upkeeping] : upkeeps_) upkeeping.preserved.erase(plan.source);
        if (source == held_.end()) return;
        if (is_read(plan.source)) fail("memory was moved away under those at it");
        if (!on_device && expired(source->second)) return;  // Its lease had run out; the move's end was what it waited for.
        if (source->second.fixed && on_device) source->second.fixed = Place{on_device->block, on_device->offset_bytes};
        if (source->second.busy > 0) return;  // A clear's or a copy's answer comes after the move's that waited for it.
        return compare(plan.source, source->second);
    }
    Held& target = held_.at(plan.target);
    target.unsure = target.unsure || (source != held_.end() && source->second.busy > 0);  // Likewise.
    if (bytes)
        std::ranges::copy(*bytes, target.bytes.begin() + static_cast<std::ptrdiff_t>(plan.target_offset_bytes));
    else
        target.unsure = true;
    if (plan.mode == TransferMode::move) {
        if (source == held_.end() || is_read(plan.source)) fail("memory was moved away under those at it");
        if (world_.core().allocation(admin, plan.source)) fail("what was moved into another allocation is still there");
        held_.erase(source);
    }
    if (!expired(target) || world_.core().allocation(admin, plan.target)) compare(plan.target, target);
}

void Clients::took_transferred(const Transferring& transferring) {
    const TransferPlan& plan = transferring.told.plan;
    const auto told = world_.core().allocation(admin, plan.target);
    const auto source = held_.find(plan.source);
    if (!told && (source == held_.end() || source->second.lease_until_ns != 0)) return;  // Its lease ended at once.
    if (!told) fail("a transfer made nothing");
    Held made;
    made.owner = {told->owner, Role::user};
    made.lease_seconds = told->lease_seconds;
    made.lease_until_ns = told->lease_until_monotonic_ns;
    made.unsure = !transferring.bytes;
    made.bytes = transferring.bytes.value_or(std::vector<std::byte>(plan.size_bytes));
    if (told->type == AllocationType::pinned || told->type == AllocationType::mapped) made.fixed = Place{told->block, told->offset_bytes};
    const auto [at, fresh] = held_.emplace(plan.target, std::move(made));
    if (!fresh) fail("an id was given out twice");
    if (!expired(at->second)) compare(at->first, at->second);
}

void Clients::did_not_succeed(const Transferring& transferring) {
    const TransferPlan& plan = transferring.told.plan;
    const Code why = transferring.told.error ? transferring.told.error->code : Code{};
    const bool cancelled = transferring.told.state == TransferState::cancelled;
    if (cancelled != (why == Code::cancelled) || (cancelled && !transferring.cancelled))
        fail("a transfer ended as cancelled that nobody cancelled");
    if (why == Code::timed_out && (plan.deadline_monotonic_ns == 0 || plan.deadline_monotonic_ns > world_.now_ns()))
        fail("a transfer timed out before its time");
    if (why == Code::conflict && plan.mode == TransferMode::copy)
        fail("a copy failed by our own doing: " + describe(*transferring.told.error));
    if (why == Code::device_lost) met_["a flipped bit was found"] += 1;
    if (why == Code::device_lost && !plan.verify) fail("a transfer failed without cause: " + describe(*transferring.told.error));
    if (why == Code::system_failed) met_["a transfer met a failing device"] += 1;
    const auto allocation = world_.core().allocation(admin, plan.target);
    if (plan.makes_target && allocation) fail("a transfer that failed left what it was to make");
    if (plan.keeps_id() && allocation && allocation->device_id != transferring.told.source_device_id) fail("a move that failed has moved");
    if (const auto target = held_.find(plan.target); target != held_.end() && !plan.keeps_id()) target->second.unsure = true;
}
}  // namespace vramd::simulation
