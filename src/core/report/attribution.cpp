#include "core/report/attribution.hpp"

#include <optional>
#include <type_traits>

namespace vramd::report {
namespace {
/// What look-ups answer; views into the state or the roll.
struct Found {
    std::string_view owner;
    std::string_view device;
    std::string_view other_device;
};
using Maybe = std::optional<Found>;

/// In the state as it is.
struct StateLookup {
    const core::State& state;

    [[nodiscard]] std::string_view device(u16 index) const {
        const auto& devices = state.books.devices();
        return index < devices.size() ? std::string_view(devices[index].id) : std::string_view();
    }
    [[nodiscard]] Maybe block(BlockKey key) const {
        const memory::Block* found = state.books.block(key);
        if (found == nullptr) return std::nullopt;
        return Found{state.books.name(found->row.owner), device(found->row.device), {}};
    }
    [[nodiscard]] Maybe allocation(u64 serial) const {
        const memory::Allocation* found = state.books.allocation_by_serial(serial);
        if (found == nullptr) return std::nullopt;
        return Found{state.books.name(found->row.owner), device(state.books.block(found->row.block)->row.device), {}};
    }
    [[nodiscard]] Maybe operation(u64 serial) const {
        const model::Operation* found = state.catalogue.operation_by_serial(serial);
        if (found == nullptr) return std::nullopt;
        return Found{found->owner, found->request.device_id, {}};
    }
    [[nodiscard]] Maybe transfer(u64 serial) const {
        const auto& all = state.transfers.transfers();
        const auto found = all.find(serial);
        if (found == all.end()) return std::nullopt;
        const TransferPlan& plan = found->second.plan;
        return Found{plan.owner, device(plan.target_device), device(plan.source_device)};
    }
};
}  // namespace

struct RollLookup {
    const Roll& roll;

