#include "formats/safetensors.hpp"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "base/range.hpp"
#include "formats/json_events.hpp"
#include "formats/limits.hpp"
#include "formats/refusal.hpp"

namespace vramd::formats {
namespace {
constexpr std::string_view header_place = "header";
constexpr u64 length_bytes = 8;

/// Listens to the header. Where it is in the JSON is `level_` and, inside a tensor, the member whose value comes next.
class HeaderListener : public JsonListener {
public:
    explicit HeaderListener(u32 file_index) : file_index_(file_index) {}
    TensorList tensors;
    std::vector<Metadata> metadata;

    Result<void> object_begins() override {
        if (level_ == Level::outside) return enter(Level::header);
        if (level_ == Level::header) return enter(name_ == "__metadata__" ? Level::metadata : Level::tensor);
        return invalid(place(), "an object stands where the format has none");
    }
    Result<void> object_ends() override {
        const Level left = level_;
        level_ = left == Level::header ? Level::outside : Level::header;
        return left == Level::tensor ? finish_tensor() : Result<void>();
    }
    Result<void> array_begins() override {
        if (level_ != Level::tensor || in_array_ || (member_ != Member::shape && member_ != Member::offsets))
            return invalid(place(), "an array stands where the format has none");
        in_array_ = true;
        return {};
    }
    Result<void> array_ends() override {
        in_array_ = false;
        return {};
    }
    Result<void> key(std::string_view text) override {
        if (level_ == Level::tensor) return member_key(text);
        if (level_ == Level::metadata) {
            metadata_key_ = text;
            if (++pair_count_ > safetensors_pair_count_max)
                return beyond("__metadata__", "the number of pairs", pair_count_, safetensors_pair_count_max);
            if (std::ranges::find(metadata, text, &Metadata::key) != metadata.end())
                return invalid("__metadata__", "a key occurs twice in it");
            return {};
        }
        name_ = text;
        if (name_ != "__metadata__") return check_name(header_place, name_);
        if (metadata_seen_) return invalid("__metadata__", "it occurs twice");
        metadata_seen_ = true;
        return {};
    }
    Result<void> string(std::string_view text) override {
        if (level_ == Level::metadata) {
            keep(metadata, metadata_key_, text);
            return {};
        }
        if (level_ != Level::tensor || member_ != Member::dtype) return invalid(place(), "a text stands where the format has none");
        dtype_ = safetensors_dtype(text);
        if (!dtype_) return invalid(place(), "its dtype '", place_text(text), "' is unknown");
        return {};
    }
    Result<void> number(u64 value) override {
        if (!in_array_) return invalid(place(), "a number stands where the format has none");
        if (member_ == Member::shape) {
            if (shape_.size() == rank_max) return beyond(place(), "the number of dimensions", rank_max + 1, rank_max);
            shape_.push_back(value);
            return {};
        }
        if (offset_count_ == offsets_.size()) return invalid(place(), "data_offsets has more than two numbers");
        offsets_[offset_count_++] = value;
        return {};
    }
    Result<void> other(std::string_view text) override {
        return invalid(place(), "'", place_text(text), "' stands where the format has none");
    }

private:
    enum class Level : u8 { outside, header, metadata, tensor };
    enum class Member : u8 { none, dtype, shape, offsets };

    std::string_view place() const { return level_ == Level::outside || name_.empty() ? header_place : std::string_view(name_); }

