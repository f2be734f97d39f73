#include "ledger/snapshot_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "ledger/directory.hpp"
#include "ledger/step.hpp"

namespace vramd::ledger {
namespace {
Result<void> write_all(const Fd& file, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t written = write(file.get(), bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return std::unexpected(system_error("write", written < 0 ? errno : ENOSPC));
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return {};
}

/// Fills `bytes` or answers false: the file ends before.
Result<bool> read_all(const Fd& file, std::span<std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t got = ::read(file.get(), bytes.data(), bytes.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return std::unexpected(system_error("read", errno));
        if (got == 0) return false;
        bytes = bytes.subspan(static_cast<std::size_t>(got));
    }
    return true;
}

std::unexpected<Error> untrusted(std::string why) { return refuse(Code::conflict, "snapshot", std::move(why)); }

Result<SnapshotHead> read_head(const Fd& file) {
    SnapshotHead head;
    TRY(const bool whole, read_all(file, std::as_writable_bytes(std::span(&head, 1))));
    if (!whole) return untrusted("The snapshot ends inside its head.");
    if (head.magic != snapshot_magic || head.version != format_version || head.head_bytes != sizeof head || head.sum != sum_of_head(head))
        return untrusted("The snapshot's head is wrong.");
    struct stat facts {};
    if (fstat(file.get(), &facts) != 0) return std::unexpected(system_error("fstat", errno));
    if (static_cast<u64>(facts.st_size) - sizeof head != head.state_bytes)
        return untrusted("The snapshot is not as long as its head says.");
    return head;
}
}  // namespace

Result<void> write_snapshot(const std::filesystem::path& directory, u64 sequence, const LifeName& life, std::span<const std::byte> state) {
    SnapshotHead head;
    head.sequence = sequence;
    head.wall_ns = clock_ns(CLOCK_REALTIME);
    head.state_bytes = state.size();
    head.life = life;
    head.state_sum = checksum(state);
    head.sum = sum_of_head(head);
    const std::filesystem::path temporary = directory / "snapshot.new";
    auto written = [&]() -> Result<void> {
        const Fd file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        if (!file) return std::unexpected(system_error("open", errno));
        TRY_DO(write_all(file, std::as_bytes(std::span(&head, 1))));
        TRY_DO(write_all(file, state));
        passed(Step::snapshot_written);
        return rename_file(temporary, directory / numbered_name(snapshot_prefix, sequence));
    }();
    if (!written) (void)unlink(temporary.c_str());  // The error that matters is the one above.
    if (written) passed(Step::snapshot_named);
    return written;
}

Result<Fd> open_snapshot(const std::filesystem::path& path) {
    Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return std::unexpected(system_error("open", errno));
    return file;
}

Result<SnapshotFacts> read_snapshot_head(const std::filesystem::path& path) {
    TRY(const Fd file, open_snapshot(path));
    TRY(const SnapshotHead head, read_head(file));
    return SnapshotFacts{head.sequence, head.life};
}

Result<Snapshot> read_snapshot(const std::filesystem::path& path) {
    TRY(const Fd file, open_snapshot(path));
    return read_snapshot(file);
}

Result<Snapshot> read_snapshot(const Fd& file) {
    TRY(const SnapshotHead head, read_head(file));
    Snapshot snapshot{head.sequence, std::vector<std::byte>(head.state_bytes)};
    TRY(const bool whole, read_all(file, snapshot.state));
    if (!whole || checksum(snapshot.state) != head.state_sum) return untrusted("The snapshot's state does not have its checksum.");
    return snapshot;
}
}  // namespace vramd::ledger
