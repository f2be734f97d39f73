/// A loading process that a file has taken over: it says and does what it likes within its socket and its table memory.
///
/// The test program plays it itself: started as the loading program, it finds the behaviour in the model's name (`hostile:…`), before its
/// own main; every other request goes to the real program.
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <ranges>

#include "base/choices.hpp"
#include "base/clock.hpp"
#include "ipc/messages.hpp"
#include "worker/process.hpp"
#include "worker/test_files.hpp"

namespace vramd::worker {
using namespace testing;
namespace {
constexpr int socket_descriptor = 3;

class Hostile {
public:
    explicit Hostile(const ipc::Channel& channel) : channel_(channel) {}

    void act(const std::string& how, const Fd& table) {
        if (how == "garbage") (void)channel_.send("\xff\x00garbage");
        if (how == "flood") flood();
        if (how == "descriptors") (void)channel_.send(started(), std::array{0, 1});
        if (how == "large frame") (void)::send(socket_descriptor, std::string(100'000, ' ').data(), 100'000, MSG_NOSIGNAL);
        if (how == "hang up") (void)shutdown(socket_descriptor, SHUT_RDWR);
        if (how == "exit") _exit(7);
        if (how == "crash") (void)raise(SIGABRT);
        if (how == "early answer") answer(10);
        if (how == "stuck") stuck(table);
        if (how == "whole table" || how.starts_with("random table")) random_table(how, table);
        while (true) pause();
    }

private:
    static std::string started() { return ipc::write_message(ipc::Notification{"started", {}}); }
    void answer(u64 table_bytes) { (void)channel_.send(ipc::write_message(ipc::Answer{1, {{"table_bytes", table_bytes}}})); }
    void flood() {
        (void)channel_.send(started());
        (void)channel_.send(ipc::write_message(ipc::Notification{"parsed", {{"table_bytes", 1}}}));
        const std::string more = ipc::write_message(ipc::Notification{"progress", {{"bytes", 0}, {"total", 1}}});
        while (channel_.send(more)) {
        }
    }
    /// Begins as a good load does, and then does nothing any more.
    void stuck(const Fd& table) {
        const std::string bytes = ipc::encode_table({"gguf", 4096, 4, {}, {{"w", "f32", {1}, 0, 4}}, {}, {}, 4}).value();
        (void)!pwrite(table.get(), bytes.data(), bytes.size(), 0);
        (void)channel_.send(started());
        (void)channel_.send(ipc::write_message(ipc::Notification{"parsed", {{"table_bytes", bytes.size()}}}));
        (void)channel_.send(ipc::write_message(ipc::Notification{"progress", {{"bytes", 1}, {"total", 4}}}));
    }
    void random_table(const std::string& how, const Fd& table) {
        std::string bytes = ipc::encode_table({"gguf", 4096, 4, {}, {{"w", "f32", {1}, 0, 4}}, {{"k", "v"}}, {{0, 0, 1, 0}}, 0}).value();
        Choices choices = Choices::from_seed(how.size() * 1000 + static_cast<u64>(how.back()));
        for (int i = 0; i < 3; ++i) bytes[choices.below(bytes.size())] = static_cast<char>(choices.below(256));
        (void)!pwrite(table.get(), bytes.data(), bytes.size(), 0);
        (void)channel_.send(started());
        answer(how == "whole table" ? ipc::table_bytes_max : bytes.size());
    }
    const ipc::Channel& channel_;
};

/// The behaviour that the waiting request asks for; empty: none of these. The request stays on the socket.
std::string behaviour() {
    std::string text(ipc::frame_bytes_max, '\0');
    const ssize_t size = recv(socket_descriptor, text.data(), text.size(), MSG_PEEK);
    if (size <= 0) return {};
    text.resize(static_cast<std::size_t>(size));
    const auto message = ipc::parse_message(text);
    if (!message) return {};
    const std::string name = ipc::read_text(std::get<ipc::Request>(*message).params, "main_name", 100).value_or("");
    return name.starts_with("hostile:") ? name.substr(8) : "";
}

/// Before main, for the test program's own would run tests.
[[gnu::constructor]] void play_loader() {
    if (std::string_view(program_invocation_name) != "vramd-worker") return;
    const std::string how = behaviour();
    if (how.empty()) {
        const std::string real = program_beside("vramd-worker").value_or("");
        execl(real.c_str(), "vramd-worker", nullptr);
        _exit(9);
    }
    const ipc::Channel channel{Fd(socket_descriptor)};
    const auto request = channel.receive(ipc::Descriptors::taken);
    if (!request || request->fds.empty()) _exit(8);
    Hostile(channel).act(how, request->fds[0]);
}

Options hostile_options() {
    Options options;
    options.program = std::filesystem::read_symlink("/proc/self/exe").string();
    return options;
}
SharedFiles hostile(const std::string& how) { return files_of("hostile:" + how, file_of("x")); }
}  // namespace

TEST_CASE("whatever a hostile process says, its job fails with a reason and the next one works") {
    const auto all = loaders(hostile_options());
    const Memory memory(4096);
    REQUIRE(inspect(*all, hostile("exit")).error().code == Code::system_failed);
    const std::size_t before = open_descriptors();
    for (const char* how : {"garbage", "descriptors", "large frame", "hang up", "exit", "crash", "early answer"}) {
        INFO(how);
        const auto inspection = inspect(*all, hostile(how));
        REQUIRE(!inspection.has_value());
        CHECK((inspection.error().code == Code::system_failed || inspection.error().code == Code::invalid_model));
        CHECK(!describe(inspection.error()).empty());
        CHECK(!load(*all, load_job(hostile(how), memory, 4096)).has_value());
    }
    CHECK(load(*all, load_job(hostile("flood"), memory, 4096)).error().code == Code::invalid_model);  // Its table of one byte is none.
    CHECK(inspect(*all, hostile("flood")).error().code == Code::system_failed);
    CHECK(describe(inspect(*all, hostile("exit")).error()).find("exit code 7") != std::string::npos);
    CHECK(describe(inspect(*all, hostile("crash")).error()).find("crash") != std::string::npos);
    CHECK(describe(inspect(*all, hostile("hang up")).error()).find("closed its socket") != std::string::npos);
    CHECK(open_descriptors() == before);
    CHECK(pids_of(*all).empty());
    CHECK(inspect(*all, files_of("m", file_of(safetensors(1, 64).bytes()))).has_value());
}

TEST_CASE("damaged tables in the lent table memory are refused or keep their promises") {
    const auto all = loaders(hostile_options());
    CHECK(!inspect(*all, hostile("whole table")).has_value());
    for (char seed = 'a'; seed < 'q'; ++seed) {
        const auto inspection = inspect(*all, hostile(std::string("random table ") + seed));
        if (!inspection) continue;
        for (const Tensor& tensor : inspection->model.tensors)
            CHECK(Range::within(inspection->model.memory_bytes, tensor.offset_bytes, tensor.size_bytes).has_value());
    }
}

TEST_CASE("a process that never answers is ended at its deadline, others go on meanwhile") {
    const auto all = loaders(hostile_options());
    Awaited<Inspection> silent;
    InspectJob job{hostile("silent"), 700, silent.callback()};
    const u64 began_ns = monotonic_ns();
    REQUIRE(all->inspect(std::move(job)).has_value());
    CHECK(inspect(*all, files_of("m", file_of(safetensors(1, 64).bytes()))).has_value());
    const auto inspection = silent.wait();
    CHECK(inspection.error().code == Code::timed_out);
    CHECK(monotonic_ns() - began_ns >= 700 * ns_per_ms);
    CHECK(pids_of(*all).empty());
}

TEST_CASE("a load that stands still is ended, however far it came") {
    const auto all = loaders(hostile_options());
    const Memory memory(4096);
    Awaited<Loaded> answer;
    LoadJob job = load_job(hostile("stuck"), memory, 4096);
    job.quiet_ms = 700;
    job.done = answer.callback();
    const u64 began_ns = monotonic_ns();
    REQUIRE(all->load(std::move(job)).has_value());
    const auto loaded = answer.wait();
    CHECK(loaded.error().code == Code::timed_out);
    CHECK(describe(loaded.error()).find("for 700 ms") != std::string::npos);
    CHECK(monotonic_ns() - began_ns >= 700 * ns_per_ms);
    CHECK(pids_of(*all).empty());
}

TEST_CASE("a process that is killed while its load stands still ends that load, told as killed, and no other") {
    const auto all = loaders(hostile_options());
    const Memory memory(4096);
    Awaited<Loaded> other;
    LoadJob stays = load_job(hostile("stuck"), memory, 4096);
    stays.done = other.callback();
    const Ticket staying = all->load(std::move(stays)).value();
    while (pids_of(*all).empty()) std::this_thread::yield();
    const pid_t spared = pids_of(*all)[0];

    Awaited<Loaded> answer;
    std::promise<void> moving;
    LoadJob job = load_job(hostile("stuck"), memory, 4096);
    job.progress = [&](u64, u64) { moving.set_value(); };
    job.done = answer.callback();
    REQUIRE(all->load(std::move(job)).has_value());
    REQUIRE(moving.get_future().wait_for(patience) == std::future_status::ready);
    for (const pid_t pid : pids_of(*all))
        if (pid != spared) kill(pid, SIGKILL);
    const auto loaded = answer.wait();
    REQUIRE(!loaded.has_value());
    CHECK(loaded.error().code == Code::system_failed);
    CHECK(describe(loaded.error()).find("ended from outside") != std::string::npos);
    CHECK(pids_of(*all) == std::vector<pid_t>{spared});
    all->cancel(staying);
    CHECK(other.wait().error().code == Code::cancelled);
    CHECK(kill(spared, 0) != 0);
}

TEST_CASE("jobs beyond the limit wait, inspections before loads, and one that waits can be cancelled, an inspection expire") {
    Options options = hostile_options();
    options.processes_max = 1;
    options.queued_max = 4;
    const auto all = loaders(options);
    const SharedFiles small = files_of("m", file_of(safetensors(1, 64).bytes()));
    const Memory memory(4096);
    Awaited<Inspection> first;
    const Ticket running = all->inspect({hostile("silent"), 60'000, first.callback()}).value();
    while (pids_of(*all).empty()) std::this_thread::yield();

    std::vector<std::string> order;  // Written by the service's one thread, read after its end.
    const auto submit = [&](const std::string& name) {
        LoadJob job = load_job(small, memory, 4096);
        job.done = [&order, name](const Result<Loaded>& result) {
            order.push_back(name + (result ? "" : " " + std::string(facts_of(result.error().code).name)));
        };
        return all->load(std::move(job));
    };
    REQUIRE(submit("load").has_value());
    const Ticket dropped = submit("dropped").value();
    REQUIRE(all->inspect({small, 0,
                          [&order](const Result<Inspection>& result) {
                              order.push_back(std::string("late ") + (result ? "" : std::string(facts_of(result.error().code).name)));
                          }})
                .has_value());
    Awaited<Inspection> looked;
    InspectJob look{small, 60'000, [&order, answer = looked.callback()](Result<Inspection> result) {
                        order.push_back("inspection");
                        answer(std::move(result));
                    }};
    REQUIRE(all->inspect(std::move(look)).has_value());
    all->cancel(dropped);
    all->cancel(running);
    CHECK(first.wait().error().code == Code::cancelled);
    CHECK(looked.wait().has_value());
    CHECK(load(*all, load_job(small, memory, 4096)).has_value());  // The last of the queue.
    all->shutdown();
    const auto place = [&](const char* what) { return std::find(order.begin(), order.end(), what) - order.begin(); };
    REQUIRE(order.size() == 4);
    CHECK(place("dropped cancelled") < 4);
    CHECK(place("late timed-out") < 4);
    CHECK(place("inspection") < place("load"));
    CHECK(place("load") < 4);
}

TEST_CASE("a full queue is busy, not endless") {
    Options options = hostile_options();
    options.processes_max = 1;
    options.queued_max = 2;
    const auto all = loaders(options);
    std::atomic<int> answers = 0;
    Result<Ticket> last = Ticket{};
    int accepted = 0;
    for (; last && accepted < 10; ++accepted)
        last = all->inspect({hostile("silent"), 60'000, [&](const Result<Inspection>&) { ++answers; }});
    REQUIRE(!last.has_value());
    CHECK(last.error().code == Code::busy);
    all->shutdown();
    CHECK(answers == accepted - 1);
}
}  // namespace vramd::worker
