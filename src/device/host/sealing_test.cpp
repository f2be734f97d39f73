#include <sys/mman.h>
#include <sys/resource.h>

#include <fstream>

#include "device/host/fixture.hpp"

namespace vramd::device::host {
namespace {
u64 locked_kib() {
    std::ifstream status("/proc/self/status");
    u64 locked = 0;
    for (std::string word; status >> word;)
        if (word == "VmLck:") status >> locked;
    return locked;
}
}  // namespace

TEST_CASE("nobody can resize a block, another user least of all") {
    const auto device = plain();
    const auto keeper = device->create(block(1));
    REQUIRE(keeper.has_value());
    CHECK((seals_of(*keeper) & (F_SEAL_SHRINK | F_SEAL_GROW)) == (F_SEAL_SHRINK | F_SEAL_GROW));
    CHECK((seals_of(*keeper) & F_SEAL_FUTURE_WRITE) == 0);
    CHECK(ftruncate(keeper->get(), 4096) != 0);
    CHECK(ftruncate(keeper->get(), 2 * mib) != 0);
    const auto given = device->share(1, Sharing::writable);
    REQUIRE(given.has_value());
    const auto done = as_another_user([&] {
        const std::string again = "/proc/self/fd/" + std::to_string(given->get());
        return (ftruncate(given->get(), 4096) == 0 ? 1 : 0) | (ftruncate(given->get(), 2 * mib) == 0 ? 2 : 0) |
               (::open(again.c_str(), O_RDWR) >= 0 ? 4 : 0) | (fallocate(given->get(), 0, mib, mib) == 0 ? 8 : 0);
    });
    if (done) CHECK(*done == 0);
}

TEST_CASE("a block sealed for sharing can be written by nobody, through no descriptor and no new mapping") {
    const auto device = plain();
    const auto keeper = device->create(block(1, mib, BlockKind::shareable));
    REQUIRE(keeper.has_value());
    const Mapping before = *device->map(1);
    before.write().value()[7] = std::byte{77};
    REQUIRE(device->seal_for_sharing(1).has_value());
    REQUIRE(device->seal_for_sharing(1).has_value());
    constexpr int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    CHECK((seals_of(*keeper) & all) == all);
    CHECK(device->map(1)->write().error().code == Code::conflict);
    CHECK(device->map(1)->read()[7] == std::byte{77});
    const auto given = device->share(1, Sharing::read_only);
    REQUIRE(given.has_value());
    CHECK((fcntl(given->get(), F_GETFL) & O_ACCMODE) == O_RDONLY);
    const auto attempts = [&] {
        const std::string again = "/proc/self/fd/" + std::to_string(given->get());
        const Fd reopened(::open(again.c_str(), O_RDWR));
        const int descriptor = reopened ? reopened.get() : given->get();
        int done = 0;
        if (mmap(nullptr, mib, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0) != MAP_FAILED) done |= 1;
        if (pwrite(descriptor, "x", 1, 0) == 1) done |= 2;
        if (fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0) done |= 4;
        void* const readable = mmap(nullptr, mib, PROT_READ, MAP_SHARED, given->get(), 0);
        if (readable == MAP_FAILED) return done | 8;
        if (static_cast<const char*>(readable)[7] != 77) done |= 16;
        if (mprotect(readable, mib, PROT_READ | PROT_WRITE) == 0) done |= 32;
        munmap(readable, mib);
        return done;
    };
    CHECK(attempts() == 0);
    if (const auto done = as_another_user(attempts)) CHECK(*done == 0);
    CHECK(device->share(1, Sharing::writable).error().code == Code::conflict);
}

TEST_CASE("a descriptor for reading does not let another user write, though the block is not sealed") {
    const auto device = plain();
    REQUIRE(device->create(block(1, mib, BlockKind::dedicated)).has_value());
    device->map(1)->write().value()[7] = std::byte{77};
    const auto given = device->share(1, Sharing::read_only);
    REQUIRE(given.has_value());
    const auto attempts = [&] {
        int done = 0;
        if (mmap(nullptr, mib, PROT_READ | PROT_WRITE, MAP_SHARED, given->get(), 0) != MAP_FAILED) done |= 1;
        if (pwrite(given->get(), "x", 1, 0) == 1) done |= 2;
        if (fallocate(given->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0) done |= 4;
        void* const own = mmap(nullptr, mib, PROT_READ | PROT_WRITE, MAP_PRIVATE, given->get(), 0);
        if (own == MAP_FAILED || static_cast<char*>(own)[7] != 77) return done | 8;
        static_cast<char*>(own)[7] = 78;
        return done;
    };
    CHECK(attempts() == 0);
    const auto as_other = as_another_user([&] {
        const std::string again = "/proc/self/fd/" + std::to_string(given->get());
        return attempts() | (::open(again.c_str(), O_RDWR) >= 0 ? 16 : 0);
    });
    if (as_other) CHECK(*as_other == 0);
    CHECK(device->map(1)->read()[7] == std::byte{77});
    CHECK(device->map(1)->write().has_value());
}

TEST_CASE("only a block made to be shareable or pinned is sealed") {
    const auto device = plain();
    for (const BlockKind kind : {BlockKind::arena, BlockKind::dedicated}) {
        const u64 key = static_cast<u64>(kind) + 1;
        REQUIRE(device->create(block(key, mib, kind)).has_value());
        CHECK(device->seal_for_sharing(key).error().code == Code::unsupported);
        CHECK(device->map(key)->write().has_value());
    }
}

TEST_CASE("pinned memory can be sealed as a shareable block is, and stays locked, once") {
    const auto device = plain();
    const auto keeper = device->create(block(1, mib, BlockKind::pinned));
    if (!keeper) return;  // The test below has its reason.
    REQUIRE(device->seal_for_sharing(1).has_value());
    CHECK((seals_of(*keeper) & F_SEAL_FUTURE_WRITE) != 0);
    CHECK(device->map(1)->write().error().code == Code::conflict);
    CHECK(locked_kib() == 1024);
    REQUIRE(device->release(1).has_value());
    CHECK(locked_kib() == 0);
}

TEST_CASE("pinned memory is locked, or refused with the remedy") {
    const auto device = plain();
    const auto pinned = device->create(block(1, mib, BlockKind::pinned));
    if (!pinned) {
        CHECK(pinned.error().code == Code::limit_exceeded);
        CHECK(describe(pinned.error()).find("LimitMEMLOCK") != std::string::npos);
        CHECK(device->blocks().empty());
        return;
    }
    CHECK(locked_kib() >= 1024);
    REQUIRE(device->release(1).has_value());
    CHECK(locked_kib() == 0);
}

TEST_CASE("another user's process without the right to lock is told so in words") {
    const auto done = as_another_user([] {
        const rlimit none{0, 0};
        setrlimit(RLIMIT_MEMLOCK, &none);
        const auto device = open({.capacity_bytes = gib});
        if (!device) return 1;
        const auto pinned = (*device)->create(block(1, mib, BlockKind::pinned));
        if (pinned || pinned.error().code != Code::limit_exceeded) return 2;
        return describe(pinned.error()).find("RLIMIT_MEMLOCK is 0 bytes") == std::string::npos ? 3 : 0;
    });
    if (done) CHECK(*done == 0);
}
}  // namespace vramd::device::host
