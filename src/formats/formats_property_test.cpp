// Any model, written in any format, comes back as it was: names, dtypes, shapes and bytes.
#include <doctest/doctest.h>

#include <cstdlib>

#include "base/choices.hpp"
#include "formats/hand_built.hpp"

using namespace vramd;
using namespace vramd::formats;
using namespace vramd::formats::hand_built;

namespace {
/// What a file is made of; its own words for dtypes, for the room's table is on trial.
struct Kind {
    const char* name;
    const char* safetensors;
    u32 ggml;
    u32 onnx;
    u64 bytes;
};
constexpr Kind kinds[] = {{"f32", "F32", 0, 1, 4}, {"f16", "F16", 1, 10, 2}, {"bf16", "BF16", 30, 16, 2}, {"f64", "F64", 28, 11, 8},
                          {"i8", "I8", 24, 3, 1},  {"i16", "I16", 25, 5, 2}, {"i32", "I32", 26, 6, 4},    {"i64", "I64", 27, 7, 8}};

struct Made {
    std::string name;
    const Kind* kind;
    std::vector<u64> shape;
    std::string bytes;
};

std::vector<Made> any_model(Choices& choices) {
    std::vector<Made> model(choices.below(12));
    for (std::size_t i = 0; i < model.size(); ++i) {
        Made& made = model[i];
        made.name = std::string(choices.below(20), 'a') + "ß." + std::to_string(i);
        made.kind = &kinds[choices.below(std::size(kinds))];
        made.shape.resize(choices.below(5));
        u64 elements = 1;
        for (u64& dimension : made.shape) {
            dimension = choices.one_in(12) ? 0 : 1 + choices.below(choices.one_in(4) ? 40 : 4);
            elements *= dimension;
        }
        SeededRandom random(choices.below(1 << 20));
        for (u64 b = 0; b < elements * made.kind->bytes; ++b) made.bytes += static_cast<char>(random.below(256));
    }
    return model;
}

std::string list(const std::vector<u64>& numbers) {
    std::string text = "[";
    for (const u64 number : numbers) text += (text.size() > 1 ? "," : "") + std::to_string(number);
    return text + "]";
}

std::string as_safetensors(const std::vector<Made>& model, Choices& choices) {
    std::string header;
    std::string data;
    for (const Made& made : model) {
        const std::string entry = "\"" + made.name + R"(":{"data_offsets":)" + list({data.size(), data.size() + made.bytes.size()}) +
                                  R"( , "dtype":")" + made.kind->safetensors + R"(","shape":)" + list(made.shape) + "}";
        header = choices.one_in(2) ? entry + (header.empty() ? "" : ",") + header
                                   : header + (header.empty() ? "" : ",") + entry;  // In any order.
        data += made.bytes;
    }
    return safetensors("{" + header + "}" + std::string(choices.below(9), ' '), data);
}

std::string as_gguf(const std::vector<Made>& model, Choices& choices) {
    const u64 alignment = u64{8} << choices.below(8);
    std::vector<std::string> tensors;
    std::string data;
    for (const Made& made : model) {
        data.resize(round_up(data.size(), alignment) + alignment * choices.below(2));
        tensors.push_back(gguf_tensor(made.name, {made.shape.rbegin(), made.shape.rend()}, made.kind->ggml, data.size()));
        data += made.bytes;
    }
    return gguf(2 + static_cast<u32>(choices.below(2)), {gguf_pair("general.alignment", 4, raw(static_cast<u32>(alignment)))}, tensors,
                data, alignment);
}

/// The values as varints of int32_data or int64_data, packed or one by one.
std::string typed_values(const Made& made, Choices& choices) {
    const u32 number = made.kind->onnx == 7 ? 7 : 5;
    const bool packed = choices.one_in(2);
    std::string values;
    for (u64 at = 0; at < made.bytes.size(); at += made.kind->bytes) {
        u64 value = 0;
        std::memcpy(&value, made.bytes.data() + at, made.kind->bytes);
        values += packed ? varint(value) : field(number, value);
    }
    return packed ? field(number, values) : values;
}

std::string as_onnx(const std::vector<Made>& model, Choices& choices, std::map<std::string, std::string>& files) {
    std::string graph;
    for (const Made& made : model) {
        const auto filled = [&](const std::string& content) { return tensor(made.name, made.kind->onnx, made.shape, content); };
        const bool integral = made.kind->onnx != 1 && made.kind->onnx != 11;
        switch (choices.below(4)) {
            case 0: {
                std::string& file = files["data." + std::to_string(choices.below(2))];
                const std::string name = files.size() == 1
                                             ? files.begin()->first
                                             : (&file == &files.begin()->second ? files.begin()->first : files.rbegin()->first);
                file.resize(file.size() + choices.below(70));
                const std::string message =
                    external(name, std::to_string(file.size()), choices.one_in(2) ? "" : std::to_string(made.bytes.size()));
                file += made.bytes;
                graph += initializer(filled(message));
                break;
            }
            case 1:
                graph += initializer(filled(integral ? typed_values(made, choices) : field(made.kind->onnx == 1 ? 4 : 10, made.bytes)));
                break;
            case 2:
                graph += node("Constant", made.name, attribute("value", field(5, filled(raw_data(made.bytes)))));
                break;
            default:
                graph += initializer(filled(raw_data(made.bytes)));
                break;
        }
        if (choices.one_in(3)) graph += field(10, std::string(choices.below(300), 'd'));
    }
    return onnx(graph);
}

/// What differs between the model and what was loaded; empty if nothing.
std::string difference(const std::vector<Made>& model, const Result<Loaded>& loaded) {
    if (!loaded) return loaded.error().field + ": " + describe(loaded.error());
    if (loaded->plan.tensors.size() != model.size()) return "the number of tensors";
    for (const Made& made : model) {
        const Tensor& tensor = loaded->tensor(made.name);
        if (tensor.name != made.name || tensor.dtype != made.kind->name || tensor.shape != made.shape)
            return made.name + ": name, dtype or shape";
        if (loaded->bytes(made.name) != made.bytes) return made.name + ": bytes";
    }
    return {};
}

std::string run(Choices choices) {
    const auto model = any_model(choices);
    if (auto wrong = difference(model, load("m", as_safetensors(model, choices))); !wrong.empty()) return "safetensors: " + wrong;
    if (auto wrong = difference(model, load("m", as_gguf(model, choices))); !wrong.empty()) return "gguf: " + wrong;
    std::map<std::string, std::string> files;
    const std::string main = as_onnx(model, choices, files);
    if (auto wrong = difference(model, load("m", main, files)); !wrong.empty()) return "onnx: " + wrong;
    return {};
}
}  // namespace

TEST_CASE("any model in any format comes back as it was written") {
    const char* given = std::getenv("VRAMD_SEED");
    const u64 first = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
    for (u64 seed = first; seed < first + 300; ++seed) {
        const std::string wrong = run(Choices::from_seed(seed));
        INFO("VRAMD_SEED=" << seed << ": " << wrong);
        CHECK(wrong.empty());
        if (!wrong.empty()) break;
    }
}
