#include "terms/event.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <utility>

#include "terms/archive.hpp"

using namespace vramd;

namespace {
template <std::size_t... Indexes>
std::vector<Event> one_of_each(std::index_sequence<Indexes...>) {
    std::vector<Event> events;
    (events.emplace_back(std::in_place_index<Indexes>), ...);
    return events;
}
std::vector<Event> all_kinds() {
    std::vector<Event> events = one_of_each(std::make_index_sequence<std::variant_size_v<Event>>{});
    std::get<AllocationReserved>(events[6]) = {{3, 4}, 5,    256, 1000, 1024, 256, AllocationType::texture, "me", "weights",
                                               false,  true, 60,  99,   12,   7};
    std::get<OperationStarted>(events[12]).request = {"name", "path", ModelType::llm, 12, "a", Priority::high, true};
    std::get<ModelLoading>(events[14]).inspection.tensors = {{"w", "f32", {2, 3}, 0, 24}, {"scalar", "i8", {}, 256, 1}};
    return events;
}
std::vector<std::byte> bytes_of(const Event& event) {
    std::vector<std::byte> bytes;
    encode(event, bytes);
    return bytes;
}
}  // namespace

TEST_CASE("every kind of event comes back from its bytes as it was, with its own name") {
    std::vector<std::string_view> names;
    for (const Event& event : all_kinds()) {
        const auto bytes = bytes_of(event);
        const auto again = decode_event(bytes);
        REQUIRE(again);
        CHECK(again->index() == event.index());
        CHECK(bytes_of(*again) == bytes);
        names.push_back(name_of(event));
    }
    std::sort(names.begin(), names.end());
    CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
}

TEST_CASE("an event's bytes, cut anywhere or grown, are refused") {
    for (const Event& event : all_kinds()) {
        auto bytes = bytes_of(event);
        for (std::size_t size = 0; size < bytes.size(); ++size) CHECK(!decode_event(std::span(bytes).first(size)));
        bytes.push_back(std::byte{0});
        CHECK(!decode_event(bytes));
    }
    CHECK(!decode_event(std::vector<std::byte>{std::byte{200}}));
}
