#include "device/host/system.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "base/random.hpp"
#include "device/host/fixture.hpp"

namespace vramd::device::host {
namespace {
constexpr std::string_view meminfo_text =
    "MemTotal:       24683656 kB\nMemFree:        24440336 kB\nMemAvailable:   24378136 kB\nBuffers:             840 kB\n"
    "HugePages_Total:       8\nHugePages_Free:        3\nHugepagesize:       2048 kB\nHugetlb:           16384 kB\n";
constexpr std::string_view v1_mounts =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
constexpr std::string_view v2_mounts =
    "29 22 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";

/// A folder of recorded files, gone at the end of its scope.
class Recorded {
public:
    Recorded() {
        char name[] = "/tmp/vramd-system-test-XXXXXX";
        root_ = mkdtemp(name);
    }
    ~Recorded() { std::filesystem::remove_all(root_); }
    Recorded(const Recorded&) = delete;
    Recorded& operator=(const Recorded&) = delete;
    void put(const std::string& path, std::string_view text) const {
        std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
        std::ofstream(root_ + path) << text;
    }
    const std::string& root() const { return root_; }

private:
    std::string root_;
};
}  // namespace

TEST_CASE("the kernel's memory figures are read in bytes") {
    const MemInfo info = parse_meminfo(meminfo_text);
    CHECK(info == MemInfo{24683656 * kib, 24440336 * kib, 24378136 * kib, 2048 * kib, 8, 3});
    const MemInfo node =
        parse_meminfo("Node 0 MemTotal:        5859104 kB\nNode 0 MemFree:         5040240 kB\nNode 0 HugePages_Free:     0\n");
    CHECK(node == MemInfo{5859104 * kib, 5040240 * kib, {}, {}, {}, 0});
}

TEST_CASE("a figure that the kernel does not give, or gives in another form, is absent") {
    for (const char* text : {"", "\n\n\n", "MemTotal:", "MemTotal: kB", "MemTotal: -5 kB", "MemTotal: 5 MB", "MemTotal: 5",
                             "MemTotal: 5 kB extra", "memtotal: 5 kB", "MemTotal: 18446744073709551616 kB",
                             "MemTotal: 18446744073709551615 kB", "MemTotal: 0x5 kB", "Node 0", "Node", "MemTotal: 5.0 kB"}) {
        CAPTURE(text);
        CHECK(parse_meminfo(text) == MemInfo{});
    }
    CHECK(parse_meminfo("MemTotal: 7 kB").total_bytes == 7 * kib);
}

TEST_CASE("pressure is read when it is whole") {
    const auto stall = parse_stall("some avg10=1.50 avg60=0.25 avg300=0.00 total=12\nfull avg10=0.50 avg60=0.10 avg300=0.00 total=3\n");
    CHECK(stall == Stall{1.5, 0.25, 0.5, 0.1});
    for (const char* text : {"", "some avg10=1.50 avg60=0.25 avg300=0.00 total=12\n", "full avg10=0.50 avg60=0.10\n",
                             "some avg10=x avg60=1\nfull avg10=1 avg60=1", "some avg10=101 avg60=1\nfull avg10=1 avg60=1",
                             "some avg10=-1 avg60=1\nfull avg10=1 avg60=1", "some avg10=nan avg60=1\nfull avg10=1 avg60=1",
                             "some avg10= avg60=\nfull avg10= avg60=", "some avg60=1 avg10=1\nfull avg60=1 avg10=1"}) {
        CAPTURE(text);
        CHECK(!parse_stall(text).has_value());
    }
}

TEST_CASE("small files of one word are read, and only those") {
    CHECK(parse_chosen("always within_size advise [never] deny force\n") == "never");
    for (const char* text : {"", "never", "[]", "[never", "never]"}) CHECK(!parse_chosen(text).has_value());
    CHECK(parse_number("4096\n") == 4096);
    CHECK(parse_number("18446744073709551615") == UINT64_MAX);
    for (const char* text : {"", "\n", "max\n", "-1", "1 2", "18446744073709551616", "1k"}) CHECK(!parse_number(text).has_value());
    CHECK(parse_field("cache 1\ninactive_file 77\ntotal_inactive_file 78\n", "inactive_file") == 77);
    CHECK(!parse_field("inactive_file 7 7\ninactive_files 8\n", "inactive_file").has_value());
    CHECK(parse_list("0-2,5\n") == std::vector<u32>{0, 1, 2, 5});
    CHECK(parse_list("0") == std::vector<u32>{0});
    for (const char* text : {"", "\n", "a", "1-", "-1", "2-1", "0,,1", "0-4294967295", "0 1", "4294967296", "0-4095,4096"}) {
        CAPTURE(text);
        CHECK(parse_list(text).empty());
    }
    CHECK(parse_list("0-4095").size() == 4096);
}

TEST_CASE("this process's memory group is found in either version of the hierarchy") {
    CHECK(find_group("9:name=systemd:/\n4:memory:/a/b\n0::/\n", v1_mounts) == Group{Group::Version::v1, "/sys/fs/cgroup/memory", "/a/b"});
    CHECK(find_group("4:cpu,memory:/a\n", v1_mounts)->path == "/a");
    CHECK(find_group("0::/system.slice/vramd.service\n", v2_mounts) ==
          Group{Group::Version::v2, "/sys/fs/cgroup", "/system.slice/vramd.service"});
    CHECK(find_group("0::/\n", v2_mounts)->path.empty());
    // In a container the mount shows a part of the hierarchy.
    constexpr std::string_view part = "29 22 0:26 /docker/1 /sys/fs/cgroup ro - cgroup cgroup rw,memory\n";
    CHECK(find_group("4:memory:/docker/1/x\n", part)->path == "/x");
    CHECK(find_group("4:memory:/docker/1\n", part)->path.empty());
    CHECK(!find_group("4:memory:/docker/11\n", part).has_value());
    for (const char* text : {"", "x", "4:memory", "4:memory:", "4:memory:a", "::", "4:memoryx:/a"}) {
        CAPTURE(text);
        CHECK(!find_group(text, "35 31 0:32 / /m rw - cgroup cgroup rw,memory\n").has_value());
        CHECK(!find_group("4:memory:/a", text).has_value());
    }
}

TEST_CASE("available memory is what the tightest group above leaves, with the file cache that the kernel drops first") {
    const Recorded files;
    files.put("/proc/meminfo", meminfo_text);
    CHECK(System(files.root()).available_bytes() == 24378136 * kib);
    files.put("/proc/self/cgroup", "0::/a/b\n");
    files.put("/proc/self/mountinfo", v2_mounts);
    files.put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    files.put("/sys/fs/cgroup/a/b/memory.current", "100\n");
    CHECK(!System(files.root()).group().has_value());
    files.put("/sys/fs/cgroup/a/memory.max", "1000000\n");
    files.put("/sys/fs/cgroup/a/memory.current", "600000\n");
    CHECK(System(files.root()).available_bytes() == 400000);
    files.put("/sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 50000\n");
    const auto group = System(files.root()).group();
    CHECK(group->limit_bytes == 1000000);
    CHECK(group->used_bytes == 600000);
    CHECK(System(files.root()).available_bytes() == 450000);
    files.put("/sys/fs/cgroup/a/b/memory.max", "150\n");
    CHECK(System(files.root()).available_bytes() == 50);
    files.put("/sys/fs/cgroup/a/b/memory.current", "200\n");
    CHECK(System(files.root()).available_bytes() == 0);
}

TEST_CASE("a group of the first version without a limit limits nothing") {
    const Recorded files;
    files.put("/proc/meminfo", meminfo_text);
    files.put("/proc/self/cgroup", "4:memory:/a\n");
    files.put("/proc/self/mountinfo", v1_mounts);
    files.put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    files.put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "5\n");
    files.put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
    files.put("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "5\n");
    CHECK(!System(files.root()).group().has_value());
    files.put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "5000\n");
    CHECK(System(files.root()).available_bytes() == 4995);
}

