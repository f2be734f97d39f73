/// One request's answer on its way from any thread to the connection's own.
///
/// Handlers hold it through a `Responder` or an `EventStream`; the connection polls it on its thread and, when there is nothing yet, asks
/// to be woken. Both sides may outlive each other: an exchange holds no socket, only a `Waker`.
#pragma once
#include "base/mutex.hpp"
#include "http/handler.hpp"

namespace vramd::http {
/// Makes a connection look at its exchange again. Any thread; safe after the connection and the server are gone.
class Waker {
public:
    virtual ~Waker() = default;
    virtual void wake() = 0;
};

/// Thread-safe.
class Exchange final : public ReplyChannel, public StreamChannel, public std::enable_shared_from_this<Exchange> {
public:
    explicit Exchange(std::shared_ptr<Waker> waker) : waker_(std::move(waker)) {}

    void reply(Reply reply) override;
    std::shared_ptr<StreamChannel> stream(Reply head, u64 buffered_bytes_max) override;
    void on_gone(std::move_only_function<void()> told) override;
    [[nodiscard]] bool is_gone() const override;
    Pushed push(std::string_view chunk) override;
    void finish() override;
    void on_drained(std::move_only_function<void()> told) override;

    enum class Answer : u8 { none_yet, reply, stream };
    /// Connection: moves the reply (or a stream's head) into `into`, or arms the waker.
    [[nodiscard]] Answer poll_answer(Reply& into);
    enum class Piece : u8 { none_yet, bytes, finished, overflowed };
    /// Connection: moves what was pushed into `into`, or arms the waker.
    [[nodiscard]] Piece poll_stream(std::string& into);
    /// Connection: the client is gone. Calls whoever asked to be told.
    void tell_gone();
    [[nodiscard]] bool overflowed() const;

private:
    void wake_if_armed(bool armed);

    const std::shared_ptr<Waker> waker_;
    mutable Mutex mutex_;
    std::optional<Reply> reply_ GUARDED_BY(mutex_);
    std::string pending_ GUARDED_BY(mutex_);
    u64 buffered_bytes_max_ GUARDED_BY(mutex_) = 0;
    std::move_only_function<void()> told_ GUARDED_BY(mutex_);
    std::move_only_function<void()> drained_ GUARDED_BY(mutex_);
    bool streaming_ GUARDED_BY(mutex_) = false;
    bool finished_ GUARDED_BY(mutex_) = false;
    bool overflowed_ GUARDED_BY(mutex_) = false;
    bool gone_ GUARDED_BY(mutex_) = false;
    bool armed_ GUARDED_BY(mutex_) = false;
};
}  // namespace vramd::http
