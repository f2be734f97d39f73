#include "api/event_streams.hpp"

#include <algorithm>

#include "api/codec.hpp"
#include "api/problem.hpp"
#include "api/tell.hpp"
#include "base/clock.hpp"

namespace vramd::api {
namespace {
constexpr u64 chunk_events = 256;
constexpr std::size_t chunks_max = 64;
/// So many chunks are looked through for one reader before the others get their turn.
constexpr u32 chunks_a_turn = 16;
constexpr auto look_every = std::chrono::seconds(5);

/// True if the reader wants this one and may see it.
template <class Line>
bool wants(const EventsWanted& wanted, const Line& line) {
    if (!wanted.types.empty() && !wanted.types[line.type]) return false;
    if (!wanted.owner.empty() && line.whose.owner != wanted.owner) return false;
    if (!wanted.device_id.empty() && line.whose.device_id != wanted.device_id && line.whose.other_device_id != wanted.device_id)
        return false;
    return report::may_see(wanted.caller, line.whose);
}

/// The end of a stream that cannot go on: an event of its own kind, with the problem.
std::string ending(const Error& error) { return "event: problem\ndata: " + write(problem_of(error, "/api/events")) + "\n\n"; }
}  // namespace

struct EventStreams::Reader {
    EventsWanted wanted;
    http::EventStream stream;
    u64 next;  ///< The thread's own, as `said_ns`.
    u64 said_ns = 0;
    std::atomic<bool> gone = false;
};

EventStreams::EventStreams(engine::Events& events) : events_(events) {
    events_.listen([this] {
        {
            const Lock lock(mutex_);
            more_ = true;
        }
        changed_.notify_one();
    });
    thread_ = std::thread([this] { run(); });
}

EventStreams::~EventStreams() {
    events_.listen({});
    {
        const Lock lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_one();
    thread_.join();
}

u64 EventStreams::readers() const { return readers_.load(std::memory_order_relaxed); }

Result<void> EventStreams::take_seat() {
    if (readers_.fetch_add(1) < readers_max) return {};
    readers_.fetch_sub(1);
    return std::unexpected(Error{Code::busy, "readers", readers_max, readers_max, "Too many readers of events."});
}

void EventStreams::add(EventsWanted wanted, http::Responder responder) {
    if (const auto free = take_seat(); !free) return std::move(responder)(problem_reply(free.error(), "/api/events"));
    http::Reply head{200, "text/event-stream", {{"Cache-Control", "no-store"}}, {}, {}};
    seat(std::move(wanted), std::move(responder).stream(std::move(head)));
}

Result<void> EventStreams::begin(EventsWanted wanted, http::EventStream stream) {
    TRY_DO(take_seat());
    seat(std::move(wanted), std::move(stream));
    return {};
}

void EventStreams::seat(EventsWanted wanted, http::EventStream stream) {
    const u64 from = wanted.from;
    auto reader = std::make_shared<Reader>(std::move(wanted), std::move(stream), from);
    reader->stream.on_gone([this, weak = std::weak_ptr(reader)] {
        if (const auto left = weak.lock()) {
            left->gone = true;
            came(left);
        }
    });
    came(reader);
}

void EventStreams::came(const ReaderPtr& reader) {
    {
        const Lock lock(mutex_);
        came_.push_back(reader);
    }
    changed_.notify_one();
}

void EventStreams::run() {
    bool again = false;
    for (;;) {
        std::vector<ReaderPtr> turn;
        bool more = false;
        {
            std::unique_lock held(mutex_);
            if (!again) changed_.wait_for(held, look_every, [this] { return stopping_ || more_ || !came_.empty(); });
            if (stopping_) break;
            turn.swap(came_);
            more = std::exchange(more_, false) || again;
        }
        const u64 last = events_.last();
        std::erase_if(idle_, [](const ReaderPtr& reader) { return reader->gone.load(); });
        if (more) {
            turn.insert(turn.end(), std::make_move_iterator(idle_.begin()), std::make_move_iterator(idle_.end()));
            idle_.clear();
        }
        for (ReaderPtr& reader : turn) serve(std::move(reader), last);
        keep_alive(monotonic_ns());
        forget_chunks();
        again = !idle_.empty() && !events_.arm(last);
    }
    idle_.clear();
}

/// Gives a reader its next piece, or lets it wait at the ledger's end.
void EventStreams::serve(ReaderPtr reader, u64 last) {
    if (reader->gone) {
        if (reader->next != 0) readers_.fetch_sub(1);
        reader->next = 0;  // Counted once, though it may come by here twice: as drained and as gone.
        return;
    }
    std::string text;
    const auto collected = collect(*reader, std::min(last, reader->wanted.to), text);
    if (!collected) text += ending(collected.error());
    const bool ends = !collected || reader->next > reader->wanted.to;
    if (!text.empty()) push(reader, text);
    if (ends) {
        readers_.fetch_sub(1);
        reader->gone = true;
        reader->next = 0;
        reader->stream = http::EventStream(nullptr);  // Ends the reply once what was pushed is out.
    } else if (text.empty()) {
        if (reader->next <= last)
            came(reader);  // Nothing of this turn was for it: the others first, then on.
        else
            idle_.push_back(std::move(reader));
    }
}

void EventStreams::push(const ReaderPtr& reader, const std::string& text) {
    reader->said_ns = monotonic_ns();
    (void)reader->stream.push(text);  // Gone: `on_gone` tells.
    reader->stream.on_drained([this, reader] { came(reader); });
}

/// Appends what the reader wants of the events up to `last`, as far as a piece goes.
Result<void> EventStreams::collect(Reader& reader, u64 last, std::string& text) {
    for (u32 looked = 0; looked < chunks_a_turn && reader.next <= last; ++looked) {
        const auto found = chunk_with(reader.next);
        if (!found && found.error().code == Code::history_gone && reader.wanted.gaps == EventsWanted::Gaps::are_passed_over) {
            reader.next = std::max(found.error().limit, reader.next + 1);
            continue;
        }
        if (!found) return std::unexpected(found.error());
        const Chunk* const chunk = *found;
        for (std::size_t i = reader.next - chunk->first; i < chunk->lines.size(); ++i) {
            const Line& line = chunk->lines[i];
            if (line.sequence > last) return {};
            if (wants(reader.wanted, line)) text += line.text;
            reader.next = line.sequence + 1;
            if (text.size() >= piece_bytes) return {};
        }
    }
    return {};
}

/// The chunk that holds this event, which has been recorded; read and written out as far as it is not yet.
Result<const EventStreams::Chunk*> EventStreams::chunk_with(u64 sequence) {
    const u64 base = sequence - sequence % chunk_events;
    Chunk& chunk = chunks_[base];
    chunk.used = ++uses_;
    if (chunk.lines.empty() || sequence < chunk.first) {
        chunk.lines.clear();
        chunk.first = std::max({base, u64{1}, std::min(events_.oldest(), sequence)});
    }
    while (chunk.first + chunk.lines.size() <= sequence) {
        const u64 from = chunk.first + chunk.lines.size();
        auto read = events_.read(from, base + chunk_events - from);
        if (!read && from < sequence && read.error().code == Code::history_gone) {  // What lies before it is of no concern.
            chunk.lines.clear();
            chunk.first = sequence;
            continue;
        }
        if (!read) return std::unexpected(read.error());
        if (read->empty())
            return refuse(
                Code::system_failed, "ledger",
                "Event " + std::to_string(from) + " was recorded and cannot be read from the ledger's files any more; begin after it.");
        for (const engine::EventTold& told : *read) {
            std::string text = "id: " + std::to_string(told.sequence) + "\nevent: " + std::string(name_of(told.event)) +
                               "\ndata: " + write(tell_event(told)) + "\n\n";
            chunk.lines.push_back({told.sequence, told.event.index(), told.whose, std::move(text)});
        }
    }
    return &chunk;
}

/// Keeps the chunks that were used last.
void EventStreams::forget_chunks() {
    while (chunks_.size() > chunks_max)
        chunks_.erase(std::ranges::min_element(chunks_, {}, [](const auto& entry) { return entry.second.used; }));
}

void EventStreams::keep_alive(u64 now_ns) {
    std::vector<ReaderPtr> silent;
    std::erase_if(idle_, [&](ReaderPtr& reader) {
        if (reader->said_ns + silence_ns_max > now_ns) return false;
        silent.push_back(std::move(reader));
        return true;
    });
    // An id without data moves the place from which a reader would come back, and is no event to it.
    for (const ReaderPtr& reader : silent) push(reader, ": still here\nid: " + std::to_string(reader->next - 1) + "\n\n");
}
}  // namespace vramd::api
