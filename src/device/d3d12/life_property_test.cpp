#include <algorithm>
#include <map>

#include "base/choices.hpp"
#include "device/d3d12/fixture.hpp"

namespace vramd::device::d3d12 {
namespace {
/// What a block must hold, byte for byte.
struct Expected {
    BlockSpec spec;
    std::vector<std::byte> bytes;
    bool sealed = false;
};

/// A device and a plain book of its blocks.
class Life {
public:
    explicit Life(u64 seed) : choices_(Choices::from_seed(seed)) {}

    void step() {
        switch (choices_.below(12)) {
            case 0:
            case 1:
                create();
                break;
            case 2:
                release();
                break;
            case 3:
            case 4:
                write();
                break;
            case 5:
                fill();
                break;
            case 6:
            case 7:
                copy();
                break;
            case 8:
                seal();
                break;
            case 9:
                stage();
                break;
            case 10:
                wrong_calls();
                break;
            default:
                beyond();
                break;
        }
        check();
    }

private:
    struct Part {
        u64 offset_bytes = 0;
        u64 size_bytes = 0;
    };
    std::map<u64, Expected>::iterator any() {
        auto chosen = expected_.begin();
        std::advance(chosen, static_cast<std::ptrdiff_t>(choices_.below(expected_.size())));
        return chosen;
    }
    /// Often at an edge.
    Part part_of(u64 space_bytes) {
        Part part;
        part.offset_bytes = choices_.one_in(3) ? 0 : choices_.below(space_bytes);
        const u64 room = space_bytes - part.offset_bytes;
        part.size_bytes = choices_.one_in(3) ? room : 1 + choices_.below(room);
        return part;
    }
    std::vector<std::byte> bytes_of(u64 size_bytes) { return pattern(size_bytes, choices_.below(1000)); }
    static void put(Expected& block, u64 offset_bytes, std::span<const std::byte> bytes) {
        std::ranges::copy(bytes, block.bytes.begin() + static_cast<std::ptrdiff_t>(offset_bytes));
    }

