#include "keeper/keeper.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <optional>
#include <vector>

#include "base/clock.hpp"
#include "base/random.hpp"
#include "keeper/core_process.hpp"
#include "keeper/holdings.hpp"
#include "keeper/inheritance.hpp"
#include "keeper/listening.hpp"
#include "keeper/log.hpp"
#include "keeper/message.hpp"
#include "keeper/restart.hpp"
#include "keeper/supervisor.hpp"

namespace vramd::keeper {
namespace {
/// Descriptors that the keeper needs for itself.
constexpr u64 descriptors_reserved = 64;
/// How long the service manager may take to read what it is told where that matters.
constexpr u64 settle_ns_max = 200 * ns_per_ms;

enum class Phase : u8 { serving, stopping, upgrading };

class Keeper {
public:
    Keeper(const Settings& settings, std::vector<Stored> stored) : settings_(settings), stored_(std::move(stored)) {}

    int run() {
        if (const auto prepared = prepare(); !prepared) {
            log(describe(prepared.error()));
            return prepared.error().code == Code::conflict ? exit_refused : exit_failed;
        }
        start();
        while (!exit_code_) turn();
        remove_sockets(settings_.places);
        supervisor_.settle(settle_ns_max);
        return *exit_code_;
    }

private:
    Result<void> prepare() {
        TRY_DO(raise_descriptor_limit());
        TRY_DO(take_signals());
        supervisor_.find([](const char* name) { return std::getenv(name); });
        TRY(auto inherited, unpack_inherited());
        if (inherited) {
            holdings_ = *std::move(inherited);
            log("the new binary holds " + std::to_string(holdings_.blocks.size()) + " blocks");
        } else {
            TRY(holdings_, begin_life(std::move(stored_), settings_.places, supervisor_));
            TRY(holdings_.listeners, listen_at(settings_.places));
            holdings_.started_wall_ns = clock_ns(CLOCK_REALTIME);
        }
        fill_store(holdings_, supervisor_);
        return {};
    }

    Result<void> raise_descriptor_limit() {
        rlimit limit{};
        if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::unexpected(system_error("getrlimit", errno));
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return std::unexpected(system_error("setrlimit", errno));
        blocks_max_ = limit.rlim_cur > descriptors_reserved ? limit.rlim_cur - descriptors_reserved : 0;
        return {};
    }

