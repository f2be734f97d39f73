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

/// A way to a place's bytes, once its range is seen to lie in the block as the device has it.
Result<Side> side_of(const std::optional<Place>& place, std::string_view part) {
    if (!place || place->device == nullptr) return missing(part);
    Side side;
    side.offset_bytes = place->range.offset_bytes();
    u64 block_bytes = 0;
    if (auto mapping = place->device->map(place->key)) {
        side.mapping = *std::move(mapping);
        block_bytes = side.mapping.size_bytes();
    } else if (mapping.error().code == Code::unsupported) {
        side.unseen = *place;
        auto channel = device::channel_to(*place->device, place->key, device::Patience::none);
        if (!channel && channel.error().code == Code::busy) return side;
        if (!channel) return std::unexpected(std::move(channel).error());
        side.channel = *std::move(channel);
        block_bytes = side.channel->size_bytes();
    } else {
        return std::unexpected(std::move(mapping).error());
    }
    TRY_DO(Range::within(block_bytes, side.offset_bytes, place->range.size_bytes()));
    return side;
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

/// Sums need the processor, and so does an overlap: it goes through a stage's worth of memory.
u64 chunk_bytes_of(const Job& job, const Side& source, const Side& target) {
    if (source.is_seen() && target.is_seen()) return chunk_bytes;
    const bool passes = job.verify == Verify::checksum || job.kind == Kind::checksum || lanes_of(job) != Lanes::many ||
                        (job.kind != Kind::zero && job.kind != Kind::fill && (source.is_seen() || target.is_seen()));
    return passes ? staged_chunk_bytes : unseen_chunk_bytes;
}

constexpr u64 pinned_min_bytes = 64 * mib;

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
    TRY(source_, side_of(job.source, "source"));
    if (source_.is_seen()) from_ = source_.mapping.read().subspan(source_.offset_bytes, job.source->range.size_bytes());
    return {};
}

Result<void> Work::take_target(const Job& job) {
    if (job.kind == Kind::read_out) {
        to_ = job.out;
        return {};
    }
    if (!has_target(job.kind)) return {};
    TRY(target_, side_of(job.target, "target"));
    if (!target_.is_seen()) return {};  // Whether it may be written its channel says.
    TRY(const auto bytes, target_.mapping.write());
    to_ = bytes.subspan(target_.offset_bytes, job.target->range.size_bytes());
    return {};
}

