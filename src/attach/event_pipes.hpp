/// Streams of events to clients: socket pairs whose one end a client was given, the other one a stream's way out.
///
/// What: bytes from whoever streams, on its thread, into a socket; what that does not take is kept until it does. Why here: a client that
/// reads no events, or closes them, is not one that reads no answers: its connection and what it holds have nothing to do with it.
/// Room-internal. Source: unix(7), epoll(7).
#pragma once
#include <map>
#include <memory>
#include <string>

#include "base/fd.hpp"
#include "base/mutex.hpp"
#include "base/result.hpp"
#include "http/handler.hpp"

namespace vramd::attach {
/// One stream's way out. Thread-safe. Nobody is told anything while its lock is held.
class EventPipe final : public http::StreamChannel {
public:
    explicit EventPipe(Fd socket) : socket_(std::move(socket)) {}
    http::Pushed push(std::string_view chunk) override;
    void finish() override;
    void on_gone(std::move_only_function<void()> told) override;
    void on_drained(std::move_only_function<void()> told) override;

    /// Sends nothing more.
    void end();
    /// The socket may take more, or its far end is closed.
    void look();
    /// Nothing will be sent any more: the far end is closed, or all of a finished stream is out.
    [[nodiscard]] bool over();
    [[nodiscard]] int descriptor() const { return socket_.get(); }

private:
    using Told = std::move_only_function<void()>;
    void send_some() REQUIRES(lock_);
    void settle();

    const Fd socket_;
    Mutex lock_;
    std::string unsent_ GUARDED_BY(lock_);
    bool finished_ GUARDED_BY(lock_) = false;
    bool gone_ GUARDED_BY(lock_) = false;
    Told gone_told_ GUARDED_BY(lock_);
    Told drained_told_ GUARDED_BY(lock_);
};

/// All of a server's. Of one thread, but for what the pipes do.
class EventPipes {
public:
    /// Errors: `system_failed`.
    [[nodiscard]] static Result<std::unique_ptr<EventPipes>> open();
    ~EventPipes();
    EventPipes(const EventPipes&) = delete;
    EventPipes& operator=(const EventPipes&) = delete;

    struct Ends {
        Fd theirs;  ///< To read from, blocking.
        std::shared_ptr<EventPipe> ours;
    };
    /// Errors: `system_failed`.
    [[nodiscard]] Result<Ends> make();
    /// Readable when there is work for `turn`.
    [[nodiscard]] int descriptor() const { return epoll_.get(); }
    void turn();

private:
    explicit EventPipes(Fd epoll) : epoll_(std::move(epoll)) {}

    const Fd epoll_;
    std::map<u64, std::shared_ptr<EventPipe>> pipes_;
    u64 next_ = 1;
};
}  // namespace vramd::attach
