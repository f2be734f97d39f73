/// A keeper in a process of its own, for the room's tests: this program is its core (actors_test.cpp).
#pragma once
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "base/test_folder.hpp"

namespace vramd::keeper {
/// A keeper in a process of its own, with this program as its core.
class Daemon {
public:
    /// `before`: done in the new process, before it becomes the keeper.
    explicit Daemon(
        const TestFolder& folder, std::vector<std::string> more = {}, u64 descriptors_max = 0, const std::function<void()>& before = [] {})
        : state_(folder.path / "state"), socket_(folder.path / "vramd.sock"), log_(folder.path / ("log." + std::to_string(++count_))) {
        int ends[2];
        REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
        output_ = Fd(ends[0]);
        Fd out(ends[1]);
        std::vector<std::string> words{"keeper_test", "serve",      "--state-dir", state_.native(), "--socket=" + socket_.native(),
                                       "--listen",    "127.0.0.1:0"};
        words.insert(words.end(), more.begin(), more.end());
        std::vector<char*> arguments;
        for (std::string& word : words) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        pid_ = fork();
        if (pid_ == 0) {
            const rlimit limit{descriptors_max, descriptors_max};
            if (descriptors_max != 0) (void)setrlimit(RLIMIT_NOFILE, &limit);  // The test sees when it did not hold.
            dup2(out.get(), STDOUT_FILENO);
            dup2(open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), STDERR_FILENO);
            before();
            execv("/proc/self/exe", arguments.data());
            _exit(99);
        }
        out.reset();
        ready_line = line();  // Empty for one that is refused.
    }
    ~Daemon() {
        if (pid_ > 0) (void)end(SIGTERM);
    }
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    /// The next line on stdout; empty when it has ended.
    std::string line() {
        std::string text;
        char c = 0;
        pollfd wait{output_.get(), POLLIN, 0};
        while (poll(&wait, 1, 10'000) > 0 && read(output_.get(), &c, 1) == 1 && c != '\n') text += c;
        return text;
    }
    /// Connects to the attach socket and gives the core a command.
    [[nodiscard]] Fd tell(const std::string& command) const {
        Fd client(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        socket_.native().copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        (void)send(client.get(), command.data(), command.size(), MSG_NOSIGNAL);  // A core that has just been killed may have taken it.
        return client;
    }
    [[nodiscard]] std::string ask(const std::string& command) const {
        const Fd client = tell(command);
        std::array<char, 2048> reply{};
        pollfd wait{client.get(), POLLIN, 0};
        REQUIRE(poll(&wait, 1, 20'000) == 1);
        (void)recv(client.get(), reply.data(), reply.size() - 1, 0);  // Empty when the core died of the command.
        return reply.data();
    }
    /// What the core that runs tells of itself; asked again when one that was just being killed had taken the question.
    [[nodiscard]] std::string all_told() const {
        const u64 deadline_ns = monotonic_ns() + 20 * ns_per_second;
        while (monotonic_ns() < deadline_ns)
            if (std::string all = ask("tell"); !all.empty()) return all;
        FAIL("no core answers");
        return {};
    }
    [[nodiscard]] pid_t core() const {
        std::istringstream words(all_told());
        pid_t pid = 0;
        words >> pid;
        return pid;
    }
    void kill_core() const { REQUIRE(kill(core(), SIGKILL) == 0); }
    /// What `tell` says after the pid.
    [[nodiscard]] std::string told() const {
        const std::string all = all_told();
        return all.substr(all.find(' ') + 1);
    }
    [[nodiscard]] u64 number(const std::string& name) const {
        const std::string all = told();
        std::istringstream words(all.substr(all.find(name + " ") + name.size() + 1));
        u64 value = 0;
        words >> value;
        return value;
    }
    int wait() {
        int status = 0;
        REQUIRE(waitpid(pid_, &status, 0) == pid_);
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    }
    int end(int number) {
        kill(pid_, number);
        return wait();
    }
    [[nodiscard]] u64 descriptors() const {
        u64 count = 0;
        for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid_) + "/fd")) ++count;
        return count;
    }
    /// Once a core that was killed is reaped too.
    [[nodiscard]] bool descriptors_become(u64 count) const {
        const u64 deadline_ns = monotonic_ns() + 20 * ns_per_second;
        while (descriptors() != count && monotonic_ns() < deadline_ns) {
        }
        return descriptors() == count;
    }
    [[nodiscard]] std::string log() const {
        std::ifstream in(log_);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    std::string ready_line;
    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] const std::filesystem::path& socket_path() const { return socket_; }

private:
    static inline int count_ = 0;
    std::filesystem::path state_;
    std::filesystem::path socket_;
    std::filesystem::path log_;
    Fd output_;
    pid_t pid_ = -1;
};
}  // namespace vramd::keeper
