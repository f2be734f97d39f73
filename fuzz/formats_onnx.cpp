// links: formats
// The bytes as a whole file, as a graph in a model, and as decisions of a generator of messages whose lengths are right.
#include "formats.hpp"

using namespace vramd;
using namespace vramd::fuzz;
using namespace vramd::formats::hand_built;

namespace {
/// Any message: fields of any number up to 26 and any wire type, nested with true lengths.
std::string odd_message(Choices& choices, u64 depth) {
    std::string bytes;
    for (u64 i = 0, count = choices.below(6); i < count && !choices.exhausted(); ++i) {
        const u32 number = static_cast<u32>(choices.below(27));
        switch (choices.below(depth < 8 ? 6 : 4)) {
            case 0:
                bytes += field(number, odd_number(choices));
                break;
            case 1:
                bytes += field_float(number, 1.0F);
                break;
            case 2:
                bytes += field(number, odd_name(choices));
                break;
            case 3:
                bytes += field(number, std::string(choices.below(40), static_cast<char>(choices.below(256))));
                break;
            default:
                bytes += field(number, odd_message(choices, depth + 1));
                break;
        }
    }
    return bytes;
}

std::string odd_tensor(Choices& choices) {
    std::vector<u64> shape(choices.below(4));
    for (u64& dimension : shape) dimension = choices.one_in(5) ? odd_number(choices) : choices.below(4);
    const u64 type = choices.below(28);
    std::string content;
    switch (choices.below(6)) {
        case 0:
            content = raw_data(std::string(choices.below(32), 'r'));
            break;
        case 1:
            content = external(odd_name(choices), choices.one_in(2) ? "" : std::to_string(odd_number(choices)),
                               choices.one_in(2) ? "" : std::to_string(choices.below(32)));
            break;
        case 2:
            content = field(choices.one_in(4) ? 4 : 10, std::string(choices.below(9) * 4, 'f'));
            break;
        case 3:
            content = odd_message(choices, 6);
            break;
        default:
            for (u64 i = 0, count = choices.below(9); i < count; ++i)
                content += field(choices.one_in(3) ? 7 : choices.one_in(3) ? 11 : 5, odd_number(choices));
            break;
    }
    return tensor(choices.one_in(4) ? odd_name(choices) : "t" + std::to_string(choices.taken().size()), type, shape, content);
}

std::string odd_graph(Choices& choices, u64 depth) {
    std::string bytes;
    for (u64 i = 0, count = choices.below(5); i < count && !choices.exhausted(); ++i) {
        const std::string output = choices.one_in(4) ? odd_name(choices) : "o" + std::to_string(choices.taken().size());
        switch (choices.below(depth < 40 ? 6 : 3)) {
            case 0:
                bytes += initializer(odd_tensor(choices));
                break;
            case 1:
                bytes += node("Constant", output, attribute("value", field(5, odd_tensor(choices))));
                break;
            case 2:
                bytes += node("Constant", output, attribute(odd_name(choices), odd_message(choices, 4)));
                break;
            case 3:
                bytes += field(15, field(1, odd_tensor(choices)) + field(2, odd_tensor(choices)) + field(3, odd_number(choices)));
                break;
            default:
                bytes += node("If", output, attribute("b", field(choices.one_in(3) ? 11 : 6, odd_graph(choices, depth + 1))));
                break;
        }
    }
    return bytes;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const u8* data, std::size_t size) {
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    judge("m.onnx", bytes);
    judge("m.onnx", onnx(bytes));
    Choices graph = choices_from({data, size});
    judge("m.onnx", onnx(odd_graph(graph, 0)));
    Choices message = choices_from({data, size});
    judge("m.onnx", onnx(odd_message(message, 0), field(25, odd_message(message, 0))));
    return 0;
}
