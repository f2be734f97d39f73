/// Random owners, devices and limits against a model that knows only sums: who holds how much where, and what the limits said.
#include <doctest/doctest.h>

#include <map>

#include "base/choices.hpp"
#include "core/driver.hpp"

using namespace vramd;
using namespace vramd::core;

namespace {
constexpr u64 capacities[] = {512 * kib, 128 * kib};
constexpr u64 sizes[] = {1, 256, 4096, 5000, 20'000, 65'536, 200'000};

struct Sums {
    DeviceLimits limits;
    u64 capacity = 0;
    std::map<std::string, u64> held;  ///< By owner.
    [[nodiscard]] u64 usable() const {
        u64 most = capacity;
        if (limits.form == LimitForm::bytes) most = std::min(capacity, limits.max_bytes);
        if (limits.form == LimitForm::percentage) most = capacity * limits.max_hundredths / 10'000;
        return most > limits.reserve_bytes ? most - limits.reserve_bytes : 0;
    }
    [[nodiscard]] u64 live() const {
        u64 sum = 0;
        for (const auto& [owner, bytes] : held) sum += bytes;
        return sum;
    }
};
struct Held {
    u16 device = 0;
    std::string owner;
    u64 bytes = 0;
};

class Trial {
public:
    explicit Trial(u64 seed) : choices_(Choices::from_seed(seed)) {
        for (u16 i = 0; i < 2; ++i) {
            driver_.add_device(std::string(1, static_cast<char>('a' + i)), capacities[i]);
            sums_[i].capacity = capacities[i];
        }
    }
    void step() {
        switch (choices_.below(10)) {
            case 0:
            case 1:
                set_limits();
                break;
            case 2:
            case 3:
            case 4:
                free();
                break;
            case 5:
                (void)driver_.give(reclaim());  // Never refused; there may be nothing to take.
                break;
            default:
                allocate();
        }
        if (choices_.one_in(2)) driver_.finish();
        check();
    }

private:
    std::string owner() { return "owner" + std::to_string(choices_.below(3)); }

    void set_limits() {
        const u16 device = static_cast<u16>(choices_.below(2));
        SetLimitsCommand command;
        command.caller = {"uid:0", Role::admin};
        command.device_id = driver_.state.books.devices()[device].id;
        DeviceLimits& limits = sums_[device].limits;
        switch (choices_.below(4)) {
            case 0:
                command.change.max_bytes = choices_.below(capacities[device] + 1);
                limits.form = LimitForm::bytes;
                limits.max_bytes = *command.change.max_bytes;
                break;
            case 1:
                command.change.max_hundredths = choices_.below(100'01);
                limits.form = LimitForm::percentage;
                limits.max_hundredths = *command.change.max_hundredths;
                break;
            case 2:
                command.change.reserve_bytes = choices_.below(capacities[device] / 2);
                limits.reserve_bytes = *command.change.reserve_bytes;
                break;
            default:
                command.change.owner_quotas.emplace();
                for (u64 i = choices_.below(4); i > 0; --i) (*command.change.owner_quotas)[owner()] = choices_.below(capacities[device]);
                limits.owner_quotas = *command.change.owner_quotas;
        }
        command.enforce = choices_.one_in(2) ? Enforce::immediately : Enforce::later;
        REQUIRE(driver_.give(command));
    }

    ReclaimCommand reclaim() {
        ReclaimCommand command;
        command.device = static_cast<u16>(choices_.below(2));
        command.down_to_bytes = choices_.below(capacities[0]);
        return command;
    }

    void free() {
        if (held_.empty()) return;
        auto at = held_.begin();
        std::advance(at, static_cast<std::ptrdiff_t>(choices_.below(held_.size())));
        if (driver_.state.books.allocation(at->first)->row.status == AllocationStatus::pending) driver_.finish();
        REQUIRE(driver_.give(FreeCommand{{at->second.owner, Role::user}, at->first}));
        sums_[at->second.device].held[at->second.owner] -= at->second.bytes;
        held_.erase(at);
    }

    void allocate() {
        AllocateCommand command;
        command.caller = {owner(), Role::user};
        command.size_bytes = sizes[choices_.below(std::size(sizes))];
        command.type = static_cast<AllocationType>(choices_.below(6));
        if (choices_.one_in(2)) command.device_id = choices_.one_in(3) ? "b" : "a";
        command.secret = 1 + choices_.below(1000);
        const auto decision = driver_.give(command);
        if (!decision) return check_refusal(command, decision.error());
        if (!decision->allocation) return;  // Room is on its way back.
        const memory::AllocationRow& row = driver_.state.books.allocation(decision->allocation)->row;
        const u16 device = driver_.state.books.block(row.block)->row.device;
        Sums& sums = sums_[device];
        u64& held = sums.held[command.caller.owner];
        held += row.granted_bytes;
        CHECK(sums.live() <= sums.usable());
        if (const auto quota = sums.limits.owner_quotas.find(command.caller.owner); quota != sums.limits.owner_quotas.end())
            CHECK(held <= quota->second);
        held_[decision->allocation] = {device, command.caller.owner, row.granted_bytes};
    }

    /// A refusal has its reason on every device that was asked.
    void check_refusal(const AllocateCommand& command, const Error& error) {
        const bool known =
            error.code == Code::insufficient_memory || error.code == Code::quota_exceeded || error.code == Code::limit_exceeded;
        REQUIRE(known);
        for (u16 i = 0; i < 2; ++i) {
            const memory::Books& books = driver_.state.books;
            if (!command.device_id.empty() && command.device_id != books.devices()[i].id) continue;
            const Sums& sums = sums_[i];
            const auto held = sums.held.find(command.caller.owner);
            const auto quota = sums.limits.owner_quotas.find(command.caller.owner);
            const u64 block = round_up(command.size_bytes, 4096);
            const u64 holds = held == sums.held.end() ? 0 : held->second;
            const bool over_quota = quota != sums.limits.owner_quotas.end() && holds + block > quota->second;
            const bool over_limit = books.sums(i).committed + block > sums.usable();
            const bool has_reason = over_quota || over_limit;
            CHECK(has_reason);
            if (error.code == Code::limit_exceeded) CHECK(block > sums.usable());
        }
    }

    void check() {
        const auto findings = audit(driver_.state);
        CHECK_MESSAGE(findings.empty(), (findings.empty() ? "" : findings.front()));
        for (u16 i = 0; i < 2; ++i) {
            const memory::Books& books = driver_.state.books;
            const memory::DeviceSums& sums = books.sums(i);
            CHECK(sums.live == sums_[i].live());
            CHECK(sums.live + sums.zombie + books.reserved_bytes(i) + books.free_bytes(i) == capacities[i]);
            CHECK(books.usable_bytes(i) == sums_[i].usable());
            CHECK(books.reserved_bytes(i) <= capacities[i] - sums_[i].usable());
            for (const auto& [name, bytes] : sums_[i].held) CHECK(books.held_by(i, name) == bytes);
            CHECK(books.uncommitted_bytes(i) <= books.free_bytes(i));
        }
    }

    Choices choices_;
    Driver driver_;
    Sums sums_[2];
    std::map<AllocationId, Held> held_;
};
}  // namespace

TEST_CASE("whatever owners ask for and admins limit, the bytes of a device add up and nobody gets beyond limit or quota") {
    for (u64 seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        Trial trial(seed);
        for (int i = 0; i < 200; ++i) trial.step();
    }
}
