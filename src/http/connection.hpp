/// One client's connection: requests one after the other, each head, route, body, reply. See server.hpp for what it promises.
///
/// Coroutines here take no by-value arguments and pass state through members: GCC 12 destroys some coroutine parameters twice.
#pragma once
#include "http/chunked.hpp"
#include "http/exchange.hpp"
#include "http/input.hpp"
#include "http/lane.hpp"

namespace vramd::http {
/// Lives on its lane's thread, held by the coroutine that serves it.
class Connection : public std::enable_shared_from_this<Connection> {
public:
    Connection(Lane& lane, Socket socket, Peer peer, const HostPolicy& policy, std::unique_ptr<Seats::Seat> seat);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// Serves until either side ends it.
    [[nodiscard]] static Awaitable<void> serve(std::shared_ptr<Connection> self);
    /// Ends what takes too long; called every now and then.
    void tick(u64 now_ns);
    /// Ends the connection where it waits for a request, or after its present one.
    void stop_when_idle();
    /// Ends it now.
    void abort();
    /// Something was answered or pushed: look again.
    void wake();

private:
    enum class HeadOutcome : u8 { accepted, refused, ended };
    enum class BodyState : u8 { reading, done, malformed, ended };

    Awaitable<void> run();
    Awaitable<HeadOutcome> read_head();
    [[nodiscard]] HeadOutcome accept_head(u64 size_bytes);
    Awaitable<void> serve_request();
    [[nodiscard]] Routing ask_route();
    Awaitable<void> buffer_body(BufferBody& plan);
    Awaitable<void> stream_body(BodySink& sink);
    Awaitable<void> send_continue();
    Awaitable<u64> next_data();
    Awaitable<u64> read_data(std::span<std::byte> into);
    void body_failed();
    [[nodiscard]] bool can_skip_body() const;
    Awaitable<void> skip_body();

    [[nodiscard]] Responder make_responder();
    Awaitable<void> await_answer();
    void watch();
    void on_watched();
    void look_for_end();

    Awaitable<void> send_reply();
    Awaitable<void> send_source(std::string_view head, std::span<const std::byte> first);
    Awaitable<void> send_stream();
    Awaitable<u64> fill();
    Awaitable<void> write(std::string_view front, std::span<const std::byte> middle, std::string_view back = {});
    Awaitable<void> linger();
    void set_deadline(u64 wait_ms);
    [[nodiscard]] const Caps& caps() const { return lane_.shared.caps; }

    Lane& lane_;
    Socket socket_;
    const Peer peer_;
    const HostPolicy& policy_;
    const std::unique_ptr<Seats::Seat> seat_;
    std::shared_ptr<Waker> waker_;
    Timer waiting_;  ///< Never expires; cancelled to wake the coroutine.
    Input input_;
    u64 deadline_ns_ = 0;  ///< 0: none.
    bool idle_ = true;     ///< Between requests, nothing of the next one here yet.
    bool timed_out_ = false;
    bool ended_ = false;  ///< The socket is of no more use.
    bool watching_ = false;

    // The present request.
    CheckedHead request_;
    std::string path_;
    Error error_;
    ChunkDecoder decoder_;
    BodyState body_state_ = BodyState::done;
    u64 body_left_bytes_ = 0;
    std::shared_ptr<Exchange> exchange_;
    Exchange::Answer answer_ = Exchange::Answer::none_yet;
    Reply reply_;
};
}  // namespace vramd::http
