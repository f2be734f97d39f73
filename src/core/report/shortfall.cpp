#include "core/report/shortfall.hpp"

#include <algorithm>
#include <map>

#include "core/memory/defragment.hpp"
#include "core/reclaim.hpp"

namespace vramd::report {
namespace {
/// So many allocations and leases are looked at for suggestions: the caller waits, and so does everybody else.
constexpr std::size_t looked_at_max = 10'000;
constexpr u64 wait_seconds_max = 86'400;

std::string number(u64 value) { return std::to_string(value); }

/// As a query's value.
std::string encoded(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<u8>(c);
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        if (plain)
            out += c;
        else
            (out += '%').append({digits[byte >> 4], digits[byte & 15]});
    }
    return out;
}

/// One refused request on one device.
class Search {
public:
    Search(const core::State& state, const AllocateCommand& command, u16 device, Moment now)
        : state_(state),
          books_(state.books),
          command_(command),
          device_(device),
          now_(now),
          owner_(command.owner.empty() ? command.caller.owner : command.owner) {
        const u64 usable = books_.usable_bytes(device_);
        block_bytes_ = round_up(std::min(command.size_bytes, number_max), books_.devices()[device_].granule_bytes);
        const memory::DeviceSums& sums = books_.sums(device_);
        staying_ = sums.committed - sums.returning() - core::plan_reclaim(state_, scope(), number_max).bytes;
        shortage_ = staying_ + block_bytes_ > usable ? staying_ + block_bytes_ - usable : 0;
        const u64 granted = memory::goes_into_arena(request()) ? round_up(command.size_bytes, memory::arena_granule_bytes) : block_bytes_;
        // An owner may hold more than a quota that came later: that has to go, too.
        const auto& quotas = books_.devices()[device_].limits.owner_quotas;
        const u64 holding = books_.held_by(device_, owner_) + granted;
        if (const auto quota = quotas.find(owner_); quota != quotas.end() && holding > quota->second)
            quota_shortage_ = holding - quota->second;
    }

    Figures figures() {
        told_.available_bytes = books_.available_for(device_, owner_);
        told_.largest_free_bytes = books_.largest_for(device_, owner_);
        const bool closed = std::ranges::binary_search(command_.closed, device_);
        const bool is_load = owner_ == core::model_owner;  // A model is as large as it is, and a load does not wait.
        name_another_device();
        if (!is_load) ask_for_less();
        // Where the room is kept for somebody else, more room helps nobody but them.
        if (closed) return std::move(told_);
        free_own();
        // What an owner may hold is not more because others hold less.
        if (quota_shortage_ > 0) return std::move(told_);
        unload_pinned();
        defragment();
        if (!is_load) wait_for_leases();
        raise_limit();
        return std::move(told_);
    }

private:
    [[nodiscard]] core::ReclaimScope scope() const { return {device_, ReclaimReach::models, {}, command_.frozen, command_.in_use}; }
    [[nodiscard]] const std::string& id() const { return books_.devices()[device_].id; }
    void suggest(std::string sentence) { told_.suggestions.push_back(std::move(sentence)); }

    [[nodiscard]] bool fits(AllocateCommand command) const {
        command.caller.role = Role::admin;  // For whom it is was decided before.
        const auto decision = core::decide(state_, command, now_);
        return decision && (decision->allocation || decision->again_after_release);
    }

    void name_another_device() {
        if (command_.device_id.empty()) return;  // All were tried.
        AllocateCommand there = command_;
        for (u16 i = 0; i < books_.devices().size(); ++i) {
            there.device_id = books_.devices()[i].id;
            if (i != device_ && fits(there)) suggest("Name the device " + there.device_id + ", where it fits.");
        }
    }

    void ask_for_less() {
        const u64 usable = books_.usable_bytes(device_);
        const u64 granule = books_.devices()[device_].granule_bytes;
        const u64 with_reclaim =
            usable > staying_ ? round_down(std::min(usable - staying_, books_.quota_left(device_, owner_)), granule) : 0;
        AllocateCommand less = command_;
        less.device_id = id();
        for (const u64 size : {std::max(with_reclaim, told_.largest_free_bytes), std::min(with_reclaim, told_.largest_free_bytes)}) {
            less.size_bytes = size;
            if (size == 0 || size >= command_.size_bytes || !fits(less)) continue;
            return suggest("Ask for at most " + number(size) + " bytes on " + id() + ".");
        }
    }

