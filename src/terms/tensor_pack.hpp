/// The ledger's form of a list of tensors: each one told by what differs from the one before it.
///
/// A model has up to some 2^18 tensors, and its table has to fit into one record of the ledger. Neighbours in a file differ by little: a
/// digit of the layer's number, a word of the name; there are few kinds (dtype, shape and size), and a tensor begins where the one before
/// ended. So a tensor takes some 18 bytes here instead of 100 and more.
///
/// Grammar: list = varint(count) tensor×count; the tensor before the first one has an empty name, offset 0 and size 0.
///   tensor = varint(prefix) varint(suffix) text(middle) varint(kind) [text(dtype) varint(rank) varint×rank varint(size)] zigzag(gap)
///   text   = varint(length) bytes
/// name = the first `prefix` bytes of the name before, `middle`, the last `suffix` bytes of the name before. kind 0: a new one follows in
/// brackets; else the kind-th new one of this list. offset = the offset before + the size before + gap, modulo 2^64.
#pragma once
#include <span>
#include <vector>

#include "base/result.hpp"
#include "terms/model.hpp"

namespace vramd {
/// Appends the list.
void pack_tensors(const std::vector<Tensor>& tensors, std::vector<std::byte>& out);
/// What `pack_tensors` wrote, and nothing after it. Memory used is bounded by the bytes times the longest name. Errors: `system_failed`.
[[nodiscard]] Result<std::vector<Tensor>> unpack_tensors(std::span<const std::byte> bytes);
}  // namespace vramd
