/// Prints a model's tensors with a checksum of each, read in place from the daemon's memory. Build it with an installed libvramd:
///     g++ -std=c++17 tensors.cpp $(pkg-config --cflags --libs vramd) -o tensors
///     ./tensors silero_vad.onnx
#include <cstdio>
#include <vector>
#include <vramd.hpp>

namespace {
int say(const vramd::client::Error& error) {
    std::fprintf(stderr, "tensors: %s (%s)\n", error.message.c_str(), error.code.c_str());
    for (const std::string& suggestion : error.suggestions) std::fprintf(stderr, "  Try: %s\n", suggestion.c_str());
    return 1;
}
}  // namespace

int main(int argument_count, char** arguments) {
    if (argument_count < 2) {
        std::fprintf(stderr, "usage: tensors MODEL [SOCKET]\n");
        return 2;
    }
    auto client = vramd::client::Client::connect(argument_count > 2 ? arguments[2] : "");
    if (!client) return say(client.error());
    const auto model = client->load(arguments[1]);
    if (!model) return say(model.error());
    std::printf("%s %s, %llu bytes\n", model->name().c_str(), model->format().c_str(),
                static_cast<unsigned long long>(model->size_bytes()));
    std::vector<std::byte> copy;
    for (const auto& tensor : model->tensors()) {
        const std::byte* data = tensor.data;
        if (tensor.device_address !=
            0) {  // On a GPU, where the processor sees nothing: a program that computes there would read it in place.
            copy.resize(tensor.size_bytes);
            if (const auto error = model->copy_out(tensor, copy.data())) return say(*error);
            data = copy.data();
        }
        std::uint64_t sum = 14695981039346656037u;  // FNV-1a, 64 bits.
        for (std::uint64_t i = 0; i < tensor.size_bytes; ++i) sum = (sum ^ static_cast<std::uint64_t>(data[i])) * 1099511628211u;
        std::printf("%s %s %llu %016llx\n", tensor.name.c_str(), tensor.dtype.c_str(), static_cast<unsigned long long>(tensor.size_bytes),
                    static_cast<unsigned long long>(sum));
    }
    return 0;
}
