#include <doctest/doctest.h>

#include <cstring>
#include <map>
#include <vector>

#include "base/choices.hpp"
#include "device/channel.hpp"
#include "device/sim/sim.hpp"
#include "transfer/engine.hpp"

namespace vramd::transfer {
namespace {
constexpr u64 keys = 3;

/// Jobs run to their end one after another; a plain array for each block says what must be there.
class Model {
public:
    explicit Model(u64 seed, device::sim::Reach reach = device::sim::Reach::mapped, u64 block_bytes = 9 * mib)
        : choices_(Choices::from_seed(seed)),
          size_bytes(block_bytes),
          backing_({.id = "sim0", .capacity_bytes = 256 * mib, .reach = reach}),
          device_(backing_.open()) {
        for (u64 key = 1; key <= keys; ++key) {
            REQUIRE(device_->create({key, size_bytes, device::BlockKind::arena}).has_value());
            blocks_[key].resize(size_bytes);
        }
    }
    void step() {
        const u64 source_key = 1 + choices_.below(keys), target_key = 1 + choices_.below(keys);
        const u64 size = choices_.one_in(8) ? choices_.below(size_bytes + 1) : choices_.below(300 * kib);
        const u64 from = choices_.below(size_bytes - size + 1), to = choices_.below(size_bytes - size + 1);
        const Place source{device_.get(), source_key, *Range::within(size_bytes, from, size)};
        const Place target{device_.get(), target_key, *Range::within(size_bytes, to, size)};
        if (choices_.one_in(3)) {
            Job fill{.kind = Kind::fill, .target = target, .fill_value = static_cast<std::byte>(choices_.below(256))};
            std::memset(blocks_[target_key].data() + to, static_cast<int>(fill.fill_value), size);
            run(fill);
        } else {
            Job copy{
                .kind = Kind::copy, .source = source, .target = target, .verify = choices_.one_in(2) ? Verify::checksum : Verify::none};
            std::memmove(blocks_[target_key].data() + to, blocks_[source_key].data() + from, size);
            run(copy);
        }
        REQUIRE(content(target_key) == blocks_[target_key]);
    }
    void check() {
        for (const auto& [key, bytes] : blocks_) REQUIRE(content(key) == bytes);
    }

private:
    std::vector<std::byte> content(u64 key) {
        std::vector<std::byte> bytes(size_bytes);
        if (const auto mapping = device_->map(key))
            std::memcpy(bytes.data(), mapping->read().data(), size_bytes);
        else
            REQUIRE(device::channel_to(*device_, key).value()->read(0, bytes).has_value());
        return bytes;
    }
    void run(const Job& job) {
        u64 ends = 0;
        REQUIRE(engine_
                    .submit(job,
                            [&](Result<Outcome> outcome) {
                                ++ends;
                                CHECK(outcome.has_value());
                            })
                    .has_value());
        while (engine_.pending() > 0) (void)engine_.step();  // Counted below: a job of no bytes has no chunk.
        REQUIRE(ends == 1);
    }
    Choices choices_;
    const u64 size_bytes;
    device::sim::Backing backing_;
    std::unique_ptr<device::Device> device_;
    Engine engine_{{.mode = Options::Mode::stepped}};
    std::map<u64, std::vector<std::byte>> blocks_;
};
}  // namespace

namespace {
#ifdef __SANITIZE_THREAD__
constexpr u64 steps = 8;  // Each byte costs some forty times what it costs without: minutes, and no thread more.
#else
constexpr u64 steps = 25;
#endif
}  // namespace

TEST_CASE("any sequence of fills and copies, overlapping ones among them, leaves what memset and memmove leave") {
    for (u64 seed = 1; seed <= 3; ++seed) {
        CAPTURE(seed);
        Model model(seed);
        for (u64 i = 0; i < steps; ++i) model.step();
        model.check();
    }
}

TEST_CASE("where the processor does not see the memory, any sequence of fills and copies leaves the same") {
    for (u64 seed = 1; seed <= 3; ++seed) {
        CAPTURE(seed);
        Model model(seed, device::sim::Reach::copied, 36 * mib);  // More than two of the chunks that such jobs are cut into.
        for (u64 i = 0; i < steps; ++i) model.step();
        model.check();
    }
}
}  // namespace vramd::transfer
