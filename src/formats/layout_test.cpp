#include <doctest/doctest.h>

#include "formats/hand_built.hpp"
#include "formats/layout.hpp"
#include "formats/limits.hpp"
#include "formats/relative_name.hpp"

using namespace vramd;
using namespace vramd::formats;
using namespace vramd::formats::hand_built;

namespace {
Found at(const std::string& name, u64 offset_bytes, u64 size_bytes, u32 file = 0) {
    Found found{};
    found.name = name;
    found.dtype = "u8";
    found.shape = {size_bytes};
    found.size_bytes = size_bytes;
    found.file = file;
    found.offset_bytes = offset_bytes;
    return found;
}
Plan laid_out(std::vector<Found> tensors, std::vector<std::string> files = {""}) {
    std::vector<MemoryFile> held(files.size(), MemoryFile(std::string(1 << 20, 'x')));
    std::vector<Source*> sources;
    for (MemoryFile& file : held) sources.push_back(&file);
    auto plan = lay_out(Format::gguf, std::move(files), sources, {std::move(tensors), {}});
    REQUIRE(plan.has_value());
    CHECK(audit(*plan, std::vector<u64>(sources.size(), 1 << 20)).has_value());
    return *std::move(plan);
}
}  // namespace

TEST_CASE("each tensor is aligned to its size, at least 16 and at most 256") {
    const auto plan =
        laid_out({at("a", 0, 1), at("b", 1000, 17), at("c", 2000, 33), at("d", 3000, 255), at("e", 4000, 257), at("f", 5000, 5000)});
    std::vector<u64> offsets;
    for (const Tensor& tensor : plan.tensors) offsets.push_back(tensor.memory_offset_bytes);
    CHECK(offsets == std::vector<u64>{0, 32, 64, 256, 512, 1024});
    CHECK(plan.memory_bytes == 6024);
    CHECK(plan.tensor_bytes == 1 + 17 + 33 + 255 + 257 + 5000);
    CHECK(plan.copies.size() == 6);
}

TEST_CASE("neighbours whose distance in the file suits them travel in one copy") {
    CHECK(laid_out({at("a", 100, 512), at("b", 612, 256), at("c", 868, 300)}).copies == std::vector<Copy>{{0, 100, 1068, 0}});
    CHECK(laid_out({at("a", 100, 400), at("b", 612, 256)}).copies ==
          std::vector<Copy>{{0, 100, 768, 0}});                                           // The gap of 112 gives the alignment.
    CHECK(laid_out({at("a", 0, 256), at("b", 256 + 512, 256)}).copies.size() == 2);       // Too far for its size …
    CHECK(laid_out({at("a", 0, 256), at("b", 256 + 512, 64 * 512)}).copies.size() == 1);  // … and near for a large one.
    CHECK(laid_out({at("a", 0, 256, 0), at("b", 256, 256, 1)}, {"", "x"}).copies.size() == 2);
}

TEST_CASE("tied tensors share memory and do not break the run of copies") {
    const auto plan = laid_out({at("a", 0, 256), at("tied", 0, 256), at("b", 256, 256)});
    CHECK(plan.copies == std::vector<Copy>{{0, 0, 512, 0}});
    CHECK(plan.tensor_bytes == 512);
}

TEST_CASE("tables that differ anywhere have different sums, equal ones the same") {
    const auto sum = [](std::vector<Found> tensors) { return laid_out(std::move(tensors)).table_checksum; };
    CHECK(sum({at("a", 0, 16)}) == sum({at("a", 0, 16)}));
    CHECK(sum({at("a", 0, 16)}) != sum({at("b", 0, 16)}));
    CHECK(sum({at("a", 0, 16)}) != sum({at("a", 1, 16)}));
    CHECK(sum({at("ab", 0, 16), at("c", 16, 16)}) != sum({at("a", 0, 16), at("bc", 16, 16)}));
}

