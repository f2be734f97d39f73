/// The table of a model's tensors as it crosses from the loader to the core, and its bytes.
///
/// A table outgrows a frame, so it travels through memory that the core makes, caps and lends. Its writer may be hostile: the core copies
/// the bytes first (they could change under it), then reads the copy with every length, count, name and range checked.
///
/// Grammar, little-endian, nothing between, nothing after:
///   table    = "VRAMDTT2" text(format) u64(memory_bytes) u64(tensor_bytes) u32(n) text×n(needed) u32(n) tensor×n u32(n) (text text)×n
///              u32(n) copy×n u64(decoded_bytes)
///   tensor   = text(name) text(dtype) u8(rank) u64×rank u64(offset_bytes) u64(size_bytes)
///   copy     = u32(file) u64(file_offset_bytes) u64(size_bytes) u64(memory_offset_bytes)
///   text     = u32(length) bytes, UTF-8 without NUL
///
/// Invariants of a decoded table
/// - every tensor's [offset, offset + size) lies within memory_bytes; tensor_bytes ≤ memory_bytes ≤ number_max;
/// - copies ascend in memory without overlap and lie within memory_bytes, so together they are no larger; whether a file has the bytes that
///   are to come from it, only reading them tells;
/// - names, dtypes, files and metadata are UTF-8 within the caps below; a needed file's name is relative (`open_beneath` checks it again).
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "terms/model.hpp"

namespace vramd::ipc {
inline constexpr u64 table_bytes_max = 64 * mib;  ///< Also the size of the lent table memory.
inline constexpr u32 table_tensors_max = 1u << 20;
inline constexpr u32 table_metadata_max = 1u << 16;
inline constexpr u32 table_files_max = 1024;
inline constexpr u32 table_copies_max = 1u << 20;
inline constexpr u32 table_name_bytes_max = 64 * 1024;
inline constexpr u32 table_dtype_bytes_max = 32;
inline constexpr u32 table_rank_max = 64;

/// One entry of the file's own metadata, as text.
struct TableMetadata {
    std::string key;
    std::string value;
    bool operator==(const TableMetadata&) const = default;
};
/// Bytes of a file that go into memory as they are.
struct TableCopy {
    u32 file = 0;  ///< 0: the main file; i: the one that `needed_files` named at i − 1.
    u64 file_offset_bytes = 0;
    u64 size_bytes = 0;           ///< Not 0.
    u64 memory_offset_bytes = 0;  ///< From the start of the model's memory.
    bool operator==(const TableCopy&) const = default;
};
/// All that a header says. While `needed_files` is not empty, the rest may be incomplete: open them and ask again.
struct TensorTable {
    std::string format;    ///< "safetensors", "gguf" or "onnx".
    u64 memory_bytes = 0;  ///< Exactly what a load needs, padding included.
    u64 tensor_bytes = 0;  ///< Of those, bytes that belong to tensors.
    std::vector<std::string> needed_files;
    std::vector<Tensor> tensors;  ///< Offsets count from the start of the model's memory.
    std::vector<TableMetadata> metadata;
    std::vector<TableCopy> copies;
    u64 decoded_bytes = 0;  ///< What no copy brings: values that the loading process must decode into memory itself.
    bool operator==(const TensorTable&) const = default;
};

/// Binds a list of file names and its order: both ends compare it instead of passing the names again.
[[nodiscard]] u64 names_checksum(std::span<const std::string> names);

/// The table's bytes. Errors: `too_large` (over `bytes_max`, or over a cap above).
[[nodiscard]] Result<std::string> encode_table(const TensorTable& table, u64 bytes_max = table_bytes_max);
/// The table in these bytes, which the caller owns and nobody else can write. Memory used is bounded by a small multiple of their size.
/// Errors: `invalid_model`, naming the part that is wrong.
[[nodiscard]] Result<TensorTable> decode_table(std::span<const std::byte> bytes);
}  // namespace vramd::ipc