    /// What a device or an arena gets when this allocation goes is enough.
    [[nodiscard]] bool makes_room(const memory::Allocation& allocation) const {
        const memory::AllocationRow& row = allocation.row;
        const memory::Block& block = *books_.block(row.block);
        if (block.row.device != device_ || std::ranges::binary_search(command_.frozen, row.block)) return false;
        if (block.allocations().size() == 1) return block.row.size_bytes >= shortage_;
        const u64 used = books_.sums(device_).live + books_.sums(device_).zombie;  // By limits that came later, more than they allow.
        const bool same_arena = block.space && books_.name(block.row.owner) == owner_ && memory::goes_into_arena(request());
        if (!same_arena ||
            used - row.granted_bytes + round_up(command_.size_bytes, memory::arena_granule_bytes) > books_.usable_bytes(device_))
            return false;
        const memory::Hole left = block.space->hole_without(allocation.handle);
        const u64 begin = left.offset_bytes;
        const u64 end = begin + left.size_bytes;
        const u64 start = round_up(begin, memory::placement_alignment_bytes(request()));
        return start <= end && command_.size_bytes <= end - start;
    }
    [[nodiscard]] memory::Request request() const {
        memory::Request request;
        request.device = device_;
        request.owner = owner_;
        request.size_bytes = command_.size_bytes;
        request.alignment_bytes = command_.alignment_bytes;
        request.type = command_.type;
        request.shareable = command_.shareable;
        return request;
    }

    /// The smallest allocation that the caller can free and that is enough by itself.
    void free_own() {
        const memory::Allocation* best = nullptr;
        std::size_t looked_at = 0;
        const auto& all = books_.allocations();
        for (auto it = all.rbegin(); it != all.rend() && looked_at < looked_at_max; ++it, ++looked_at) {
            const memory::AllocationRow& row = (*it).second.row;
            const bool own = command_.caller.role == Role::admin || books_.name(row.owner) == command_.caller.owner;
            if (!own || row.model != 0 || row.status != AllocationStatus::live || books_.move(row.id.serial) != nullptr) continue;
            if (std::ranges::binary_search(command_.in_use, row.id.serial) || !state_.transfers.of(row.id.serial).empty()) continue;
            if (best != nullptr && best->row.granted_bytes <= row.granted_bytes) continue;
            if (quota_shortage_ > 0 && (books_.name(row.owner) != owner_ || row.granted_bytes < quota_shortage_)) continue;
            if (makes_room((*it).second)) best = &(*it).second;
        }
        if (best == nullptr) return;
        const std::string name = to_text(best->row.id);
        suggest("Free the allocation " + name + ", which holds " + number(best->row.granted_bytes) +
                " bytes: DELETE /api/memory/allocations/" + name);
    }

    /// A model that is not pinned would have been evicted already.
    void unload_pinned() {
        const model::Model* best = nullptr;
        u64 best_bytes = number_max;
        for (const auto& [serial, copy] : state_.catalogue.copies()) {
            const memory::AllocationRow& row = books_.allocation(copy.allocation)->row;
            const model::Model& model = *state_.catalogue.model(copy.model);
            const bool stays = copy.device != device_ || copy.state != ModelState::resident || !copy.pinned || model.names.size() > 1;
            if (stays || std::ranges::binary_search(command_.in_use, row.id.serial) || row.granted_bytes < shortage_) continue;
            if (row.granted_bytes >= best_bytes || !state_.transfers.of(row.id.serial).empty() || is_on_its_way(model)) continue;
            best = &model;
            best_bytes = row.granted_bytes;
        }
        if (best == nullptr) return;
        const bool elsewhere = state_.catalogue.copies_of(best->id.serial).size() > 1;  // Where somebody may use it.
        suggest("Unload the model " + best->names.front() + ", which is pinned and holds " + number(best_bytes) +
                " bytes: DELETE /api/model/unload" + (elsewhere ? "/" + encoded(id()) : "") + "?name=" + encoded(best->names.front()));
    }
    [[nodiscard]] bool is_on_its_way(const model::Model& model) const {
        return std::ranges::any_of(state_.catalogue.copies_of(model.id.serial),
                                   [](const model::Copy* copy) { return copy->state == ModelState::loading; });
    }

