/// What a model file may ask of its reader. Each is far above what real models hold and low enough that a hostile header is refused
/// before it costs memory or time. A file beyond one of them is `invalid_model` with value and limit in the detail.
#pragma once
#include "base/types.hpp"

namespace vramd::formats {
inline constexpr u64 scratch_bytes_max = 64 * mib;        ///< Memory beyond the returned table, at any moment.
inline constexpr u64 window_bytes = 64 * kib;             ///< Files are read in pieces of this size.
inline constexpr u64 tensor_count_max = u64{1} << 19;     ///< The largest published models have about 2^18.
inline constexpr u64 names_bytes_max = 128 * mib;         ///< All tensor names together.
inline constexpr u64 name_bytes_max = 4096;               ///< One tensor's name or path.
inline constexpr u64 rank_max = 64;                       ///< Dimensions of a tensor; GGUF's own limit is 4.
inline constexpr u64 dimension_count_max = u64{1} << 22;  ///< Dimensions of all tensors together.
inline constexpr u64 gguf_rank_max = 4;
inline constexpr u64 files_max = 1024;  ///< Shards or external data files of one model.
inline constexpr u64 file_name_bytes_max = 1024;
inline constexpr u64 safetensors_header_bytes_max = 100'000'000;  ///< The reference implementation's own limit.
inline constexpr u64 index_bytes_max = 100'000'000;
inline constexpr u64 gguf_header_bytes_max = 128 * mib;          ///< Metadata and tensor table; tokenizers take up to 20 MiB.
inline constexpr u64 onnx_field_count_max = u64{1} << 24;        ///< Protobuf fields stepped over; real graphs have up to 2^20.
inline constexpr u64 onnx_attribute_list_bytes_max = 64 * mib;   ///< Numbers in one attribute; they are counted when planning.
inline constexpr u64 safetensors_pair_count_max = u64{1} << 16;  ///< Pairs in __metadata__.
inline constexpr u64 gguf_metadata_count_max = u64{1} << 20;     ///< Key-value pairs in one file.
inline constexpr u64 gguf_array_depth_max = 4;
inline constexpr u64 gguf_alignment_max = 1 * mib;
inline constexpr u64 nesting_max = 32;                 ///< Subgraphs in subgraphs; arrays and objects in JSON.
inline constexpr u64 metadata_count_max = 256;         ///< Pairs kept in a plan; further ones are not kept.
inline constexpr u64 metadata_key_bytes_max = 256;     ///< Longer keys are not kept.
inline constexpr u64 metadata_value_bytes_max = 1024;  ///< Longer values are cut.
inline constexpr u64 alignment_bytes_min = 16;         ///< Of tensors in memory.
inline constexpr u64 alignment_bytes_max = 256;
inline constexpr u64 kept_gap_bytes_max = 256;  ///< A gap between tensors in the file up to this is copied along if that saves a copy …
inline constexpr u64 kept_gap_share = 64;       ///< … or up to this fraction of the tensor after it: 1/64.
}  // namespace vramd::formats
