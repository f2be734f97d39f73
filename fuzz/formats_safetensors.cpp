// links: formats
// The bytes as a whole file, as a header with a right length before it, and as decisions of a generator of headers and indices.
#include "formats.hpp"

using namespace vramd;
using namespace vramd::fuzz;
using formats::hand_built::safetensors;

namespace {
std::string odd_tensor(Choices& choices, u64& end) {
    static const char* const dtypes[] = {"F32", "U8", "F4", "F6_E2M3", "BF16", "Q", ""};
    std::string shape;
    u64 elements = 1;
    for (u64 rank = choices.below(4), i = 0; i < rank; ++i) {
        const u64 dimension = choices.one_in(4) ? odd_number(choices) : choices.below(4);
        shape += (i == 0 ? "" : ",") + std::to_string(dimension);
        elements *= dimension;
    }
    const u64 kind = choices.below(std::size(dtypes));
    const u64 begin = choices.one_in(8) ? odd_number(choices) : end;
    end = choices.one_in(8) ? odd_number(choices) : begin + elements * (kind == 0 ? 4 : kind == 4 ? 2 : 1);
    return std::string(R"({"dtype":")") + dtypes[kind] + R"(","shape":[)" + shape + R"(],"data_offsets":[)" + std::to_string(begin) + "," +
           std::to_string(end) + "]}";
}
std::string odd_file(Choices& choices) {
    std::string header;
    u64 end = 0;
    for (u64 i = 0, count = choices.below(5); i < count; ++i) {
        header += (i == 0 ? "" : ",");
        header += choices.one_in(6) ? R"("__metadata__":{"k":"v"})"
                                    : "\"" + (choices.one_in(3) ? std::string("x") : std::to_string(i)) + "\":" + odd_tensor(choices, end);
    }
    return safetensors("{" + header + "}", std::string(choices.one_in(4) ? choices.below(64) : std::min<u64>(end, 4096), 'd'));
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const u8* data, std::size_t size) {
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    judge("m.safetensors", bytes);
    judge("m.safetensors", safetensors("{" + bytes, std::string(16, 'd')));
    Choices choices = choices_from({data, size});
    judge("m.safetensors", odd_file(choices));
    return 0;
}
