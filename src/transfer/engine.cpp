#include "transfer/engine.hpp"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "base/background.hpp"
#include "base/clock.hpp"
#include "base/invariant.hpp"
#include "base/mutex.hpp"
#include "transfer/threads.hpp"
#include "transfer/work.hpp"

namespace vramd::transfer {
namespace {
constexpr std::size_t priority_count = 4;

/// An accepted job. All but `work.run` is under the engine's mutex.
///
/// A task is in exactly one place: in a ready queue (it has a chunk that may begin), in `ending` (no chunk runs or may begin), or in the
/// hands of the threads that run its last begun chunks. The thread that finds it with nothing running and nothing to begin ends it.
struct Task {
    Task(Work prepared, Done on_end) : work(std::move(prepared)), done(std::move(on_end)) {}

    Ticket ticket = 0;
    Work work;
    Done done;
    Priority priority = Priority::normal;
    u64 chunks_begun = 0;
    u64 chunks_running = 0;
    u64 bytes_done = 0;
    u64 submitted_ns = 0;
    u64 started_ns = 0;
    std::optional<Error> error;  ///< Why no further chunk is begun.

    bool may_begin() const { return !error && chunks_begun < work.chunk_count() && (work.lanes() == Lanes::many || chunks_running == 0); }
    bool is_over() const { return chunks_running == 0 && (error || chunks_begun == work.chunk_count()); }
};
using TaskPointer = std::shared_ptr<Task>;

Error cancelled_error() { return Error{Code::cancelled, "transfer", 0, 0, "The transfer was cancelled before it was finished."}; }

/// What `done` gets: a job whose every byte is done has succeeded, whatever was asked of it meanwhile.
Result<Outcome> outcome_of(const Task& task, u64 now_ns) {
    if (task.error &&
        (task.error->code != Code::cancelled || task.bytes_done < task.work.size_bytes() || task.chunks_begun < task.work.chunk_count()))
        return std::unexpected(*task.error);
    const u64 started_ns = task.started_ns == 0 ? now_ns : task.started_ns;
    return Outcome{task.bytes_done, started_ns - task.submitted_ns, now_ns - started_ns, task.work.sum()};
}
}  // namespace

struct Engine::State {
    Options options;
    mutable Mutex mutex;
    std::condition_variable_any wake;
    std::array<std::deque<TaskPointer>, priority_count> ready GUARDED_BY(mutex);
    std::deque<TaskPointer> ending GUARDED_BY(mutex);
    std::map<Ticket, TaskPointer> tasks GUARDED_BY(mutex);
    Ticket last_ticket GUARDED_BY(mutex) = 0;
    bool stop GUARDED_BY(mutex) = false;
    std::vector<std::jthread> threads;

    /// A simulation has a clock of its own, so a stepped engine's times are all 0.
    u64 now_ns() const { return options.mode == Options::Mode::stepped ? 0 : monotonic_ns(); }
    std::deque<TaskPointer>& queue_of(const Task& task) { return ready[static_cast<std::size_t>(task.priority)]; }

    /// Until it is gone, or this is to end.
    void await_predecessor() const {
        constexpr u64 a_look_ms = 100;
        const auto stops = [this] {
            const Lock lock(mutex);
            return stop;
        };
        while (options.predecessor && !stops() && !options.predecessor->await(a_look_ms)) {
        }
    }

    /// Puts a task that is in no queue where it belongs now; chunks that still run leave it to the thread of the last one.
    void place(const TaskPointer& task) REQUIRES(mutex) {
        if (task->is_over())
            ending.push_back(task);
        else if (task->may_begin())
            queue_of(*task).push_back(task);
    }

    /// Takes a waiting task out of its queue and lets nothing more of it begin.
    void cancel_task(const TaskPointer& task) REQUIRES(mutex) {
        if (task->error) return;
        task->error = cancelled_error();
        if (std::erase(queue_of(*task), task) > 0) place(task);
    }

    /// The next piece of work: a task to end, or one with a chunk begun in it; absent when there is none.
    struct Turn {
        TaskPointer task;
        std::optional<u64> chunk;  ///< Absent: end the task.
    };
    std::optional<Turn> next() REQUIRES(mutex) {
        if (!ending.empty()) {
            Turn turn{std::move(ending.front()), std::nullopt};
            ending.pop_front();
            tasks.erase(turn.task->ticket);
            return turn;
        }
        for (std::size_t priority = priority_count; priority-- > 0;) {
            auto& queue = ready[priority];
            if (queue.empty()) continue;
            const TaskPointer task = std::move(queue.front());
            queue.pop_front();
            if (task->started_ns == 0) task->started_ns = now_ns();
            const u64 chunk = task->chunks_begun++;
            ++task->chunks_running;
            if (task->may_begin()) queue.push_back(task);  // At the end: jobs of one priority take turns.
            return Turn{task, chunk};
        }
        return std::nullopt;
    }

