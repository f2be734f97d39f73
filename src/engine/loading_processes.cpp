#include "engine/loading_processes.hpp"

#include <algorithm>
#include <deque>
#include <map>

#include "base/clock.hpp"
#include "base/mutex.hpp"
#include "engine/known_headers.hpp"
#include "engine/load_target.hpp"
#include "worker/open_beneath.hpp"

namespace vramd::engine {
namespace {
using worker::Loaders;
constexpr std::size_t known_max = 64;               // Jobs of which something is kept between inspection and load.
constexpr std::size_t copies_kept_max = 64 * 1024;  // Of one plan: 2 MiB.

/// A model's files on their way through one or two inspections and perhaps a load.
struct Files {
    std::shared_ptr<worker::ModelFiles> open = std::make_shared<worker::ModelFiles>();
    Fd folder;
};

Result<Files> open_files(const ModelFolders& folders, const std::string& path) {
    TRY(OpenModel model, folders.open(path));
    Files files;
    files.open->main_name = model.name;
    files.open->main = std::move(model.file);
    files.folder = std::move(model.folder);
    return files;
}

/// Opens what the main file names: shards and external data, beneath its own folder only.
Result<void> open_others(Files& files, const std::vector<std::string>& names) {
    auto with_others = std::make_shared<worker::ModelFiles>();
    with_others->main_name = files.open->main_name;
    TRY(with_others->main, files.open->main.duplicate());
    for (const std::string& name : names) {
        auto other = worker::open_beneath(files.folder.get(), name);
        if (!other) return refuse(Code::invalid_model, name, "The model needs the file " + name + ": " + describe(other.error()));
        with_others->others.push_back({name, *std::move(other)});
    }
    files.open = std::move(with_others);
    return {};
}

class LoadingProcesses final : public Loading {
public:
    LoadingProcesses(std::shared_ptr<Loaders> loaders, ModelFolders folders) : loaders_(std::move(loaders)), folders_(std::move(folders)) {}
    ~LoadingProcesses() override { loaders_->shutdown(); }

    void inspect(u64 job, const std::string& path, Inspected done) override {
        auto files = open_files(folders_, path);
        if (!files) return done(std::unexpected(files.error()));
        auto shared = std::make_shared<Files>(*std::move(files));
        if (auto header = unchanged(path, *shared)) {
            remember(job, *shared, std::move(header->plan));
            return done(std::move(header->model));
        }
        ask(job, path, shared, std::make_shared<Inspected>(std::move(done)));
    }

    void load(u64 job, const std::string& path, const Inspection& expected, Destination into, std::move_only_function<void(u64)> progress,
              std::move_only_function<void(Result<void>)> done) override {
        auto opened = open_files(folders_, path);
        if (!opened) return done(std::unexpected(opened.error()));
        auto files = std::make_shared<Files>(*std::move(opened));
        auto work = std::make_shared<worker::LoadJob>();
        auto aimed = LoadTarget::open(std::move(into));
        if (!aimed) return done(std::unexpected(aimed.error()));
        auto target = std::make_shared<LoadTarget>(*std::move(aimed));
        work->expected_hash = expected.identity.header_hash;  // A file that changed since the inspection fails by it.
        auto shared_progress = std::make_shared<std::move_only_function<void(u64)>>(std::move(progress));
        work->progress = [shared_progress](u64 bytes, u64) { (*shared_progress)(bytes); };
        // The mapping goes before anybody is told, who may want to seal the memory.
        auto shared_done = std::make_shared<std::move_only_function<void(Result<void>)>>(
            [target, done = std::move(done)](Result<void> result) mutable { done(target->settle(std::move(result))); });
        if (auto known = recall(job)) {
            if (const auto others = open_others(*files, known->names); !others) return (*shared_done)(std::unexpected(others.error()));
            work->plan = std::move(known->plan);
            return fill(job, path, *files, *work, *target, shared_done);
        }
        // Of an inspection before a restart only the hash is known: the header is read again, for it names the files.
        const auto go_on = [this, job, path, files, work, target, shared_done](Result<Inspection> now) {
            if (!now) return (*shared_done)(std::unexpected(now.error()));
            if (auto known = recall(job)) work->plan = std::move(known->plan);
            fill(job, path, *files, *work, *target, shared_done);
        };
        ask(job, path, files, std::make_shared<Inspected>(go_on));
    }

    void cancel(u64 job) override {
        worker::Ticket ticket;
        {
            const Lock lock(lock_);
            const auto found = jobs_.find(job);
            if (found == jobs_.end()) return;
            ticket = found->second.ticket;
            found->second.cancelled = true;
        }
        loaders_->cancel(ticket);
    }

    std::vector<Running> running() override {
        const std::vector<worker::Speaking> processes = loaders_->processes();
        const Lock lock(lock_);
        std::vector<Running> list;
        for (const auto& [job, entry] : jobs_) {
            const auto process = std::ranges::find(processes, entry.ticket, &worker::Speaking::ticket);
            if (process != processes.end()) list.push_back({job, process->pid, entry.what});
        }
        return list;
    }

    std::vector<File> files() override { return folders_.files(); }

private:
    struct Entry {
        worker::Ticket ticket;
        std::string what;
        bool cancelled = false;
    };

