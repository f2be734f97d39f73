#include "keeper/inheritance.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <set>

#include "base/random.hpp"
#include "keeper/log.hpp"

namespace vramd::keeper {
namespace {
constexpr int first_given = 3;  // sd_listen_fds(3).
constexpr int given_max = 65'536;
constexpr int name_base = 36;
constexpr int ending_ms_max = 10'000;

std::string in_name(u64 number) {
    std::array<char, 16> digits{};
    return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number, name_base).ptr};
}

std::optional<u64> number_in_name(std::string_view digits) {
    u64 number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, name_base);
    if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    return number;
}

/// The number after "WORD." in a name of that form.
std::optional<u64> number_after(std::string_view name, std::string_view word) {
    if (!name.starts_with(word) || name.substr(word.size(), 1) != ".") return std::nullopt;
    return number_in_name(name.substr(word.size() + 1));
}

std::optional<std::pair<u64, u64>> block_in(std::string_view name) {
    const std::size_t dot = name.rfind('.');
    if (!name.starts_with("b.") || dot < 2) return std::nullopt;
    const auto key = number_in_name(name.substr(2, dot - 2));
    const auto size_bytes = number_in_name(name.substr(dot + 1));
    if (!key || !size_bytes) return std::nullopt;
    return std::pair(*key, *size_bytes);
}

int number_or_none(const char* text) {
    int number = -1;
    const std::string_view digits = text == nullptr ? "" : text;
    (void)std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return number;
}

/// Whether it is of the file that is at the lock's place now.
bool is_lock_of(const Fd& descriptor, const Places& places) {
    struct stat kept {};
    struct stat there {};
    return fstat(descriptor.get(), &kept) == 0 && stat((places.state_directory / "lock").c_str(), &there) == 0 &&
           kept.st_dev == there.st_dev && kept.st_ino == there.st_ino && flock(descriptor.get(), LOCK_EX | LOCK_NB) == 0;
}

/// The core of a keeper that died is about to end by itself; waiting for that would keep everybody waiting.
Result<void> end_core(const Fd& pidfd) {
    (void)syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);  // It has ended: then there is nothing to end.
    pollfd wait{pidfd.get(), POLLIN, 0};
    int ended = 0;
    while ((ended = poll(&wait, 1, ending_ms_max)) < 0 && errno == EINTR) {
    }
    if (ended == 1) return {};
    return refuse(Code::timed_out, "core", "The core that ran before this start does not end.");
}

/// None: nothing of a life that this keeper can go on with. What it makes use of is moved out of `stored`.
Result<std::optional<Holdings>> continue_life(std::vector<Stored>& stored, const Places& places) {
    Holdings holdings;
    for (Stored& one : stored) {
        const auto life = number_after(one.name, "life");
        if (!life || holdings.lock || !is_lock_of(one.descriptor, places)) continue;
        holdings.life = *life;
        holdings.lock = std::move(one.descriptor);
    }
    if (!holdings.lock) return std::nullopt;
    for (Stored& one : stored) {
        if (const auto generation = number_after(one.name, "core")) {
            TRY_DO(end_core(one.descriptor));
            holdings.generation = std::max(holdings.generation, *generation);
        } else if (const auto block = block_in(one.name)) {
            holdings.blocks.emplace(block->first, Kept{block->second, std::move(one.descriptor)});
        }
    }
    // A core that is told of one before it keeps a GPU's memory though the GPU cannot be opened: there was one, or there are no blocks.
    holdings.generation = std::max(holdings.generation, u64{holdings.blocks.empty() ? 0u : 1u});
    TRY_DO(sign_lock(holdings.lock, places.state_directory));
    return holdings;
}
}  // namespace

std::string life_name(u64 life) { return "life." + in_name(life); }
std::string core_name(u64 generation) { return "core." + in_name(generation); }
std::string block_name(u64 key, u64 size_bytes) { return "b." + in_name(key) + "." + in_name(size_bytes); }

std::vector<Stored> take_given(const Environment& environment) {
    const int count = number_or_none(environment("LISTEN_FDS"));
    const bool ours = number_or_none(environment("LISTEN_PID")) == getpid();
    const char* const named = environment("LISTEN_FDNAMES");
    std::string names = named == nullptr ? "" : named;
    for (const char* const variable : {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}) (void)unsetenv(variable);  // Said to us alone.
    std::vector<Stored> stored;
    if (!ours || count > given_max) return stored;
    for (int descriptor = first_given; descriptor < first_given + count; ++descriptor) {
        const std::string name = names.substr(0, names.find(':'));
        names.erase(0, name.size() + 1);
        if (fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0) stored.push_back({name, Fd(descriptor)});
    }
    return stored;
}

Result<Holdings> begin_life(std::vector<Stored> stored, const Places& places, Supervisor& supervisor) {
    std::set<std::string> unused;
    for (const Stored& one : stored) {
        supervisor.know(one.name);
        unused.insert(one.name);
    }
    TRY(auto continued, continue_life(stored, places));
    stored.clear();
    Holdings holdings;
    if (continued) {
        holdings = *std::move(continued);
        unused.erase(life_name(holdings.life));
        for (const auto& [key, kept] : holdings.blocks) unused.erase(block_name(key, kept.size_bytes));
        log("the service manager kept " + std::to_string(holdings.blocks.size()) + " blocks, which are here again");
    } else {
        if (!unused.empty()) log("what the service manager kept is of another state directory, and is let go of");
        TRY(holdings.lock, lock_directory(places.state_directory));
        holdings.life = random_secret();
    }
    for (const std::string& name : unused) supervisor.let_go(name);
    return holdings;
}

void fill_store(const Holdings& holdings, Supervisor& supervisor) {
    supervisor.keep(life_name(holdings.life), holdings.lock);
    for (const auto& [key, kept] : holdings.blocks) {
        const std::string name = block_name(key, kept.size_bytes);
        if (kept.in_store) supervisor.know(name);
        supervisor.keep(name, kept.descriptor);
    }
}

void mark_stored(Holdings& holdings, const Supervisor& supervisor) {
    for (auto& [key, kept] : holdings.blocks) kept.in_store = supervisor.has(block_name(key, kept.size_bytes));
}
}  // namespace vramd::keeper
