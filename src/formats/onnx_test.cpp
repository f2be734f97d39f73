#include <doctest/doctest.h>

#include "formats/limits.hpp"
#include "formats/test_refused.hpp"

using namespace vramd;
using namespace vramd::formats;
using namespace vramd::formats::hand_built;

namespace {
constexpr u64 t_float = 1, t_u8 = 2, t_i32 = 6, t_i64 = 7, t_string = 8, t_bool = 9, t_f16 = 10, t_double = 11, t_u32 = 12, t_c64 = 14,
              t_i4 = 22;

Result<Loaded> one(const std::string& tensor_message) { return load("m.onnx", onnx(initializer(tensor_message))); }
std::string numbers(const std::vector<u64>& values) {
    std::string bytes;
    for (const u64 value : values) bytes += varint(value);
    return bytes;
}
const std::string four = tensor("", t_u8, {4}, raw_data("FOUR"));
}  // namespace

TEST_CASE("an initializer's raw data is copied from where it lies") {
    const auto loaded = one(tensor("w", t_f16, {2, 3}, raw_data("0123456789AB")));
    REQUIRE(loaded.has_value());
    CHECK(loaded->plan.format == Format::onnx);
    CHECK(loaded->tensor("w") == Tensor{"w", "f16", {2, 3}, 12, 0});
    CHECK(loaded->bytes("w") == "0123456789AB");
    CHECK(loaded->plan.decodes.empty());
}

TEST_CASE("values in typed fields become the elements' bytes") {
    const auto check = [](u64 type, u32 field_number, const std::vector<u64>& values, const std::string& bytes, u64 elements) {
        const auto packed = one(tensor("w", type, {elements}, field(field_number, numbers(values))));
        REQUIRE(packed.has_value());
        CHECK(packed->bytes("w") == bytes);
        std::string single;
        for (const u64 value : values) single += field(field_number, value);
        const auto unpacked = one(tensor("w", type, {elements}, single));
        REQUIRE(unpacked.has_value());
        CHECK(unpacked->bytes("w") == bytes);
        const auto halves =
            one(tensor("w", type, {elements},
                       field(field_number, numbers({values.front()})) + field(field_number, numbers({values.begin() + 1, values.end()}))));
        REQUIRE(halves.has_value());
        CHECK(halves->bytes("w") == bytes);
    };
    check(t_i32, 5, {1, u64(-2), 0x7fffffff}, raw(i32{1}) + raw(i32{-2}) + raw(i32{0x7fffffff}), 3);
    check(t_i32, 5, {1, 0xfffffffe}, raw(i32{1}) + raw(i32{-2}), 2);  // Some writers leave the sign's upper half out.
    check(3, 5, {u64(-1), 127}, "\xff\x7f", 2);
    check(t_f16, 5, {0x3c00, 0xffff}, raw(u16{0x3c00}) + raw(u16{0xffff}), 2);
    check(t_bool, 5, {0, 1, 1}, std::string("\0\1\1", 3), 3);
    check(t_i4, 5, {0x21, 0xf3}, "\x21\xf3", 3);
    check(t_i64, 7, {u64(-1), 5}, raw(i64{-1}) + raw(i64{5}), 2);
    check(t_u32, 11, {4294967295, 5}, raw(u32{4294967295}) + raw(u32{5}), 2);
    check(13, 11, {UINT64_MAX, 5}, raw(UINT64_MAX) + raw(u64{5}), 2);
}

TEST_CASE("packed floats and doubles are copied, scattered ones are gathered") {
    const std::string floats = raw(1.5F) + raw(-2.0F);
    CHECK(one(tensor("w", t_float, {2}, field(4, floats)))->bytes("w") == floats);
    CHECK(one(tensor("w", t_float, {2}, field(4, floats)))->plan.decodes.empty());
    CHECK(one(tensor("w", t_float, {2}, field_float(4, 1.5F) + field_float(4, -2.0F)))->bytes("w") == floats);
    CHECK(one(tensor("w", t_float, {2}, field_float(4, 1.5F) + field(4, raw(-2.0F))))->bytes("w") == floats);
    CHECK(one(tensor("w", t_c64, {1}, field(4, floats)))->bytes("w") == floats);
    CHECK(one(tensor("w", t_double, {1}, field(10, raw(0.5))))->bytes("w") == raw(0.5));
    CHECK(one(tensor("w", 15, {1}, field(10, raw(0.5) + raw(0.25))))->bytes("w") == raw(0.5) + raw(0.25));
    refused(one(tensor("w", t_float, {2}, field(4, floats + "x"))), "not whole values");
    refused(one(tensor("w", t_float, {3}, field(4, floats))), "need 3 values; it holds from 2 to 2");
}

