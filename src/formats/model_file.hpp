/// Model files, read without trust: bytes → a checked table of tensors and a plan of which bytes go where in memory.
///
/// A model file is the one input that a stranger wrote and that is gigabytes long, so this room parses it and does nothing else: it
/// opens no file, starts no thread, keeps no state between calls, and needs at most `scratch_bytes_max` beyond the table it returns.
/// Its caller (the loader process) owns the files and the memory. The order of calls:
///
///     recognise → needed_files → (the caller opens those) → plan → (the caller gets `memory_bytes` of memory) → copies and decodes
///
/// Everything in a `Plan` is checked against the files' true sizes before a byte of a tensor is read:
/// 1. every `Copy` and `Decode` lies inside its file and inside [0, memory_bytes), and no two write the same byte of memory;
/// 2. every tensor lies inside [0, memory_bytes), its size is what its shape and dtype say, and each of its bytes is written by one
///    `Copy` or `Decode`;
/// 3. two tensors either share all their bytes (tied, stored once) or none;
/// 4. names are unique, valid UTF-8 and not empty; file names are relative and stay beneath the main file's folder.
///
/// Sources: safetensors, https://github.com/huggingface/safetensors#format · GGUF,
/// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md · ONNX, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto and
/// docs/ExternalData.md there. Models are little-endian, as are all machines that vramd runs on.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vramd::formats {
/// One open file, readable at any offset; the caller's. Only ever used by one thread at a time.
class Source {
public:
    virtual ~Source() = default;
    /// The file's size now. A file that shrinks afterwards must make `read` fail.
    [[nodiscard]] virtual u64 size_bytes() const = 0;
    /// Fills `into` from the file's bytes at `offset_bytes`, all of it or an error. This room only asks for ranges inside `size_bytes()`.
    [[nodiscard]] virtual Result<void> read(u64 offset_bytes, std::span<std::byte> into) = 0;
};

enum class Format : u8 {
    safetensors,        ///< One file.
    safetensors_index,  ///< `*.safetensors.index.json`: names the shards that hold the tensors.
    gguf,               ///< Version 2 or 3, little-endian.
    onnx,               ///< One protobuf, perhaps with external data files.
};

/// "safetensors", "safetensors-index", "gguf" or "onnx".
[[nodiscard]] std::string_view name_of(Format format);

/// One tensor. Equal members mean the same thing in every format.
struct Tensor {
    /// As the file says. ONNX has no name for a tensor inside a node, a subgraph or a function, so those get a path:
    /// a Constant node's value has the name of the node's output; another node's tensor attribute is `OUTPUT.ATTRIBUTE`; what lies in a
    /// subgraph is `OUTPUT.ATTRIBUTE/NAME`, in a function `DOMAIN.FUNCTION/NAME` (OUTPUT: the node's first output, or `OPTYPE#INDEX`).
    /// The parts of a sparse tensor are `NAME.values` and `NAME.indices`; its dense shape is the metadata `sparse.NAME`.
    std::string name;
    /// One vocabulary for all formats: bool u2 i2 u4 i4 u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64 c64 c128 string,
    /// f8_e4m3 f8_e5m2 f8_e4m3fnuz f8_e5m2fnuz f8_e8m0 f6_e2m3 f6_e3m2 f4_e2m1, and ggml's block types by their names in lower case
    /// (q4_0, q6_k, iq2_xxs, tq1_0, mxfp4, …). Elements below 8 bits are packed. A `string` tensor (ONNX) is listed with its shape but
    /// has no bytes in memory: size 0.
    std::string dtype;
    std::vector<u64> shape;       ///< Outermost dimension first in every format (GGUF's own order is reversed here); empty: a scalar.
    u64 size_bytes = 0;           ///< Exact, without padding; 0 if some dimension is 0.
    u64 memory_offset_bytes = 0;  ///< Aligned to clamp(bit_ceil(size_bytes), 16, 256); 0 for an empty tensor.
    bool operator==(const Tensor&) const = default;
};

