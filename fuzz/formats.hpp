/// What the three fuzzers of model files share: load the bytes as the loader does, and abort if the answer is not one that a stranger's
/// file may get. Reads beyond a file and writes beyond the lent memory are found by the sanitizers.
#pragma once
#include <cstdio>
#include <cstdlib>

#include "base/choices.hpp"
#include "formats/hand_built.hpp"

namespace vramd::fuzz {
/// Further files, so that names which hit one go on.
inline const std::map<std::string, std::string>& further_files() {
    static const std::map<std::string, std::string> files = {
        {"w.bin", std::string(256, 'w')},
        {"a.safetensors", formats::hand_built::safetensors(R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "abcd")},
        {"b.safetensors", formats::hand_built::safetensors(R"({"y":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}})", "efgh")},
    };
    return files;
}

/// Loads and judges. `file_name` says whose reader explains what is none.
inline void judge(std::string_view file_name, std::string bytes) {
    const auto loaded = formats::hand_built::load(file_name, std::move(bytes), further_files());
    if (loaded) return;
    const Error& error = loaded.error();
    const bool right = error.code == Code::invalid_model || error.code == Code::unsupported || error.code == Code::not_found;
    if (right && !describe(error).empty()) return;
    std::fprintf(stderr, "wrong answer: %s: %s\n", error.field.c_str(), describe(error).c_str());
    std::abort();
}

/// The fuzzer's first bytes as decisions of a generator: files that are right in their frame and odd inside, small enough to be many.
inline Choices choices_from(std::span<const u8> bytes) {
    constexpr std::size_t decisions_max = 400;
    bytes = bytes.first(std::min(bytes.size(), decisions_max));
    return Choices::replay({bytes.begin(), bytes.end()});
}

/// A number that is often an edge.
inline u64 odd_number(Choices& choices) {
    static constexpr u64 edges[] = {
        0, 1, 2, 3, 4, 8, 16, 31, 32, 33, 255, 256, u64{1} << 31, u64{1} << 32, u64{1} << 62, number_max, u64{1} << 63, UINT64_MAX};
    const u64 edge = edges[choices.below(std::size(edges))];
    switch (choices.below(4)) {
        case 0:
            return edge - 1;
        case 1:
            return edge + 1;
        case 2:
            return choices.below(64);
        default:
            return edge;
    }
}
inline std::string odd_name(Choices& choices) {
    static const std::string names[] = {"w", "x",        "y",        "w.bin",  "value",  "",  "\xff",       "../w.bin",
                                        "b", "Constant", "location", "offset", "length", "4", "value_ints", std::string(200, 'n')};
    return names[choices.below(std::size(names))];
}
}  // namespace vramd::fuzz
