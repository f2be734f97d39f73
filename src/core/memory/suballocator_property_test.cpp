#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "base/choices.hpp"
#include "core/memory/suballocator.hpp"

using namespace vramd;
using namespace vramd::memory;

namespace {
/// The space as one byte per granule: slow, obvious, and sharing nothing with the product.
class Granules {
public:
    explicit Granules(u64 granules) : taken_(granules, 0) {}
    [[nodiscard]] u64 granules() const { return taken_.size(); }
    [[nodiscard]] bool is_free(u64 offset, u64 size) const {
        if (offset + size > taken_.size()) return false;
        for (u64 i = offset; i < offset + size; ++i)
            if (taken_[i] != 0) return false;
        return true;
    }
    /// The lowest aligned place, or the number of granules if there is none.
    [[nodiscard]] u64 first_fit(u64 size, u64 alignment) const {
        for (u64 offset = 0; offset + size <= taken_.size(); offset += alignment)
            if (is_free(offset, size)) return offset;
        return taken_.size();
    }
    void mark(u64 offset, u64 size, char taken) { std::fill_n(taken_.begin() + static_cast<i64>(offset), size, taken); }
    void set_granules(u64 granules) { taken_.resize(granules, 0); }
    [[nodiscard]] std::vector<Hole> holes() const {
        std::vector<Hole> holes;
        for (u64 i = 0; i < taken_.size(); ++i) {
            if (taken_[i] != 0) continue;
            if (i == 0 || taken_[i - 1] != 0) holes.push_back({i * 256, 0});
            holes.back().size_bytes += 256;
        }
        return holes;
    }

private:
    std::vector<char> taken_;
};

/// Runs one stream of choices on the product and the model together.
class Pair {
public:
    Pair(Choices& choices, u64 granules, u64 size_max) : choices_(choices), size_max_(size_max), model_(granules), space_(granules * 256) {}