    void create() {
        if (expected_.size() >= 6) return;
        constexpr BlockKind kinds[] = {BlockKind::arena, BlockKind::dedicated, BlockKind::shareable};
        const BlockSpec spec{next_key_++, (1 + choices_.below(6)) * least, kinds[choices_.below(3)]};
        REQUIRE(device_->create(spec).has_value());
        expected_.emplace(spec.key, Expected{spec, std::vector<std::byte>(spec.size_bytes), false});
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
        const Part part = part_of(block.spec.size_bytes);
        const auto bytes = bytes_of(part.size_bytes);
        const auto done = channel(*device_, block.spec.key)->write(part.offset_bytes, bytes);
        REQUIRE(done.has_value() == !block.sealed);
        if (done) put(block, part.offset_bytes, bytes);
    }
    void fill() {
        if (expected_.empty()) return;
        Expected& block = any()->second;
        const Part part = part_of(block.spec.size_bytes);
        const auto value = static_cast<std::byte>(choices_.below(256));
        const auto done = channel(*device_, block.spec.key)->fill(part.offset_bytes, part.size_bytes, value);
        REQUIRE(done.has_value() == !block.sealed);
        if (done) put(block, part.offset_bytes, std::vector<std::byte>(part.size_bytes, value));
    }
    void copy() {
        if (expected_.empty()) return;
        const Expected& from = any()->second;
        Expected& to = any()->second;
        const Part source = part_of(from.spec.size_bytes);
        const Part target = part_of(to.spec.size_bytes);
        u64 size = std::min(source.size_bytes, target.size_bytes);
        if (&from == &to) {  // Where both ranges do not overlap.
            const auto [low, high] = std::minmax(source.offset_bytes, target.offset_bytes);
            size = std::min(size, high - low);
        }
        const auto way = channel(*device_, to.spec.key);
        const auto done = way->copy_from(target.offset_bytes, *channel(*device_, from.spec.key), source.offset_bytes, size);
        REQUIRE(done.has_value() == !to.sealed);
        if (!done) return;
        const auto begin = from.bytes.begin() + static_cast<std::ptrdiff_t>(source.offset_bytes);
        put(to, target.offset_bytes, std::vector<std::byte>(begin, begin + static_cast<std::ptrdiff_t>(size)));
    }
    void seal() {
        if (expected_.empty() || !choices_.one_in(4)) return;
        Expected& block = any()->second;
        const bool may = block.spec.kind == BlockKind::shareable;
        REQUIRE(device_->seal_for_sharing(block.spec.key).has_value() == may);
        block.sealed = block.sealed || may;
    }
    void stage() {
        if (expected_.empty()) return;
        Expected& block = any()->second;
        const auto way = channel(*device_, block.spec.key);
        const auto staged = way->stage();
        REQUIRE(staged.has_value() == !block.sealed);
        if (!staged) return;
        for (u64 pieces = 1 + choices_.below(3); pieces > 0; --pieces) {
            const Part part = part_of(block.spec.size_bytes);
            const u64 from = pieces * mib;  // Each from a place of its own: what was sent may not change before the wait.
            const auto bytes = bytes_of(part.size_bytes);
            std::ranges::copy(bytes, (*staged)->bytes().subspan(from).begin());
            REQUIRE((*staged)->send(from, part.size_bytes, part.offset_bytes).has_value());
            REQUIRE((*staged)->wait().has_value());
            put(block, part.offset_bytes, bytes);
        }
    }
    void wrong_calls() {
        CHECK(device_->release(next_key_).error().code == Code::not_found);
        CHECK(device_->map(next_key_).error().code == Code::not_found);
        CHECK(device_->share(next_key_, Sharing::writable).error().code == Code::not_found);
        CHECK(channel_to(*device_, next_key_).error().code == Code::not_found);
        CHECK(device_->create({next_key_, least + 4096, BlockKind::arena}).error().code == Code::invalid_field);
        CHECK(device_->create({next_key_, 0, BlockKind::arena}).error().code == Code::invalid_field);
        CHECK(device_->create({0, least, BlockKind::arena}).error().code == Code::invalid_field);
        if (!expected_.empty()) CHECK(device_->create(any()->second.spec).error().code == Code::conflict);
    }
    void beyond() {
        if (expected_.empty()) return;
        const Expected& block = any()->second;
        const auto way = channel(*device_, block.spec.key);
        const u64 offset = choices_.below(block.spec.size_bytes + 1);
        const std::vector<std::byte> bytes(block.spec.size_bytes - offset + 1 + choices_.below(4096));
        std::vector<std::byte> into(bytes.size());
        CHECK(way->write(offset, bytes).error().code == (block.sealed ? Code::conflict : Code::out_of_range));
        CHECK(way->read(offset, into).error().code == Code::out_of_range);
    }
    /// Looks at one block to its last byte, and at what is told of all.
    void check() {
        const auto blocks = device_->blocks();
        REQUIRE(blocks.size() == expected_.size());
        u64 held = 0;
        auto told = blocks.begin();
        for (const auto& [key, block] : expected_) {
            REQUIRE(*told++ == block.spec);
            held += block.spec.size_bytes;
        }
        const Reading reading = device_->read();
        REQUIRE(reading.held_bytes == held);
        REQUIRE(reading.health == Health::good);
        if (expected_.empty()) return;
        const Expected& block = any()->second;
        REQUIRE(content(*device_, block.spec.key) == block.bytes);
    }

    Choices choices_;
    std::unique_ptr<Device> device_ = adapter();
    std::map<u64, Expected> expected_;
    u64 next_key_ = 1;
};
}  // namespace

TEST_CASE("through any life of its heaps the device agrees with a plain book of their bytes") {
    for (u64 seed = 1; seed <= 4; ++seed) {
        CAPTURE(seed);
        Life life(seed);
        for (u64 i = 0; i < 250; ++i) life.step();
    }
}
}  // namespace vramd::device::d3d12
