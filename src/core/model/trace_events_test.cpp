#include "core/model/trace_events.hpp"

#include <doctest/doctest.h>

#include "base/clock.hpp"

using namespace vramd;
using namespace vramd::model;

namespace {
/// A ledger told in a few words.
class Told {
public:
    Told() {
        see(0, DeviceAdded{"a", 1000, 10});
        see(0, DeviceAdded{"b", 500, 10});
    }
    template <class E>
    void see(u64 wall_s, const E& event) {
        REQUIRE(fold.see(event, wall_s * ns_per_second).has_value());
    }
    void ask(u64 wall_s, u64 operation, const std::string& name, Keeps keeps = Keeps::while_used) {
        OperationStarted event;
        event.id.serial = operation;
        event.request.name = name;
        event.request.pinned = keeps == Keeps::pinned;
        event.wall_ns = wall_s * ns_per_second;
        see(wall_s, event);
    }
    /// The operation loads the model `serial`, content `file`, into the allocation of the same number.
    void loading(u64 operation, u64 serial, u64 file, u64 bytes) {
        ModelLoading event{{serial, 0}, {operation, 0}, {serial, 0}, 0, ModelTier::device, 0, {}};
        event.inspection.identity.inode = file;
        event.inspection.memory_bytes = bytes;
        see(0, event);
    }
    void resident(u64 wall_s, u64 serial, u64 load_ms) {
        see(wall_s, ModelResident{{serial, 0}, {serial, 0}, 0, load_ms * 1'000'000, wall_s * ns_per_second});
    }
    void access(u64 wall_s, u64 allocation) { see(wall_s, AllocationAccessed{{allocation, 0}, wall_s * ns_per_second, 0}); }
    EventTrace end() { return std::move(fold).finish(); }
    TraceEvents fold;
};
}  // namespace

TEST_CASE("loads and uses of models become requests, with the sizes and load times that were recorded") {
    Told told;
    told.ask(100, 1, "x");
    told.loading(1, 7, 55, 101);
    told.resident(103, 7, 3000);
    told.access(104, 7);
    told.access(109, 7);  // One use, from 103 to 109.
    told.ask(110, 2, "y");
    told.loading(2, 8, 56, 20);
    told.resident(111, 8, 500);
    told.access(120, 7);   // Another use of x.
    told.access(120, 99);  // No model's memory.
    const EventTrace made = told.end();
    CHECK(made.named.names == std::vector<std::string>{"x", "y"});
    CHECK(made.named.trace.models[0].size_bytes == 110);  // In whole granules of the device.
    CHECK(made.named.trace.models[0].load_ns == 3 * ns_per_second);
    CHECK(made.named.models_measured == 2);
    const auto& requests = made.named.trace.requests;
    REQUIRE(requests.size() == 3);
    CHECK(requests[0].at_ns == 0);
    CHECK(requests[0].use_ns == 6 * ns_per_second);
    CHECK(requests[1].at_ns == 10 * ns_per_second);
    CHECK(requests[2].at_ns == 20 * ns_per_second);
    CHECK(requests[2].model == 0);
    CHECK(made.capacity_bytes == 1000);  // Nothing was loaded onto b.
    CHECK(made.devices == std::vector<std::string>{"a"});
}

TEST_CASE("one content is one model under every name and in every life, and who asks for what is there asks too") {
    Told told;
    told.ask(1, 1, "x");
    told.loading(1, 7, 55, 50);
    told.ask(2, 2, "alias");
    told.see(2, ModelNamed{{7, 0}, {2, 0}, 0});
    told.resident(5, 7, 4000);
    told.see(6, ModelGone{{7, 0}, {7, 0}, 0});
    told.fold.begin_life();
    told.see(8, DeviceAdded{"a", 800, 10});
    told.ask(9, 1, "x");
    told.loading(1, 1, 55, 50);
    told.resident(11, 1, 2000);
    const EventTrace made = told.end();
    CHECK(made.named.names == std::vector<std::string>{"x"});
    CHECK(made.named.trace.requests.size() == 3);
    CHECK(made.named.trace.models[0].load_ns == 3 * ns_per_second);  // The mean of both loads.
    CHECK(made.capacity_bytes == 800);
}

TEST_CASE("a load that failed is no request, one that found no room is, as far as its size is known") {
    Told told;
    const auto ended = [&](u64 operation, Code code) {
        OperationEnded event;
        event.id.serial = operation;
        event.state = OperationState::failed;
        event.error.code = code;
        told.see(9, event);
    };
    told.ask(1, 1, "broken");
    told.loading(1, 7, 55, 50);
    ended(1, Code::invalid_model);
    told.see(2, ModelGone{{7, 0}, {7, 0}, 0});
    told.ask(3, 2, "missing");
    ended(2, Code::not_found);
    told.ask(4, 3, "unknown");
    ended(3, Code::insufficient_memory);
    told.ask(5, 4, "x");
    told.loading(4, 8, 56, 50);
    told.resident(6, 8, 10);
    told.see(7, ModelGone{{8, 0}, {8, 0}, 0});
    told.ask(8, 5, "x");
    ended(5, Code::insufficient_memory);
    const EventTrace made = told.end();
    REQUIRE(made.named.trace.requests.size() == 2);
    CHECK(made.named.names[made.named.trace.requests[1].model] == "x");
    CHECK(made.refused_of_unknown_size == 1);
}

