#include "cli/top_watch.hpp"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/clock.hpp"
#include "cli/figures.hpp"

namespace vramd::cli::top {
namespace {
constexpr u64 refresh_ms_min = 1000;
constexpr u64 quiet_ms = 2000;
constexpr u64 answer_ms_max = 5000;
constexpr u64 stream_silence_ms_max = 60'000;  ///< The daemon says something every 15 s.
constexpr u64 stream_again_ms = 250;
constexpr u64 events_at_first = 200;

Result<Fd> new_eventfd() {
    Fd made(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!made) return std::unexpected(system_error("eventfd", errno));
    return made;
}

void raise_flag(const Fd& flag) { (void)eventfd_write(flag.get(), 1); }  // It fails only where it is raised 2^64 times already.

void lower_flag(const Fd& flag) {
    eventfd_t count = 0;
    (void)eventfd_read(flag.get(), &count);  // It fails only where it is not raised.
}

std::string sentence_of(const Failure& failure) { return failure.why.empty() ? failure.what : failure.what + " " + failure.why; }

/// Something is on its way in an answer, and its next figure is no event.
bool tells_of_progress(std::string_view body) {
    return body.find("\"running\"") != std::string_view::npos || body.find("\"loading\"") != std::string_view::npos ||
           body.find("\"queued\"") != std::string_view::npos;
}
}  // namespace

StreamEvent stream_event(std::string_view block) {
    StreamEvent event;
    while (!block.empty()) {
        const std::string_view line = block.substr(0, block.find('\n'));
        block.remove_prefix(std::min(line.size() + 1, block.size()));
        u64 number = 0;
        if (line.starts_with("id: ") && std::from_chars(line.data() + 4, line.data() + line.size(), number).ec == std::errc{})
            event.id = number;
        if (line.starts_with("event: ")) event.type = line.substr(7);
        if (line.starts_with("data: ")) event.data = line.substr(6);
    }
    return event;
}

std::string outcome_text(const std::string& title, const json::object& answer, Sizes sizes) {
    const std::string status = text_at(answer, "status");
    const auto freed = number_at(answer, "freedBytes");
    if (!freed) return title + (status.empty() ? "." : ": it is " + status + ".");
    const std::string bytes = sizes == Sizes::exact ? std::to_string(*freed) + " bytes" : size_text(*freed);
    if (status == "cached") return title + ": the RAM cache keeps its bytes until somebody needs the room.";
    if (status == "zombie") return title + ": " + bytes + " come back when the last client lets go.";
    return title + ": " + bytes + " came back.";
}

Result<std::unique_ptr<Watch>> Watch::begin(const Wishes& wishes, Tab tab) {
    std::unique_ptr<Watch> watch(new Watch(wishes, tab));
    TRY(watch->stopping_, new_eventfd());
    TRY(watch->woken_, new_eventfd());
    TRY(watch->news_ready_, new_eventfd());
    watch->asking_ = std::thread([&self = *watch] { self.ask_again(); });
    watch->following_ = std::thread([&self = *watch] { self.follow(); });
    return watch;
}

Watch::~Watch() {
    if (stopping_) raise_flag(stopping_);
    if (asking_.joinable()) asking_.join();
    if (following_.joinable()) following_.join();
}

News Watch::take() {
    lower_flag(news_ready_);
    const Lock held(lock_);
    return std::exchange(news_, {});
}

void Watch::want(Tab tab) {
    {
        const Lock held(lock_);
        tab_ = tab;
        turned_ = true;
    }
    raise_flag(woken_);
}

void Watch::do_next(Wish wish) {
    {
        const Lock held(lock_);
        wishes_to_do_.push_back(std::move(wish));
    }
    raise_flag(woken_);
}

bool Watch::wait(int descriptor, u64 milliseconds) const {
    pollfd waiting[] = {{stopping_.get(), POLLIN, 0}, {descriptor, POLLIN, 0}};
    (void)poll(waiting, std::size(waiting),
               static_cast<int>(milliseconds));  // Interrupted or late is as good as woken: who waits looks anew.
    return waiting[0].revents == 0;
}

void Watch::ask_again() {
    Session session(wishes_);
    u64 asked_ns = 0;
    bool good = true;
    for (;;) {
        std::deque<Wish> to_do;
        Tab tab{};
        bool due = false;
        const u64 since_ms = asked_ns == 0 ? quiet_ms : (monotonic_ns() - asked_ns) / ns_per_ms;
        {
            const Lock held(lock_);
            to_do.swap(wishes_to_do_);
            tab = tab_;
            const bool hurried = happened_ || moving_ || !good;
            due = turned_ || !to_do.empty() || since_ms >= (hurried ? refresh_ms_min : quiet_ms);
            if (due) turned_ = happened_ = false;
        }
        for (const Wish& wish : to_do) perform(session, wish);
        if (due) {
            asked_ns = monotonic_ns();
            good = refresh(session, tab);
            raise_flag(news_ready_);
        }
        u64 wait_ms = quiet_ms;
        {
            const Lock held(lock_);
            const u64 since_asked_ms = (monotonic_ns() - asked_ns) / ns_per_ms;
            const u64 pause_ms = happened_ || moving_ || !good ? refresh_ms_min : quiet_ms;
            wait_ms = turned_ || !wishes_to_do_.empty() || since_asked_ms >= pause_ms ? 0 : pause_ms - since_asked_ms;
        }
        if (!wait(woken_.get(), wait_ms)) return;
        lower_flag(woken_);
    }
}

/// False: the daemon did not answer.
bool Watch::refresh(Session& session, Tab tab) {
    moving_ = false;
    std::vector<Tab> tabs = {Tab::devices};
    if (tab != Tab::devices && tab != Tab::events) tabs.push_back(tab);
    for (const Tab one : tabs) {
        const auto reply =
            session.ask({.target = std::string(facts_of(one).target), .wait_ms_max = answer_ms_max, .stop_descriptor = stopping_.get()});
        auto body = reply ? parse_document(reply->body) : Result<json::value>(json::value());
        const Lock held(lock_);
        if (!reply || !body) {
            news_.lost = sentence_of(reply ? Failure(body.error()) : reply.error());
            news_.answered = false;
            return false;
        }
        moving_ = moving_ || tells_of_progress(reply->body);
        std::erase_if(news_.answers, [&](const News::Told& older) { return older.tab == one; });
        news_.answers.push_back({one, *std::move(body)});
    }
    const Lock held(lock_);
    news_.answered = true;
    return true;
}

void Watch::perform(Session& session, const Wish& wish) {
    const auto reply = session.ask({.method = wish.method, .target = wish.target, .stop_descriptor = stopping_.get()});
    const auto body = reply ? parse_document(reply->body) : Result<json::value>(json::value());
    const json::object* const object = body ? body->if_object() : nullptr;
    const Lock held(lock_);
    if (!reply) {
        const std::string& remedy = reply.error().remedy;
        news_.notice = sentence_of(reply.error()) + (remedy.empty() ? "" : " Try: " + remedy);
    } else if (object == nullptr) {
        news_.notice = "The server's answer is not an object.";
    } else if (wish.what == Wish::What::look) {
        news_.details = record_text(session, *object);
        news_.details_title = wish.title;
    } else {
        news_.notice = outcome_text(wish.title, *object, wishes_.sizes);
    }
}

void Watch::follow() {
    Session session(wishes_);
    u64 next = 0;
    while (wait(-1, 0)) {
        const bool read = read_events(session, next);
        {
            const Lock held(lock_);
            happened_ = true;  // The stream's end says that something is otherwise: the asking thread tells what.
        }
        raise_flag(woken_);
        if (!wait(-1, read ? stream_again_ms : refresh_ms_min)) return;
    }
}

bool Watch::read_events(Session& session, u64& next) {
    const auto system = session.ask({.target = "/api/system", .wait_ms_max = answer_ms_max, .stop_descriptor = stopping_.get()});
    if (!system) return false;
    auto body = parse_document(system->body);
    if (!body || !body->is_object()) return false;
    const u64 last = number_at(body->get_object(), "ledgerSequence").value_or(0);
    if (next == 0 || next > last + 1) next = last > events_at_first ? last - events_at_first + 1 : 1;  // Another ledger counts anew.
    {
        const Lock held(lock_);
        std::erase_if(news_.answers, [](const News::Told& older) { return !older.tab; });
        news_.answers.push_back({std::nullopt, *std::move(body)});
    }
    raise_flag(news_ready_);
    std::string rest;
    const auto take = [&](std::span<const std::byte> bytes) -> Result<void> {
        rest.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        std::size_t begin = 0;
        for (std::size_t end = rest.find("\n\n"); end != std::string::npos; end = rest.find("\n\n", begin)) {
            take_piece(std::string_view(rest).substr(begin, end + 1 - begin), next);
            begin = end + 2;
        }
        rest.erase(0, begin);
        if (!wait(-1, 0)) return refuse(Code::cancelled, "stop", "The caller stopped waiting.");
        return {};
    };
    const auto stream = session.ask({.target = "/api/events?from=" + std::to_string(next),
                                     .headers = {{"Accept", "text/event-stream"}},
                                     .download = take,
                                     .wait_ms_max = stream_silence_ms_max,
                                     .stop_descriptor = stopping_.get()});
    if (!stream && !stream.error().body.empty()) next = 0;  // Refused in words: what was asked for is no longer kept.
    return stream.has_value() || next != 0;
}

void Watch::take_piece(std::string_view block, u64& next) {
    const StreamEvent event = stream_event(block);
    if (event.type == "problem") next = 0;
    if (!event.id) return;
    next = *event.id + 1;
    if (event.data.empty()) return;
    bool first = false;
    {
        const Lock held(lock_);
        first = !std::exchange(happened_, true);
        std::vector<std::string>& events = news_.events;
        if (events.size() >= 2 * event_rows_max) events.erase(events.begin(), events.end() - static_cast<std::ptrdiff_t>(event_rows_max));
        events.emplace_back(event.data);
    }
    if (first) raise_flag(woken_);
}
}  // namespace vramd::cli::top
