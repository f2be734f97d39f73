/// How the server asks what to do with a request, and how it is answered, at once or later, from any thread.
///
/// Order for each request: the head is read and checked; `Handler::route` decides; the body (if any) is buffered or streamed; exactly one
/// reply goes out. A `Responder` can be kept while an operation runs: no thread waits for it. One that is dropped unanswered answers 500.
#pragma once
#include <variant>

#include "http/message.hpp"

namespace vramd::http {
enum class Pushed : u8 {
    accepted,
    gone,  ///< The reader left, or was dropped because it read too slowly; nothing will ever be accepted again.
};

/// The far end of an open-ended reply. Implemented by the server; all calls from any thread.
class StreamChannel {
public:
    virtual ~StreamChannel() = default;
    virtual Pushed push(std::string_view chunk) = 0;
    virtual void finish() = 0;
    virtual void on_gone(std::move_only_function<void()> told) = 0;
    virtual void on_drained(std::move_only_function<void()> told) = 0;
};

/// A reply without an end: server-sent events. Move-only; its destruction ends the reply properly.
class EventStream {
public:
    explicit EventStream(std::shared_ptr<StreamChannel> channel) : channel_(std::move(channel)) {}
    EventStream(EventStream&&) noexcept = default;
    EventStream& operator=(EventStream&& other) noexcept;
    ~EventStream();

    /// Queues bytes for the reader, whole or not at all. Never blocks: a reader that lets more than the stream's bound pile up is dropped.
    Pushed push(std::string_view chunk) { return channel_->push(chunk); }
    /// Calls `told` once, when the reader is gone; at once if it is already. Runs on the server's thread or on this one: it must not block.
    void on_gone(std::move_only_function<void()> told) { channel_->on_gone(std::move(told)); }
    /// Calls `told` once, when all that was pushed is in the reader's socket, or the reader is gone; at once if that is so already. Who
    /// pushes no more until then lets nothing pile up, however slow the reader is. As with `on_gone` it must not block; the next call
    /// takes the place of one that was not told yet.
    void on_drained(std::move_only_function<void()> told) { channel_->on_drained(std::move(told)); }

private:
    std::shared_ptr<StreamChannel> channel_;
};

/// The far end of a reply. Implemented by the server (and by tests of handlers); all calls from any thread.
class ReplyChannel {
public:
    virtual ~ReplyChannel() = default;
    /// Called once at most, and never after `stream`.
    virtual void reply(Reply reply) = 0;
    virtual std::shared_ptr<StreamChannel> stream(Reply head, u64 buffered_bytes_max) = 0;
    virtual void on_gone(std::move_only_function<void()> told) = 0;
    [[nodiscard]] virtual bool is_gone() const = 0;
};

/// The right and duty to answer one request, exactly once, from any thread. Move-only.
class Responder {
public:
    explicit Responder(std::shared_ptr<ReplyChannel> channel) : channel_(std::move(channel)) {}
    Responder(Responder&&) noexcept = default;
    Responder& operator=(Responder&& other) noexcept;
    /// Unanswered: answers 500 `system-failed`.
    ~Responder();

    /// Answers. A reply to a client that has gone is let go of.
    void operator()(Reply reply) &&;
    /// Answers with `head` (its status, type and headers) and a body that is pushed as it comes, at most `buffered_bytes_max` ahead of the
    /// reader.
    [[nodiscard]] EventStream stream(Reply head, u64 buffered_bytes_max = mib) &&;
    /// Calls `told` once if the client goes away before it is answered; at once if it has. Runs on the server's thread or on this one: it
    /// must not block, and must not own this responder. A client that only ended its sending counts as gone too, but still gets the reply.
    void on_gone(std::move_only_function<void()> told) { channel_->on_gone(std::move(told)); }
    [[nodiscard]] bool gone() const { return channel_->is_gone(); }

private:
    std::shared_ptr<ReplyChannel> channel_;
};

/// Where a streamed request body goes. Destroyed without `finish` when the client stops early or a call fails.
struct BodySink {
    /// Where the bytes from `offset_bytes` of the body on may be put, 1 … `max_bytes` of them; the span stays valid until `commit`. Called
    /// on the connection's thread; must not block for long. An error is answered as a problem and the rest of the body is thrown away.
    std::move_only_function<Result<std::span<std::byte>>(u64 offset_bytes, u64 max_bytes)> room;
    /// So many bytes (> 0) of the last room are filled now.
    std::move_only_function<Result<void>(u64 size_bytes)> commit;
    /// The body is complete: `size_bytes` in all.
    std::move_only_function<void(u64 size_bytes, Responder)> finish;
};

/// Read the whole body (413 beyond `body_bytes_max`), then call `answer` on the connection's thread; it must not block.
struct BufferBody {
    u64 body_bytes_max = mib;
    std::move_only_function<void(Request, Responder)> answer;
};
/// Stream the body into `sink`.
struct StreamBody {
    BodySink sink;
};
/// What to do with a request; a `Reply` answers it with its body unread.
using Routing = std::variant<Reply, BufferBody, StreamBody>;

/// The one who knows the routes. Called from all of the server's threads at once.
class Handler {
public:
    virtual ~Handler() = default;
    /// Decides from the head alone. Must not block.
    [[nodiscard]] virtual Routing route(const RequestHead& head) = 0;
};
}  // namespace vramd::http
