#include "base/id.hpp"

#include <doctest/doctest.h>

#include "base/random.hpp"

using namespace vramd;

namespace {
struct Sample {
    static constexpr std::string_view prefix = "alc_";
};
}  // namespace

TEST_CASE("an id's text leads back to the same id, for small and for huge numbers") {
    SeededRandom random(1);
    for (int i = 0; i < 10'000; ++i) {
        const Id<Sample> id{(random.next() >> random.below(63)) | 1, random.next() >> random.below(64)};
        const auto again = id_from<Sample>(to_text(id));
        REQUIRE(again.has_value());
        CHECK(*again == id);
    }
}

TEST_CASE("what is not exactly an id's text is no id") {
    const std::string text = to_text(Id<Sample>{7, 42});
    CHECK(id_from<Sample>(text).has_value());
    for (const std::string& bad :
         {std::string(), std::string("alc_"), text + "!", "mdl_" + text.substr(4), text.substr(0, text.size() - 1), text + "zzzzzzzzzzzzzz",
          text.substr(0, 17) + "0" + text.substr(17), std::string("alc_zzzzzzzzzzzzz7"), std::string("ALC_") + text.substr(4)})
        CHECK_MESSAGE(!id_from<Sample>(bad).has_value(), bad);
}
