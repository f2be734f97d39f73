#include <doctest/doctest.h>

#include "core/driver.hpp"

using namespace vramd;
using namespace vramd::core;

namespace {
const Caller somebody{"me", Role::user};

Inspection header(u64 inode, u64 bytes) {
    Inspection inspection;
    inspection.identity.inode = inode;
    inspection.memory_bytes = bytes;
    inspection.tensor_bytes = bytes;
    return inspection;
}

OperationId begin(Driver& driver, const std::string& name) {
    LoadModelCommand command;
    command.caller = somebody;
    command.request.name = name;
    command.request.path = name + ".gguf";
    return driver.give(command)->operation;
}
/// From the header to the block: the loader runs now.
void inspect(Driver& driver, OperationId operation, const Inspection& inspection) {
    REQUIRE(driver.give(InspectedCommand{operation, inspection, 1, 2}));
    driver.finish();
}
OperationState state_of(const Driver& driver, OperationId id) { return driver.state.catalogue.operation(id)->state; }
template <class E>
bool wants(const Driver& driver, OperationId id) {
    for (const Effect& effect : driver.effects)
        if (const auto* found = std::get_if<E>(&effect); found != nullptr && found->operation == id) return true;
    return false;
}
}  // namespace

TEST_CASE("a load inspects, reserves exactly what the header says, loads, and is resident") {
    Driver driver;
    driver.add_device("a", 1 * mib);
    const auto operation = begin(driver, "m");
    CHECK(wants<InspectModelEffect>(driver, operation));
    inspect(driver, operation, header(1, 5000));
    CHECK(wants<LoadModelEffect>(driver, operation));
    CHECK(driver.state.books.sums(0).live == 8192);
    REQUIRE(driver.give(LoadedCommand{operation, 5}));
    CHECK(state_of(driver, operation) == OperationState::succeeded);
    CHECK(driver.state.catalogue.copies_of(1).front()->state == ModelState::resident);
    CHECK(audit(driver.state).empty());
    REQUIRE(driver.give(UnloadModelCommand{somebody, "m", ""}));
    driver.finish();
    CHECK(driver.state.books.sums(0).committed == 0);
}

TEST_CASE("loads of one file are one load, under as many names as were asked for") {
    Driver driver;
    driver.add_device("a", 1 * mib);
    const auto first = begin(driver, "one");
    const auto second = begin(driver, "two");
    inspect(driver, first, header(1, 5000));
    inspect(driver, second, header(1, 5000));
    CHECK(driver.state.books.sums(0).live == 8192);
    CHECK(state_of(driver, second) == OperationState::running);
    REQUIRE(driver.give(LoadedCommand{first, 5}));
    CHECK(state_of(driver, second) == OperationState::succeeded);
    REQUIRE(driver.give(UnloadModelCommand{somebody, "one", ""}));
    driver.finish();
    CHECK(driver.state.books.sums(0).live == 8192);  // "two" still stands for it.
    REQUIRE(driver.give(UnloadModelCommand{somebody, "two", ""}));
    driver.finish();
    CHECK(driver.state.books.sums(0).live == 0);
}

TEST_CASE("a name that stands for another file is refused, and the refusal names that file") {
    Driver driver;
    driver.add_device("a", 1 * mib);
    const auto first = begin(driver, "m");
    inspect(driver, first, header(1, 100));
    REQUIRE(driver.give(LoadedCommand{first, 5}));
    const auto second = begin(driver, "m");
    inspect(driver, second, header(2, 100));
    CHECK(state_of(driver, second) == OperationState::failed);
    CHECK(driver.state.catalogue.operation(second)->error.code == Code::name_in_use);
    CHECK(driver.state.catalogue.operation(second)->error.detail.find("m.gguf") != std::string::npos);
}

