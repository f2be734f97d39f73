/// A connection's life, its heads and its request bodies; connection_reply.cpp has the way back.
#include "http/connection.hpp"

#include <sys/socket.h>

#include "base/clock.hpp"
#include "base/invariant.hpp"
#include "http/problem.hpp"

namespace vramd::http {
namespace {
/// An unread body up to this size is read and thrown away to keep the connection; a larger one ends it.
constexpr u64 skipped_bytes_max = 64 * kib;
constexpr u64 read_bytes = 4 * kib;

class ConnectionWaker final : public Waker {
public:
    ConnectionWaker(std::shared_ptr<LaneDoor> door, std::weak_ptr<Connection> connection)
        : door_(std::move(door)), connection_(std::move(connection)) {}
    /// The connection lives on the lane's thread, so only a job there may ask whether it still exists.
    void wake() override {
        door_->post([weak = connection_] {
            if (const auto connection = weak.lock()) connection->wake();
        });
    }

private:
    const std::shared_ptr<LaneDoor> door_;
    const std::weak_ptr<Connection> connection_;
};
}  // namespace

Connection::Connection(Lane& lane, Socket socket, Peer peer, const HostPolicy& policy, std::unique_ptr<Seats::Seat> seat)
    : lane_(lane),
      socket_(std::move(socket)),
      peer_(std::move(peer)),
      policy_(policy),
      seat_(std::move(seat)),
      waiting_(lane.loop, SteadyClock::time_point::max()) {
    lane_.connections.insert(this);
}

Connection::~Connection() {
    lane_.connections.erase(this);
    if (exchange_) exchange_->tell_gone();
}

Awaitable<void> Connection::serve(std::shared_ptr<Connection> self) {
    self->waker_ = std::make_shared<ConnectionWaker>(self->lane_.door, self);
    self->socket_.non_blocking(true);  // Writes are tried at once, and only waited for when the socket is full.
    co_await self->run();
    boost::system::error_code ignored;  // It is closed either way.
    self->socket_.close(ignored);
}

Awaitable<void> Connection::run() {
    set_deadline(caps().head_wait_ms_max);
    while (!ended_) {
        const HeadOutcome outcome = co_await read_head();
        if (outcome == HeadOutcome::ended) co_return;  // Nothing was said that could get lost.
        if (outcome == HeadOutcome::accepted) {
            lane_.shared.requests.fetch_add(1, std::memory_order_relaxed);
            co_await serve_request();
        } else {
            lane_.shared.refused.fetch_add(1, std::memory_order_relaxed);
            request_ = {};
            request_.persistence = Persistence::close;
            body_state_ = BodyState::done;
            reply_ = problem_reply(error_, {});
            co_await send_reply();
        }
        if (request_.persistence == Persistence::close) break;
    }
    if (!ended_) co_await linger();
}

// ---- Time ----

void Connection::set_deadline(u64 wait_ms) { deadline_ns_ = monotonic_ns() + wait_ms * ns_per_ms; }

void Connection::tick(u64 now_ns) {
    look_for_end();
    if (deadline_ns_ == 0 || now_ns < deadline_ns_) return;
    deadline_ns_ = 0;
    timed_out_ = true;
    boost::system::error_code ignored;  // A closed socket has nothing to cancel.
    socket_.cancel(ignored);
}

void Connection::stop_when_idle() {
    request_.persistence = Persistence::close;
    boost::system::error_code ignored;
    if (idle_) socket_.cancel(ignored);  // `read_head` looks whether a request has come meanwhile: that is answered.
    wake();
}

void Connection::abort() {
    ended_ = true;
    boost::system::error_code ignored;
    socket_.cancel(ignored);
    waiting_.cancel(ignored);
}

void Connection::wake() {
    // A reader too slow for its stream may be holding the coroutine in a write.
    if (exchange_ && exchange_->overflowed()) abort();
    boost::system::error_code ignored;
    waiting_.cancel(ignored);
}

// ---- Heads ----

Awaitable<Connection::HeadOutcome> Connection::read_head() {
    HeadScanner scanner(caps());
    bool blank_line_skipped = false;
    idle_ = input_.empty();
    for (;;) {
        if (input_.view().starts_with("\r\n") && !blank_line_skipped) {  // RFC 9112, 2.2: some clients end a body with one.
            input_.consume(2);
            blank_line_skipped = true;
        }
        if (input_.view() != "\r") {
            const Result<u64> size = scanner.scan(input_.view());
            if (!size) {
                error_ = size.error();
                co_return HeadOutcome::refused;
            }
            if (*size > 0) co_return accept_head(*size);
        }
        if (idle_ && !input_.empty()) {
            idle_ = false;
            set_deadline(caps().head_wait_ms_max);
        }
        const bool last_look = idle_ && lane_.stopping;
        boost::system::error_code unknown;
        if (last_look && socket_.available(unknown) == 0) co_return HeadOutcome::ended;
        if (co_await fill() > 0) continue;
        if (idle_ && lane_.stopping && !last_look && !ended_) continue;
        if (!timed_out_ || idle_) co_return HeadOutcome::ended;
        error_ = Error{Code::malformed_request, {}, 0, 0, "The request's head did not arrive in time."};
        co_return HeadOutcome::refused;
    }
}

Connection::HeadOutcome Connection::accept_head(u64 size_bytes) {
    idle_ = false;
    const std::string_view bytes = input_.view().substr(0, size_bytes);
    const auto judged = [&]() -> Result<CheckedHead> {
        TRY_DO(check_lines(bytes));
        TRY(RawHead raw, parse_head(bytes));
        return check_head(std::move(raw), policy_, peer_);
    };
    Result<CheckedHead> checked = judged();
    input_.consume(size_bytes);
    if (!checked) {
        error_ = std::move(checked).error();
        return HeadOutcome::refused;
    }
    request_ = *std::move(checked);
    if (lane_.stopping) request_.persistence = Persistence::close;
    path_ = request_.head.path;
    body_left_bytes_ = request_.head.content_length_bytes;
    body_state_ = request_.head.framing == Framing::none ? BodyState::done : BodyState::reading;
    decoder_ = {};
    return HeadOutcome::accepted;
}

Awaitable<void> Connection::serve_request() {
    Routing routing = ask_route();
    deadline_ns_ = 0;
    answer_ = Exchange::Answer::reply;
    if (Reply* reply = std::get_if<Reply>(&routing))
        reply_ = std::move(*reply);
    else if (BufferBody* plan = std::get_if<BufferBody>(&routing))
        co_await buffer_body(*plan);
    else
        co_await stream_body(std::get<StreamBody>(routing).sink);
    routing = Reply{};  // What took the body is let go before the answer: whoever reads that finds nothing in use any more.
    if (!ended_ && answer_ == Exchange::Answer::stream)
        co_await send_stream();
    else if (!ended_)
        co_await send_reply();
    if (exchange_ && ended_) exchange_->tell_gone();
    exchange_.reset();
    reply_ = {};
    timed_out_ = false;
    set_deadline(caps().keep_alive_idle_ms_max);
}

Routing Connection::ask_route() {
    try {
        return lane_.shared.handler.route(request_.head);
    } catch (const std::exception&) {  // Memory for the answer itself, at worst: this request fails, the server goes on.
        return problem_reply(Error{Code::system_failed, {}, 0, 0, "The request could not be routed."}, path_);
    }
}

// ---- Bodies ----

Awaitable<void> Connection::send_continue() {
    if (request_.expectation != Expectation::continue_100 || !input_.empty()) co_return;
    request_.expectation = Expectation::none;
    co_await write("HTTP/1.1 100 Continue\r\n\r\n", {});
}

/// How much of the body follows without framing between; 0 at its end, or when body_state_ says why not.
Awaitable<u64> Connection::next_data() {
    while (body_state_ == BodyState::reading) {
        if (request_.head.framing == Framing::length) {
            if (body_left_bytes_ > 0) co_return body_left_bytes_;
            body_state_ = BodyState::done;
            break;
        }
        if (decoder_.data_left_bytes() > 0) co_return decoder_.data_left_bytes();
        const Result<u64> taken = decoder_.feed(input_.view());
        if (!taken) {
            error_ = taken.error();
            body_state_ = BodyState::malformed;
            break;
        }
        input_.consume(*taken);
        if (decoder_.done()) {
            body_state_ = BodyState::done;
        } else if (decoder_.data_left_bytes() == 0 && input_.empty()) {
            set_deadline(caps().body_idle_ms_max);
            if (co_await fill() == 0) body_state_ = BodyState::ended;
        }
    }
    co_return 0;
}

/// Moves what is here, or else reads from the socket straight into `into`, which is no larger than what `next_data` said.
Awaitable<u64> Connection::read_data(std::span<std::byte> into) {
    u64 size_bytes = std::min<u64>(into.size(), input_.size());
    if (size_bytes > 0) {
        std::copy_n(std::as_bytes(std::span(input_.view())).data(), size_bytes, into.data());
        input_.consume(size_bytes);
    } else {
        set_deadline(caps().body_idle_ms_max);
        if (!timed_out_ && !ended_) {
            const auto [failed, read] = co_await socket_.async_read_some(asio::buffer(into.data(), into.size()), when_done);
            if (!failed) size_bytes = read;
        }
        if (size_bytes == 0) {
            body_state_ = BodyState::ended;
            co_return 0;
        }
    }
    if (request_.head.framing == Framing::chunked)
        decoder_.take(size_bytes);
    else
        body_left_bytes_ -= size_bytes;
    co_return size_bytes;
}

/// The body broke off: a malformed one is answered, a client that left or fell silent is not.
void Connection::body_failed() {
    request_.persistence = Persistence::close;
    if (body_state_ == BodyState::malformed) {
        reply_ = problem_reply(error_, path_);
        return;
    }
    if (!timed_out_) {
        ended_ = true;
        return;
    }
    timed_out_ = false;
    reply_ = problem_reply(Error{Code::malformed_request, {}, 0, 0, "The request's body stopped coming."}, path_);
}

Awaitable<void> Connection::buffer_body(BufferBody& plan) {
    Request request;
    const auto too_large = [&](u64 size_bytes) {
        return problem_reply(Error{Code::too_large, "body", size_bytes, plan.body_bytes_max, {}}, path_);
    };
    if (request_.head.content_length_bytes > plan.body_bytes_max) {
        reply_ = too_large(request_.head.content_length_bytes);
        co_return;
    }
    co_await send_continue();
    for (;;) {
        const u64 ready = co_await next_data();
        if (ready == 0) break;
        const u64 have = request.body.size();
        // Grows as bytes come: a Content-Length alone costs nothing.
        const u64 step = std::min(ready, std::max<u64>(16 * kib, have));
        if (ready > plan.body_bytes_max - have) {  // Of a chunk too, before its bytes come.
            reply_ = too_large(have + ready);
            co_return;
        }
        request.body.resize(have + step);
        const u64 read = co_await read_data(std::as_writable_bytes(std::span(request.body)).subspan(have));
        request.body.resize(have + read);
    }
    if (body_state_ != BodyState::done) {
        body_failed();
        co_return;
    }
    request.head = std::move(request_.head);
    plan.answer(std::move(request), make_responder());
    co_await await_answer();
}

Awaitable<void> Connection::stream_body(BodySink& sink) {
    co_await send_continue();
    u64 offset = 0;
    for (;;) {
        const u64 ready = co_await next_data();
        if (ready == 0) break;
        const u64 wanted = std::min(ready, piece_bytes);
        const Result<std::span<std::byte>> room = sink.room(offset, wanted);
        if (!room) {
            reply_ = problem_reply(room.error(), path_);
            co_return;
        }
        INVARIANT(!room->empty() && room->size() <= wanted);
        const u64 read = co_await read_data(*room);
        if (read == 0) continue;  // next_data sees why.
        const Result<void> committed = sink.commit(read);
        if (!committed) {
            reply_ = problem_reply(committed.error(), path_);
            co_return;
        }
        offset += read;
    }
    if (body_state_ != BodyState::done) {
        body_failed();
        co_return;
    }
    sink.finish(offset, make_responder());
    co_await await_answer();
}

bool Connection::can_skip_body() const {
    if (body_state_ == BodyState::done) return true;
    return body_state_ == BodyState::reading && request_.head.framing == Framing::length && body_left_bytes_ <= skipped_bytes_max &&
           request_.expectation == Expectation::none;
}

Awaitable<void> Connection::skip_body() {
    std::array<std::byte, read_bytes> scratch;
    for (;;) {
        const u64 ready = co_await next_data();
        if (ready == 0) break;
        (void)co_await read_data(std::span(scratch).first(std::min<u64>(ready, scratch.size())));  // next_data sees a failure.
    }
    if (body_state_ != BodyState::done) request_.persistence = Persistence::close;
}

/// One read into the input. 0: the client ended, or time or the server did.
Awaitable<u64> Connection::fill() {
    if (ended_ || timed_out_) co_return 0;
    const std::span<char> room = input_.room(read_bytes);
    const auto [failed, read] = co_await socket_.async_read_some(asio::buffer(room.data(), room.size()), when_done);
    if (failed) co_return 0;
    input_.filled(read);
    co_return read;
}

/// Ends the sending side and reads on for a moment: closing on unread bytes would reset the connection, and the client would never see
/// our last reply.
Awaitable<void> Connection::linger() {
    boost::system::error_code failed;
    socket_.shutdown(Socket::shutdown_send, failed);
    if (failed || lane_.stopping) co_return;
    timed_out_ = false;
    set_deadline(caps().drain_ms_max);
    while (co_await fill() > 0) input_.consume(input_.size());
}
}  // namespace vramd::http
