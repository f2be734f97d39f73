#include <doctest/doctest.h>

#include <map>

#include "base/choices.hpp"
#include "core/memory/row_table.hpp"

using namespace vramd;
using namespace vramd::memory;

namespace {
struct Row {
    u64 serial = 0;
    u64 value = 0;
    [[nodiscard]] u64 key() const { return serial; }
};
/// Small leaves: their edges are met all the time.
using Table = RowTable<Row, 8>;
using Model = std::map<u64, u64>;

bool same(const Table& table, const Model& model) {
    if (table.size() != model.size() || table.empty() != model.empty() || !table.consistent()) return false;
    auto expected = model.begin();
    for (const auto& [serial, row] : table) {
        if (expected == model.end() || serial != expected->first || row.value != expected->second) return false;
        ++expected;
    }
    auto backwards = model.rbegin();
    for (auto it = table.rbegin(); it != table.rend(); ++it, ++backwards)
        if (backwards == model.rend() || it->second.serial != backwards->first) return false;
    return expected == model.end() && backwards == model.rend();
}

bool answers_alike(const Table& table, const Model& model, u64 key) {
    const Row* found = table.find(key);
    const auto expected = model.find(key);
    if ((found == nullptr) != (expected == model.end()) || table.contains(key) != model.contains(key)) return false;
    if (found != nullptr && found->value != expected->second) return false;
    const auto place = table.lower_bound(key);
    const auto expected_place = model.lower_bound(key);
    if ((place == table.end()) != (expected_place == model.end())) return false;
    if (place != table.end() && place->first != expected_place->first) return false;
    const auto before = std::make_reverse_iterator(place);
    return (before == table.rend()) == (expected_place == model.begin()) &&
           (before == table.rend() || before->first == std::prev(expected_place)->first);
}

void live_a_life(Choices& choices) {
    Table table;
    Model model;
    Table copy;
    Model copied;
    u64 next = 1;
    const u64 leaving = 1 + choices.below(9);  // Of ten steps: from a table that only grows to one that is mostly emptied.
    for (u64 step = 0; step < 400; ++step) {
        if (model.empty() || choices.below(10) >= leaving) {
            next += choices.one_in(5) ? choices.below(20) : 0;
            table.append({next, next * 7 + step});
            model.emplace(next, next * 7 + step);
            ++next;
        } else if (choices.one_in(8)) {
            Row* row = table.find(std::prev(model.end())->first);
            REQUIRE(row != nullptr);
            row->value = step;
            std::prev(model.end())->second = step;
        } else {
            auto gone = std::prev(model.end());
            if (!choices.one_in(4)) gone = model.lower_bound(choices.below(next));
            if (gone == model.end()) gone = model.begin();
            table.erase(gone->first);
            model.erase(gone);
        }
        if (choices.one_in(40)) {
            REQUIRE(same(copy, copied));  // What was done to the one has not changed the other.
            if (choices.one_in(2)) {
                copy = table;
                copied = model;
            } else {
                std::swap(table, copy);
                std::swap(model, copied);
            }
        }
        REQUIRE(answers_alike(table, model, choices.below(next + 2)));
        if (step % 16 == 0) REQUIRE(same(table, model));
    }
    REQUIRE(same(table, model));
    REQUIRE(same(copy, copied));
    while (!model.empty()) {
        table.erase(model.begin()->first);
        model.erase(model.begin());
    }
    REQUIRE(same(table, model));
}
}  // namespace

TEST_CASE("a table of rows answers as an ordered map does, whatever comes and goes") {
    for (u64 seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        live_a_life(choices);
    }
}

TEST_CASE("a table of rows stays at least three quarters full while rows leave anywhere") {
    RowTable<Row> table;
    Choices choices = Choices::from_seed(7);
    Model model;
    u64 next = 1;
    for (u64 i = 0; i < 20'000; ++i, ++next) {
        table.append({next, 0});
        model.emplace(next, 0);
    }
    CHECK(table.capacity() < table.size() + 32);  // What only grew is filled whole.
    for (u64 step = 0; step < 40'000; ++step) {
        auto gone = model.lower_bound(choices.below(next));
        if (gone == model.end()) gone = model.begin();
        table.erase(gone->first);
        model.erase(gone);
        if (step >= 15'000) {
            table.append({next, 0});
            model.emplace(next++, 0);
        }
        if (step % 1000 == 0) CHECK(table.capacity() * 3 <= table.size() * 4 + 4 * 32);
    }
    CHECK(table.consistent());
}
