#include "terms/tensor_pack.hpp"

#include <doctest/doctest.h>

#include "base/choices.hpp"
#include "terms/archive.hpp"

using namespace vramd;

namespace {
std::vector<std::byte> packed(const std::vector<Tensor>& tensors) {
    std::vector<std::byte> bytes;
    pack_tensors(tensors, bytes);
    return bytes;
}
/// A mixture of experts, named and laid out as the published ones are.
std::vector<Tensor> experts(u64 layers, u64 each) {
    std::vector<Tensor> tensors;
    u64 offset = 0;
    for (u64 layer = 0; layer < layers; ++layer)
        for (u64 expert = 0; expert < each; ++expert)
            for (const char* part : {"down_proj", "gate_proj", "up_proj"})
                for (const char* kind : {"weight", "weight_scale_inv"}) {
                    const bool scale = kind[6] == '_';
                    const u64 size = scale ? 3584 : 14'680'064;
                    tensors.push_back(
                        {"model.layers." + std::to_string(layer) + ".mlp.experts." + std::to_string(expert) + "." + part + "." + kind,
                         scale ? "f32" : "f8_e4m3", scale ? std::vector<u64>{56, 16} : std::vector<u64>{7168, 2048}, offset, size});
                    offset += size;
                }
    return tensors;
}
}  // namespace

TEST_CASE("any list of tensors comes back as it was: empty names, wrapping offsets, no shape, the same thing twice") {
    for (u64 seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        std::vector<Tensor> tensors(choices.below(40));
        for (Tensor& tensor : tensors) {
            for (u64 i = choices.below(12); i > 0; --i) tensor.name += "ab."[choices.below(3)];
            tensor.dtype = choices.below(3) == 0 ? "q4_k" : "f32";
            for (u64 i = choices.below(4); i > 0; --i) tensor.shape.push_back(choices.below(2) == 0 ? choices.below(3) : ~u64{0});
            tensor.offset_bytes = choices.below(3) == 0 ? ~u64{0} - choices.below(100) : choices.below(1000);
            tensor.size_bytes = choices.below(2) == 0 ? 64 : ~u64{0} - choices.below(3);
        }
        const auto back = unpack_tensors(packed(tensors));
        REQUIRE(back);
        CHECK(*back == tensors);
    }
}

TEST_CASE("a list that is cut, prolonged or changed at any byte is refused, or is another list; nothing worse") {
    const std::vector<Tensor> tensors = experts(1, 2);
    const std::vector<std::byte> whole = packed(tensors);
    for (std::size_t i = 0; i < whole.size(); ++i) {
        CHECK(!unpack_tensors(std::span(whole).first(i)));
        for (const u8 change : {u8{0x01}, u8{0x80}, u8{0xff}}) {
            std::vector<std::byte> changed = whole;
            changed[i] ^= std::byte{change};
            (void)unpack_tensors(changed);  // The sanitizers watch.
        }
    }
    std::vector<std::byte> longer = whole;
    longer.push_back(std::byte{0});
    CHECK(!unpack_tensors(longer));
}

TEST_CASE("the largest published models, of 2^18 tensors, take little more than a quarter of a ledger's file of 16 MiB") {
    const std::vector<Tensor> tensors = experts(80, 547);
    REQUIRE(tensors.size() >= 1u << 18);
    const std::vector<std::byte> bytes = to_bytes(Inspection{ModelFormat::safetensors, {}, 0, 0, tensors});
    CHECK(bytes.size() < 5 * mib);
    CHECK(bytes.size() / tensors.size() <= 18);
    Inspection back;
    ArchiveReader reader(bytes);
    reader(back);
    REQUIRE(reader.finish());
    CHECK(back.tensors == tensors);
}
