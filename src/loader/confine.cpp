#include "loader/confine.hpp"

#include <grp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

namespace vramd::loader {
namespace {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

// Landlock's interface, declared here because Debian 12's header ends at ABI 2. Source: include/uapi/linux/landlock.h of Linux 6.12.
struct LandlockRuleset {
    u64 handled_access_fs = 0;
    u64 handled_access_net = 0;
    u64 scoped = 0;
};
constexpr long landlock_create_ruleset = 444;
constexpr long landlock_restrict_self = 446;
constexpr u32 landlock_ask_version = 1;

/// Every right that this ABI can take away, and how much of the structure it knows.
LandlockRuleset everything(u64 abi) {
    LandlockRuleset ruleset;
    ruleset.handled_access_fs = abi >= 5 ? 0xffff : abi >= 3 ? 0x7fff : abi == 2 ? 0x3fff : 0x1fff;
    ruleset.handled_access_net = abi >= 4 ? 0x3 : 0;
    ruleset.scoped = abi >= 6 ? 0x3 : 0;
    return ruleset;
}
std::size_t known_bytes(u64 abi) { return abi >= 6 ? 24 : abi >= 4 ? 16 : 8; }

Result<void> limit(__rlimit_resource resource, u64 value, std::string_view name) {
    rlimit now{};
    if (getrlimit(resource, &now) != 0) return std::unexpected(system_error(name, errno));
    const rlim_t wanted = std::min<rlim_t>(value, now.rlim_max);
    const rlimit next{wanted, wanted};
    if (setrlimit(resource, &next) != 0) return std::unexpected(system_error(name, errno));
    return {};
}

Result<void> become(uid_t uid, Strictness strictness) {
    if (geteuid() != 0) return {};
    if (setgroups(0, nullptr) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0) return {};
    if (strictness == Strictness::available && geteuid() == 0) return {};
    return std::unexpected(system_error("setresuid", errno));
}

Result<u64> enter_landlock() {
    const long abi = syscall(landlock_create_ruleset, nullptr, std::size_t{0}, landlock_ask_version);
    if (abi <= 0) return u64{0};
    const LandlockRuleset ruleset = everything(static_cast<u64>(abi));
    const auto fd = static_cast<int>(syscall(landlock_create_ruleset, &ruleset, known_bytes(static_cast<u64>(abi)), u32{0}));
    if (fd < 0) return std::unexpected(system_error("landlock_create_ruleset", errno));
    const long entered = syscall(landlock_restrict_self, fd, u32{0});
    const int reason = errno;
    close(fd);
    if (entered != 0) return std::unexpected(system_error("landlock_restrict_self", reason));
    return static_cast<u64>(abi);
}

/// What reading files into lent memory needs, and nothing else. No call here takes a path.
constexpr std::array allowed_calls = {
    SCMP_SYS(pread64),        SCMP_SYS(fstat),           SCMP_SYS(munmap), SCMP_SYS(brk),
    SCMP_SYS(madvise),        SCMP_SYS(sendmsg),         SCMP_SYS(futex),  SCMP_SYS(clock_gettime),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),    SCMP_SYS(exit),   SCMP_SYS(exit_group),
    SCMP_SYS(sched_yield),    SCMP_SYS(gettid),          SCMP_SYS(getpid), SCMP_SYS(getrandom),
    SCMP_SYS(close),          SCMP_SYS(restart_syscall),
};
/// A sanitizer's runtime sleeps, changes signal stacks when threads end, writes reports, probes memory by
/// writing it into a pipe, and starts a thread of its own whose first steps may fall behind the door.
constexpr std::array sanitizer_calls = {
    SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
    SCMP_SYS(sigaltstack),     SCMP_SYS(rt_sigaction),
    SCMP_SYS(getrusage),       SCMP_SYS(sched_getaffinity),
    SCMP_SYS(pipe2),           SCMP_SYS(pipe),
    SCMP_SYS(write),           SCMP_SYS(rseq),
    SCMP_SYS(gettimeofday),    SCMP_SYS(time),
    SCMP_SYS(set_robust_list),
};
/// Calls by which it would describe an error: refused, so that the report comes out shorter instead of being lost to SIGSYS.
constexpr std::array sanitizer_refused = {
    SCMP_SYS(openat), SCMP_SYS(open),       SCMP_SYS(readlink),  SCMP_SYS(ioctl),     SCMP_SYS(prctl),
    SCMP_SYS(clone),  SCMP_SYS(newfstatat), SCMP_SYS(getrlimit), SCMP_SYS(prlimit64),
};

int add_sanitizer_rules(scmp_filter_ctx filter) {
    int failed = 0;
    for (const int call : sanitizer_calls) failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
    for (const int call : sanitizer_refused) failed |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);
    return failed;
}

int add_rules(scmp_filter_ctx filter) {
    int failed = 0;
    for (const int call : allowed_calls) failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
    // Memory may be had, but never to run code from.
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mremap), 0);
    // abort() signals this process alone.
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(getpid())));
    if (sanitized) failed |= add_sanitizer_rules(filter);
    return failed;
}

int load_filter() {
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (filter == nullptr) return -ENOMEM;
    int failed = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    failed |= seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    failed |= add_rules(filter);
    const int loaded = failed != 0 ? -EINVAL : seccomp_load(filter);
    seccomp_release(filter);
    return loaded;
}
}  // namespace

bool sanitizer_build() { return sanitized; }

Result<u64> drop_rights(const Limits& limits, Strictness strictness) {
    TRY_DO(limit(RLIMIT_CORE, 0, "RLIMIT_CORE"));
    TRY_DO(limit(RLIMIT_FSIZE, 0, "RLIMIT_FSIZE"));
    TRY_DO(limit(RLIMIT_CPU, limits.cpu_seconds, "RLIMIT_CPU"));
    if (!sanitized) TRY_DO(limit(RLIMIT_AS, limits.address_space_bytes, "RLIMIT_AS"));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return std::unexpected(system_error("PR_SET_NO_NEW_PRIVS", errno));
    TRY_DO(become(limits.uid, strictness));
    // After the change of user, which clears it.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return std::unexpected(system_error("PR_SET_PDEATHSIG", errno));
    if (getppid() != limits.parent) return refuse(Code::system_failed, "parent", "The process that asked for this load is gone.");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return std::unexpected(system_error("PR_SET_DUMPABLE", errno));
    return enter_landlock();
}

Result<bool> close_door(Strictness strictness) {
    if (!sanitized) TRY_DO(limit(RLIMIT_NOFILE, 0, "RLIMIT_NOFILE"));
    TRY_DO(limit(RLIMIT_NPROC, 0, "RLIMIT_NPROC"));
    const int loaded = load_filter();
    if (loaded == 0) return true;
    if (strictness == Strictness::available) return false;
    return refuse(
        Code::unsupported, "seccomp",
        "The kernel offers no seccomp filter, without which model files are not parsed here; the operator can allow it explicitly.");
}
}  // namespace vramd::loader
