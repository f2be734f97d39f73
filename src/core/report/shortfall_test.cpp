/// What a refused request is advised, done on the state that it was computed from.
#include "core/report/shortfall.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/test_tiers.hpp"

using namespace vramd;
using namespace vramd::core;

namespace {
const Caller operator_{"uid:0", Role::admin};

AllocateCommand request(const std::string& owner, u64 size_bytes) {
    AllocateCommand command;
    command.caller = {owner, Role::user};
    command.device_id = "a";
    command.size_bytes = size_bytes;
    command.secret = 9;
    return command;
}

void set(Driver& driver, LimitsChange change) {
    SetLimitsCommand command;
    command.caller = operator_;
    command.device_id = "a";
    command.change = std::move(change);
    REQUIRE(driver.give(command));
    driver.finish();
}

std::vector<std::string> advised(const Driver& driver, const AllocateCommand& command, std::string_view beginning) {
    std::vector<std::string> found = report::shortfall(driver.state, command, driver.now).suggestions;
    std::erase_if(found, [&](const std::string& sentence) { return !sentence.starts_with(beginning); });
    return found;
}
}  // namespace

TEST_CASE("whoever is over its quota is not advised to have the device's limit raised, nor to free too little") {
    Driver driver;
    driver.add_device("a", 64 * mib);
    const AllocationId small = driver.allocate("me", 9 * mib);
    const AllocationId large = driver.allocate("me", 20 * mib);
    LimitsChange change;
    change.max_bytes = 48 * mib;
    change.owner_quotas = {{"me", 22 * mib}};  // Held are 29 MiB: of them 17 have to go for 10 more.
    set(driver, change);
    const AllocateCommand command = request("me", 10 * mib);
    REQUIRE(driver.give(command).error().code == Code::quota_exceeded);
    CHECK(advised(driver, command, "Let an operator_").empty());
    const auto frees = advised(driver, command, "Free the allocation");
    REQUIRE(frees.size() == 1);
    CHECK(frees[0].find(to_text(large)) != std::string::npos);
    CHECK(frees[0].find(to_text(small)) == std::string::npos);
    REQUIRE(driver.free("me", large));
    CHECK(driver.give(command).has_value());
}

TEST_CASE("on a device that holds more than its limits allow, freeing a hole's worth is advised only where that is enough") {
    Driver driver;
    driver.add_device("a", 64 * mib);
    const AllocationId first = driver.allocate("me", 2 * mib);
    REQUIRE(first);
    REQUIRE(driver.allocate("me", 2 * mib));
    LimitsChange change;
    change.max_bytes = 1 * mib;
    set(driver, change);
    const AllocateCommand command = request("me", mib / 2);
    REQUIRE(!driver.give(command));
    CHECK(advised(driver, command, "Free the allocation").empty());  // Two of four MiB would still be above the one that is allowed.
}

TEST_CASE("a pinned model is advised to be unloaded from the device that is full, whoever uses it elsewhere") {
    Tiers tiers;
    const OperationId pinned =
        tiers.give(LoadModelCommand{{"me", Role::user}, {.name = "m", .path = "m.gguf", .device_id = "b", .pinned = true}})->operation;
    tiers.inspect(pinned, 12 * mib);  // More than the cache may hold.
    tiers.go_on();
    tiers.load("m", "a", 12 * mib);
    REQUIRE(tiers.copy("m", 1) != nullptr);
    REQUIRE(tiers.copy("m", 0) != nullptr);
    AllocateCommand command = request("me", 8 * mib);
    command.device_id = "b";
    command.in_use = {tiers.copy("m", 0)->allocation.serial};
    REQUIRE(tiers.give(command).error().code == Code::insufficient_memory);
    const auto unloads = advised(tiers, command, "Unload the model");
    REQUIRE(unloads.size() == 1);
    CHECK(unloads[0].ends_with("DELETE /api/model/unload/b?name=m"));
    UnloadModelCommand followed{{"me", Role::user}, "m", "b"};
    followed.in_use = command.in_use;
    REQUIRE(tiers.give(followed).has_value());
    tiers.go_on();
    CHECK(tiers.give(command).has_value());
    CHECK(tiers.copy("m", 0) != nullptr);
}