TEST_CASE("a cancelled load ends when its loader is gone, and gives all memory back, at whatever stage it was") {
    for (const int stage : {0, 1, 2}) {
        CAPTURE(stage);
        Driver driver;
        driver.add_device("a", 1 * mib);
        const auto operation = begin(driver, "m");
        if (stage == 1) {  // The block is being made.
            REQUIRE(driver.give(InspectedCommand{operation, header(1, 5000), 1, 2}));
        }
        if (stage == 2) inspect(driver, operation, header(1, 5000));
        REQUIRE(driver.give(CancelOperationCommand{somebody, operation}));
        CHECK(wants<StopLoadEffect>(driver, operation));
        CHECK(state_of(driver, operation) == OperationState::running);
        if (stage == 1)
            driver.finish();
        else
            REQUIRE(driver.give(OperationFailedCommand{operation, {Code::cancelled, "operation", 0, 0, "killed"}}));
        driver.finish();
        CHECK(state_of(driver, operation) == OperationState::cancelled);
        CHECK(driver.state.books.sums(0).committed == 0);
        CHECK(audit(driver.state).empty());
    }
}

TEST_CASE("cancelling one of two who wait for the same load leaves the other's going") {
    for (const bool cancel_first : {true, false}) {
        Driver driver;
        driver.add_device("a", 1 * mib);
        const auto first = begin(driver, "one");
        const auto second = begin(driver, "two");
        inspect(driver, first, header(1, 5000));
        inspect(driver, second, header(1, 5000));
        const auto cancelled = cancel_first ? first : second;
        const auto other = cancel_first ? second : first;
        REQUIRE(driver.give(CancelOperationCommand{somebody, cancelled}));
        CHECK(state_of(driver, cancelled) == OperationState::cancelled);
        CHECK(!wants<StopLoadEffect>(driver, first));
        REQUIRE(driver.give(LoadedCommand{first, 5}));
        CHECK(state_of(driver, other) == OperationState::succeeded);
        CHECK(audit(driver.state).empty());
    }
}

TEST_CASE("an operation still tells what it loaded after its model is gone") {
    Driver driver;
    driver.add_device("a", 1 * mib);
    const auto operation = begin(driver, "m");
    inspect(driver, operation, header(1, 5000));
    REQUIRE(driver.give(LoadedCommand{operation, 5}));
    REQUIRE(driver.give(UnloadModelCommand{somebody, "m", ""}));
    CHECK(driver.state.catalogue.operation(operation)->total_bytes == 5000);
}

TEST_CASE("a model that does not fit fails whole, with both figures") {
    Driver driver;
    driver.add_device("a", 1 * mib);
    const auto operation = begin(driver, "m");
    inspect(driver, operation, header(1, 2 * mib));
    CHECK(state_of(driver, operation) == OperationState::failed);
    CHECK(driver.state.catalogue.operation(operation)->error.code == Code::insufficient_memory);
    CHECK(driver.state.books.sums(0).committed == 0);
}

TEST_CASE("a block that cannot be made ends the load, and nothing is left") {
    Driver driver;
    driver.add_device("a", 1 * mib);
    const auto operation = begin(driver, "m");
    REQUIRE(driver.give(InspectedCommand{operation, header(1, 5000), 1, 2}));
    REQUIRE(driver.give(BlockFailedCommand{1, {Code::insufficient_memory, "/sizeBytes", 8192, 0, {}}}));
    CHECK(state_of(driver, operation) == OperationState::failed);
    CHECK(driver.state.books.sums(0).committed == 0);
    CHECK(audit(driver.state).empty());
}

TEST_CASE("a restart goes on with loads and drops allocations that nobody was told of") {
    Driver driver;
    driver.add_device("a", 1 * mib);
    const auto inspecting = begin(driver, "early");
    const auto loading = begin(driver, "late");
    inspect(driver, loading, header(1, 5000));
    AllocateCommand command;
    command.caller = somebody;
    command.size_bytes = 100;
    const auto pending = driver.give(command);
    REQUIRE(pending);
    driver.effects.clear();  // The core dies here.
    REQUIRE(driver.give(RecoverCommand{}));
    for (const Effect& effect : unfinished(driver.state)) driver.effects.push_back(effect);
    CHECK(wants<InspectModelEffect>(driver, inspecting));
    CHECK(wants<LoadModelEffect>(driver, loading));
    driver.finish();
    CHECK(driver.state.books.allocation(pending->allocation) == nullptr);
    CHECK(driver.state.books.sums(0).live == 8192);
    CHECK(audit(driver.state).empty());
}

