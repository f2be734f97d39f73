#include "core/report/advice_limits.hpp"

#include <algorithm>

#include "core/reclaim.hpp"

namespace vramd::report {
namespace {
const Caller admin{"", Role::admin};

/// One device of the copy, and what is around it.
class LimitsTrial {
public:
    LimitsTrial(core::State& copy, u16 device, const Surroundings& around, std::vector<Advice>& list)
        : copy_(copy),
          books_(copy.books),
          device_(device),
          around_(around),
          list_(list),
          now_{around.now_wall_ns, around.now_wall_ns},
          limits_(copy.books.devices()[device].limits),
          capacity_(copy.books.devices()[device].capacity_bytes),
          granule_(copy.books.devices()[device].granule_bytes) {}

    void advise() {
        raise_quotas();
        bring_under_limit();
        lower_reserve();
    }

private:
    [[nodiscard]] const memory::PressureInput& machine() const { return *around_.machine[device_]; }
    [[nodiscard]] core::ReclaimScope scope() const { return {device_, ReclaimReach::models, {}, around_.frozen, around_.in_use}; }

    Advice begin(AdviceKind kind, LimitsChange change) const {
        Advice advice;
        advice.kind = kind;
        advice.device_id = books_.devices()[device_].id;
        advice.before = outlook_of(copy_, device_, machine());
        advice.call.method = "PUT";
        advice.call.path = "/api/memory/limits/" + advice.device_id;
        advice.call.limits = std::move(change);
        return advice;
    }
    [[nodiscard]] bool set(const LimitsChange& change) {
        return carry_out(copy_, SetLimitsCommand{admin, books_.devices()[device_].id, change, {}, Enforce::later, {}, {}}, now_);
    }
    void set_back() { core::apply(copy_, LimitsSet{device_, limits_, now_.wall_ns}); }
    /// Sets the limits, looks, sets them back. Kept where `gain` of it is more than 0.
    template <class Figure>
    void try_change(Advice advice, Figure&& figure) {
        const u64 before = figure();
        if (!set(advice.call.limits)) return;
        const u64 after = figure();
        advice.after = outlook_of(copy_, device_, machine());
        set_back();
        if (after <= before) return;
        advice.freed_bytes = after - before;
        list_.push_back(std::move(advice));
    }

    /// To where the owner would hold three quarters of its quota, as far as the device's room goes.
    void raise_quotas() {
        if (outlook_of(copy_, device_, machine()).level >= memory::moderate_from) return;
        for (const auto& [owner, quota] : limits_.owner_quotas) {
            const u64 held = books_.held_by(device_, owner);
            if (quota == 0 || u128{held} * memory::hundredths_whole < u128{quota} * quota_full_hundredths) continue;
            const u64 wished = round_up(held + div_ceil(held, 3), granule_);
            const u64 raised = std::min(wished, held + books_.uncommitted_bytes(device_));
            if (raised <= quota) continue;
            LimitsChange change;
            change.owner_quotas = limits_.owner_quotas;
            (*change.owner_quotas)[owner] = raised;
            Advice advice = begin(AdviceKind::raise_quota, std::move(change));
            advice.reason = owner + " holds " + bytes_text(held) + " of its quota of " + bytes_text(quota) +
                            ", and the device has room for " + bytes_text(books_.uncommitted_bytes(device_)) + " more.";
            try_change(std::move(advice), [&, name = owner] { return books_.available_for(device_, name); });
        }
    }

    /// What is held beyond the limits is reclaimed; where that is not enough, the limit is wrong.
    void bring_under_limit() {
        const u64 usable = books_.usable_bytes(device_);
        const u64 excess = core::excess_bytes(copy_, device_, usable);
        if (excess == 0) return;
        const core::ReclaimPlan plan = core::plan_reclaim(copy_, scope(), excess);
        const std::string over = bytes_text(excess) + " more are held than the " + bytes_text(usable) + " that the limits allow";
        if (plan.bytes > 0) enforce(over, plan);
        if (plan.bytes < excess) raise_limit(over, excess - plan.bytes);
    }

