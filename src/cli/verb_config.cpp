#include <fcntl.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>

#include "base/fd.hpp"
#include "cli/keeper_process.hpp"
#include "cli/show.hpp"
#include "cli/verbs.hpp"

extern char** environ;

namespace vramd::cli {
namespace verb_config {
constexpr Argument arguments[] = {{"file", Takes::optional,
                                   "A configuration file to check before it is used; without it, what the running daemon was started with",
                                   Offers::files}};
constexpr Column columns[] = {{"SETTING", "setting"}, {"VALUE", "value"}, {"SOURCE", "source"}};
constexpr u64 answer_bytes_max = mib;

/// A start of `vramd serve` whose settings are wanted.
struct Start {
    std::vector<std::string> words;        ///< After "serve".
    std::vector<std::string> environment;  ///< "NAME=value" each.
    std::string folder;                    ///< What its relative paths are relative to; empty: ours.
    uid_t user = geteuid();                ///< The defaults are the user's.
    gid_t group = getegid();
};

/// Texts that each end with a zero byte, as /proc has them.
Told<std::vector<std::string>> texts_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(file), {}};
    if (!file.is_open() || content.empty()) {
        Failure failure(Exit::failed, path + " cannot be read, so what the daemon was started with is not known.");
        failure.remedy = "as root, or as the user that vramd runs as";
        return std::unexpected(failure);
    }
    std::vector<std::string> texts;
    for (std::size_t at = 0; at < content.size(); at += texts.back().size() + 1) texts.emplace_back(content.c_str() + at);
    return texts;
}

Start start_here() {
    Start start;
    for (char** text = environ; *text != nullptr; ++text) start.environment.emplace_back(*text);
    return start;
}

Told<Start> start_of(pid_t keeper) {
    const std::string folder = "/proc/" + std::to_string(keeper);
    Start start;
    TRY(start.words, texts_of(folder + "/cmdline"));
    if (start.words.size() < 2 || start.words[1] != "serve")
        return std::unexpected(Failure(Exit::failed, "Process " + std::to_string(keeper) + " listens there and is no vramd serve."));
    start.words.erase(start.words.begin(), start.words.begin() + 2);
    TRY(start.environment, texts_of(folder + "/environ"));
    struct stat facts {};
    if (stat(folder.c_str(), &facts) == 0) {
        start.user = facts.st_uid;
        start.group = facts.st_gid;
    }
    start.folder = folder + "/cwd";
    return start;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    for (std::string& text : texts) pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers;
}

/// In the child: as the daemon would read its settings, and never with more rights than it has.
[[noreturn]] void become_reader(const std::string& program, char* const* words, char* const* environment, const Start& start, int answer,
                                int complaint) {
    constexpr int cannot = 127;
    if (!start.folder.empty() && chdir(start.folder.c_str()) != 0) _exit(cannot);
    if (geteuid() == 0 && start.user != 0 &&
        (setgroups(0, nullptr) != 0 || setresgid(start.group, start.group, start.group) != 0 ||
         setresuid(start.user, start.user, start.user) != 0))
        _exit(cannot);
    if (dup2(answer, STDOUT_FILENO) < 0 || dup2(complaint, STDERR_FILENO) < 0) _exit(cannot);
    execve(program.c_str(), words, environment);
    _exit(cannot);
}

std::string content_of(const Fd& file) {
    std::string content;
    std::array<char, 4096> piece{};
    while (content.size() < answer_bytes_max) {
        const ssize_t got = pread(file.get(), piece.data(), piece.size(), static_cast<off_t>(content.size()));
        if (got <= 0) break;
        content.append(piece.data(), static_cast<std::size_t>(got));
    }
    return content;
}

/// What `vramd config` answers, which reads settings as the daemon does. Errors: usage with its own words where they hold a fault.
Told<std::string> settings_of(Start start) {
    std::error_code error;
    const std::string program = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "vramd";
    start.words.insert(start.words.begin(), {program, "config", "--json"});
    const Fd answer(memfd_create("settings", MFD_CLOEXEC));
    const Fd complaint(memfd_create("complaint", MFD_CLOEXEC));
    if (error || !answer || !complaint) return std::unexpected(system_error("memfd_create", errno));
    const std::vector<char*> words = pointers_to(start.words);
    const std::vector<char*> environment = pointers_to(start.environment);
    const pid_t child = fork();
    if (child < 0) return std::unexpected(system_error("fork", errno));
    if (child == 0) become_reader(program, words.data(), environment.data(), start, answer.get(), complaint.get());
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return std::unexpected(system_error("waitpid", errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return content_of(answer);
    std::string told = content_of(complaint);
    told.erase(told.find_last_not_of('\n') + 1);
    if (const std::string_view speaker = "vramd-core: "; told.starts_with(speaker)) told.erase(0, speaker.size());
    if (!told.empty()) return std::unexpected(Failure(Exit::usage, told));
    Failure failure(Exit::failed, program + " does not tell its settings.");
    failure.remedy = "install vramctl and vramd of one version, beside each other";
    return std::unexpected(failure);
}

Told<void> run(Session& session, const Given& given) {
    if (session.wishes().asks == Asks::for_curl)
        return std::unexpected(Failure(Exit::usage, "Settings are read here, without the daemon: there is no REST call to print."));
    Start start = start_here();
    std::string heading = "No daemon answers at its socket; `vramd serve` would start here with:\n";
    if (given.has("file")) {
        start.words = {"--config", given.text("file")};
        heading = "The file has no fault; `vramd serve --config " + given.text("file") + "` would start here with:\n";
    } else {
        TRY(const std::optional<pid_t> keeper, keeper_process(session.wishes()));
        if (!keeper && !(session.wishes().url.empty() && session.wishes().socket.empty())) {
            Failure failure(Exit::unreachable,
                            "No daemon of this machine listens at that place, and of another its settings are not told.");
            failure.remedy = "vramd serve, or on the daemon's own machine --socket with its socket";
            return std::unexpected(failure);
        }
        if (keeper) {
            TRY(start, start_of(*keeper));
            heading = "vramd (pid " + std::to_string(*keeper) + ") was started with these flags and variables; its file as it is now:\n";
        }
    }
    TRY(const std::string body, settings_of(std::move(start)));
    if (session.wishes().format == Format::table || session.wishes().format == Format::wide) session.out(heading);
    return show_items(session, body, {columns, "setting", "items", {}});
}
}  // namespace verb_config

constexpr Verb config_verb = {"config",
                              "Every setting of the daemon and where it comes from; checks a file before it is used",
                              {},
                              verb_config::arguments,
                              verb_config::run,
                              Repeats::no,
                              "vramctl config; vramctl config ./vramd.toml"};
}  // namespace vramd::cli
