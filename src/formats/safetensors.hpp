/// safetensors: 8 bytes N (little-endian), a JSON object of N bytes that begins with `{`, then the tensors' bytes without holes.
///
///     header   = { "__metadata__": {text: text, …}?, NAME: {"dtype": text, "shape": [number, …], "data_offsets": [begin, end]}, … }
///     index    = { "metadata": {…}?, "weight_map": {NAME: FILE, …} }
///
/// Source: https://github.com/huggingface/safetensors#format. Beyond it, unknown members of a tensor are refused, as are keys that occur
/// twice.
#pragma once
#include "formats/layout.hpp"
#include "formats/relative_name.hpp"
#include "formats/window.hpp"

namespace vramd::formats {
/// True if the file starts as a safetensors file does: a length that fits into the file, then `{`.
[[nodiscard]] Result<bool> looks_like_safetensors(Window& file);
/// The tensors of one file, which is `file_index` among the model's, with the format's own rules checked: the bytes after the header
/// belong to exactly one tensor each.
[[nodiscard]] Result<Header> read_safetensors(Source& source, u32 file_index);

/// Which tensor lies in which shard.
struct ShardIndex {
    struct Entry {
        std::string name;
        u32 file;
    };
    std::vector<Entry> entries;      ///< Sorted by name; no name twice.
    std::vector<std::string> files;  ///< Sorted; `Entry::file` i is files[i - 1].
    std::vector<Metadata> metadata;
};
[[nodiscard]] Result<ShardIndex> read_shard_index(Source& main);
/// The index and all its shards as one header: the tensors that the index names, each from the shard it names. Others in the shards are not
/// part of the model.
[[nodiscard]] Result<Header> read_shards(ShardIndex index, std::span<Source* const> sources);
}  // namespace vramd::formats
