#include "core/keys.hpp"

#include <doctest/doctest.h>

#include "base/choices.hpp"
#include "core/state.hpp"

using namespace vramd;
using namespace vramd::core;

namespace {
KeyUsed used(u64 which, std::string subject, u64 wall_ns) {
    return {"me", "key" + std::to_string(which), 1, which, std::move(subject), "a", 0, wall_ns};
}
Keys restored(const Keys& keys) {
    std::vector<std::byte> bytes;
    keys.save(bytes);
    return Keys::restore(bytes).value();
}
}  // namespace

TEST_CASE("a key is found by its owner and its call only, for a day") {
    Keys keys;
    keys.apply(used(7, "alc_x", 1000));
    REQUIRE(keys.find("me", "key7", 1, 1000) != nullptr);
    CHECK(keys.find("me", "key7", 1, 1000)->subject == "alc_x");
    CHECK(keys.find("you", "key7", 1, 1000) == nullptr);
    CHECK(keys.find("me", "key7", 2, 1000) == nullptr);
    CHECK(keys.find("me", "key8", 1, 1000) == nullptr);
    CHECK(keys.find("me", "key7", 1, 1000 + used_key_ns_max) != nullptr);
    CHECK(keys.find("me", "key7", 1, 1001 + used_key_ns_max) == nullptr);
    CHECK(keys.find("me", "key7", 1, 0) != nullptr);  // A wall clock that was put back forgets nothing.
}

TEST_CASE("the newest ten thousand keys are kept, and none older than a day") {
    Keys keys;
    for (u64 i = 0; i < used_keys_max + 5; ++i) keys.apply(used(i, {}, 1000 + i));
    CHECK(keys.size() == used_keys_max);
    CHECK(keys.find("me", "key4", 1, 2000) == nullptr);
    CHECK(keys.find("me", "key5", 1, 2000) != nullptr);
    keys.apply(used(1'000'000, {}, 500'000 + used_key_ns_max));
    CHECK(keys.size() == 1);
}

TEST_CASE("a key whose change came to nothing can be used again") {
    Keys keys;
    const AllocationId allocation{3, 4};
    const OperationId operation{5, 6};
    keys.apply(used(1, to_text(allocation), 1));
    keys.apply(used(2, to_text(operation), 1));
    keys.apply(used(3, "mdl_1", 1));
    keys.apply(OperationEnded{operation, OperationState::succeeded, {}, 1});
    CHECK(keys.size() == 3);
    keys.apply(AllocationDropped{allocation, Code::cancelled, {}});
    keys.apply(OperationEnded{operation, OperationState::failed, {}, 1});
    CHECK(keys.size() == 1);
    CHECK(keys.find("me", "key3", 1, 1) != nullptr);
}

TEST_CASE("whatever is done to the keys, they audit clean and come back the same from their saved form") {
    for (u64 seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        Keys keys;
        u64 now = 1;
        for (int i = 0; i < 300; ++i) {
            now += choices.below(10) == 0 ? used_key_ns_max / 4 : 1000;
            const AllocationId id{1 + choices.below(20), 1};
            if (choices.one_in(4))
                keys.apply(AllocationDropped{id, Code::cancelled, {}});
            else
                keys.apply(used(choices.below(30), choices.one_in(3) ? std::string() : to_text(id), now));
        }
        std::vector<std::string> findings;
        keys.audit(findings);
        CHECK_MESSAGE(findings.empty(), (findings.empty() ? "" : findings.front()));
        std::vector<std::byte> before, after;
        keys.save(before);
        restored(keys).save(after);
        CHECK(before == after);
    }
}

TEST_CASE("a change and its key are decided together: the key is the batch's last event and names what was made") {
    State state;
    const auto give = [&state](const Command& command) {
        auto decision = decide(state, command, Moment{1000, 1000});
        REQUIRE_MESSAGE(decision.has_value(), describe(decision.error()));
        for (const Event& event : decision->events) apply(state, event);
        return *std::move(decision);
    };
    give(AddDeviceCommand{"a", 64 * mib, 4096});
    AllocateCommand allocate;
    allocate.caller = {"me", Role::user, {"k", 11, 22}};
    allocate.size_bytes = 1000;
    allocate.secret = 9;
    const Decision made = give(allocate);
    REQUIRE(std::holds_alternative<KeyUsed>(made.events.back()));
    const KeyUsed& key = std::get<KeyUsed>(made.events.back());
    CHECK(key.subject == to_text(made.allocation));
    CHECK(state.keys.find("me", "k", 11, 1000)->body == 22);
    give(BlockCreatedCommand{state.books.blocks().begin()->first});
    FreeCommand free;
    free.caller = {"me", Role::user, {"f", 12, 0}};
    free.id = made.allocation;
    const Decision freed = give(free);
    REQUIRE(std::holds_alternative<KeyUsed>(freed.events.back()));
    CHECK(std::get<KeyUsed>(freed.events.back()).bytes == freed.freed_bytes);
    CHECK(std::get<KeyUsed>(freed.events.back()).device_id == "a");
    allocate.caller.key = {};
    CHECK(!std::holds_alternative<KeyUsed>(give(allocate).events.back()));
    CHECK(audit(state).empty());
    CHECK(state_hash(*restore(save(state))) == state_hash(state));
}
