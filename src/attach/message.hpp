/// JSON-RPC 2.0 as the attach protocol speaks it: one call or answer in one packet. Pure text; no socket here.
///
/// A call's id is kept as the text that came, so that the answer bears the very same. What is no call is a `Fault`: it is answered under
/// its id where it has one that can be read, else under null. Source: jsonrpc.org/specification.
#pragma once
#include <expected>
#include <string>
#include <string_view>

#include "api/codec.hpp"
#include "base/result.hpp"
#include "engine/engine.hpp"

namespace vramd::attach {
inline constexpr std::size_t packet_bytes_max = 64 * kib;
inline constexpr std::size_t id_bytes_max = 64;

/// JSON-RPC's own numbers. Which refusal it is, stands in `data.code`.
enum class Number : i32 {
    parse_error = -32700,
    invalid_request = -32600,
    method_not_found = -32601,
    invalid_params = -32602,
    refused = -32000,
};

struct Call {
    std::string id;  ///< As JSON.
    std::string method;
    api::Node params;  ///< An object; empty where none came.
};
struct Fault {
    std::string id = "null";  ///< As JSON.
    Number number{};
    Error error;
};

/// The call in a packet of any bytes.
[[nodiscard]] std::expected<Call, Fault> read_call(std::string_view packet);

/// The call's parameters. Errors: `invalid_field`, naming the one at fault.
template <class T>
[[nodiscard]] Result<T> params_of(const Call& call) {
    T params{};
    TRY_DO(api::parse_node(call.params, api::shape_of<T>(), &params, {}));
    return params;
}

/// An answer with this result, which is JSON.
[[nodiscard]] std::string answer_text(std::string_view id, std::string_view result);
/// An answer that refuses: `message` is the sentence, `data` a Refusal. Always fits a packet.
[[nodiscard]] std::string refusal_text(std::string_view id, Number number, Error error, const engine::Shortfall* shortfall = nullptr);
/// A message that wants no answer. `params` is JSON.
[[nodiscard]] std::string notice_text(std::string_view method, std::string_view params);
}  // namespace vramd::attach