    Result<void> take_signals() {
        sigset_t taken;
        sigemptyset(&taken);
        for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR2}) sigaddset(&taken, number);
        if (sigprocmask(SIG_BLOCK, &taken, nullptr) != 0) return std::unexpected(system_error("sigprocmask", errno));
        (void)signal(SIGPIPE, SIG_IGN);
        signals_ = Fd(signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK));
        if (!signals_) return std::unexpected(system_error("signalfd", errno));
        return {};
    }

    void start() {
        start_at_ns_.reset();
        ++holdings_.generation;
        auto core = start_core(settings_, policy_.read_only() ? Mode::read_only : Mode::normal, ending_ ? &*ending_ : nullptr);
        if (core) {
            core_ = *std::move(core);
            supervisor_.keep(core_name(holdings_.generation), core_->ended, Supervisor::Rank::first);
            return;
        }
        log(describe(core.error()));
        start_at_ns_ = monotonic_ns() + RestartPolicy::delays_ns.back();
    }

    /// One wait, and what came of it: signals first, for they explain a core's end; its last words before its end.
    void turn() {
        std::array<pollfd, 5> waits{pollfd{signals_.get(), POLLIN, 0}, pollfd{-1, POLLIN, 0}, pollfd{-1, POLLIN, 0}, pollfd{-1, POLLIN, 0},
                                    pollfd{supervisor_.wanting(), POLLOUT, 0}};
        if (core_) {
            waits[1].fd = core_->socket.get();
            waits[2].fd = core_->ended.get();
        }
        if (ending_) waits[3].fd = ending_->ended.get();
        if (poll(waits.data(), waits.size(), wait_ms()) < 0 && errno != EINTR) log(describe(system_error("poll", errno)));
        if (waits[0].revents != 0) take_signal();
        if (core_ && waits[1].revents != 0) hear_core();
        if (core_ && waits[2].revents != 0) bury_core();
        if (waits[3].revents != 0 && waitpid(ending_->pid, nullptr, WNOHANG) == ending_->pid) ending_.reset();
        if (waits[4].revents != 0) supervisor_.flush();
        const u64 now_ns = monotonic_ns();
        supervisor_.beat(now_ns);
        if (start_at_ns_ && now_ns >= *start_at_ns_ && phase_ == Phase::serving && !exit_code_) start();
        if (core_ && stop_at_ns_ && now_ns >= *stop_at_ns_) {
            log("the core does not end by itself and is killed");
            stop_at_ns_.reset();
            (void)kill(core_->pid, SIGKILL);
        }
    }

    [[nodiscard]] int wait_ms() const {
        std::optional<u64> next_ns = stop_at_ns_ ? stop_at_ns_ : start_at_ns_;
        if (const auto beat_ns = supervisor_.beat_at_ns(); beat_ns && (!next_ns || *beat_ns < *next_ns)) next_ns = beat_ns;
        if (!next_ns) return -1;
        const u64 now_ns = monotonic_ns();
        return *next_ns <= now_ns ? 0 : static_cast<int>(std::min<u64>(div_ceil(*next_ns - now_ns, ns_per_ms), INT_MAX));
    }

    void take_signal() {
        signalfd_siginfo info{};
        if (read(signals_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return;
        const int number = static_cast<int>(info.ssi_signo);
        if (number == SIGHUP) return start_anew();
        if (phase_ == Phase::stopping) return;
        if (number == SIGUSR2) {
            if (const auto takes = ask_successor(settings_.own_program); !takes) return log("no upgrade: " + describe(takes.error()));
        }
        phase_ = number == SIGUSR2 ? Phase::upgrading : Phase::stopping;
        if (phase_ == Phase::stopping) supervisor_.tell("STOPPING=1");
        if (!core_) return end_phase();
        (void)kill(core_->pid, SIGTERM);  // It is not reaped yet, so the pid is still its own.
        stop_at_ns_ = monotonic_ns() + settings_.stop_ns_max;
    }

    /// The core ends in an orderly way when the configuration is right (`bury_core` then forgets its predecessors' faults); one that is
    /// waited for starts now.
    void start_anew() {
        if (core_) {
            (void)kill(core_->pid, SIGHUP);
        } else if (start_at_ns_) {
            policy_ = {};
            start_at_ns_ = monotonic_ns();
        }
    }

    void hear_core() {
        Packet packet;
        const auto received = receive_message(core_->socket, packet);
        if (!received) return end_liar(describe(received.error()));
        if (*received == Received::packet)
            answer_core(packet);
        else if (*received == Received::closed)
            lose_core();
    }

    /// Its end follows, or it has closed us out and is of no use. A kernel takes down a process with a GPU in a tenth of a second and more,
    /// and closes the socket within the first millisecond, for the core has it at its highest descriptor. When it was killed the next one
    /// starts now.
    void lose_core() {
        core_->socket.reset();  // poll passes over -1 from now on.
        // One at a time: the next core waits for its own predecessor, not for those before that.
        if (phase_ != Phase::serving || ending_ || !core_->served || !was_killed_and_ends(core_->pid)) return;
        ending_ = std::move(core_);
        core_.reset();
        supervisor_.let_go(core_name(holdings_.generation));
        mourn(*ending_, SIGKILL);
    }

    void end_liar(const std::string& why) {
        log(why + " The core is killed.");
        (void)kill(core_->pid, SIGKILL);
    }

    void answer_core(Packet& packet) {
        const Message& asked = packet.head;
        if (packet.descriptors.size() != (asked.kind == Kind::store ? 1u : 0u))
            return end_liar("A message with a wrong number of descriptors.");
        switch (asked.kind) {
            case Kind::take_over:
                return tell_listeners(asked);
            case Kind::next_blocks:
                return tell_blocks(asked);
            case Kind::store:
                return answer(asked, store(asked, std::move(packet.descriptors.front())));
            case Kind::drop:
                return answer(asked, drop(asked));
            case Kind::ready:
                if (asked.count > line_bytes_max) return end_liar("A ready line longer than its message.");
                announce(std::string(reinterpret_cast<const char*>(packet.body.data()), asked.count));
                return answer(asked, {});
            case Kind::answer:
            case Kind::listeners:
            case Kind::blocks:
                break;
        }
        end_liar("A message of a kind that a core does not send.");
    }

    Result<void> store(const Message& asked, Fd descriptor) {
        if (holdings_.blocks.contains(asked.key)) return refuse(Code::conflict, "key", asked.key, 0);
        if (holdings_.blocks.size() >= blocks_max_) return refuse(Code::limit_exceeded, "blocks", holdings_.blocks.size(), blocks_max_);
        const auto [at, fresh] = holdings_.blocks.emplace(asked.key, Kept{asked.size, std::move(descriptor)});
        supervisor_.keep(block_name(asked.key, asked.size), at->second.descriptor);
        return {};
    }

    Result<void> drop(const Message& asked) {
        const auto at = holdings_.blocks.find(asked.key);
        if (at == holdings_.blocks.end()) return refuse(Code::not_found, "key", asked.key, 0);
        supervisor_.let_go(block_name(at->first, at->second.size_bytes));
        holdings_.blocks.erase(at);
        return {};
    }

    void answer(const Message& asked, const Result<void>& result) {
        Message message;
        message.kind = Kind::answer;
        message.request = asked.request;
        if (!result) {
            message.code = 1 + static_cast<u32>(result.error().code);
            message.key = result.error().value;
            message.size = result.error().limit;
        }
        send(message, {}, {});
    }

    void send(const Message& message, std::span<const std::byte> body, std::span<const int> descriptors) {
        if (const auto sent = send_message(core_->socket, message, body, descriptors); !sent && sent.error().code == Code::busy)
            end_liar(describe(sent.error()));  // Any other failure is a core that is ending: its pidfd tells.
    }

    /// Before it a core touches nothing; so a next keeper knows of every core that may have touched something.
    void tell_listeners(const Message& asked) {
        supervisor_.settle(settle_ns_max);
        Message message;
        message.kind = Kind::listeners;
        message.request = asked.request;
        message.key = holdings_.generation;
        message.size = static_cast<u64>(getpid());
        message.started_wall_ns = holdings_.started_wall_ns;
        message.life = holdings_.life;
        std::vector<int> descriptors;
        const auto add = [&](u32 which, const Fd& listener) {
            if (!listener) return;
            message.count |= which;
            descriptors.push_back(listener.get());
        };
        add(listener_tcp, holdings_.listeners.tcp);
        add(listener_http, holdings_.listeners.http_unix);
        add(listener_attach, holdings_.listeners.attach_unix);
        send(message, {}, descriptors);
    }

    void tell_blocks(const Message& asked) {
        Message message;
        message.kind = Kind::blocks;
        message.request = asked.request;
        std::array<BlockEntry, descriptors_max> entries{};
        std::vector<int> descriptors;
        for (auto at = holdings_.blocks.lower_bound(asked.key); at != holdings_.blocks.end() && message.count < descriptors_max; ++at) {
            entries[message.count++] = {at->first, at->second.size_bytes};
            descriptors.push_back(at->second.descriptor.get());
        }
        send(message, std::as_bytes(std::span(entries)), descriptors);
    }

    void announce(const std::string& line) {
        core_->served = true;
        supervisor_.tell(policy_.read_only() ? "READY=1\nSTATUS=Serving, but read-only after three failures: see the log."
                                             : "READY=1\nSTATUS=Serving.");
        if (holdings_.announced) return;
        holdings_.announced = true;
        write_line(STDOUT_FILENO, line);
    }

    void bury_core() {
        int status = 0;
        if (waitpid(core_->pid, &status, WNOHANG) != core_->pid) return;
        const CoreProcess dead = *std::move(core_);
        core_.reset();
        stop_at_ns_.reset();
        supervisor_.let_go(core_name(holdings_.generation));
        if (phase_ != Phase::serving) return end_phase();
        if (!holdings_.announced && WIFEXITED(status)) {
            // It never served, so there is nothing to keep: a word it printed (0), a command line it refused, a program that is not there.
            const int code = WEXITSTATUS(status);
            if (code == exit_done || code == exit_refused) exit_code_ = code;
            if (code == exit_not_executed) exit_code_ = exit_failed;
            if (code == exit_failed && policy_.read_only()) {
                log("the core cannot start, not even to read; what it said above has to be mended first");
                exit_code_ = exit_failed;
            }
            if (exit_code_) return;
        }
        mourn(dead, status);
    }

    /// What the death of a core that served, or might have, leads to. `status`: as `waitpid` has it.
    void mourn(const CoreProcess& dead, int status) {
        const u64 now_ns = monotonic_ns();
        // A core that served and ends in an orderly way wants to start anew: it was told to read its configuration again.
        const bool anew = dead.served && WIFEXITED(status) && WEXITSTATUS(status) == exit_done;
        const bool killed = anew || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        if (anew) {
            policy_ = {};
            supervisor_.tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now_ns / 1000) +
                             "\nSTATUS=Starting again with the configuration as it is now.");
        } else {
            // What is held here, and no word of "all": some devices' memory ends with the core.
            supervisor_.tell("STATUS=The core ended and starts again; " + std::to_string(holdings_.blocks.size()) + " blocks are kept.");
        }
        const bool was_read_only = policy_.read_only();
        const u64 delay_ns = policy_.after({killed ? Cause::killed : Cause::own_fault, dead.served, now_ns - dead.started_ns, now_ns});
        log("the core (pid " + std::to_string(dead.pid) + ") " + describe_status(status) + "; " + std::to_string(holdings_.blocks.size()) +
            " blocks are kept; it starts again in " + std::to_string(delay_ns / ns_per_ms) + " ms");
        if (policy_.read_only() && !was_read_only)
            log("three failures within 10 s: the core starts read-only until SIGHUP or an upgrade (SIGUSR2)");
        start_at_ns_ = now_ns + delay_ns;
    }

    /// The core has ended because the keeper wanted it to.
    void end_phase() {
        if (phase_ == Phase::stopping) {
            exit_code_ = exit_done;
            return;
        }
        upgrade();
        // Still here: the old binary goes on.
        phase_ = Phase::serving;
        policy_ = {};
        start();
    }

    void upgrade() {
        if (ending_) (void)waitpid(ending_->pid, nullptr, 0);  // Nobody else will: the successor does not know of it.
        ending_.reset();
        supervisor_.tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_ns() / 1000) + "\nSTATUS=Executing the binary on disk.");
        supervisor_.settle(settle_ns_max);
        mark_stored(holdings_, supervisor_);
        log("executing " + settings_.own_program + " with " + std::to_string(holdings_.blocks.size()) + " blocks");
        const auto packed = pack(holdings_);
        if (packed) {
            (void)setenv("VRAMD_KEEPER_STATE", std::to_string(packed->get()).c_str(), 1);
            export_places(settings_.places);  // The successor asks no file: these are settled.
            std::vector<char*> arguments(settings_.arguments.begin(), settings_.arguments.end());
            arguments.push_back(nullptr);
            execv(settings_.own_program.c_str(), arguments.data());
            log("the upgrade did not happen: " + describe(system_error("execv", errno)));
            (void)unsetenv("VRAMD_KEEPER_STATE");
        } else {
            log("the upgrade did not happen: " + describe(packed.error()));
        }
        seal_against_exec(holdings_);
    }

    const Settings& settings_;
    std::vector<Stored> stored_;
    Holdings holdings_;
    Supervisor supervisor_;
    Fd signals_;
    std::optional<CoreProcess> core_;
    std::optional<CoreProcess> ending_;  ///< The one before it, until it is reaped.
    RestartPolicy policy_;
    Phase phase_ = Phase::serving;
    std::optional<u64> start_at_ns_;  ///< When the next core is due; none while one runs.
    std::optional<u64> stop_at_ns_;   ///< When the core is killed if it has not ended.
    std::optional<int> exit_code_;
    u64 blocks_max_ = 0;
};
}  // namespace

int run(const Settings& settings, std::vector<Stored> stored) { return Keeper(settings, std::move(stored)).run(); }
}  // namespace vramd::keeper
