#include "attach/server.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <optional>
#include <set>
#include <thread>

#include "attach/client.hpp"
#include "attach/overdue.hpp"
#include "base/clock.hpp"
#include "base/invariant.hpp"
#include "base/mutex.hpp"

namespace vramd::attach {
namespace {
constexpr u64 listener_mark = 0;
constexpr u64 wake_mark = 1;
constexpr u64 pipes_mark = 2;
constexpr u64 first_client = 3;
constexpr int accepted_per_turn_max = 64;
constexpr int exhausted_wait_ms = 50;

/// Connections, and the stream of events that each may have, are a part of the descriptors of this process: blocks and files need theirs.
void keep_within_limit(Quotas& quotas) {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
    quotas.connections_max = std::min<u64>(quotas.connections_max, limit.rlim_cur / 6);
    quotas.connections_per_uid_max = std::min<u64>(quotas.connections_per_uid_max, limit.rlim_cur / 8);
}

/// Work for the server's thread, from any thread.
class PostBox {
public:
    explicit PostBox(Fd wake) : wake_(std::move(wake)) {}
    void post(u64 session, Later work) {
        {
            const Lock lock(lock_);
            posted_.emplace_back(session, std::move(work));
        }
        ring();
    }
    void ring() const {
        const u64 one = 1;
        (void)!write(wake_.get(), &one, sizeof one);  // It can only fail when it is rung already.
    }
    [[nodiscard]] std::vector<std::pair<u64, Later>> take() {
        const Lock lock(lock_);
        return std::exchange(posted_, {});
    }
    [[nodiscard]] int descriptor() const { return wake_.get(); }

private:
    Mutex lock_;
    std::vector<std::pair<u64, Later>> posted_ GUARDED_BY(lock_);
    Fd wake_;
};

class RunningServer final : public Server {
public:
    RunningServer(Options options, engine::Engine& engine, api::EventStreams& streams, Fd epoll, std::shared_ptr<PostBox> box,
                  std::unique_ptr<EventPipes> pipes)
        : listening_(std::move(options.listening)),
          daemon_uid_(options.daemon_uid),
          epoll_(std::move(epoll)),
          box_(std::move(box)),
          pipes_(std::move(pipes)),
          world_{engine, [to = box_](u64 session, Later work) { to->post(session, std::move(work)); }, streams, *pipes_, options.quotas},
          look_ns_(std::min(options.zombie_grace_ns, ns_per_second)),
          say_(std::move(options.say)) {
        if (look_ns_ > 0) overdue_.emplace(options.zombie_grace_ns);
    }
    ~RunningServer() override {
        stopping_ = true;
        box_->ring();
        if (thread_.joinable()) thread_.join();
    }
    Result<void> begin() {
        TRY_DO(watch(box_->descriptor(), wake_mark, EPOLLIN));
        TRY_DO(watch(pipes_->descriptor(), pipes_mark, EPOLLIN));
        TRY_DO(watch(listening_.get(), listener_mark, EPOLLIN | EPOLLET));
        thread_ = std::thread([this] { run(); });
        return {};
    }
    void close_door() override {
        door_closed_ = true;
        box_->ring();
    }
    u64 connections() const override { return connections_.load(std::memory_order_relaxed); }

private:
    /// Whether somebody may stand before the door: more than a turn takes, or no descriptor is left for a connection.
    enum class Knocks : u8 { none, more, exhausted };
    Result<void> watch(int descriptor, u64 mark, u32 events) {
        epoll_event event{};
        event.events = events;
        event.data.u64 = mark;
        if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) return std::unexpected(system_error("epoll_ctl", errno));
        return {};
    }
    void run();
    [[nodiscard]] int wait_ms() const;
    void happened(const epoll_event& event);
    void accept_all();
    [[nodiscard]] Knocks accept_one();
    void serve(Client& client);
    [[nodiscard]] bool receive_one(Client& client);
    void settle(Client& client);
    void hear_posted();
    void keep_time(u64 now_ns);
    void end_gone(const std::set<u64>& numbers);
    void look_for_overdue(u64 now_ns);
    void end_process(Client& client, const engine::ZombieTold& zombie);

