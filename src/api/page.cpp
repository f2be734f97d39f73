#include "api/page.hpp"

#include <algorithm>
#include <string>

#include "api/compress.hpp"
#include "api/etag.hpp"
#include "api/problem.hpp"

namespace vramd::api {
namespace {
constexpr std::string_view methods = "GET, HEAD, OPTIONS";
constexpr std::string_view plain_page =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>vramd</title></head><body><h1>vramd</h1>"
    "<p>This vramd was built without its web page (<code>-DVRAMD_WEB=OFF</code>). All that it would show is in the API, which "
    "<a href=\"/openapi.json\">/openapi.json</a> describes, and in <code>vramctl</code>: <code>vramctl status</code>, <code>vramctl "
    "help</code>.</p>"
    "</body></html>";
constexpr PageFile without{"/", "text/html; charset=utf-8", "0", {}, {}};

http::BodySource source_of(std::span<const std::byte> bytes) {
    http::BodySource source;
    source.size_bytes = bytes.size();
    source.pull = [bytes](u64 offset_bytes, u64 max_bytes) -> Result<std::span<const std::byte>> {
        return bytes.subspan(offset_bytes, std::min<u64>(max_bytes, bytes.size() - offset_bytes));
    };
    return source;
}

/// vite puts a checksum of the content into the names below /assets/: such a file never changes.
bool is_named_by_content(const PageFile& file) { return file.path.starts_with("/assets/"); }

http::Reply told(const http::RequestHead& head, const PageFile& file) {
    const bool packs = !file.packed.empty() && takes_gzip(head);
    // Each form has a tag of its own: they are different bytes.
    const std::string tag = "\"" + std::string(file.tag) + (packs ? "-gzip" : "") + "\"";
    http::Reply reply;
    reply.headers = {{"ETag", tag},
                     {"Cache-Control", is_named_by_content(file) ? "public, max-age=31536000, immutable" : "no-cache"},
                     {"Vary", "Accept-Encoding"}};
    if (!matches_none(head, tag)) {
        reply.status = 304;
        return reply;
    }
    reply.content_type = file.content_type;
    reply.headers.emplace_back("Content-Security-Policy", page_policy);
    reply.headers.emplace_back("Referrer-Policy", "no-referrer");
    if (packs) reply.headers.emplace_back("Content-Encoding", "gzip");
    reply.source = source_of(packs ? file.packed : file.plain);
    return reply;
}
}  // namespace

std::optional<http::Reply> page_reply(const http::RequestHead& head, std::span<const PageFile> files) {
    const auto found = std::ranges::find(files, std::string_view(head.path), &PageFile::path);
    const bool bare = files.empty() && (head.path == without.path || head.path == "/docs");
    if (found == files.end() && !bare) return std::nullopt;
    if (head.method == http::Method::options) return http::Reply{204, {}, {{"Allow", std::string(methods)}}, {}, {}};
    if (head.method != http::Method::get) {
        http::Reply reply =
            problem_reply(Error{Code::method_not_allowed, {}, 0, 0, "This path takes " + std::string(methods) + "."}, head.path);
        reply.headers.emplace_back("Allow", methods);
        return reply;
    }
    if (!bare) return told(head, *found);
    PageFile file = without;
    file.plain = std::as_bytes(std::span(plain_page));
    return told(head, file);
}
}  // namespace vramd::api
