/// The web page's files, as the build put them into the program, and the answers that bring them to a browser.
///
/// They are no part of the API: no row of the route table, no word of /openapi.json, and no token is asked for, for there is no secret in
/// them and a browser must have the page before anybody can give it a token. What the page then reads and changes goes through the API, as
/// anybody's requests. The policy lets it load, run and ask nothing but files and calls of this daemon; neither script nor style may stand
/// in its HTML.
#pragma once
#include <optional>
#include <span>
#include <string_view>

#include "http/message.hpp"

namespace vramd::api {
/// One file. All of it is constant data of the program.
struct PageFile {
    std::string_view path;          ///< As it is asked for: "/", "/docs", "/assets/index-B1f9.js".
    std::string_view content_type;  ///< With its charset.
    std::string_view tag;           ///< Of the plain bytes, without quotes: 1 or more of [0-9a-f].
    std::span<const std::byte> plain;
    std::span<const std::byte> packed;  ///< With gzip; empty where that saves nothing.
};

/// What a browser may do with the page.
inline constexpr std::string_view page_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'";

/// The answer to a request for one of `files`; nothing where the path is none of them, which is then a matter of the routes.
/// Where `files` is empty (built with -DVRAMD_WEB=OFF) "/" and "/docs" are a plain page that says so. The reply's bytes are the program's
/// own.
[[nodiscard]] std::optional<http::Reply> page_reply(const http::RequestHead& head, std::span<const PageFile> files);
}  // namespace vramd::api