    Fd listening_;
    const u32 daemon_uid_;
    const Fd epoll_;
    const std::shared_ptr<PostBox> box_;
    const std::unique_ptr<EventPipes> pipes_;
    World world_;
    std::map<u64, std::unique_ptr<Client>> clients_;
    std::map<u32, u64> connections_of_;  ///< By uid.
    std::map<u32, u64> pending_of_;      ///< By uid.
    std::set<u64> timed_;                ///< Clients whose loads are told of, or that can be sent nothing.
    std::set<u64> busy_;                 ///< Clients that may have packets and may be read.
    std::set<u64> changed_;              ///< Clients to look at: their end, what they have taken.
    u64 next_number_ = first_client;
    u64 last_tick_ns_ = 0;
    const u64 look_ns_;               ///< How often it is looked who keeps a zombie.
    std::optional<Overdue> overdue_;  ///< Nothing: nobody is ended for that.
    u64 last_look_ns_ = 0;
    const std::function<void(const std::string&)> say_;
    Knocks knocks_ = Knocks::none;
    std::atomic<bool> stopping_ = false;
    std::atomic<bool> door_closed_ = false;
    std::atomic<u64> connections_ = 0;
    std::thread thread_;
};

void RunningServer::run() {
    std::array<epoll_event, 64> events;
    while (!stopping_) {
        const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_ms());
        for (int i = 0; i < count; ++i) happened(events[static_cast<std::size_t>(i)]);
        end_gone(std::set(changed_));  // Before those are heard who came after: what it held is theirs.
        if (door_closed_ && listening_) listening_.reset();
        if (knocks_ != Knocks::none) accept_all();
        hear_posted();
        for (const u64 number : std::exchange(busy_, {}))
            if (const auto found = clients_.find(number); found != clients_.end()) serve(*found->second);
        keep_time(monotonic_ns());
        if (overdue_) look_for_overdue(monotonic_ns());
        end_gone(std::exchange(changed_, {}));
    }
    hear_posted();  // What the engine answered last is sent yet.
    clients_.clear();
}

int RunningServer::wait_ms() const {
    if (!busy_.empty() || !changed_.empty() || knocks_ == Knocks::more) return 0;
    if (knocks_ == Knocks::exhausted) return exhausted_wait_ms;
    if (!timed_.empty()) return static_cast<int>(tick_ms);
    return overdue_ && !clients_.empty() ? static_cast<int>(div_ceil(look_ns_, ns_per_ms)) : -1;
}

