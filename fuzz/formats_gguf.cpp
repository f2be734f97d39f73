// links: formats
// The bytes as a whole file, and as decisions of a generator of headers whose frame is right.
#include "formats.hpp"

using namespace vramd;
using namespace vramd::fuzz;
using namespace vramd::formats::hand_built;

namespace {
std::string odd_value(Choices& choices, u64 depth) {
    const u32 type = static_cast<u32>(choices.below(14));
    static constexpr u64 sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8, 0};
    if (type == 8) return raw(type) + (choices.one_in(6) ? raw(odd_number(choices)) : gguf_text(odd_name(choices)));
    if (type != 9 || depth > 6) return raw(type) + std::string(sizes[type], '\1');
    const u64 count = choices.below(3);
    const std::string inner = odd_value(choices, depth + 1);
    std::string all = raw(type) + inner.substr(0, 4) + raw(choices.one_in(5) ? odd_number(choices) : count);
    for (u64 i = 0; i < count; ++i) all += inner.substr(4);
    return all;
}
std::string odd_file(Choices& choices) {
    std::vector<std::string> pairs;
    for (u64 i = 0, count = choices.below(4); i < count; ++i)
        pairs.push_back(choices.one_in(3) ? gguf_pair("general.alignment", 4, raw(static_cast<u32>(odd_number(choices))))
                                          : gguf_text(odd_name(choices)) + odd_value(choices, 0));
    std::vector<std::string> tensors;
    for (u64 i = 0, count = choices.below(5); i < count; ++i) {
        std::vector<u64> shape(choices.below(6));
        for (u64& dimension : shape) dimension = choices.one_in(3) ? odd_number(choices) : 32 * choices.below(9);
        const u64 offset = choices.one_in(5) ? odd_number(choices) : 32 * choices.below(8);
        tensors.push_back(
            gguf_tensor(choices.one_in(5) ? odd_name(choices) : std::to_string(i), shape, static_cast<u32>(choices.below(48)), offset));
    }
    return gguf(2 + static_cast<u32>(choices.below(2)), pairs, tensors, std::string(choices.below(2048), 'd'));
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const u8* data, std::size_t size) {
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    judge("m.gguf", bytes);
    judge("m.gguf", "GGUF" + raw(u32{3}) + bytes);
    Choices choices = choices_from({data, size});
    judge("m.gguf", odd_file(choices));
    return 0;
}
