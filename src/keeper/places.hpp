/// Where a daemon lives: its state directory, its addresses. Parsed from the command line and the environment, once, by keeper and core
/// alike.
///
/// A flag beats VRAMD_STATE_DIR, VRAMD_LISTEN, VRAMD_SOCKET, and these beat the defaults (as root /run/vramd and /var/lib/vramd, else
/// $XDG_RUNTIME_DIR/vramd and $XDG_STATE_HOME/vramd). A configuration file stands between flags and variables: file_places.hpp. The keeper
/// puts what it resolved into the core's environment, so both agree.
#pragma once
#include <netinet/in.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vramd::keeper {
/// A TCP address to listen at.
struct TcpAddress {
    sockaddr_storage address{};
    socklen_t address_bytes = 0;
};

/// Said to a core that starts read-only because its predecessors failed; who wishes so by `--read-only` is told another reason.
inline constexpr std::string_view after_failures_flag = "--read-only-after-failures";

struct Places {
    std::filesystem::path state_directory;
    std::filesystem::path attach_socket;
    std::filesystem::path http_socket;  ///< `vramd-http.sock` beside the attach socket (named after it when that is not `vramd.sock`).
    std::string listen;                 ///< As given: "127.0.0.1:7070", "[::1]:0", or "none".
    std::optional<TcpAddress> tcp;      ///< None for "none".
};

/// Answers a variable of the environment; nullptr when it is not set.
using Environment = std::function<const char*(const char*)>;

/// Reads `--state-dir`, `--listen`, `--socket` (as `--flag VALUE` or `--flag=VALUE`) among `arguments` (without the program's name) and
/// passes over all else. Errors: `invalid_field` in words (a flag without a value, an address that is none, a path too long for a socket).
[[nodiscard]] Result<Places> resolve_places(std::span<const char* const> arguments, const Environment& environment);

/// Puts the places into this process's environment, for whom it executes next.
void export_places(const Places& places);

/// Makes the directory (mode 0700, its parents too) and locks it for the life of the returned descriptor and of this process's
/// exec'ed successors. Errors: `conflict`, naming the other daemon's pid; `system_failed`.
[[nodiscard]] Result<Fd> lock_directory(const std::filesystem::path& directory);
/// Writes this process's pid into the directory's lock, for whom it refuses. Errors: `system_failed`.
[[nodiscard]] Result<void> sign_lock(const Fd& lock, const std::filesystem::path& directory);
}  // namespace vramd::keeper
