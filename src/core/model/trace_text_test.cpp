#include "core/model/trace_text.hpp"

#include <doctest/doctest.h>

#include "base/clock.hpp"

using namespace vramd;
using namespace vramd::model;

namespace {
Result<NamedTrace> read(const std::vector<std::string>& lines) {
    TraceText text;
    for (const std::string& line : lines) TRY_DO(text.add_line(line));
    return std::move(text).finish();
}
constexpr const char* head = "timeMs,model,bytes,loadMs,useMs,pinned";
}  // namespace

TEST_CASE("a trace is read with its times, sizes, measured loads and uses") {
    const auto read_trace = read({"\xef\xbb\xbf# made by hand", head, "1000.5,detector,100,40,200,", "", "1001,\"a, \"\"b\"\"\",7,,,yes\r",
                                  "2000.000001,detector,,60,,no", "2000.000001, detector ,100,,,"});
    REQUIRE(read_trace.has_value());
    CHECK(read_trace->names == std::vector<std::string>{"detector", "a, \"b\""});
    const ReplayTrace& trace = read_trace->trace;
    REQUIRE(trace.requests.size() == 4);
    CHECK(trace.requests[0].at_ns == 0);
    CHECK(trace.requests[0].use_ns == 200 * ns_per_ms);
    CHECK(trace.requests[1].at_ns == ns_per_ms / 2);
    CHECK((trace.requests[1].keeps == Keeps::pinned));
    CHECK(trace.requests[2].at_ns == 999'500'001);
    CHECK(trace.models[0].size_bytes == 100);
    CHECK(trace.models[0].load_ns == 50 * ns_per_ms);            // The mean of what was measured,
    CHECK(trace.models[1].load_ns == 50 * ns_per_ms * 7 / 100);  // and the rate of the others where nothing was.
    CHECK(read_trace->models_measured == 1);
}

TEST_CASE("columns stand in any order and only two are needed, beside a size at a model's first request") {
    const auto trace = read({"bytes,model,timeMs", "5,a,0", ",a,3"});
    REQUIRE(trace.has_value());
    CHECK(trace->trace.requests.size() == 2);
    CHECK(trace->models_measured == 0);
    CHECK(trace->trace.models[0].load_ns == 0);
    CHECK((read({"model,timeMs", "a,0"}).error().field == "bytes"));
}

TEST_CASE("each fault is told with its line, its column and why") {
    struct Row {
        std::vector<std::string> lines;
        u64 line;
        const char* field;
        const char* why;
    };
    const std::string wide(trace_line_bytes_max + 1, 'x');
    const std::vector<Row> rows = {
        {{}, 1, "", "without a head"},
        {{head}, 2, "", "without a request"},
        {{"0,a,5"}, 1, "", "must be the head"},
        {{"timeMs,model,size"}, 1, "", "'size' is none of"},
        {{"timeMs,model,model"}, 1, "model", "twice"},
        {{"model,bytes"}, 1, "timeMs", "must name it"},
        {{head, "0,a,5"}, 2, "", "3 fields, and the head has 6"},
        {{head, "x,a,5,,,"}, 2, "timeMs", "'x' is no number"},
        {{head, ",a,5,,,"}, 2, "timeMs", "must tell its time"},
        {{head, "-1,a,5,,,"}, 2, "timeMs", "no number"},
        {{head, "1e3,a,5,,,"}, 2, "timeMs", "no number"},
        {{head, "1.,a,5,,,"}, 2, "timeMs", "no number"},
        {{head, "1.0000001,a,5,,,"}, 2, "timeMs", "no number"},
        {{head, "9223372036854775807,a,5,,,"}, 2, "timeMs", "no number"},
        {{head, "5,a,5,,,", "#", "4.999,a,5,,,"}, 4, "timeMs", "before the request above"},
        {{head, "0,,5,,,"}, 2, "model", "must name its model"},
        {{head, "0,a,0,,,"}, 2, "bytes", "no whole number"},
        {{head, "0,a,1.5,,,"}, 2, "bytes", "no whole number"},
        {{head, "0,a,18446744073709551616,,,"}, 2, "bytes", "no whole number"},
        {{head, "0,a,,,,"}, 2, "bytes", "must tell its size"},
        {{head, "0,größe,5,,,", "0,größe,6,,,"}, 3, "bytes", "'größe' had 5"},
        {{head, "0,a,5,,,", "0,a,6,,,"}, 3, "bytes", "had 5 bytes before"},
        {{head, "0,a,5,?,,"}, 2, "loadMs", "'?' is no number"},
        {{head, "0,a,5,,soon,"}, 2, "useMs", "'soon' is no number"},
        {{head, "0,a,5,,,true"}, 2, "pinned", "neither yes nor no"},
        {{head, "0,\"a,5,,,"}, 2, "", "does not end"},
        {{head, "0,\"a\"b,5,,,"}, 2, "", "comma must follow"},
        {{head, "0,a\"b,5,,,"}, 2, "", "must be quoted"},
        {{head, std::string("0,a\0b,5,,,", 10)}, 2, "", "zero byte"},
        {{head, wide}, 2, "", "longer than"},
        {{"\x7f\x45\x4c\x46\x02\x01\x1b[2J"}, 1, "", "'?ELF???[2J'"},  // What a terminal would obey is not shown.
    };
    for (const Row& row : rows) {
        const auto trace = read(row.lines);
        CAPTURE(row.why);
        REQUIRE(!trace.has_value());
        CAPTURE(trace.error().detail);
        CHECK(trace.error().value == row.line);
        CHECK(trace.error().field == row.field);
        CHECK(trace.error().detail.contains(row.why));
    }
}

TEST_CASE("the largest figures that are allowed are exact") {
    const auto trace = read({head, "0,a,9223372036854775807,9223372036854.775807,9223372036854.775807,"});
    REQUIRE(trace.has_value());
    CHECK(trace->trace.models[0].load_ns == number_max);
    CHECK(trace->trace.requests[0].use_ns == number_max);
    CHECK(!read({head, "0,a,1,9223372036854.775808,,"}).has_value());
}

TEST_CASE("more models than a trace may have are refused, and told so") {
    TraceText text;
    REQUIRE(text.add_line("timeMs,model,bytes").has_value());
    Result<void> added;
    u64 count = 0;
    while ((added = text.add_line("0,m" + std::to_string(count) + ",1")).has_value()) ++count;
    CHECK(count == trace_models_max);
    CHECK((added.error().code == Code::too_large));
    CHECK(added.error().value == count + 2);
    CHECK(added.error().detail.contains("10000 models"));
}
