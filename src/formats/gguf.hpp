/// GGUF, versions 2 and 3, little-endian: a table of metadata and a table of tensors, then the tensors' bytes.
///
///     file    = "GGUF" u32 version, u64 tensor_count, u64 pair_count, pair*, tensor*, padding to the alignment, data
///     pair    = text key, u32 type, value;   text = u64 length, bytes;   array = u32 type, u64 count, value*
///     tensor  = text name, u32 rank, u64 dimension*rank (innermost first), u32 ggml_type, u64 offset into data
///
/// The alignment is the pair `general.alignment`, 32 without it; every offset is a multiple of it. Rows are whole blocks of their type.
/// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once
#include "formats/layout.hpp"

namespace vramd::formats {
/// True for the magic number, whatever follows.
[[nodiscard]] Result<bool> looks_like_gguf(Source& source);
[[nodiscard]] Result<Header> read_gguf(Source& source);
}  // namespace vramd::formats
