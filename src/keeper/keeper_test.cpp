#include "keeper/keeper.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/choices.hpp"
#include "base/clock.hpp"
#include "base/test_folder.hpp"
#include "keeper/restart.hpp"
#include "keeper/test_daemon.hpp"

using namespace vramd;
using namespace vramd::keeper;

TEST_CASE("a thousand blocks outlive the core that made them, byte by byte, and come back to the next one") {
    const TestFolder folder;
    Daemon daemon(folder);
    CHECK(daemon.ready_line == "vramd ready generation=1");
    const u64 descriptors = daemon.descriptors();
    CHECK(daemon.ask("store 1 1000") == "stored");
    CHECK(daemon.descriptors() == descriptors + 1000);
    const std::string life = std::to_string(daemon.number("life"));
    for (int generation = 2; generation <= 4; ++generation) {
        daemon.kill_core();
        CHECK(daemon.told() == "generation " + std::to_string(generation) + " life " + life + " wrong [] blocks 1000 last 1000");
    }
    CHECK(daemon.descriptors_become(descriptors + 1000));
    CHECK(daemon.ask("drop 1000") == "dropped");
    CHECK(daemon.ask("drop 1000").find("no such thing") != std::string::npos);
    CHECK(daemon.ask("store 7 1").find("already") != std::string::npos);
    daemon.kill_core();
    CHECK(daemon.number("blocks") == 999);
    for (u64 key = 1; key < 1000; ++key) REQUIRE(daemon.ask("drop " + std::to_string(key)) == "dropped");
    CHECK(daemon.descriptors_become(descriptors));
    CHECK(daemon.end(SIGTERM) == exit_done);
    CHECK(!std::filesystem::exists(daemon.socket_path()));
}

TEST_CASE("a core killed at any moment of its storing has every acknowledged block afterwards, and at most one more") {
    const TestFolder folder;
    Daemon daemon(folder);
    Choices choices = Choices::from_seed(7);
    u64 next = 1;
    for (int round = 0; round < 20; ++round) {
        const pid_t core = daemon.core();
        const Fd client = daemon.tell("flood " + std::to_string(next));
        u64 acknowledged = next - 1;
        const u64 enough = next + choices.below(100);
        u64 key = 0;
        while (recv(client.get(), &key, sizeof key, 0) == sizeof key) {
            acknowledged = key;
            if (key == enough) kill(core, SIGKILL);
        }
        CHECK(daemon.told().find("wrong []") != std::string::npos);
        const u64 last = daemon.number("last");
        CHECK(last >= acknowledged);
        CHECK(last <= acknowledged + 1);
        CHECK(daemon.number("blocks") == last);
        next = last + 1;
    }
}

TEST_CASE("the core after a killed one is told of it, for it may still be ending, and after others it is not") {
    const TestFolder folder;
    Daemon daemon(folder);
    CHECK(daemon.ask("predecessor") == "none");
    const u64 descriptors = daemon.descriptors();
    for (int i = 0; i < 20; ++i) {
        daemon.kill_core();
        (void)daemon.all_told();
        // The first of a burst at least; one that is killed while its own predecessor is still ending is waited for.
        const std::string told = daemon.ask("predecessor");
        CHECK((told == "none" || told.starts_with("process ")));
        if (i == 0) CHECK(told.starts_with("process "));
    }
    CHECK(daemon.descriptors_become(descriptors));
    CHECK(daemon.log().find("was killed by signal 9; 0 blocks are kept; it starts again in 0 ms") != std::string::npos);
    CHECK(daemon.ask("abort").empty());
    (void)daemon.all_told();
    CHECK(daemon.ask("predecessor") == "none");
    const pid_t core = daemon.core();
    CHECK(daemon.end(SIGTERM) == exit_done);
    CHECK(kill(core, 0) != 0);
}

TEST_CASE("a second daemon on the same state directory is refused in words, with the first one's pid") {
    const TestFolder folder;
    Daemon daemon(folder);
    Daemon second(folder);
    CHECK(second.wait() == exit_refused);
    CHECK(second.log().find("Another vramd (pid " + std::to_string(daemon.pid()) + ")") != std::string::npos);
    CHECK(daemon.number("generation") == 1);
}

TEST_CASE("the socket of a killed daemon is replaced, that of a living one is not") {
    const TestFolder folder;
    {
        Daemon daemon(folder);
        CHECK(daemon.end(SIGKILL) == 1000 + SIGKILL);
    }
    CHECK(std::filesystem::exists(folder.path / "vramd.sock"));
    Daemon again(folder);
    CHECK(again.ready_line == "vramd ready generation=1");
    struct stat facts {};
    REQUIRE(stat(again.socket_path().c_str(), &facts) == 0);
    CHECK((facts.st_mode & 0777) == 0666);
    Daemon elsewhere(folder, {"--state-dir", (folder.path / "other").native()});
    CHECK(elsewhere.wait() == exit_refused);
    CHECK(elsewhere.log().find("Another process listens") != std::string::npos);
    CHECK(again.number("generation") == 1);
}