TEST_CASE("values that do not fit their dtype, or are too few or too many, fail while loading") {
    refused(one(tensor("w", t_u8, {1}, field(5, numbers({256})))), "the value 256 does not fit into 8 bits");
    refused(one(tensor("w", 3, {1}, field(5, numbers({u64(-129)})))), "the value -129 does not fit");
    refused(one(tensor("w", t_i32, {1}, field(5, numbers({u64{1} << 32})))), "does not fit into 32 bits");
    refused(one(tensor("w", t_u8, {3}, field(5, numbers({200, 200})))), "the last 1 bytes of the tensor have no values");
    refused(one(tensor("w", t_u8, {1}, field(5, numbers({1, 2})))), "more values");
    refused(one(tensor("w", t_u8, {5}, field(5, numbers({1, 2})))), "its shape and dtype need 5 values; it holds from 1 to 2");
    refused(one(tensor("w", t_i64, {1}, field(7, "\x80"))), "broken");
    refused(one(tensor("w", t_i64, {1}, field(7, std::string(10, '\xff') + "\x01"))), "");
}

TEST_CASE("a tensor whose data does not match its shape is refused") {
    refused(one(tensor("w", t_u8, {4}, raw_data("abc"))), "w: raw_data has 3 bytes; shape and dtype need 4");
    refused(one(tensor("w", t_u8, {4}, raw_data("abcd") + raw_data("abcd"))), "raw_data occurs 2 times");
    refused(one(tensor("w", t_u8, {4}, raw_data("abcd") + field(5, numbers({1})))), "two places");
    refused(one(tensor("w", t_u8, {4}, "")), "it has no data; its shape and dtype need 4 bytes");
    refused(one(tensor("w", t_u8, {1}, field(7, numbers({1})))), "field 7 of TensorProto, where u8 does not belong");
    refused(one(tensor("w", 99, {1}, raw_data("a"))), "its data type 99 is unknown");
    refused(one(tensor("w", 0, {1}, raw_data("a"))), "its data type 0 is unknown");
    refused(one(tensor("w", t_u8, {UINT64_MAX}, raw_data("a"))), "a dimension is negative");
    refused(one(tensor("w", t_u8, {u64{1} << 62, 4}, raw_data("a"))), "2^63 - 1 elements");
    refused(one(tensor("w", t_u8, {1}, raw_data("a") + field(3, field(1, u64{0})))), "segment", Code::unsupported);
    refused(one(tensor("", t_u8, {1}, raw_data("a"))), "an initializer has no name");
    refused(load("m.onnx", onnx(initializer(tensor("w", t_u8, {1}, raw_data("a"))) + initializer(tensor("w", t_u8, {1}, raw_data("b"))))),
            "two tensors have this name");
    CHECK(one(tensor("w", t_u8, {0, 4}, ""))->tensor("w").size_bytes == 0);
    CHECK(one(tensor("w", t_u8, {}, raw_data("a")))->bytes("w") == "a");
    CHECK(one(field(1, numbers({2, 2})) + tensor("w", t_u8, {}, raw_data("abcd")))->tensor("w").shape == std::vector<u64>{2, 2});
}

TEST_CASE("tensors of strings are listed and take no memory") {
    const auto loaded = one(tensor("w", t_string, {2}, field(6, "one") + field(6, "two")));
    REQUIRE(loaded.has_value());
    CHECK(loaded->tensor("w") == Tensor{"w", "string", {2}, 0, 0});
    refused(one(tensor("w", t_string, {3}, field(6, "one"))), "it holds 1 texts; its shape needs 3");
}

