#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>

#include "base/shared_part.hpp"

using namespace vramd;

TEST_CASE("what one copy changes the others do not see, and who has a part alone changes it in place") {
    using Words = std::vector<std::string>;
    SharedPart<Words> mine = SharedPart<Words>::made_of(Words{"a", "b"});
    const std::string* const place = mine->data();
    mine.own()[0] = "c";
    CHECK(mine->data() == place);
    {
        const SharedPart<Words> yours = mine;
        CHECK(yours->data() == place);
        mine.own()[1] = "d";
        CHECK(*yours == Words{"c", "b"});
        CHECK(*mine == Words{"c", "d"});
    }
    const SharedPart<Words> moved = std::move(mine);
    CHECK(!mine);
    CHECK(*moved == Words{"c", "d"});
}

TEST_CASE("a copy may be read and let go by another thread while the first is changed") {
    SharedPart<std::vector<u64>> numbers = SharedPart<std::vector<u64>>::made_of(std::vector<u64>(64, 0));
    for (u64 round = 1; round <= 200; ++round) {
        std::jthread reader([copy = numbers, round] {
            for (const u64 number : *copy) CHECK(number == round - 1);
        });
        for (u64& number : numbers.own()) number = round;
    }
}
