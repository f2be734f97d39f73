#include "formats/gguf.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>

#include "base/range.hpp"
#include "formats/limits.hpp"
#include "formats/refusal.hpp"
#include "formats/window.hpp"

namespace vramd::formats {
namespace {
constexpr std::string_view header_place = "header";
constexpr std::array magic = {std::byte{'G'}, std::byte{'G'}, std::byte{'U'}, std::byte{'F'}};

enum class Type : u32 { u8_, i8_, u16_, i16_, u32_, i32_, f32_, bool_, text, array, u64_, i64_, f64_ };
/// Bytes of one value, by type; 0 where they vary.
constexpr std::array<u64, 13> type_bytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
constexpr std::array<std::string_view, 13> type_names = {"u8",   "i8",   "u16",   "i16", "u32", "i32", "f32",
                                                         "bool", "text", "array", "u64", "i64", "f64"};

template <class T>
std::string number_text(std::span<const std::byte> bytes) {
    T value{};
    std::memcpy(&value, bytes.data(), sizeof value);
    std::array<char, 32> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
    return {text.data(), end};
}

std::string scalar_text(Type type, std::span<const std::byte> bytes) {
    switch (type) {
        case Type::u8_:
            return number_text<u8>(bytes);
        case Type::i8_:
            return number_text<std::int8_t>(bytes);
        case Type::u16_:
            return number_text<u16>(bytes);
        case Type::i16_:
            return number_text<std::int16_t>(bytes);
        case Type::u32_:
            return number_text<u32>(bytes);
        case Type::i32_:
            return number_text<i32>(bytes);
        case Type::f32_:
            return number_text<float>(bytes);
        case Type::bool_:
            return bytes[0] == std::byte{0} ? "false" : "true";
        case Type::u64_:
            return number_text<u64>(bytes);
        case Type::i64_:
            return number_text<i64>(bytes);
        case Type::f64_:
            return number_text<double>(bytes);
        case Type::text:
        case Type::array:
            break;
    }
    return {};
}

/// Reads the header from front to end.
class Reader {
public:
    explicit Reader(Source& source) : file_(source), end_bytes_(std::min(file_.size_bytes(), gguf_header_bytes_max)) {}

