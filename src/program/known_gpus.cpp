#include "program/known_gpus.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <vector>

namespace vramd::program {
namespace {
constexpr std::string_view form = "vramd-gpus-2";
constexpr std::size_t fields = 7;

std::vector<std::string> split(const std::string& line) {
    std::vector<std::string> parts;
    std::istringstream stream(line);
    for (std::string part; std::getline(stream, part, '\t');) parts.push_back(part);
    return parts;
}
template <class Number>
bool read(const std::string& text, Number& number) {
    return std::from_chars(text.data(), text.data() + text.size(), number).ptr == text.data() + text.size() && !text.empty();
}
std::string one_field(std::string text) {
    std::ranges::replace_if(
        text, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
    return text;
}
}  // namespace

std::string asked_as(const device::Spec& spec) {
    const bool every = spec.kind == device::SpecKind::every_cuda;
    return (every ? "every:" : "one:") + spec.which + "=" + std::to_string(spec.size.amount) +
           (spec.size.unit == device::Size::Unit::percent ? "%" : "B");
}

KnownGpus read_known_gpus(const std::filesystem::path& file, u64 life) {
    std::ifstream in(file);
    std::string line;
    if (!std::getline(in, line) || line != std::string(form) + "\t" + std::to_string(life)) return {};
    KnownGpus gpus;
    while (std::getline(in, line)) {
        const std::vector<std::string> parts = split(line);
        device::cuda::Known known;
        if (parts.size() != fields || !read(parts[1], known.index) || !read(parts[2], known.capacity_bytes) ||
            !read(parts[3], known.granularity_bytes) || known.granularity_bytes == 0 || known.index < 0)
            return {};
        known.name = parts[4];
        known.driver = parts[5];
        known.uuid = parts[6];
        gpus.emplace(parts[0], std::move(known));
    }
    return gpus;
}

void keep_known_gpus(const std::filesystem::path& file, u64 life, const KnownGpus& gpus) {
    std::filesystem::path aside = file;
    aside += ".new";
    {
        std::ofstream out(aside, std::ios::trunc);
        out << form << '\t' << life << '\n';
        for (const auto& [asked, gpu] : gpus)
            out << asked << '\t' << gpu.index << '\t' << gpu.capacity_bytes << '\t' << gpu.granularity_bytes << '\t' << one_field(gpu.name)
                << '\t' << one_field(gpu.driver) << '\t' << one_field(gpu.uuid) << '\n';
        if (!out.flush()) return;
    }
    std::error_code ignored;  // Then the old one stays.
    std::filesystem::rename(aside, file, ignored);
}
}  // namespace vramd::program
