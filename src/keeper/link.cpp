#include "keeper/link.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>

#include "base/clock.hpp"
#include "base/mutex.hpp"
#include "keeper/message.hpp"

namespace vramd::keeper {
namespace {
constexpr u64 answer_ns_max = 5 * ns_per_second;

std::unexpected<Error> keeper_gone() { return refuse(Code::system_failed, "keeper", "The keeper does not answer any more."); }
/// The keeper's refusal in words.
std::unexpected<Error> refused(const Message& answer) {
    Error error{static_cast<Code>(answer.code - 1), "key", answer.key, answer.size, {}};
    if (error.code == Code::conflict) error.detail = "The keeper holds a block of this key already.";
    if (error.code == Code::limit_exceeded) {
        error.field = "blocks";
        error.detail = "The keeper holds " + std::to_string(error.value) + " blocks, and its limit of open files allows no more (" +
                       std::to_string(error.limit) + ").";
    }
    return std::unexpected(std::move(error));
}
}  // namespace

struct Link::State {
    Fd socket;
    Fd keeper;  ///< A pidfd.
    Mutex mutex;
    u64 request GUARDED_BY(mutex) = 0;
    bool broken GUARDED_BY(mutex) = false;  ///< After a missed or odd answer nothing that follows could be told apart.

    Result<void> wait_for_answer() const {
        const u64 deadline_ns = monotonic_ns() + answer_ns_max;
        while (true) {
            const u64 now_ns = monotonic_ns();
            if (now_ns >= deadline_ns) return refuse(Code::timed_out, "keeper", "The keeper did not answer within 5 s.");
            pollfd entry{socket.get(), POLLIN, 0};
            const int ready = poll(&entry, 1, static_cast<int>((deadline_ns - now_ns) / ns_per_ms + 1));
            if (ready > 0) return {};
            if (ready < 0 && errno != EINTR) return std::unexpected(system_error("poll", errno));
        }
    }

    /// One request and its answer of `kind`; an `answer` with a code is that error.
    Result<void> exchange(Message message, std::span<const std::byte> body, std::span<const int> descriptors, Kind kind, Packet& packet)
        REQUIRES(mutex) {
        if (broken) return keeper_gone();
        message.request = ++request;
        broken = true;  // Until the answer is there.
        TRY_DO(send_message(socket, message, body, descriptors));
        Received received = Received::nothing;
        while (received == Received::nothing) {
            TRY_DO(wait_for_answer());
            TRY(received, receive_message(socket, packet));
        }
        if (received == Received::closed || packet.head.request != message.request) return keeper_gone();
        broken = false;
        if (packet.head.kind == Kind::answer && packet.head.code != 0) return refused(packet.head);
        if (packet.head.kind != kind) return keeper_gone();
        return {};
    }
};

namespace {
std::optional<int> descriptor_in(const char* variable) {
    const char* const text = std::getenv(variable);
    if (text == nullptr) return std::nullopt;
    const std::string_view digits = text;
    int descriptor = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), descriptor);
    if (error != std::errc{} || end != digits.data() + digits.size() || descriptor < 3) return std::nullopt;
    return descriptor;
}

/// When a process ends, the kernel closes its descriptors from the highest number downwards: so the keeper hears of a death by this one
/// before the driver of a GPU, say, is done with the others. Measured in docs/notes/0010-a-death-is-heard.md.
Result<Fd> highest(const Fd& socket) {
    constexpr rlim_t high_enough = 32'768;  // A higher one costs a larger table.
    constexpr rlim_t others = 8;
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::unexpected(system_error("getrlimit", errno));
    const rlim_t number = std::min(limit.rlim_cur, high_enough);
    Fd moved(number > others ? fcntl(socket.get(), F_DUPFD_CLOEXEC, static_cast<int>(number - others)) : -1);
    if (moved) return moved;
    return socket.duplicate();
}
}  // namespace

std::optional<int> Link::inherited() { return descriptor_in("VRAMD_KEEPER_FD"); }

Fd Link::inherited_predecessor() {
    Fd ended(descriptor_in("VRAMD_PREDECESSOR_FD").value_or(-1));
    if (ended) (void)fcntl(ended.get(), F_SETFD, FD_CLOEXEC);
    return ended;
}

Result<std::unique_ptr<Link>> Link::take(int descriptor) {
    auto state = std::make_unique<State>();
    state->socket = Fd(descriptor);
    ucred peer{};
    socklen_t size = sizeof peer;
    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::unexpected(system_error("SO_PEERCRED", errno));
    // A descriptor of a child's keeper must not live on in the core's own children.
    TRY(state->socket, highest(state->socket));
    state->keeper = Fd(static_cast<int>(syscall(SYS_pidfd_open, peer.pid, 0)));
    if (!state->keeper) return std::unexpected(system_error("pidfd_open", errno));
    return std::unique_ptr<Link>(new Link(std::move(state)));
}

Link::Link(std::unique_ptr<State> state) : state_(std::move(state)) {}
Link::~Link() = default;

Result<Takeover> Link::takeover() {
    State& s = *state_;
    const Lock lock(s.mutex);
    Packet packet;
    Message message;
    message.kind = Kind::take_over;
    TRY_DO(s.exchange(message, {}, {}, Kind::listeners, packet));
    Takeover taken;
    taken.generation = packet.head.key;
    taken.keeper_pid = packet.head.size;
    taken.started_wall_ns = packet.head.started_wall_ns;
    taken.life = packet.head.life;
    auto next = packet.descriptors.begin();
    const auto take_next = [&](u32 which, Fd& listener) {
        if ((packet.head.count & which) != 0 && next != packet.descriptors.end()) listener = std::move(*next++);
    };
    take_next(listener_tcp, taken.listeners.tcp);
    take_next(listener_http, taken.listeners.http_unix);
    take_next(listener_attach, taken.listeners.attach_unix);

    message.kind = Kind::next_blocks;
    message.key = 0;
    while (true) {
        TRY_DO(s.exchange(message, {}, {}, Kind::blocks, packet));
        if (packet.head.count != packet.descriptors.size()) return keeper_gone();
        for (u32 i = 0; i < packet.head.count; ++i)
            taken.blocks.push_back({packet.body[i].key, packet.body[i].size_bytes, std::move(packet.descriptors[i])});
        if (packet.head.count == 0 || taken.blocks.back().key == UINT64_MAX) return taken;
        message.key = taken.blocks.back().key + 1;
    }
}

Result<void> Link::store(u64 key, u64 size_bytes, const Fd& descriptor) {
    const Lock lock(state_->mutex);
    Message message;
    message.kind = Kind::store;
    message.key = key;
    message.size = size_bytes;
    const std::array descriptors{descriptor.get()};
    Packet packet;
    return state_->exchange(message, {}, descriptors, Kind::answer, packet);
}

Result<void> Link::drop(u64 key) {
    const Lock lock(state_->mutex);
    Message message;
    message.kind = Kind::drop;
    message.key = key;
    Packet packet;
    return state_->exchange(message, {}, {}, Kind::answer, packet);
}

Result<void> Link::ready(std::string_view line) {
    if (line.size() > line_bytes_max) return refuse(Code::too_large, "line", line.size(), line_bytes_max);
    const Lock lock(state_->mutex);
    Message message;
    message.kind = Kind::ready;
    message.count = static_cast<u32>(line.size());
    Packet packet;
    return state_->exchange(message, std::as_bytes(std::span(line)), {}, Kind::answer, packet);
}

int Link::hangup_fd() const { return state_->keeper.get(); }
}  // namespace vramd::keeper
