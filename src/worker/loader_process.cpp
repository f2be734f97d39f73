#include "worker/loader_process.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <map>
#include <thread>

#include "base/clock.hpp"
#include "base/mutex.hpp"
#include "worker/job.hpp"

namespace vramd::worker {
namespace {
constexpr u64 wake_key = 0;
constexpr u32 frames_per_turn = 32;  ///< Of one process, before the others have theirs.

constexpr u64 progress_every_ms = 50;

/// An epoll key: which job, and whether its process' end or its socket is meant.
u64 key_of(Ticket ticket, bool end) { return ticket.number * 2 + (end ? 1 : 0); }

Error cancelled() { return {Code::cancelled, "", 0, 0, "The job was cancelled."}; }

Result<void> check_files(const SharedFiles& files) {
    if (files == nullptr || !files->main) return refuse(Code::invalid_field, "files", "There is no file to read.");
    if (files->others.size() > ipc::table_files_max)
        return refuse(Code::invalid_field, "files", files->others.size(), ipc::table_files_max);
    for (const NamedFile& other : files->others)
        if (!other.fd) return refuse(Code::invalid_field, "files", "A further file is not open.");
    return {};
}

Result<void> check_memory(const LoadJob& job) {
    if (job.channel != nullptr) {
        if (job.plan == nullptr || job.plan->decoded_bytes > 0)
            return refuse(Code::invalid_field, "plan",
                          "Memory that the processor does not see takes a planned load without decoding only.");
        return {};
    }
    struct stat facts {};
    if (fstat(job.memory.get(), &facts) != 0) return std::unexpected(system_error("fstat", errno));
    if (job.offset_bytes % page_bytes != 0) return refuse(Code::invalid_field, "offsetBytes", job.offset_bytes, page_bytes);
    TRY_DO(Range::within(static_cast<u64>(facts.st_size), job.offset_bytes, job.place.size()));
    return {};
}
}  // namespace

/// The thread and the queue. What one thread alone touches stands apart from what the mutex guards.
class Loaders::Engine {
public:
    explicit Engine(Options options) : options_(std::move(options)), reader_(options_.readers) {}
    ~Engine() { shutdown(); }
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    Result<void> open();
    Result<Ticket> submit(Job::Request request);
    void cancel(Ticket ticket);
    void shutdown();
    std::vector<Speaking> processes() const;
    ConfinementFacts confinement() const;

private:
    using Running = std::map<u64, std::unique_ptr<Job>>;
    void run();
    /// New jobs and cancellations; false when all is over.
    bool take_orders();
    void begin_waiting();
    void expire();
    int wait_ms() const;
    void handle(u64 key);
    /// The process has ended: what it planned is read, or the job is over.
    void process_ended(Running::iterator at);
    /// Jobs that read: their progress is told, and they end when they have read.
    void follow_readings();
    void end(Running::iterator at);
    Result<void> watch(int fd, u64 key) const;
    void wake() const;
    void publish();
    template <class Condition, class Verdict>
    void drop_waiting(const Condition& unwanted, const Verdict& decide);

    Options options_;
    Fd epoll_;
    Fd wake_;
    std::thread thread_;

    mutable Mutex mutex_;
    enum class Phase : u8 { open, ending } phase_ GUARDED_BY(mutex_) = Phase::open;
    u64 last_ticket_ GUARDED_BY(mutex_) = 0;
    u32 queued_ GUARDED_BY(mutex_) = 0;
    std::vector<std::unique_ptr<Job>> submitted_ GUARDED_BY(mutex_);
    std::vector<Ticket> cancelled_ GUARDED_BY(mutex_);
    std::vector<Speaking> processes_ GUARDED_BY(mutex_);
    ConfinementFacts confinement_ GUARDED_BY(mutex_);

    std::deque<std::unique_ptr<Job>> waiting_;  ///< The thread's own: inspections first, each kind in its order.
    Running running_;                           ///< The thread's own.
    Reader reader_;                             ///< Ends before what it tells of its readings' ends.
};

Result<void> Loaders::Engine::open() {
    if (options_.processes_max < 1 || options_.processes_max > 64)
        return refuse(Code::invalid_field, "processesMax", options_.processes_max, 64);
    if (options_.program.empty()) {
        TRY(options_.program, program_beside("vramd-worker"));
    }
    if (access(options_.program.c_str(), X_OK) != 0)
        return refuse(Code::not_found, "program", "The loading program vramd-worker is not installed.");
    epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
    wake_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!epoll_ || !wake_) return std::unexpected(system_error("epoll_create1", errno));
    TRY_DO(watch(wake_.get(), wake_key));
    thread_ = std::thread([this] { run(); });
    return {};
}