TEST_CASE("a core whose command line is refused ends the keeper with its code before anything was served") {
    const TestFolder folder;
    Daemon daemon(folder, {"--fail-with=2"});
    CHECK(daemon.wait() == exit_refused);
    CHECK(!std::filesystem::exists(daemon.socket_path()));
}

TEST_CASE("the third abort within ten seconds starts the core read-only, with all blocks") {
    const TestFolder folder;
    Daemon daemon(folder, {"--model-dir", "/a b"});
    CHECK(daemon.ask("store 1 10") == "stored");
    CHECK(daemon.ask("arguments").find("--model-dir /a b") != std::string::npos);
    for (int i = 0; i < 3; ++i) {
        CHECK(daemon.ask("arguments").find("--read-only") == std::string::npos);
        (void)daemon.ask("abort");  // It cannot answer.
    }
    CHECK(daemon.ask("arguments").find("--read-only") != std::string::npos);
    CHECK(daemon.number("blocks") == 10);
    CHECK(daemon.number("generation") == 4);
    CHECK(daemon.log().find("read-only") != std::string::npos);
}

TEST_CASE("a core that ends in an orderly way after three aborts leaves the read-only mode behind") {
    const TestFolder folder;
    Daemon daemon(folder);
    for (int i = 0; i < 3; ++i) (void)daemon.ask("abort");
    REQUIRE(daemon.ask("arguments").find("--read-only") != std::string::npos);
    (void)daemon.ask("exit 0");  // As a core does on SIGHUP.
    CHECK(daemon.number("generation") == 5);
    CHECK(daemon.ask("arguments").find("--read-only") == std::string::npos);
}

TEST_CASE("a core that sends anything but a message is killed, and the keeper and its blocks stay") {
    const TestFolder folder;
    Daemon daemon(folder);
    CHECK(daemon.ask("store 1 10") == "stored");
    const u64 descriptors = daemon.descriptors();
    for (int which = 0; which < 4; ++which) {
        (void)daemon.ask("lie " + std::to_string(which));  // It is killed before it answers.
        CHECK(daemon.number("generation") == static_cast<u64>(which) + 2);
        CHECK(daemon.number("blocks") == 10);
    }
    CHECK(daemon.descriptors() == descriptors);
}

TEST_CASE("an upgrade executes the binary on disk and keeps blocks, sockets, pid and life") {
    const TestFolder folder;
    Daemon daemon(folder);
    CHECK(daemon.ready_line == "vramd ready generation=1");
    CHECK(daemon.ask("store 1 500") == "stored");
    const u64 descriptors = daemon.descriptors();
    const u64 life = daemon.number("life");
    for (u64 generation = 2; generation <= 3; ++generation) {
        REQUIRE(kill(daemon.pid(), SIGUSR2) == 0);
        // The old core may still answer: wait for the new one.
        while (daemon.number("generation") < generation) {
        }
        CHECK(daemon.told().find("wrong [] blocks 500") != std::string::npos);
        CHECK(daemon.number("life") == life);
    }
    CHECK(daemon.descriptors() == descriptors);
    Daemon second(folder);
    CHECK(second.wait() == exit_refused);
    CHECK(daemon.end(SIGTERM) == exit_done);
    CHECK(daemon.line().empty());  // The ready line came once.
}

TEST_CASE("an upgrade to a binary that cannot take the keeper's place does not happen, and nothing is touched") {
    const TestFolder folder;
    for (const char* const successor : {"/nonexistent", "/bin/true", "/etc/passwd"}) {
        Daemon daemon(folder, {std::string("--successor=") + successor});
        CHECK(daemon.ask("store 1 10") == "stored");
        REQUIRE(kill(daemon.pid(), SIGUSR2) == 0);
        const u64 deadline_ns = monotonic_ns() + 10 * ns_per_second;
        while (daemon.log().find("no upgrade") == std::string::npos && monotonic_ns() < deadline_ns) {
        }
        CHECK(daemon.log().find("no upgrade") != std::string::npos);
        CHECK(daemon.number("generation") == 1);
        CHECK(daemon.number("blocks") == 10);
    }
}

TEST_CASE("SIGTERM ends a willing core at once and a stubborn one when its time is over") {
    const TestFolder folder;
    Daemon willing(folder);
    CHECK(willing.end(SIGTERM) == exit_done);
    CHECK(willing.log().find("killed") == std::string::npos);
    Daemon stubborn(folder, {"--stubborn", "--impatient"});
    CHECK(stubborn.end(SIGINT) == exit_done);
    CHECK(stubborn.log().find("is killed") != std::string::npos);
    CHECK(!std::filesystem::exists(stubborn.socket_path()));
}

