#include "formats/layout.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <tuple>

#include "base/checksum.hpp"
#include "base/invariant.hpp"
#include "base/range.hpp"
#include "formats/limits.hpp"
#include "formats/refusal.hpp"

namespace vramd::formats {
static_assert(std::endian::native == std::endian::little, "model files are little-endian and are copied as they are");

namespace {
u64 alignment_of(u64 size_bytes) {
    if (size_bytes >= alignment_bytes_max) return alignment_bytes_max;
    return std::max(std::bit_ceil(size_bytes), alignment_bytes_min);
}

u64 stored_size(const Found& found) { return found.storage == Storage::encoded ? found.stored_bytes : found.size_bytes; }

/// The tensors' indices in the order of their bytes. Sorting these, not the tensors, needs little memory of its own.
std::vector<u32> file_order(const std::vector<Found>& tensors) {
    std::vector<u32> order(tensors.size());
    std::iota(order.begin(), order.end(), u32{0});
    std::ranges::sort(order, {}, [&](u32 index) {
        const Found& found = tensors[index];
        return std::tuple(found.file, found.offset_bytes, stored_size(found), index);
    });
    return order;
}

/// Puts the tensors, in the order of their bytes, into memory one by one.
class Layout {
public:
    Layout(Plan& plan, std::span<Source* const> sources) : plan_(plan), sources_(sources) {}

    Result<void> place(Found found) {
        Tensor tensor{std::move(found.name), std::string(found.dtype), std::move(found.shape), found.size_bytes, 0};
        if (found.storage != Storage::none) {
            const u64 file_bytes = sources_[found.file]->size_bytes();
            const auto range = Range::within(file_bytes, found.offset_bytes, stored_size(found));
            if (!range)
                return invalid(tensor.name, "its ", stored_size(found), " bytes at offset ", found.offset_bytes,
                               " do not lie in the file of ", file_bytes, " bytes");
            TRY(tensor.memory_offset_bytes, place_bytes(tensor.name, found, *range));
        }
        plan_.tensors.push_back(std::move(tensor));
        return {};
    }

private:
    /// The tensor before, as far as it had bytes: what the next one is compared with.
    struct Before {
        bool placed = false;
        u32 file = 0;
        Storage storage{};
        u64 offset_bytes = 0;
        u64 end_bytes = 0;
        u64 memory_offset_bytes = 0;
    };

    Result<u64> place_bytes(const std::string& name, const Found& found, const Range& range) {
        if (before_.placed && found.file == before_.file) {
            const bool both_plain = found.storage == Storage::plain && before_.storage == Storage::plain;
            if (both_plain && range.offset_bytes() == before_.offset_bytes && range.end_bytes() == before_.end_bytes)
                return before_.memory_offset_bytes;  // Tied.
            if (range.offset_bytes() < before_.end_bytes)
                return invalid(name, "its bytes ", range.offset_bytes(), " to ", range.end_bytes(),
                               " overlap those of another tensor, which end at ", before_.end_bytes);
        }
        const u64 offset = next_offset_bytes(found, range);
        const auto memory = Range::within(number_max, offset, found.size_bytes);
        if (!memory) return invalid(name, "the tensors need more than 2^63 - 1 bytes of memory");
        if (found.storage == Storage::plain)
            copy(found, range, offset);
        else
            plan_.decodes.push_back({found.file, range.offset_bytes(), range.size_bytes(), offset, found.size_bytes, found.field,
                                     found.encoding, found.element_bytes});
        plan_.memory_bytes = memory->end_bytes();
        plan_.tensor_bytes += found.size_bytes;
        before_ = {true, found.file, found.storage, range.offset_bytes(), range.end_bytes(), offset};
        return offset;
    }

    /// The distance in the file from the tensor before, if both are plain, in one file and near.
    std::optional<u64> gap_bytes(const Found& found, const Range& range) const {
        if (!before_.placed || found.file != before_.file || found.storage != Storage::plain || before_.storage != Storage::plain)
            return std::nullopt;
        const u64 gap = range.offset_bytes() - before_.end_bytes;
        return gap <= std::max(kept_gap_bytes_max, found.size_bytes / kept_gap_share) ? std::optional(gap) : std::nullopt;
    }

    u64 next_offset_bytes(const Found& found, const Range& range) const {
        const u64 alignment = alignment_of(found.size_bytes);
        const auto gap = gap_bytes(found, range);
        if (gap && (plan_.memory_bytes + *gap) % alignment == 0) return plan_.memory_bytes + *gap;
        return round_up(plan_.memory_bytes, alignment);  // Both sums stay far below 2^64, for memory_bytes is below 2^63.
    }