TEST_CASE("weights are found in nodes, subgraphs and functions, under the path of where they are") {
    const std::string inner = node("Constant", "c", attribute("value", field(5, four)));
    const std::string loop = node("Loop", "l", attribute("body", field(6, inner)));
    const std::string branch = initializer(tensor("w", t_u8, {4}, raw_data("then"))) + loop;
    const std::string other = initializer(tensor("w", t_u8, {4}, raw_data("else")));
    const std::string graph = node("If", "y", attribute("then_branch", field(6, branch)) + attribute("else_branch", field(6, other))) +
                              inner + node("ConstantOfShape", "f", attribute("value", field(5, four))) +
                              node("Any", "", attribute("list", field(10, four) + field(10, four))) +
                              node("Any", "g", attribute("graphs", field(11, other) + field(11, other)));
    const std::string function = field(
        25, field(1, "Scale") + field(7, field(2, "k") + field(4, "Constant") + attribute("value", field(5, four))) + field(10, "dom"));
    const std::string training = field(20, field(1, initializer(tensor("w", t_u8, {4}, raw_data("init")))));
    const auto loaded = load("m.onnx", onnx(graph, function + training));
    REQUIRE(loaded.has_value());
    for (const auto& [name, bytes] : std::map<std::string, std::string>{{"y.then_branch/w", "then"},
                                                                        {"y.else_branch/w", "else"},
                                                                        {"y.then_branch/l.body/c", "FOUR"},
                                                                        {"c", "FOUR"},
                                                                        {"f.value", "FOUR"},
                                                                        {"Any#3.list[0]", "FOUR"},
                                                                        {"Any#3.list[1]", "FOUR"},
                                                                        {"g.graphs[1]/w", "else"},
                                                                        {"dom.Scale/k", "FOUR"},
                                                                        {"training#0.initialization/w", "init"}}) {
        INFO(name);
        CHECK(loaded->bytes(name) == bytes);
    }
    CHECK(loaded->plan.tensors.size() == 11);
}

TEST_CASE("a Constant's numbers are tensors, another node's are parameters") {
    const auto loaded =
        load("m.onnx",
             onnx(node("Constant", "f", attribute("value_float", field_float(2, 1.5F))) +
                  node("Constant", "fs", attribute("value_floats", field(7, raw(1.0F) + raw(2.0F)))) +
                  node("Constant", "i", attribute("value_int", field(3, u64(-3)))) + node("Constant", "zero", attribute("value_int", "")) +
                  node("Constant", "is", attribute("value_ints", field(8, u64{7}) + field(8, numbers({8, 300})))) +
                  node("Constant", "s", attribute("value_string", field(4, "x"))) + node("Constant", "none", attribute("value_ints", "")) +
                  node("Conv", "conv", attribute("strides", field(8, u64{7}))) +
                  node("Constant", "ref", attribute("value_int", field(21, "outer")))));
    REQUIRE(loaded.has_value());
    CHECK(loaded->tensor("f") == Tensor{"f", "f32", {}, 4, loaded->tensor("f").memory_offset_bytes});
    CHECK(loaded->bytes("f") == raw(1.5F));
    CHECK(loaded->bytes("fs") == raw(1.0F) + raw(2.0F));
    CHECK(loaded->bytes("i") == raw(i64{-3}));
    CHECK(loaded->bytes("zero") == raw(i64{0}));
    CHECK(loaded->bytes("is") == raw(i64{7}) + raw(i64{8}) + raw(i64{300}));
    CHECK(loaded->tensor("is").shape == std::vector<u64>{3});
    CHECK(loaded->tensor("s").dtype == "string");
    CHECK(loaded->tensor("none").shape == std::vector<u64>{0});
    CHECK(loaded->plan.tensors.size() == 7);
}

TEST_CASE("only ONNX's own Constant is one") {
    const std::string parts =
        field(2, "c") + field(4, "Constant") + attribute("value", field(5, four)) + attribute("value_int", field(3, u64{5}));
    const auto loaded = load("m.onnx", onnx(field(1, parts + field(7, "com.other"))));
    REQUIRE(loaded.has_value());
    CHECK(loaded->plan.tensors.size() == 1);
    CHECK(loaded->bytes("c.value") == "FOUR");
    refused(load("m.onnx", onnx(field(1, parts + field(7, "ai.onnx")))), "c: two tensors have this name");
}

