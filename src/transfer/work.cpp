#include "transfer/work.hpp"

#include <algorithm>
#include <cstring>

#include "base/checksum.hpp"
#include "device/stream.hpp"

#ifdef __SANITIZE_THREAD__
extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);
#endif

namespace vramd::transfer {
namespace {
/// While it lives, this thread's reads may race with others' writes; ThreadSanitizer, which cannot know, looks at its writes only.
class RacingReads {
public:
    explicit RacingReads([[maybe_unused]] Source stands) {
#ifdef __SANITIZE_THREAD__
        if (stands == Source::still) return;
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
        racing_ = true;
#endif
    }
    ~RacingReads() {
#ifdef __SANITIZE_THREAD__
        if (racing_) AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
    }
    RacingReads(const RacingReads&) = delete;
    RacingReads& operator=(const RacingReads&) = delete;

private:
#ifdef __SANITIZE_THREAD__
    bool racing_ = false;
#endif
};

std::unexpected<Error> missing(std::string_view part) {
    return refuse(Code::invalid_field, part, "The job needs a " + std::string(part) + ".");
}

/// The bytes of a place, once its range is seen to lie in the block as the device has it.
Result<device::Mapping> mapping_of(const std::optional<Place>& place, std::string_view part) {
    if (!place || place->device == nullptr) return missing(part);
    TRY(device::Mapping mapping, place->device->map(place->key));
    TRY_DO(Range::within(mapping.size_bytes(), place->range.offset_bytes(), place->range.size_bytes()));
    return mapping;
}

bool has_source(Kind kind) { return kind == Kind::copy || kind == Kind::checksum || kind == Kind::read_out; }
bool has_target(Kind kind) { return kind == Kind::zero || kind == Kind::fill || kind == Kind::copy || kind == Kind::write_in; }

Lanes lanes_of(const Job& job) {
    if (job.kind != Kind::copy) return Lanes::many;
    const Place& source = *job.source;
    const Place& target = *job.target;
    if (source.device != target.device || source.key != target.key || !source.range.overlaps(target.range)) return Lanes::many;
    return target.range.offset_bytes() < source.range.offset_bytes() ? Lanes::one_forward : Lanes::one_backward;
}

u64 sum_of_sums(std::span<const u64> sums) { return checksum(std::as_bytes(sums)); }
}  // namespace

u64 chunked_checksum(std::span<const std::byte> bytes) {
    std::vector<u64> sums;
    for (u64 at = 0; at < bytes.size(); at += summed_piece_bytes)
        sums.push_back(checksum(bytes.subspan(at, std::min(summed_piece_bytes, bytes.size() - at))));
    return sum_of_sums(sums);
}

Result<void> Work::take_source(const Job& job) {
    if (job.kind == Kind::write_in) {
        from_ = job.in;
        return {};
    }
    if (!has_source(job.kind)) return {};
    TRY(source_, mapping_of(job.source, "source"));
    from_ = source_.read().subspan(job.source->range.offset_bytes(), job.source->range.size_bytes());
    return {};
}

Result<void> Work::take_target(const Job& job) {
    if (job.kind == Kind::read_out) {
        to_ = job.out;
        return {};
    }
    if (!has_target(job.kind)) return {};
    TRY(target_, mapping_of(job.target, "target"));
    TRY(const auto bytes, target_.write());
    to_ = bytes.subspan(job.target->range.offset_bytes(), job.target->range.size_bytes());
    return {};
}

Result<Work> Work::prepare(const Job& job) {
    Work work;
    work.kind_ = job.kind;
    work.fill_value_ = job.kind == Kind::fill ? job.fill_value : std::byte{0};
    TRY_DO(work.take_source(job));
    TRY_DO(work.take_target(job));
    const bool moves = job.kind == Kind::copy || job.kind == Kind::read_out || job.kind == Kind::write_in;
    if (moves && work.from_.size() != work.to_.size()) return refuse(Code::invalid_field, "sizeBytes", work.from_.size(), work.to_.size());
    work.size_bytes_ = std::max(work.from_.size(), work.to_.size());
    work.lanes_ = lanes_of(job);
    work.source_stands_ = job.source_stands;
    const bool summed = job.kind == Kind::checksum || (moves && job.verify == Verify::checksum);
    if (summed) work.sums_.emplace(div_ceil(work.size_bytes_, summed_piece_bytes));
    return work;
}

void Work::move(u64 at, u64 size) {
    if (lanes_ == Lanes::many)
        device::stream_copy(to_.subspan(at, size), from_.subspan(at, size));
    else
        std::memmove(&to_[at], &from_[at], size);
}

Result<void> Work::run_summed(u64 at, u64 size) {
    const u64 pieces = div_ceil(size, summed_piece_bytes);
    for (u64 i = 0; i < pieces; ++i) {
        // Within a chunk, too, an overlapping copy to higher offsets goes from the end.
        const u64 piece_at = at + (lanes_ == Lanes::one_backward ? pieces - 1 - i : i) * summed_piece_bytes;
        const u64 piece_size = std::min(summed_piece_bytes, at + size - piece_at);
        u64& sum = (*sums_)[piece_at / summed_piece_bytes];
        sum = checksum(from_.subspan(piece_at, piece_size));
        if (kind_ == Kind::checksum) continue;
        move(piece_at, piece_size);
        if (landed_ != nullptr && *landed_) (*landed_)(to_.subspan(piece_at, piece_size));
        if (checksum(to_.subspan(piece_at, piece_size)) == sum) continue;
        if (source_stands_ == Source::may_change && checksum(from_.subspan(piece_at, piece_size)) != sum)
            return refuse(Code::conflict, "verify", "The source was written while it was copied: the copy is neither the old nor the new.");
        return refuse(Code::device_lost, "verify", "Bytes differ after they were copied: the memory of one side is failing.");
    }
    return {};
}

Result<u64> Work::run(u64 number) {
    const RacingReads racing(source_stands_);
    const u64 chunk = lanes_ == Lanes::one_backward ? chunk_count() - 1 - number : number;
    const u64 at = chunk * chunk_bytes;
    const u64 size = std::min(chunk_bytes, size_bytes_ - at);
    if (kind_ == Kind::zero || kind_ == Kind::fill)
        device::stream_fill(to_.subspan(at, size), fill_value_);
    else if (sums_)
        TRY_DO(run_summed(at, size));
    else
        move(at, size);
    return size;
}

std::optional<u64> Work::sum() const {
    if (!sums_) return std::nullopt;
    return sum_of_sums(*sums_);
}

void Work::let_go() {
    from_ = {};
    to_ = {};
    source_ = {};
    target_ = {};
}
}  // namespace vramd::transfer
