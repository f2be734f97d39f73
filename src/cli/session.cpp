#include "cli/session.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/clock.hpp"
#include "cli/figures.hpp"

namespace vramd::cli {
namespace {
constexpr u64 connect_wait_ms_max = 3000;

std::string environment(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? std::string() : std::string(value);
}

/// NO_COLOR counts when it is set to anything (no-color.org).
bool colors(When when) {
    if (when != When::automatic) return when == When::always;
    return environment("NO_COLOR").empty() && is_screen(STDOUT_FILENO);
}

/// One word of a shell's command line.
std::string shell_word(std::string_view text) {
    const auto is_plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::string_view("-._~/:@%=+,").contains(c);
    };
    bool plain = !text.empty();
    std::string quoted = "'";
    for (const char c : text) {
        plain = plain && is_plain(c);
        if (c == '\'')
            quoted += "'\\''";
        else
            quoted += c;
    }
    return plain ? std::string(text) : quoted + "'";
}

std::string curl_command(const http::Address& address, const Call& call, std::string_view token) {
    std::string line = "curl";
    if (call.method != "GET") line += " -X " + call.method;
    std::string origin = "http://localhost";
    if (address.door == http::Door::unix_socket)
        line += " --unix-socket " + shell_word(address.socket_path);
    else
        origin = "http://" + (address.host.contains(':') ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
    for (const http::Field& header : call.headers) line += " -H " + shell_word(header.first + ": " + header.second);
    line += token;
    if (!call.body.empty()) line += " -H 'Content-Type: application/json' -d " + shell_word(call.body);
    if (!call.curl_data.empty()) line += " --data-binary " + shell_word(call.curl_data);
    return line + " " + shell_word(origin + call.target) + "\n";
}
}  // namespace

bool is_screen(int descriptor) { return isatty(descriptor) == 1 && environment("TERM") != "dumb"; }

Query& Query::add(std::string_view name, std::string_view value) {
    text_ += text_.empty() ? "?" : "&";
    text_ += http::percent_encoded(name) + "=" + http::percent_encoded(value);
    return *this;
}

std::string http_socket_beside(std::string_view socket) {
    if (socket.ends_with("-http.sock")) return std::string(socket);
    const std::size_t slash = socket.rfind('/');
    return std::string(slash == std::string_view::npos ? std::string_view() : socket.substr(0, slash + 1)) + "vramd-http.sock";
}

Result<std::vector<http::Address>> places_of_daemon(const Wishes& wishes) {
    const std::string url = !wishes.url.empty() || !wishes.socket.empty() ? wishes.url : environment("VRAMD_URL");
    std::vector<http::Address> places;
    if (!url.empty()) {
        TRY(http::Address address, http::parse_address(url));
        places.push_back(std::move(address));
        return places;
    }
    const auto add_socket = [&](std::string_view socket) {
        places.push_back({http::Door::unix_socket, http_socket_beside(socket), {}, 0});
    };
    if (const std::string socket = wishes.socket.empty() ? environment("VRAMD_SOCKET") : wishes.socket; !socket.empty()) {
        add_socket(socket);
        return places;
    }
    const std::string runtime = environment("XDG_RUNTIME_DIR");
    if (geteuid() == 0)
        add_socket("/run/vramd/vramd.sock");
    else if (!runtime.empty())
        add_socket(runtime + "/vramd/vramd.sock");
    places.push_back({http::Door::tcp, {}, "127.0.0.1", 7070});
    return places;
}

Session::Session(Wishes wishes) : wishes_(std::move(wishes)) {
    auto places = places_of_daemon(wishes_);
    if (places)
        places_ = *std::move(places);
    else
        address_failure_ = Failure(Exit::usage, describe(places.error()));
    if (wishes_.token.empty()) wishes_.token = environment("VRAMD_TOKEN");
    has_screen_ = is_screen(STDOUT_FILENO);
    colors_stdout_ = colors(wishes_.color);
}

Told<http::ClientReply> Session::ask(Call call) {
    if (places_.empty()) return std::unexpected(address_failure_);
    if (wishes_.asks == Asks::for_curl) {
        // A token on a command line is seen by everybody on the machine: the shell's variable is shown instead.
        const std::string_view token = wishes_.token.empty() ? "" : " -H \"Authorization: Bearer $VRAMD_TOKEN\"";
        const bool there = places_[0].door == http::Door::tcp || access(places_[0].socket_path.c_str(), F_OK) == 0;
        out(curl_command(there ? places_.front() : places_.back(), call, token));
        return std::unexpected(Failure(Exit::done, {}));
    }
    TRY_DO(connect(call.stop_descriptor));
    http::ClientRequest request;
    request.method = call.method;
    request.target = call.target;
    request.headers = call.headers;
    if (!wishes_.token.empty()) request.headers.emplace_back("Authorization", "Bearer " + wishes_.token);
    request.body = call.body;
    if (!call.body.empty()) request.content_type = "application/json";
    if (call.upload) request.content_type = "application/octet-stream";
    request.upload = std::move(call.upload);
    request.upload_bytes = call.upload_bytes;
    request.download = std::move(call.download);
    request.wait_ms_max = call.wait_ms_max;
    request.stop_descriptor = call.stop_descriptor;
    TRY(http::ClientReply reply, client_->exchange(std::move(request)));
    if (reply.status < 300) return reply;
    return std::unexpected(failure_of_reply(reply.status, reply.body));
}

/// The first place where somebody answers.
Told<void> Session::connect(int stop_descriptor) {
    if (client_) return {};
    Failure unreachable(Exit::unreachable, {});
    for (const http::Address& place : places_) {
        http::Client client(place);
        const auto opened = client.open(connect_wait_ms_max, stop_descriptor);
        if (opened) {
            client_.emplace(std::move(client));
            return {};
        }
        const Failure failure(opened.error());
        unreachable.what += (unreachable.what.empty() ? "" : " ") + failure.what;
        unreachable.remedy = failure.remedy;
    }
    return std::unexpected(unreachable);
}

void Session::out(std::string_view text) {
    (void)std::fwrite(text.data(), 1, text.size(), stdout);  // A full disk is seen at the final flush.
}

std::size_t Session::screen_columns() const {
    winsize size{};
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

std::string Session::size(u64 bytes) const { return wishes_.sizes == Sizes::exact ? std::to_string(bytes) : size_text(bytes); }

double Session::now_seconds() const { return static_cast<double>(clock_ns(CLOCK_REALTIME)) / 1e9; }
}  // namespace vramd::cli
