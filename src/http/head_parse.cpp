/// The only file that includes Boost.Beast: its templates cost half a minute of compile time, and nobody else needs them.
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "http/head_check.hpp"

namespace vramd::http {
Result<RawHead> parse_head(std::string_view head) {
    namespace beast = boost::beast;
    beast::http::request_parser<beast::http::empty_body> parser;
    parser.header_limit(static_cast<u32>(head.size()) + 1);  // HeadScanner has judged the size.
    parser.body_limit(boost::none);
    parser.eager(false);
    beast::error_code failed;
    parser.put(boost::asio::const_buffer(head.data(), head.size()), failed);
    if (failed) return refuse(Code::malformed_request, {}, "The request's head is not valid HTTP: " + failed.message() + ".");
    if (!parser.is_header_done()) return refuse(Code::malformed_request, {}, "The request's head is not valid HTTP.");
    const auto& message = parser.get();
    RawHead raw;
    raw.method = message.method_string();
    raw.target = message.target();
    raw.version = message.version();
    for (const auto& field : message) raw.headers.add(field.name_string(), field.value());
    return raw;
}
}  // namespace vramd::http
