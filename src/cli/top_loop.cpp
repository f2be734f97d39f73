#include "cli/top_loop.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "cli/top_screen.hpp"
#include "cli/top_watch.hpp"

namespace vramd::cli::top {
namespace {
constexpr int redraw_ms = 1000;  ///< So that ages go on.
constexpr u64 events_at_once = 200;

/// While one lives, signals that end the process or resize the terminal are read from a descriptor instead.
class SignalReader {
public:
    [[nodiscard]] Result<void> begin() {
        sigset_t read;
        sigemptyset(&read);
        for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH}) sigaddset(&read, signal);
        descriptor_ = Fd(signalfd(-1, &read, SFD_CLOEXEC | SFD_NONBLOCK));
        if (!descriptor_) return std::unexpected(system_error("signalfd", errno));
        pthread_sigmask(SIG_BLOCK, &read, &before_);
        return {};
    }
    ~SignalReader() {
        if (descriptor_) pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    [[nodiscard]] int descriptor() const { return descriptor_.get(); }
    /// The first that asks for the end; 0: none did.
    [[nodiscard]] int ending() {
        signalfd_siginfo came{};
        while (::read(descriptor_.get(), &came, sizeof came) == static_cast<ssize_t>(sizeof came))
            if (came.ssi_signo != SIGWINCH) return static_cast<int>(came.ssi_signo);
        return 0;
    }

private:
    Fd descriptor_;
    sigset_t before_{};
};

void take_news(State& state, News news, double now) {
    if (news.lost) take_loss(state, *std::move(news.lost), now);
    if (news.answered) take_contact(state, now);
    for (const News::Told& told : news.answers) {
        if (told.tab)
            take_rows(state, *told.tab, told.body, now);
        else
            take_system(state, told.body);
    }
    take_events(state, news.events, now);
    // Even where nothing happened, that much is known as of now.
    if (news.answered && !state.paused) state.table_of(Tab::events).taken_at = now;
    if (!news.notice.empty()) state.notice = printable(std::move(news.notice));
    if (news.details) take_details(state, std::move(news.details_title), *news.details);
}

/// An event in full is at hand already.
void look_at_event(const Session& session, State& state, const Wish& wish) {
    const Row* const row = chosen_row(state);
    if (row == nullptr) return;
    json::object record = row->record;
    for (const std::string_view added : {"what", "time", "size", "about"}) record.erase(added);
    take_details(state, wish.title, record_text(session, record));
}

/// False: the user quits.
bool fulfil(const Session& session, State& state, Watch& watch, Wish wish) {
    switch (wish.what) {
        case Wish::What::quit:
            return false;
        case Wish::What::turn:
            watch.want(state.tab);
            break;
        case Wish::What::look:
            if (wish.target.empty())
                look_at_event(session, state, wish);
            else
                watch.do_next(std::move(wish));
            break;
        case Wish::What::act:
            state.notice = "Asked the daemon.";
            watch.do_next(std::move(wish));
            break;
        case Wish::What::nothing:
            break;
    }
    return true;
}

/// The signal that ended it; 0: the user quit, or the terminal is gone.
Told<int> run_on(const Session& session, State& state, Screen& screen, SignalReader& signals, Watch& watch) {
    for (;;) {
        screen.draw(frame_of(state, screen.size(), session.now_seconds()));
        pollfd waiting[] = {{STDIN_FILENO, POLLIN, 0}, {watch.descriptor(), POLLIN, 0}, {signals.descriptor(), POLLIN, 0}};
        if (poll(waiting, std::size(waiting), redraw_ms) < 0 && errno != EINTR)
            return std::unexpected(Failure(system_error("poll", errno)));
        if (const int ending = signals.ending(); ending != 0) return ending;
        if ((waiting[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) return 0;
        take_news(state, watch.take(), session.now_seconds());
        while (const auto key = screen.key()) {
            const std::size_t page = layout_of(state, screen.size()).rows;
            if (!fulfil(session, state, watch, press(state, *key, page, session.now_seconds()))) return 0;
        }
    }
}
}  // namespace

Told<void> show_live(Session& session, State state) {
    // Nobody there is told in words before the screen is taken, and as any other verb tells it.
    TRY_DO(session.ask({.target = std::string(facts_of(Tab::devices).target)}));
    int ending = 0;
    {
        SignalReader signals;
        TRY_DO(signals.begin());
        TRY(Screen screen, Screen::open(session.colors_stdout() ? Colors::some : Colors::none));
        TRY(const std::unique_ptr<Watch> watch, Watch::begin(session.wishes(), state.tab));
        TRY(ending, run_on(session, state, screen, signals, *watch));
    }
    if (ending == SIGINT) return std::unexpected(Failure(Exit::interrupted, {}));
    if (ending != 0) {
        std::signal(ending, SIG_DFL);  // ncurses left a handler of its own there.
        (void)std::raise(ending);      // Now that the terminal is as it was.
    }
    return {};
}

Told<void> show_once(Session& session, State state, Size size) {
    state.interactive = false;
    const double now = session.now_seconds();
    TRY(const http::ClientReply system, session.ask({.target = "/api/system"}));
    TRY(const json::value facts, parse_document(system.body));
    take_system(state, facts);
    for (const Tab tab : {Tab::devices, state.tab}) {
        if (facts_of(tab).target.empty()) continue;
        TRY(const http::ClientReply reply, session.ask({.target = std::string(facts_of(tab).target)}));
        TRY(const json::value body, parse_document(reply.body));
        take_rows(state, tab, body, now);
    }
    if (state.tab == Tab::events) {
        const u64 last = facts.is_object() ? number_at(facts.get_object(), "ledgerSequence").value_or(0) : 0;
        const u64 from = last > events_at_once ? last - events_at_once + 1 : 1;
        TRY(const http::ClientReply reply, session.ask({.target = "/api/events?follow=false&from=" + std::to_string(from)}));
        std::vector<std::string> events;
        for (std::string_view rest = reply.body; !rest.empty();) {
            const std::size_t end = std::min(rest.find("\n\n"), rest.size());
            const StreamEvent event = stream_event(rest.substr(0, std::min(end + 1, rest.size())));
            if (event.id && !event.data.empty()) events.emplace_back(event.data);
            rest.remove_prefix(std::min(end + 2, rest.size()));
        }
        take_events(state, events, now);
        state.table_of(Tab::events).taken_at = now;
    }
    take_contact(state, now);
    session.out(text_of(frame_of(state, size, now)));
    return {};
}
}  // namespace vramd::cli::top