TEST_CASE("a Constant whose number is doubled, cut or of the wrong wire type is refused") {
    const auto constant = [](std::string_view kind, const std::string& content) {
        return load("m.onnx", onnx(node("Constant", "c", attribute(kind, content))));
    };
    refused(constant("value_floats", field(7, "12345")), "its list of floats has 5 bytes, not whole floats");
    refused(constant("value_int", field(3, u64{1}) + field(3, u64{2})), "its one value occurs twice");
    refused(constant("value_float", field_float(2, 1.0F) + field_float(2, 1.0F)), "its one value occurs twice");
    refused(constant("value_int", field(3, "\1")), "its one value has the wrong wire type");
    refused(constant("value_float", field(2, "1234")), "its one value has the wrong wire type");
    refused(constant("value_float", field(2, u64{1})), "wrong wire type");
}

TEST_CASE("a sparse tensor gives its values, its indices and its dense shape") {
    const std::string values = tensor("s", t_float, {2}, raw_data("valuval2"));
    const std::string indices = tensor("", t_i64, {2}, field(7, numbers({3, 8})));
    const auto loaded =
        load("m.onnx",
             onnx(field(15, field(1, values) + field(2, indices) + field(3, numbers({3, 4}))) +
                  node("Constant", "c", attribute("sparse_value", field(22, field(1, values) + field(2, indices) + field(3, u64{12}))))));
    REQUIRE(loaded.has_value());
    CHECK(loaded->bytes("s.values") == "valuval2");
    CHECK(loaded->bytes("s.indices") == raw(i64{3}) + raw(i64{8}));
    CHECK(loaded->bytes("c.values") == "valuval2");
    CHECK(loaded->plan.metadata[1] == Metadata{"sparse.s", "[3,4]"});
    refused(load("m.onnx", onnx(field(15, field(1, values)))), "needs values and indices");
}

TEST_CASE("external data is taken from the file, offset and length that the tensor names") {
    const std::map<std::string, std::string> files = {{"w.bin", "....abcdefgh"}, {"sub/x", "0123"}};
    const auto loaded = load("m.onnx",
                             onnx(initializer(tensor("a", t_u8, {4}, external("w.bin", "4", "4"))) +
                                  initializer(tensor("b", t_u8, {4}, external("./w.bin", "8", ""))) +
                                  initializer(tensor("c", t_u8, {2, 2}, external("sub/x", "", "4"))) +
                                  initializer(tensor("tied", t_u8, {2, 2}, external("w.bin", "4", "")))),
                             files);
    REQUIRE(loaded.has_value());
    CHECK(loaded->plan.files == std::vector<std::string>{"", "w.bin", "sub/x"});
    CHECK(loaded->bytes("a") == "abcd");
    CHECK(loaded->bytes("b") == "efgh");
    CHECK(loaded->bytes("c") == "0123");
    CHECK(loaded->tensor("tied").memory_offset_bytes == loaded->tensor("a").memory_offset_bytes);
    CHECK(loaded->plan.tensor_bytes == 12);
    const auto bad = [&](const std::string& content) { return load("m.onnx", onnx(initializer(tensor("a", t_u8, {4}, content))), files); };
    refused(bad(external("w.bin", "9", "4")), "a: its 4 bytes at offset 9 do not lie in the file of 12 bytes");
    refused(bad(external("w.bin", "18446744073709551615", "4")), "not a number below 2^63");
    refused(bad(external("w.bin", "9223372036854775807", "4")), "do not lie in the file");
    refused(bad(external("w.bin", "-1", "4")), "not a number");
    refused(bad(external("w.bin", "4x", "4")), "not a number");
    refused(bad(external("w.bin", "4", "5")), "external data has 5 bytes; shape and dtype need 4");
    refused(bad(external("../w.bin", "4", "4")), "'..'");
    refused(bad(external("/w.bin", "4", "4")), "absolute");
    refused(bad(external("", "4", "4")), "empty");
    refused(bad(field(14, u64{2})), "its data location is 2");
    refused(bad(external("w.bin", "4", "4") + raw_data("abcd")), "two places");
    refused(load("m.onnx",
                 onnx(initializer(tensor("a", t_u8, {4}, external("w.bin", "4", ""))) +
                      initializer(tensor("b", t_u8, {4}, external("w.bin", "6", "")))),
                 files),
            "overlap");
}

