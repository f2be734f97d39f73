#include "device/d3d12/d3d12.hpp"

#include "device/d3d12/fixture.hpp"
#include "device/d3d12/memory.hpp"

namespace vramd::device::d3d12 {
TEST_CASE("a heap reads as zero, takes bytes at every edge and gives them back, and no byte beside them changes") {
    const auto device = adapter();
    CHECK(device->facts().id == "d3d12-0");
    CHECK(device->facts().kind == "d3d12");
    CHECK(!device->facts().name.empty());
    CHECK(!is_seen(*device));
    constexpr u64 size = 33 * mib;  // Two staging buffers and some.
    REQUIRE(device->create(block(1, size)).has_value());
    CHECK(all(content(*device, 1), std::byte{0}));
    const auto way = channel(*device, 1);
    std::vector<std::byte> expected(size);
    u64 salt = 0;
    for (const u64 length : {u64{1}, u64{3}, u64{255}, u64{4096}, least - 1, least, least + 1, 16 * mib - 1, 16 * mib, 16 * mib + 1})
        for (const u64 offset : {u64{0}, u64{1}, u64{4095}, least - 1, least, 16 * mib - 1, size - length}) {
            CAPTURE(length);
            CAPTURE(offset);
            const auto bytes = pattern(length, ++salt);
            REQUIRE(way->write(offset, bytes).has_value());
            std::ranges::copy(bytes, expected.begin() + static_cast<std::ptrdiff_t>(offset));
            std::vector<std::byte> back(length);
            REQUIRE(way->read(offset, back).has_value());
            REQUIRE(back == bytes);
        }
    CHECK(content(*device, 1) == expected);
    for (const u64 length : {u64{1}, u64{5}, 2 * mib - 1, 2 * mib + 1, 17 * mib + 3}) {
        const auto value = static_cast<std::byte>(++salt);
        REQUIRE(way->fill(4097, length, value).has_value());
        std::fill_n(expected.begin() + 4097, length, value);
        REQUIRE(content(*device, 1) == expected);
    }
}

TEST_CASE("bytes are copied within a heap and between heaps") {
    const auto device = adapter();
    REQUIRE(device->create(block(1, 40 * mib)).has_value());
    REQUIRE(device->create(block(2, 40 * mib)).has_value());
    const auto first = channel(*device, 1), second = channel(*device, 2);
    auto expected = pattern(40 * mib, 1);
    REQUIRE(first->write(0, expected).has_value());
    REQUIRE(second->copy_from(3, *first, 1, 30 * mib).has_value());
    std::vector<std::byte> back(30 * mib);
    REQUIRE(second->read(3, back).has_value());
    CHECK(std::ranges::equal(back, std::span(expected).subspan(1, 30 * mib)));
    // Longer than what it goes by way of.
    REQUIRE(first->copy_from(20 * mib + 7, *first, 5, 18 * mib).has_value());
    std::memmove(expected.data() + 20 * mib + 7, expected.data() + 5, 18 * mib);
    CHECK(content(*device, 1) == expected);
}

TEST_CASE("what does not lie in a heap is refused, and nothing is written") {
    const auto device = adapter();
    REQUIRE(device->create(block(1)).has_value());
    REQUIRE(device->create(block(2, 2 * least)).has_value());
    const auto first = channel(*device, 1), second = channel(*device, 2);
    std::vector<std::byte> one(1, std::byte{1});
    CHECK(first->write(least, one).error().code == Code::out_of_range);
    CHECK(first->read(least, one).error().code == Code::out_of_range);
    CHECK(first->fill(1, least, std::byte{1}).error().code == Code::out_of_range);
    CHECK(first->fill(UINT64_MAX, 2, std::byte{1}).error().code == Code::out_of_range);
    CHECK(second->copy_from(0, *first, 1, least).error().code == Code::out_of_range);
    CHECK(second->copy_from(least + 1, *first, 0, least).error().code == Code::out_of_range);
    CHECK(all(content(*device, 1), std::byte{0}));
    CHECK(all(content(*device, 2), std::byte{0}));
}

TEST_CASE("what is staged for a heap arrives where it was sent, piece by piece") {
    const auto device = adapter();
    REQUIRE(device->create(block(1, 2 * mib)).has_value());
    const auto way = channel(*device, 1);
    {
        const auto stage = way->stage();
        REQUIRE(stage.has_value());
        CHECK((*stage)->bytes().size() >= stage_bytes_min);
        CHECK(reinterpret_cast<std::uintptr_t>((*stage)->bytes().data()) % page_bytes == 0);
        std::memset((*stage)->bytes().data(), 3, 4096);
        std::memset((*stage)->bytes().data() + 4096, 4, 4096);
        REQUIRE((*stage)->send(0, 4096, 100).has_value());
        REQUIRE((*stage)->send(4096, 4096, 2 * mib - 4096).has_value());
        CHECK((*stage)->send(0, 4096, 2 * mib - 4095).error().code == Code::out_of_range);
        CHECK((*stage)->send(stage_bytes_min - 1, 2, 0).error().code == Code::out_of_range);
        REQUIRE((*stage)->wait().has_value());
        REQUIRE((*stage)->send(0, 10, 0).has_value());  // Its end waits for this.
    }
    const auto bytes = content(*device, 1);
    CHECK(all(std::span(bytes).first(10), std::byte{3}));
    CHECK(all(std::span(bytes).subspan(100, 4096), std::byte{3}));
    CHECK(all(std::span(bytes).subspan(2 * mib - 4096), std::byte{4}));
}

TEST_CASE("a buffer is placed at multiples of 64 KiB within the heap, and nowhere else, whatever the runtime would allow") {
    const auto runtime = Runtime::open();
    REQUIRE(runtime.has_value());
    const auto context = Context::make(*runtime, *(*runtime)->find("0"), ns_per_second);
    REQUIRE(context.has_value());
    D3D12_HEAP_DESC description{};
    description.SizeInBytes = 4 * least;
    description.Properties.Type = D3D12_HEAP_TYPE_DEFAULT;
    description.Flags = D3D12_HEAP_FLAG_ALLOW_ONLY_BUFFERS;
    Com<ID3D12Heap> heap;
    REQUIRE((*context)->device().CreateHeap(&description, id_of<ID3D12Heap>(), heap.put()) == S_OK);
    const auto placed = [&](u64 offset, u64 size) -> std::optional<Code> {
        const auto buffer = place(**context, *heap.get(), 4 * least, offset, size);
        return buffer ? std::nullopt : std::optional(buffer.error().code);
    };
    CHECK(!placed(0, 4 * least));
    CHECK(!placed(least, 1));
    CHECK(!placed(3 * least, least));
    for (const u64 offset : {u64{1}, u64{256}, u64{4096}, least - 1, least + 1}) CHECK(placed(offset, 1) == Code::invalid_field);
    CHECK(placed(0, 0) == Code::invalid_field);
    CHECK(placed(0, 4 * least + 1) == Code::out_of_range);
    CHECK(placed(3 * least, least + 1) == Code::out_of_range);
    CHECK(placed(4 * least, 1) == Code::out_of_range);
    CHECK(placed(least, UINT64_MAX) == Code::out_of_range);
}

TEST_CASE("what the runtime cannot do is refused in words, and not promised") {
    const auto device = adapter();
    REQUIRE(device->create(block(1, least, BlockKind::shareable)).has_value());
    for (const char* word : {"map", "pinned", "sharedRead", "sharedWrite", "sharedAgreed"})
        CHECK(std::ranges::find(device->facts().capabilities, word) == device->facts().capabilities.end());
    CHECK(std::ranges::is_sorted(device->facts().capabilities));
    CHECK(device->map(1).error().code == Code::unsupported);
    for (const Sharing sharing : {Sharing::writable, Sharing::read_only}) {
        const auto shared = device->share(1, sharing);
        REQUIRE(!shared.has_value());
        CHECK(shared.error().code == Code::unsupported);
        CHECK(describe(shared.error()).find("vkd3d") != std::string::npos);
    }
    CHECK(device->create(block(2, least, BlockKind::pinned)).error().code == Code::unsupported);
    CHECK(device->adopt(block(2), Fd()).error().code == Code::invalid_field);
    CHECK(device->blocks() == std::vector<BlockSpec>{block(1, least, BlockKind::shareable)});
}

TEST_CASE("a heap that is sealed for sharing is written by nobody here any more") {
    const auto device = adapter();
    REQUIRE(device->create(block(1, least, BlockKind::shareable)).has_value());
    REQUIRE(device->create(block(2)).has_value());
    const auto way = channel(*device, 1);
    std::vector<std::byte> one(1);
    REQUIRE(way->write(0, one).has_value());
    CHECK(device->seal_for_sharing(2).error().code == Code::unsupported);
    CHECK(device->seal_for_sharing(3).error().code == Code::not_found);
    REQUIRE(device->seal_for_sharing(1).has_value());
    CHECK(way->write(0, one).error().code == Code::conflict);
    CHECK(way->fill(0, 1, std::byte{1}).error().code == Code::conflict);
    CHECK(way->copy_from(0, *channel(*device, 2), 0, 1).error().code == Code::conflict);
    CHECK(way->stage().error().code == Code::conflict);
    CHECK(way->read(0, one).has_value());
}

TEST_CASE("a channel keeps its heap's memory beyond the heap's release") {
    const auto device = adapter();
    REQUIRE(device->create(block(1)).has_value());
    const auto way = channel(*device, 1);
    REQUIRE(way->fill(0, least, std::byte{6}).has_value());
    REQUIRE(device->release(1).has_value());
    CHECK(device->release(1).error().code == Code::not_found);
    CHECK(channel_to(*device, 1).error().code == Code::not_found);
    CHECK(device->read().held_bytes == 0);
    std::vector<std::byte> bytes(least);
    REQUIRE(way->read(0, bytes).has_value());
    CHECK(all(bytes, std::byte{6}));
}

TEST_CASE("an adapter is opened as large as it was asked for, and what it has not is refused") {
    CHECK(adapter({.size = {Size::Unit::bytes, 100 * mib + 5}})->facts().capacity_bytes == 100 * mib);
    CHECK(open({.size = {Size::Unit::bytes, u64{1} << 60U}}).error().code == Code::invalid_field);
    CHECK(open({.size = {Size::Unit::bytes, kib}}).error().code == Code::invalid_field);
    const auto none = open({.which = "77"});
    REQUIRE(!none.has_value());
    CHECK(none.error().code == Code::not_found);
    CHECK(describe(none.error()).find("there are: 0 (") != std::string::npos);
    const auto half = open({.size = {Size::Unit::percent, 50}, .system_available = [] { return 640 * mib; }});
    REQUIRE(half.has_value());
    const auto& words = (*half)->facts().capabilities;
    if (std::ranges::find(words, "software") != words.end()) CHECK((*half)->facts().capacity_bytes <= 320 * mib);
}

TEST_CASE("no heap is made of what the system does not have to spare") {
    const auto device = adapter({.size = {Size::Unit::bytes, 64 * mib}, .system_available = [] { return 260 * mib; }});
    const auto words = device->facts().capabilities;
    if (std::ranges::find(words, "software") == words.end()) return;  // A GPU's memory is its own.
    const auto made = device->create(block(1, 5 * mib));
    REQUIRE(!made.has_value());
    CHECK(made.error().code == Code::insufficient_memory);
    CHECK(made.error().limit == 4 * mib);
    CHECK(device->create(block(1, 4 * mib)).has_value());
    const Reading reading = device->read();
    CHECK(reading.memory_type == "systemMemory");
    CHECK(reading.common_memory == "system");
    CHECK(reading.held_bytes == 4 * mib);
    CHECK(*reading.os_available_bytes <= 260 * mib);
}

TEST_CASE("its copies are measured as it begins") {
    const auto device = adapter();
    const auto rates = rates_of(*device);
    REQUIRE(rates.has_value());
    for (const u64 rate : {rates->from_system, rates->to_system, rates->within, rates->fill}) CHECK(rate > 1000);
    CHECK(device->health_check().has_value());
    CHECK(device->read().health == Health::good);
}
}  // namespace vramd::device::d3d12
