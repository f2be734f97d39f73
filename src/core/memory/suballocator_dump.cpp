#include "core/memory/suballocator_dump.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

namespace vramd::memory {
namespace {
constexpr u64 rows = 32;
constexpr u64 columns = 128;
constexpr u64 cell_width = 8;
constexpr u64 row_height = 14;
constexpr u64 head_height = 24;
constexpr u64 shades = 8;  ///< 0: all free, 8: all live; a cell that is only partly one of them is never drawn as wholly so.

void field(std::string& text, std::string_view name, u64 value) {
    text += '"';
    text += name;
    text += "\":";
    text += std::to_string(value);
}

void attribute(std::string& text, std::string_view name, u64 value) {
    text += ' ';
    text += name;
    text += "=\"";
    text += std::to_string(value);
    text += '"';
}

/// Live bytes of each cell.
std::vector<u64> live_bytes_of_cells(const SubAllocator& space, u64 cell_bytes) {
    std::vector<u64> cells(rows * columns, 0);
    space.for_each_live([&](const LiveRange& range) {
        const u64 end = range.offset_bytes + range.granted_bytes;
        for (u64 at = range.offset_bytes; at < end;) {
            const u64 cell = at / cell_bytes;
            const u64 stop = std::min(end, (cell + 1) * cell_bytes);
            cells[cell] += stop - at;
            at = stop;
        }
    });
    return cells;
}

u64 shade_of(u64 live_bytes, u64 cell_bytes) {
    if (live_bytes == 0) return 0;
    if (live_bytes == cell_bytes) return shades;
    return std::clamp<u64>(static_cast<u64>(u128{live_bytes} * shades / cell_bytes), 1, shades - 1);
}
}  // namespace

std::string dump_json(const SubAllocator& space, u64 ranges_max) {
    const SubAllocatorStats stats = space.stats();
    std::string text = "{";
    const auto total = [&](std::string_view name, u64 value) {
        field(text, name, value);
        text += ',';
    };
    total("capacityBytes", stats.capacity_bytes);
    total("granuleBytes", space.granule_bytes());
    total("usedBytes", stats.used_bytes);
    total("requestedBytes", stats.requested_bytes);
    total("freeBytes", stats.free_bytes);
    total("largestFreeBytes", stats.largest_free_bytes);
    total("highestUsedBytes", stats.highest_used_bytes);
    total("liveCount", stats.live_count);
    total("holeCount", stats.hole_count);
    text += "\"ranges\":[";
    u64 written = 0;
    const auto range = [&](std::string_view kind, u64 offset_bytes, u64 size_bytes) {
        if (written++ != 0) text += ',';
        text += "{\"kind\":\"";
        text += kind;
        text += "\",";
        field(text, "offsetBytes", offset_bytes);
        text += ',';
        field(text, "sizeBytes", size_bytes);
    };
    u64 end = 0;
    const auto hole_up_to = [&](u64 offset_bytes) {
        if (offset_bytes == end || written >= ranges_max) return;
        range("hole", end, offset_bytes - end);
        text += '}';
    };
    space.for_each_live([&](const LiveRange& live) {
        hole_up_to(live.offset_bytes);
        end = live.offset_bytes + live.granted_bytes;
        if (written >= ranges_max) return;
        range("live", live.offset_bytes, live.granted_bytes);
        text += ',';
        field(text, "requestedBytes", live.requested_bytes);
        text += '}';
    });
    hole_up_to(stats.capacity_bytes);
    text += "],\"truncated\":";
    text += stats.live_count + stats.hole_count > written ? "true}" : "false}";
    return text;
}

std::string dump_svg(const SubAllocator& space) {
    const SubAllocatorStats stats = space.stats();
    const u64 cell_bytes = std::max(space.granule_bytes(), div_ceil(stats.capacity_bytes, rows * columns));
    const std::vector<u64> cells = live_bytes_of_cells(space, cell_bytes);
    std::string text = "<svg xmlns=\"http://www.w3.org/2000/svg\"";
    attribute(text, "width", columns * cell_width);
    attribute(text, "height", head_height + rows * row_height);
    text += " font-family=\"sans-serif\" font-size=\"13\"><text x=\"2\" y=\"16\">";
    text +=
        std::to_string(stats.used_bytes) + " of " + std::to_string(stats.capacity_bytes) + " bytes in " + std::to_string(stats.live_count);
    text += " ranges; " + std::to_string(stats.hole_count) + " holes, the largest " + std::to_string(stats.largest_free_bytes);
    text += " bytes; one cell is " + std::to_string(cell_bytes) + " bytes</text>\n";
    for (u64 cell = 0; cell < cells.size() && cell * cell_bytes < stats.capacity_bytes;) {
        const u64 row = cell / columns;
        const u64 shade = shade_of(cells[cell], cell_bytes);
        u64 after = cell + 1;  // One rectangle for a run of equal cells in a row.
        while (after / columns == row && after * cell_bytes < stats.capacity_bytes && shade_of(cells[after], cell_bytes) == shade) ++after;
        text += "<rect";
        attribute(text, "x", cell % columns * cell_width);
        attribute(text, "y", head_height + row * row_height);
        attribute(text, "width", (after - cell) * cell_width);
        attribute(text, "height", row_height - 1);
        text += shade == 0 ? " fill=\"#e8e8e8\"" : " fill=\"#1f5fa8\"";
        if (shade != 0 && shade != shades) text += " fill-opacity=\"0." + std::to_string(20 + shade * 8) + "\"";
        text += "/>\n";
        cell = after;
    }
    text += "</svg>\n";
    return text;
}
}  // namespace vramd::memory