TEST_CASE("the second version's soft limit is a limit too, and the smaller one counts") {
    const Recorded files;
    files.put("/proc/meminfo", meminfo_text);
    files.put("/proc/self/cgroup", "0::/a\n");
    files.put("/proc/self/mountinfo", v2_mounts);
    files.put("/sys/fs/cgroup/a/memory.max", "max\n");
    files.put("/sys/fs/cgroup/a/memory.high", "800000\n");
    files.put("/sys/fs/cgroup/a/memory.current", "600000\n");
    const System system(files.root());
    CHECK(system.group()->limit_bytes == 800000);
    CHECK(system.group()->room_bytes == 200000);
    files.put("/sys/fs/cgroup/a/memory.max", "700000\n");
    CHECK(system.group()->limit_bytes == 700000);
    files.put("/sys/fs/cgroup/a/memory.high", "max\n");
    CHECK(system.group()->limit_bytes == 700000);
}

TEST_CASE("in the first version the limit of a group above that a container does not show counts too") {
    const Recorded files;
    files.put("/proc/meminfo", meminfo_text);
    files.put("/proc/self/cgroup", "4:memory:/a\n");
    files.put("/proc/self/mountinfo", v1_mounts);
    files.put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
    files.put("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "300000\n");
    files.put("/sys/fs/cgroup/memory/a/memory.stat", "cache 9\nhierarchical_memory_limit 500000\ntotal_inactive_file 100000\n");
    const System system(files.root());
    const auto group = system.group();
    REQUIRE(group.has_value());
    CHECK(group->limit_bytes == 500000);
    CHECK(group->used_bytes == 300000);
    CHECK(group->room_bytes == 300000);
    files.put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "400000\n");
    CHECK(system.group()->room_bytes == 200000);
}