TEST_CASE("memory that did not outlive a restart takes its allocations and models with it") {
    Driver driver;
    driver.add_device("a", 1 * mib);
    const auto operation = begin(driver, "m");
    inspect(driver, operation, header(1, 5000));
    REQUIRE(driver.give(LoadedCommand{operation, 5}));
    const auto id = driver.allocate("me", 100);
    std::vector<BlockKey> all;
    for (const auto& [key, block] : driver.state.books.blocks()) all.push_back(key);
    REQUIRE(driver.give(BlocksLostCommand{all}));
    CHECK(driver.state.books.allocation(id) == nullptr);
    CHECK(driver.state.catalogue.model_named("m") == nullptr);
    CHECK(driver.state.books.sums(0).committed == 0);
    CHECK(audit(driver.state).empty());
}

TEST_CASE("a load of a file whose load is being cancelled reads the header again instead of failing") {
    Driver driver;
    driver.add_device("a", 1 * mib);
    const auto dying = begin(driver, "m");
    inspect(driver, dying, header(1, 5000));
    REQUIRE(driver.give(CancelOperationCommand{somebody, dying}));
    const auto next = begin(driver, "m");
    driver.effects.clear();
    inspect(driver, next, header(1, 5000));
    CHECK(state_of(driver, next) == OperationState::running);
    CHECK(wants<InspectModelEffect>(driver, next));
    REQUIRE(driver.give(OperationFailedCommand{dying, {Code::cancelled, "operation", 0, 0, "killed"}}));
    driver.finish();
    driver.effects.clear();
    inspect(driver, next, header(1, 5000));
    REQUIRE(driver.give(LoadedCommand{next, 5}));
    CHECK(state_of(driver, next) == OperationState::succeeded);
    CHECK(audit(driver.state).empty());
}

TEST_CASE("a load that was being cancelled when the core died is ended by the restart, not loaded to its end") {
    Driver driver;
    driver.add_device("a", 1 * mib);
    const auto operation = begin(driver, "m");
    inspect(driver, operation, header(1, 5000));
    REQUIRE(driver.give(CancelOperationCommand{somebody, operation}));
    driver.effects.clear();  // The core dies here.
    REQUIRE(driver.give(RecoverCommand{}));
    for (const Effect& effect : unfinished(driver.state)) driver.effects.push_back(effect);
    CHECK(!wants<LoadModelEffect>(driver, operation));
    driver.finish();
    CHECK(state_of(driver, operation) == OperationState::cancelled);
    CHECK(driver.state.books.sums(0).committed == 0);
    CHECK(audit(driver.state).empty());
}

TEST_CASE("a load takes the room of a model that is being given back, and of arenas that stand empty") {
    Driver driver;
    driver.add_device("a", 4 * mib);
    const auto first = begin(driver, "old");
    inspect(driver, first, header(1, 3 * mib));
    REQUIRE(driver.give(LoadedCommand{first, 5}));
    REQUIRE(driver.free("me", driver.allocate("me", 256)));         // Leaves an empty arena.
    REQUIRE(driver.give(UnloadModelCommand{somebody, "old", ""}));  // Its block is not back yet.
    const auto second = begin(driver, "new");
    REQUIRE(driver.give(InspectedCommand{second, header(2, 4 * mib), 1, 2}));
    CHECK(state_of(driver, second) == OperationState::running);
    driver.finish();  // Both are back now.
    CHECK(wants<InspectModelEffect>(driver, second));
    inspect(driver, second, header(2, 4 * mib));
    REQUIRE(driver.give(LoadedCommand{second, 5}));
    CHECK(state_of(driver, second) == OperationState::succeeded);
    CHECK(audit(driver.state).empty());
}

TEST_CASE("no more loads run at once than can be told of") {
    Driver driver;
    driver.add_device("a", 1 * mib);
    OperationId last;
    for (std::size_t i = 0; i < model::running_max; ++i) last = begin(driver, "m");
    LoadModelCommand command;
    command.caller = somebody;
    command.request.name = "m";
    command.request.path = "m.gguf";
    const auto refused = driver.give(command);
    REQUIRE(!refused);
    CHECK(refused.error().code == Code::busy);
    REQUIRE(driver.give(OperationFailedCommand{last, {Code::not_found, "path", 0, 0, "gone"}}));
    CHECK(driver.give(command).has_value());
}