TEST_CASE("what was loaded pinned is used until it was unloaded, and for ever where it was not") {
    Told told;
    told.ask(1, 1, "x", Keeps::pinned);
    told.loading(1, 7, 55, 50);
    told.resident(3, 7, 10);
    told.see(30, ModelGone{{7, 0}, {7, 0}, 0});
    told.ask(40, 2, "x", Keeps::pinned);
    told.loading(2, 8, 55, 50);
    told.resident(41, 8, 10);
    told.fold.begin_life();
    told.ask(50, 1, "x", Keeps::pinned);
    told.loading(1, 1, 55, 50);
    told.resident(51, 1, 10);
    const auto requests = told.end().named.trace.requests;
    REQUIRE(requests.size() == 3);
    CHECK((requests[0].keeps == Keeps::while_used));
    CHECK(requests[0].use_ns == 27 * ns_per_second);
    CHECK((requests[1].keeps == Keeps::while_used));  // The memory's life ended.
    CHECK((requests[2].keeps == Keeps::pinned));
}

TEST_CASE("figures that no daemon records neither wrap nor break a replay") {
    TraceEvents fold;
    for (const u64 odd : {UINT64_MAX, number_max, u64{0}}) {
        REQUIRE(fold.see(DeviceAdded{"d" + std::to_string(odd), UINT64_MAX, odd}, odd).has_value());
        OperationStarted started;
        started.wall_ns = odd;
        REQUIRE(fold.see(started, odd).has_value());
        ModelLoading loading{{odd, 0}, {0, 0}, {odd, 0}, 0, ModelTier::device, 0, {}};
        loading.inspection.memory_bytes = odd;
        loading.inspection.identity.inode = odd;
        REQUIRE(fold.see(loading, odd).has_value());
        REQUIRE(fold.see(ModelResident{{odd, 0}, {odd, 0}, 0, odd, odd}, odd).has_value());
        REQUIRE(fold.see(AllocationAccessed{{odd, 0}, odd / 2, 0}, odd).has_value());
        fold.begin_life();
    }
    const EventTrace made = std::move(fold).finish();
    CHECK(made.capacity_bytes == number_max);
    for (const ReplayModel& model : made.named.trace.models) CHECK((model.size_bytes >= 1 && model.size_bytes <= number_max));
    CHECK(replay(made.named.trace, {made.capacity_bytes, {}}, EvictionOrder::smart).requests == 3);
}

TEST_CASE("a model with a copy in the RAM cache and one on a device is one memory: read once, and there until the last is gone") {
    Told told;
    told.ask(1, 1, "m");
    told.loading(1, 7, 70, 1000);
    told.resident(2, 7, 500);
    told.see(2, ModelCopying{{7, 0}, {1, 0}, {8, 0}, 0, ModelTier::device});
    told.see(3, ModelResident{{7, 0}, {8, 0}, 0, 1, 3 * ns_per_second});
    told.see(4, ModelGone{{7, 0}, {7, 0}, 0});
    told.access(5, 8);
    told.see(6, ModelGone{{7, 0}, {8, 0}, 0});
    told.access(7, 8);
    const EventTrace made = told.end();
    REQUIRE(made.named.trace.requests.size() == 1);
    CHECK(made.named.trace.models[0].load_ns == 500'000'000);
    CHECK(made.named.trace.requests[0].use_ns == 3 * ns_per_second);
}

TEST_CASE("a history that begins in the midst of things is read from where it is whole") {
    TraceEvents fold;
    REQUIRE(fold.see(ModelResident{{3, 0}, {3, 0}, 0, 5, 5}, 5).has_value());
    REQUIRE(fold.see(AllocationAccessed{{3, 0}, 6, 0}, 6).has_value());
    REQUIRE(fold.see(ModelGone{{3, 0}, {3, 0}, 0}, 7).has_value());
    REQUIRE(fold.see(DeviceResized{4, 100}, 7).has_value());
    ModelLoading loading{{4, 0}, {9, 0}, {4, 0}, 3, ModelTier::device, 3, {}};
    REQUIRE(fold.see(loading, 8).has_value());
    REQUIRE(fold.see(ModelNamed{{4, 0}, {10, 0}, 0}, 8).has_value());
    const EventTrace made = std::move(fold).finish();
    CHECK(made.named.trace.requests.empty());
    CHECK(made.capacity_bytes == 0);
}
