#include <doctest/doctest.h>

#include <map>

#include "base/choices.hpp"
#include "device/host/fixture.hpp"

namespace vramd::device::host {
namespace {
/// What a block must be: the simplest book of it.
struct Expected {
    BlockSpec spec;
    std::byte mark{};  ///< Of every page's first byte; 0 until written.
    bool sealed = false;
    Fd keeper;
};

/// A core with its device, and a keeper that holds one descriptor per block.
class Life {
public:
    explicit Life(u64 seed) : choices_(Choices::from_seed(seed)) {}

    void step() {
        switch (choices_.below(16)) {
            case 0:
            case 1:
            case 2:
            case 3:
                create();
                break;
            case 4:
            case 5:
            case 6:
                release();
                break;
            case 7:
            case 8:
            case 9:
                write();
                break;
            case 10:
                share();
                break;
            case 11:
                seal();
                break;
            case 12:
                hold_a_mapping();
                break;
            case 13:
                held_.clear();
                break;
            case 14:
                if (choices_.one_in(4)) restart();
                break;
            default:
                wrong_calls();
                break;
        }
        check();
    }

private:
    std::map<u64, Expected>::iterator any() {
        auto chosen = expected_.begin();
        std::advance(chosen, static_cast<std::ptrdiff_t>(choices_.below(expected_.size())));
        return chosen;
    }
    void create() {
        if (expected_.size() >= 12) return;
        constexpr BlockKind kinds[] = {BlockKind::arena, BlockKind::dedicated, BlockKind::shareable};
        const BlockSpec spec{next_key_++, (1 + choices_.below(3)) * 16 * 4096, kinds[choices_.below(3)]};
        auto keeper = device_->create(spec);
        REQUIRE(keeper.has_value());
        REQUIRE(all_zero(device_->map(spec.key)->read()));
        expected_.emplace(spec.key, Expected{spec, {}, false, *std::move(keeper)});
    }
    void release() {
        if (expected_.empty()) return;
        const auto block = any();
        REQUIRE(device_->release(block->first).has_value());
        expected_.erase(block);
    }
    void write() {
        if (expected_.empty()) return;
        Expected& block = any()->second;
        const auto bytes = device_->map(block.spec.key)->write();
        REQUIRE(bytes.has_value() == !block.sealed);
        if (block.sealed) return;
        block.mark = static_cast<std::byte>(1 + choices_.below(255));
        for (u64 at = 0; at < bytes->size(); at += 4096) (*bytes)[at] = block.mark;
    }
    void share() {
        if (expected_.empty()) return;
        const Expected& block = any()->second;
        REQUIRE(device_->share(block.spec.key, Sharing::writable).has_value() == !block.sealed);
        const auto given = device_->share(block.spec.key, Sharing::read_only);
        REQUIRE(given.has_value());
        REQUIRE((fcntl(given->get(), F_GETFL) & O_ACCMODE) == O_RDONLY);
    }
    void seal() {
        if (expected_.empty()) return;
        Expected& block = any()->second;
        const bool may = block.spec.kind == BlockKind::shareable || block.spec.kind == BlockKind::pinned;
        REQUIRE(device_->seal_for_sharing(block.spec.key).has_value() == may);
        block.sealed = block.sealed || may;
    }
    void hold_a_mapping() {
        if (expected_.empty()) return;
        const Expected& block = any()->second;
        held_.emplace_back(*device_->map(block.spec.key), block.spec.key);
    }
    /// The core dies; its successor takes every block back from the keeper.
    void restart() {
        held_.clear();
        device_ = with_pool();
        for (auto& [key, block] : expected_) REQUIRE(device_->adopt(block.spec, *block.keeper.duplicate()).has_value());
    }
    void wrong_calls() {
        CHECK(device_->release(next_key_).error().code == Code::not_found);
        CHECK(device_->map(next_key_).error().code == Code::not_found);
        if (!expected_.empty()) CHECK(device_->create(any()->second.spec).error().code == Code::conflict);
    }
    void check() {
        const auto blocks = device_->blocks();
        REQUIRE(blocks.size() == expected_.size());
        u64 held = 0;
        auto block = blocks.begin();
        for (const auto& [key, expected] : expected_) {
            REQUIRE(*block++ == expected.spec);
            held += expected.spec.size_bytes;
            const auto mapping = device_->map(key);
            REQUIRE(mapping->size_bytes() == expected.spec.size_bytes);
            for (u64 at = 0; at < mapping->size_bytes(); at += 4096) REQUIRE(mapping->read()[at] == expected.mark);
        }
        // A mapping of a block that lives shows what the block holds; one of a block that went keeps its last bytes, all alike.
        for (const auto& [mapping, key] : held_) {
            const auto found = expected_.find(key);
            for (u64 at = 0; at < mapping.size_bytes(); at += 4096)
                REQUIRE(mapping.read()[at] == (found == expected_.end() ? mapping.read()[0] : found->second.mark));
        }
        const Reading reading = device_->read();
        REQUIRE(reading.held_bytes == held);
        REQUIRE(reading.pool_bytes <= pool_bytes);
    }

    static constexpr u64 pool_bytes = 16 * 16 * 4096;
    static std::unique_ptr<Device> with_pool() { return device_with({.pool_max_bytes = pool_bytes}); }
    Choices choices_;
    std::unique_ptr<Device> device_ = with_pool();
    std::map<u64, Expected> expected_;
    std::vector<std::pair<Mapping, u64>> held_;
    u64 next_key_ = 1;
};
}  // namespace

TEST_CASE("through any life of blocks, restarts among it, the device agrees with a plain book of them") {
    const u64 open_before = open_descriptors();
    for (u64 seed = 1; seed <= 8; ++seed) {
        CAPTURE(seed);
        Life life(seed);
        for (u64 i = 0; i < 200; ++i) life.step();
    }
    CHECK(open_descriptors() == open_before);
}
}  // namespace vramd::device::host