    Result<Header> read() {
        TRY_DO(read_start());
        for (u64 i = 0; i < pair_count_; ++i) TRY_DO(read_pair());
        TensorList tensors;
        for (u64 i = 0; i < tensor_count_; ++i) {
            TRY(auto found, read_tensor());
            TRY_DO(tensors.add(std::move(found)));
        }
        return finish(tensors.take());
    }

private:
    Result<std::span<const std::byte>> take(std::string_view place, u64 size_bytes) {
        if (const auto range = Range::within(end_bytes_, at_bytes_, size_bytes); !range)
            return invalid(place, size_bytes, " bytes are needed at ", at_bytes_, ", but the header cannot go beyond ", end_bytes_);
        TRY(const auto bytes, file_.view(at_bytes_, size_bytes));
        at_bytes_ += size_bytes;
        return bytes;
    }
    template <class T>
    Result<T> take_number(std::string_view place) {
        TRY(const auto bytes, take(place, sizeof(T)));
        T value{};
        std::memcpy(&value, bytes.data(), sizeof value);
        return value;
    }
    /// Moves on without reading.
    Result<void> skip(std::string_view place, u64 count, u64 each_bytes) {
        const u128 size = u128{count} * each_bytes;
        if (size > end_bytes_ - at_bytes_)
            return invalid(place, count, " values of ", each_bytes, " bytes at ", at_bytes_, " do not fit; the header cannot go beyond ",
                           end_bytes_);
        at_bytes_ += static_cast<u64>(size);
        return {};
    }
    /// A text of at most `size_max_bytes`.
    Result<std::string> take_text(std::string_view place, u64 size_max_bytes) {
        TRY(const u64 size, take_number<u64>(place));
        if (size > size_max_bytes) return beyond(place, "the length of a text", size, size_max_bytes);
        TRY(const auto bytes, take(place, size));
        return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    Result<Type> take_type(std::string_view place) {
        TRY(const u32 type, take_number<u32>(place));
        if (type >= type_bytes.size()) return beyond(place, "the type of a metadata value", type, type_bytes.size() - 1);
        return static_cast<Type>(type);
    }

    Result<void> read_start() {
        TRY(const auto start, take(header_place, magic.size()));
        if (!std::ranges::equal(start, magic)) return invalid(header_place, "the file does not begin with GGUF");
        TRY(const u32 version, take_number<u32>(header_place));
        if (version != 0 && version << 16 == 0)
            return refuse(Code::unsupported, header_place, "the file is big-endian GGUF; only little-endian is read");
        if (version == 1) return refuse(Code::unsupported, header_place, "the file is GGUF version 1; versions 2 and 3 are read");
        if (version != 2 && version != 3) return invalid(header_place, "the GGUF version is ", version, "; versions 2 and 3 are read");
        TRY(tensor_count_, take_number<u64>(header_place));
        TRY(pair_count_, take_number<u64>(header_place));
        if (tensor_count_ > tensor_count_max) return beyond(header_place, "the number of tensors", tensor_count_, tensor_count_max);
        if (pair_count_ > gguf_metadata_count_max)
            return beyond(header_place, "the number of metadata pairs", pair_count_, gguf_metadata_count_max);
        return {};
    }

    Result<void> read_pair() {
        TRY(const auto key, take_text(header_place, 65535));
        TRY(const Type type, take_type(key));
        if (key == "general.alignment") return read_alignment(key, type);
        if (type == Type::text) return read_text(key);
        if (type == Type::array) {
            TRY(const auto told, read_array(key, 1));
            keep(metadata_, key, told);
            return {};
        }
        TRY(const auto bytes, take(key, type_bytes[static_cast<u32>(type)]));
        std::string told = scalar_text(type, bytes);
        // Half a model that looks whole would be worse than none.
        if (key == "split.count" && told != "0" && told != "1")
            return refuse(Code::unsupported, key,
                          say("the file is one of ", told, " parts of a split model; join them with llama-gguf-split --merge"));
        keep(metadata_, key, told);
        return {};
    }
    Result<void> read_alignment(std::string_view key, Type type) {
        if (type != Type::u32_) return invalid(key, "it is not a u32");
        if (alignment_seen_) return invalid(key, "it occurs twice");
        alignment_seen_ = true;
        TRY(const u32 value, take_number<u32>(key));
        if (!std::has_single_bit(value) || value < 8)
            return invalid(key, "the alignment is ", value, "; it must be a power of two from 8 on");
        if (value > gguf_alignment_max) return beyond(key, "the alignment", value, gguf_alignment_max);
        alignment_ = value;
        keep(metadata_, key, std::to_string(value));
        return {};
    }
    Result<void> read_text(std::string_view key) {
        TRY(const u64 size, take_number<u64>(key));
        const u64 kept = std::min(size, metadata_value_bytes_max + 4);  // A character more than is kept, so that the cut falls between two.
        TRY(const auto bytes, take(key, kept));
        keep(metadata_, key, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
        return skip(key, size - kept, 1);
    }
    /// Skips an array and tells it by its type and length.
    Result<std::string> read_array(std::string_view key, u64 depth) {
        if (depth > gguf_array_depth_max) return beyond(key, "the nesting of arrays", depth, gguf_array_depth_max);
        TRY(const Type type, take_type(key));
        TRY(const u64 count, take_number<u64>(key));
        const u64 each = type_bytes[static_cast<u32>(type)];
        if (each != 0) TRY_DO(skip(key, count, each));
        for (u64 i = 0; each == 0 && i < count; ++i) {
            if (type == Type::array) {
                TRY_DO(read_array(key, depth + 1));
                continue;
            }
            TRY(const u64 size, take_number<u64>(key));
            TRY_DO(skip(key, size, 1));
        }
        return say(count, " × ", type_names[static_cast<u32>(type)]);
    }

    Result<Found> read_tensor() {
        Found found{};
        TRY(found.name, take_text(header_place, name_bytes_max));
        TRY_DO(check_name(header_place, found.name));
        TRY(const u32 rank, take_number<u32>(found.name));
        if (rank > gguf_rank_max) return beyond(found.name, "the number of dimensions", rank, gguf_rank_max);
        for (u32 i = 0; i < rank; ++i) {
            TRY(const u64 dimension, take_number<u64>(found.name));
            found.shape.push_back(dimension);
        }
        TRY(const u32 type, take_number<u32>(found.name));
        TRY(found.offset_bytes, take_number<u64>(found.name));
        const auto dtype = ggml_dtype(type);
        if (!dtype) return invalid(found.name, "its ggml type ", type, " is unknown");
        const u64 row = found.shape.empty() ? 1 : found.shape.front();
        if (row % dtype->block_elements != 0)
            return invalid(found.name, "its rows have ", row, " elements, not whole blocks of ", dtype->block_elements, " as ", dtype->name,
                           " has them");
        std::ranges::reverse(found.shape);
        TRY(const u64 elements, element_count(found.name, found.shape));
        TRY(found.size_bytes, size_of(found.name, *dtype, elements));
        found.dtype = dtype->name;
        found.storage = found.size_bytes == 0 ? Storage::none : Storage::plain;
        return found;
    }

    /// Makes the offsets, relative to the data, offsets in the file.
    Result<Header> finish(std::vector<Found> tensors) {
        const u64 data_offset = round_up(at_bytes_, alignment_);
        for (Found& found : tensors) {
            if (found.offset_bytes % alignment_ != 0)
                return invalid(found.name, "its offset ", found.offset_bytes, " is not a multiple of the alignment ", alignment_);
            if (found.storage == Storage::none) continue;
            const u64 data_bytes = file_.size_bytes() - std::min(file_.size_bytes(), data_offset);
            if (const auto range = Range::within(data_bytes, found.offset_bytes, found.size_bytes); !range)
                return invalid(found.name, "its ", found.size_bytes, " bytes at ", found.offset_bytes, " do not lie in the file's ",
                               data_bytes, " bytes of data");
            found.offset_bytes += data_offset;
        }
        return Header{std::move(tensors), std::move(metadata_)};
    }

    Window file_;
    u64 end_bytes_;
    u64 at_bytes_ = 0;
    u64 tensor_count_ = 0;
    u64 pair_count_ = 0;
    u64 alignment_ = 32;
    bool alignment_seen_ = false;
    std::vector<Metadata> metadata_;
};
}  // namespace

Result<bool> looks_like_gguf(Source& source) {
    Window file(source);
    if (file.size_bytes() < magic.size()) return false;
    TRY(const auto start, file.view(0, magic.size()));
    return std::ranges::equal(start, magic);
}

Result<Header> read_gguf(Source& source) { return Reader(source).read(); }
}  // namespace vramd::formats
