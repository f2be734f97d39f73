#include <algorithm>
#include <fstream>

#include "device/cuda/fixture.hpp"

namespace vramd::device::cuda {
TEST_CASE("a block of a GPU reads as zero, takes bytes anywhere and gives them back") {
    const Calm calm;
    const auto device = gpu();
    CHECK(device->facts().id == "cuda0");
    CHECK(device->facts().granularity_bytes == least);
    CHECK(device->facts().driver.find("double") != std::string::npos);
    CHECK(device->map(1).error().code == Code::not_found);
    const auto keeper = device->create(block(1, 10 * least));
    REQUIRE(keeper.has_value());
    CHECK(device->map(1).error().code == Code::unsupported);
    CHECK(all(content(*device, 1), std::byte{0}));
    const auto way = channel(*device, 1);
    // Longer than a slot, so that pieces and slots are crossed; at odd offsets, so that nothing is aligned.
    std::vector<std::byte> bytes(17 * mib + 3);
    for (u64 i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 4096);
    REQUIRE(way->write(4097, bytes).has_value());
    std::vector<std::byte> back(bytes.size());
    REQUIRE(way->read(4097, back).has_value());
    CHECK(back == bytes);
    REQUIRE(way->fill(5000, 100, std::byte{9}).has_value());
    const auto now = content(*device, 1);
    CHECK(all(std::span(now).subspan(5000, 100), std::byte{9}));
    CHECK(now[4999] == bytes[4999 - 4097]);
    CHECK(now[5100] == bytes[5100 - 4097]);
    CHECK(all(std::span(now).first(4097), std::byte{0}));
    CHECK(Double::get().pending() == 0);
}

TEST_CASE("bytes are copied within a GPU, and what does not lie in the block is refused") {
    const Calm calm;
    const auto device = gpu();
    REQUIRE(device->create(block(1)).has_value());
    REQUIRE(device->create(block(2, 2 * least)).has_value());
    const auto first = channel(*device, 1);
    const auto second = channel(*device, 2);
    REQUIRE(first->fill(0, least, std::byte{5}).has_value());
    REQUIRE(second->copy_from(least, *first, 0, least).has_value());
    const auto bytes = content(*device, 2);
    CHECK(all(std::span(bytes).first(least), std::byte{0}));
    CHECK(all(std::span(bytes).subspan(least), std::byte{5}));
    std::vector<std::byte> one(1);
    CHECK(first->write(least, one).error().code == Code::out_of_range);
    CHECK(first->read(least, one).error().code == Code::out_of_range);
    CHECK(first->fill(1, least, std::byte{1}).error().code == Code::out_of_range);
    CHECK(first->fill(UINT64_MAX, 2, std::byte{1}).error().code == Code::out_of_range);
    CHECK(second->copy_from(0, *first, 1, least).error().code == Code::out_of_range);
    CHECK(second->copy_from(least + 1, *first, 0, least).error().code == Code::out_of_range);
}

TEST_CASE("what is staged arrives where it was sent, piece by piece") {
    const Calm calm;
    const auto device = gpu();
    REQUIRE(device->create(block(1)).has_value());
    const auto way = channel(*device, 1);
    {
        const auto stage = way->stage();
        REQUIRE(stage.has_value());
        CHECK((*stage)->bytes().size() >= stage_bytes_min);
        std::memset((*stage)->bytes().data(), 3, 4096);
        std::memset((*stage)->bytes().data() + 4096, 4, 4096);
        REQUIRE((*stage)->send(0, 4096, 100).has_value());
        REQUIRE((*stage)->send(4096, 4096, least - 4096).has_value());
        CHECK((*stage)->send(0, 4096, least - 4095).error().code == Code::out_of_range);
        CHECK((*stage)->send(stage_bytes_min - 1, 2, 0).error().code == Code::out_of_range);
        REQUIRE((*stage)->wait().has_value());
        REQUIRE((*stage)->send(0, 10, 0).has_value());  // Its end waits for this.
    }
    CHECK(Double::get().pending() == 0);
    const auto bytes = content(*device, 1);
    CHECK(all(std::span(bytes).first(10), std::byte{3}));
    CHECK(all(std::span(bytes).subspan(100, 4096), std::byte{3}));
    CHECK(all(std::span(bytes).subspan(least - 4096), std::byte{4}));
}

TEST_CASE("the next process adopts a GPU's blocks without a word to the driver, and finds their bytes") {
    const Calm calm;
    auto first = gpu();
    auto keeper = first->create(block(1, 3 * least));
    REQUIRE(keeper.has_value());
    REQUIRE(channel(*first, 1)->fill(0, 3 * least, std::byte{6}).has_value());
    first.reset();
    const auto second = gpu();
    const u64 calls = Double::get().calls();
    REQUIRE(second->adopt(block(1, 3 * least), *keeper->duplicate()).has_value());
    CHECK(Double::get().calls() == calls);
    CHECK(second->adopt(block(1, 3 * least), *keeper->duplicate()).error().code == Code::conflict);
    CHECK(second->adopt(block(2), Fd()).error().code == Code::system_failed);
    CHECK(all(content(*second, 1), std::byte{6}));
    // A size that is not the memory's is found out where it is used first, and touches nothing.
    REQUIRE(second->adopt(block(3, least), *keeper->duplicate()).has_value());
    CHECK(!channel_to(*second, 3).has_value());
    CHECK(second->read().health != Health::lost);
    const auto shared = second->share(1, Sharing::writable);
    REQUIRE(shared.has_value());
    struct stat facts {};
    REQUIRE(fstat(shared->get(), &facts) == 0);
    CHECK(facts.st_size == 3 * least);
}

TEST_CASE("a GPU block that is sealed for sharing is written by nobody here any more") {
    const Calm calm;
    const auto device = gpu();
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
    CHECK(device->share(1, Sharing::writable).error().code == Code::conflict);
    CHECK(device->share(1, Sharing::read_only).has_value());
    CHECK(std::ranges::find(device->facts().capabilities, "sharedRead") == device->facts().capabilities.end());
}

TEST_CASE("what lies on one GPU is copied by another where they reach each other, and is refused in words where not") {
    const Calm calm;
    Options options;
    options.size = {Size::Unit::bytes, 16 * mib};
    const auto here = gpu(options);
    options.which = "1";
    const auto there = gpu(options);
    CHECK(there->facts().id == "cuda1");
    for (const auto& device : {here.get(), there.get()}) REQUIRE(device->create(block(1)).has_value());
    REQUIRE(here->create(block(2)).has_value());
    const auto from = channel(*here, 1), closed = channel(*here, 2), to = channel(*there, 1);
    REQUIRE(from->fill(0, least, std::byte{5}).has_value());
    REQUIRE(to->copy_from(4096, *from, 0, least - 4096).has_value());
    const auto bytes = content(*there, 1);
    CHECK(all(std::span(bytes).first(4096), std::byte{0}));
    CHECK(all(std::span(bytes).subspan(4096), std::byte{5}));
    REQUIRE(from->copy_from(0, *to, 0, 4096).has_value());  // And back.
    const auto again = content(*here, 1);
    CHECK(all(std::span(again).first(4096), std::byte{0}));
    Double::get().order("cuDeviceCanAccessPeer", 801);
    CHECK(to->copy_from(0, *closed, 0, least).error().code == Code::unsupported);
    CHECK(to->copy_from(0, *from, 0, least).has_value());  // It was asked for before.
    CHECK(there->read().health == Health::good);
}

TEST_CASE("a GPU's copies are measured as it begins, in memory that nobody could be given, and all of that is back afterwards") {
    const Calm calm;
    const auto whole = gpu();  // All that is free.
    CHECK(rates_of(*whole).error().code == Code::insufficient_memory);
    const auto free_bytes = whole->read().os_available_bytes;
    Options options;
    options.size = {Size::Unit::bytes, 64 * mib};
    {
        const auto spare = gpu(options);
        const auto rates = rates_of(*spare);
        REQUIRE(rates.has_value());
        for (const u64 rate : {rates->from_system, rates->to_system, rates->within, rates->fill}) CHECK(rate > 1000);
        CHECK(rates_of(*spare) == rates);
    }
    CHECK(Double::get().pending() == 0);
    for (const char* call : {"cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuMemcpyDtoDAsync_v2"}) {
        Double::get().order(call, 1, std::string_view(call) == "cuMemcpyDtoDAsync_v2" ? 0 : 1);  // The first ones are the health check's.
        const auto without = gpu(options);
        CHECK_MESSAGE(rates_of(*without).error().code == Code::system_failed, call);
        CHECK(without->read().health == Health::good);
        CHECK(Double::get().pending() == 0);
    }
    CHECK(whole->read().os_available_bytes == free_bytes);
}

TEST_CASE("a GPU's reading tells its memory, ours and the others'") {
    const Calm calm;
    const auto device = gpu();
    const Reading before = device->read();
    CHECK(before.memory_type == "gpuMemory");
    CHECK(before.physical_bytes == gpu_bytes);
    CHECK(before.other_processes_bytes == 0);
    CHECK(before.capacity_bytes <= *before.os_available_bytes * 9 / 10);
    CHECK(before.capacity_bytes > *before.os_available_bytes * 8 / 10);
    auto keeper = device->create(block(1, 4 * least));
    REQUIRE(keeper.has_value());
    const Reading after = device->read();
    CHECK(after.held_bytes == 4 * least);
    CHECK(*after.os_available_bytes == *before.os_available_bytes - 4 * least);
    CHECK(after.other_processes_bytes == 0);
    // What somebody else keeps a descriptor of is theirs once we have let go.
    REQUIRE(device->release(1).has_value());
    CHECK(device->read().other_processes_bytes == 4 * least);
    keeper->reset();
    CHECK(device->read().other_processes_bytes == 0);
    CHECK(device->read().os_available_bytes == before.os_available_bytes);
}

TEST_CASE("a GPU's reading names the other processes that use it, and not this one") {
    const Calm calm;
    const auto device = gpu();
    CHECK(device->read().other_processes.empty());
    const std::string other = std::to_string(getppid());
    setenv("VRAMD_CUDA_DOUBLE_PROCESS", (other + ":12345678").c_str(), 1);
    const std::vector<ProcessUse> told = device->read().other_processes;
    CHECK(device->read(Look::use).other_processes.empty());
    setenv("VRAMD_CUDA_DOUBLE_PROCESS", "4194305:18446744073709551615", 1);  // Beyond any process; its use is not told.
    const std::vector<ProcessUse> unknown = device->read().other_processes;
    Double::get().order("nvmlDeviceGetComputeRunningProcesses_v3", 999);
    const std::vector<ProcessUse> refused = device->read().other_processes;
    unsetenv("VRAMD_CUDA_DOUBLE_PROCESS");
    REQUIRE(told.size() == 1);
    CHECK(told[0].pid == static_cast<u32>(getppid()));
    CHECK(told[0].used_bytes == 12345678);
    std::ifstream file("/proc/" + other + "/comm");
    std::string name;
    std::getline(file, name);
    CHECK(told[0].name == name);
    REQUIRE(unknown.size() == 1);
    CHECK(unknown[0].name.empty());
    CHECK(!unknown[0].used_bytes);
    CHECK(refused.empty());
}

TEST_CASE("a GPU is opened as large as it was asked for, what an earlier process left in it included") {
    const Calm calm;
    auto first = gpu();
    const u64 free_bytes = *first->read().os_available_bytes;
    const auto keeper = first->create(block(1, 16 * least));
    first.reset();
    CHECK(gpu()->facts().capacity_bytes < free_bytes * 9 / 10);
    CHECK(gpu({.kept_bytes = 16 * least})->facts().capacity_bytes == round_down(free_bytes * 9 / 10, least));
    CHECK(gpu({.size = {Size::Unit::bytes, 33 * mib}})->facts().capacity_bytes == 32 * mib);
    CHECK(open({.size = {Size::Unit::bytes, gpu_bytes + 1}}).error().code == Code::invalid_field);
    CHECK(open({.size = {Size::Unit::bytes, mib}}).error().code == Code::invalid_field);
}

TEST_CASE("a GPU that is not there is refused with those that are") {
    const Calm calm;
    (void)Double::get();
    CHECK(gpu({.which = "0"})->facts().id == "cuda0");
    CHECK(gpu({.which = "GPU-abababab-abab-abab-abab-ababababab00"})->facts().id == "cuda0");
    const auto none = open({.which = "7"});
    REQUIRE(!none.has_value());
    CHECK(none.error().code == Code::not_found);
    CHECK(describe(none.error()).find("0 (a double of a GPU, GPU-abababab") != std::string::npos);
}
}  // namespace vramd::device::cuda
