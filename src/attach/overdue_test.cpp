/// Who is due, and the end of real processes: the right one, or nobody.
#include "attach/overdue.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "base/clock.hpp"

using namespace vramd;
using namespace vramd::attach;

namespace {
Keeping keeping(u64 connection, u64 serial) { return {connection, {AllocationId{serial, 7}, 4096}}; }

/// A socket that processes of the test connect to.
struct OverdueDoor {
    OverdueDoor() {
        at.sun_family = AF_UNIX;
        REQUIRE(bind(listening.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at.sun_family) == 0);  // The kernel names it.
        REQUIRE(getsockname(listening.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
        REQUIRE(listen(listening.get(), 4) == 0);
    }
    /// A process that connects, does this and ends.
    template <class Work>
    pid_t connect_from_child(Work&& work) const {
        const pid_t pid = fork();
        REQUIRE(pid >= 0);
        if (pid > 0) return pid;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        const Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&at), size) == 0) work(socket);
        _exit(0);
    }
    [[nodiscard]] ipc::Channel accepted() const { return ipc::Channel(Fd(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC))); }

    Fd listening{socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    sockaddr_un at{};
    socklen_t size = sizeof at;
};

/// Until the other end closes its connection, or the process is ended.
void wait_for_the_end(const Fd& socket) {
    char byte = 0;
    (void)!read(socket.get(), &byte, 1);  // Nothing is ever sent.
}

/// How the process ended: the signal that ended it, or 0.
int ended_by(pid_t pid) {
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/// What came of trying to end it; nothing: it was ended.
std::optional<Code> try_to_end(const ipc::Channel& channel, pid_t pid) {
    const auto ended = end_peer(channel, pid, monotonic_ns());
    return ended ? std::nullopt : std::optional(ended.error().code);
}
}  // namespace

TEST_CASE("who keeps a zombie is due when its grace is over and not before, and then once in each grace") {
    Overdue overdue(100);
    overdue.see({keeping(1, 5), keeping(2, 5)}, 1000);
    CHECK(overdue.take_due(1099).empty());
    overdue.see({keeping(1, 5), keeping(1, 6), keeping(2, 5)}, 1050);
    CHECK(overdue.take_due(1100) == std::vector{keeping(1, 5), keeping(2, 5)});
    CHECK(overdue.take_due(1149).empty());
    CHECK(overdue.take_due(1150) == std::vector{keeping(1, 6)});
    CHECK(overdue.take_due(1200) == std::vector{keeping(1, 5), keeping(2, 5)});
}

TEST_CASE("who let go in time is never due, and its time does not count for who takes hold of another") {
    Overdue overdue(100);
    overdue.see({keeping(1, 5), keeping(2, 5)}, 1000);
    overdue.see({keeping(2, 5), keeping(1, 6)}, 1090);
    CHECK(overdue.take_due(1100) == std::vector{keeping(2, 5)});
    overdue.see({}, 1110);
    CHECK(overdue.take_due(9000).empty());
    overdue.see({keeping(1, 6)}, 9000);
    CHECK(overdue.take_due(9099).empty());
}

TEST_CASE("the process at the other end of a connection is ended, and a connection that is hung up ends nobody") {
    const OverdueDoor door;
    const pid_t other = door.connect_from_child(wait_for_the_end);
    ipc::Channel of_other = door.accepted();
    const pid_t pid = door.connect_from_child(wait_for_the_end);
    const ipc::Channel channel = door.accepted();
    REQUIRE(channel.peer()->pid == pid);
    CHECK_FALSE(try_to_end(channel, pid).has_value());
    CHECK(ended_by(pid) == SIGKILL);
    CHECK(try_to_end(channel, pid) == Code::not_found);
    CHECK(try_to_end(channel, other) == Code::not_found);  // As if the number were another's by now.
    of_other.close();
    CHECK(ended_by(other) == 0);
}

TEST_CASE("a connection whose process is gone, but that another one has inherited, ends nobody") {
    const OverdueDoor door;
    const pid_t pid = door.connect_from_child([](const Fd& socket) {
        if (fork() == 0) wait_for_the_end(socket);  // It has the connection for as long as we do.
    });
    const ipc::Channel channel = door.accepted();
    siginfo_t ended{};
    REQUIRE(waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOWAIT) == 0);
    CHECK(try_to_end(channel, pid) == Code::conflict);
    CHECK(ended_by(pid) == 0);
    CHECK(try_to_end(channel, pid) == Code::conflict);  // Now its number can be anybody's.
}

TEST_CASE("neither the daemon's own process nor one without a number here is ended") {
    const auto ends = ipc::Channel::make_pair();
    REQUIRE(ends.has_value());
    for (const pid_t pid : {getpid(), getppid(), 1, 0, -1}) CHECK(try_to_end(ends->first, pid) == Code::unsupported);
}

TEST_CASE("a process that began after the connection is not the one that made it, whatever its number") {
    const u64 tick_ns = ns_per_second / static_cast<u64>(sysconf(_SC_CLK_TCK));
    const u64 earlier_ns = monotonic_ns() - 2 * tick_ns;
    const OverdueDoor door;
    const pid_t pid = door.connect_from_child(wait_for_the_end);
    {
        const ipc::Channel channel = door.accepted();
        CHECK(process_numbered(pid, monotonic_ns()).has_value());
        const auto another = process_numbered(pid, earlier_ns);
        REQUIRE(!another.has_value());
        CHECK(another.error().code == Code::conflict);
    }
    CHECK(ended_by(pid) == 0);
    CHECK(process_numbered(pid, monotonic_ns()).error().code == Code::conflict);
}

TEST_CASE("a process that the daemon's user may not signal stays, and the answer says why") {
    if (geteuid() != 0) return;  // Only root can become another user.
    const OverdueDoor door;
    const pid_t pid = door.connect_from_child(wait_for_the_end);
    ipc::Channel channel = door.accepted();
    const pid_t daemon = fork();
    REQUIRE(daemon >= 0);
    if (daemon == 0) {
        const bool nobody = setgid(65534) == 0 && setuid(65534) == 0;
        _exit(nobody && try_to_end(channel, pid) == Code::forbidden ? 0 : 1);
    }
    int status = 0;
    REQUIRE(waitpid(daemon, &status, 0) == daemon);
    CHECK(status == 0);
    channel.close();
    CHECK(ended_by(pid) == 0);
}

TEST_CASE("a process's name is one line of the log, whatever it calls itself") {
    std::array<char, 16> own{};
    REQUIRE(prctl(PR_GET_NAME, own.data()) == 0);
    REQUIRE(prctl(PR_SET_NAME, "a b\x1b[1m\x80") == 0);
    CHECK(process_name(getpid()) == "a b?[1m?");
    REQUIRE(prctl(PR_SET_NAME, own.data()) == 0);
    CHECK(process_name(0) == "?");
}
