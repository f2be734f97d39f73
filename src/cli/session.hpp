/// One run of vramctl: what the user asked of every verb, the connection, and the two streams.
#pragma once
#include <optional>

#include "cli/failure.hpp"
#include "http/client.hpp"

namespace vramd::cli {
enum class Format : u8 { table, wide, json, jsonl, csv, name };
enum class Sizes : u8 { figures, exact };
enum class When : u8 { automatic, always, never };
enum class Asks : u8 { the_daemon, for_curl };

/// The global flags.
struct Wishes {
    std::string url;
    std::string socket;
    std::string token;
    Format format = Format::table;
    Sizes sizes = Sizes::figures;
    When color = When::automatic;
    Asks asks = Asks::the_daemon;
    std::optional<double> watch_seconds;
};

/// One REST call.
struct Call {
    std::string method = "GET";
    std::string target;
    std::string body = {};  ///< JSON; empty: none.
    std::vector<http::Field> headers = {};
    std::move_only_function<Result<u64>(std::span<std::byte>)> upload = {};  ///< Raw bytes instead.
    std::optional<u64> upload_bytes = {};
    std::move_only_function<Result<void>(std::span<const std::byte>)> download = {};
    u64 wait_ms_max = 120'000;
    std::string curl_data = {};  ///< What --curl shows for an upload: "@file".
    int stop_descriptor = -1;    ///< As http::ClientRequest's.
};

/// Query parameters, encoded: "?a=1&b=2", or nothing.
class Query {
public:
    Query& add(std::string_view name, std::string_view value);
    /// Only when the value is not empty.
    Query& add_if(std::string_view name, std::string_view value) { return value.empty() ? *this : add(name, value); }
    [[nodiscard]] const std::string& text() const { return text_; }

private:
    std::string text_;
};

/// Not synchronised; one per process.
class Session {
public:
    explicit Session(Wishes wishes);

    /// Makes the call; a status below 300 is success. With --curl it prints the call instead and fails with `Exit::done` and no words.
    [[nodiscard]] Told<http::ClientReply> ask(Call call);
    /// Writes to stdout. A closed pipe ends the run quietly by SIGPIPE.
    void out(std::string_view text);
    [[nodiscard]] const Wishes& wishes() const { return wishes_; }
    [[nodiscard]] bool wants_json() const { return wishes_.format == Format::json || wishes_.format == Format::jsonl; }
    [[nodiscard]] bool colors_stdout() const { return colors_stdout_; }
    /// stdout is a terminal whose cursor can be moved.
    [[nodiscard]] bool has_screen() const { return has_screen_; }
    /// How wide the terminal behind stdout is; 0 where stdout is none, so that what goes into a pipe or a file is whole.
    [[nodiscard]] std::size_t screen_columns() const;
    [[nodiscard]] std::string size(u64 bytes) const;
    [[nodiscard]] double now_seconds() const;

private:
    [[nodiscard]] Told<void> connect(int stop_descriptor);
    Wishes wishes_;
    std::vector<http::Address> places_;
    std::optional<http::Client> client_;
    Failure address_failure_;
    bool has_screen_ = false;
    bool colors_stdout_ = false;
};

/// The descriptor is a terminal that understands escape sequences (TERM is not "dumb").
[[nodiscard]] bool is_screen(int descriptor);
/// The places to look for a daemon, best first: --url, --socket, VRAMD_URL, VRAMD_SOCKET, then the default socket and 127.0.0.1:7070.
[[nodiscard]] Result<std::vector<http::Address>> places_of_daemon(const Wishes& wishes);
/// The HTTP socket beside an attach socket; a path that ends in "-http.sock" stands for itself.
[[nodiscard]] std::string http_socket_beside(std::string_view socket);
}  // namespace vramd::cli
