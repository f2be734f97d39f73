#include "keeper/places.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "base/disk.hpp"

namespace vramd::keeper {
namespace {
/// The value of `flag` among the arguments, the last one given.
Result<std::optional<std::string>> flag_value(std::span<const char* const> arguments, std::string_view flag) {
    std::optional<std::string> value;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string_view argument = arguments[i];
        if (argument == flag) {
            if (i + 1 == arguments.size()) return refuse(Code::invalid_field, flag, std::string(flag) + " needs a value after it.");
            value = arguments[++i];
        } else if (argument.starts_with(flag) && argument.size() > flag.size() && argument[flag.size()] == '=') {
            value = argument.substr(flag.size() + 1);
        }
    }
    if (value && value->empty()) return refuse(Code::invalid_field, flag, std::string(flag) + " needs a value that is not empty.");
    return value;
}

std::string variable(const Environment& environment, const char* name, std::string_view otherwise = {}) {
    const char* const value = environment(name);
    return value != nullptr && *value != '\0' ? value : std::string(otherwise);
}

std::filesystem::path default_state(const Environment& environment) {
    if (geteuid() == 0) return "/var/lib/vramd";
    const std::string home = variable(environment, "HOME", "/");
    return std::filesystem::path(variable(environment, "XDG_STATE_HOME", home + "/.local/state")) / "vramd";
}

std::filesystem::path default_socket(const Environment& environment, const std::filesystem::path& state_directory) {
    if (geteuid() == 0) return "/run/vramd/vramd.sock";
    const std::string runtime = variable(environment, "XDG_RUNTIME_DIR");
    return runtime.empty() ? state_directory / "vramd.sock" : std::filesystem::path(runtime) / "vramd" / "vramd.sock";
}

Result<std::optional<TcpAddress>> parse_listen(const std::string& listen) {
    if (listen == "none") return std::nullopt;
    const auto no_address = [&] {
        return refuse(Code::invalid_field, "--listen",
                      "--listen takes ADDRESS:PORT, [ADDRESS]:PORT or none; this is none of them: " + listen);
    };
    const std::size_t colon = listen.rfind(':');
    if (colon == std::string::npos) return no_address();
    const std::string_view digits = std::string_view(listen).substr(colon + 1);
    u16 port = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) return no_address();
    std::string host = listen.substr(0, colon);
    TcpAddress parsed;
    if (host == "localhost") host = "127.0.0.1";
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
        sockaddr_in6 address{};
        address.sin6_family = AF_INET6;
        address.sin6_port = htons(port);
        if (inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &address.sin6_addr) != 1) return no_address();
        std::memcpy(&parsed.address, &address, sizeof address);
        parsed.address_bytes = sizeof address;
        return parsed;
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) return no_address();
    std::memcpy(&parsed.address, &address, sizeof address);
    parsed.address_bytes = sizeof address;
    return parsed;
}
}  // namespace

Result<Places> resolve_places(std::span<const char* const> arguments, const Environment& environment) {
    TRY(const auto state, flag_value(arguments, "--state-dir"));
    TRY(const auto socket, flag_value(arguments, "--socket"));
    TRY(const auto listen, flag_value(arguments, "--listen"));
    Places places;
    places.state_directory = state.value_or(variable(environment, "VRAMD_STATE_DIR"));
    if (places.state_directory.empty()) places.state_directory = default_state(environment);
    places.attach_socket = socket.value_or(variable(environment, "VRAMD_SOCKET"));
    if (places.attach_socket.empty()) places.attach_socket = default_socket(environment, places.state_directory);
    const std::string stem = places.attach_socket.stem().native();
    places.http_socket = places.attach_socket.parent_path() / (stem + "-http.sock");
    places.listen = listen.value_or(variable(environment, "VRAMD_LISTEN", "127.0.0.1:7070"));
    TRY(places.tcp, parse_listen(places.listen));
    if (places.http_socket.native().size() >= sizeof(sockaddr_un{}.sun_path))
        return refuse(Code::invalid_field, "--socket", "The path is too long for a socket: " + places.http_socket.native());
    return places;
}

void export_places(const Places& places) {
    // Fails only without memory, and then executing fails too.
    (void)setenv("VRAMD_STATE_DIR", places.state_directory.c_str(), 1);
    (void)setenv("VRAMD_LISTEN", places.listen.c_str(), 1);
    (void)setenv("VRAMD_SOCKET", places.attach_socket.c_str(), 1);
}

/// What the lock takes of a disk: a block of most file systems.
static constexpr u64 lock_bytes = 4096;

/// A failed call, with the place that it failed on: the state directory is a setting, and its owner must see which.
static Error failed_on(std::string_view call, int errno_value, const std::filesystem::path& place) {
    Error error = system_error(call, errno_value);
    error.detail =
        "The state directory cannot be used: " + place.native() + ": " + error.detail + room_on_disk(place, lock_bytes, errno_value);
    return error;
}

Result<Fd> lock_directory(const std::filesystem::path& directory) {
    std::error_code error;
    std::filesystem::create_directories(directory.parent_path(), error);  // mkdir below tells what matters.
    if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return std::unexpected(failed_on("mkdir", errno, directory));
    Fd lock(open((directory / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock) return std::unexpected(failed_on("open", errno, directory / "lock"));
    std::array<char, 32> text{};
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) return std::unexpected(failed_on("flock", errno, directory / "lock"));
        const ssize_t got = pread(lock.get(), text.data(), text.size() - 1, 0);
        const std::string pid(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
        return refuse(Code::conflict, "--state-dir",
                      "Another vramd (pid " + (pid.empty() ? "unknown" : pid) + ") runs on " + directory.native() + ".");
    }
    TRY_DO(sign_lock(lock, directory));
    return lock;
}

Result<void> sign_lock(const Fd& lock, const std::filesystem::path& directory) {
    const std::string pid = std::to_string(getpid());
    if (ftruncate(lock.get(), 0) != 0) return std::unexpected(failed_on("ftruncate", errno, directory / "lock"));
    const ssize_t written = pwrite(lock.get(), pid.data(), pid.size(), 0);
    if (written != static_cast<ssize_t>(pid.size()))  // A part of it only: there was no room for the rest.
        return std::unexpected(failed_on("pwrite", written < 0 ? errno : ENOSPC, directory / "lock"));
    return {};
}
}  // namespace vramd::keeper