    void enforce(const std::string& over, const core::ReclaimPlan& plan) {
        Advice advice = begin(AdviceKind::enforce_limit, {});
        advice.call.enforce = Enforce::immediately;
        // It changes what there is; so rarely is it advised that a copy may be made.
        core::State trial = copy_;
        SetLimitsCommand command{admin, advice.device_id, {}, {}, Enforce::immediately, around_.frozen, around_.in_use};
        const u64 committed = trial.books.sums(device_).committed;
        if (!carry_out(trial, command, now_)) return;
        advice.freed_bytes = committed - trial.books.sums(device_).committed;
        advice.after = outlook_of(trial, device_, machine(), advice.freed_bytes);
        advice.reason = over + "; " + std::to_string(plan.blocks.size()) + " empty blocks and " + std::to_string(plan.copies.size()) +
                        " models that nobody uses could go: " + bytes_text(advice.freed_bytes) + ".";
        list_.push_back(std::move(advice));
    }

    /// To a tenth more than what cannot be reclaimed, so that something can be had again.
    void raise_limit(const std::string& over, u64 remains_bytes) {
        const u64 staying = books_.usable_bytes(device_) + remains_bytes;
        const u64 wished = std::min(capacity_, round_up(staying + staying / 10, granule_));
        LimitsChange change;
        if (wished + limits_.reserve_bytes <= capacity_) {
            change.max_bytes = wished + limits_.reserve_bytes;
        } else {
            change.max_hundredths = memory::hundredths_whole;
            change.reserve_bytes = capacity_ - wished;
        }
        Advice advice = begin(AdviceKind::raise_limit, std::move(change));
        advice.reason = over + ", and no reclaim gives " + bytes_text(remains_bytes) + " of them back: nobody gets new memory.";
        try_change(std::move(advice), [this] { return books_.free_bytes(device_); });
    }

    [[nodiscard]] bool fits(const AllocateCommand& command) const {
        const auto decision = core::decide(copy_, command, now_);
        return decision && (decision->allocation || decision->again_after_release);
    }

    /// By as little as lets the first of those that wait be served.
    void lower_reserve() {
        if (limits_.reserve_bytes == 0) return;
        for (AllocateCommand command : around_.waiting) {
            if (!command.device_id.empty() && command.device_id != books_.devices()[device_].id) continue;
            const std::string owner = command.owner.empty() ? command.caller.owner : command.owner;
            command.owner = owner;
            command.caller.role = Role::admin;  // For whom it is was decided when it came.
            command.closed.clear();
            if (fits(command)) continue;
            const u64 most = memory::max_bytes(limits_, capacity_);
            const u64 staying = core::excess_bytes(copy_, device_, 0) - core::plan_reclaim(copy_, scope(), number_max).bytes;
            const u64 needed = staying + round_up(std::min(command.size_bytes, capacity_), granule_);
            if (needed > most || most - needed >= limits_.reserve_bytes) continue;
            LimitsChange change;
            change.reserve_bytes = most - needed;
            Advice advice = begin(AdviceKind::lower_reserve, change);
            if (!set(change)) continue;
            const bool served = fits(command);
            set_back();
            if (!served) continue;
            advice.reason = owner + " waits for " + bytes_text(command.size_bytes) + " that only the reserve of " +
                            bytes_text(limits_.reserve_bytes) + " holds back.";
            return try_change(std::move(advice), [this] { return books_.free_bytes(device_); });
        }
    }

    core::State& copy_;
    const memory::Books& books_;
    u16 device_;
    const Surroundings& around_;
    std::vector<Advice>& list_;
    Moment now_;
    DeviceLimits limits_;  ///< As they are; the copy's change while one is tried.
    u64 capacity_;
    u64 granule_;
};
}  // namespace

void advise_limits(core::State& copy, u16 device, const Caller& caller, const Surroundings& around, std::vector<Advice>& list) {
    if (caller.role != Role::admin) return;
    LimitsTrial(copy, device, around, list).advise();
}
}  // namespace vramd::report
