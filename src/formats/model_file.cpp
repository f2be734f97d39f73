#include "formats/model_file.hpp"

#include <algorithm>

#include "formats/gguf.hpp"
#include "formats/layout.hpp"
#include "formats/limits.hpp"
#include "formats/onnx.hpp"
#include "formats/refusal.hpp"
#include "formats/safetensors.hpp"

namespace vramd::formats {
namespace {
constexpr std::string_view field = "file";

/// True if the first character that is no space is `{`.
Result<bool> looks_like_json(Window& file) {
    if (file.size_bytes() == 0) return false;
    TRY(const auto start, file.some(0, window_bytes));
    const auto first = std::ranges::find_if(
        start, [](std::byte b) { return std::string_view(" \t\r\n").find(static_cast<char>(b)) == std::string_view::npos; });
    return first != start.end() && *first == std::byte{'{'};
}

/// The main file's "" and then the further ones.
std::vector<std::string> with_main(const std::vector<std::string>& further) {
    std::vector<std::string> files{""};
    files.insert(files.end(), further.begin(), further.end());
    return files;
}

Result<void> check_source_count(std::span<Source* const> sources, std::size_t further) {
    if (sources.size() == further + 1) return {};
    return refuse(Code::invalid_field, "sources", sources.size(), further + 1);
}
}  // namespace

std::string_view name_of(Format format) {
    switch (format) {
        case Format::safetensors:
            return "safetensors";
        case Format::safetensors_index:
            return "safetensors-index";
        case Format::gguf:
            return "gguf";
        case Format::onnx:
            return "onnx";
    }
    return {};
}

Result<Format> recognise(std::string_view file_name, Source& source) {
    TRY(const bool gguf, looks_like_gguf(source));
    if (gguf) return Format::gguf;
    Window file(source);
    TRY(const bool safetensors, looks_like_safetensors(file));
    if (safetensors) return Format::safetensors;
    TRY(const bool json, looks_like_json(file));
    if (json) return Format::safetensors_index;
    TRY(const bool onnx, looks_like_onnx(source));
    if (onnx) return Format::onnx;
    // Nothing fits, so the name says whose reader shall explain what is wrong.
    if (file_name.ends_with(".safetensors")) return Format::safetensors;
    if (file_name.ends_with(".safetensors.index.json")) return Format::safetensors_index;
    if (file_name.ends_with(".gguf")) return Format::gguf;
    if (file_name.ends_with(".onnx")) return Format::onnx;
    return invalid(field, "the file of ", file.size_bytes(), " bytes is neither safetensors, an index of safetensors, GGUF nor ONNX");
}

Result<std::vector<std::string>> needed_files(Format format, Source& main) {
    if (format == Format::safetensors_index) {
        TRY(auto index, read_shard_index(main));
        return std::move(index.files);
    }
    if (format == Format::onnx) {
        TRY(auto onnx, read_onnx(main));
        return std::move(onnx.files);
    }
    return std::vector<std::string>();
}

Result<Plan> plan(Format format, std::span<Source* const> sources) {
    if (sources.empty()) return refuse(Code::invalid_field, "sources", 0, 1);
    Source& main = *sources[0];
    switch (format) {
        case Format::safetensors: {
            TRY_DO(check_source_count(sources, 0));
            TRY(auto header, read_safetensors(main, 0));
            return lay_out(format, with_main({}), sources, std::move(header));
        }
        case Format::safetensors_index: {
            TRY(auto index, read_shard_index(main));
            TRY_DO(check_source_count(sources, index.files.size()));
            auto files = with_main(index.files);
            TRY(auto header, read_shards(std::move(index), sources));
            return lay_out(format, std::move(files), sources, std::move(header));
        }
        case Format::gguf: {
            TRY_DO(check_source_count(sources, 0));
            TRY(auto header, read_gguf(main));
            return lay_out(format, with_main({}), sources, std::move(header));
        }
        case Format::onnx: {
            TRY(auto onnx, read_onnx(main));
            TRY_DO(check_source_count(sources, onnx.files.size()));
            return lay_out(format, with_main(onnx.files), sources, std::move(onnx.header));
        }
    }
    return refuse(Code::invalid_field, "format", static_cast<u64>(format), static_cast<u64>(Format::onnx));
}
}  // namespace vramd::formats
