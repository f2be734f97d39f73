/// Keeps what vramctl top shows up to date: one thread follows the stream of events, another asks anew when something happened.
///
/// Something that happened is asked about at once, but once a second at most; where nothing happens every two seconds, for other programs
/// use memory too and no event tells it. What the user does goes ahead of that. A lost daemon is tried again every second.
#pragma once
#include <deque>
#include <thread>

#include "base/fd.hpp"
#include "base/mutex.hpp"
#include "cli/session.hpp"
#include "cli/top_state.hpp"

namespace vramd::cli::top {
/// What came since the last time. JSON as the daemon told it.
struct News {
    struct Told {
        std::optional<Tab> tab;  ///< None: /api/system.
        json::value body;
    };
    std::vector<Told> answers;
    std::vector<std::string> events;
    bool answered = false;               ///< The daemon answered, after whatever `lost` tells.
    std::optional<std::string> lost;     ///< Why it did not.
    std::optional<std::string> details;  ///< What was looked at.
    std::string details_title;
    std::string notice;  ///< What came of an action.
};

/// Made and used by one thread; its own two end with it, at once.
class Watch {
public:
    /// Signals should be blocked already, for the threads to have them blocked too. Errors: a system call's.
    [[nodiscard]] static Result<std::unique_ptr<Watch>> begin(const Wishes& wishes, Tab tab);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

    /// Readable when there is news.
    [[nodiscard]] int descriptor() const { return news_ready_.get(); }
    [[nodiscard]] News take();
    /// This tab's rows are wanted, now and from then on.
    void want(Tab tab);
    /// Does a `look` or an `act`, and tells what came of it. One after the other.
    void do_next(Wish wish);

private:
    explicit Watch(const Wishes& wishes, Tab tab) : wishes_(wishes), tab_(tab) {}
    void ask_again();  ///< The thread that asks.
    void follow();     ///< The thread that follows the events.
    [[nodiscard]] bool refresh(Session& session, Tab tab);
    void perform(Session& session, const Wish& wish);
    /// One connection's worth of events from `next` on (0: the newest of them). False: nobody answered, or what was asked for is gone.
    [[nodiscard]] bool read_events(Session& session, u64& next);
    void take_piece(std::string_view block, u64& next);
    /// Waits for the descriptor or for the end of the watch; false: it ends.
    [[nodiscard]] bool wait(int descriptor, u64 milliseconds) const;

    const Wishes wishes_;
    Fd stopping_;    ///< eventfd: readable from the end on.
    Fd woken_;       ///< eventfd: the asking thread has a reason.
    Fd news_ready_;  ///< eventfd.
    Mutex lock_;
    News news_ GUARDED_BY(lock_);
    std::deque<Wish> wishes_to_do_ GUARDED_BY(lock_);
    Tab tab_ GUARDED_BY(lock_);
    bool turned_ GUARDED_BY(lock_) = false;    ///< Another tab is wanted: at once.
    bool happened_ GUARDED_BY(lock_) = false;  ///< Events came since the last refresh.
    bool moving_ = false;                      ///< Something is under way that no event tells of. The asking thread's own.
    std::thread asking_;
    std::thread following_;
};

/// The parts of one server-sent event.
struct StreamEvent {
    std::optional<u64> id;
    std::string_view type;
    std::string_view data;
};
/// `block` is its lines, each with its end.
[[nodiscard]] StreamEvent stream_event(std::string_view block);
/// "Unloaded detector: 2.00 MiB came back.": what an action's answer comes to.
[[nodiscard]] std::string outcome_text(const std::string& title, const json::object& answer, Sizes sizes);
}  // namespace vramd::cli::top
