/// The text of `--device`: which devices there shall be and how large.
///
/// Grammar: `auto` | `host[:NAME][=SIZE]` | `cuda[:INDEX|:UUID][=SIZE]` | `d3d12[:INDEX][=SIZE]`; SIZE is digits with B, KiB, MiB, GiB or
/// TiB (no unit: bytes), or a percentage `1%`…`100%` of what is available at the start. A NAME has 1 to 32 of `a-z 0-9 -`, begins
/// with a letter. A host device without a name is `host0`, then `host1` and so on; one without a size gets half of what is available.
/// A GPU without INDEX is the first; one without a size gets 90 % of what is free. An adapter of Direct3D 12 likewise, with half of what is
/// free, for that may be the system's memory. `auto` is host0 and every GPU that CUDA can use: not Direct3D's adapters, which may be the
/// same GPUs again, or no hardware at all.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vramd::device {
/// How large a device shall be: bytes, or a share of what is available when the daemon starts.
struct Size {
    enum class Unit : u8 { bytes, percent };
    Unit unit = Unit::percent;
    u64 amount = 50;
    bool operator==(const Size&) const = default;
};

enum class SpecKind : u8 {
    host,
    cuda,
    every_cuda,  ///< Those that can be opened, if any.
    d3d12,
};

/// One device to open.
struct Spec {
    std::string id;  ///< "host0", "a"; empty for a GPU, which is named once it is found.
    Size size;
    SpecKind kind = SpecKind::host;
    std::string which = {};  ///< Of a GPU: index or UUID, of an adapter its index; empty: the first.
    bool operator==(const Spec&) const = default;
};

/// Parses one SIZE. Errors: `invalid_field` "size", in words: empty, not a number, unknown unit, 0, above 100 %, above 2^63 − 1.
[[nodiscard]] Result<Size> parse_size(std::string_view text);

/// Parses all `--device` texts together; none at all means `auto`. Errors: `invalid_field` "device" (malformed, or a name given
/// twice).
[[nodiscard]] Result<std::vector<Spec>> parse_specs(std::span<const std::string> texts);

/// The size in bytes, rounded down to `granularity_bytes`. Errors: `invalid_field` when nothing is left.
[[nodiscard]] Result<u64> resolve_size(const Size& size, u64 available_bytes, u64 granularity_bytes);
}  // namespace vramd::device