TEST_CASE("what is not a model is refused with the byte where it goes wrong") {
    refused(load("m.onnx", ""), "it has no graph");
    refused(load("m.onnx", field(1, u64{8})), "it has no graph");
    refused(load("m.onnx", "\xff\xff"), "byte 0: it is not valid protobuf");
    refused(load("m.onnx", field(1, u64{8}) + "\x3a\x7f"), "field 7 has 127 bytes; 0 are left");
    refused(load("m.onnx", onnx("\x0b")), "wire type 3 is not read");
    refused(load("m.onnx", onnx(std::string("\0\0", 2))), "there is no field 0");
    refused(load("m.onnx", onnx(field(5, u64{1}))), "wrong wire type");
    refused(load("m.onnx", onnx("") + field(7, "")), "two graphs");
    refused(load("m.txt", "hello"), "neither safetensors");
    CHECK(load("m.bin", onnx("")).has_value());
}

TEST_CASE("graphs nested too deep are refused") {
    const auto nested = [](int depth) {
        std::string graph = initializer(four);
        for (int i = 0; i < depth; ++i) graph = node("If", "y", attribute("b", field(6, graph)));
        return load("m.onnx", onnx(graph));
    };
    refused(nested(33), "the nesting of graphs is 33; at most 32");
    refused(nested(400), "the nesting of graphs is 33");
    refused(nested(32), "an initializer has no name");
    std::string graph;
    for (int i = 0; i < 3; ++i) graph = node("If", std::string(2000, 'y'), attribute("b", field(6, graph)));
    refused(load("m.onnx", onnx(graph)), "the length of the path of nested graphs is 6009; at most 4096");
}

TEST_CASE("what is counted while planning is bounded") {
    // A sparse file: the list's zeroes are the rest of it, and every message around it ends with it.
    constexpr u64 list_bytes = onnx_attribute_list_bytes_max + 1;
    const auto ends_with_list = [](u32 number, const std::string& head) {
        return varint(u64{number} << 3 | 2) + varint(head.size() + list_bytes) + head;
    };
    const std::string attribute_head = field(1, "value_ints") + varint(8 << 3 | 2) + varint(list_bytes);
    MemoryFile file(field(1, u64{8}) +
                    ends_with_list(7, ends_with_list(1, field(2, "c") + field(4, "Constant") + ends_with_list(5, attribute_head))));
    file.claimed_size_bytes = file.size_bytes() + list_bytes;
    Source* const sources[] = {&file};
    const auto planned = plan(Format::onnx, sources);
    REQUIRE(!planned.has_value());
    CHECK(planned.error().detail.starts_with("the length of an attribute's list is 67108865; at most 67108864"));
    const auto graphs = [](u64 count) {
        std::string inner;
        for (u64 i = 0; i < count; ++i) inner += field(6, "");
        return load("m.onnx", onnx(node("If", std::string(4000, 'y'), attribute("b", inner))));
    };
    CHECK(graphs(1000).has_value());
    refused(graphs(270'000), "the number of fields");
}

TEST_CASE("only the place of weights is read, not the weights") {
    std::string graph;
    for (int i = 0; i < 20; ++i)
        graph += initializer(tensor("w" + std::to_string(i), t_u8, {1 * mib}, raw_data(std::string(1 * mib, 'w'))));
    MemoryFile file(onnx(graph));
    Source* const sources[] = {&file};
    const auto planned = plan(Format::onnx, sources);
    REQUIRE(planned.has_value());
    CHECK(planned->tensors.size() == 20);
    CHECK(planned->tensor_bytes == 20 * mib);
    CHECK(file.read_bytes < 512 * kib);
}
