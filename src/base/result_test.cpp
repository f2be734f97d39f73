#include "base/result.hpp"

#include <doctest/doctest.h>

namespace vramd {
TEST_CASE("an error without words of its own is told with what was asked and what would have been possible") {
    const auto told = [](const auto& refused) { return describe(refused.error()); };
    CHECK(told(refuse(Code::invalid_field, "alignment", 3, 2)) == "alignment is 3; the limit is 2.");
    CHECK(told(refuse(Code::insufficient_memory, "sizeBytes", 4096, 512)) == "4096 bytes were asked for; the largest free place has 512.");
    CHECK(describe(Error{Code::leased, "id", 0, 0, {}}) == "id: somebody is using it.");
    CHECK(told(refuse(Code::conflict, "id", "It has ended already.")) == "It has ended already.");
}
}  // namespace vramd