TEST_CASE("SIGHUP goes to the core") {
    const TestFolder folder;
    Daemon daemon(folder);
    REQUIRE(kill(daemon.pid(), SIGHUP) == 0);
    const u64 deadline_ns = monotonic_ns() + 10 * ns_per_second;
    while (daemon.ask("hangups") != "1" && monotonic_ns() < deadline_ns) {
    }
    CHECK(daemon.ask("hangups") == "1");
    CHECK(daemon.number("generation") == 1);
}

TEST_CASE("a full table refuses the next block with the limit, and has room again after a drop") {
    const TestFolder folder;
    Daemon daemon(folder, {}, 100 + 64);
    CHECK(daemon.ask("store 1 80") == "stored");
    CHECK(daemon.ask("store 81 21").find("(100)") != std::string::npos);
    CHECK(daemon.ask("drop 5") == "dropped");
    CHECK(daemon.ask("store 5 1") == "stored");
    daemon.kill_core();
    CHECK(daemon.number("blocks") == 100);
}

TEST_CASE("the core ends when its keeper is killed") {
    const TestFolder folder;
    Daemon daemon(folder);
    const pid_t core = daemon.core();
    daemon.end(SIGKILL);
    const u64 deadline_ns = monotonic_ns() + 10 * ns_per_second;
    while (std::filesystem::exists("/proc/" + std::to_string(core) + "/exe") && monotonic_ns() < deadline_ns) {
    }
    CHECK(!std::filesystem::exists("/proc/" + std::to_string(core) + "/exe"));
}

TEST_CASE("the wait before a start grows with each failure, is none after a kill from outside, and starts over after ten good seconds") {
    RestartPolicy policy;
    const auto fault = [](u64 now_ns, u64 lived_ns) { return Death{Cause::own_fault, true, lived_ns, now_ns}; };
    const u64 second_ns = ns_per_second;
    CHECK(policy.after(fault(100 * second_ns, 0)) == 0);
    CHECK(policy.after({Cause::killed, true, 0, 101 * second_ns}) == 0);
    CHECK(policy.after(fault(111 * second_ns, 0)) == 50 * ns_per_ms);
    CHECK(policy.after(fault(122 * second_ns, 0)) == 200 * ns_per_ms);
    CHECK(policy.after(fault(133 * second_ns, 0)) == second_ns);
    CHECK(policy.after(fault(144 * second_ns, 0)) == 5 * second_ns);
    CHECK(policy.after(fault(155 * second_ns, 0)) == 5 * second_ns);
    CHECK(policy.after(fault(190 * second_ns, 30 * second_ns)) == 0);
    CHECK(!policy.read_only());
    CHECK(policy.after(fault(195 * second_ns, 0)) == 50 * ns_per_ms);
    CHECK(!policy.read_only());
    CHECK(policy.after(fault(200 * second_ns, 0)) == 200 * ns_per_ms);
    CHECK(policy.read_only());
}

TEST_CASE("places come from flags before variables before defaults, and nonsense is refused in words") {
    const auto nothing = [](const char*) -> const char* { return nullptr; };
    const auto variables = [](const char* name) -> const char* {
        return std::string_view(name) == "VRAMD_SOCKET" ? "/v/x.sock" : std::string_view(name) == "VRAMD_LISTEN" ? "none" : nullptr;
    };
    const std::array<const char*, 5> flags{"--device", "host", "--socket=/f/vramd.sock", "--listen", "[::1]:0"};
    CHECK(resolve_places({}, nothing)->listen == "127.0.0.1:7070");
    CHECK(resolve_places({}, variables)->http_socket == "/v/x-http.sock");
    CHECK(!resolve_places({}, variables)->tcp);
    CHECK(resolve_places(flags, variables)->attach_socket == "/f/vramd.sock");
    CHECK(resolve_places(flags, variables)->http_socket == "/f/vramd-http.sock");
    CHECK(resolve_places(flags, variables)->tcp->address.ss_family == AF_INET6);
    for (const char* const listen : {"7070", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:7x", "nowhere:1", "[::1:80", ""}) {
        CAPTURE(listen);
        const std::array<const char*, 2> arguments{"--listen", listen};
        CHECK(resolve_places(arguments, nothing).error().code == Code::invalid_field);
    }
    const std::array<const char*, 1> valueless{"--state-dir"};
    CHECK(!resolve_places(valueless, nothing).has_value());
    const std::string long_path = "--socket=/" + std::string(200, 'l');
    const std::array<const char*, 1> too_long{long_path.c_str()};
    CHECK(!resolve_places(too_long, nothing).has_value());
}
