/// A loading process that a model file has taken over entirely, and what it can still do: each forbidden thing is tried from inside.
///
/// Every row forks a process, gives its rights up as the loader does, and makes one system call, raw. The row holds if the kernel kills it
/// for the call (SIGSYS), and in a sanitizer build, whose runtime needs a few calls more, if the call is refused.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.hpp"
#include "loader/confine.hpp"

namespace vramd::loader {
namespace {
constexpr int not_confined = 250;  ///< The child's own exit code when its confinement failed.
constexpr unsigned patience_seconds = 60;

/// What a stolen loader has in its hands: made before, as descriptors and memory are lent before the door closes.
struct Hands {
    Fd memory{memfd_create("lent", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    Fd elsewhere{memfd_create("another's", MFD_CLOEXEC)};
    Fd stream;
    Fd inet{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    std::byte* lent = nullptr;
    pid_t parent = getpid();
    std::string of_elsewhere = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(elsewhere.get());
};
Hands hands() {
    Hands made;
    REQUIRE(ftruncate(made.memory.get(), page_bytes) == 0);
    REQUIRE(fcntl(made.memory.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) == 0);
    int both[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both) == 0);
    made.stream = Fd(both[0]);
    close(both[1]);
    void* const at = mmap(nullptr, 2 * page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, made.memory.get(), 0);
    REQUIRE(at != MAP_FAILED);
    made.lent = static_cast<std::byte*>(at);
    return made;
}

using Attempt = std::function<long(const Hands&)>;  ///< As syscall(2): -1 and errno where the kernel refuses.
enum class Stage : u8 { rights_dropped, door_closed };

struct Fate {
    int killed_by = 0;  ///< The signal; 0: it ended by itself.
    int error = 0;      ///< 0: the attempt succeeded.
    [[nodiscard]] std::string told() const {
        return killed_by != 0 ? "killed by " + std::to_string(killed_by) : error != 0 ? "errno " + std::to_string(error) : "it worked";
    }
};

/// In a child: gives up what the stage says, tries, and tells by its exit code. No destructor and no handler runs in it.
[[noreturn]] void play(const Hands& hands, const Attempt& attempt, Stage stage) {
    for (const int deadly : {SIGSEGV, SIGBUS, SIGSYS, SIGABRT, SIGILL}) signal(deadly, SIG_DFL);
    alarm(patience_seconds);
    const Limits limits{u64{1} << 30, 60, 65534, hands.parent};
    if (!drop_rights(limits, Strictness::required)) _exit(not_confined);
    if (stage == Stage::door_closed && !close_door(Strictness::required)) _exit(not_confined);
    errno = 0;
    const long answer = attempt(hands);
    _exit(answer == -1 ? std::min(errno, not_confined - 1) : 0);
}

Fate fate_of(const Hands& hands, const Attempt& attempt, Stage stage = Stage::door_closed) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) play(hands, attempt, stage);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) return {WTERMSIG(status), 0};
    REQUIRE(WEXITSTATUS(status) != not_confined);
    return {0, WEXITSTATUS(status)};
}

struct Row {
    std::string name;
    Attempt attempt;
};
template <class... Arguments>
Attempt call(long number, Arguments... arguments) {
    return [=](const Hands&) { return syscall(number, arguments...); };
}

std::vector<Row> files_and_names() {
    return {
        {"open a path", call(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY)},
        {"open a path, the old way", call(SYS_open, "/etc/passwd", O_RDONLY)},
        {"open a path, the new way", call(SYS_openat2, AT_FDCWD, "/etc/passwd", nullptr, 0)},
        {"create a file", call(SYS_creat, "/tmp/vramd-loader-was-here", 0600)},
        {"reopen its own descriptor, writable", call(SYS_openat, AT_FDCWD, "/proc/self/fd/0", O_RDWR)},
        {"open another process's memory by its descriptor",
         [](const Hands& hands) { return syscall(SYS_openat, AT_FDCWD, hands.of_elsewhere.c_str(), O_RDWR); }},
        {"read the parent's memory", call(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDWR)},
        {"stat a path", call(SYS_statx, AT_FDCWD, "/etc/passwd", 0, 0, nullptr)},
        {"read a link", call(SYS_readlink, "/proc/self/exe", nullptr, 0)},
        {"list a folder", [](const Hands& hands) { return syscall(SYS_getdents64, hands.memory.get(), nullptr, 0); }},
        {"unlink", call(SYS_unlink, "/tmp/x")},
        {"rename", call(SYS_rename, "/tmp/x", "/tmp/y")},
        {"make a folder", call(SYS_mkdir, "/tmp/vramd-loader-was-here", 0700)},
        {"link", call(SYS_linkat, AT_FDCWD, "/tmp/x", AT_FDCWD, "/tmp/y", 0)},
        {"make a symbolic link", call(SYS_symlink, "/etc/passwd", "/tmp/y")},
        {"change a mode", call(SYS_chmod, "/tmp", 0777)},
        {"change the folder", call(SYS_chdir, "/")},
        {"change the root", call(SYS_chroot, "/")},
        {"mount", call(SYS_mount, "none", "/mnt", "tmpfs", 0, nullptr)},
        {"unmount", call(SYS_umount2, "/proc", 2)},
        {"pivot the root", call(SYS_pivot_root, "/", "/")},
        {"open by handle", call(SYS_open_by_handle_at, -1, nullptr, 0)},
        {"watch files", call(SYS_inotify_init1, 0)},
    };
}
std::vector<Row> descriptors() {
    const auto on_memory = [](auto&& made) { return [made](const Hands& hands) { return made(hands.memory.get()); }; };
    return {
        {"make memory", call(SYS_memfd_create, "x", 0)},
        {"duplicate a descriptor", on_memory([](int fd) { return syscall(SYS_dup, fd); })},
        {"duplicate over another", on_memory([](int fd) { return syscall(SYS_dup2, fd, 9); })},
        {"duplicate by fcntl", on_memory([](int fd) { return syscall(SYS_fcntl, fd, F_DUPFD, 0); })},
        {"unseal or reopen by fcntl", on_memory([](int fd) { return syscall(SYS_fcntl, fd, F_ADD_SEALS, 0); })},
        {"write to a file", on_memory([](int fd) { return syscall(SYS_pwrite64, fd, "x", 1, 0); })},
        {"resize memory", on_memory([](int fd) { return syscall(SYS_ftruncate, fd, 0); })},
        {"punch a hole", on_memory([](int fd) { return syscall(SYS_fallocate, fd, 3, 0, page_bytes); })},
        {"control a device", on_memory([](int fd) { return syscall(SYS_ioctl, fd, 0, 0); })},
        {"copy between files", on_memory([](int fd) { return syscall(SYS_copy_file_range, fd, nullptr, fd, nullptr, 1, 0); })},
        {"send a file", on_memory([](int fd) { return syscall(SYS_sendfile, fd, fd, nullptr, 1); })},
        {"splice", on_memory([](int fd) { return syscall(SYS_splice, fd, nullptr, fd, nullptr, 1, 0); })},
        {"make an event descriptor", call(SYS_eventfd2, 0, 0)},
        {"make an epoll", call(SYS_epoll_create1, 0)},
        {"make a timer", call(SYS_timerfd_create, 0, 0)},
        {"make a ring", call(SYS_io_uring_setup, 1, nullptr)},
        {"handle page faults", call(SYS_userfaultfd, 0)},
    };
}
std::vector<Row> sockets() {
    return {
        {"make a socket", call(SYS_socket, AF_INET, SOCK_STREAM, 0)},
        {"make a Unix socket", call(SYS_socket, AF_UNIX, SOCK_STREAM, 0)},
        {"make a pair of sockets", call(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, nullptr)},
        {"connect a socket that it was given",
         [](const Hands& hands) {
             const sockaddr_un address{AF_UNIX, "/run/vramd/vramd.sock"};
             return syscall(SYS_connect, hands.inet.get(), &address, sizeof address);
         }},
        {"bind", [](const Hands& hands) { return syscall(SYS_bind, hands.inet.get(), nullptr, 0); }},
        {"listen", [](const Hands& hands) { return syscall(SYS_listen, hands.inet.get(), 1); }},
        {"accept", [](const Hands& hands) { return syscall(SYS_accept4, hands.inet.get(), nullptr, nullptr, 0); }},
        {"receive, descriptors above all", [](const Hands& hands) { return syscall(SYS_recvmsg, hands.stream.get(), nullptr, 0); }},
        {"send to an address", [](const Hands& hands) { return syscall(SYS_sendto, hands.inet.get(), "x", 1, 0, nullptr, 0); }},
        {"set a socket's option", [](const Hands& hands) { return syscall(SYS_setsockopt, hands.stream.get(), 1, 1, nullptr, 0); }},
    };
}
std::vector<Row> processes() {
    return {
        {"fork", call(SYS_fork)},
        {"clone", call(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr)},
        {"clone3", call(SYS_clone3, nullptr, 0)},
        {"execute a program", call(SYS_execve, "/bin/true", nullptr, nullptr)},
        {"execute a descriptor",
         [](const Hands& hands) { return syscall(SYS_execveat, hands.memory.get(), "", nullptr, nullptr, 0x1000); }},
        {"be traced", call(SYS_ptrace, PTRACE_TRACEME, 0, nullptr, nullptr)},
        {"trace the parent", [](const Hands& hands) { return syscall(SYS_ptrace, PTRACE_ATTACH, hands.parent, nullptr, nullptr); }},
        {"read the parent's memory at once",
         [](const Hands& hands) { return syscall(SYS_process_vm_readv, hands.parent, nullptr, 0, nullptr, 0, 0); }},
        {"write the parent's memory",
         [](const Hands& hands) { return syscall(SYS_process_vm_writev, hands.parent, nullptr, 0, nullptr, 0, 0); }},
        {"signal the parent", [](const Hands& hands) { return syscall(SYS_kill, hands.parent, 0); }},
        {"signal the parent's thread", [](const Hands& hands) { return syscall(SYS_tgkill, hands.parent, hands.parent, 0); }},
        {"signal every process", call(SYS_kill, -1, 0)},
        {"hold the parent", [](const Hands& hands) { return syscall(SYS_pidfd_open, hands.parent, 0); }},
        {"take a descriptor of the parent's", call(SYS_pidfd_getfd, 0, 0, 0)},
        {"compare with the parent", [](const Hands& hands) { return syscall(SYS_kcmp, hands.parent, hands.parent, 0, 0, 0); }},
        {"become root", call(SYS_setuid, 0)},
        {"become root by all three", call(SYS_setresuid, 0, 0, 0)},
        {"change the group", call(SYS_setgid, 0)},
        {"take capabilities", call(SYS_capset, nullptr, nullptr)},
        {"raise a limit", call(SYS_setrlimit, RLIMIT_AS, nullptr)},
        {"raise the parent's limit", [](const Hands& hands) { return syscall(SYS_prlimit64, hands.parent, RLIMIT_AS, nullptr, nullptr); }},
        {"become dumpable", call(SYS_prctl, 4, 1, 0, 0, 0)},
        {"outlive the parent", call(SYS_prctl, 1, 0, 0, 0, 0)},
        {"loosen the filter", call(SYS_seccomp, 0, 0, nullptr)},
        {"a namespace of its own", call(SYS_unshare, CLONE_NEWUSER)},
        {"another's namespace", call(SYS_setns, 0, 0)},
        {"change the session", call(SYS_setsid)},
        {"change priorities", call(SYS_setpriority, 0, 0, -20)},
    };
}
std::vector<Row> memory_and_machine() {
    const auto map = [](u64 size, int protection) {
        return call(SYS_mmap, nullptr, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
    };
    return {
        {"memory to run code from", map(page_bytes, PROT_READ | PROT_EXEC)},
        {"memory to write and run", map(page_bytes, PROT_READ | PROT_WRITE | PROT_EXEC)},
        {"make its memory executable",
         [](const Hands& hands) { return syscall(SYS_mprotect, hands.lent, page_bytes, PROT_READ | PROT_EXEC); }},
        {"make it executable by a key",
         [](const Hands& hands) { return syscall(SYS_pkey_mprotect, hands.lent, page_bytes, PROT_EXEC, -1); }},
        {"shared memory of System V", call(SYS_shmget, 0, 4096, 01600)},
        {"attach shared memory", call(SYS_shmat, 0, nullptr, 0)},
        {"a message queue", call(SYS_msgget, 0, 01600)},
        {"lock all memory", call(SYS_mlockall, 1)},
        {"a program in the kernel", call(SYS_bpf, 0, nullptr, 0)},
        {"count another's events", call(SYS_perf_event_open, nullptr, 0, 0, 0, 0)},
        {"keys", call(SYS_add_key, "user", "x", "x", 1, -1)},
        {"load a module", call(SYS_init_module, nullptr, 0, "")},
        {"another kernel", call(SYS_kexec_load, 0, 0, nullptr, 0)},
        {"restart the machine", call(SYS_reboot, 0, 0, 0, nullptr)},
        {"set the clock", call(SYS_clock_settime, 0, nullptr)},
        {"rename the machine", call(SYS_sethostname, "x", 1)},
        {"another personality", call(SYS_personality, 0x0400000)},
        {"ports", call(SYS_ioperm, 0, 1, 1)},
        {"a call of the 32-bit table",
         [](const Hands&) {
             long answer = 20;  // getpid there
             asm volatile("int $0x80" : "+a"(answer) : : "memory", "r8", "r9", "r10", "r11");
             return answer;
         }},
        {"a call of the x32 table", call(0x40000000L + SYS_getpid)},
    };
}
}  // namespace

TEST_CASE("from inside the confined process each forbidden call kills it") {
    const Hands made = hands();
    // Refused without a kill in a sanitizer build only, where its runtime tries them to describe an error.
    const std::set<std::string> refused = {"open a path",
                                           "open a path, the old way",
                                           "reopen its own descriptor, writable",
                                           "open another process's memory by its descriptor",
                                           "read the parent's memory",
                                           "read a link",
                                           "control a device",
                                           "become dumpable",
                                           "outlive the parent",
                                           "clone",
                                           "raise the parent's limit"};
    for (const auto& rows : {files_and_names(), descriptors(), sockets(), processes(), memory_and_machine()}) {
        for (const Row& row : rows) {
            INFO(row.name);
            const Fate fate = fate_of(made, row.attempt);
            INFO(fate.told());
            if (sanitizer_build() && refused.contains(row.name))
                CHECK((fate.killed_by == 0 && fate.error == EPERM));
            else if (fate.killed_by == SIGSEGV && row.name == "a call of the 32-bit table")
                CHECK(fate_of(made, row.attempt, Stage::rights_dropped).killed_by == SIGSEGV);  // This kernel has no such table.
            else
                CHECK(fate.killed_by == SIGSYS);
        }
    }
    CHECK(access("/tmp/vramd-loader-was-here", F_OK) != 0);
}

TEST_CASE("every system call that is not on the list kills, whatever its number") {
    const Hands made = hands();
    std::set<long> allowed = {SYS_pread64,     SYS_fstat,         SYS_munmap,         SYS_brk,          SYS_madvise, SYS_sendmsg,
                              SYS_futex,       SYS_clock_gettime, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_exit,    SYS_exit_group,
                              SYS_sched_yield, SYS_gettid,        SYS_getpid,         SYS_getrandom,    SYS_close,   SYS_restart_syscall,
                              SYS_mmap,        SYS_mprotect,      SYS_mremap};
    if (sanitizer_build())
        allowed.insert({SYS_clock_nanosleep, SYS_nanosleep,  SYS_sigaltstack, SYS_rt_sigaction, SYS_getrusage,    SYS_sched_getaffinity,
                        SYS_pipe2,           SYS_pipe,       SYS_write,       SYS_rseq,         SYS_gettimeofday, SYS_time,
                        SYS_set_robust_list, SYS_openat,     SYS_open,        SYS_readlink,     SYS_ioctl,        SYS_prctl,
                        SYS_clone,           SYS_newfstatat, SYS_getrlimit,   SYS_prlimit64});
    // Linux lets its own probes' trampolines pass every filter (uretprobe, uprobe); called from elsewhere they do nothing.
    allowed.insert({335, 336});
    constexpr long beyond_every_call = 500;
    for (long number = 0; number < beyond_every_call; ++number) {
        if (allowed.contains(number)) continue;
        INFO(number);
        CHECK(fate_of(made, call(number, 0L, 0L, 0L, 0L, 0L, 0L)).killed_by == SIGSYS);
    }
}

TEST_CASE("a thread that was there before the door closed is bound by it too") {
    const Hands made = hands();
    const Fate fate = fate_of(
        made,
        [](const Hands&) {
            std::atomic<bool> closed = false;
            std::thread late([&] {
                while (!closed) std::this_thread::yield();
                syscall(SYS_kill, getppid(), 0);
            });
            if (!close_door(Strictness::required)) _exit(not_confined);
            closed = true;
            late.join();
            return 0L;
        },
        Stage::rights_dropped);
    INFO(fate.told());
    CHECK(fate.killed_by == SIGSYS);
}

TEST_CASE("bytes beyond the lent memory cannot be written, and the lent ones can") {
    const Hands made = hands();
    const auto write_at = [](u64 offset) {
        return [offset](const Hands& hands) { return static_cast<volatile char*>(static_cast<void*>(hands.lent))[offset] = 'x', 0L; };
    };
    CHECK(fate_of(made, write_at(page_bytes - 1)).told() == "it worked");
    CHECK(made.lent[page_bytes - 1] == std::byte{'x'});
    CHECK(fate_of(made, write_at(page_bytes)).killed_by == SIGBUS);
}

TEST_CASE("more address space than was granted is refused, and processor time ends") {
    if (sanitizer_build()) return;  // Its shadow takes terabytes: such a build has no limit of address space.
    const Hands made = hands();
    const auto map = [](u64 size) { return call(SYS_mmap, nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0L); };
    CHECK(fate_of(made, map(u64{2} << 30)).error == ENOMEM);
    CHECK(fate_of(made, map(u64{1} << 46)).error == ENOMEM);
    CHECK(fate_of(made, map(u64{1} << 20)).told() == "it worked");
}

TEST_CASE("what reading into lent memory needs is still allowed") {
    const Hands made = hands();
    for (const Row& row : std::vector<Row>{
             {"read at a place", [](const Hands& hands) { return syscall(SYS_pread64, hands.memory.get(), hands.lent, 16, 0); }},
             {"a file's size",
              [](const Hands& hands) {
                  struct stat state {};
                  return syscall(SYS_fstat, hands.memory.get(), &state);
              }},
             {"plain memory", call(SYS_mmap, nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L)},
             {"its own id", call(SYS_getpid)},
             {"letting go of a descriptor", [](const Hands& hands) { return syscall(SYS_close, hands.inet.get()); }},
         }) {
        INFO(row.name);
        CHECK(fate_of(made, row.attempt).told() == "it worked");
    }
    CHECK(fate_of(made, [](const Hands& hands) { return syscall(SYS_sendmsg, hands.memory.get(), nullptr, 0); }).error == ENOTSOCK);
}

TEST_CASE("already before the door closes no file can be opened, no user taken back and no core dumped") {
    const Hands made = hands();
    const auto before = [&](const Attempt& attempt) { return fate_of(made, attempt, Stage::rights_dropped); };
    const bool landlock = syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) > 0;
    if (landlock) CHECK(before(call(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY)).error == EACCES);
    if (landlock) CHECK(before(call(SYS_openat, AT_FDCWD, "/tmp/vramd-loader-was-here", O_CREAT | O_WRONLY, 0600)).error == EACCES);
    CHECK(before(call(SYS_setresuid, 0, 0, 0)).error == EPERM);
    CHECK(before([](const Hands& hands) { return syscall(SYS_kill, hands.parent, 0); }).error == EPERM);
    CHECK(before([](const Hands&) { return syscall(SYS_prctl, 3, 0, 0, 0, 0) == 0 ? 0L : -1L; }).told() == "it worked");
    CHECK(before([](const Hands&) {
              rlimit core{};
              rlimit file{};
              if (getrlimit(RLIMIT_CORE, &core) != 0 || getrlimit(RLIMIT_FSIZE, &file) != 0) return -1L;
              return core.rlim_max == 0 && file.rlim_max == 0 ? 0L : -1L;
          }).told() == "it worked");
}

TEST_CASE("who is not the given parent's child is refused before anything is read") {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) _exit(drop_rights({u64{1} << 30, 60, 65534, 1}, Strictness::required) ? 0 : 42);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 42));
}
}  // namespace vramd::loader
