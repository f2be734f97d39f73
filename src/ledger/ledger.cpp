#include "ledger/ledger.hpp"

#include "base/clock.hpp"
#include "ledger/directory.hpp"
#include "ledger/snapshot_file.hpp"
#include "ledger/state.hpp"
#include "ledger/step.hpp"

namespace vramd::ledger {
namespace {
Result<void> check_options(const Options& options) {
    const u64 bytes = options.segment_bytes;
    if (options.life.size() >= LifeName().size() || options.life.empty())
        return refuse(Code::invalid_field, "life", "A life's name has 1 to 63 bytes.");
    if (bytes < segment_bytes_min || bytes > segment_bytes_max || bytes % page_bytes != 0)
        return refuse(Code::invalid_field, "segment_bytes", "A segment has 16 KiB to 1 GiB, in steps of 4 KiB.");
    return {};
}

/// Delivers the batches that hold an event in [from, to]. Answers `enough` when the visitor had enough or `to` is passed.
Result<Visit> visit_segment(std::shared_ptr<const Segment> segment, u64 from, u64 to, const Visitor& visitor, Cursor::Verify verify) {
    Cursor cursor(std::move(segment));
    while (cursor.step(verify, from) == Cursor::Met::record) {
        if (cursor.last_sequence() < from) continue;
        if (cursor.batch().first_sequence > to) return Visit::enough;
        if (verify == Cursor::Verify::lengths_only && !cursor.take_apart()) return Visit::more;
        TRY(const Visit visit, visitor(cursor.batch()));
        if (visit == Visit::enough) return Visit::enough;
    }
    return Visit::more;
}
}  // namespace

Result<Opened> Ledger::open(const Options& options) {
    TRY_DO(check_options(options));
    TRY_DO(make_directory(options.directory));
    TRY(Recovered found, recover(options));
    auto state = std::make_unique<State>();
    state->options = options;
    state->life = life_name(options.life);
    state->life_first_sequence = found.life_first_sequence;
    state->replay_after = found.base_sequence;
    state->replay_to = found.last_sequence;
    {
        const Lock lock(state->files);
        state->segments = std::move(found.segments);
        state->snapshots = std::move(found.snapshots);
        state->readable = found.current;
    }
    if (found.current) {
        state->current = found.current;
        state->tail = found.tail;
        state->mirror_tail();
    } else {
        TRY(auto prepared, Segment::create(options.directory / "spare", options.segment_bytes));
        passed(Step::segment_prepared);
        TRY_DO(state->begin_segment(std::move(prepared), found.next_sequence, found.last_sequence));
    }
    return Opened{std::unique_ptr<Ledger>(new Ledger(std::move(state))), std::move(found.snapshot), std::move(found.findings)};
}

Result<void> Ledger::settle_damage() const { return remove_file(state_->options.directory / unsettled_name); }

Ledger::Ledger(std::unique_ptr<State> state) : state_(std::move(state)) {}
Ledger::~Ledger() = default;

/// Fills in the head of the file that lies ready under the name `spare`, and gives it its number.
Result<void> Ledger::State::begin_segment(std::shared_ptr<Segment> prepared, u64 first_sequence, u64 previous_sequence) {
    SegmentHead head;
    head.segment_bytes = prepared->size_bytes();
    head.first_sequence = first_sequence;
    head.previous_sequence = previous_sequence;
    head.life_first_sequence = life_first_sequence;
    head.wall_ns = clock_ns(CLOCK_REALTIME);
    head.life = life;
    head.sum = sum_of_head(head);
    prepared->head() = head;
    passed(Step::segment_headed);
    const std::filesystem::path path = options.directory / numbered_name(segment_prefix, first_sequence);
    const Lock lock(files);
    TRY_DO(rename_file(options.directory / "spare", path));
    passed(Step::segment_named);
    if (current) {
        segments.back().last_sequence = tail.sequence;
        segments.back().used_bytes = tail.offset_bytes + commit_bytes;
        retired = std::move(current);
    }
    segments.push_back({first_sequence, previous_sequence, first_sequence - 1, 0, Kept::live, path});
    current = std::move(prepared);
    readable = current;
    tail = {segment_head_bytes, first_sequence - 1, head.sum};
    mirror_tail();
    return {};
}

void Ledger::State::begin_spare() {
    std::shared_ptr<Segment> prepared;
    {
        const Lock lock(files);
        prepared = std::move(spare);
    }
    // On failure the present segment goes on while it has room, and the next snapshot prepares another and tells why it cannot.
    (void)begin_segment(std::move(prepared), tail.sequence + 1, tail.sequence);
    // Not before the file has its number: until then `prepare_spare` would empty it, for it makes a file of the same name.
    spare_ready.store(false, std::memory_order_release);
}

Result<void> Ledger::replay(const Visitor& visitor) const {
    State& s = *state_;
    if (s.replay_to <= s.replay_after) return {};
    TRY(const auto segments, s.segments_holding(s.replay_after + 1, s.replay_to));
    for (const auto& segment : segments) {
        TRY(const Visit visit, visit_segment(segment, s.replay_after + 1, s.replay_to, visitor, Cursor::Verify::lengths_only));
        if (visit == Visit::enough) break;
    }
    return {};
}

Result<void> Ledger::read(u64 from, u64 to, const Visitor& visitor) const {
    TRY(const auto segments, state_->segments_holding(from, to));
    for (const auto& segment : segments) {
        TRY(const Visit visit, visit_segment(segment, from, to, visitor, Cursor::Verify::sums));
        if (visit == Visit::enough) break;
    }
    return {};
}

Result<u64> Ledger::append(u64 wall_ns, std::span<const std::vector<std::byte>> events) {
    State& s = *state_;
    if (events.empty()) return refuse(Code::invalid_field, "events", "An append holds one event or more.");
    u64 payload_bytes = 0;
    for (const auto& event : events) payload_bytes += sizeof(u32) + event.size();
    if (s.spare_ready.load(std::memory_order_acquire)) [[unlikely]]
        s.begin_spare();
    const u64 bytes_max = record_bytes_max(s.current->size_bytes()) - sizeof(RecordHead) - commit_bytes;
    if (payload_bytes > bytes_max) return refuse(Code::too_large, "events", payload_bytes, bytes_max);
    if (record_bytes(payload_bytes) > s.left_bytes())
        return refuse(Code::read_only, "ledger", "The ledger's file is full and the next one is not ready.");
    const u64 first_sequence = s.tail.sequence + 1;
    store_record(*s.current, s.tail, wall_ns, events, payload_bytes);
    s.mirror_tail();
    return first_sequence;
}

u64 Ledger::sequence() const { return state_->sequence.load(std::memory_order_acquire); }

u64 Ledger::room_bytes() const {
    const u64 next = state_->options.segment_bytes - segment_head_bytes - commit_bytes;
    return state_->left_bytes() + (state_->spare_ready.load(std::memory_order_acquire) ? next : 0);
}

Result<void> Ledger::prepare() { return state_->prepare_spare(); }

Result<void> Ledger::snapshot(u64 sequence, std::span<const std::byte> state) {
    State& s = *state_;
    u64 last_snapshot = 0;
    {
        const Lock lock(s.files);
        if (!s.snapshots.empty()) last_snapshot = s.snapshots.back().sequence;
    }
    if (sequence == 0 || sequence > this->sequence() || sequence < last_snapshot)
        return refuse(Code::invalid_field, "sequence", sequence, this->sequence());
    TRY_DO(write_snapshot(s.options.directory, sequence, s.life, state));
    if (sequence != last_snapshot) {
        const Lock lock(s.files);
        s.snapshots.push_back({sequence, Kept::live, s.options.directory / numbered_name(snapshot_prefix, sequence)});
    }
    TRY_DO(s.archive_before(sequence));
    TRY_DO(s.trim_history());  // Before the next file is made: it may be what makes the room.
    return s.prepare_spare();
}
}  // namespace vramd::ledger
