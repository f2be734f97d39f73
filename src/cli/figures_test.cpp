#include "cli/figures.hpp"

#include <doctest/doctest.h>

namespace vramd::cli {
TEST_CASE("sizes are read with binary units, whole numbers exactly") {
    CHECK(parse_size("0").value() == 0);
    CHECK(parse_size("4096").value() == 4096);
    CHECK(parse_size("512MiB").value() == 512 * mib);
    CHECK(parse_size("2G").value() == 2 * gib);
    CHECK(parse_size("2gb").value() == 2 * gib);
    CHECK(parse_size("7EiB").value() == 7 * gib * gib);
    CHECK(parse_size("1.5GiB").value() == gib + gib / 2);
    CHECK(parse_size("9007199254740993").value() == 9007199254740993);
    CHECK(parse_size("9223372036854775807").value() == number_max);
    for (const std::string_view wrong : {"", "x", "MiB", "-1", "1.3", "1e3", "1 MiB", "9223372036854775808", "99999999999999999999",
                                         "18446744073709551617K", "8388608T", "8E", "1e3K", "5Q", "nan", "inf"}) {
        CAPTURE(wrong);
        CHECK(!parse_size(wrong).has_value());
    }
}

TEST_CASE("sizes are told with three figures") {
    CHECK(size_text(0) == "0 B");
    CHECK(size_text(1023) == "1023 B");
    CHECK(size_text(1024) == "1.00 KiB");
    CHECK(size_text(10 * kib) == "10.0 KiB");
    CHECK(size_text(1024 * kib - 1) == "1.00 MiB");
    CHECK(size_text(3 * gib / 2) == "1.50 GiB");
    CHECK(size_text(15 * gib) == "15.0 GiB");
    CHECK(size_text(150 * gib) == "150 GiB");
    CHECK(size_text(number_max) == "8.00 EiB");
    CHECK(rate_text(2 * gib) == "2.00 GiB/s");
}

TEST_CASE("every size from 1 KiB on has three figures at most and is within half a percent") {
    for (u64 size = kib; size < number_max / 3; size = size * 3 / 2 + 7) {
        const std::string text = size_text(size);
        CAPTURE(text);
        const double read = static_cast<double>(parse_size(text.substr(0, text.find(' ')) + text.substr(text.find(' ') + 1)).value_or(0));
        if (read != 0) CHECK(read == doctest::Approx(static_cast<double>(size)).epsilon(0.006));
        CHECK(text.find(' ') <= 4);
    }
}

TEST_CASE("times are told from now") {
    const double now = parse_time("2026-01-31T08:15:30.250Z").value();
    CHECK(relative_time_text("2026-01-31T08:15:30.000Z", now) == "now");
    CHECK(relative_time_text("2026-01-31T08:15:18.250Z", now) == "12 s ago");
    CHECK(relative_time_text("2026-01-31T08:10:00Z", now) == "5 min ago");
    CHECK(relative_time_text("2026-01-29T08:00:00Z", now) == "2 d ago");
    CHECK(relative_time_text("2026-01-31T08:16:10.250Z", now) == "in 40 s");
    CHECK(relative_time_text("soon", now) == "soon");
    CHECK(!parse_time("2026-01-31").has_value());
}

TEST_CASE("durations and bars") {
    CHECK(duration_text(0.412) == "0.41 ms");
    CHECK(duration_text(310) == "310 ms");
    CHECK(duration_text(4200) == "4.2 s");
    CHECK(duration_text(200'000) == "3 min 20 s");
    CHECK(duration_text(7'500'000) == "2 h 5 min");
    CHECK(bar_text(0, 4) == "[----]");
    CHECK(bar_text(0.1, 4) == "[#---]");
    CHECK(bar_text(50, 4) == "[##--]");
    CHECK(bar_text(99.9, 4) == "[###-]");
    CHECK(bar_text(100, 4) == "[####]");
    CHECK(bar_text(250, 4) == "[####]");
}
}  // namespace vramd::cli
