/// Live readers of the ledger, as server-sent events: each a position and a filter, served by one thread of its own.
///
/// No reader has a queue. It is given the next piece of the ledger, at most `piece_bytes`, when its socket has taken the one before; so a
/// slow reader just stays behind, and costs the core nothing. Each event is written out once, in chunks that all readers share, whether
/// they are at the end or far behind it. Where a reader stands is its last event's number, which it tells again when it comes back: so
/// there is no gap and no double across the death of a core.
#pragma once
#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "api/resources_events.hpp"
#include "base/mutex.hpp"
#include "engine/engine.hpp"
#include "http/handler.hpp"

namespace vramd::api {
/// What a reader wants.
struct EventsWanted {
    Caller caller;
    u64 from = 1;  ///< The first event.
    /// What is no longer kept or cannot be read is passed over, for no event was named; else a gap ends the stream with a problem.
    enum class Gaps : u8 { end_it, are_passed_over } gaps = Gaps::end_it;
    u64 to = ~u64{0};         ///< The last one: after it the stream ends. Without an end it waits for more.
    std::vector<bool> types;  ///< By tag; empty: all.
    std::string device_id;    ///< Empty: any.
    std::string owner;        ///< Empty: any.
};

/// What a query wants. `seen` is the reader's Last-Event-ID, if it has one; `mark` stands before the names of fields in errors: "?" of a
/// query, "/" of a body. Errors: `invalid_field`, `not_found` (a device), `history_gone`.
[[nodiscard]] Result<EventsWanted> wanted_events(engine::Engine& engine, const Caller& caller, EventsQuery query, const std::string* seen,
                                                 std::string_view mark);

/// Thread-safe.
class EventStreams {
public:
    static constexpr u64 readers_max = 10'000;
    /// What a reader that takes nothing costs, besides its connection: the piece that its socket did not take.
    static constexpr u64 piece_bytes = 16 * kib;
    /// A reader that there is nothing for hears so every now and then: where it stands, and that the daemon lives.
    static constexpr u64 silence_ns_max = 15 * ns_per_second;

    /// `events` must outlive this object.
    explicit EventStreams(engine::Events& events);
    ~EventStreams();
    EventStreams(const EventStreams&) = delete;
    EventStreams& operator=(const EventStreams&) = delete;

    /// Streams to whoever waits for this responder. Answers `busy` when there are too many readers.
    void add(EventsWanted wanted, http::Responder responder);
    /// Streams into what is open already. Errors: `busy` when there are too many readers.
    [[nodiscard]] Result<void> begin(EventsWanted wanted, http::EventStream stream);
    [[nodiscard]] u64 readers() const;

private:
    struct Reader;
    using ReaderPtr = std::shared_ptr<Reader>;
    /// One event as it goes out.
    struct Line {
        u64 sequence = 0;
        std::size_t type = 0;
        report::Attribution whose;
        std::string text;
    };
    /// Lines of events with consecutive numbers, from `first` on.
    struct Chunk {
        u64 first = 0;
        std::vector<Line> lines;
        u64 used = 0;  ///< When it was used last, by the count of uses.
    };

    void run();
    [[nodiscard]] Result<void> take_seat();
    void seat(EventsWanted wanted, http::EventStream stream);
    void came(const ReaderPtr& reader);
    void serve(ReaderPtr reader, u64 last);
    [[nodiscard]] Result<void> collect(Reader& reader, u64 last, std::string& text);
    [[nodiscard]] Result<const Chunk*> chunk_with(u64 sequence);
    void forget_chunks();
    void push(const ReaderPtr& reader, const std::string& text);
    void keep_alive(u64 now_ns);

    engine::Events& events_;
    mutable Mutex mutex_;
    std::condition_variable_any changed_;
    std::vector<ReaderPtr> came_ GUARDED_BY(mutex_);  ///< New ones, and those whose last piece is gone out.
    bool more_ GUARDED_BY(mutex_) = false;            ///< Events came.
    bool stopping_ GUARDED_BY(mutex_) = false;
    std::atomic<u64> readers_ = 0;

    // The thread's own.
    std::vector<ReaderPtr> idle_;  ///< At the end of the ledger.
    std::map<u64, Chunk> chunks_;  ///< By the number of their first event, rounded down.
    u64 uses_ = 0;
    std::thread thread_;
};
}  // namespace vramd::api
