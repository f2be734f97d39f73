#include "api/byte_range.hpp"
#include "api/handlers.hpp"
#include "api/tell.hpp"
#include "base/clock.hpp"

namespace vramd::api {
namespace {
using SharedContent = std::shared_ptr<engine::Content>;

Result<SharedContent> open(const Call& call, engine::Access access) {
    TRY_DO(parse_query<Nothing>(call.head.query));
    TRY(const AllocationId id, allocation_from(call.params[0], "id"));
    TRY(auto content, call.engine().open_content(call.caller, id, access));
    return SharedContent(std::move(content));
}

http::Reply content_reply(const SharedContent& content, const std::optional<Range>& part) {
    const u64 size_bytes = content->size_bytes();
    const u64 offset_bytes = part ? part->offset_bytes() : 0;
    http::Reply reply;
    reply.status = part ? 206 : 200;
    reply.content_type = "application/octet-stream";
    reply.headers.emplace_back("Accept-Ranges", "bytes");
    if (part)
        reply.headers.emplace_back("Content-Range", "bytes " + std::to_string(offset_bytes) + "-" + std::to_string(part->end_bytes() - 1) +
                                                        "/" + std::to_string(size_bytes));
    http::BodySource& source = reply.source.emplace();
    source.size_bytes = part ? part->size_bytes() : size_bytes;
    source.pull = [content, offset_bytes](u64 at_bytes, u64 max_bytes) { return content->view(offset_bytes + at_bytes, max_bytes); };
    source.keep_alive = content;
    return reply;
}

/// Writes a body to `target` of the content as it comes.
http::BodySink sink_into(const SharedContent& content, Range target, u64 started_ns, std::string instance) {
    http::BodySink sink;
    // The sink commits what the last room was given for, so both calls share the place.
    const auto place = std::make_shared<u64>(target.offset_bytes());
    sink.room = [content, target, place](u64 at_bytes, u64 max_bytes) -> Result<std::span<std::byte>> {
        if (at_bytes >= target.size_bytes())
            return std::unexpected(
                Error{Code::out_of_range, "Content-Length", at_bytes, target.size_bytes(),
                      "The body is longer than the " + std::to_string(target.size_bytes()) + " bytes that it may fill."});
        *place = target.offset_bytes() + at_bytes;
        return content->room(*place, std::min(max_bytes, target.size_bytes() - at_bytes));
    };
    sink.commit = [content, place](u64 bytes) { return content->commit(*place, bytes); };
    sink.finish = [content, started_ns, instance = std::move(instance)](u64 bytes, http::Responder responder) {
        const Moved moved = tell_moved(bytes, monotonic_ns() - started_ns, 0);
        std::move(responder)(http::Reply{200, "application/json", {}, write(moved) + "\n", {}});
    };
    return sink;
}
}  // namespace

http::Routing read_content(Call call) {
    const auto content = open(call, engine::Access::read);
    if (!content) return problem_reply(content.error(), call.head.path);
    const u64 size_bytes = (*content)->size_bytes();
    // Content has no tag, so what an If-Range names is never what is there: the whole is the right answer (RFC 9110, 13.1.5).
    const bool conditional = call.head.headers.find("If-Range") != nullptr;
    const auto part = range_from(conditional ? nullptr : call.head.headers.find("Range"), size_bytes);
    if (part) return content_reply(*content, *part);
    http::Reply reply = problem_reply(part.error(), call.head.path);
    reply.headers.emplace_back("Content-Range", "bytes */" + std::to_string(size_bytes));
    return reply;
}

http::Routing write_content(Call call) {
    const auto content = open(call, engine::Access::write);
    if (!content) return problem_reply(content.error(), call.head.path);
    std::optional<u64> body_bytes;
    if (call.head.framing != http::Framing::chunked)
        body_bytes = call.head.framing == http::Framing::length ? call.head.content_length_bytes : 0;
    const auto target = content_range_from(call.head.headers.find("Content-Range"), body_bytes, (*content)->size_bytes());
    if (!target) return problem_reply(target.error(), call.head.path);
    return http::StreamBody{sink_into(*content, *target, monotonic_ns(), call.head.path)};
}
}  // namespace vramd::api
