// links: client http
/// How often a second clients attach a model and let go of it again by libvramd, mapped and unmapped each time: one client, several at
/// once.
///
/// The limit, from the same run: as many bare round trips over a socket of the same kind, each answered by one thread with a descriptor
/// that the client maps, unmaps and closes, and a second round trip for the letting go. `--quick` asks fewer times.
#include <poll.h>
#include <sys/mman.h>

#include <atomic>
#include <string_view>

#include "client/vramd.hpp"
#include "daemon_bed.hpp"

namespace vramd::bench {
namespace {
constexpr u64 model_bytes = 2 * mib;

/// A safetensors file of one tensor.
void write_model(const std::filesystem::path& path) {
    std::string head =
        R"({"w":{"dtype":"U8","shape":[)" + std::to_string(model_bytes) + R"(],"data_offsets":[0,)" + std::to_string(model_bytes) + "]}}";
    head.resize((head.size() + 7) / 8 * 8, ' ');
    const u64 size = head.size();
    std::FILE* const file = std::fopen(path.c_str(), "wb");
    if (file == nullptr) give_up("writing the model");
    const std::string body(model_bytes, 'x');
    if (std::fwrite(&size, sizeof size, 1, file) != 1 || std::fwrite(head.data(), head.size(), 1, file) != 1 ||
        std::fwrite(body.data(), body.size(), 1, file) != 1)
        give_up("writing the model");
    std::fclose(file);
}

/// Times a second that all of `clients` threads together do `once`; each thread has what `make` gives it.
template <class Make>
double per_second(std::size_t clients, u64 times, const Make& make) {
    std::atomic<std::size_t> ready{0};
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < clients; ++i)
        threads.emplace_back([&] {
            auto once = make();
            once();
            ready.fetch_add(1);
            while (!go.load()) std::this_thread::yield();
            for (u64 n = 0; n < times; ++n) once();
        });
    while (ready.load() < clients) std::this_thread::yield();
    const u64 began_ns = monotonic_ns();
    go.store(true);
    for (std::thread& thread : threads) thread.join();
    return static_cast<double>(clients * times) * 1e9 / static_cast<double>(monotonic_ns() - began_ns);
}

/// One client of the daemon.
auto daemon_client(const std::string& socket) {
    auto client = client::Client::connect(socket, "bench");
    if (!client) give_up(client.error().message);
    return [client = *client]() mutable {
        const auto model = client.load("m.safetensors");
        if (!model) give_up(model.error().message);
        if (*model->data() != std::byte{'x'}) give_up("other bytes");
    };
}

/// A bare server of one thread for sockets of the same kind: a word in, a descriptor out; a second word in, a word out.
class BareServer {
public:
    explicit BareServer(std::size_t clients) {
        memory_ = Fd(memfd_create("bench", MFD_CLOEXEC));
        if (ftruncate(memory_.get(), model_bytes) != 0) give_up("ftruncate");
        const std::string body(model_bytes, 'x');
        if (pwrite(memory_.get(), body.data(), body.size(), 0) != static_cast<ssize_t>(body.size())) give_up("pwrite");
        for (std::size_t i = 0; i < clients; ++i) {
            int ends[2];
            if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) give_up("socketpair");
            here_.emplace_back(ends[0]);
            there_.emplace_back(ends[1]);
        }
        thread_ = std::thread([this] { serve(); });
    }
    ~BareServer() {
        for (Fd& end : there_) end = Fd();
        thread_.join();
    }
    BareServer(const BareServer&) = delete;
    BareServer& operator=(const BareServer&) = delete;

    auto client() {
        const int end = there_[next_.fetch_add(1)].get();
        return [end] {
            char word[512];
            if (send(end, "attach", 6, 0) != 6) give_up("send");
            alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
            iovec part{word, sizeof word};
            msghdr message{nullptr, 0, &part, 1, control, sizeof control, 0};
            if (recvmsg(end, &message, MSG_CMSG_CLOEXEC) <= 0) give_up("recvmsg");
            int number = -1;
            std::memcpy(&number, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof number);
            const Fd memory(number);
            void* const base = mmap(nullptr, model_bytes, PROT_READ, MAP_SHARED, memory.get(), 0);
            if (base == MAP_FAILED || *static_cast<const char*>(base) != 'x') give_up("mmap");
            (void)munmap(base, model_bytes);
            if (send(end, "detach", 6, 0) != 6 || recv(end, word, sizeof word, 0) <= 0) give_up("detach");
        };
    }

private:
    void serve() {
        std::vector<pollfd> waits;
        for (const Fd& end : here_) waits.push_back({end.get(), POLLIN, 0});
        for (std::size_t open = waits.size(); open > 0;) {
            (void)poll(waits.data(), waits.size(), -1);
            for (pollfd& wait : waits) {
                if ((wait.revents & (POLLIN | POLLHUP)) == 0) continue;
                char word[512];
                const ssize_t got = recv(wait.fd, word, sizeof word, 0);
                if (got <= 0) {
                    wait.fd = -1;
                    --open;
                    continue;
                }
                answer(wait.fd, word[0] == 'a');
            }
        }
    }
    void answer(int end, bool gives) const {
        std::string text(400, '.');  // About as long as the daemon's answer.
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
        iovec part{text.data(), text.size()};
        msghdr message{nullptr, 0, &part, 1, gives ? control : nullptr, gives ? sizeof control : 0, 0};
        if (gives) {
            cmsghdr* const head = CMSG_FIRSTHDR(&message);
            head->cmsg_level = SOL_SOCKET;
            head->cmsg_type = SCM_RIGHTS;
            head->cmsg_len = CMSG_LEN(sizeof(int));
            const int number = memory_.get();
            std::memcpy(CMSG_DATA(head), &number, sizeof number);
        }
        if (sendmsg(end, &message, MSG_NOSIGNAL) <= 0) give_up("sendmsg");
    }

    Fd memory_;
    std::vector<Fd> here_;
    std::vector<Fd> there_;
    std::atomic<std::size_t> next_{0};
    std::thread thread_;
};

void report(const std::string& socket, std::size_t clients, u64 times) {
    double own = 0;
    double bare = 0;
    for (int round = 0; round < 3; ++round) {
        own = std::max(own, per_second(clients, times, [&] { return daemon_client(socket); }));
        BareServer server(clients);
        bare = std::max(bare, per_second(clients, times, [&] { return server.client(); }));
    }
    std::printf("attach, first byte, detach: %zu client%s %8.0f a second   bare sockets and mappings %8.0f (%3.0f %%)   goal 10000\n",
                clients, clients == 1 ? " " : "s", own, bare, own / bare * 100);
}
}  // namespace
}  // namespace vramd::bench

int main(int count, char** arguments) {
    using namespace vramd::bench;
    const bool quick = count > 1 && std::string_view(arguments[1]) == "--quick";
    const Bed bed(64 * vramd::mib);
    write_model(bed.models / "m.safetensors");
    for (const std::size_t clients : {std::size_t{1}, std::size_t{2}, std::size_t{4}, std::size_t{8}})
        report(bed.folder / "vramd.sock", clients, quick ? 1000 : 5000);
}
