#include "device/host/system.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace vramd::device::host {
namespace {
constexpr u64 list_count_max = 4096;

template <class Visit>
void each_line(std::string_view text, Visit&& visit) {
    while (!text.empty()) {
        const auto end = text.find('\n');
        visit(text.substr(0, end));
        if (end == std::string_view::npos) return;
        text.remove_prefix(end + 1);
    }
}

/// The words of a line, at most as many as any file here has in one; without a heap, for these are read ten times a second.
class Words {
public:
    static constexpr std::size_t words_max = 32;
    void push_back(std::string_view word) {
        if (count_ < words_max) words_[count_++] = word;
    }
    [[nodiscard]] std::size_t size() const { return count_; }
    [[nodiscard]] const std::string_view* begin() const { return words_.data(); }
    [[nodiscard]] const std::string_view* end() const { return words_.data() + count_; }
    [[nodiscard]] std::string_view operator[](std::size_t i) const { return words_[i]; }

private:
    std::array<std::string_view, words_max> words_;
    std::size_t count_ = 0;
};

/// Any run of blanks separates.
Words words_of(std::string_view line) {
    Words words;
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
    const auto* const dash = std::ranges::find(words, "-");
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
        if (line.starts_with("Node ")) {  // "Node 0 MemTotal: …"
            line.remove_prefix(std::min(line.find_first_not_of(' ', 5), line.size()));
            line.remove_prefix(std::min(line.find(' '), line.size()));
        }
        // Most lines are of no interest, and cutting them up is what reading this file costs.
        const auto start = std::min(line.find_first_not_of(" \t"), line.size());
        if (line.substr(start, 3) != "Mem" && line.substr(start, 4) != "Huge") return;
        const auto words = words_of(line);
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
        if (!line.starts_with(name)) return;
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

System::System(const std::string& root)
    : files_(std::make_shared<KeptFiles>(root.ends_with('/') ? root.substr(0, root.size() - 1) : root)) {
    group_ = find_group(files_->text_once("/proc/self/cgroup"), files_->text_once("/proc/self/mountinfo"));
    (void)available_bytes();  // Opens what every new block looks at, so that a process out of descriptors can still look.
}

MemInfo System::memory() const { return parse_meminfo(files_->text("/proc/meminfo")); }

std::vector<NumaNode> System::numa_nodes() const {
    std::vector<NumaNode> nodes;
    for (const u32 id : parse_list(files_->text("/sys/devices/system/node/online"))) {
        const MemInfo info = parse_meminfo(files_->text(node_folder(id) + "/meminfo"));
        nodes.push_back({id, info.total_bytes, info.free_bytes});
    }
    return nodes;
}

HugePages System::huge_pages(const MemInfo& info) const {
    return {info.huge_page_bytes, info.huge_total_count, info.huge_free_count,
            parse_chosen(files_->text("/sys/kernel/mm/transparent_hugepage/shmem_enabled"))};
}

std::optional<Stall> System::stall() const {
    const auto machine = parse_stall(files_->text("/proc/pressure/memory"));
    if (!group_ || group_->version == Group::Version::v1) return machine;
    const auto group = parse_stall(files_->text(group_->mount + group_->path + "/memory.pressure"));
    if (!machine || !group) return machine ? machine : group;
    return Stall{std::max(machine->some_10s_percentage, group->some_10s_percentage),
                 std::max(machine->some_60s_percentage, group->some_60s_percentage),
                 std::max(machine->full_10s_percentage, group->full_10s_percentage),
                 std::max(machine->full_60s_percentage, group->full_60s_percentage)};
}

std::optional<GroupUse> System::use_of(const std::string& folder) const {
    // v1 writes "no limit" as 2^63 rounded down to a page.
    const auto real = [](std::optional<u64> limit) { return limit && *limit < round_down(number_max, mib) ? limit : std::nullopt; };
    const auto tighter = [](std::optional<u64> a, std::optional<u64> b) { return a && b ? std::min(a, b) : a ? a : b; };
    const bool v2 = group_->version == Group::Version::v2;
    auto limit = real(parse_number(files_->text(folder + (v2 ? "/memory.max" : "/memory.limit_in_bytes"))));
    // Above memory.high the kernel makes every task of the group wait: for us that is a limit.
    if (v2) limit = tighter(limit, real(parse_number(files_->text(folder + "/memory.high"))));
    std::string stat;
    if (!v2 && group_->mount + group_->path == folder) {
        stat = files_->text(folder + "/memory.stat");  // Groups above that a container does not show limit too.
        limit = tighter(limit, real(parse_field(stat, "hierarchical_memory_limit")));
    }
    if (!limit) return std::nullopt;
    const auto used = parse_number(files_->text(folder + (v2 ? "/memory.current" : "/memory.usage_in_bytes")));
    if (!used) return std::nullopt;
    if (stat.empty()) stat = files_->text(folder + "/memory.stat");
    const u64 cache = parse_field(stat, v2 ? "inactive_file" : "total_inactive_file").value_or(0);
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
