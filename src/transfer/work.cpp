#include "transfer/work.hpp"

#include <algorithm>
#include <cstring>

#include "base/checksum.hpp"
#include "device/stream.hpp"

namespace vramd::transfer {
namespace {
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
    for (u64 at = 0; at < bytes.size(); at += chunk_bytes)
        sums.push_back(checksum(bytes.subspan(at, std::min(chunk_bytes, bytes.size() - at))));
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
    work.verify_ = job.verify;
    work.fill_value_ = job.kind == Kind::fill ? job.fill_value : std::byte{0};
    TRY_DO(work.take_source(job));
    TRY_DO(work.take_target(job));
    const bool moves = job.kind == Kind::copy || job.kind == Kind::read_out || job.kind == Kind::write_in;
    if (moves && work.from_.size() != work.to_.size()) return refuse(Code::invalid_field, "sizeBytes", work.from_.size(), work.to_.size());
    work.size_bytes_ = std::max(work.from_.size(), work.to_.size());
    work.lanes_ = lanes_of(job);
    if (job.kind == Kind::checksum || (moves && job.verify == Verify::checksum)) work.sums_.emplace(work.chunk_count());
    return work;
}

Result<u64> Work::run(u64 number) {
    const u64 chunk = lanes_ == Lanes::one_backward ? chunk_count() - 1 - number : number;
    const u64 at = chunk * chunk_bytes;
    const u64 size = std::min(chunk_bytes, size_bytes_ - at);
    if (kind_ == Kind::zero || kind_ == Kind::fill) {
        device::stream_fill(to_.subspan(at, size), fill_value_);
        return size;
    }
    const auto source = from_.subspan(at, size);
    if (sums_) (*sums_)[chunk] = checksum(source);
    if (kind_ == Kind::checksum) return size;
    const auto target = to_.subspan(at, size);
    if (lanes_ == Lanes::many)
        device::stream_copy(target, source);
    else
        std::memmove(target.data(), source.data(), size);
    if (verify_ == Verify::checksum && checksum(target) != (*sums_)[chunk])
        return refuse(Code::device_lost, "verify", "Bytes differ after they were copied: the memory of one side is failing.");
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
