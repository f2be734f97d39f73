#include "engine/loading_processes.hpp"

#include <map>

#include "base/mutex.hpp"
#include "worker/open_beneath.hpp"

namespace vramd::engine {
namespace {
using worker::Loaders;

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
        ask(job, "inspect " + path, std::make_shared<Files>(*std::move(files)), std::make_shared<Inspected>(std::move(done)));
    }

    void load(u64 job, const std::string& path, const Inspection& expected, Destination into, std::move_only_function<void(u64)> progress,
              std::move_only_function<void(Result<void>)> done) override {
        // The header is read again first: it names the files, and a file that changed since the inspection fails by its hash.
        auto shared_into = std::make_shared<Destination>(std::move(into));
        auto shared_progress = std::make_shared<std::move_only_function<void(u64)>>(std::move(progress));
        auto shared_done = std::make_shared<std::move_only_function<void(Result<void>)>>(std::move(done));
        auto opened = open_files(folders_, path);
        if (!opened) return (*shared_done)(std::unexpected(opened.error()));
        auto files = std::make_shared<Files>(*std::move(opened));
        const u64 hash = expected.identity.header_hash;
        const auto fill = [this, job, path, files, hash, shared_into, shared_progress, shared_done](Result<Inspection> now) {
            if (!now) return (*shared_done)(std::unexpected(now.error()));
            if (now->identity.header_hash != hash)
                return (*shared_done)(refuse(Code::invalid_model, "path", "The model's file changed after its header was read."));
            worker::LoadJob work;
            work.files = files->open;
            work.memory = std::move(shared_into->memory);
            work.offset_bytes = shared_into->offset_bytes;
            work.size_bytes = shared_into->size_bytes;
            work.expected_hash = hash;
            work.progress = [shared_progress](u64 bytes, u64) { (*shared_progress)(bytes); };
            work.done = [this, job, shared_done](Result<worker::Loaded> loaded) {
                forget(job);
                if (loaded)
                    (*shared_done)({});
                else
                    (*shared_done)(std::unexpected(loaded.error()));
            };
            submit(job, "load " + path, [&] { return loaders_->load(std::move(work)); }, [&](const Error& error) { (*shared_done)(std::unexpected(error)); });
        };
        ask(job, "inspect " + path, files, std::make_shared<Inspected>(fill));
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
        const std::vector<pid_t> pids = loaders_->pids();
        const Lock lock(lock_);
        std::vector<Running> list;
        std::size_t next = 0;
        // Processes and jobs start in one order; a job that waits has no process yet.
        for (const auto& [job, entry] : jobs_) list.push_back({job, next < pids.size() ? pids[next++] : 0, entry.what});
        return list;
    }

    std::vector<File> files() override { return folders_.files(); }

private:
    struct Entry {
        worker::Ticket ticket;
        std::string what;
        bool cancelled = false;
    };

    /// Reads the header, and once more with the files that it names.
    void ask(u64 job, const std::string& what, std::shared_ptr<Files> files, std::shared_ptr<Inspected> done) {
        worker::InspectJob work;
        work.files = files->open;
        work.done = [this, job, what, files, done](Result<worker::Inspection> inspection) {
            const bool cancelled = forget(job);
            if (!inspection) return (*done)(std::unexpected(inspection.error()));
            if (cancelled) return (*done)(refuse(Code::cancelled, "operation", "The load was cancelled."));
            if (inspection->needed_files.empty()) return (*done)(std::move(inspection->model));
            if (!files->open->others.empty()) return (*done)(refuse(Code::invalid_model, "files", "The model asks for further files without end."));
            if (const auto opened = open_others(*files, inspection->needed_files); !opened) return (*done)(std::unexpected(opened.error()));
            ask(job, what, files, done);
        };
        submit(job, what, [&] { return loaders_->inspect(std::move(work)); }, [&](const Error& error) { (*done)(std::unexpected(error)); });
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
    Mutex lock_;
    std::map<u64, Entry> jobs_ GUARDED_BY(lock_);
};
}  // namespace

std::shared_ptr<Loading> loading_by_processes(std::shared_ptr<Loaders> loaders, ModelFolders folders) {
    return std::make_shared<LoadingProcesses>(std::move(loaders), std::move(folders));
}
}  // namespace vramd::engine
