/// The test program in its other two parts: started with `serve` it is a keeper, and with a keeper's socket it is a core.
///
/// The core is a real user of `Link`: it keeps memfds whose bytes follow from their key, and does what it is told over the attach socket,
/// one command a connection.
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "keeper/keeper.hpp"
#include "keeper/link.hpp"
#include "keeper/log.hpp"
#include "keeper/message.hpp"

using namespace vramd;
using namespace vramd::keeper;

namespace {
std::vector<u64> pattern(u64 key, u64 size_bytes) {
    SeededRandom random(key);
    std::vector<u64> words(size_bytes / sizeof(u64));
    for (u64& word : words) word = random.next();
    return words;
}

volatile sig_atomic_t hangups = 0;

class TestCore {
public:
    TestCore(int argument_count, char** arguments) {
        for (int i = 1; i < argument_count; ++i) arguments_ += std::string(arguments[i]) + " ";
    }

    int run() {
        predecessor_ = Link::inherited_predecessor();
        auto link = Link::take(Link::inherited().value_or(-1));
        if (!link) return 1;
        link_ = *std::move(link);
        auto taken = link_->takeover();
        if (!taken) return 1;
        taken_ = *std::move(taken);
        for (KeptBlock& block : taken_.blocks) {
            if (!holds_pattern(block)) wrong_ += std::to_string(block.key) + " ";
            blocks_.emplace(block.key, std::move(block.descriptor));
        }
        if (arguments_.find("--fail-with=2") != std::string::npos) return 2;
        if (arguments_.find("--stubborn") != std::string::npos) (void)signal(SIGTERM, SIG_IGN);
        (void)signal(SIGHUP, [](int) { hangups = hangups + 1; });
        if (!link_->ready("vramd ready generation=" + std::to_string(taken_.generation))) return 1;
        while (true) {
            std::array<pollfd, 2> waits{pollfd{taken_.listeners.attach_unix.get(), POLLIN, 0}, pollfd{link_->hangup_fd(), POLLIN, 0}};
            if (poll(waits.data(), waits.size(), -1) < 0) continue;
            if (waits[1].revents != 0) return 0;
            const Fd client(accept4(taken_.listeners.attach_unix.get(), nullptr, nullptr, SOCK_CLOEXEC));
            std::array<char, 256> text{};
            if (!client || recv(client.get(), text.data(), text.size() - 1, 0) <= 0) continue;
            const std::string reply = obey(client, text.data());
            (void)send(client.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
        }
    }

private:
    static bool holds_pattern(const KeptBlock& block) {
        std::vector<u64> words(block.size_bytes / sizeof(u64));
        const ssize_t got = pread(block.descriptor.get(), words.data(), block.size_bytes, 0);
        return got == static_cast<ssize_t>(block.size_bytes) && words == pattern(block.key, block.size_bytes);
    }

    std::string keep(u64 key, u64 size_bytes) {
        Fd memory(memfd_create("block", MFD_CLOEXEC));
        const auto words = pattern(key, size_bytes);
        if (write(memory.get(), words.data(), size_bytes) != static_cast<ssize_t>(size_bytes)) return "write failed";
        if (const auto stored = link_->store(key, size_bytes, memory); !stored) return describe(stored.error());
        blocks_.insert_or_assign(key, std::move(memory));
        return "";
    }

    std::string obey(const Fd& client, const std::string& command) {
        std::istringstream words(command);
        std::string verb;
        u64 first = 0;
        u64 second = 0;
        words >> verb >> first >> second;
        if (verb == "store") {  // `second` blocks from key `first` on.
            for (u64 key = first; key < first + second; ++key)
                if (const std::string failure = keep(key, 8 + key % 64 * 8); !failure.empty()) return failure;
            return "stored";
        }
        if (verb == "flood") {  // Stores until it is killed, telling each acknowledged key.
            for (u64 key = first; keep(key, 64).empty(); ++key)
                if (send(client.get(), &key, sizeof key, MSG_NOSIGNAL) < 0) return "";
        }
        if (verb == "drop") {
            const auto dropped = link_->drop(first);
            blocks_.erase(first);
            return dropped ? "dropped" : describe(dropped.error());
        }
        if (verb == "tell") {
            std::ostringstream told;
            told << getpid() << " generation " << taken_.generation << " life " << taken_.life << " wrong [" << wrong_ << "] blocks "
                 << blocks_.size() << " last " << (blocks_.empty() ? 0 : blocks_.rbegin()->first);
            return told.str();
        }
        if (verb == "predecessor") return predecessor();
        if (verb == "hangups") return std::to_string(hangups);
        if (verb == "arguments") return arguments_;
        if (verb == "abort") abort();
        if (verb == "exit") _exit(static_cast<int>(first));
        if (verb == "lie") return lie(first);
        return "what?";
    }

    /// "none"; or "process" for a pidfd, as /proc tells of it, with the process's number (-1: it is reaped).
    [[nodiscard]] std::string predecessor() const {
        if (!predecessor_) return "none";
        std::ifstream file("/proc/self/fdinfo/" + std::to_string(predecessor_.get()));
        for (std::string word; file >> word;)
            if (word == "Pid:" && file >> word) return "process " + word;
        return "another descriptor";
    }

    /// Sends the keeper something that is no message, past the link.
    static std::string lie(u64 which) {
        std::vector<int> numbers;
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
            numbers.push_back(std::stoi(entry.path().filename()));
        for (const int number : numbers) {
            Message message;
            message.kind = which == 0 ? Kind::store : Kind::listeners;
            if (which == 2) message.kind = Kind::drop, message.version = 9;  // Right but for its version.
            if (which == 3) message.kind = static_cast<Kind>(77);
            sockaddr_storage peer{};
            socklen_t size = sizeof peer;
            if (getpeername(number, reinterpret_cast<sockaddr*>(&peer), &size) != 0 || peer.ss_family != AF_UNIX) continue;
            (void)send(number, &message, which == 1 ? 7 : sizeof message, MSG_NOSIGNAL);
        }
        pause();
        return "";
    }

    std::string arguments_;
    Fd predecessor_;
    std::unique_ptr<Link> link_;
    Takeover taken_;
    std::map<u64, Fd> blocks_;
    std::string wrong_;
};

int be_keeper(std::span<char* const> arguments) {
    auto places = resolve_places(arguments.subspan(2), [](const char* name) { return std::getenv(name); });
    if (!places) {
        log(describe(places.error()));
        return exit_refused;
    }
    const std::string own = std::filesystem::read_symlink("/proc/self/exe").native();
    Settings settings{*std::move(places), own, own, arguments};
    for (const std::string_view argument : arguments) {
        if (argument.starts_with("--successor=")) settings.own_program = argument.substr(12);
        if (argument == "--impatient") settings.stop_ns_max = 300 * ns_per_ms;
    }
    return run(settings, take_given([](const char* name) { return std::getenv(name); }));
}

/// Before doctest's main sees arguments that are not for it.
__attribute__((constructor)) void play_part(int argument_count, char** arguments) {
    if (argument_count == 2 && arguments[1] == takeover_question) _exit(takeover_answer);
    if (argument_count < 2 || std::string_view(arguments[1]) != "serve") return;
    if (std::getenv("VRAMD_KEEPER_FD") != nullptr) _exit(TestCore(argument_count, arguments).run());
    _exit(be_keeper({arguments, static_cast<std::size_t>(argument_count)}));
}
}  // namespace