    [[nodiscard]] Maybe found(const std::map<u64, Roll::Belongs>& map, u64 key) const {
        const auto at = map.find(key);
        if (at == map.end()) return std::nullopt;
        return Found{roll.words_[at->second.owner], roll.words_[at->second.device], roll.words_[at->second.other_device]};
    }
    [[nodiscard]] std::string_view device(u16 index) const {
        return index < roll.devices_.size() ? std::string_view(roll.words_[roll.devices_[index]]) : std::string_view();
    }
    [[nodiscard]] Maybe block(BlockKey key) const { return found(roll.blocks_, key); }
    [[nodiscard]] Maybe allocation(u64 serial) const { return found(roll.allocations_, serial); }
    [[nodiscard]] Maybe operation(u64 serial) const { return found(roll.operations_, serial); }
    [[nodiscard]] Maybe transfer(u64 serial) const { return found(roll.transfers_, serial); }
};

namespace {
Attribution from(const Maybe& found) {
    if (!found) return Attribution{{}, {}, {}, false};
    Attribution whose{std::string(found->owner), std::string(found->device), {}, true};
    if (found->other_device != found->device) whose.other_device_id = found->other_device;
    return whose;
}

template <class T>
inline constexpr std::string_view prefix_of = {};
template <class Tag>
inline constexpr std::string_view prefix_of<Id<Tag>> = Tag::prefix;
/// True of an event whose `id` is of this kind ("alc_").
template <class E>
constexpr bool names(std::string_view prefix) {
    if constexpr (requires(const E& event) { event.id; }) return prefix_of<decltype(E::id)> == prefix;
    return false;
}

/// By the fields that an event has: a new kind of event is attributed without a word here, as long as it names its parts as others do.
template <class Lookup, class E>
Attribution attribute_one(const Lookup& lookup, const E& event) {
    Attribution whose;
    if constexpr (requires {
                      event.plan.owner;
                      event.plan.target_device;
                  }) {
        return from(Found{event.plan.owner, lookup.device(event.plan.target_device), lookup.device(event.plan.source_device)});
    } else if constexpr (names<E>("alc_") && requires {
                             event.owner;
                             event.block;
                         }) {
        whose = from(lookup.block(event.block));
    } else if constexpr (names<E>("alc_")) {
        return from(lookup.allocation(event.id.serial));
    } else if constexpr (names<E>("op_") && requires {
                             event.owner;
                             event.request.device_id;
                         }) {
        whose.device_id = event.request.device_id;
    } else if constexpr (names<E>("op_") && !requires { event.owner; }) {
        return from(lookup.operation(event.id.serial));
    } else if constexpr (names<E>("xfr_")) {
        return from(lookup.transfer(event.id.serial));
    } else if constexpr (names<E>("mdl_") && requires { event.device; }) {
        return from(Found{core::model_owner, lookup.device(event.device), {}});
    } else if constexpr (names<E>("mdl_")) {
        whose.owner = core::model_owner;
        whose.known = true;  // Models are everybody's to see.
        if constexpr (requires { event.target; }) whose.device_id = lookup.device(event.target);
    } else if constexpr (
        requires { event.block; } && !requires { event.owner; }) {
        return from(lookup.block(event.block));
    }
    if constexpr (requires { std::string_view(event.owner); }) {
        whose.owner = event.owner;
        whose.known = true;
    }
    if constexpr (requires { std::string_view(event.device_id); })
        whose.device_id = event.device_id;
    else if constexpr (requires { requires std::is_same_v<std::remove_cvref_t<decltype(event.device)>, u16>; })
        whose.device_id = lookup.device(event.device);
    return whose;
}

template <class Lookup>
Attribution attribute_by(const Lookup& lookup, const Event& event) {
    return std::visit([&lookup](const auto& kind) { return attribute_one(lookup, kind); }, event);
}
}  // namespace

Attribution attribute(const core::State& before, const Event& event) { return attribute_by(StateLookup{before}, event); }

bool may_see(const Caller& caller, const Attribution& whose) {
    if (caller.role == Role::admin) return true;
    return whose.known && (whose.owner.empty() || whose.owner == caller.owner || whose.owner == core::model_owner);
}

Roll::Roll(const core::State& state) {
    const StateLookup lookup{state};
    const auto belongs = [this](const Maybe& found) {
        return found ? Belongs{word(found->owner), word(found->device), word(found->other_device)} : Belongs{};
    };
    for (const memory::DeviceRow& row : state.books.devices()) devices_.push_back(word(row.id));
    for (const auto& [key, block] : state.books.blocks()) blocks_.emplace(key, belongs(lookup.block(key)));
    for (const auto& [serial, allocation] : state.books.allocations()) allocations_.emplace(serial, belongs(lookup.allocation(serial)));
    for (const auto& [serial, move] : state.books.moves()) moves_.emplace(serial, belongs(lookup.block(move.block)).device);
    for (const auto& [serial, operation] : state.catalogue.operations()) operations_.emplace(serial, belongs(lookup.operation(serial)));
    for (const auto& [serial, transfer] : state.transfers.transfers()) transfers_.emplace(serial, belongs(lookup.transfer(serial)));
}

u32 Roll::word(std::string_view text) {
    if (const auto found = indexes_.find(text); found != indexes_.end()) return found->second;
    const u32 index = static_cast<u32>(words_.size());
    words_.emplace_back(text);
    indexes_.emplace(std::string(text), index);
    return index;
}

Attribution Roll::take(const Event& event) {
    Attribution whose = attribute_by(RollLookup{*this}, event);
    note(event, whose);
    return whose;
}

/// Remembers what begins and forgets what ends.
void Roll::note(const Event& event, const Attribution& whose) {
    const Belongs belongs{word(whose.owner), word(whose.device_id), word(whose.other_device_id)};
    std::visit(
        [&]<class E>(const E& kind) {
            if constexpr (std::is_same_v<E, DeviceAdded>) {
                devices_.push_back(word(kind.device_id));
            } else if constexpr (std::is_same_v<E, BlockReserved>) {
                blocks_[kind.block] = belongs;
            } else if constexpr (std::is_same_v<E, BlockGone>) {
                blocks_.erase(kind.block);
            } else if constexpr (std::is_same_v<E, AllocationReserved>) {
                allocations_[kind.id.serial] = belongs;
            } else if constexpr (std::is_same_v<E, AllocationFreed> || std::is_same_v<E, AllocationDropped>) {
                allocations_.erase(kind.id.serial);
                moves_.erase(kind.id.serial);
            } else if constexpr (std::is_same_v<E, MoveReserved>) {
                if (const auto block = blocks_.find(kind.block); block != blocks_.end()) moves_[kind.id.serial] = block->second.device;
            } else if constexpr (std::is_same_v<E, AllocationMoved>) {
                const auto move = moves_.find(kind.id.serial);
                if (move == moves_.end()) return;
                if (const auto moved = allocations_.find(kind.id.serial); moved != allocations_.end()) moved->second.device = move->second;
                moves_.erase(move);
            } else if constexpr (std::is_same_v<E, MoveDropped>) {
                moves_.erase(kind.id.serial);
            } else if constexpr (names<E>("op_") && requires { kind.owner; }) {
                operations_[kind.id.serial] = belongs;
            } else if constexpr (requires {
                                     kind.plan.owner;
                                     kind.plan.id;
                                 }) {
                transfers_[kind.plan.id.serial] = belongs;
            }
        },
        event);
}
}  // namespace vramd::report
