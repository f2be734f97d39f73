#include <algorithm>
#include <map>

#include "base/choices.hpp"
#include "device/cuda/fixture.hpp"

namespace vramd::device::cuda {
namespace {
/// What a block must be: the simplest book of it.
struct Expected {
    BlockSpec spec;
    std::byte first{};  ///< Of its lower half.
    std::byte second{};
    bool sealed = false;
    Fd keeper;
};

/// A core with its GPU, and a keeper that holds one descriptor per block.
class Life {
public:
    explicit Life(u64 seed) : choices_(Choices::from_seed(seed)) {}

    void step() {
        switch (choices_.below(16)) {
            case 0:
            case 1:
            case 2:
                create();
                break;
            case 3:
            case 4:
                release();
                break;
            case 5:
            case 6:
            case 7:
                write();
                break;
            case 8:
                copy();
                break;
            case 9:
                share();
                break;
            case 10:
                seal();
                break;
            case 11:
                hold_a_channel();
                break;
            case 12:
                held_.clear();
                break;
            case 13:
                if (choices_.one_in(3)) restart();
                break;
            case 14:
                fail_once();
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
        if (expected_.size() >= 8) return;
        constexpr BlockKind kinds[] = {BlockKind::arena, BlockKind::dedicated, BlockKind::shareable};
        const BlockSpec spec{next_key_++, (1 + choices_.below(3)) * least, kinds[choices_.below(3)]};
        auto keeper = device_->create(spec);
        REQUIRE(keeper.has_value());
        expected_.emplace(spec.key, Expected{spec, {}, {}, false, *std::move(keeper)});
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
        const auto way = channel(*device_, block.spec.key);
        const u64 half = block.spec.size_bytes / 2;
        const auto value = static_cast<std::byte>(1 + choices_.below(255));
        const bool upper = choices_.one_in(2);
        const std::vector<std::byte> bytes(half, value);
        const auto done = choices_.one_in(2) ? way->write(upper ? half : 0, bytes) : way->fill(upper ? half : 0, half, value);
        REQUIRE(done.has_value() == !block.sealed);
        if (done) (upper ? block.second : block.first) = value;
    }
    void copy() {
        if (expected_.empty()) return;
        const Expected& from = any()->second;
        Expected& to = any()->second;
        if (&from == &to || from.spec.size_bytes != to.spec.size_bytes) return;
        const auto done = channel(*device_, to.spec.key)->copy_from(0, *channel(*device_, from.spec.key), 0, from.spec.size_bytes);
        REQUIRE(done.has_value() == !to.sealed);
        if (!done) return;
        to.first = from.first;
        to.second = from.second;
    }
    void share() {
        if (expected_.empty()) return;
        const Expected& block = any()->second;
        REQUIRE(device_->share(block.spec.key, Sharing::writable).has_value() == !block.sealed);
        REQUIRE(device_->share(block.spec.key, Sharing::read_only).has_value());
    }
    void seal() {
        if (expected_.empty()) return;
        Expected& block = any()->second;
        const bool may = block.spec.kind == BlockKind::shareable;
        REQUIRE(device_->seal_for_sharing(block.spec.key).has_value() == may);
        block.sealed = block.sealed || may;
    }
    void hold_a_channel() {
        if (expected_.empty()) return;
        const Expected& block = any()->second;
        held_.push_back({channel(*device_, block.spec.key), block.spec.key, block.first});
    }
    /// The core dies; its successor takes every block back from the keeper. What was sealed nobody can know any more.
    void restart() {
        held_.clear();
        device_.reset();
        CHECK(Double::get().objects() == 0);
        device_ = gpu();
        for (auto& [key, block] : expected_) {
            REQUIRE(device_->adopt(block.spec, *block.keeper.duplicate()).has_value());
            block.sealed = false;
        }
    }
    void fail_once() {
        if (expected_.empty()) return;
        const Expected& block = any()->second;
        if (block.sealed) return;
        const auto way = channel(*device_, block.spec.key);
        Double::get().order("cuMemsetD8Async", 1);
        CHECK(way->fill(0, 1, std::byte{1}).error().code == Code::system_failed);
        Double::get().calm();
    }
    void wrong_calls() {
        CHECK(device_->release(next_key_).error().code == Code::not_found);
        CHECK(device_->map(next_key_).error().code == Code::not_found);
        CHECK(channel_to(*device_, next_key_).error().code == Code::not_found);
        CHECK(device_->create({next_key_, least + 4096, BlockKind::arena}).error().code == Code::invalid_field);
        if (!expected_.empty()) CHECK(device_->create(any()->second.spec).error().code == Code::conflict);
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
        REQUIRE(device_->read().held_bytes == held);
        REQUIRE(device_->read().health == Health::good);
        REQUIRE(Double::get().pending() == 0);
        if (expected_.empty()) return;
        const Expected& block = any()->second;
        const auto bytes = content(*device_, block.spec.key);
        REQUIRE(all(std::span(bytes).first(bytes.size() / 2), block.first));
        REQUIRE(all(std::span(bytes).subspan(bytes.size() / 2), block.second));
        // A channel of a block that went still reads what was there.
        for (const Held& held_one : held_) {
            std::byte byte{};
            REQUIRE(held_one.way->read(0, {&byte, 1}).has_value());
            const auto lives = expected_.find(held_one.key);
            if (lives != expected_.end()) REQUIRE(byte == lives->second.first);
        }
    }

    struct Held {
        std::shared_ptr<Channel> way;
        u64 key = 0;
        std::byte first{};
    };
    Choices choices_;
    std::unique_ptr<Device> device_ = gpu();
    std::map<u64, Expected> expected_;
    std::vector<Held> held_;
    u64 next_key_ = 1;
};
}  // namespace

TEST_CASE("through any life of a GPU's blocks, restarts and failed calls among it, the device agrees with a plain book of them") {
    const Calm calm;
    const u64 open_before = open_descriptors();
    for (u64 seed = 1; seed <= 6; ++seed) {
        CAPTURE(seed);
        Life life(seed);
        for (u64 i = 0; i < 120; ++i) life.step();
    }
    CHECK(open_descriptors() == open_before);
    CHECK(Double::get().objects() == 0);
}
}  // namespace vramd::device::cuda
