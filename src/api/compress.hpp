/// Answers packed with gzip for callers that take it (RFC 9110, 8.4): texts from 1 KiB on, where it makes them smaller.
///
/// What has a version that writes are checked against (an ETag of a revision) goes out as it is: a packed form would need a tag of its own.
/// Free of state; any thread.
#pragma once
#include "http/handler.hpp"

namespace vramd::api {
inline constexpr u64 packed_bytes_min = kib;

/// True if the Accept-Encoding field takes gzip: named, or by `*`, with a weight above 0. Without the field: no.
[[nodiscard]] bool takes_gzip(const http::RequestHead& head);
/// Packs the body where that helps, and says so in the reply's headers.
void pack(http::Reply& reply);
/// The same for whatever a route answers later. Bytes and streams are passed on as they are.
[[nodiscard]] http::Routing packing(http::Routing routing);
}  // namespace vramd::api