TEST_CASE("the audit finds every broken promise") {
    const auto good = laid_out({at("a", 0, 256), at("b", 1000, 256)});
    const std::vector<u64> sizes = {1 << 20};
    const auto broken = [&](auto change) {
        Plan plan = good;
        change(plan);
        return !audit(plan, sizes).has_value();
    };
    CHECK(!broken([](Plan&) {}));
    CHECK(broken([](Plan& p) { p.tensors[1].name = "a"; }));
    CHECK(broken([](Plan& p) { p.tensors[1].name = ""; }));
    CHECK(broken([](Plan& p) { p.tensors[1].memory_offset_bytes = 16; }));
    CHECK(broken([](Plan& p) { p.tensors[1].size_bytes = 257; }));
    CHECK(broken([](Plan& p) { p.copies[1].memory_offset_bytes = 255; }));
    CHECK(broken([](Plan& p) { p.copies[1].file_offset_bytes = 1 << 20; }));
    CHECK(broken([](Plan& p) { p.copies[1].file = 1; }));
    CHECK(broken([](Plan& p) { p.copies.pop_back(); }));
    CHECK(broken([](Plan& p) { p.copies[1].size_bytes = 255; }));
    CHECK(broken([](Plan& p) { p.memory_bytes += 1; }));
    CHECK(broken([](Plan& p) { p.tensor_bytes -= 1; }));
    CHECK(broken([](Plan& p) { p.decodes.push_back({0, 0, 8, 0, 8, 1, Encoding::varint, 8}); }));
}

TEST_CASE("metadata is bounded: how much is kept, how long, and cut between characters") {
    std::vector<Metadata> metadata;
    keep(metadata, "k", std::string(metadata_value_bytes_max - 1, 'v') + "ß");
    CHECK(metadata[0].value == std::string(metadata_value_bytes_max - 1, 'v'));
    keep(metadata, std::string(metadata_key_bytes_max + 1, 'k'), "v");
    keep(metadata, "", "v");
    keep(metadata, "\xff", "v");
    CHECK(metadata.size() == 1);
    for (u64 i = 0; i < 2 * metadata_count_max; ++i) keep(metadata, "k", "v");
    CHECK(metadata.size() == metadata_count_max);
}

TEST_CASE("file names are relative, beneath their folder and in one spelling") {
    CHECK(relative_name("t", "a.bin") == "a.bin");
    CHECK(relative_name("t", "./a//b/./c.bin") == "a/b/c.bin");
    CHECK(relative_name("t", "..a/b..") == "..a/b..");
    for (const char* name : {"", ".", "..", "/", "/a", "../a", "a/../b", "a/..", "a\\b", "a\nb", "\x7f", "\xff"}) {
        INFO(name);
        CHECK(!relative_name("t", name).has_value());
    }
    CHECK(!relative_name("t", std::string(file_name_bytes_max + 1, 'a')).has_value());
    FileNames files;
    CHECK(files.index_of("t", "a") == 1);
    CHECK(files.index_of("t", "b") == 2);
    CHECK(files.index_of("t", "./a") == 1);
    for (u64 i = 2; i < files_max; ++i) CHECK(files.index_of("t", std::to_string(i)).has_value());
    CHECK(!files.index_of("t", "one more").has_value());
}

TEST_CASE("a table beyond its limits is refused before it grows further") {
    const auto refused = [](Result<void> added, u64 limit) {
        return !added && added.error().code == Code::invalid_model && added.error().limit == limit;
    };
    TensorList tensors;
    for (u64 i = 0; i < tensor_count_max; ++i) REQUIRE(tensors.add(Found{}).has_value());
    CHECK(refused(tensors.add(Found{}), tensor_count_max));
    TensorList wide;
    Found found{};
    found.shape.resize(dimension_count_max);
    CHECK(wide.add(std::move(found)).has_value());
    CHECK(refused(wide.add(at("one more", 0, 1)), dimension_count_max));
    TensorList named;
    Found long_named{};
    long_named.name.resize(names_bytes_max);
    CHECK(named.add(std::move(long_named)).has_value());
    CHECK(refused(named.add(at("n", 0, 1)), names_bytes_max));
}

TEST_CASE("a plan is made of exactly the files that the model needs") {
    MemoryFile main(gguf(3, {}, {}, ""));
    MemoryFile index(R"({"weight_map":{"x":"s"}})");
    MemoryFile model(onnx(""));
    MemoryFile more("");
    const auto count_refused = [](Format format, std::vector<Source*> sources) {
        const auto planned = plan(format, sources);
        return !planned && planned.error().code == Code::invalid_field && planned.error().field == "sources" &&
               planned.error().value == sources.size();
    };
    CHECK(count_refused(Format::gguf, {}));
    CHECK(count_refused(Format::gguf, {&main, &more}));
    CHECK(count_refused(Format::safetensors, {&main, &more}));
    CHECK(count_refused(Format::safetensors_index, {&index}));
    CHECK(count_refused(Format::safetensors_index, {&index, &more, &more}));
    CHECK(count_refused(Format::onnx, {&model, &more}));
    CHECK(!count_refused(Format::gguf, {&main}));
}
