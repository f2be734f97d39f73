#include "loader/lent.hpp"

#include <sys/mman.h>

#include <cerrno>

namespace vramd::loader {
namespace {
constexpr std::size_t name_bytes_max = 4096;
constexpr u64 files_max = 4096;

/// Everything of the request but its descriptors.
Result<Job> read_terms(const ipc::Request& request) {
    Job job;
    job.id = request.id;
    if (request.method == ipc::worker_protocol::load)
        job.method = Method::load;
    else if (request.method != ipc::worker_protocol::inspect)
        return refuse(Code::unsupported, "method", "This process inspects and loads model files.");
    TRY(job.main_name, ipc::read_text(request.params, "main_name", name_bytes_max));
    TRY(job.names_checksum, ipc::read_u64(request.params, "names_checksum", UINT64_MAX));
    TRY(const u64 parent, ipc::read_u64(request.params, "parent", INT32_MAX));
    TRY(const u64 uid, ipc::read_u64(request.params, "uid", UINT32_MAX));
    job.limits.parent = static_cast<pid_t>(parent);
    job.limits.uid = static_cast<uid_t>(uid);
    TRY(job.limits.cpu_seconds, ipc::read_u64(request.params, "cpu_seconds"));
    TRY(job.limits.address_space_bytes, ipc::read_u64(request.params, "address_space_bytes"));
    TRY(const u64 required, ipc::read_u64(request.params, "required", 1));
    job.strictness = required == 1 ? Strictness::required : Strictness::available;
    if (job.method == Method::inspect) return job;
    TRY(job.offset_bytes, ipc::read_u64(request.params, "offset_bytes"));
    TRY(job.size_bytes, ipc::read_u64(request.params, "size_bytes"));
    return job;
}

Result<ipc::Received> next_frame(const ipc::Channel& channel) {
    TRY(ipc::Received received, channel.receive(ipc::Descriptors::taken));
    if (received.kind != ipc::Received::Kind::frame) return refuse(Code::system_failed, "socket", "The core is gone.");
    return received;
}
}  // namespace

Result<Job> receive_job(const ipc::Channel& channel) {
    TRY(ipc::Received first, next_frame(channel));
    TRY(const ipc::Message message, ipc::parse_message(first.text));
    const auto* request = std::get_if<ipc::Request>(&message);
    if (request == nullptr) return refuse(Code::malformed_request, "message", "The first message must be a request.");
    TRY(Job job, read_terms(*request));
    TRY(const u64 further, ipc::read_u64(request->params, "files", files_max));
    const std::size_t expected = job.method == Method::load ? 3 : 2;
    if (first.fds.size() != expected) return refuse(Code::malformed_request, "descriptors", first.fds.size(), expected);
    job.table = std::move(first.fds[0]);
    job.files.push_back(std::move(first.fds[1]));
    if (job.method == Method::load) job.memory = std::move(first.fds[2]);
    while (job.files.size() < further + 1) {
        TRY(ipc::Received more, next_frame(channel));
        if (more.fds.empty() || more.fds.size() > further + 1 - job.files.size())
            return refuse(Code::malformed_request, "descriptors", more.fds.size(), further);
        for (Fd& fd : more.fds) job.files.push_back(std::move(fd));
    }
    return job;
}

Result<Mapping> Mapping::of(const Fd& fd, u64 offset_bytes, u64 size_bytes) {
    if (size_bytes == 0) return Mapping({});
    void* at = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), static_cast<off_t>(offset_bytes));
    if (at == MAP_FAILED) return std::unexpected(system_error("mmap", errno));
    return Mapping({static_cast<std::byte*>(at), size_bytes});
}

Mapping::~Mapping() {
    if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
}
}  // namespace vramd::loader
