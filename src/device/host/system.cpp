#include "device/host/system.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <functional>

#include "base/fd.hpp"

namespace vramd::device::host {
namespace {
constexpr u64 list_count_max = 4096;
constexpr u64 file_bytes_max = 256 * kib;

void each_line(std::string_view text, const std::function<void(std::string_view)>& visit) {
    while (!text.empty()) {
        const auto end = text.find('\n');
        visit(text.substr(0, end));
        if (end == std::string_view::npos) return;
        text.remove_prefix(end + 1);
    }
}

/// The words of a line; any run of blanks separates.
std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> words;
    while (true) {
        const auto start = line.find_first_not_of(" \t");
        if (start == std::string_view::npos) return words;
        line.remove_prefix(start);
        const auto end = std::min(line.find_first_of(" \t"), line.size());
        words.push_back(line.substr(0, end));
        line.remove_prefix(end);
    }
}

template <class Number>
std::optional<Number> whole_number(std::string_view text) {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

/// `12.34` in 0–100 after `name=`.
std::optional<double> share(std::string_view word, std::string_view name) {
    if (!word.starts_with(name)) return std::nullopt;
    const auto number = whole_number<double>(word.substr(name.size()));
    if (!number || !(*number >= 0 && *number <= 100)) return std::nullopt;
    return number;
}

bool holds_word(std::string_view list, std::string_view word) {
    while (!list.empty()) {
        const auto end = std::min(list.find(','), list.size());
        if (list.substr(0, end) == word) return true;
        list.remove_prefix(std::min(end + 1, list.size()));
    }
    return false;
}

/// One line of mountinfo, as far as we need it.
struct Mount {
    std::string_view root, point, type, options;
};
std::optional<Mount> parse_mount(std::string_view line) {
    const auto words = words_of(line);
    const auto dash = std::ranges::find(words, "-");
    if (dash == words.end() || dash - words.begin() < 6 || words.end() - dash < 4) return std::nullopt;
    return Mount{words[3], words[4], dash[1], dash[3]};
}

/// `path` seen below a mount whose root is `root`; absent when it lies elsewhere.
std::optional<std::string> below(std::string_view path, std::string_view root) {
    if (root == "/") return path == "/" ? std::string() : std::string(path);
    if (path == root) return std::string();
    if (path.starts_with(root) && path.substr(root.size()).starts_with('/')) return std::string(path.substr(root.size()));
    return std::nullopt;
}

std::string node_folder(u32 id) { return "/sys/devices/system/node/node" + std::to_string(id); }
}  // namespace

MemInfo parse_meminfo(std::string_view text) {
    MemInfo info;
    each_line(text, [&](std::string_view line) {
        auto words = words_of(line);
        if (words.size() >= 2 && words[0] == "Node") words.erase(words.begin(), words.begin() + 2);
        if (words.size() < 2) return;
        const auto count = whole_number<u64>(words[1]);
        if (!count) return;
        if (words.size() == 2) {
            if (words[0] == "HugePages_Total:") info.huge_total_count = count;
            if (words[0] == "HugePages_Free:") info.huge_free_count = count;
        }
        if (words.size() != 3 || words[2] != "kB" || *count > number_max / kib) return;
        if (words[0] == "MemTotal:") info.total_bytes = *count * kib;
        if (words[0] == "MemFree:") info.free_bytes = *count * kib;
        if (words[0] == "MemAvailable:") info.available_bytes = *count * kib;
        if (words[0] == "Hugepagesize:") info.huge_page_bytes = *count * kib;
    });
    return info;
}

std::optional<Stall> parse_stall(std::string_view text) {
    Stall stall;
    u32 found = 0;
    each_line(text, [&](std::string_view line) {
        const auto words = words_of(line);
        if (words.size() < 3) return;
        const auto short_share = share(words[1], "avg10=");
        const auto long_share = share(words[2], "avg60=");
        if (!short_share || !long_share) return;
        if (words[0] == "some") {
            stall.some_10s_percentage = *short_share;
            stall.some_60s_percentage = *long_share;
            found |= 1;
        }
        if (words[0] == "full") {
            stall.full_10s_percentage = *short_share;
            stall.full_60s_percentage = *long_share;
            found |= 2;
        }
    });
    if (found != 3) return std::nullopt;
    return stall;
}

std::optional<std::string> parse_chosen(std::string_view text) {
    const auto open = text.find('[');
    if (open == std::string_view::npos) return std::nullopt;
    const auto close = text.find(']', open);
    if (close == std::string_view::npos || close == open + 1) return std::nullopt;
    return std::string(text.substr(open + 1, close - open - 1));
}

std::optional<u64> parse_number(std::string_view text) {
    const auto words = words_of(text.substr(0, text.find('\n')));
    if (words.size() != 1) return std::nullopt;
    return whole_number<u64>(words[0]);
}

std::optional<u64> parse_field(std::string_view text, std::string_view name) {
    std::optional<u64> value;
    each_line(text, [&](std::string_view line) {
        const auto words = words_of(line);
        if (words.size() == 2 && words[0] == name) value = whole_number<u64>(words[1]);
    });
    return value;
}

std::vector<u32> parse_list(std::string_view text) {
    std::vector<u32> numbers;
    const auto words = words_of(text.substr(0, text.find('\n')));
    if (words.size() != 1) return numbers;
    std::string_view rest = words[0];
    while (true) {
        const auto end = std::min(rest.find(','), rest.size());
        const std::string_view part = rest.substr(0, end);
        const auto dash = part.find('-');
        const auto first = whole_number<u32>(part.substr(0, dash));
        const auto last = dash == std::string_view::npos ? first : whole_number<u32>(part.substr(dash + 1));
        if (!first || !last || *last < *first || *last - *first >= list_count_max - numbers.size()) return {};
        for (u64 number = *first; number <= *last; ++number) numbers.push_back(static_cast<u32>(number));
        if (end == rest.size()) return numbers;
        rest.remove_prefix(end + 1);
    }
}

std::optional<Group> find_group(std::string_view cgroup_text, std::string_view mountinfo_text) {
    std::optional<std::string> v1_path, v2_path;
    each_line(cgroup_text, [&](std::string_view line) {
        const auto first = line.find(':');
        const auto second = first == std::string_view::npos ? first : line.find(':', first + 1);
        if (second == std::string_view::npos || !line.substr(second + 1).starts_with('/')) return;
        const std::string_view controllers = line.substr(first + 1, second - first - 1);
        const std::string path(line.substr(second + 1));
        if (holds_word(controllers, "memory")) v1_path = path;
        if (controllers.empty() && line.starts_with("0:")) v2_path = path;
    });
    std::optional<Group> v1, v2;
    each_line(mountinfo_text, [&](std::string_view line) {
        const auto mount = parse_mount(line);
        if (!mount) return;
        const bool is_v1 = mount->type == "cgroup" && holds_word(mount->options, "memory");
        const auto& path = is_v1 ? v1_path : v2_path;
        if ((!is_v1 && mount->type != "cgroup2") || !path) return;
        auto relative = below(*path, mount->root);
        if (!relative) return;
        (is_v1 ? v1 : v2) = Group{is_v1 ? Group::Version::v1 : Group::Version::v2, std::string(mount->point), *std::move(relative)};
    });
    return v1 ? v1 : v2;
}

std::optional<u64> available_bytes_of(const MemInfo& info, const std::optional<GroupUse>& group) {
    if (!info.available_bytes || !group) return info.available_bytes;
    return std::min(*info.available_bytes, group->room_bytes);
}

System::System(std::string root) : root_(std::move(root)) {
    if (root_.ends_with('/')) root_.pop_back();
    group_ = find_group(text_of("/proc/self/cgroup"), text_of("/proc/self/mountinfo"));
}

std::string System::text_of(const std::string& path) const {
    const Fd file(open((root_ + path).c_str(), O_RDONLY | O_CLOEXEC));
    std::string text;
    if (!file) return text;
    char buffer[4096];
    while (text.size() < file_bytes_max) {
        const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
        if (got <= 0) break;  // An unreadable file and an absent one mean the same: unknown.
        text.append(buffer, static_cast<std::size_t>(got));
    }
    return text;
}

MemInfo System::memory() const { return parse_meminfo(text_of("/proc/meminfo")); }

std::vector<NumaNode> System::numa_nodes() const {
    std::vector<NumaNode> nodes;
    for (const u32 id : parse_list(text_of("/sys/devices/system/node/online"))) {
        const MemInfo info = parse_meminfo(text_of(node_folder(id) + "/meminfo"));
        nodes.push_back({id, info.total_bytes, info.free_bytes});
    }
    return nodes;
}

HugePages System::huge_pages(const MemInfo& info) const {
    return {info.huge_page_bytes, info.huge_total_count, info.huge_free_count,
            parse_chosen(text_of("/sys/kernel/mm/transparent_hugepage/shmem_enabled"))};
}

std::optional<Stall> System::stall() const { return parse_stall(text_of("/proc/pressure/memory")); }

std::optional<GroupUse> System::use_of(const std::string& folder) const {
    const bool v2 = group_->version == Group::Version::v2;
    const auto limit = parse_number(text_of(folder + (v2 ? "/memory.max" : "/memory.limit_in_bytes")));
    const auto used = parse_number(text_of(folder + (v2 ? "/memory.current" : "/memory.usage_in_bytes")));
    // v1 writes "no limit" as 2^63 rounded down to a page.
    if (!limit || !used || *limit >= round_down(number_max, mib)) return std::nullopt;
    const u64 cache = parse_field(text_of(folder + "/memory.stat"), v2 ? "inactive_file" : "total_inactive_file").value_or(0);
    const u64 firm = *used - std::min(*used, cache);
    return GroupUse{*limit, *used, *limit - std::min(*limit, firm)};
}

std::optional<GroupUse> System::group() const {
    if (!group_) return std::nullopt;
    std::optional<GroupUse> tightest;
    std::string path = group_->path;
    while (true) {
        const auto use = use_of(group_->mount + path);
        if (use && (!tightest || use->room_bytes < tightest->room_bytes)) tightest = use;
        if (path.empty()) return tightest;
        path.resize(path.rfind('/'));  // find_group gives paths that begin with a slash.
    }
}
}  // namespace vramd::device::host
