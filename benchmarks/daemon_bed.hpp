/// What the daemon's benchmarks stand on: a real `vramd serve` in a folder of its own, bare connections to it, and bare sockets beside
/// them.
///
/// The daemon is the one that lies beside this program. Its folder, with all files made for it, goes when the bed goes.
#pragma once
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "base/types.hpp"

namespace vramd::bench {
inline constexpr u64 piece_bytes = mib;

/// Ends the program; the daemon is told to end with it.
[[noreturn]] inline void give_up(const std::string& why) {
    (void)std::fprintf(stderr, "bench daemon: %s (%s)\n", why.c_str(), std::strerror(errno));
    std::exit(1);
}

inline double ms(u64 ns) { return static_cast<double>(ns) / 1e6; }
inline double us(u64 ns) { return static_cast<double>(ns) / 1e3; }
inline double rate(u64 bytes, u64 ns) { return static_cast<double>(bytes) / static_cast<double>(ns); }  ///< GB/s.

/// How long `work` takes.
template <class Work>
u64 time_of(Work&& work) {
    const u64 began_ns = monotonic_ns();
    work();
    return monotonic_ns() - began_ns;
}

/// The value at `share` of the sorted samples.
inline u64 percentile(std::vector<u64>& samples, double share) {
    std::sort(samples.begin(), samples.end());
    const auto at = static_cast<std::size_t>(share * static_cast<double>(samples.size() - 1));
    return samples[at];
}

/// Where something listens: a path, or a port of 127.0.0.1.
struct Door {
    std::string path;
    u16 port = 0;
    [[nodiscard]] const char* name() const { return path.empty() ? "tcp" : "unix"; }
};

union Address {
    sockaddr any;
    sockaddr_un unix_name;
    sockaddr_in tcp_name;
};

inline socklen_t address_of(const Door& door, Address& address) {
    std::memset(&address, 0, sizeof address);
    if (!door.path.empty()) {
        address.unix_name.sun_family = AF_UNIX;
        std::copy(door.path.begin(), door.path.end(), address.unix_name.sun_path);
        return sizeof address.unix_name;
    }
    address.tcp_name.sin_family = AF_INET;
    address.tcp_name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.tcp_name.sin_port = htons(door.port);
    return sizeof address.tcp_name;
}

inline Fd connect_to(const Door& door) {
    Address address;
    const socklen_t size = address_of(door, address);
    Fd socket(::socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(socket.get(), &address.any, size) != 0) return {};
    const int on = 1;
    if (door.path.empty()) (void)setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // Slower without, no more.
    return socket;
}

/// A bare socket that listens; fills in the port.
inline Fd listen_at(Door& door) {
    Address address;
    socklen_t size = address_of(door, address);
    Fd socket(::socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (bind(socket.get(), &address.any, size) != 0 || listen(socket.get(), 8) != 0) give_up("bind");
    if (!door.path.empty()) return socket;
    if (getsockname(socket.get(), &address.any, &size) != 0) give_up("getsockname");
    door.port = ntohs(address.tcp_name.sin_port);
    return socket;
}

inline bool send_all(const Fd& socket, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = send(socket.get(), bytes.data(), std::min<std::size_t>(bytes.size(), piece_bytes), MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
    return true;
}

inline bool receive_all(const Fd& socket, std::span<std::byte> into) {
    while (!into.empty()) {
        const ssize_t got = recv(socket.get(), into.data(), std::min<std::size_t>(into.size(), piece_bytes), 0);
        if (got <= 0) return false;
        into = into.subspan(static_cast<std::size_t>(got));
    }
    return true;
}

struct Reply {
    int status = 0;  ///< 0: the connection broke.
    std::string body;
};

/// One kept-alive HTTP connection. A body that is wanted in memory goes straight there.
class Connection {
public:
    explicit Connection(Door door) : door_(std::move(door)), socket_(connect_to(door_)) {}

    [[nodiscard]] Reply ask(const std::string& method, const std::string& target, const std::string& json = {}) {
        std::string text = head(method, target);
        if (!json.empty()) text += "Content-Type: application/json\r\nContent-Length: " + std::to_string(json.size()) + "\r\n";
        text += "\r\n" + json;
        if (!send_all(socket_, std::as_bytes(std::span(text)))) return {};
        return receive({});
    }
    /// As `ask`; anything but a success ends the program.
    std::string must(const std::string& method, const std::string& target, const std::string& json = {}) {
        Reply reply = ask(method, target, json);
        if (reply.status / 100 != 2) give_up(method + " " + target + " answered " + std::to_string(reply.status) + " " + reply.body);
        return std::move(reply.body);
    }
    void get(const std::string& target, std::span<std::byte> into) {
        const std::string text = head("GET", target) + "\r\n";
        if (!send_all(socket_, std::as_bytes(std::span(text))) || receive(into).status != 200) give_up("GET " + target);
    }
    void put(const std::string& target, std::span<const std::byte> from) {
        const std::string text =
            head("PUT", target) + "Content-Type: application/octet-stream\r\nContent-Length: " + std::to_string(from.size()) + "\r\n\r\n";
        if (!send_all(socket_, std::as_bytes(std::span(text))) || !send_all(socket_, from)) give_up("PUT " + target);
        if (const Reply reply = receive({}); reply.status != 200) give_up("PUT " + target + " " + reply.body);
    }

private:
    [[nodiscard]] std::string head(const std::string& method, const std::string& target) const {
        const std::string host = door_.path.empty() ? "127.0.0.1:" + std::to_string(door_.port) : "localhost";
        return method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n";
    }
    Reply receive(std::span<std::byte> into) {
        std::string got;
        std::size_t end = std::string::npos;
        while ((end = got.find("\r\n\r\n")) == std::string::npos) {
            const std::size_t held = got.size();
            got.resize(held + 4096);
            const ssize_t more = recv(socket_.get(), got.data() + held, 4096, 0);
            if (more <= 0) return {};
            got.resize(held + static_cast<std::size_t>(more));
        }
        Reply reply{std::atoi(got.c_str() + 9), {}};
        const std::size_t field = got.find("Content-Length: ");
        const u64 length = field < end ? std::strtoull(got.c_str() + field + 16, nullptr, 10) : 0;
        reply.body = got.substr(end + 4);
        if (!into.empty() && reply.status == 200) {
            if (length != into.size()) give_up("a body of another length");
            std::memcpy(into.data(), reply.body.data(), reply.body.size());
            if (!receive_all(socket_, into.subspan(reply.body.size()))) return {};
            return reply;
        }
        const std::size_t held = reply.body.size();
        reply.body.resize(length);
        if (length > held && !receive_all(socket_, std::as_writable_bytes(std::span(reply.body)).subspan(held))) return {};
        return reply;
    }

    Door door_;
    Fd socket_;
};

/// The text after `"key":` in flat JSON of the daemon's, quotes taken off; empty when it is not there.
inline std::string value_of(const std::string& json, const std::string& key) {
    const std::size_t at = json.find("\"" + key + "\":");
    if (at == std::string::npos) return {};
    const std::size_t start = at + key.size() + 3;
    if (json[start] == '"') return json.substr(start + 1, json.find('"', start + 1) - start - 1);
    return json.substr(start, json.find_first_of(",}]", start) - start);
}

/// A daemon of this run's own, with one host device `a`, or also `b`.
class Bed {
public:
    explicit Bed(u64 device_bytes, u64 other_device_bytes = 0) {
        char name[] = "/tmp/vramd-bench-daemon-XXXXXX";
        if (mkdtemp(name) == nullptr) give_up("mkdtemp");
        folder = name;
        models = folder / "models";
        std::filesystem::create_directory(models);
        start(std::filesystem::read_symlink("/proc/self/exe").parent_path() / "vramd", device_bytes, other_device_bytes);
    }
    Bed(const Bed&) = delete;
    Bed& operator=(const Bed&) = delete;
    ~Bed() {
        if (keeper_ > 0) {
            (void)kill(keeper_, SIGTERM);
            (void)waitpid(keeper_, nullptr, 0);
        }
        std::error_code ignored;
        std::filesystem::remove_all(folder, ignored);
    }
    [[nodiscard]] pid_t core_pid() const {
        Connection connection(unix_door);
        return std::atoi(value_of(connection.must("GET", "/api/system"), "corePid").c_str());
    }

    std::filesystem::path folder;
    std::filesystem::path models;
    Door unix_door;
    Door tcp_door;

private:
    void start(const std::string& program, u64 device_bytes, u64 other_device_bytes) {
        const std::string device = "host:a=" + std::to_string(device_bytes / mib) + "MiB";
        const std::string socket = folder / "vramd.sock";
        const std::string state = folder / "state";
        const std::string log = folder / "log";
        std::vector<std::string> words = {program,       "serve", "--listen", "127.0.0.1:0", "--socket",    socket,
                                          "--state-dir", state,   "--device", device,        "--model-dir", models.native()};
        if (other_device_bytes != 0) {
            words.emplace_back("--device");
            words.push_back("host:b=" + std::to_string(other_device_bytes / mib) + "MiB");
        }
        std::vector<char*> arguments;
        for (std::string& word : words) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) give_up("pipe");
        keeper_ = fork();
        if (keeper_ == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGTERM);  // Should this program be killed, its daemon ends too.
            (void)dup2(ends[1], STDOUT_FILENO);
            (void)dup2(open(log.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600), STDERR_FILENO);
            execv(program.c_str(), arguments.data());
            _exit(127);
        }
        close(ends[1]);
        std::string line;
        for (char letter = 0; letter != '\n' && read(ends[0], &letter, 1) == 1;) line += letter;
        output_ = Fd(ends[0]);
        const std::size_t port = line.find("http=http://127.0.0.1:");
        if (port == std::string::npos) give_up("no ready line: " + line);
        tcp_door.port = static_cast<u16>(std::atoi(line.c_str() + port + 22));
        unix_door.path = folder / "vramd-http.sock";
    }

    pid_t keeper_ = -1;
    Fd output_;
};
}  // namespace vramd::bench
