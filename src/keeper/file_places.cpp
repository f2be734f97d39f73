#include "keeper/file_places.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "keeper/core_process.hpp"

namespace vramd::keeper {
namespace {
constexpr u64 answer_bytes_max = 256 * kib;
constexpr u64 place_ns_max = 10 * ns_per_second;

bool names_file(std::span<char* const> arguments, const Environment& environment) {
    for (const std::string_view argument : arguments)
        if (argument == "--config" || argument.starts_with("--config=")) return true;
    const char* const named = environment("VRAMD_CONFIG");
    return named != nullptr && *named != '\0';
}

[[noreturn]] void become_reader(const std::string& core_program, std::span<char* const> arguments, int answer) {
    (void)dup2(answer, STDOUT_FILENO);  // Without it the answer is empty, which is refused.
    std::string program = core_program;
    std::string verb = "config";
    std::string plain = "--plain";
    std::vector<char*> words{program.data(), verb.data(), plain.data()};
    words.insert(words.end(), arguments.begin(), arguments.end());
    words.push_back(nullptr);
    execv(core_program.c_str(), words.data());
    _exit(exit_not_executed);
}

/// All that comes until the end. Errors: `timed_out`, `too_large`, `system_failed`.
Result<std::string> read_answer(const Fd& from) {
    const u64 deadline_ns = monotonic_ns() + place_ns_max;
    std::string answer;
    std::array<char, 4096> piece{};
    while (answer.size() < answer_bytes_max) {
        const u64 now_ns = monotonic_ns();
        pollfd wait{from.get(), POLLIN, 0};
        if (now_ns >= deadline_ns) return refuse(Code::timed_out, "--config", "Reading the configuration file took too long.");
        if (poll(&wait, 1, static_cast<int>(div_ceil(deadline_ns - now_ns, ns_per_ms))) <= 0) continue;
        const ssize_t got = read(from.get(), piece.data(), piece.size());
        if (got == 0) return answer;
        if (got < 0 && errno != EINTR) return std::unexpected(system_error("read", errno));
        if (got > 0) answer.append(piece.data(), static_cast<std::size_t>(got));
    }
    return refuse(Code::too_large, "--config", "The configuration is larger than any that makes sense.");
}

Result<std::string> ask_core(const std::string& core_program, std::span<char* const> arguments) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return std::unexpected(system_error("pipe2", errno));
    const Fd ours(ends[0]);
    Fd theirs(ends[1]);
    const pid_t child = fork();
    if (child < 0) return std::unexpected(system_error("fork", errno));
    if (child == 0) become_reader(core_program, arguments, theirs.get());
    theirs.reset();
    auto answer = read_answer(ours);
    if (!answer) (void)kill(child, SIGKILL);
    int status = 0;
    if (waitpid(child, &status, 0) != child) return std::unexpected(system_error("waitpid", errno));
    if (!answer) return answer;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return refuse(Code::invalid_field, "--config",
                      "The configuration was not read: " + core_program + " " + describe_status(status) + ".");
    return answer;
}
}  // namespace

Result<Places> find_places(const std::string& core_program, std::span<char* const> arguments, const Environment& environment) {
    if (!names_file(arguments, environment) || environment("VRAMD_KEEPER_STATE") != nullptr) return resolve_places(arguments, environment);
    TRY(const std::string answer, ask_core(core_program, arguments));
    std::map<std::string, std::string, std::less<>> settled;
    for (std::string_view rest = answer; !rest.empty();) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        const std::size_t equals = line.find('=');
        if (equals != std::string_view::npos) settled.emplace(line.substr(0, equals), line.substr(equals + 1));
    }
    const std::array<std::pair<std::string_view, const char*>, 3> keys{
        {{"VRAMD_LISTEN", "listen"}, {"VRAMD_SOCKET", "socket"}, {"VRAMD_STATE_DIR", "state_dir"}}};
    for (const auto& [variable, key] : keys)
        if (!settled.contains(key)) return refuse(Code::invalid_field, key, "The configuration was read without " + std::string(key) + ".");
    return resolve_places({}, [&](const char* name) -> const char* {
        for (const auto& [variable, key] : keys)
            if (variable == name) return settled.find(key)->second.c_str();
        return environment(name);
    });
}
}  // namespace vramd::keeper