    Result<void> enter(Level level) {
        level_ = level;
        dtype_.reset();
        shape_.clear();
        offset_count_ = 0;
        member_ = Member::none;
        members_seen_ = 0;
        return {};
    }
    Result<void> member_key(std::string_view text) {
        member_ = text == "dtype"          ? Member::dtype
                  : text == "shape"        ? Member::shape
                  : text == "data_offsets" ? Member::offsets
                                           : Member::none;
        if (member_ == Member::none) return invalid(place(), "it has an unknown member '", place_text(text), "'");
        const u8 bit = static_cast<u8>(1U << static_cast<u8>(member_));
        if ((members_seen_ & bit) != 0) return invalid(place(), "its member '", text, "' occurs twice");
        members_seen_ |= bit;
        return {};
    }
    Result<void> finish_tensor() {
        if (!dtype_ || (members_seen_ & (1U << static_cast<u8>(Member::shape))) == 0 || offset_count_ != 2)
            return invalid(name_, "it needs the members dtype, shape and data_offsets with two numbers");
        if (offsets_[1] < offsets_[0]) return invalid(name_, "data_offsets end at ", offsets_[1], ", before they begin at ", offsets_[0]);
        TRY(const u64 elements, element_count(name_, shape_));
        if (elements % dtype_->block_elements != 0)
            return invalid(name_, elements, " elements of ", dtype_->name, " do not fill whole bytes");
        TRY(const u64 size_bytes, size_of(name_, *dtype_, elements));
        if (offsets_[1] - offsets_[0] != size_bytes)
            return invalid(name_, "data_offsets span ", offsets_[1] - offsets_[0], " bytes; shape and dtype need ", size_bytes);
        Found found{};
        found.name = name_;
        found.dtype = dtype_->name;
        found.shape = shape_;
        found.size_bytes = size_bytes;
        found.storage = size_bytes == 0 ? Storage::none : Storage::plain;
        found.file = file_index_;
        found.offset_bytes = offsets_[0];
        return tensors.add(std::move(found));
    }

    u32 file_index_;
    Level level_ = Level::outside;
    Member member_ = Member::none;
    u8 members_seen_ = 0;
    bool in_array_ = false;
    bool metadata_seen_ = false;
    std::string name_;
    std::string metadata_key_;
    std::optional<Dtype> dtype_;
    std::vector<u64> shape_;
    std::array<u64, 2> offsets_{};
    std::size_t offset_count_ = 0;
    u64 pair_count_ = 0;
};

Result<u64> header_length(Window& file) {
    if (file.size_bytes() < length_bytes + 2)
        return invalid(header_place, "the file has ", file.size_bytes(), " bytes; a safetensors file has at least 10");
    TRY(const auto bytes, file.view(0, length_bytes));
    u64 length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    const u64 limit = std::min(safetensors_header_bytes_max, file.size_bytes() - length_bytes);
    if (length > limit) return beyond(header_place, "the header's length", length, limit);
    if (length < 2) return invalid(header_place, "the header's length is ", length, "; it is at least 2");
    return length;
}

/// The format's rule: sorted by offset, each tensor begins where the one before ends, and the last ends with the file.
Result<void> check_no_holes(std::vector<Found>& tensors, u64 data_bytes) {
    std::ranges::sort(tensors, {},
                      [](const Found& found) { return std::tuple(found.offset_bytes, found.size_bytes, std::string_view(found.name)); });
    u64 end_bytes = 0;
    for (const Found& found : tensors) {
        if (found.offset_bytes != end_bytes)
            return invalid(found.name, "it begins at ", found.offset_bytes, ", but the tensor before it ends at ", end_bytes,
                           found.offset_bytes < end_bytes ? ": they overlap" : ": there is a hole");
        const auto range = Range::within(data_bytes, found.offset_bytes, found.size_bytes);
        if (!range)
            return invalid(found.name, "it ends beyond the file: ", found.size_bytes, " bytes at ", found.offset_bytes, " of ", data_bytes);
        end_bytes = range->end_bytes();
    }
    if (end_bytes != data_bytes)
        return invalid(header_place, "the tensors end at ", end_bytes, " bytes, but the file holds ", data_bytes, " after its header");
    return {};
}
}  // namespace

Result<bool> looks_like_safetensors(Window& file) {
    if (file.size_bytes() < length_bytes + 2 || !header_length(file)) return false;
    TRY(const auto bytes, file.view(length_bytes, 1));
    return bytes[0] == std::byte{'{'};
}

Result<Header> read_safetensors(Source& source, u32 file_index) {
    Window file(source);
    TRY(const u64 length, header_length(file));
    {
        TRY(const auto first, file.view(length_bytes, 1));
        if (first[0] != std::byte{'{'}) return invalid(header_place, "the header does not begin with '{'");
    }
    HeaderListener listener(file_index);
    TRY_DO(read_json(file, length_bytes, length, header_place, listener));
    Header header{listener.tensors.take(), std::move(listener.metadata)};
    TRY_DO(check_unique_names(header.tensors));
    TRY_DO(check_no_holes(header.tensors, file.size_bytes() - length_bytes - length));
    for (Found& found : header.tensors) found.offset_bytes += length_bytes + length;  // Inside the file now, so no sum wraps.
    return header;
}
}  // namespace vramd::formats