Result<void> Loaders::Engine::watch(int fd, u64 key) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = key;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return std::unexpected(system_error("epoll_ctl", errno));
    return {};
}

void Loaders::Engine::wake() const {
    const u64 one = 1;
    (void)!write(wake_.get(), &one, sizeof one);  // A full counter wakes as well.
}

Result<Ticket> Loaders::Engine::submit(Job::Request request) {
    Ticket ticket;
    {
        const Lock lock(mutex_);
        if (phase_ == Phase::ending) return std::unexpected(cancelled());
        if (queued_ >= options_.queued_max) return refuse(Code::busy, "queue", queued_, options_.queued_max);
        ticket = Ticket{++last_ticket_};
        ++queued_;
        submitted_.push_back(std::make_unique<Job>(ticket, std::move(request), monotonic_ns()));
    }
    wake();
    return ticket;
}

void Loaders::Engine::cancel(Ticket ticket) {
    {
        const Lock lock(mutex_);
        if (phase_ == Phase::ending) return;
        cancelled_.push_back(ticket);
    }
    wake();
}

void Loaders::Engine::shutdown() {
    {
        const Lock lock(mutex_);
        phase_ = Phase::ending;
    }
    if (!thread_.joinable()) return;
    wake();
    thread_.join();
}

std::vector<Speaking> Loaders::Engine::processes() const {
    const Lock lock(mutex_);
    return processes_;
}

ConfinementFacts Loaders::Engine::confinement() const {
    const Lock lock(mutex_);
    return confinement_;
}

void Loaders::Engine::run() {
    while (take_orders()) {
        begin_waiting();
        std::array<epoll_event, 16> events{};
        const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_ms());
        for (int i = 0; i < count; ++i) handle(events[static_cast<std::size_t>(i)].data.u64);
        follow_readings();
        expire();
    }
}

bool Loaders::Engine::take_orders() {
    std::vector<std::unique_ptr<Job>> submitted;
    std::vector<Ticket> cancels;
    Phase phase{};
    {
        const Lock lock(mutex_);
        submitted.swap(submitted_);
        cancels.swap(cancelled_);
        phase = phase_;
    }
    for (auto& job : submitted) {
        const auto first_load =
            job->is_load() ? waiting_.end() : std::ranges::find_if(waiting_, [](const auto& other) { return other->is_load(); });
        waiting_.insert(first_load, std::move(job));
    }
    if (phase == Phase::ending) {
        for (const auto& [number, job] : running_) job->fail(cancelled());
        drop_waiting([](const Job&) { return true; }, [](Job& job) { job.fail(cancelled()); });
        return !running_.empty();
    }
    for (const Ticket ticket : cancels) {
        if (const auto at = running_.find(ticket.number); at != running_.end()) at->second->fail(cancelled());
        drop_waiting([&](const Job& job) { return job.ticket() == ticket; }, [](Job& job) { job.fail(cancelled()); });
    }
    return true;
}

/// Ends waiting jobs. Each leaves the queue before its `done` runs, which may submit others.
template <class Condition, class Verdict>
void Loaders::Engine::drop_waiting(const Condition& unwanted, const Verdict& decide) {
    while (true) {
        const auto at = std::ranges::find_if(waiting_, [&](const auto& job) { return unwanted(*job); });
        if (at == waiting_.end()) return;
        const std::unique_ptr<Job> job = std::move(*at);
        waiting_.erase(at);
        {
            const Lock lock(mutex_);
            --queued_;
        }
        decide(*job);
        job->finish();
    }
}

void Loaders::Engine::begin_waiting() {
    const auto speaking = [this] {
        return std::ranges::count_if(running_, [](const auto& entry) { return entry.second->process() != nullptr; });
    };
    while (!waiting_.empty() && speaking() < options_.processes_max) {
        std::unique_ptr<Job> job = std::move(waiting_.front());
        waiting_.pop_front();
        {
            const Lock lock(mutex_);
            --queued_;
        }
        Result<void> begun = job->begin(options_);
        if (begun && job->process() != nullptr) begun = watch(job->process()->channel().descriptor(), key_of(job->ticket(), false));
        if (begun && job->process() != nullptr) begun = watch(job->process()->pidfd(), key_of(job->ticket(), true));
        if (!begun) {
            job->fail(std::move(begun).error());
            job->finish();
            continue;
        }
        const auto at = running_.emplace(job->ticket().number, std::move(job)).first;
        publish();
        if (at->second->process() == nullptr) process_ended(at);
    }
}

