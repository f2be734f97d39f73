/// JSON-RPC 2.0 in one frame: a request, a notification, a result or an error.
///
/// Used by the worker protocol (core ⇄ loader) and by the attach protocol. Text from the other side is hostile: `parse_message` takes one
/// JSON object of at most `depth_max` levels without repeated keys, and the readers below take a field only if it has its type and range.
/// Names are snake_case, as the analysis' worker has them.
#pragma once
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.hpp"

namespace vramd::ipc {
inline constexpr std::size_t depth_max = 16;

/// A call that wants an answer under the same id.
struct Request {
    u64 id = 0;
    std::string method;
    boost::json::object params;
};
/// A call that wants none: progress, events.
struct Notification {
    std::string method;
    boost::json::object params;
};
/// The answer to a request that succeeded.
struct Answer {
    u64 id = 0;
    boost::json::object result;
};
/// The answer to a request that failed: the house's `Error`, its code by name.
struct Failure {
    u64 id = 0;
    Error error;
};
using Message = std::variant<Request, Notification, Answer, Failure>;

/// The text of a message: one line, UTF-8.
[[nodiscard]] std::string write_message(const Message& message);
/// One message from one frame's text. A Failure's code is one of `code_table` (unknown names become `system_failed`), its texts are cut at
/// 1 KiB. Errors: `malformed_request` with what is wrong in words.
[[nodiscard]] Result<Message> parse_message(std::string_view text);

/// The field as an integer in [0, max]. Errors: `invalid_field` naming it.
[[nodiscard]] Result<u64> read_u64(const boost::json::object& params, std::string_view field, u64 max = number_max);
/// The field as UTF-8 text of at most `bytes_max` bytes. Errors: `invalid_field` naming it.
[[nodiscard]] Result<std::string> read_text(const boost::json::object& params, std::string_view field, std::size_t bytes_max);

/// The worker protocol's words: what the core asks of its built-in loader, and what the loader tells.
///
/// One process serves one request. Descriptors come with the request, in the order `load_fds` describes. The loader's answers:
/// `started` (confined), `parsed` (the table lies in the table memory), `progress` (load only), then the answer to the request. A load
/// decodes what the table's copies do not bring; those are the core's to bring.
namespace worker_protocol {
inline constexpr std::string_view inspect = "inspect";    ///< Request: {files[], …}; answer {table_bytes, parse_ns}.
inline constexpr std::string_view load = "load";          ///< Request: also {offset_bytes, size_bytes}; answer {}.
inline constexpr std::string_view started = "started";    ///< {confine_ns, seccomp, landlock_abi, uid}: nothing of the files was read yet.
inline constexpr std::string_view parsed = "parsed";      ///< {table_bytes, parse_ns}
inline constexpr std::string_view progress = "progress";  ///< {bytes, total}: bytes decoded into the lent memory so far.
}  // namespace worker_protocol
}  // namespace vramd::ipc
