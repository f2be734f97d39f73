#include "formats/plan_audit.hpp"

#include <algorithm>
#include <bit>

#include "base/range.hpp"
#include "formats/limits.hpp"
#include "formats/refusal.hpp"

namespace vramd::formats {
namespace {
/// Bytes of memory that one copy or decode writes, or one tensor has.
struct Extent {
    u64 offset_bytes;
    u64 end_bytes;
    auto operator<=>(const Extent&) const = default;
};

Result<Extent> inside(std::string_view place, u64 space_bytes, u64 offset_bytes, u64 size_bytes) {
    const auto range = Range::within(space_bytes, offset_bytes, size_bytes);
    if (!range) return invalid(place, size_bytes, " bytes at ", offset_bytes, " lie outside ", space_bytes);
    return Extent{range->offset_bytes(), range->end_bytes()};
}

Result<std::vector<Extent>> audit_writes(const Plan& plan, std::span<const u64> file_sizes) {
    std::vector<Extent> writes;
    for (const Copy& copy : plan.copies) {
        if (copy.file >= file_sizes.size() || copy.size_bytes == 0) return invalid("copies", "a copy is empty or of no file");
        TRY_DO(inside("copies", file_sizes[copy.file], copy.file_offset_bytes, copy.size_bytes));
        TRY(const Extent extent, inside("copies", plan.memory_bytes, copy.memory_offset_bytes, copy.size_bytes));
        writes.push_back(extent);
    }
    for (const Decode& item : plan.decodes) {
        if (item.file >= file_sizes.size() || item.memory_size_bytes == 0 || !std::has_single_bit(item.element_bytes) ||
            item.element_bytes > 8 || item.memory_size_bytes % item.element_bytes != 0)
            return invalid("decodes", "a decode is empty, of no file or of broken elements");
        TRY_DO(inside("decodes", file_sizes[item.file], item.file_offset_bytes, item.file_size_bytes));
        TRY(const Extent extent, inside("decodes", plan.memory_bytes, item.memory_offset_bytes, item.memory_size_bytes));
        writes.push_back(extent);
    }
    std::ranges::sort(writes);
    for (std::size_t i = 1; i < writes.size(); ++i)
        if (writes[i].offset_bytes < writes[i - 1].end_bytes) return invalid("memory", "two writes overlap at ", writes[i].offset_bytes);
    return writes;
}

Result<Extent> audit_tensor(const Tensor& tensor, u64 memory_bytes, std::span<const Extent> writes) {
    TRY(const Extent extent, inside(tensor.name, memory_bytes, tensor.memory_offset_bytes, tensor.size_bytes));
    const u64 alignment =
        std::clamp(std::bit_ceil(std::min(tensor.size_bytes, alignment_bytes_max)), alignment_bytes_min, alignment_bytes_max);
    if (extent.offset_bytes % alignment != 0) return invalid(tensor.name, "its offset is not a multiple of ", alignment);
    const auto after = std::ranges::upper_bound(writes, extent.offset_bytes, {}, &Extent::offset_bytes);
    if (after == writes.begin() || std::prev(after)->end_bytes < extent.end_bytes) return invalid(tensor.name, "no single write fills it");
    return extent;
}
}  // namespace

Result<void> audit(const Plan& plan, std::span<const u64> file_sizes) {
    if (plan.files.size() != file_sizes.size() || plan.files.empty() || !plan.files[0].empty())
        return invalid("files", "they are not as many as their sizes");
    TRY(const auto writes, audit_writes(plan, file_sizes));
    std::vector<Extent> extents;
    std::vector<std::string_view> names;
    for (const Tensor& tensor : plan.tensors) {
        TRY_DO(check_name("tensors", tensor.name));
        names.push_back(tensor.name);
        if (tensor.size_bytes == 0) continue;
        TRY(const Extent extent, audit_tensor(tensor, plan.memory_bytes, writes));
        extents.push_back(extent);
    }
    std::ranges::sort(names);
    if (std::ranges::adjacent_find(names) != names.end()) return invalid("tensors", "a name occurs twice");
    std::ranges::sort(extents);
    extents.erase(std::ranges::unique(extents).begin(), extents.end());
    u64 tensor_bytes = 0;
    for (std::size_t i = 0; i < extents.size(); ++i) {
        if (i > 0 && extents[i].offset_bytes < extents[i - 1].end_bytes)
            return invalid("tensors", "two overlap at ", extents[i].offset_bytes);
        tensor_bytes += extents[i].end_bytes - extents[i].offset_bytes;
    }
    if (tensor_bytes != plan.tensor_bytes) return invalid("tensors", "their sum is ", tensor_bytes, ", not ", plan.tensor_bytes);
    const u64 used_bytes = extents.empty() ? 0 : extents.back().end_bytes;
    if (used_bytes != plan.memory_bytes) return invalid("memory", "it is ", plan.memory_bytes, " bytes; ", used_bytes, " are used");
    return {};
}
}  // namespace vramd::formats