    /// Does a piece of work without the lock.
    void take(Turn turn) EXCLUDES(mutex) {
        Task& task = *turn.task;
        if (!turn.chunk) {
            auto outcome = outcome_of(task, now_ns());
            task.work.let_go();
            task.done(std::move(outcome));
            return;
        }
        auto ran = task.work.run(*turn.chunk);
        const Lock lock(mutex);
        --task.chunks_running;
        if (ran) task.bytes_done += *ran;
        if (!ran && !task.error) task.error = std::move(ran).error();
        if (task.error) std::erase(queue_of(task), turn.task);
        // A task of many lanes that may begin more is in its queue already; one of a single lane left it when its chunk began.
        if (task.work.lanes() != Lanes::many || task.is_over()) place(turn.task);
    }

    void serve() {
        std::unique_lock lock(mutex);
        while (true) {
            if (auto turn = next()) {
                lock.unlock();
                take(*std::move(turn));
                lock.lock();
            } else if (stop) {
                return;
            } else {
                wake.wait(lock);
            }
        }
    }
};

Engine::Engine(const Options& options) : state_(std::make_unique<State>()) {
    state_->options = options;
    if (options.mode == Options::Mode::stepped) return;
    for (u32 i = 0; i < thread_count(options.threads); ++i)
        state_->threads.emplace_back([state = state_.get()] {
            run_in_background();
            state->await_predecessor();
            state->serve();
        });
}

Engine::~Engine() {
    {
        const Lock lock(state_->mutex);
        state_->stop = true;
        const auto all = state_->tasks;
        for (const auto& [ticket, task] : all) state_->cancel_task(task);
    }
    state_->wake.notify_all();
    if (state_->options.mode == Options::Mode::stepped) state_->serve();
    state_->threads.clear();
}

Result<Ticket> Engine::submit(Job job, Done done) {
    INVARIANT(done != nullptr);
    const u64 submitted_ns = state_->now_ns();
    TRY(Work work, Work::prepare(job));
    work.let_see(state_->options.landed);
    const auto task = std::make_shared<Task>(std::move(work), std::move(done));
    task->priority = job.priority;
    task->submitted_ns = submitted_ns;
    const u64 chunks = task->work.chunk_count();
    Ticket ticket = 0;
    {
        const Lock lock(state_->mutex);
        if (state_->stop) return refuse(Code::busy, "transfer", "The transfer engine is ending.");
        if (state_->tasks.size() >= state_->options.jobs_max)
            return refuse(Code::busy, "transfers", state_->tasks.size() + 1, state_->options.jobs_max);
        ticket = task->ticket = ++state_->last_ticket;
        state_->tasks.emplace(ticket, task);
        state_->place(task);
    }
    if (chunks > 1)
        state_->wake.notify_all();
    else
        state_->wake.notify_one();
    return ticket;
}

Result<Outcome> Engine::run_now(Job job) {
    const u64 start_ns = state_->now_ns();
    TRY(Work work, Work::prepare(job));
    if (work.size_bytes() > run_now_max_bytes) return refuse(Code::too_large, "sizeBytes", work.size_bytes(), run_now_max_bytes);
    if (work.chunk_count() > 0) TRY_DO(work.run(0));
    return Outcome{work.size_bytes(), 0, state_->now_ns() - start_ns, work.sum()};
}

std::optional<Progress> Engine::progress(Ticket ticket) const {
    const Lock lock(state_->mutex);
    const auto found = state_->tasks.find(ticket);
    if (found == state_->tasks.end()) return std::nullopt;
    return Progress{found->second->bytes_done, found->second->work.size_bytes()};
}

Result<void> Engine::cancel(Ticket ticket) {
    {
        const Lock lock(state_->mutex);
        const auto found = state_->tasks.find(ticket);
        if (found == state_->tasks.end()) return refuse(Code::not_found, "transfer", ticket, 0);
        const TaskPointer task = found->second;
        state_->cancel_task(task);
    }
    state_->wake.notify_one();
    return {};
}

u64 Engine::step() {
    if (state_->options.mode != Options::Mode::stepped) return 0;
    u64 ran = 0;
    std::unique_lock lock(state_->mutex);
    // A job's end belongs to the step of its last chunk.
    while (auto turn = state_->next()) {
        const bool is_chunk = turn->chunk.has_value();
        lock.unlock();
        state_->take(*std::move(turn));
        lock.lock();
        ran += is_chunk ? 1 : 0;
        if (ran == 1 && state_->ending.empty()) break;
    }
    return ran;
}

u64 Engine::pending() const {
    const Lock lock(state_->mutex);
    return state_->tasks.size();
}
}  // namespace vramd::transfer