TEST_CASE("a group that waits for memory more than the machine does is the one that is told") {
    const Recorded files;
    files.put("/proc/self/cgroup", "0::/a\n");
    files.put("/proc/self/mountinfo", v2_mounts);
    files.put("/proc/pressure/memory", "some avg10=1.00 avg60=4.00 avg300=0.00 total=1\nfull avg10=0.50 avg60=0.10 avg300=0.00 total=1\n");
    const System system(files.root());
    CHECK(system.stall() == Stall{1.0, 4.0, 0.5, 0.1});
    files.put("/sys/fs/cgroup/a/memory.pressure",
              "some avg10=7.00 avg60=2.00 avg300=0.00 total=1\nfull avg10=6.00 avg60=0.00 avg300=0.00 total=1\n");
    CHECK(system.stall() == Stall{7.0, 4.0, 6.0, 0.1});
    std::filesystem::remove(files.root() + "/proc/pressure/memory");
    const System without(files.root());
    CHECK(without.stall() == Stall{7.0, 2.0, 6.0, 0.0});
}

TEST_CASE("a file is opened once and what it says now is read each time, also when it comes later or is made anew") {
    const Recorded files;
    KeptFiles kept(files.root());
    CHECK(kept.text("/late").empty());
    files.put("/late", "one\n");
    CHECK(kept.text("/late") == "one\n");
    const u64 descriptors = open_descriptors();
    for (int i = 0; i < 100; ++i) {
        files.put("/late", std::to_string(i));
        REQUIRE(kept.text("/late") == std::to_string(i));
    }
    CHECK(open_descriptors() == descriptors);
    files.put("/large", std::string(300 * kib, 'x'));
    CHECK(kept.text("/large").size() >= 256 * kib);
    CHECK(kept.text_once("/late") == "99");
    CHECK(kept.text_once("/nothing").empty());
    std::filesystem::create_directories(files.root() + "/folder");
    CHECK(kept.text("/folder").empty());
}

TEST_CASE("NUMA nodes and huge pages are listed as the system has them, and nothing where it says nothing") {
    const Recorded files;
    const System empty(files.root());
    CHECK(empty.numa_nodes().empty());
    CHECK(empty.huge_pages(empty.memory()) == HugePages{});
    CHECK(!empty.stall().has_value());
    CHECK(!empty.available_bytes().has_value());
    files.put("/sys/devices/system/node/online", "0-1\n");
    files.put("/sys/devices/system/node/node0/meminfo", "Node 0 MemTotal: 100 kB\nNode 0 MemFree: 40 kB\n");
    files.put("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "always [advise] never\n");
    files.put("/proc/meminfo", meminfo_text);
    const System system(files.root());
    CHECK(system.numa_nodes() == std::vector<NumaNode>{{0, 100 * kib, 40 * kib}, {1, {}, {}}});
    CHECK(system.huge_pages(system.memory()) == HugePages{2 * mib, 8, 3, "advise"});
}

TEST_CASE("no text makes a parser fail: every prefix and many damaged copies of real files are read without harm") {
    SeededRandom random(7);
    const std::string real = std::string(meminfo_text) + std::string(v1_mounts) + "some avg10=1.50 avg60=0.25\n4:memory:/a\n0-2,5\n";
    for (u64 round = 0; round < 2000; ++round) {
        std::string text = real.substr(0, random.below(real.size() + 1));
        for (u64 i = 0; i < 3 && !text.empty(); ++i) text[random.below(text.size())] = static_cast<char>(random.next());
        (void)parse_meminfo(text);  // The sanitizers judge; any answer is right.
        (void)parse_stall(text);
        (void)parse_chosen(text);
        (void)parse_list(text);
        (void)find_group(text, text);
        (void)parse_field(text, "cache");
    }
}
}  // namespace vramd::device::host
