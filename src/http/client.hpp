/// A small blocking HTTP/1.1 client over a Unix socket or TCP, for vramctl and for tests. One thread per client object.
///
/// It trusts the server no further than needed: heads are capped at 64 KiB, bodies by the caller's limit, and every wait ends by the
/// deadline.
#pragma once
#include "base/fd.hpp"
#include "http/message.hpp"

namespace vramd::http {
/// Where a server is.
struct Address {
    Door door = Door::tcp;
    std::string socket_path;  ///< For `unix_socket`.
    std::string host;         ///< For `tcp`: a numeric address or "localhost".
    u16 port = 0;
};

/// "http://127.0.0.1:7070", "127.0.0.1:7070", "unix:/run/vramd/vramd-http.sock" or an absolute path. Errors: `invalid_field`.
[[nodiscard]] Result<Address> parse_address(std::string_view text);

/// `text` with everything but RFC 3986's unreserved characters as %XX: safe as a path segment or a query value.
[[nodiscard]] std::string percent_encoded(std::string_view text);

struct ClientRequest {
    std::string method = "GET";
    std::string target = "/";  ///< Path and query, already encoded.
    std::vector<Field> headers;
    std::string body;
    std::string content_type;  ///< Sent when not empty.
    /// Instead of `body`: fills the span and says how much (0: the end). With `upload_bytes` the length is told, else the body is chunked.
    std::move_only_function<Result<u64>(std::span<std::byte>)> upload;
    std::optional<u64> upload_bytes;
    /// Takes the body of a 2xx reply piece by piece instead of `ClientReply::body`; an error ends the exchange with it.
    std::move_only_function<Result<void>(std::span<const std::byte>)> download;
    u64 body_bytes_max = 256 * mib;  ///< For a body that is held.
    u64 wait_ms_max = 60'000;        ///< From the start, or, while a body flows, from its last piece.
    int stop_descriptor = -1;        ///< Readable: the wait ends with `cancelled`; for another thread's eventfd. -1: none.
};

struct ClientReply {
    u16 status = 0;
    Headers headers;
    std::string body;
};

/// A connection, made at the first exchange and again when the server closed it. Move-only.
class Client {
public:
    explicit Client(Address address) : address_(std::move(address)) {}
    /// Connects, unless it is connected; `stop_descriptor` as a request's. Errors: `system_failed` with the field "connect" when nobody
    /// answers there, `cancelled`.
    [[nodiscard]] Result<void> open(u64 wait_ms_max, int stop_descriptor = -1);
    /// Opens, sends and waits for the reply. Errors: `system_failed` with the field "connect" when nobody answers there, `timed_out`,
    /// `cancelled`, `malformed_request` when the reply is not HTTP, and whatever the callbacks return.
    [[nodiscard]] Result<ClientReply> exchange(ClientRequest request);
    [[nodiscard]] const Address& address() const { return address_; }

private:
    Address address_;
    Fd socket_;
};
}  // namespace vramd::http
