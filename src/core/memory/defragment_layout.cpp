/// Layouts: what of the books a plan needs, copied, so that planning needs no lock.
#include <algorithm>

#include "core/memory/defragment.hpp"

namespace vramd::memory {
namespace {
Hold hold_of(const Books& books, const Allocation& allocation, const LayoutFilter& filter) {
    const u64 serial = allocation.row.id.serial;
    const bool settled = allocation.row.status == AllocationStatus::live && books.move(serial) == nullptr;
    if (!settled || std::ranges::binary_search(filter.in_use, serial)) return Hold::in_use;
    return std::ranges::binary_search(filter.preserve, serial) ? Hold::pinned : Hold::none;
}

/// The range that an allocation takes at this offset of this block: its first place, or the one that it is being moved to.
LayoutRange range_of(const Books& books, BlockKey block, u64 offset_bytes, u64 serial, const LayoutFilter& filter) {
    const Allocation& allocation = *books.allocation_by_serial(serial);
    const AllocationRow& row = allocation.row;
    const bool first = row.block == block && row.offset_bytes == offset_bytes;
    LayoutRange range;
    range.serial = serial;
    range.offset_bytes = offset_bytes;
    range.size_bytes = row.size_bytes;
    range.granted_bytes = first ? row.granted_bytes : books.move(serial)->granted_bytes;
    range.alignment_bytes = placement_alignment_bytes(row);
    range.accessed_wall_ns = row.accessed_wall_ns;
    range.hold = hold_of(books, allocation, filter);
    return range;
}

void count_run(FreeFigures& figures, u64 bytes) {
    if (bytes == 0) return;
    figures.holes += 1;
    figures.largest_free_bytes = std::max(figures.largest_free_bytes, bytes);
}
}  // namespace

FreeFigures figures_of(const Books& books, u16 device) {
    const DeviceSums& sums = books.sums(device);
    FreeFigures figures;
    figures.capacity_bytes = books.devices()[device].capacity_bytes;
    figures.free_bytes = books.free_bytes(device);
    figures.uncommitted_bytes = books.uncommitted_bytes(device);
    figures.blocks = sums.blocks;
    figures.allocations = sums.allocations;
    count_run(figures, figures.uncommitted_bytes);
    for (const auto& [key, block] : books.blocks()) {
        if (block.row.device != device || !block.space || block.row.state == BlockState::releasing) continue;
        const SubAllocatorStats stats = block.space->stats();
        figures.holes += stats.hole_count;
        figures.largest_free_bytes = std::max(figures.largest_free_bytes, stats.largest_free_bytes);
    }
    return figures;
}

Layout layout_of(const Books& books, u16 device, const LayoutFilter& filter, u64 now_wall_ns) {
    Layout layout;
    layout.figures = figures_of(books, device);
    layout.now_wall_ns = now_wall_ns;
    for (const auto& [key, block] : books.blocks()) {
        if (block.row.device != device || block.row.kind != BlockKind::arena || block.row.state == BlockState::releasing) continue;
        LayoutBlock& copy = layout.blocks.emplace_back();
        copy.key = key;
        copy.owner = block.row.owner;
        copy.size_bytes = block.row.size_bytes;
        const bool another = !filter.owner.empty() && books.name(block.row.owner) != filter.owner;
        copy.closed = another || block.row.state != BlockState::ready || std::ranges::binary_search(filter.frozen, key);
        copy.ranges.reserve(block.allocations().size());
        for (const auto& [offset, serial] : block.allocations()) copy.ranges.push_back(range_of(books, key, offset, serial, filter));
    }
    return layout;
}

FreeFigures figures_of(const Layout& layout) {
    FreeFigures figures = layout.figures;
    figures.holes = 0;
    figures.largest_free_bytes = 0;
    count_run(figures, figures.uncommitted_bytes);
    for (const LayoutBlock& block : layout.blocks) {
        u64 end = 0;
        for (const LayoutRange& range : block.ranges) {
            count_run(figures, range.offset_bytes - end);
            end = range.offset_bytes + range.granted_bytes;
        }
        count_run(figures, block.size_bytes - end);
    }
    return figures;
}
}  // namespace vramd::memory
