/// What goes in and out of the HTTP room, as plain structs: no Boost, no socket, no route.
///
/// A request is only made after its head has passed every check of head_check.hpp, so whoever reads one may trust that its path and
/// query are valid UTF-8 without control characters, that it named one permitted host, and that its length is framed one way only.
/// Bodies of any size go by `BodySource` and `BodySink`, which show the server the memory itself: the socket's bytes are written from
/// it and read into it, with no buffer between.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace vramd::http {
/// The methods a route can have. HEAD reaches a handler as `get`; the server leaves the body away.
enum class Method : u8 { get, post, put, patch, delete_, options };

/// The method as it stands on the wire ("GET").
[[nodiscard]] std::string_view name_of(Method method);

/// Through which kind of socket somebody came.
enum class Door : u8 { tcp, unix_socket };

/// Who sent a request. Over a Unix socket the kernel vouches for `uid` and `pid` (SO_PEERCRED, taken at connect); over TCP they mean
/// nothing.
struct Peer {
    Door door = Door::tcp;
    u32 uid = 0;
    i32 pid = 0;
    std::string address;  ///< "127.0.0.1:51234", "[::1]:51234" or "unix:uid=1000".
};

/// Came over TCP by an address of the loopback, so from this machine.
[[nodiscard]] bool comes_over_loopback(const Peer& peer);

/// One header or query field.
using Field = std::pair<std::string, std::string>;

/// Without the blanks (spaces and tabs) at both ends, as a header's value is meant (RFC 9110, 5.5).
[[nodiscard]] std::string_view trimmed(std::string_view text);

/// Header fields in the order they came. Names compare without case.
class Headers {
public:
    void add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
    /// The first field of this name, or nullptr. Valid until the next `add`.
    [[nodiscard]] const std::string* find(std::string_view name) const;
    [[nodiscard]] std::size_t count(std::string_view name) const;
    [[nodiscard]] const std::vector<Field>& fields() const { return fields_; }

private:
    std::vector<Field> fields_;
};

/// True if both are the same but for the case of ASCII letters.
[[nodiscard]] bool equals_without_case(std::string_view a, std::string_view b);

/// How a request's body is framed.
enum class Framing : u8 { none, length, chunked };

/// A request before its body.
struct RequestHead {
    Method method = Method::get;
    std::string path;  ///< Percent-decoded: UTF-8, no control characters, begins with '/' (or is "*" for OPTIONS).
    /// The same, split at '/' before decoding, so that "%2F" can stand inside a name. One is empty where a name is missing.
    std::vector<std::string> segments;
    std::vector<Field> query;  ///< Decoded, in order, '+' as a space.
    Headers headers;
    Framing framing = Framing::none;
    u64 content_length_bytes = 0;  ///< With `Framing::length`: 0 … 2^63 − 1.
    Peer peer;

    /// The first query parameter of this name, or nullptr.
    [[nodiscard]] const std::string* query_value(std::string_view name) const;
};

/// A whole request whose body was small enough to be held.
struct Request {
    RequestHead head;
    std::string body;
};

/// A reply's body shown piece by piece, of a size known at the start.
struct BodySource {
    u64 size_bytes = 0;
    /// A view of the bytes from `offset_bytes` on, 1 … `max_bytes` of them, valid until the next call. Called on the connection's thread,
    /// with offsets that follow on one another; must not block for long. An error ends the connection, so that the client sees a short
    /// body.
    std::move_only_function<Result<std::span<const std::byte>>(u64 offset_bytes, u64 max_bytes)> pull;
    std::shared_ptr<const void> keep_alive;  ///< What the views point into; let go when the body is sent or the client is gone.
};

/// An answer.
struct Reply {
    u16 status = 200;
    std::string content_type;    ///< Empty: no such header.
    std::vector<Field> headers;  ///< Beside Content-Type, Content-Length, Connection and Date, which the server writes.
    std::string body;
    std::optional<BodySource> source;  ///< Instead of `body`.
};
}  // namespace vramd::http