    void step() {
        const u64 kind = choices_.below(16);
        if (kind < (filling_ ? 9U : 5U))
            allocate();
        else if (kind < 13)
            give_back_one();
        else if (kind == 13)
            resize();
        else if (kind == 14)
            reserve();
        else
            change_space();
        if (choices_.one_in(200)) filling_ = !filling_;
    }
    /// Frees all that begins in some window, so that holes of many ranges' length arise.
    void clear_window() {
        const u64 begin = choices_.below(model_.granules());
        const u64 end = begin + choices_.below(100);
        for (u64 i = choices_.below(live_.size() + 1), left = live_.size(); left-- > 0; ++i) {
            if (i >= live_.size()) i = 0;
            if (live_[i].offset >= begin && live_[i].offset < end) give_back(i--);
        }
    }
    void check() const {
        REQUIRE(space_.consistent());
        std::vector<Hole> holes;
        space_.for_each_hole([&](const Hole& hole) { holes.push_back(hole); });
        REQUIRE(holes == model_.holes());
        const auto stats = space_.stats();
        u64 free = 0;
        u64 largest = 0;
        for (const Hole& hole : holes) {
            free += hole.size_bytes;
            largest = std::max(largest, hole.size_bytes);
        }
        REQUIRE(stats.free_bytes == free);
        REQUIRE(stats.largest_free_bytes == largest);
        REQUIRE(stats.hole_count == holes.size());
        REQUIRE(stats.live_count == live_.size());
        u64 requested = 0;
        for (const Live& range : live_) {
            requested += range.requested;
            const auto found = space_.find(range.handle);
            REQUIRE(found);
            REQUIRE(found->offset_bytes == range.offset * 256);
            REQUIRE(found->requested_bytes == range.requested);
        }
        REQUIRE(stats.requested_bytes == requested);
    }
    /// What the ranges alone rebuild, in an order of choice.
    [[nodiscard]] SubAllocator rebuilt() {
        std::vector<Live> ranges = live_;
        SubAllocator other(space_.capacity_bytes());
        while (!ranges.empty()) {
            const u64 i = choices_.below(ranges.size());
            REQUIRE(other.reserve_at(ranges[i].offset * 256, ranges[i].requested));
            ranges[i] = ranges.back();
            ranges.pop_back();
        }
        return other;
    }
    [[nodiscard]] const SubAllocator& space() const { return space_; }
    [[nodiscard]] u64 live_count() const { return live_.size(); }

private:
    struct Live {
        Handle handle;
        u64 offset;
        u64 requested;
        [[nodiscard]] u64 size() const { return div_ceil(requested, 256); }
    };
    u64 some_bytes() { return 1 + choices_.below(size_max_ * 256); }
    void allocate() {
        const u64 bytes = some_bytes();
        const u64 alignment = choices_.one_in(4) ? u64{1} << choices_.below(6) : 1;
        const u64 expected = model_.first_fit(div_ceil(bytes, 256), alignment);
        const auto foreseen = space_.fit(bytes, alignment * 256);
        const auto got = space_.allocate(bytes, alignment * 256);
        REQUIRE(foreseen == (got ? std::optional(got->offset_bytes) : std::nullopt));
        REQUIRE(got.has_value() == (expected < model_.granules()));
        if (got) take(*got, expected, bytes);
    }
    void reserve() {
        const u64 bytes = some_bytes();
        const u64 offset = choices_.below(model_.granules() + 1);
        const auto got = space_.reserve_at(offset * 256, bytes);
        REQUIRE(got.has_value() == model_.is_free(offset, div_ceil(bytes, 256)));
        if (got) take(*got, offset, bytes);
    }
    void take(const Placement& got, u64 offset, u64 bytes) {
        REQUIRE(got.offset_bytes == offset * 256);
        REQUIRE(got.granted_bytes == div_ceil(bytes, 256) * 256);
        live_.push_back({got.handle, offset, bytes});
        model_.mark(offset, live_.back().size(), 1);
    }
    void give_back_one() {
        if (!live_.empty()) give_back(choices_.below(live_.size()));
    }
    void give_back(u64 i) {
        const Live range = live_[i];
        REQUIRE(space_.free(range.handle) == Freed::freed);
        REQUIRE(space_.free(range.handle) == Freed::stale);
        model_.mark(range.offset, range.size(), 0);
        live_[i] = live_.back();
        live_.pop_back();
        stale_.push_back(range.handle);
        REQUIRE(space_.free(stale_[choices_.below(stale_.size())]) == Freed::stale);
    }
    void resize() {
        if (live_.empty()) return;
        Live& range = live_[choices_.below(live_.size())];
        Live wanted = range;
        wanted.requested = some_bytes();
        const bool fits = wanted.size() <= range.size() || model_.is_free(range.offset + range.size(), wanted.size() - range.size());
        REQUIRE((space_.resize(range.handle, wanted.requested) == Resized::resized) == fits);
        if (!fits) return;
        model_.mark(range.offset, range.size(), 0);
        model_.mark(range.offset, wanted.size(), 1);
        range = wanted;
    }
    void change_space() {
        const u64 now = model_.granules();
        const u64 wanted = std::max<u64>(1, now + choices_.below(9)) - std::min<u64>(4, now);
        if (wanted == now) return;
        const bool possible = wanted > now || model_.is_free(wanted, now - wanted);
        const SpaceChange change = wanted > now ? space_.grow(wanted * 256) : space_.shrink(wanted * 256);
        REQUIRE((change == SpaceChange::changed) == possible);
        if (possible) model_.set_granules(wanted);
    }

    Choices& choices_;
    u64 size_max_;
    Granules model_;
    SubAllocator space_;
    std::vector<Live> live_;
    std::vector<Handle> stale_;
    bool filling_ = true;
};
}  // namespace

TEST_CASE("random allocates, frees, resizes, reserves and space changes agree with a byte map, at every step") {
    for (u64 seed = 1; seed <= 30; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        Pair pair(choices, 20 + choices.below(300), 1 + choices.below(20));
        for (int i = 0; i < 400; ++i) {
            pair.step();
            pair.check();
        }
    }
}

TEST_CASE("spaces with thousands of ranges agree with a byte map, through splits and joins of several levels") {
    for (u64 seed = 1; seed <= 3; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        Pair pair(choices, 6000, 3);
        for (int i = 0; i < 20000; ++i) {
            pair.step();
            if (i % 20 == 0) pair.clear_window();
            if (i % 499 == 0) pair.check();
        }
        pair.check();
    }
}