    /// Arenas that can be emptied into others' holes. Only for what is small enough to be planned while the caller waits.
    void defragment() {
        if (books_.sums(device_).allocations > looked_at_max) return;
        memory::LayoutFilter filter;
        if (command_.caller.role != Role::admin) filter.owner = command_.caller.owner;
        filter.in_use = command_.in_use;
        filter.frozen = command_.frozen;
        const memory::Plan plan =
            memory::plan(memory::layout_of(books_, device_, filter, now_.wall_ns), DefragmentStrategy::thorough, memory::PlanBounds{});
        u64 gained = plan.gained_bytes;
        for (const BlockKey key : plan.empty) gained -= books_.block(key)->row.size_bytes;  // These go without being asked.
        if (gained < shortage_) return;
        suggest("Defragment " + id() + ", which empties " + number(gained) + " bytes of blocks: POST /api/memory/operations/defragment/" +
                encoded(id()) + " {\"strategy\":\"thorough\"}");
    }

    /// Whole blocks that come back as the leases in them end.
    void wait_for_leases() {
        std::map<BlockKey, std::size_t> ended;
        u64 gained = 0;
        std::size_t looked_at = 0;
        for (const auto& [until, serial] : books_.leases()) {
            if (++looked_at > looked_at_max) return;
            const memory::Block& block = *books_.block(books_.allocation_by_serial(serial)->row.block);
            if (block.row.device != device_ || std::ranges::binary_search(command_.in_use, serial)) continue;
            if (++ended[block.row.key] == block.allocations().size()) gained += block.row.size_bytes;
            if (gained < shortage_) continue;
            const u64 seconds = (until > now_.monotonic_ns ? (until - now_.monotonic_ns) / ns_per_second : 0) + 2;
            if (seconds <= wait_seconds_max)
                suggest("Wait for leases that end and make room, unless they are renewed: repeat the request with timeoutSeconds " +
                        number(seconds) + ".");
            return;
        }
    }

    void raise_limit() {
        const u64 capacity = books_.devices()[device_].capacity_bytes;
        const u64 reserve = books_.devices()[device_].limits.reserve_bytes;
        if (books_.usable_bytes(device_) >= capacity || staying_ + block_bytes_ > capacity) return;
        const u64 needed = staying_ + block_bytes_;
        const std::string path = ": PUT /api/memory/limits/" + encoded(id());
        if (reserve <= capacity - needed)
            suggest("Let an admin raise the limit of " + id() + " to " + number(needed + reserve) + " bytes" + path +
                    " {\"maxBytes\":" + number(needed + reserve) + "}");
        else
            suggest("Let an admin lower the reserve of " + id() + " to " + number(capacity - needed) + " bytes" + path +
                    " {\"maxPercentage\":100,\"reserveBytes\":" + number(capacity - needed) + "}");
    }

    const core::State& state_;
    const memory::Books& books_;
    const AllocateCommand& command_;
    u16 device_;
    Moment now_;
    std::string owner_;
    u64 block_bytes_ = 0;     ///< What a new block would take.
    u64 staying_ = 0;         ///< In blocks, once all was reclaimed that can be.
    u64 shortage_ = 0;        ///< So much more has to go.
    u64 quota_shortage_ = 0;  ///< So much of what the owner holds has to go, whatever room there is.
    Figures told_;
};
}  // namespace

Figures shortfall(const core::State& state, const AllocateCommand& command, Moment now) {
    const memory::Books& books = state.books;
    if (books.devices().empty()) return {};
    const auto named = books.device_named(command.device_id);
    const std::string& owner = command.owner.empty() ? command.caller.owner : command.owner;
    u16 chosen = named.value_or(0);
    if (!named)
        for (u16 i = 0; i < books.devices().size(); ++i)
            if (books.available_for(i, owner) > books.available_for(chosen, owner)) chosen = i;
    return Search(state, command, chosen, now).figures();
}
}  // namespace vramd::report
