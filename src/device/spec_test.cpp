#include "device/spec.hpp"

#include <doctest/doctest.h>

#include <string>

namespace vramd::device {
namespace {
Result<std::vector<Spec>> parse(std::vector<std::string> texts) { return parse_specs(texts); }
constexpr Size half{Size::Unit::percent, 50};
constexpr Size most{Size::Unit::percent, 90};
const Spec every_gpu{"", most, SpecKind::every_cuda, ""};
constexpr Size bytes(u64 amount) { return {Size::Unit::bytes, amount}; }
}  // namespace

TEST_CASE("a size is read in every unit") {
    const std::pair<const char*, Size> right[] = {
        {"1", bytes(1)},
        {"4096", bytes(4096)},
        {"7B", bytes(7)},
        {"3KiB", bytes(3 * kib)},
        {"512MiB", bytes(512 * mib)},
        {"4GiB", bytes(4 * gib)},
        {"2TiB", bytes(2048 * gib)},
        {"80%", {Size::Unit::percent, 80}},
        {"1%", {Size::Unit::percent, 1}},
        {"100%", {Size::Unit::percent, 100}},
        {"007KiB", bytes(7 * kib)},
        {"9223372036854775807", bytes(number_max)},
        {"8388607TiB", bytes(u64{8388607} << 40)},
    };
    for (const auto& [text, size] : right) {
        CAPTURE(text);
        const auto parsed = parse_size(text);
        REQUIRE(parsed.has_value());
        CHECK(*parsed == size);
    }
}

TEST_CASE("a wrong size is refused in words that show it and the right form") {
    for (const char* text : {"",
                             " ",
                             "0",
                             "0%",
                             "0GiB",
                             "101%",
                             "-1",
                             "+1",
                             " 1GiB",
                             "1GiB ",
                             "1 GiB",
                             "1gib",
                             "1GB",
                             "1G",
                             "1.5GiB",
                             "GiB",
                             "%",
                             "1%%",
                             "0x10",
                             "9223372036854775808",
                             "18446744073709551616",
                             "8388608TiB",
                             "99999999999999999999999GiB",
                             "1e9",
                             "1KiB2"}) {
        CAPTURE(text);
        const auto parsed = parse_size(text);
        REQUIRE(!parsed.has_value());
        CHECK(parsed.error().code == Code::invalid_field);
        CHECK(parsed.error().field == "size");
        CHECK(describe(parsed.error()).find("\"" + std::string(text) + "\"") != std::string::npos);
        CHECK(describe(parsed.error()).find("512MiB") != std::string::npos);
    }
}

TEST_CASE("every form of a host device gives its name and size") {
    const std::pair<std::vector<std::string>, std::vector<Spec>> right[] = {
        {{}, {{"host0", half}, every_gpu}},
        {{"auto"}, {{"host0", half}, every_gpu}},
        {{"auto", "host:a=1GiB"}, {{"host0", half}, every_gpu, {"a", bytes(gib)}}},
        {{"host"}, {{"host0", half}}},
        {{"host=1GiB"}, {{"host0", bytes(gib)}}},
        {{"host:a"}, {{"a", half}}},
        {{"host:a=80%"}, {{"a", {Size::Unit::percent, 80}}}},
        {{"host:a=1GiB", "host:b=2GiB"}, {{"a", bytes(gib)}, {"b", bytes(2 * gib)}}},
        {{"host", "host=1MiB"}, {{"host0", half}, {"host1", bytes(mib)}}},
        {{"host", "host:host0"}, {{"host1", half}, {"host0", half}}},
        {{"host:gpu-like-2=1"}, {{"gpu-like-2", bytes(1)}}},
        {{"host:abcdefghijklmnopqrstuvwxyz012345"}, {{"abcdefghijklmnopqrstuvwxyz012345", half}}},
    };
    for (const auto& [texts, specs] : right) {
        const auto parsed = parse(texts);
        REQUIRE(parsed.has_value());
        CHECK((*parsed == specs));
    }
}

TEST_CASE("a wrong device is refused in words that show it") {
    for (const char* text :
         {"",          ":",      "=",        "=1GiB",    "hosts",    "Host",     "host:",   "host:=1GiB",
          "host:A",    "host:1", "host:a b", "host:a_b", "host:a:b", "host:a/b", "host:-a", "host:abcdefghijklmnopqrstuvwxyz0123456",
          "auto=1GiB", "auto:a", "rocm",     "host a"}) {
        CAPTURE(text);
        const auto parsed = parse({text});
        REQUIRE(!parsed.has_value());
        CHECK(parsed.error().code == Code::invalid_field);
        CHECK(describe(parsed.error()).find("\"" + std::string(text) + "\"") != std::string::npos);
    }
    CHECK(!parse({"host="}).has_value());
    CHECK(!parse({"host:a=1GiB=2GiB"}).has_value());
    CHECK(!parse({"host:a", "host:a=1GiB"}).has_value());
}

TEST_CASE("an adapter of Direct3D 12 is named by its index, and gets half of what is free unless told") {
    const std::pair<std::vector<std::string>, std::vector<Spec>> right[] = {
        {{"d3d12"}, {{"", half, SpecKind::d3d12, ""}}},
        {{"d3d12:0"}, {{"", half, SpecKind::d3d12, "0"}}},
        {{"d3d12:12=80%"}, {{"", {Size::Unit::percent, 80}, SpecKind::d3d12, "12"}}},
        {{"d3d12=1GiB"}, {{"", bytes(gib), SpecKind::d3d12, ""}}},
        {{"d3d12:0", "cuda:0", "d3d12:1"},
         {{"", half, SpecKind::d3d12, "0"}, {"", most, SpecKind::cuda, "0"}, {"", half, SpecKind::d3d12, "1"}}},
    };
    for (const auto& [texts, specs] : right) {
        const auto parsed = parse(texts);
        REQUIRE(parsed.has_value());
        CHECK((*parsed == specs));
    }
    for (const char* text : {"d3d12:", "d3d12:=1GiB", "d3d12:a", "d3d12:-1", "d3d12:00", "d3d12:1234", "d3d12:0:1", "D3D12:0", "d3d12=",
                             "d3d12:0=", "d3d12:0=0", "d3d12:0=101%", "d3d12:0=5MB", "d3d12:GPU-5a0b1c2d-0000-1111-2222-0123456789ab"}) {
        CAPTURE(text);
        const auto parsed = parse({text});
        REQUIRE(!parsed.has_value());
        CHECK(parsed.error().code == Code::invalid_field);
        CHECK(describe(parsed.error()).find("\"" + std::string(text) + "\"") != std::string::npos);
    }
    CHECK(!parse({"d3d12:0", "d3d12:0=1GiB"}).has_value());
}

TEST_CASE("what is taken by itself has no adapter of Direct3D 12") {
    for (const auto& texts : {std::vector<std::string>{}, std::vector<std::string>{"auto"}}) {
        const auto parsed = parse(texts);
        REQUIRE(parsed.has_value());
        for (const Spec& spec : *parsed) CHECK(spec.kind != SpecKind::d3d12);
    }
}

TEST_CASE("a GPU is named by its index or its UUID, and gets 90 % of what is free unless told") {
    const std::string uuid = "GPU-5a0b1c2d-0000-1111-2222-0123456789ab";
    const std::pair<std::vector<std::string>, std::vector<Spec>> right[] = {
        {{"cuda"}, {{"", most, SpecKind::cuda, ""}}},
        {{"cuda:0"}, {{"", most, SpecKind::cuda, "0"}}},
        {{"cuda:12=80%"}, {{"", {Size::Unit::percent, 80}, SpecKind::cuda, "12"}}},
        {{"cuda=1GiB"}, {{"", bytes(gib), SpecKind::cuda, ""}}},
        {{"cuda:" + uuid + "=1GiB"}, {{"", bytes(gib), SpecKind::cuda, uuid}}},
        {{"cuda:0", "host:a=1GiB", "cuda:1"}, {{"", most, SpecKind::cuda, "0"}, {"a", bytes(gib)}, {"", most, SpecKind::cuda, "1"}}},
    };
    for (const auto& [texts, specs] : right) {
        const auto parsed = parse(texts);
        REQUIRE(parsed.has_value());
        CHECK((*parsed == specs));
    }
    for (const char* text :
         {"cuda:", "cuda:=1GiB", "cuda:a", "cuda:-1", "cuda:00", "cuda:0x1", "cuda:1234", "cuda:GPU-", "cuda:0:1", "Cuda:0"}) {
        CAPTURE(text);
        const auto parsed = parse({text});
        REQUIRE(!parsed.has_value());
        CHECK(parsed.error().code == Code::invalid_field);
        CHECK(describe(parsed.error()).find("\"" + std::string(text) + "\"") != std::string::npos);
    }
    CHECK(!parse({"cuda:0", "cuda:0=1GiB"}).has_value());
    CHECK(!parse({"auto", "auto"}).has_value());
}

TEST_CASE("a share is taken of what is available and rounded down to whole pages") {
    CHECK(resolve_size(half, 10 * gib, 4096) == 5 * gib);
    CHECK(resolve_size(half, 10 * gib + 4097, 4096) == 5 * gib);
    CHECK(resolve_size({Size::Unit::percent, 100}, UINT64_MAX, 1) == UINT64_MAX);
    CHECK(resolve_size(bytes(4097), 0, 4096) == 4096);
    CHECK(!resolve_size(bytes(4095), gib, 4096).has_value());
    CHECK(!resolve_size(half, 0, 4096).has_value());
}
}  // namespace vramd::device
