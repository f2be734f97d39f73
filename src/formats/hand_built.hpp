/// For this room's tests and fuzzers: files in memory, a loader over them, and builders of small files byte by byte.
#pragma once
#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/range.hpp"
#include "formats/model_file.hpp"
#include "formats/plan_audit.hpp"

namespace vramd::formats::hand_built {
/// A file in memory. Counts what is read, so that a test can say that weights were not.
class MemoryFile : public Source {
public:
    explicit MemoryFile(std::string bytes) : bytes_(std::move(bytes)) {}
    u64 size_bytes() const override { return claimed_size_bytes ? *claimed_size_bytes : bytes_.size(); }
    Result<void> read(u64 offset_bytes, std::span<std::byte> into) override {
        TRY_DO(Range::within(size_bytes(), offset_bytes, into.size()));
        std::ranges::fill(into, std::byte{0});
        if (offset_bytes < bytes_.size())
            std::memcpy(into.data(), bytes_.data() + offset_bytes, std::min<u64>(into.size(), bytes_.size() - offset_bytes));
        read_bytes += into.size();
        return {};
    }
    std::optional<u64> claimed_size_bytes;  ///< A sparse file: zeroes up to here.
    u64 read_bytes = 0;

private:
    std::string bytes_;
};

struct Loaded {
    Plan plan;
    std::string memory;
    [[nodiscard]] const Tensor& tensor(std::string_view name) const {
        for (const Tensor& tensor : plan.tensors)
            if (tensor.name == name) return tensor;
        static const Tensor none;
        return none;
    }
    [[nodiscard]] std::string bytes(std::string_view name) const {
        const Tensor& found = tensor(name);
        return memory.substr(found.memory_offset_bytes, found.size_bytes);
    }
};

/// Loads `main` and, by name, what it needs, into memory of exactly the plan's size; holds the plan against its promises.
/// Errors: the room's; `not_found` for a further file that is not there; `conflict` if the plan breaks a promise.
inline Result<Loaded> load(std::string_view file_name, std::string main, const std::map<std::string, std::string>& others = {}) {
    std::vector<std::unique_ptr<MemoryFile>> files;
    files.push_back(std::make_unique<MemoryFile>(std::move(main)));
    TRY(const auto format, recognise(file_name, *files[0]));
    TRY(const auto needed, needed_files(format, *files[0]));
    for (const std::string& name : needed) {
        if (!others.contains(name)) return refuse(Code::not_found, name, "the test has no such file");
        files.push_back(std::make_unique<MemoryFile>(others.at(name)));
    }
    std::vector<Source*> sources;
    std::vector<u64> sizes;
    for (const auto& file : files) {
        sources.push_back(file.get());
        sizes.push_back(file->size_bytes());
    }
    Loaded loaded;
    TRY(loaded.plan, plan(format, sources));
    if (auto kept = audit(loaded.plan, sizes); !kept) return refuse(Code::conflict, kept.error().field, kept.error().detail);
    constexpr u64 memory_bytes_max = 64 * mib;  // A fuzzer's file claims at most eight times its size, so this is never met.
    if (loaded.plan.memory_bytes > memory_bytes_max) return refuse(Code::conflict, "memory", loaded.plan.memory_bytes, memory_bytes_max);
    std::vector<std::byte> memory(loaded.plan.memory_bytes, std::byte{0xa5});
    for (const Copy& copy : loaded.plan.copies)
        TRY_DO(files[copy.file]->read(copy.file_offset_bytes, std::span(memory).subspan(copy.memory_offset_bytes, copy.size_bytes)));
    for (const Decode& item : loaded.plan.decodes)
        TRY_DO(decode(item, *files[item.file], std::span(memory).subspan(item.memory_offset_bytes, item.memory_size_bytes)));
    loaded.memory.assign(reinterpret_cast<const char*>(memory.data()), memory.size());
    return loaded;
}

/// The little-endian bytes of a number.
template <class T>
std::string raw(T value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
}

/// safetensors: the header's text and the bytes after it.
inline std::string safetensors(const std::string& header, const std::string& data) { return raw(u64{header.size()}) + header + data; }

// GGUF
inline std::string gguf_text(std::string_view text) { return raw(u64{text.size()}) + std::string(text); }
inline std::string gguf_pair(std::string_view key, u32 type, const std::string& value) { return gguf_text(key) + raw(type) + value; }
/// `shape` in GGUF's own order: innermost first.
inline std::string gguf_tensor(std::string_view name, const std::vector<u64>& shape, u32 type, u64 offset) {
    std::string bytes = gguf_text(name) + raw(static_cast<u32>(shape.size()));
    for (const u64 dimension : shape) bytes += raw(dimension);
    return bytes + raw(type) + raw(offset);
}
inline std::string gguf(u32 version, const std::vector<std::string>& pairs, const std::vector<std::string>& tensors,
                        const std::string& data, u64 alignment = 32) {
    std::string bytes = "GGUF" + raw(version) + raw(u64{tensors.size()}) + raw(u64{pairs.size()});
    for (const auto& pair : pairs) bytes += pair;
    for (const auto& tensor : tensors) bytes += tensor;
    bytes.resize(round_up(bytes.size(), alignment), '\xee');
    return bytes + data;
}

// Protobuf
inline std::string varint(u64 value) {
    std::string bytes;
    for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
    return bytes + static_cast<char>(value);
}
inline std::string field(u32 number, u64 value) { return varint(u64{number} << 3) + varint(value); }
inline std::string field(u32 number, const std::string& content) { return varint(u64{number} << 3 | 2) + varint(content.size()) + content; }
inline std::string field(u32 number, const char* content) { return field(number, std::string(content)); }
inline std::string field_float(u32 number, float value) { return varint(u64{number} << 3 | 5) + raw(value); }

// ONNX
inline std::string onnx(const std::string& graph, const std::string& more = "") { return field(1, u64{8}) + field(7, graph) + more; }
/// A TensorProto of this data type and shape; `content` holds its values.
inline std::string tensor(std::string_view name, u64 type, const std::vector<u64>& shape, const std::string& content) {
    std::string bytes;
    for (const u64 dimension : shape) bytes += field(1, dimension);
    return bytes + field(2, type) + field(8, std::string(name)) + content;
}
inline std::string raw_data(const std::string& bytes) { return field(9, bytes); }
inline std::string initializer(const std::string& tensor_message) { return field(5, tensor_message); }
inline std::string attribute(std::string_view name, const std::string& content) { return field(5, field(1, std::string(name)) + content); }
inline std::string node(std::string_view op, std::string_view output, const std::string& attributes) {
    return field(1, field(2, std::string(output)) + field(4, std::string(op)) + attributes);
}
inline std::string external(std::string_view location, std::string_view offset, std::string_view length) {
    const auto entry = [](std::string_view key, std::string_view value) {
        return value.empty() ? std::string() : field(13, field(1, std::string(key)) + field(2, std::string(value)));
    };
    return entry("location", location) + entry("offset", offset) + entry("length", length) + field(14, u64{1});
}
}  // namespace vramd::formats::hand_built
