#include "ipc/tensor_table.hpp"

#include <bit>
#include <cstring>

#include "base/checksum.hpp"
#include "base/range.hpp"

namespace vramd::ipc {
namespace {
static_assert(std::endian::native == std::endian::little, "the table's grammar is little-endian and so is every machine vramd runs on");
constexpr std::string_view magic = "VRAMDTT2";
constexpr u32 format_bytes_max = 32;
constexpr u32 file_name_bytes_max = 4096;
constexpr u32 metadata_key_bytes_max = 64 * 1024;
constexpr u32 metadata_value_bytes_max = 1u << 20;

std::unexpected<Error> broken(std::string_view part) {
    return refuse(Code::invalid_model, "table", "The loading process sent a tensor table that is wrong at: " + std::string(part) + ".");
}

/// Whether the bytes are UTF-8 (RFC 3629: no surrogates, no overlong forms) without NUL.
bool is_text(std::string_view text) {
    std::size_t at = 0;
    while (at < text.size()) {
        const auto lead = static_cast<unsigned char>(text[at]);
        if (lead == 0) return false;
        if (lead < 0x80) {
            ++at;
            continue;
        }
        const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
        if (lead < 0xc2 || lead > 0xf4 || text.size() - at < length) return false;
        for (std::size_t i = 1; i < length; ++i)
            if ((static_cast<unsigned char>(text[at + i]) & 0xc0) != 0x80) return false;
        const auto second = static_cast<unsigned char>(text[at + 1]);
        if (lead == 0xe0 && second < 0xa0) return false;   // Overlong.
        if (lead == 0xed && second >= 0xa0) return false;  // Surrogate.
        if (lead == 0xf0 && second < 0x90) return false;   // Overlong.
        if (lead == 0xf4 && second >= 0x90) return false;  // Beyond U+10FFFF.
        at += length;
    }
    return true;
}

class Writer {
public:
    explicit Writer(u64 bytes_max) : bytes_max_(bytes_max) {}
    void raw(std::string_view bytes) {
        if (bytes_.size() + bytes.size() > bytes_max_) full_ = true;
        if (!full_) bytes_.append(bytes);
    }
    template <class Integer>
    void number(Integer value) {
        raw({reinterpret_cast<const char*>(&value), sizeof value});
    }
    void text(std::string_view value) {
        number(static_cast<u32>(value.size()));
        raw(value);
    }
    [[nodiscard]] bool full() const { return full_; }
    [[nodiscard]] std::string take() { return std::move(bytes_); }

private:
    std::string bytes_;
    u64 bytes_max_;
    bool full_ = false;
};

/// Reads forward; each step checks that its bytes are there.
class Reader {
public:
    explicit Reader(std::span<const std::byte> bytes) : left_(bytes) {}
    [[nodiscard]] u64 left_bytes() const { return left_.size(); }
    Result<std::string_view> raw(u64 size, std::string_view part) {
        if (size > left_.size()) return broken(part);
        const std::string_view taken(reinterpret_cast<const char*>(left_.data()), size);
        left_ = left_.subspan(size);
        return taken;
    }
    template <class Integer>
    Result<Integer> number(std::string_view part) {
        TRY(const auto bytes, raw(sizeof(Integer), part));
        Integer value{};
        std::memcpy(&value, bytes.data(), sizeof value);
        return value;
    }
    Result<std::string> text(u32 bytes_max, std::string_view part) {
        TRY(const u32 size, number<u32>(part));
        if (size > bytes_max) return broken(part);
        TRY(const auto bytes, raw(size, part));
        if (!is_text(bytes)) return broken(part);
        return std::string(bytes);
    }
    /// A count of things of which each takes at least `each_bytes`: so no count can make us reserve more than came.
    Result<u32> count(u32 max, u64 each_bytes, std::string_view part) {
        TRY(const u32 value, number<u32>(part));
        if (value > max || value > left_bytes() / each_bytes) return broken(part);
        return value;
    }

private:
    std::span<const std::byte> left_;
};

Result<Tensor> read_tensor(Reader& reader, u64 memory_bytes) {
    Tensor tensor;
    TRY(tensor.name, reader.text(table_name_bytes_max, "tensor name"));
    TRY(tensor.dtype, reader.text(table_dtype_bytes_max, "tensor dtype"));
    if (tensor.name.empty() || tensor.dtype.empty()) return broken("empty tensor name or dtype");
    TRY(const u8 rank, reader.number<u8>("tensor rank"));
    if (rank > table_rank_max) return broken("tensor rank");
    tensor.shape.resize(rank);
    for (u64& dimension : tensor.shape) {
        TRY(dimension, reader.number<u64>("tensor shape"));
        if (dimension > number_max) return broken("tensor shape");
    }
    TRY(tensor.offset_bytes, reader.number<u64>("tensor offset"));
    TRY(tensor.size_bytes, reader.number<u64>("tensor size"));
    if (!Range::within(memory_bytes, tensor.offset_bytes, tensor.size_bytes)) return broken("tensor range");
    return tensor;
}

Result<TableCopy> read_copy(Reader& reader, u64 memory_bytes, u64 after_bytes) {
    TableCopy copy;
    TRY(copy.file, reader.number<u32>("copy file"));
    TRY(copy.file_offset_bytes, reader.number<u64>("copy offset"));
    TRY(copy.size_bytes, reader.number<u64>("copy size"));
    TRY(copy.memory_offset_bytes, reader.number<u64>("copy place"));
    if (copy.file > table_files_max || copy.size_bytes == 0) return broken("copy");
    if (!Range::within(number_max, copy.file_offset_bytes, copy.size_bytes)) return broken("copy offset");
    if (copy.memory_offset_bytes < after_bytes || !Range::within(memory_bytes, copy.memory_offset_bytes, copy.size_bytes))
        return broken("copy place");
    return copy;
}

bool within_caps(const TensorTable& table) {
    bool fits = table.tensors.size() <= table_tensors_max && table.metadata.size() <= table_metadata_max &&
                table.needed_files.size() <= table_files_max && table.copies.size() <= table_copies_max &&
                table.format.size() <= format_bytes_max;
    for (const std::string& name : table.needed_files) fits = fits && name.size() <= file_name_bytes_max;
    for (const Tensor& tensor : table.tensors)
        fits = fits && tensor.name.size() <= table_name_bytes_max && tensor.dtype.size() <= table_dtype_bytes_max &&
               tensor.shape.size() <= table_rank_max;
    for (const TableMetadata& entry : table.metadata)
        fits = fits && entry.key.size() <= metadata_key_bytes_max && entry.value.size() <= metadata_value_bytes_max;
    return fits;
}
}  // namespace

u64 names_checksum(std::span<const std::string> names) {
    u64 sum = names.size();
    for (const std::string& name : names) sum = checksum(std::as_bytes(std::span(name)), sum);
    return sum;
}

Result<std::string> encode_table(const TensorTable& table, u64 bytes_max) {
    if (!within_caps(table)) return refuse(Code::too_large, "table", "The model's table of tensors is beyond what vramd takes.");
    Writer writer(bytes_max);
    writer.raw(magic);
    writer.text(table.format);
    writer.number(table.memory_bytes);
    writer.number(table.tensor_bytes);
    writer.number(static_cast<u32>(table.needed_files.size()));
    for (const std::string& name : table.needed_files) writer.text(name);
    writer.number(static_cast<u32>(table.tensors.size()));
    for (const Tensor& tensor : table.tensors) {
        writer.text(tensor.name);
        writer.text(tensor.dtype);
        writer.number(static_cast<u8>(tensor.shape.size()));
        for (const u64 dimension : tensor.shape) writer.number(dimension);
        writer.number(tensor.offset_bytes);
        writer.number(tensor.size_bytes);
    }
    writer.number(static_cast<u32>(table.metadata.size()));
    for (const TableMetadata& entry : table.metadata) {
        writer.text(entry.key);
        writer.text(entry.value);
    }
    writer.number(static_cast<u32>(table.copies.size()));
    for (const TableCopy& copy : table.copies) {
        writer.number(copy.file);
        writer.number(copy.file_offset_bytes);
        writer.number(copy.size_bytes);
        writer.number(copy.memory_offset_bytes);
    }
    writer.number(table.decoded_bytes);
    if (writer.full())
        return refuse(Code::too_large, "table", "The model's table of tensors is beyond " + std::to_string(bytes_max) + " bytes.");
    return writer.take();
}

Result<TensorTable> decode_table(std::span<const std::byte> bytes) {
    if (bytes.size() > table_bytes_max) return broken("size");
    Reader reader(bytes);
    TRY(const auto start, reader.raw(magic.size(), "magic"));
    if (start != magic) return broken("magic");
    TensorTable table;
    TRY(table.format, reader.text(format_bytes_max, "format"));
    TRY(table.memory_bytes, reader.number<u64>("memory size"));
    TRY(table.tensor_bytes, reader.number<u64>("tensor bytes"));
    if (table.memory_bytes > number_max || table.tensor_bytes > table.memory_bytes) return broken("memory size");
    TRY(const u32 files, reader.count(table_files_max, sizeof(u32), "file count"));
    for (u32 i = 0; i < files; ++i) {
        TRY(auto name, reader.text(file_name_bytes_max, "file name"));
        if (name.empty()) return broken("empty file name");
        table.needed_files.push_back(std::move(name));
    }
    constexpr u64 tensor_bytes_min = 2 * sizeof(u32) + sizeof(u8) + 2 * sizeof(u64);
    TRY(const u32 tensors, reader.count(table_tensors_max, tensor_bytes_min, "tensor count"));
    table.tensors.reserve(tensors);
    for (u32 i = 0; i < tensors; ++i) {
        TRY(auto tensor, read_tensor(reader, table.memory_bytes));
        table.tensors.push_back(std::move(tensor));
    }
    TRY(const u32 entries, reader.count(table_metadata_max, 2 * sizeof(u32), "metadata count"));
    for (u32 i = 0; i < entries; ++i) {
        TRY(auto key, reader.text(metadata_key_bytes_max, "metadata key"));
        TRY(auto value, reader.text(metadata_value_bytes_max, "metadata value"));
        table.metadata.push_back({std::move(key), std::move(value)});
    }
    constexpr u64 copy_bytes = sizeof(u32) + 3 * sizeof(u64);
    TRY(const u32 copies, reader.count(table_copies_max, copy_bytes, "copy count"));
    table.copies.reserve(copies);
    u64 after_bytes = 0;
    for (u32 i = 0; i < copies; ++i) {
        TRY(const TableCopy copy, read_copy(reader, table.memory_bytes, after_bytes));
        after_bytes = copy.memory_offset_bytes + copy.size_bytes;
        table.copies.push_back(copy);
    }
    TRY(table.decoded_bytes, reader.number<u64>("decoded bytes"));
    if (table.decoded_bytes > table.memory_bytes) return broken("decoded bytes");
    if (reader.left_bytes() != 0) return broken("bytes after the end");
    return table;
}
}  // namespace vramd::ipc
