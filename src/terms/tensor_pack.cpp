#include "terms/tensor_pack.hpp"

#include <algorithm>
#include <compare>
#include <cstring>
#include <map>

namespace vramd {
namespace {
/// What few tensors have to themselves.
struct Kind {
    std::string dtype;
    std::vector<u64> shape;
    u64 size_bytes = 0;
    auto operator<=>(const Kind&) const = default;
};

class Writer {
public:
    explicit Writer(std::vector<std::byte>& out) : out_(out) {}
    void byte(u8 value) { out_.push_back(std::byte{value}); }
    void varint(u64 value) {
        for (; value >= 0x80; value >>= 7) byte(static_cast<u8>(value | 0x80));
        byte(static_cast<u8>(value));
    }
    void text(std::string_view text) {
        varint(text.size());
        const std::size_t end = out_.size();
        out_.resize(end + text.size());
        if (!text.empty()) std::memcpy(out_.data() + end, text.data(), text.size());
    }
    /// Small distances either way take few bytes.
    void zigzag(u64 distance) { varint(distance << 1 ^ (distance >> 63 != 0 ? ~u64{0} : 0)); }

private:
    std::vector<std::byte>& out_;
};

/// After the first fault every further read yields zeros.
class Reader {
public:
    explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}
    u8 byte() {
        if (rest_.empty()) {
            failed_ = true;
            return 0;
        }
        const u8 value = static_cast<u8>(rest_.front());
        rest_ = rest_.subspan(1);
        return value;
    }
    u64 varint() {
        u64 value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            const u8 part = byte();
            value |= u64{part & 0x7fu} << shift;
            if (part < 0x80) return value;
        }
        failed_ = true;
        return 0;
    }
    std::string_view text() {
        const u64 size = varint();
        if (size > rest_.size()) {
            failed_ = true;
            return {};
        }
        const std::string_view text(reinterpret_cast<const char*>(rest_.data()), size);
        rest_ = rest_.subspan(size);
        return text;
    }
    u64 zigzag() {
        const u64 value = varint();
        return value >> 1 ^ ((value & 1) != 0 ? ~u64{0} : 0);
    }
    void fail() { failed_ = true; }
    [[nodiscard]] bool failed() const { return failed_; }
    [[nodiscard]] u64 left() const { return rest_.size(); }

private:
    std::span<const std::byte> rest_;
    bool failed_ = false;
};

void write_name(Writer& writer, const std::string& before, const std::string& name) {
    const std::size_t shorter = std::min(before.size(), name.size());
    const auto differs = std::mismatch(before.begin(), before.begin() + static_cast<std::ptrdiff_t>(shorter), name.begin());
    const auto prefix = static_cast<std::size_t>(differs.first - before.begin());
    std::size_t suffix = 0;
    while (suffix < shorter - prefix && before[before.size() - 1 - suffix] == name[name.size() - 1 - suffix]) ++suffix;
    writer.varint(prefix);
    writer.varint(suffix);
    writer.text(std::string_view(name).substr(prefix, name.size() - prefix - suffix));
}

std::string read_name(Reader& reader, const std::string& before) {
    const u64 prefix = reader.varint();
    const u64 suffix = reader.varint();
    const std::string_view middle = reader.text();
    if (prefix > before.size() || suffix > before.size() - prefix) {
        reader.fail();
        return {};
    }
    return before.substr(0, prefix).append(middle).append(before, before.size() - suffix, suffix);
}

void write_kind(Writer& writer, std::map<Kind, u64>& kinds, const Tensor& tensor) {
    const auto [found, is_new] = kinds.try_emplace({tensor.dtype, tensor.shape, tensor.size_bytes}, kinds.size() + 1);
    writer.varint(is_new ? 0 : found->second);
    if (!is_new) return;
    writer.text(tensor.dtype);
    writer.varint(tensor.shape.size());
    for (const u64 dimension : tensor.shape) writer.varint(dimension);
    writer.varint(tensor.size_bytes);
}

Kind read_kind(Reader& reader, std::vector<Kind>& kinds) {
    const u64 number = reader.varint();
    if (number != 0) {
        if (number <= kinds.size()) return kinds[number - 1];
        reader.fail();
        return {};
    }
    Kind kind;
    kind.dtype = reader.text();
    const u64 rank = reader.varint();
    if (rank > reader.left()) reader.fail();  // Each dimension takes a byte or more.
    for (u64 i = 0; i < rank && !reader.failed(); ++i) kind.shape.push_back(reader.varint());
    kind.size_bytes = reader.varint();
    return kinds.emplace_back(std::move(kind));
}
}  // namespace

void pack_tensors(const std::vector<Tensor>& tensors, std::vector<std::byte>& out) {
    Writer writer(out);
    writer.varint(tensors.size());
    std::map<Kind, u64> kinds;
    const Tensor none;
    const Tensor* before = &none;
    for (const Tensor& tensor : tensors) {
        write_name(writer, before->name, tensor.name);
        write_kind(writer, kinds, tensor);
        writer.zigzag(tensor.offset_bytes - (before->offset_bytes + before->size_bytes));
        before = &tensor;
    }
}

Result<std::vector<Tensor>> unpack_tensors(std::span<const std::byte> bytes) {
    Reader reader(bytes);
    const u64 count = reader.varint();
    std::vector<Tensor> tensors;
    std::vector<Kind> kinds;
    Tensor tensor;
    for (u64 i = 0; i < count && !reader.failed(); ++i) {
        tensor.name = read_name(reader, tensor.name);
        const u64 end = tensor.offset_bytes + tensor.size_bytes;
        Kind kind = read_kind(reader, kinds);
        tensor.dtype = std::move(kind.dtype);
        tensor.shape = std::move(kind.shape);
        tensor.size_bytes = kind.size_bytes;
        tensor.offset_bytes = end + reader.zigzag();
        tensors.push_back(tensor);
    }
    if (reader.failed() || reader.left() != 0) return refuse(Code::system_failed, "tensors", "A packed list of tensors is broken.");
    return tensors;
}

void Tensor::pack(const std::vector<Tensor>& tensors, std::vector<std::byte>& out) { pack_tensors(tensors, out); }
bool Tensor::unpack(std::span<const std::byte> bytes, std::vector<Tensor>& tensors) {
    auto unpacked = unpack_tensors(bytes);
    if (unpacked) tensors = *std::move(unpacked);
    return unpacked.has_value();
}
}  // namespace vramd
