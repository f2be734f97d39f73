#include "program/missing.hpp"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <optional>

#include "base/types.hpp"

namespace vramd::program {
namespace {
constexpr u64 locked_bytes_wanted = 1 * gib;
constexpr u64 open_files_wanted = 16'384;
constexpr long landlock_create_ruleset = 444;  // Debian 12's headers have no name for it.
constexpr u32 landlock_ask_version = 1;

/// Whoever has the capability is not held to the limit.
bool may_lock_without_limit() {
    std::ifstream file("/proc/self/status");
    for (std::string key, value; file >> key; std::getline(file, value)) {
        if (key != "CapEff:" || !(file >> value)) continue;
        u64 set = 0;
        (void)std::from_chars(value.data(), value.data() + value.size(), set, 16);
        return (set >> CAP_IPC_LOCK & 1) != 0;
    }
    return false;
}

/// The hard limit, for the soft one is raised to it; none: there is no limit.
std::optional<u64> hard_limit(__rlimit_resource resource) {
    rlimit limit{};
    if (getrlimit(resource, &limit) != 0 || limit.rlim_max == RLIM_INFINITY) return std::nullopt;
    return limit.rlim_max;
}
}  // namespace

std::vector<std::string> what_is_missing() {
    std::vector<std::string> missing;
    if (const auto bytes = hard_limit(RLIMIT_MEMLOCK); bytes && *bytes < locked_bytes_wanted && !may_lock_without_limit())
        missing.push_back("only " + std::to_string(*bytes) +
                          " bytes of memory can be pinned (memlock). LimitMEMLOCK=infinity in a unit, --ulimit memlock=-1 for a "
                          "container, or ulimit -l raises that; all else works without.");
    if (const auto files = hard_limit(RLIMIT_NOFILE); files && *files < open_files_wanted)
        missing.push_back("only " + std::to_string(*files) +
                          " files can be open, and each block of memory is one. LimitNOFILE=65536 in a unit, --ulimit nofile=65536 for a "
                          "container, or ulimit -n raises that.");
    if (syscall(landlock_create_ruleset, nullptr, std::size_t{0}, landlock_ask_version) <= 0)
        missing.push_back("the kernel has no Landlock, or something forbids it: loading processes are confined by seccomp alone.");
    return missing;
}
}  // namespace vramd::program
