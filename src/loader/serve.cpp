#include "loader/serve.hpp"

#include <malloc.h>
#include <sched.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>

#include "base/background.hpp"
#include "base/clock.hpp"
#include "ipc/messages.hpp"
#include "ipc/tensor_table.hpp"
#include "loader/crew.hpp"
#include "loader/file_source.hpp"
#include "loader/lent.hpp"

namespace vramd::loader {
namespace {
namespace protocol = ipc::worker_protocol;

u32 crew_size() {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    const int count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
    return static_cast<u32>(std::clamp(count, 1, 4));
}

/// One job's way through the process. Members are filled step by step, in the order of `run`.
class Service {
public:
    explicit Service(const ipc::Channel& channel) : channel_(channel) {}

    Result<boost::json::object> run(Job& job) {
        TRY_DO(confine(job));
        TRY_DO(look_at_files(job));
        const u64 parse_began_ns = monotonic_ns();
        TRY_DO(parse(job));
        const u64 parse_ns = monotonic_ns() - parse_began_ns;
        TRY(const u64 table_bytes, write_table(job));
        if (job.method == Method::inspect || !needed_.empty()) {
            TRY_DO(check_unchanged(job));
            return boost::json::object{{"table_bytes", table_bytes}, {"parse_ns", parse_ns}};
        }
        TRY_DO(tell(protocol::parsed, {{"table_bytes", table_bytes}, {"parse_ns", parse_ns}}));
        TRY(auto answer, load(job));
        TRY_DO(check_unchanged(job));
        return answer;
    }

private:
    Result<void> tell(std::string_view method, boost::json::object params) {
        return channel_.send(ipc::write_message(ipc::Notification{std::string(method), std::move(params)}));
    }

    Result<void> confine(const Job& job) {
        const u64 began_ns = monotonic_ns();
        TRY(const u64 landlock_abi, drop_rights(job.limits, job.strictness));
        if (job.method == Method::load) crew_ = std::make_unique<Crew>(crew_size());
        TRY(const bool seccomp, close_door(job.strictness));
        return tell(protocol::started, {{"confine_ns", monotonic_ns() - began_ns},
                                        {"seccomp", u64{seccomp ? 1u : 0u}},
                                        {"landlock_abi", landlock_abi},
                                        {"uid", u64{job.limits.uid}}});
    }

    Result<void> look_at_files(const Job& job) {
        for (const Fd& file : job.files) {
            TRY(const FileState state, state_of(file.get()));
            states_.push_back(state);
            lent_.push_back({file.get(), state.size_bytes});
        }
        return {};
    }

    Result<void> check_unchanged(const Job& job) {
        for (std::size_t i = 0; i < job.files.size(); ++i) {
            TRY(const FileState now, state_of(job.files[i].get()));
            if (now != states_[i]) return refuse(Code::invalid_model, "file", "The file changed while it was being read; load it again.");
        }
        return {};
    }

    Result<void> parse(const Job& job) {
        std::vector<FileSource> files;
        for (const LentFile& file : lent_) files.emplace_back(file.fd, file.size_bytes);
        TRY(plan_.format, formats::recognise(job.main_name, files[0]));
        TRY(std::vector<std::string> names, formats::needed_files(plan_.format, files[0]));
        if (names.size() + 1 != files.size() || ipc::names_checksum(names) != job.names_checksum) {
            if (!names.empty())
                needed_ = std::move(names);
            else
                return refuse(Code::invalid_model, "file", "The model needs no further files, but some were named with it.");
            return {};
        }
        std::vector<formats::Source*> sources;
        for (FileSource& file : files) sources.push_back(&file);
        TRY(plan_, formats::plan(plan_.format, sources));
        return {};
    }

    /// The table goes to the lent table memory. Its tensors are copied, not moved: equal work for both methods, and small beside the read.
    Result<u64> write_table(const Job& job) {
        ipc::TensorTable table{std::string(formats::name_of(plan_.format)), plan_.memory_bytes, plan_.tensor_bytes, needed_, {}, {}, {}, 0};
        for (const formats::Tensor& tensor : plan_.tensors)
            table.tensors.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.memory_offset_bytes, tensor.size_bytes});
        for (const formats::Metadata& entry : plan_.metadata) table.metadata.push_back({entry.key, entry.value});
        for (const formats::Copy& copy : plan_.copies)
            table.copies.push_back({copy.file, copy.file_offset_bytes, copy.size_bytes, copy.memory_offset_bytes});
        table.decoded_bytes = decoded_bytes(plan_);
        TRY(const std::string bytes, ipc::encode_table(table));
        TRY(const Mapping place, Mapping::of(job.table, 0, bytes.size()));
        std::memcpy(place.bytes().data(), bytes.data(), bytes.size());
        return bytes.size();
    }

    /// Decodes what cannot be copied as it is. Copying is the core's: it has the memory mapped.
    Result<boost::json::object> load(const Job& job) {
        if (plan_.memory_bytes > job.size_bytes) return refuse(Code::out_of_range, "sizeBytes", plan_.memory_bytes, job.size_bytes);
        const u64 total = decoded_bytes(plan_);
        if (total == 0) return boost::json::object{};
        TRY(const Mapping memory, Mapping::of(job.memory, job.offset_bytes, plan_.memory_bytes));
        TRY_DO(crew_->decode({lent_, plan_.decodes, memory.bytes()}, [&](u64 landed) {
            // A core that does not listen any more ends this process anyway.
            (void)tell(protocol::progress, {{"bytes", landed}, {"total", total}});
        }));
        return boost::json::object{};
    }

    const ipc::Channel& channel_;
    std::unique_ptr<Crew> crew_;
    std::vector<FileState> states_;
    std::vector<LentFile> lent_;
    std::vector<std::string> needed_;
    formats::Plan plan_;
};

/// A library's exception (no memory left, above all) ends here as an error, as everywhere at a room's edge.
Result<boost::json::object> run_guarded(const ipc::Channel& channel, Job& job) {
    try {
        return Service(channel).run(job);
    } catch (const std::bad_alloc&) {
        return refuse(
            Code::invalid_model, "file",
            "Reading the file's header takes more memory than the loading process may have, which is more than any real model needs.");
    } catch (const std::exception&) {
        return refuse(Code::system_failed, "loader",
                      "The loading process failed by a fault of its own; try again, and report it with the file if it does so again.");
    }
}
}  // namespace

int serve(ipc::Channel channel) {
    mallopt(M_ARENA_MAX, 1);  // An arena per thread would reserve 64 MiB of the address space limit each.
    run_in_background();
    auto job = receive_job(channel);
    if (!job) {
        (void)channel.send(ipc::write_message(ipc::Failure{0, job.error()}));
        return 1;
    }
    const auto answer = run_guarded(channel, *job);
    const auto sent = answer ? channel.send(ipc::write_message(ipc::Answer{job->id, *answer}))
                             : channel.send(ipc::write_message(ipc::Failure{job->id, answer.error()}));
    return sent ? 0 : 1;
}
}  // namespace vramd::loader