void Loaders::Engine::handle(u64 key) {
    if (key == wake_key) {
        u64 count = 0;
        (void)!read(wake_.get(), &count, sizeof count);
        return;
    }
    const auto at = running_.find(key / 2);
    if (at == running_.end() || at->second->process() == nullptr) return;  // Ended earlier in this turn.
    Job& job = *at->second;
    const int socket = job.process()->channel().descriptor();
    if (key % 2 == 1) {
        // What it said before it died counts, however many frames: the kernel bounds what can wait.
        (void)job.hear(UINT32_MAX);
        return process_ended(at);
    }
    if (!job.hear(frames_per_turn)) (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket, nullptr);
}

void Loaders::Engine::process_ended(Running::iterator at) {
    Job& job = *at->second;
    if (const auto facts = job.confinement()) {
        const Lock lock(mutex_);
        confinement_ = *facts;
    }
    job.reap();
    publish();
    if (!job.wants_reading()) return end(at);
    job.begin_reading(reader_, [this] { wake(); });
}

void Loaders::Engine::follow_readings() {
    bool lands = false;
    for (auto at = running_.begin(); at != running_.end();) {
        const auto here = at++;
        Job& job = *here->second;
        if (job.reading() == nullptr) continue;
        lands = job.reading()->over() || job.tell_progress() || lands;
        if (job.reading()->over()) end(here);
    }
    if (!lands) return;
    for (const auto& [number, job] : running_) job->note_turn_awaited();
}

void Loaders::Engine::end(Running::iterator at) {
    const std::unique_ptr<Job> job = std::move(at->second);
    running_.erase(at);
    job->finish();
}

void Loaders::Engine::expire() {
    const u64 now_ns = monotonic_ns();
    for (const auto& [number, job] : running_)
        if (job->deadline_ns() <= now_ns) job->expire();
    drop_waiting([&](const Job& job) { return job.deadline_ns() <= now_ns; }, [](Job& job) { job.expire(); });
}

/// Until the next deadline, rounded up, so that no turn is taken for nothing.
int Loaders::Engine::wait_ms() const {
    u64 next_ns = UINT64_MAX;
    for (const auto& [number, job] : running_) next_ns = std::min(next_ns, job->deadline_ns());
    for (const auto& job : waiting_) next_ns = std::min(next_ns, job->deadline_ns());
    const u64 now_ns = monotonic_ns();
    if (std::ranges::any_of(running_, [](const auto& entry) { return entry.second->reading() != nullptr; }))
        next_ns = std::min(next_ns, now_ns + progress_every_ms * ns_per_ms);
    if (next_ns == UINT64_MAX) return -1;
    if (next_ns <= now_ns) return 0;
    return static_cast<int>(std::min<u64>(div_ceil(next_ns - now_ns, ns_per_ms), 3'600'000));
}

void Loaders::Engine::publish() {
    std::vector<Speaking> processes;
    for (const auto& [number, job] : running_)
        if (job->process() != nullptr) processes.push_back({job->ticket(), job->process()->pid()});
    const Lock lock(mutex_);
    processes_ = std::move(processes);
}

Loaders::Loaders(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}
Loaders::~Loaders() { shutdown(); }

Result<std::unique_ptr<Loaders>> Loaders::start(Options options) {
    if (options.readers < 1 || options.readers > 64) return refuse(Code::invalid_field, "readers", options.readers, 64);
    auto engine = std::make_unique<Engine>(std::move(options));
    TRY_DO(engine->open());
    return std::unique_ptr<Loaders>(new Loaders(std::move(engine)));
}

Result<Ticket> Loaders::inspect(InspectJob job) {
    TRY_DO(check_files(job.files));
    if (!job.done) return refuse(Code::invalid_field, "done", "Nobody would hear the answer.");
    return engine_->submit(std::move(job));
}

Result<Ticket> Loaders::load(LoadJob job) {
    TRY_DO(check_files(job.files));
    if (!job.done) return refuse(Code::invalid_field, "done", "Nobody would hear the answer.");
    TRY_DO(check_memory(job));
    return engine_->submit(std::move(job));
}

void Loaders::cancel(Ticket ticket) { engine_->cancel(ticket); }
std::vector<Speaking> Loaders::processes() const { return engine_->processes(); }
ConfinementFacts Loaders::confinement() const { return engine_->confinement(); }
void Loaders::shutdown() { engine_->shutdown(); }
}  // namespace vramd::worker
