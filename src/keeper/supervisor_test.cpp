/// The keeper under a service manager: what it is told, what it keeps, and a next keeper that goes on with that.
#include "keeper/supervisor.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <sstream>

#include "base/test_folder.hpp"
#include "keeper/keeper.hpp"
#include "keeper/test_daemon.hpp"

using namespace vramd;
using namespace vramd::keeper;

namespace {
/// systemd's part: the socket behind NOTIFY_SOCKET, the store of descriptors, and the start of a service with what lies there.
class Manager {
public:
    explicit Manager(const TestFolder& folder, std::string store_max = "4096")
        : path_(folder.path / "notify"), store_max_(std::move(store_max)), socket_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path_.native().copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }

    /// For a new process of the service: its environment, and from descriptor 3 on what is kept.
    void hand_over() const {
        std::vector<int> above;
        std::string names;
        for (const auto& [name, descriptor] : store) {
            above.push_back(fcntl(descriptor.get(), F_DUPFD, 5000));
            names += (names.empty() ? "" : ":") + name;
        }
        for (std::size_t i = 0; i < above.size(); ++i) dup2(above[i], static_cast<int>(3 + i));
        for (const int descriptor : above) close(descriptor);
        setenv("NOTIFY_SOCKET", path_.c_str(), 1);
        setenv("FDSTORE", store_max_.c_str(), 1);
        if (!watchdog_us.empty()) setenv("WATCHDOG_USEC", watchdog_us.c_str(), 1);
        if (store.empty()) return;
        setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
        setenv("LISTEN_FDS", std::to_string(store.size()).c_str(), 1);
        setenv("LISTEN_FDNAMES", names.c_str(), 1);
    }
    [[nodiscard]] std::function<void()> starts() const {
        return [this] { hand_over(); };
    }

    /// Reads what the keeper says until that is so; false: nothing more came for ten seconds.
    [[nodiscard]] bool hears(const std::function<bool()>& until) {
        pollfd wait{socket_.get(), POLLIN, 0};
        while (!until()) {
            if (poll(&wait, 1, 10'000) != 1) return false;
            take();
        }
        return true;
    }
    [[nodiscard]] bool hears(const std::string& state) {
        const std::size_t from = said.size();
        return hears([&] {
            return std::any_of(said.begin() + static_cast<std::ptrdiff_t>(from), said.end(),
                               [&](const std::string& one) { return one.starts_with(state); });
        });
    }
    [[nodiscard]] std::size_t blocks() const {
        return static_cast<std::size_t>(std::ranges::count_if(store, [](const auto& one) { return one.first.starts_with("b."); }));
    }

    std::vector<std::pair<std::string, Fd>> store;
    std::vector<std::string> said;  ///< What was no matter of the store.
    std::string watchdog_us;

private:
    void take() {
        std::array<char, 1024> text{};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
        iovec part{text.data(), text.size() - 1};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        REQUIRE(recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC) > 0);
        const cmsghdr* const head = CMSG_FIRSTHDR(&message);
        Fd descriptor;
        if (head != nullptr) {
            int number = -1;
            std::memcpy(&number, CMSG_DATA(head), sizeof number);
            descriptor = Fd(number);
        }
        const std::string all = text.data();
        const std::string name = all.substr(std::min(all.size(), all.find("FDNAME=") + 7));
        if (all.starts_with("FDSTOREREMOVE=1\n")) {
            std::erase_if(store, [&](const auto& one) { return one.first == name; });
        } else if (all.starts_with("FDSTORE=1\n")) {
            CHECK(all.find("FDPOLL=0\n") != std::string::npos);
            CHECK(static_cast<bool>(descriptor));
            CHECK(name.size() <= 29);
            // As systemd: what is full takes nothing, and what lies there is not taken twice.
            if (store.size() < std::stoul(store_max_) && !has_file(descriptor)) store.emplace_back(name, std::move(descriptor));
        } else {
            said.push_back(all);
        }
    }
    /// Every test's blocks are files of their own; processes' descriptors are told apart by their name.
    [[nodiscard]] bool has_file(const Fd& descriptor) const {
        struct stat given {};
        REQUIRE(fstat(descriptor.get(), &given) == 0);
        return std::ranges::any_of(store, [&](const auto& one) {
            struct stat there {};
            return fstat(one.second.get(), &there) == 0 && S_ISREG(there.st_mode) && there.st_ino == given.st_ino &&
                   there.st_dev == given.st_dev;
        });
    }

    std::filesystem::path path_;
    std::string store_max_;
    Fd socket_;
};

bool has_ended(pid_t pid) { return !std::filesystem::exists("/proc/" + std::to_string(pid) + "/exe"); }
}  // namespace

TEST_CASE("what the service manager keeps outlives a killed keeper: the next one has its blocks and goes on with its life") {
    const TestFolder folder;
    Manager manager(folder);
    u64 life = 0;
    pid_t core = 0;
    {
        Daemon first(folder, {}, 0, manager.starts());
        CHECK(manager.hears("READY=1"));
        CHECK(first.ask("store 1 1000") == "stored");
        CHECK(first.ask("drop 400") == "dropped");
        REQUIRE(manager.hears([&] { return manager.blocks() == 999; }));
        life = first.number("life");
        core = first.core();
        REQUIRE(kill(core, SIGSTOP) == 0);  // It does not hear that its keeper has ended.
        CHECK(first.end(SIGKILL) == 1000 + SIGKILL);
    }
    Daemon second(folder, {}, 0, manager.starts());
    CHECK(second.ready_line == "vramd ready generation=2");
    CHECK(second.told() == "generation 2 life " + std::to_string(life) + " wrong [] blocks 999 last 1000");
    CHECK(has_ended(core));
    CHECK(second.ask("drop 1000") == "dropped");
    CHECK(second.ask("store 2000 1") == "stored");
    REQUIRE(manager.hears([&] { return manager.blocks() == 999 && manager.store.back().first.starts_with("b.1jk."); }));
    // The core before is forgotten, this one is known.
    CHECK(std::ranges::count_if(manager.store, [](const auto& one) { return one.first.starts_with("core."); }) == 1);
    Daemon third(folder);
    CHECK(third.wait() == exit_refused);
    CHECK(second.end(SIGTERM) == exit_done);
    Daemon fourth(folder, {}, 0, manager.starts());
    CHECK(fourth.number("life") == life);
    CHECK(fourth.told().find("wrong [] blocks 999 last 2000") != std::string::npos);
}