TEST_CASE("the ranges alone decide what follows: a space rebuilt in any order goes on like the original") {
    for (u64 seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        Pair pair(choices, 1000, 8);
        for (int i = 0; i < 600; ++i) pair.step();
        SubAllocator original = pair.space();
        SubAllocator rebuilt = pair.rebuilt();
        REQUIRE(rebuilt.same_layout(original));
        std::vector<std::pair<Handle, Handle>> live;
        for (int i = 0; i < 300; ++i) {
            if (!live.empty() && choices.one_in(3)) {
                const u64 k = choices.below(live.size());
                REQUIRE(original.free(live[k].first) == rebuilt.free(live[k].second));
                live[k] = live.back();
                live.pop_back();
                continue;
            }
            const u64 bytes = 1 + choices.below(2048);
            const u64 alignment = u64{256} << choices.below(5);
            const auto a = original.allocate(bytes, alignment);
            const auto b = rebuilt.allocate(bytes, alignment);
            REQUIRE(a.has_value() == b.has_value());
            if (!a) continue;
            REQUIRE(a->offset_bytes == b->offset_bytes);
            live.emplace_back(a->handle, b->handle);
        }
        REQUIRE(rebuilt.same_layout(original));
    }
}

TEST_CASE("every sequence of six operations on six granules agrees with a byte map") {
    // An operation is one of 7: allocate 1, 2, 3 or 2 aligned to 2; free the first, the second or the last live range.
    constexpr u64 length = 6;
    u64 sequences = 1;
    for (u64 i = 0; i < length; ++i) sequences *= 7;
    for (u64 sequence = 0; sequence < sequences; ++sequence) {
        SubAllocator space(6 * 256);
        Granules model(6);
        std::map<u64, std::pair<Handle, u64>> live;  // By offset.
        u64 rest = sequence;
        for (u64 i = 0; i < length; ++i, rest /= 7) {
            const u64 kind = rest % 7;
            if (kind < 4) {
                const u64 size = kind < 3 ? kind + 1 : 2;
                const u64 alignment = kind < 3 ? 1 : 2;
                const u64 expected = model.first_fit(size, alignment);
                const auto got = space.allocate(size * 256, alignment * 256);
                const u64 placed = got ? got->offset_bytes / 256 : 6;
                if (placed != expected) FAIL("sequence " << sequence << " placed " << placed << ", not " << expected);
                if (!got) continue;
                live[expected] = {got->handle, size};
                model.mark(expected, size, 1);
            } else if (live.size() > kind - 4) {
                const auto it = kind == 6 ? std::prev(live.end()) : std::next(live.begin(), static_cast<i64>(kind - 4));
                if (space.free(it->second.first) != Freed::freed) FAIL("sequence " << sequence);
                model.mark(it->first, it->second.second, 0);
                live.erase(it);
            }
        }
        if (!space.consistent() || space.stats().hole_count != model.holes().size()) FAIL("sequence " << sequence);
    }
}

TEST_CASE("tens of thousands of holes that come and go by whole neighbourhoods keep every level of the tree in order") {
    constexpr u64 pieces = 40'000;
    for (u64 seed = 1; seed <= 3; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        SubAllocator space(pieces * 256);
        std::vector<Handle> live(pieces);  // By offset; the default where free.
        u64 count = 0;
        for (int round = 0; round < 250; ++round) {
            const u64 begin = choices.below(pieces);
            const u64 end = std::min(pieces, begin + 1 + choices.below(6000));
            const u64 kind = choices.below(5);  // Take all; free all; free every second; free some; take some.
            for (u64 i = begin; i < end; ++i) {
                const bool chosen = kind < 2 || (kind == 2 ? i % 2 == 1 : choices.one_in(3));
                const bool taking = kind == 0 || kind == 4;
                if (!chosen || taking == (live[i] != Handle{})) continue;
                if (taking) {
                    const auto got = space.reserve_at(i * 256, 256);
                    REQUIRE(got);
                    live[i] = got->handle;
                    ++count;
                } else {
                    REQUIRE(space.free(live[i]) == Freed::freed);
                    live[i] = {};
                    --count;
                }
            }
            REQUIRE(space.consistent());
            REQUIRE(space.stats().live_count == count);
        }
    }
}