/// Bytes that go into memory as they are. Neighbours are already merged; a merged copy carries the few bytes between its tensors too.
struct Copy {
    u32 file = 0;  ///< Index into `Plan::files` and the sources.
    u64 file_offset_bytes = 0;
    u64 size_bytes = 0;  ///< Not 0; any size up to the file's: the caller splits it as its reads like it.
    u64 memory_offset_bytes = 0;
    bool operator==(const Copy&) const = default;
};

/// How a `Decode`'s values lie in the file.
enum class Encoding : u8 {
    varint,  ///< Protobuf varints, packed or not, each cut to `element_bytes`.
    fixed,   ///< Little-endian values of `element_bytes`, but scattered over several fields.
    zero,    ///< Nothing: proto3 leaves a number out that is zero.
};

/// Values that a plain copy cannot move: pass it to `decode` unread. (ONNX: the file range is the protobuf message that holds the values,
/// `field` the number of the field in it.)
struct Decode {
    u32 file = 0;
    u64 file_offset_bytes = 0;
    u64 file_size_bytes = 0;
    u64 memory_offset_bytes = 0;
    u64 memory_size_bytes = 0;  ///< Not 0; a multiple of `element_bytes`.
    u32 field = 0;
    Encoding encoding = Encoding::varint;
    u8 element_bytes = 0;  ///< 1, 2, 4 or 8 for varints; 4 or 8 for fixed.
    bool operator==(const Decode&) const = default;
};

/// Something the file says about itself. At most `metadata_count_max` of them; longer texts are cut, arrays told by their length.
struct Metadata {
    std::string key;
    std::string value;
    bool operator==(const Metadata&) const = default;
};

/// What a model is and how its bytes reach memory. A plain value.
struct Plan {
    Format format{};
    std::vector<std::string> files;  ///< [0] is "" for the main file; then the names that `needed_files` gave, in its order.
    std::vector<Tensor> tensors;     ///< In the order of their bytes: by file, then by offset; empty ones where the file lists them.
    std::vector<Copy> copies;        ///< Ascending in memory.
    std::vector<Decode> decodes;     ///< Ascending in memory.
    u64 memory_bytes = 0;            ///< Exactly what must be lent; 0 for a model without tensors (a pure graph).
    u64 tensor_bytes = 0;            ///< Sum of the tensors' sizes, tied ones once; the rest of `memory_bytes` is alignment.
    u64 table_checksum = 0;          ///< Over files, tensors, copies and decodes: equal headers give equal sums.
    std::vector<Metadata> metadata;
};

/// Which format a file has. The content decides; `file_name` only chooses which parser explains a file that fits none.
/// Errors: `invalid_model` if it fits none; what `source.read` returns.
[[nodiscard]] Result<Format> recognise(std::string_view file_name, Source& source);

/// The further files that the model needs, besides the main one: shards or external data. Each once, in order of first mention (shards:
/// sorted), at most `files_max`. Each is relative to the main file's folder, `/`-separated, without empty, `.` or `..` parts, backslashes
/// or control characters. The caller opens them beneath that folder, following no link out of it.
/// Errors: `invalid_model` (field: the place, e.g. the tensor's name); what `main.read` returns.
[[nodiscard]] Result<std::vector<std::string>> needed_files(Format format, Source& main);

/// The whole model checked and laid out. `sources[0]` is the main file, `sources[i]` the file that `needed_files` named at i − 1.
/// Reads headers only, never a tensor's bytes. Errors: `invalid_model` with the place as field and a sentence that names value and limit;
/// `unsupported` for what the format allows and vramd does not (GGUF that is big-endian, of version 1 or split into parts; segmented ONNX
/// tensors); what `read` returns.
[[nodiscard]] Result<Plan> plan(Format format, std::span<Source* const> sources);

/// Decodes one item of `Plan::decodes` from its file into memory; `memory` is exactly the item's range: `memory_size_bytes` long.
/// Reads in pieces of about 64 KiB and writes every byte of `memory`, or fails: `invalid_model` if the values are too few, too many
/// or too large for their dtype (only the count's bounds could be checked in `plan`); what `source.read` returns.
[[nodiscard]] Result<void> decode(const Decode& item, Source& source, std::span<std::byte> memory);
}  // namespace vramd::formats