    void copy(const Found& found, const Range& range, u64 offset_bytes) {
        if (gap_bytes(found, range) && !plan_.copies.empty()) {
            Copy& last = plan_.copies.back();
            const bool same_distance = range.offset_bytes() - last.file_offset_bytes == offset_bytes - last.memory_offset_bytes;
            if (same_distance) {
                last.size_bytes = range.end_bytes() - last.file_offset_bytes;
                return;
            }
        }
        plan_.copies.push_back({found.file, range.offset_bytes(), range.size_bytes(), offset_bytes});
    }

    Plan& plan_;
    std::span<Source* const> sources_;
    Before before_;
};

u64 sum_of(u64 sum, std::string_view text) { return checksum(std::as_bytes(std::span(text)), sum ^ text.size()); }
u64 sum_of(u64 sum, std::span<const u64> numbers) { return checksum(std::as_bytes(numbers), sum ^ numbers.size()); }

u64 table_checksum(const Plan& plan) {
    u64 sum = sum_of(static_cast<u64>(plan.format), std::span<const u64>());
    for (const std::string& file : plan.files) sum = sum_of(sum, file);
    for (const Tensor& tensor : plan.tensors) {
        sum = sum_of(sum_of(sum, tensor.name), tensor.dtype);
        sum = sum_of(sum, tensor.shape);
        sum = sum_of(sum, std::to_array({tensor.size_bytes, tensor.memory_offset_bytes}));
    }
    for (const Copy& copy : plan.copies)
        sum = sum_of(sum, std::to_array<u64>({copy.file, copy.file_offset_bytes, copy.size_bytes, copy.memory_offset_bytes}));
    for (const Decode& item : plan.decodes)
        sum = sum_of(sum, std::to_array<u64>({item.file, item.file_offset_bytes, item.file_size_bytes, item.memory_offset_bytes,
                                              item.memory_size_bytes, item.field, static_cast<u64>(item.encoding), item.element_bytes}));
    return sum;
}
}  // namespace

void keep(std::vector<Metadata>& metadata, std::string_view key, std::string_view value) {
    if (metadata.size() == metadata_count_max || key.empty() || key.size() > metadata_key_bytes_max || !is_text(key)) return;
    std::size_t end = std::min<std::size_t>(value.size(), metadata_value_bytes_max);
    while (end > 0 && end < value.size() && (static_cast<u8>(value[end]) & 0xc0) == 0x80) --end;
    value = value.substr(0, end);
    metadata.push_back({std::string(key), std::string(is_text(value) ? value : "(not text)")});
}

Result<void> check_unique_names(const std::vector<Found>& tensors) {
    std::vector<const std::string*> names;
    names.reserve(tensors.size());
    for (const Found& found : tensors) {
        TRY_DO(check_name("tensors", found.name));
        names.push_back(&found.name);
    }
    std::ranges::sort(names, {}, [](const std::string* name) -> const std::string& { return *name; });
    const auto twice = std::ranges::adjacent_find(names, [](const auto* a, const auto* b) { return *a == *b; });
    if (twice != names.end()) return invalid(**twice, "two tensors have this name");
    return {};
}

Result<void> TensorList::add(Found found) {
    if (found_.size() == tensor_count_max) return beyond("tensors", "the number of tensors", tensor_count_max + 1, tensor_count_max);
    names_bytes_ += found.name.size();
    if (names_bytes_ > names_bytes_max) return beyond("tensors", "the length of all tensor names", names_bytes_, names_bytes_max);
    dimension_count_ += found.shape.size();
    if (dimension_count_ > dimension_count_max)
        return beyond("tensors", "the number of dimensions of all tensors", dimension_count_, dimension_count_max);
    found_.push_back(std::move(found));
    return {};
}

Result<Plan> lay_out(Format format, std::vector<std::string> files, std::span<Source* const> sources, Header header) {
    INVARIANT(files.size() == sources.size());
    TRY_DO(check_unique_names(header.tensors));
    Plan plan;
    plan.format = format;
    plan.files = std::move(files);
    plan.metadata = std::move(header.metadata);
    plan.tensors.reserve(header.tensors.size());
    Layout layout(plan, sources);
    for (const u32 index : file_order(header.tensors)) TRY_DO(layout.place(std::move(header.tensors[index])));
    plan.table_checksum = table_checksum(plan);
    return plan;
}
}  // namespace vramd::formats
