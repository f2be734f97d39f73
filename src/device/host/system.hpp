/// What the kernel says about memory: parsers of its text files, and a reader that finds them.
///
/// Sources: proc(5), Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst, Documentation/accounting/psi.rst. The parsers are
/// pure and take any text: a value that is missing, malformed or too large is absent, and no text makes them fail.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "device/device.hpp"
#include "device/host/kept_files.hpp"

namespace vramd::device::host {
/// Of /proc/meminfo or a node's meminfo.
struct MemInfo {
    std::optional<u64> total_bytes;
    std::optional<u64> free_bytes;
    std::optional<u64> available_bytes;
    std::optional<u64> huge_page_bytes;
    std::optional<u64> huge_total_count;
    std::optional<u64> huge_free_count;
    bool operator==(const MemInfo&) const = default;
};
/// Lines `Name: N kB` or `Node K Name: N kB`.
[[nodiscard]] MemInfo parse_meminfo(std::string_view text);

/// Lines `some avg10=… avg60=… …` and `full …`; absent unless both are whole.
[[nodiscard]] std::optional<Stall> parse_stall(std::string_view text);

/// The word in brackets of `always [madvise] never`.
[[nodiscard]] std::optional<std::string> parse_chosen(std::string_view text);

/// A decimal number on a line of its own; `max` and anything else is absent.
[[nodiscard]] std::optional<u64> parse_number(std::string_view text);

/// The number after `name` and a space, at the start of a line: memory.stat.
[[nodiscard]] std::optional<u64> parse_field(std::string_view text, std::string_view name);

/// `0-2,5` as numbers; empty when malformed or above 4,096 of them.
[[nodiscard]] std::vector<u32> parse_list(std::string_view text);

/// Where the memory controller shows this process's group, and which version's file names hold there.
struct Group {
    enum class Version : u8 { v1, v2 };
    Version version = Version::v2;
    std::string mount;  ///< Of the hierarchy, such as "/sys/fs/cgroup".
    std::string path;   ///< Of the group below the mount: "" or "/a/b".
    bool operator==(const Group&) const = default;
};
/// From /proc/self/cgroup and /proc/self/mountinfo. v1 where its memory controller is mounted, else v2; absent where there is neither.
[[nodiscard]] std::optional<Group> find_group(std::string_view cgroup_text, std::string_view mountinfo_text);

/// The tightest group from this process's own up to the root.
struct GroupUse {
    u64 limit_bytes = 0;  ///< v2: the smaller of memory.max and memory.high. v1: with the limits of groups above that are not shown.
    u64 used_bytes = 0;
    u64 room_bytes = 0;  ///< limit − used + file cache that the kernel drops first (inactive_file).
};

/// The smaller of MemAvailable and the groups' room; absent where MemAvailable is.
[[nodiscard]] std::optional<u64> available_bytes_of(const MemInfo& info, const std::optional<GroupUse>& group);

/// Reads all of it below a root ("/", or a folder of recorded files). Copies share the opened files. Thread-safe.
class System {
public:
    explicit System(const std::string& root);
    [[nodiscard]] MemInfo memory() const;
    [[nodiscard]] std::vector<NumaNode> numa_nodes() const;
    /// `info` as `memory` told it.
    [[nodiscard]] HugePages huge_pages(const MemInfo& info) const;
    /// Of the machine or, in a v2 group, of the group where that is worse.
    [[nodiscard]] std::optional<Stall> stall() const;
    /// Absent where no group of this process has a limit.
    [[nodiscard]] std::optional<GroupUse> group() const;
    [[nodiscard]] std::optional<u64> available_bytes() const { return available_bytes_of(memory(), group()); }

private:
    [[nodiscard]] std::optional<GroupUse> use_of(const std::string& folder) const;
    std::shared_ptr<KeptFiles> files_;
    std::optional<Group> group_;  // Found once: moving a running daemon between groups is not followed.
};
}  // namespace vramd::device::host
