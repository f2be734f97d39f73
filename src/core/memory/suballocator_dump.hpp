/// A sub-allocator's layout for a program (JSON) and for the eye (SVG). Both are bounded, however many ranges there are.
#pragma once
#include <string>

#include "core/memory/suballocator.hpp"

namespace vramd::memory {
/// One JSON object: the statistics, then `ranges` in address order, each `{"kind":"live"|"hole","offsetBytes","sizeBytes"}`, a live one
/// with `requestedBytes`. After `ranges_max` of them the list ends and `truncated` is true. O(live); at most about 100 bytes a range.
[[nodiscard]] std::string dump_json(const SubAllocator& space, u64 ranges_max);

/// A picture of 32 rows, the space's start at the top left: the darker a cell, the larger the part of it that is live. Its size is
/// bounded by the number of cells (4,096; at most 400 KiB). O(live).
[[nodiscard]] std::string dump_svg(const SubAllocator& space);
}  // namespace vramd::memory
