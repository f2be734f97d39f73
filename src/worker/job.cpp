#include "worker/job.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "base/checksum.hpp"
#include "base/clock.hpp"
#include "base/invariant.hpp"

namespace vramd::worker {
namespace protocol = ipc::worker_protocol;
namespace {
constexpr std::size_t files_per_frame = 200;
constexpr u64 dying_ns_max = 500 * ns_per_ms;  ///< From a closed socket to the end of a process that only dies slowly.
constexpr u64 turn_ms_max = 600'000;
constexpr u64 load_cpu_seconds = 2400;  ///< For what a process decodes: hundreds of gigabytes.
/// What a process maps beside the lent memory: its program, the table, its plan, stacks.
constexpr u64 own_space_bytes = 1 * gib;
constexpr unsigned memfd_no_exec = 8;  // MFD_NOEXEC_SEAL, Linux 6.3.

Result<Fd> make_table() {
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    Fd table(memfd_create("vramd-table", flags | memfd_no_exec));
    if (!table && errno == EINVAL) table = Fd(memfd_create("vramd-table", flags));
    if (!table) return std::unexpected(system_error("memfd_create", errno));
    if (ftruncate(table.get(), static_cast<off_t>(ipc::table_bytes_max)) != 0) return std::unexpected(system_error("ftruncate", errno));
    if (fcntl(table.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
        return std::unexpected(system_error("fcntl(F_ADD_SEALS)", errno));
    return table;
}

/// A copy that nobody else can write, whatever the process does to the original meanwhile.
Result<std::vector<std::byte>> copy_out(const Fd& table, u64 size_bytes) {
    std::vector<std::byte> bytes(size_bytes);
    for (u64 done = 0; done < size_bytes;) {
        const ssize_t got = pread(table.get(), bytes.data() + done, size_bytes - done, static_cast<off_t>(done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return std::unexpected(system_error("pread", got < 0 ? errno : EIO));
        done += static_cast<u64>(got);
    }
    return bytes;
}

Result<ModelFormat> format_named(std::string_view name) {
    if (name == "safetensors" || name == "safetensors-index") return ModelFormat::safetensors;
    if (name == "gguf") return ModelFormat::gguf;
    if (name == "onnx") return ModelFormat::onnx;
    return refuse(Code::system_failed, "loader", "The loading process named a format that does not exist.");
}

u64 later_by(u64 now_ns, u64 wait_ms) { return now_ns + std::min<u64>(wait_ms, number_max / ns_per_ms / 2) * ns_per_ms; }

/// A load waits for its turn as long as others may take, but not for ever: a process that not even a signal ends may have its place.
u64 first_deadline_of(const Job::Request& request, u64 submitted_ns) {
    const auto* inspect = std::get_if<InspectJob>(&request);
    return later_by(submitted_ns, inspect == nullptr ? turn_ms_max : inspect->deadline_ms);
}
u64 room_of(const LoadJob& load) { return load.channel != nullptr ? load.channel->size_bytes() : load.place.size(); }
}  // namespace

Result<FileFacts> facts_of_file(const Fd& file) {
    struct stat facts {};
    if (fstat(file.get(), &facts) != 0) return std::unexpected(system_error("fstat", errno));
    if (!S_ISREG(facts.st_mode)) return refuse(Code::invalid_model, "file", "The model is not a regular file.");
    const auto ns_of = [](const timespec& time) { return static_cast<u64>(time.tv_sec) * ns_per_second + static_cast<u64>(time.tv_nsec); };
    return FileFacts{static_cast<u64>(facts.st_dev), static_cast<u64>(facts.st_ino), static_cast<u64>(facts.st_size), ns_of(facts.st_mtim),
                     ns_of(facts.st_ctim)};
}

Job::Job(Ticket ticket, Request request, u64 submitted_ns)
    : ticket_(ticket), request_(std::move(request)), submitted_ns_(submitted_ns), deadline_ns_(first_deadline_of(request_, submitted_ns)) {}

const SharedFiles& Job::files() const {
    return std::visit([](const auto& job) -> const SharedFiles& { return job.files; }, request_);
}

std::optional<ConfinementFacts> Job::confinement() const {
    if (!conversation_ || stages_.spawn_ns == 0) return std::nullopt;
    return conversation_->told().confinement;
}

Result<void> Job::begin(const Options& options) {
    began_ns_ = monotonic_ns();
    stages_.queue_ns = began_ns_ - submitted_ns_;
    note_life();
    TRY_DO(look_at_files());
    if (is_planned()) {
        plan_ = std::get<LoadJob>(request_).plan;
        return {};
    }
    if (const auto* load = std::get_if<LoadJob>(&request_); load != nullptr && load->channel != nullptr)
        return refuse(Code::invalid_model, "file", "The file changed since it was inspected; load it again.");
    TRY(table_, make_table());
    TRY(Process process, Process::start(options.program));
    process_.emplace(std::move(process));
    conversation_.emplace(is_load() ? Subject::load : Subject::inspect, began_ns_);
    auto sent = send_request(options);
    // One that is dead already says by its end why.
    if (!sent && sent.error().value == EPIPE) return {};
    return sent;
}

void Job::note_life() {
    const auto* load = std::get_if<LoadJob>(&request_);
    if (load != nullptr && line_ == Line::open) deadline_ns_ = later_by(monotonic_ns(), load->quiet_ms);
}

bool Job::is_planned() const {
    const auto* load = std::get_if<LoadJob>(&request_);
    if (load == nullptr || load->plan == nullptr || load->plan->decoded_bytes > 0) return false;
    const ReadPlan& plan = *load->plan;
    return checksum(std::as_bytes(std::span(facts_)), plan.table_checksum) == plan.identity.header_hash &&
           load->expected_hash == plan.identity.header_hash && plan.memory_bytes <= room_of(*load);
}

Result<void> Job::look_at_files() {
    TRY(const FileFacts main, facts_of_file(files()->main));
    facts_.push_back(main);
    for (const NamedFile& other : files()->others) {
        TRY(const FileFacts facts, facts_of_file(other.fd));
        facts_.push_back(facts);
    }
    return {};
}

Result<void> Job::send_request(const Options& options) {
    std::vector<std::string> names;
    for (const NamedFile& other : files()->others) names.push_back(other.name);
    const u64 cpu_seconds = is_load() ? load_cpu_seconds : 4 * ((deadline_ns_ - submitted_ns_) / ns_per_second) + 2;
    boost::json::object params{{"main_name", files()->main_name},
                               {"files", u64{names.size()}},
                               {"names_checksum", ipc::names_checksum(names)},
                               {"parent", static_cast<u64>(getpid())},
                               {"uid", u64{options.uid}},
                               {"cpu_seconds", cpu_seconds},
                               {"address_space_bytes", own_space_bytes},
                               {"required", u64{options.confinement == Confinement::required ? 1u : 0u}}};
    std::array<int, 3> first = {table_.get(), files()->main.get(), -1};
    if (const auto* load = std::get_if<LoadJob>(&request_)) {
        first[2] = load->memory.get();
        params["offset_bytes"] = load->offset_bytes;
        params["size_bytes"] = load->place.size();
        params["address_space_bytes"] = own_space_bytes + load->place.size();
    }
    const std::string_view method = is_load() ? protocol::load : protocol::inspect;
    const std::string request = ipc::write_message(ipc::Request{request_id, std::string(method), std::move(params)});
    TRY_DO(process_->channel().send(request, std::span(first).first(is_load() ? 3 : 2)));
    std::vector<int> others;
    for (const NamedFile& other : files()->others) others.push_back(other.fd.get());
    const std::string more = ipc::write_message(ipc::Notification{"files", {}});
    for (std::size_t at = 0; at < others.size(); at += files_per_frame)
        TRY_DO(process_->channel().send(more, std::span(others).subspan(at, std::min(files_per_frame, others.size() - at))));
    return {};
}

bool Job::hear(u32 frames_max) {
    INVARIANT(process_.has_value());
    for (u32 i = 0; i < frames_max && !outcome_ && last_word_ == Word::expected; ++i) {
        auto received = process_->channel().receive(ipc::Descriptors::refused);
        if (!received) {
            fail({Code::system_failed, "loader", 0, 0, "The loading process broke the protocol: " + describe(received.error())});
            return false;
        }
        if (received->kind == ipc::Received::Kind::nothing) return true;
        if (received->kind == ipc::Received::Kind::closed) {
            // Usually it is dying, and its end will say why; if it only closed its socket, the nearer deadline ends it.
            line_ = Line::hung_up;
            deadline_ns_ = std::min(deadline_ns_, monotonic_ns() + dying_ns_max);
            return false;
        }
        if (auto taken = take(received->text); !taken) fail(std::move(taken).error());
    }
    return !outcome_ && last_word_ == Word::expected;
}

Result<void> Job::take(const std::string& frame) {
    TRY(const Heard heard, conversation_->hear(frame, monotonic_ns()));
    switch (heard.kind) {
        case Heard::Kind::nothing:
            break;
        case Heard::Kind::started:
            stages_.spawn_ns = monotonic_ns() - began_ns_;
            break;
        case Heard::Kind::parsed: {
            TRY_DO(take_table(heard.bytes));
            TRY_DO(check_parsed());
            note_life();
            break;
        }
        case Heard::Kind::progress: {
            if (heard.total != plan_->decoded_bytes)
                return refuse(Code::system_failed, "loader", "The loading process decodes other bytes than its table says.");
            decoded_bytes_ = heard.bytes;
            (void)tell_progress();
            break;
        }
        case Heard::Kind::answered: {
            if (heard.bytes != 0) TRY_DO(take_table(heard.bytes));
            if (heard.bytes != 0 && is_load())
                return refuse(Code::invalid_field, "files", "The model needs other files than those it came with; inspect it again.");
            if (is_load() && decoded_bytes_ != plan_->decoded_bytes)
                return refuse(Code::system_failed, "loader", "The loading process says that it is done before all is decoded.");
            last_word_ = Word::given;
            answered_ns_ = monotonic_ns();
            if (!is_load()) decide({});
            // Its work is done, and it must be gone before the memory is anybody's.
            process_->kill();
            return {};
        }
        case Heard::Kind::failed:
            return std::unexpected(heard.error);
    }
    return {};
}

Result<void> Job::take_table(u64 size_bytes) {
    TRY(const auto bytes, copy_out(table_, size_bytes));
    TRY(ipc::TensorTable table, ipc::decode_table(bytes));
    TRY(inspection_.model.format, format_named(table.format));
    const u64 table_checksum = checksum(bytes);
    const u64 hash = checksum(std::as_bytes(std::span(facts_)), table_checksum);
    inspection_.model.identity = {facts_[0].device, facts_[0].inode, facts_[0].size_bytes, facts_[0].modified_ns, hash};
    inspection_.model.memory_bytes = table.memory_bytes;
    inspection_.model.tensor_bytes = table.tensor_bytes;
    inspection_.model.tensors = std::move(table.tensors);
    inspection_.needed_files = std::move(table.needed_files);
    inspection_.metadata = std::move(table.metadata);
    if (!inspection_.needed_files.empty()) return {};
    for (const ipc::TableCopy& copy : table.copies)
        if (copy.file >= facts_.size())
            return refuse(Code::invalid_model, "table", "The loading process named a file that it was not lent.");
    plan_ = inspection_.plan = std::make_shared<const ReadPlan>(
        ReadPlan{inspection_.model.identity, table.memory_bytes, std::move(table.copies), table.decoded_bytes, table_checksum});
    return {};
}

Result<void> Job::check_parsed() const {
    const auto& load = std::get<LoadJob>(request_);
    if (plan_ == nullptr)
        return refuse(Code::invalid_field, "files", "The model needs other files than those it came with; inspect it again.");
    if (load.expected_hash != 0 && load.expected_hash != inspection_.model.identity.header_hash)
        return refuse(Code::invalid_model, "file", "The file changed since it was inspected; load it again.");
    if (plan_->memory_bytes > load.place.size()) return refuse(Code::out_of_range, "sizeBytes", plan_->memory_bytes, load.place.size());
    return {};
}

Result<void> Job::check_unchanged() const {
    for (std::size_t i = 0; i < facts_.size(); ++i) {
        const bool is_main = i == 0;
        const std::string& name = is_main ? files()->main_name : files()->others[i - 1].name;
        TRY(const FileFacts facts, facts_of_file(is_main ? files()->main : files()->others[i - 1].fd));
        if (facts != facts_[i])
            return refuse(Code::invalid_model, "file", "The file " + name + " changed while it was being read; load it again.");
    }
    return {};
}

void Job::decide(Result<void> outcome) {
    if (outcome_) return;
    outcome_ = std::move(outcome);
    if (process_) process_->kill();
    if (reading_ != nullptr && !*outcome_) reader_->stop(reading_, outcome_->error());
}

void Job::expire() {
    if (line_ == Line::hung_up)
        fail({Code::system_failed, "loader", 0, 0, "The loading process closed its socket without an answer."});
    else if (is_load() && began_ns_ == 0)
        fail({Code::timed_out, "", 0, 0, "Other loads stand still, so this one did not get its turn."});
    else if (const auto* load = std::get_if<LoadJob>(&request_))
        fail({Code::timed_out, "", 0, 0, "The file was not read on: no byte of it came for " + std::to_string(load->quiet_ms) + " ms."});
    else
        fail({Code::timed_out, "", 0, 0, "The file was not read within its deadline."});
}

void Job::fail(Error error) { decide(std::unexpected(std::move(error))); }

void Job::reap() {
    if (!process_) return;
    const Process::End end = process_->reap();
    if (!outcome_ && last_word_ == Word::expected) fail(reason_of(end));
    if (answered_ns_ != 0) stages_.exit_ns = monotonic_ns() - answered_ns_;
    process_.reset();
    table_.reset();
}

bool Job::wants_reading() const { return !outcome_ && !process_ && plan_ != nullptr && reading_ == nullptr && !plan_->copies.empty(); }

void Job::begin_reading(Reader& reader, std::function<void()> over) {
    reader_ = &reader;
    read_began_ns_ = monotonic_ns();
    note_life();
    const LoadJob& load = std::get<LoadJob>(request_);
    reading_ = load.channel != nullptr ? reader.begin(files(), plan_, load.channel, std::move(over))
                                       : reader.begin(files(), plan_, load.place, std::move(over));
}

u64 Job::total_bytes() const {
    u64 sum = plan_->decoded_bytes;
    for (const ipc::TableCopy& copy : plan_->copies) sum += copy.size_bytes;
    return sum;
}

bool Job::tell_progress() {
    const auto* load = std::get_if<LoadJob>(&request_);
    if (load == nullptr) return false;
    const u64 landed = decoded_bytes_ + (reading_ == nullptr ? 0 : reading_->landed_bytes());
    if (landed <= told_bytes_) return false;
    told_bytes_ = landed;
    note_life();
    if (load->progress) load->progress(landed, total_bytes());
    return true;
}

void Job::note_turn_awaited() {
    if (reading_ != nullptr && reading_->awaits_turn()) note_life();
}

void Job::finish() {
    reap();
    if (reading_ != nullptr) {
        stages_.read_ns = monotonic_ns() - read_began_ns_;
        if (!outcome_) outcome_ = reading_->result();
    }
    if (!outcome_) outcome_ = Result<void>();  // A load of which nothing was to be read.
    if (outcome_->has_value()) outcome_ = check_unchanged();
    if (outcome_->has_value()) (void)tell_progress();
    stages_.total_ns = monotonic_ns() - submitted_ns_;
    if (conversation_) stages_.parse_ns = conversation_->told().parse_ns;
    if (auto* load = std::get_if<LoadJob>(&request_)) {
        auto done = std::move(load->done);
        *load = {};
        if (*outcome_)
            done(Loaded{std::move(plan_), stages_});
        else
            done(std::unexpected(outcome_->error()));
    } else {
        auto& inspect = std::get<InspectJob>(request_);
        auto done = std::move(inspect.done);
        inspect = {};
        if (*outcome_)
            done(std::move(inspection_));
        else
            done(std::unexpected(outcome_->error()));
    }
}
}  // namespace vramd::worker
