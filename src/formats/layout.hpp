/// From what a header lists to a `Plan`: the checks that all formats share, and where each tensor goes in memory.
///
/// Tensors go into memory in the order of their bytes in the files. Each starts at a multiple of its own alignment; where the distance
/// to the one before, as in the file, already gives that, the distance is kept, so that both travel in one copy.
#pragma once
#include "formats/dtype.hpp"
#include "formats/model_file.hpp"

namespace vramd::formats {
/// Where a tensor's bytes come from.
enum class Storage : u8 {
    none,     ///< It has no bytes: a dimension is 0, or its elements are strings.
    plain,    ///< [offset_bytes, offset_bytes + size) of the file.
    encoded,  ///< `Decode` of [offset_bytes, offset_bytes + stored_bytes) of the file.
};

/// One tensor as a header describes it. Its range is not checked against the file yet.
struct Found {
    std::string name;
    std::string_view dtype;  ///< Static storage: from a `Dtype`.
    std::vector<u64> shape;
    u64 size_bytes = 0;
    Storage storage = Storage::plain;
    u32 file = 0;
    u64 offset_bytes = 0;
    u64 stored_bytes = 0;  ///< Only if encoded.
    u32 field = 0;         ///< Only if encoded.
    Encoding encoding{};   ///< Only if encoded.
    u8 element_bytes = 0;  ///< Only if encoded.
};

/// All that a header says.
struct Header {
    std::vector<Found> tensors;
    std::vector<Metadata> metadata;
};

/// Adds a pair if there is room (`metadata_count_max`) and its key fits; a long value is cut between characters. Bytes that are not
/// text are told as "(not text)".
void keep(std::vector<Metadata>& metadata, std::string_view key, std::string_view value);

/// Adds a tensor. Errors: `invalid_model` beyond `tensor_count_max`, `names_bytes_max` or `dimension_count_max`.
class TensorList {
public:
    [[nodiscard]] Result<void> add(Found found);
    [[nodiscard]] std::vector<Found> take() { return std::move(found_); }

private:
    std::vector<Found> found_;
    u64 names_bytes_ = 0;
    u64 dimension_count_ = 0;
};

/// Errors: `invalid_model` for a name that occurs twice or is none (`check_name`).
[[nodiscard]] Result<void> check_unique_names(const std::vector<Found>& tensors);

/// The checked plan. `sources` are the files in the order of `files`.
/// Errors: `invalid_model` for a range outside its file, two tensors that share some bytes but not all, or a name that occurs twice.
[[nodiscard]] Result<Plan> lay_out(Format format, std::vector<std::string> files, std::span<Source* const> sources, Header header);
}  // namespace vramd::formats
