/// For tests of the formats: a file that must be refused.
#pragma once
#include <doctest/doctest.h>

#include "formats/hand_built.hpp"

namespace vramd::formats::hand_built {
/// Checks that it was refused with this code, in words that hold `text`.
inline void refused(const Result<Loaded>& result, std::string_view text, Code code = Code::invalid_model) {
    REQUIRE(!result.has_value());
    CHECK(result.error().code == code);
    INFO(result.error().field << ": " << describe(result.error()));
    CHECK((result.error().field + ": " + describe(result.error())).find(text) != std::string::npos);
}
}  // namespace vramd::formats::hand_built
