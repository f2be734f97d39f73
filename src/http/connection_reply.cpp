/// The way back: waiting for an answer while watching the client, and sending replies, bodies and streams.
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "base/clock.hpp"
#include "base/invariant.hpp"
#include "http/connection.hpp"
#include "http/problem.hpp"
#include "http/reply_head.hpp"

namespace vramd::http {
namespace {
/// A client may send this much of its next requests while one is answered; then no more is read, and only its end is looked for.
constexpr u64 ahead_bytes_max = 16 * kib;

i64 wall_seconds() { return static_cast<i64>(clock_ns(CLOCK_REALTIME_COARSE) / ns_per_second); }

void count_reply(Shared& shared, u32 status) {
    const std::size_t index = std::clamp<std::size_t>(status / 100, 1, reply_classes) - 1;
    shared.replies[index].fetch_add(1, std::memory_order_relaxed);
}
}  // namespace

Responder Connection::make_responder() {
    exchange_ = std::make_shared<Exchange>(waker_);
    return Responder(exchange_);
}

Awaitable<void> Connection::await_answer() {
    deadline_ns_ = 0;
    timed_out_ = false;
    for (;;) {
        answer_ = exchange_->poll_answer(reply_);
        if (answer_ != Exchange::Answer::none_yet || ended_) break;
        watch();
        co_await waiting_.async_wait(when_done);
    }
}

/// While nothing is read, only this sees a client leave.
void Connection::watch() {
    if (watching_ || input_.size() >= ahead_bytes_max) return;
    watching_ = true;
    socket_.async_wait(Socket::wait_read, [self = shared_from_this()](const boost::system::error_code& failed) {
        self->watching_ = false;
        if (!failed && self->exchange_) self->on_watched();
    });
}

void Connection::on_watched() {
    const std::span<char> room = input_.room(kib);
    const ssize_t read = recv(socket_.native_handle(), room.data(), room.size(), MSG_DONTWAIT);
    if (read > 0) input_.filled(static_cast<u64>(read));
    if (read > 0 || (read < 0 && (errno == EAGAIN || errno == EINTR))) {
        watch();
        return;
    }
    exchange_->tell_gone();
    if (answer_ == Exchange::Answer::stream) abort();
}

/// Behind a full input its end waits unread; the kernel knows of it.
void Connection::look_for_end() {
    if (!exchange_ || watching_ || input_.size() < ahead_bytes_max) return;
    pollfd state{socket_.native_handle(), POLLRDHUP, 0};
    if (poll(&state, 1, 0) != 1) return;
    exchange_->tell_gone();
    if (answer_ == Exchange::Answer::stream) abort();
}

Awaitable<void> Connection::send_reply() {
    std::span<const std::byte> first;
    if (reply_.source && reply_.source->size_bytes > 0 && request_.wanted == BodyWanted::whole) {
        // The first piece before the head: a source that cannot start is still answered as a problem.
        const auto view = reply_.source->pull(0, std::min(reply_.source->size_bytes, piece_bytes));
        if (view)
            first = *view;
        else
            reply_ = problem_reply(view.error(), path_);
    }
    count_reply(lane_.shared, reply_.status);
    if (!can_skip_body() || lane_.stopping) request_.persistence = Persistence::close;
    const u64 size_bytes = reply_.source ? reply_.source->size_bytes : reply_.body.size();
    const std::string head = reply_head(reply_, ReplyFraming::length, size_bytes, request_.persistence, wall_seconds());
    const bool bodiless = request_.wanted == BodyWanted::head_only || reply_.status == 204 || reply_.status == 304;
    if (bodiless)
        co_await write(head, {});
    else if (reply_.source)
        co_await send_source(head, first);
    else
        co_await write(head, std::as_bytes(std::span(reply_.body)));
    if (!ended_ && request_.persistence == Persistence::keep_alive && body_state_ == BodyState::reading) co_await skip_body();
}

Awaitable<void> Connection::send_source(std::string_view head, std::span<const std::byte> first) {
    co_await write(head, first);
    BodySource& source = *reply_.source;
    INVARIANT(first.size() <= source.size_bytes);
    for (u64 offset = first.size(); offset < source.size_bytes && !ended_;) {
        co_await asio::post(lane_.loop, when_done);  // The lane's other connections get a turn.
        const u64 wanted = std::min(source.size_bytes - offset, piece_bytes);
        const auto view = source.pull(offset, wanted);
        if (!view) {
            abort();  // The head has promised more: only a broken connection says that it does not come.
            co_return;
        }
        INVARIANT(!view->empty() && view->size() <= wanted);
        co_await write({}, *view);
        offset += view->size();
    }
}

Awaitable<void> Connection::send_stream() {
    count_reply(lane_.shared, reply_.status);
    const bool chunked = request_.version == 11;
    if (!can_skip_body() || !chunked) request_.persistence = Persistence::close;
    const std::string head =
        reply_head(reply_, chunked ? ReplyFraming::chunked : ReplyFraming::until_close, 0, request_.persistence, wall_seconds());
    co_await write(head, {});
    if (request_.wanted == BodyWanted::head_only) {
        exchange_->tell_gone();
        co_return;
    }
    std::string piece;
    for (;;) {
        if (ended_) break;
        const Exchange::Piece have = lane_.stopping ? Exchange::Piece::finished : exchange_->poll_stream(piece);
        if (have == Exchange::Piece::overflowed) {
            lane_.shared.dropped_readers.fetch_add(1, std::memory_order_relaxed);
            abort();
        } else if (have == Exchange::Piece::finished) {
            if (chunked) co_await write("0\r\n\r\n", {});
            break;
        } else if (have == Exchange::Piece::none_yet) {
            watch();
            co_await waiting_.async_wait(when_done);
        } else if (chunked) {
            std::array<char, 20> digits;
            char* end = std::to_chars(digits.data(), digits.data() + 16, piece.size(), 16).ptr;
            *end++ = '\r';
            *end++ = '\n';
            co_await write(std::string_view(digits.data(), end), std::as_bytes(std::span(piece)), "\r\n");
        } else {
            co_await write({}, std::as_bytes(std::span(piece)));
        }
    }
    exchange_->tell_gone();  // Later pushes are answered `gone`.
}

/// Writes all three, in one call where the socket takes them. They are not joined: a reader that takes nothing then costs its piece once.
Awaitable<void> Connection::write(std::string_view front, std::span<const std::byte> middle, std::string_view back) {
    while (!ended_ && (!front.empty() || !middle.empty() || !back.empty())) {
        const std::array<asio::const_buffer, 3> parts = {
            asio::buffer(front.data(), front.size()), asio::buffer(middle.data(), middle.size()), asio::buffer(back.data(), back.size())};
        boost::system::error_code full;
        const u64 written = socket_.write_some(parts, full);
        const u64 of_front = std::min<u64>(written, front.size());
        const u64 of_middle = std::min<u64>(written - of_front, middle.size());
        front.remove_prefix(of_front);
        middle = middle.subspan(of_middle);
        back.remove_prefix(written - of_front - of_middle);
        if (!full || full == asio::error::interrupted) continue;
        if (full != asio::error::would_block && full != asio::error::try_again) break;
        timed_out_ = false;
        set_deadline(caps().body_idle_ms_max);
        const auto [failed] = co_await socket_.async_wait(Socket::wait_write, when_done);
        deadline_ns_ = 0;
        if (failed) break;
    }
    if (!front.empty() || !middle.empty() || !back.empty()) abort();
}
}  // namespace vramd::http