TEST_CASE("what lies in the service manager's store and is of another state directory is let go of") {
    const TestFolder folder;
    Manager manager(folder);
    u64 life = 0;
    {
        Daemon there_before(folder, {"--state-dir", (folder.path / "other").native()});  // So that it has a lock of its own.
        CHECK(there_before.end(SIGTERM) == exit_done);
    }
    {
        Daemon first(folder, {}, 0, manager.starts());
        CHECK(first.ask("store 1 10") == "stored");
        REQUIRE(manager.hears([&] { return manager.blocks() == 10; }));
        life = first.number("life");
        CHECK(first.end(SIGKILL) == 1000 + SIGKILL);
    }
    manager.store.emplace_back("what is this", Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)));
    Daemon second(folder, {"--state-dir", (folder.path / "other").native()}, 0, manager.starts());
    CHECK(second.ready_line == "vramd ready generation=1");
    CHECK(second.number("blocks") == 0);
    CHECK(second.number("life") != life);
    CHECK(second.log().find("is of another state directory") != std::string::npos);
    // Its own lock and its own core are all that is left.
    CHECK(manager.hears([&] { return manager.store.size() == 2 && manager.blocks() == 0; }));
}

TEST_CASE("more blocks than the service manager keeps are kept by the keeper, and one has the place of another that is dropped") {
    const TestFolder folder;
    Manager manager(folder, "12");
    {
        Daemon first(folder, {}, 0, manager.starts());
        CHECK(first.ask("store 1 30") == "stored");
        first.kill_core();
        // It speaks of what it holds, not of "all": some devices' memory ends with the core.
        CHECK(manager.hears("STATUS=The core ended and starts again; 30 blocks are kept."));
        CHECK(first.number("blocks") == 30);
        REQUIRE(manager.hears([&] { return manager.store.size() == 12 && manager.blocks() == 10; }));
        CHECK(first.log().find("FileDescriptorStoreMax") != std::string::npos);
        CHECK(first.ask("drop 1") == "dropped");
        REQUIRE(manager.hears([&] { return manager.blocks() == 10 && manager.store.back().first == "b.b.2o"; }));
        CHECK(first.end(SIGKILL) == 1000 + SIGKILL);
    }
    Daemon second(folder, {}, 0, manager.starts());
    CHECK(second.told().find("wrong [] blocks 10 last 11") != std::string::npos);
}

TEST_CASE("an upgrade tells the service manager that it reloads, and gives it nothing twice") {
    const TestFolder folder;
    Manager manager(folder);
    Daemon daemon(folder, {}, 0, manager.starts());
    CHECK(daemon.ask("store 1 100") == "stored");
    REQUIRE(manager.hears([&] { return manager.blocks() == 100; }));
    manager.said.clear();
    REQUIRE(kill(daemon.pid(), SIGUSR2) == 0);
    CHECK(manager.hears("RELOADING=1\nMONOTONIC_USEC="));
    CHECK(manager.hears("READY=1"));
    CHECK(daemon.number("generation") == 2);
    CHECK(daemon.ask("drop 50") == "dropped");
    CHECK(daemon.ask("store 101 1") == "stored");
    CHECK(manager.hears([&] { return manager.blocks() == 100 && manager.store.size() == 102; }));
    (void)daemon.ask("exit 0");  // As a core does on SIGHUP.
    CHECK(manager.hears("RELOADING=1"));
    CHECK(manager.hears("READY=1"));
    CHECK(daemon.end(SIGTERM) == exit_done);
    CHECK(manager.hears("STOPPING=1"));
}

TEST_CASE("a keeper with a watchdog says that it lives, again and again, and one without says nothing of it") {
    const TestFolder folder;
    Manager manager(folder);
    manager.watchdog_us = "40000";
    Daemon daemon(folder, {}, 0, manager.starts());
    for (int i = 0; i < 3; ++i) CHECK(manager.hears("WATCHDOG=1"));
    CHECK(daemon.ask("store 1 1") == "stored");
    CHECK(daemon.end(SIGTERM) == exit_done);
    manager.watchdog_us.clear();
    manager.said.clear();
    Daemon other(folder, {}, 0, manager.starts());
    CHECK(manager.hears("READY=1"));
    CHECK(other.end(SIGTERM) == exit_done);
    CHECK(manager.hears("STOPPING=1"));
    CHECK(std::ranges::none_of(manager.said, [](const std::string& one) { return one.starts_with("WATCHDOG"); }));
}

TEST_CASE("a service manager that reads nothing keeps neither blocks nor cores waiting for long") {
    const TestFolder folder;
    Manager manager(folder);
    Daemon daemon(folder, {}, 0, manager.starts());
    CHECK(daemon.ask("store 1 500") == "stored");
    daemon.kill_core();
    CHECK(daemon.number("blocks") == 500);
    CHECK(daemon.end(SIGTERM) == exit_done);
}