    /// What an inspection found that the job's load can use.
    struct Known {
        u64 job = 0;
        std::vector<std::string> names;  ///< Of the further files.
        std::shared_ptr<const worker::ReadPlan> plan;
    };
    using LoadDone = std::shared_ptr<std::move_only_function<void(Result<void>)>>;

    void fill(u64 job, const std::string& path, const Files& files, worker::LoadJob& work, LoadTarget& target, const LoadDone& done) {
        if (const auto aimed = target.aim(work); !aimed) return (*done)(std::unexpected(aimed.error()));
        work.files = files.open;
        work.done = [this, job, done](Result<worker::Loaded> loaded) {
            forget(job);
            if (loaded) return (*done)({});
            const Error& error = loaded.error();
            // Whatever names other files than the inspection did is another header.
            if (error.code == Code::invalid_field && error.field == "files")
                return (*done)(refuse(Code::invalid_model, "path", "The model's file changed after its header was read; load it again."));
            (*done)(std::unexpected(error));
        };
        submit(
            job, "load " + path, [&] { return loaders_->load(std::move(work)); },
            [&](const Error& error) { (*done)(std::unexpected(error)); });
    }

    /// Keeps what a header says until the job's load, which then need not read it again.
    void remember(u64 job, const Files& files, std::shared_ptr<const worker::ReadPlan> plan) {
        Known known{job, {}, std::move(plan)};
        for (const worker::NamedFile& other : files.open->others) known.names.push_back(other.name);
        if (known.plan != nullptr && known.plan->copies.size() > copies_kept_max) known.plan.reset();
        const Lock lock(lock_);
        known_.push_back(std::move(known));
        if (known_.size() > known_max) known_.pop_front();  // The oldest; its load reads the header again.
    }
    std::optional<Known> recall(u64 job) {
        const Lock lock(lock_);
        const auto found = std::ranges::find(known_, job, &Known::job);
        if (found == known_.end()) return std::nullopt;
        Known known = std::move(*found);
        known_.erase(found);
        return known;
    }

    /// The header as it was read before, if all its files are as they were then; they are open then, as after an inspection.
    std::optional<KnownHeader> unchanged(const std::string& path, Files& files) {
        auto header = headers_.find(path);
        if (!header || !open_others(files, header->other_names())) return std::nullopt;
        if (settled_state(*files.open, read_clocks().wall_ns) != header->files) return std::nullopt;
        return header;
    }

    /// Reads the header, and once more with the files that it names.
    void ask(u64 job, const std::string& path, std::shared_ptr<Files> files, std::shared_ptr<Inspected> done) {
        worker::InspectJob work;
        work.files = files->open;
        const FilesState state = settled_state(*files->open, read_clocks().wall_ns);
        work.done = [this, job, path, files, done, state](Result<worker::Inspection> inspection) {
            const bool cancelled = forget(job);
            if (!inspection) return (*done)(std::unexpected(inspection.error()));
            if (cancelled) return (*done)(refuse(Code::cancelled, "operation", "The load was cancelled."));
            if (inspection->needed_files.empty()) {
                remember(job, *files, inspection->plan);
                headers_.keep({path, state, inspection->model, inspection->plan});
                return (*done)(std::move(inspection->model));
            }
            if (!files->open->others.empty())
                return (*done)(
                    refuse(Code::invalid_model, "files",
                           "The model names further files each time that those it named were opened; it must name all of them at once."));
            if (const auto opened = open_others(*files, inspection->needed_files); !opened) return (*done)(std::unexpected(opened.error()));
            ask(job, path, files, done);
        };
        submit(
            job, "inspect " + path, [&] { return loaders_->inspect(std::move(work)); },
            [&](const Error& error) { (*done)(std::unexpected(error)); });
    }

    /// Enters the job before it is submitted: its `done` may come before the submission returns.
    template <class Submit, class Refused>
    void submit(u64 job, const std::string& what, Submit&& go, Refused&& refused) {
        {
            const Lock lock(lock_);
            jobs_[job] = {{}, what, false};
        }
        const Result<worker::Ticket> ticket = go();
        if (!ticket) {
            forget(job);
            return refused(ticket.error());
        }
        bool cancelled = false;
        {
            const Lock lock(lock_);
            const auto found = jobs_.find(job);
            if (found == jobs_.end() || found->second.what != what) return;
            found->second.ticket = *ticket;
            cancelled = found->second.cancelled;
        }
        if (cancelled) loaders_->cancel(*ticket);  // Asked for between the entry and the ticket.
    }
    /// Takes the job off the list; whether it had been cancelled.
    bool forget(u64 job) {
        const Lock lock(lock_);
        const auto found = jobs_.extract(job);
        return !found.empty() && found.mapped().cancelled;
    }

    std::shared_ptr<Loaders> loaders_;
    ModelFolders folders_;
    KnownHeaders headers_;
    Mutex lock_;
    std::map<u64, Entry> jobs_ GUARDED_BY(lock_);
    std::deque<Known> known_ GUARDED_BY(lock_);  ///< Of jobs inspected and perhaps to be loaded, oldest first.
};
}  // namespace

std::shared_ptr<Loading> loading_by_processes(std::shared_ptr<Loaders> loaders, ModelFolders folders) {
    return std::make_shared<LoadingProcesses>(std::move(loaders), std::move(folders));
}
}  // namespace vramd::engine