Result<Work> Work::prepare(const Job& job) {
    Work work;
    work.kind_ = job.kind;
    work.fill_value_ = job.kind == Kind::fill ? job.fill_value : std::byte{0};
    TRY_DO(work.take_source(job));
    TRY_DO(work.take_target(job));
    const bool moves = job.kind == Kind::copy || job.kind == Kind::read_out || job.kind == Kind::write_in;
    const u64 from_bytes = work.source_.is_seen() ? work.from_.size() : job.source->range.size_bytes();
    const u64 to_bytes = work.target_.is_seen() ? work.to_.size() : job.target->range.size_bytes();
    if (moves && from_bytes != to_bytes) return refuse(Code::invalid_field, "sizeBytes", from_bytes, to_bytes);
    work.size_bytes_ = std::max(from_bytes, to_bytes);
    work.lanes_ = lanes_of(job);
    if (work.lanes_ != Lanes::many) {
        const u64 from = job.source->range.offset_bytes();
        const u64 to = job.target->range.offset_bytes();
        work.distance_bytes_ = std::max(from, to) - std::min(from, to);
    }
    work.chunk_bytes_ = chunk_bytes_of(job, work.source_, work.target_);
    // Who copies much from there is likely to do so again.
    if (moves && job.source && work.source_.is_seen() && !work.target_.is_seen() && work.size_bytes_ >= pinned_min_bytes)
        device::pin_for(*job.target->device, job.source->key, work.source_.mapping);
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

/// Where a side is not seen. Two devices, and ranges nearer to each other than a chunk, go through memory of this process.
Result<void> Work::move_unseen(u64 at, u64 size) {
    const bool near = lanes_ != Lanes::many && distance_bytes_ < size;
    if (!source_.is_seen() && !target_.is_seen() && !near) {
        auto copied = target_.channel->copy_from(target_.offset_bytes + at, *source_.channel, source_.offset_bytes + at, size);
        if (copied || copied.error().code != Code::unsupported) return copied;
    }
    if (target_.is_seen()) return source_.channel->read(source_.offset_bytes + at, to_.subspan(at, size));
    std::vector<std::byte> room;
    TRY(const auto bytes, look(source_, from_, at, size, room));
    return target_.channel->write(target_.offset_bytes + at, bytes);
}

Result<std::span<const std::byte>> Work::look(const Side& side, std::span<const std::byte> seen, u64 at, u64 size,
                                              std::vector<std::byte>& room) const {
    if (side.is_seen()) return seen.subspan(at, size);
    room.resize(size);
    TRY_DO(side.channel->read(side.offset_bytes + at, room));
    return room;
}

Result<void> Work::run_summed_unseen(u64 at, u64 size) {
    std::vector<std::byte> source_room;
    std::vector<std::byte> target_room;
    const auto sum_of = [&](std::span<const std::byte> bytes, u64 piece) {
        return checksum(bytes.subspan(piece, std::min(summed_piece_bytes, size - piece)));
    };
    TRY(const auto before, look(source_, from_, at, size, source_room));
    for (u64 piece = 0; piece < size; piece += summed_piece_bytes) (*sums_)[(at + piece) / summed_piece_bytes] = sum_of(before, piece);
    if (kind_ == Kind::checksum) return {};
    TRY_DO(move_unseen(at, size));
    TRY(const auto landed, look(target_, to_, at, size, target_room));
    for (u64 piece = 0; piece < size; piece += summed_piece_bytes) {
        const u64 sum = (*sums_)[(at + piece) / summed_piece_bytes];
        if (sum_of(landed, piece) == sum) continue;
        TRY(const auto now, look(source_, from_, at, size, source_room));
        if (source_stands_ == Source::may_change && sum_of(now, piece) != sum)
            return refuse(Code::conflict, "verify", "The source was written while it was copied: the copy is neither the old nor the new.");
        return refuse(Code::device_lost, "verify", "Bytes differ after they were copied: the memory of one side is failing.");
    }
    return {};
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

/// Here, on a thread that moves bytes, nobody else is kept waiting.
Result<void> Work::open_channels() {
    const Lock lock(*opening_);
    for (Side* const side : {&source_, &target_}) {
        if (side->is_seen() || side->channel != nullptr) continue;
        const Place& place = *side->unseen;
        TRY(auto channel, device::channel_to(*place.device, place.key));
        TRY_DO(Range::within(channel->size_bytes(), place.range.offset_bytes(), place.range.size_bytes()));
        side->channel = std::move(channel);
    }
    return {};
}

Result<u64> Work::run(u64 number) {
    if (!source_.is_seen() || !target_.is_seen()) TRY_DO(open_channels());
    const RacingReads racing(source_stands_);
    const u64 chunk = lanes_ == Lanes::one_backward ? chunk_count() - 1 - number : number;
    const u64 at = chunk * chunk_bytes_;
    const u64 size = std::min(chunk_bytes_, size_bytes_ - at);
    const bool seen = source_.is_seen() && target_.is_seen();
    if (sums_)
        TRY_DO(seen ? run_summed(at, size) : run_summed_unseen(at, size));
    else
        TRY_DO(run_plain(at, size));
    return size;
}

Result<void> Work::run_plain(u64 at, u64 size) {
    const bool fills = kind_ == Kind::zero || kind_ == Kind::fill;
    if (fills && !target_.is_seen()) return target_.channel->fill(target_.offset_bytes + at, size, fill_value_);
    if (!source_.is_seen() || !target_.is_seen()) return move_unseen(at, size);
    if (fills)
        device::stream_fill(to_.subspan(at, size), fill_value_);
    else
        move(at, size);
    return {};
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