void RunningServer::happened(const epoll_event& event) {
    if (event.data.u64 == wake_mark) {
        u64 rung = 0;
        (void)!read(box_->descriptor(), &rung, sizeof rung);  // Nothing to read is as good.
        return;
    }
    if (event.data.u64 == pipes_mark) return pipes_->turn();
    if (event.data.u64 == listener_mark) {
        knocks_ = Knocks::more;
        return;
    }
    const auto found = clients_.find(event.data.u64);
    if (found == clients_.end()) return;
    Client& client = *found->second;
    if ((event.events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0) client.gone = true;
    if ((event.events & EPOLLIN) != 0) client.readable = true;
    client.flush();
    changed_.insert(client.number);
}

void RunningServer::accept_all() {
    knocks_ = Knocks::more;
    for (int i = 0; i < accepted_per_turn_max && knocks_ == Knocks::more; ++i) knocks_ = listening_ ? accept_one() : Knocks::none;
}

RunningServer::Knocks RunningServer::accept_one() {
    Fd socket(accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) return Knocks::exhausted;  // The backlog waits.
        return errno == EAGAIN ? Knocks::none : Knocks::more;  // Anything else is that client's own trouble.
    }
    ipc::Channel channel(std::move(socket));
    const auto peer = channel.peer();
    if (!peer) return Knocks::more;
    u64& of_user = connections_of_[peer->uid];
    if (of_user >= world_.quotas.connections_per_uid_max || clients_.size() >= world_.quotas.connections_max) {
        const Error error{Code::busy, "connections", 0, 0, "Too many connections are open; close one, or try again later."};
        (void)channel.send(refusal_text("null", Number::refused, error));  // It is closed next whether it listened or not.
        return Knocks::more;
    }
    const u64 number = next_number_++;
    if (!watch(channel.descriptor(), number, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) return Knocks::more;
    ++of_user;
    Caller caller{"uid:" + std::to_string(peer->uid), peer->uid == 0 || peer->uid == daemon_uid_ ? Role::admin : Role::user, {}};
    clients_.emplace(number, std::make_unique<Client>(world_, number, std::move(channel), *peer, std::move(caller)));
    connections_.store(clients_.size(), std::memory_order_relaxed);
    busy_.insert(number);
    return Knocks::more;
}

/// A few packets of one client.
void RunningServer::serve(Client& client) {
    for (u64 i = 0; i < world_.quotas.messages_per_turn && !client.gone && client.readable; ++i) {
        settle(client);
        if (!client.may_be_read(world_.quotas, pending_of_[client.peer.uid])) break;
        if (!receive_one(client)) break;
    }
    changed_.insert(client.number);
}

bool RunningServer::receive_one(Client& client) {
    const auto received = client.channel.receive(ipc::Descriptors::refused);
    if (!received) {
        client.session.refuse_packet(received.error());
        // One that is too long was dropped whole; who sends descriptors, or breaks down, is done with.
        if (received.error().field != "frame") client.gone = true;
    } else if (received->kind == ipc::Received::Kind::nothing) {
        client.readable = false;
    } else if (received->kind == ipc::Received::Kind::closed) {
        client.gone = true;
    } else {
        client.session.receive(received->text);
    }
    if (client.session.faults() > world_.quotas.faults_max) client.gone = true;
    return client.readable && !client.gone;
}

/// Brings the user's sum of pending descriptors up to date; who waited for that to fall is looked at again.
void RunningServer::settle(Client& client) {
    client.look_at_taken();
    u64& sum = pending_of_[client.peer.uid];
    const u64 before = sum;
    sum += client.pending();
    sum -= client.counted;
    client.counted = client.pending();
    if (before < world_.quotas.untaken_descriptors_per_uid_max || sum >= before) return;
    for (const auto& [number, other] : clients_)
        if (other->readable && other->peer.uid == client.peer.uid) busy_.insert(number);
}

void RunningServer::hear_posted() {
    for (auto& [number, work] : box_->take()) {
        const auto found = clients_.find(number);
        const bool there = found != clients_.end() && !found->second->gone;
        work(there ? &found->second->session : nullptr);
        if (there) changed_.insert(number);
    }
}

void RunningServer::keep_time(u64 now_ns) {
    if (now_ns - last_tick_ns_ >= tick_ms * ns_per_ms) {
        last_tick_ns_ = now_ns;
        for (const u64 number : timed_) {
            clients_.at(number)->session.tick();
            changed_.insert(number);
        }
    }
    for (const u64 number : changed_) {
        const auto found = clients_.find(number);
        if (found == clients_.end()) continue;
        Client& client = *found->second;
        settle(client);
        const bool may = client.may_be_read(world_.quotas, pending_of_[client.peer.uid]);
        if (client.readable && may) busy_.insert(number);
        if (may || (client.untaken == 0 && !client.has_unsent()) || (!client.readable && !client.has_unsent()))
            client.stuck_since_ns = 0;
        else if (client.stuck_since_ns == 0)
            client.stuck_since_ns = now_ns;
        else if (now_ns - client.stuck_since_ns > world_.quotas.unread_wait_ms_max * ns_per_ms)
            client.gone = true;
        if (client.session.wants_ticks() || client.stuck_since_ns != 0)
            timed_.insert(number);
        else
            timed_.erase(number);
    }
}

/// Who keeps a zombie for longer than the operator has it is ended.
void RunningServer::look_for_overdue(u64 now_ns) {
    if (now_ns - last_look_ns_ < look_ns_) return;
    last_look_ns_ = now_ns;
    std::vector<Keeping> kept;
    if (const std::vector<engine::ZombieTold> zombies = world_.engine.zombies(); !zombies.empty())
        for (const auto& [number, client] : clients_)
            for (const engine::ZombieTold& zombie : client->session.held_of(zombies)) kept.push_back({number, zombie});
    overdue_->see(kept, now_ns);
    std::set<u64> ended;
    for (const Keeping& keeping : overdue_->take_due(now_ns)) {
        Client& client = *clients_.at(keeping.connection);
        if (client.gone || client.session.let_go_unmapped(keeping.zombie.id)) continue;
        if (ended.insert(client.number).second) end_process(client, keeping.zombie);
    }
}

void RunningServer::end_process(Client& client, const engine::ZombieTold& zombie) {
    const pid_t pid = client.peer.pid;
    const auto freed = world_.engine.allocation({"", Role::admin}, zombie.id);
    if (!freed) return;  // It came back just now.
    const std::string who = "process " + std::to_string(pid) + " (" + process_name(pid) + "), which still held " + to_text(zombie.id) +
                            " (" + std::to_string(zombie.bytes) + " bytes) though it was freed";
    // Or whoever shares memory could have any process ended that takes it.
    const bool own = freed->owner == "uid:" + std::to_string(client.peer.uid);
    const auto ended = own ? end_peer(client.channel, pid, client.accepted_ns)
                           : refuse(Code::forbidden, "peer", "It runs as another user than the one whose memory that was.");
    if (!ended && ended.error().code == Code::not_found) return;  // Its end is on its way.
    bool& told = ended ? client.told_end : client.told_stay;
    if (std::exchange(told, true) || !say_) return;
    say_(ended ? "ended " + who
               : "cannot end " + who + ": " + describe(ended.error()) + " Its mapping lives on, and is counted until it lets go");
}

void RunningServer::end_gone(const std::set<u64>& numbers) {
    for (const u64 number : numbers) {
        const auto found = clients_.find(number);
        if (found == clients_.end() || !found->second->gone) continue;
        Client& client = *found->second;
        client.session.end();
        const u32 uid = client.peer.uid;
        const u64 pending = client.counted;
        pending_of_[uid] -= pending;
        if (--connections_of_[uid] == 0) {
            connections_of_.erase(uid);
            pending_of_.erase(uid);
        }
        busy_.erase(number);
        timed_.erase(number);
        clients_.erase(found);  // Closes the connection.
        connections_.store(clients_.size(), std::memory_order_relaxed);
        for (const auto& [other, waiting] : clients_)
            if (pending > 0 && waiting->readable && waiting->peer.uid == uid) busy_.insert(other);
    }
}
}  // namespace

Result<std::unique_ptr<Server>> Server::start(Options options, engine::Engine& engine, api::EventStreams& streams) {
    Fd epoll(epoll_create1(EPOLL_CLOEXEC));
    if (!epoll) return std::unexpected(system_error("epoll_create1", errno));
    keep_within_limit(options.quotas);
    Fd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake) return std::unexpected(system_error("eventfd", errno));
    TRY(auto pipes, EventPipes::open());
    auto server = std::make_unique<RunningServer>(std::move(options), engine, streams, std::move(epoll),
                                                  std::make_shared<PostBox>(std::move(wake)), std::move(pipes));
    TRY_DO(server->begin());
    return server;
}
}  // namespace vramd::attach
