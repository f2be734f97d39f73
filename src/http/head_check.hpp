/// What a request's head must be before anybody acts on it. Pure functions over bytes; no socket.
///
/// Beast's parser is lenient where two parsers can disagree (no Host or two, folded lines, `Transfer-Encoding: xchunked`, TE under 1.0),
/// and a disagreement about where a request ends is how one smuggles a second one. So the raw bytes are judged first (`HeadScanner`,
/// `check_lines`), then Beast splits them, then the meaning is judged (`check_head`). Everything ambiguous is refused, never repaired.
#pragma once
#include "http/message.hpp"
#include "http/server.hpp"

namespace vramd::http {
/// Finds the end of a head in bytes that arrive piece by piece, each byte looked at once. One per request.
class HeadScanner {
public:
    explicit HeadScanner(const Caps& caps) : caps_(caps) {}
    /// `bytes` is all that came so far. The head's size with its empty line, or 0: more is needed.
    /// Errors: `malformed_request` for a line feed without its carriage return; `header_too_large`.
    [[nodiscard]] Result<u64> scan(std::string_view bytes);

private:
    Caps caps_;
    u64 scanned_bytes_ = 0;
    u64 line_start_ = 0;
    u64 lines_ = 0;
};

/// A head as Beast splits it, before its meaning is judged.
struct RawHead {
    std::string method;
    std::string target;
    u32 version = 11;  ///< 10 or 11.
    Headers headers;
};

/// Splits a whole head (to its empty line). Errors: `malformed_request`. The one user of Boost.Beast (head_parse.cpp).
[[nodiscard]] Result<RawHead> parse_head(std::string_view head);

/// Refuses control characters and folded lines in a whole head. Errors: `malformed_request`.
[[nodiscard]] Result<void> check_lines(std::string_view head);

/// Which hosts a door answers to.
struct HostPolicy {
    Door door = Door::tcp;
    u16 port = 0;                          ///< TCP: the port listened on.
    std::vector<std::string> extra_hosts;  ///< TCP: allowed beside the loopback's names. Of who comes from another machine none is asked.
};

enum class Persistence : u8 { keep_alive, close };
enum class BodyWanted : u8 { whole, head_only };
enum class Expectation : u8 { none, continue_100 };

/// A head that may be acted on, and what the connection has to know of it.
struct CheckedHead {
    RequestHead head;
    BodyWanted wanted = BodyWanted::whole;
    Persistence persistence = Persistence::keep_alive;
    Expectation expectation = Expectation::none;
    u32 version = 11;
};

/// Judges the meaning. Errors: `malformed_request`; `forbidden` for a foreign Host, Origin or Sec-Fetch-Site (DNS rebinding, cross-site
/// requests); `unsupported` for methods that no route has.
[[nodiscard]] Result<CheckedHead> check_head(RawHead raw, const HostPolicy& policy, Peer peer);
}  // namespace vramd::http
