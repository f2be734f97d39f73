#include "keeper/holdings.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "keeper/keeper.hpp"

namespace vramd::keeper {
namespace {
constexpr u64 packed_magic = 0x3153504b444d5256;  // "VRMDKPS1"
constexpr u64 packed_version = 1;                 // Named in `takeover_question` too.
constexpr int successor_ms_max = 2000;

/// What the memfd holds: this, then `block_count` rows.
struct PackedHead {
    u64 magic = packed_magic;
    u64 version = packed_version;
    u64 block_count = 0;
    u64 generation = 0;
    u64 started_wall_ns = 0;
    u64 life = 0;
    u64 announced = 0;
    i32 lock = -1;
    i32 tcp = -1;
    i32 http_unix = -1;
    i32 attach_unix = -1;
};
static_assert(sizeof(PackedHead) == 72);
struct PackedBlock {
    u64 key = 0;
    u64 size_bytes = 0;
    i32 descriptor = -1;
    i32 in_store = 0;
};
static_assert(sizeof(PackedBlock) == 24);

enum class Exec : u8 { passes, closes };
Result<void> set_exec(int descriptor, Exec exec) {
    if (descriptor < 0) return {};
    if (fcntl(descriptor, F_SETFD, exec == Exec::closes ? FD_CLOEXEC : 0) != 0) return std::unexpected(system_error("F_SETFD", errno));
    return {};
}

Result<void> set_exec_of_all(const Holdings& holdings, Exec exec) {
    for (const Fd* fd : {&holdings.lock, &holdings.listeners.tcp, &holdings.listeners.http_unix, &holdings.listeners.attach_unix})
        TRY_DO(set_exec(fd->get(), exec));
    for (const auto& [key, kept] : holdings.blocks) TRY_DO(set_exec(kept.descriptor.get(), exec));
    return {};
}

Result<void> write_whole(const Fd& file, const void* data, std::size_t size) {
    if (write(file.get(), data, size) != static_cast<ssize_t>(size)) return std::unexpected(system_error("write", errno));
    return {};
}

std::unexpected<Error> unreadable() { return refuse(Code::conflict, "VRAMD_KEEPER_STATE", "What the keeper before left cannot be read."); }
}  // namespace

Result<Fd> pack(const Holdings& holdings) {
    Fd file(memfd_create("vramd-keeper-state", MFD_CLOEXEC));
    if (!file) return std::unexpected(system_error("memfd_create", errno));
    PackedHead head;
    head.block_count = holdings.blocks.size();
    head.generation = holdings.generation;
    head.started_wall_ns = holdings.started_wall_ns;
    head.life = holdings.life;
    head.announced = holdings.announced ? 1 : 0;
    head.lock = holdings.lock.get();
    head.tcp = holdings.listeners.tcp.get();
    head.http_unix = holdings.listeners.http_unix.get();
    head.attach_unix = holdings.listeners.attach_unix.get();
    std::vector<PackedBlock> rows;
    for (const auto& [key, kept] : holdings.blocks) rows.push_back({key, kept.size_bytes, kept.descriptor.get(), kept.in_store ? 1 : 0});
    TRY_DO(write_whole(file, &head, sizeof head));
    TRY_DO(write_whole(file, rows.data(), rows.size() * sizeof(PackedBlock)));
    TRY_DO(set_exec_of_all(holdings, Exec::passes));
    TRY_DO(set_exec(file.get(), Exec::passes));
    return file;
}

Result<void> ask_successor(const std::string& program) {
    const auto no = [&] { return refuse(Code::conflict, "upgrade", program + " does not answer that it can take this keeper's place."); };
    const pid_t child = fork();
    if (child < 0) return std::unexpected(system_error("fork", errno));
    if (child == 0) {
        std::string name = program;
        std::string question(takeover_question);
        std::array<char*, 3> arguments{name.data(), question.data(), nullptr};
        execv(program.c_str(), arguments.data());
        _exit(1);
    }
    const Fd ended(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
    pollfd wait{ended.get(), POLLIN, 0};
    if (!ended || poll(&wait, 1, successor_ms_max) != 1) (void)kill(child, SIGKILL);
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != takeover_answer) return no();
    return {};
}

void seal_against_exec(const Holdings& holdings) {
    (void)set_exec_of_all(holdings, Exec::closes);  // Fails only for a descriptor that is none.
}

Result<std::optional<Holdings>> unpack_inherited() {
    const char* const text = std::getenv("VRAMD_KEEPER_STATE");
    if (text == nullptr) return std::nullopt;
    int descriptor = -1;
    if (std::from_chars(text, text + std::strlen(text), descriptor).ec != std::errc{} || descriptor < 3) return unreadable();
    (void)unsetenv("VRAMD_KEEPER_STATE");  // Not for the core.
    const Fd file(descriptor);
    PackedHead head;
    if (pread(file.get(), &head, sizeof head, 0) != static_cast<ssize_t>(sizeof head)) return unreadable();
    if (head.magic != packed_magic || head.version != packed_version) return unreadable();
    Holdings holdings;
    holdings.generation = head.generation;
    holdings.started_wall_ns = head.started_wall_ns;
    holdings.life = head.life;
    holdings.announced = head.announced != 0;
    holdings.lock = Fd(head.lock);
    holdings.listeners = {Fd(head.tcp), Fd(head.http_unix), Fd(head.attach_unix)};
    for (u64 i = 0; i < head.block_count; ++i) {
        PackedBlock row;
        const off_t at = static_cast<off_t>(sizeof head + i * sizeof row);
        if (pread(file.get(), &row, sizeof row, at) != static_cast<ssize_t>(sizeof row)) return unreadable();
        holdings.blocks.emplace(row.key, Kept{row.size_bytes, Fd(row.descriptor), row.in_store != 0});
    }
    TRY_DO(set_exec_of_all(holdings, Exec::closes));
    return holdings;
}
}  // namespace vramd::keeper
