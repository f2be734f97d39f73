#include "http/client_exchange.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>

#include "base/clock.hpp"
#include "http/chunked.hpp"

namespace vramd::http {
namespace {
constexpr u64 reply_head_bytes_max = 64 * kib;

std::unexpected<Error> not_http(std::string detail) { return refuse(Code::malformed_request, "reply", std::move(detail)); }

/// The status and the headers of a whole head.
Result<ClientReply> parse_reply_head(std::string_view head) {
    ClientReply reply;
    std::size_t end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    if (!line.starts_with("HTTP/1.") || line.size() < 12 || line[8] != ' ') return not_http("The answer is not HTTP.");
    if (std::from_chars(line.data() + 9, line.data() + 12, reply.status).ptr != line.data() + 12)
        return not_http("The answer has no status.");
    head.remove_prefix(end + 2);
    while ((end = head.find("\r\n")) != 0 && end != std::string_view::npos) {
        const std::string_view field = head.substr(0, end);
        const std::size_t colon = field.find(':');
        if (colon == std::string_view::npos) return not_http("The answer has a header without a colon.");
        reply.headers.add(std::string(field.substr(0, colon)), std::string(trimmed(field.substr(colon + 1))));
        head.remove_prefix(end + 2);
    }
    return reply;
}
}  // namespace

ClientExchange::ClientExchange(int socket, const Address& address, ClientRequest& request)
    : socket_(socket), address_(address), request_(request) {
    start_wait();
}

void ClientExchange::start_wait() { deadline_ns_ = monotonic_ns() + request_.wait_ms_max * ns_per_ms; }

std::string ClientExchange::head() const {
    std::string out = request_.method + " " + request_.target + " HTTP/1.1\r\nHost: ";
    if (address_.door == Door::unix_socket)
        out += "localhost";
    else if (address_.host.find(':') != std::string::npos)
        out += "[" + address_.host + "]:" + std::to_string(address_.port);
    else
        out += address_.host + ":" + std::to_string(address_.port);
    out += "\r\n";
    for (const Field& field : request_.headers) out += field.first + ": " + field.second + "\r\n";
    if (!request_.content_type.empty()) out += "Content-Type: " + request_.content_type + "\r\n";
    if (request_.upload && !request_.upload_bytes)
        out += "Transfer-Encoding: chunked\r\n";
    else if (request_.upload || !request_.body.empty() || request_.method != "GET")
        out += "Content-Length: " + std::to_string(request_.upload ? *request_.upload_bytes : request_.body.size()) + "\r\n";
    return out + "\r\n";
}

Result<ClientReply> ClientExchange::run() {
    auto sent = send_all(head() + request_.body);
    if (sent && request_.upload) sent = send_upload();
    if (!sent && sent.error().field != "sent") return std::unexpected(std::move(sent).error());
    auto reply = read_reply();
    if (!sent) {
        kept_ = false;
        if (!reply) return std::unexpected(std::move(sent).error());
    }
    return reply;
}

Result<void> ClientExchange::send_upload() {
    std::vector<std::byte> piece(piece_bytes);
    u64 sent_bytes = 0;
    for (;;) {
        TRY(const u64 got, request_.upload(piece));
        if (got == 0) break;
        const std::string_view bytes(reinterpret_cast<const char*>(piece.data()), got);
        if (!request_.upload_bytes) {
            char size[20];
            char* end = std::to_chars(size, size + sizeof size, got, 16).ptr;
            TRY_DO(send_all(std::string(size, end) + "\r\n"));
        }
        TRY_DO(send_all(bytes));
        if (!request_.upload_bytes) TRY_DO(send_all("\r\n"));
        sent_bytes += got;
    }
    if (!request_.upload_bytes) return send_all("0\r\n\r\n");
    if (sent_bytes != *request_.upload_bytes) return refuse(Code::invalid_field, "uploadBytes", sent_bytes, *request_.upload_bytes);
    return {};
}

Result<void> ClientExchange::send_all(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (written > 0) {
            bytes.remove_prefix(static_cast<std::size_t>(written));
            start_wait();
        } else if (written < 0 && errno == EAGAIN) {
            TRY_DO(wait_for(POLLOUT));
        } else if (errno != EINTR) {
            return refuse(Code::system_failed, "sent", "The server ended the connection while the request was being sent.");
        }
    }
    return {};
}

Result<void> ClientExchange::wait_for(short events) {
    const u64 now = monotonic_ns();
    const u64 left_ms = now >= deadline_ns_ ? 0 : div_ceil(deadline_ns_ - now, ns_per_ms);
    pollfd waiting[] = {{socket_, events, 0}, {request_.stop_descriptor, POLLIN, 0}};  // poll passes over a descriptor of -1.
    const int ready = poll(waiting, std::size(waiting), static_cast<int>(std::min<u64>(left_ms, 3'600'000)));
    if (ready < 0 && errno != EINTR) return std::unexpected(system_error("poll", errno));
    if (ready == 0 && monotonic_ns() >= deadline_ns_) return refuse(Code::timed_out, "reply", "The server did not answer in time.");
    if (ready > 0 && waiting[1].revents != 0) return refuse(Code::cancelled, "reply", "The caller stopped waiting.");
    return {};
}

Result<u64> ClientExchange::fill(u64 room_bytes) {
    const std::span<char> room = input_.room(room_bytes);
    for (;;) {
        const ssize_t read = recv(socket_, room.data(), room.size(), 0);
        if (read >= 0) {
            input_.filled(static_cast<u64>(read));
            return static_cast<u64>(read);
        }
        if (errno == EAGAIN) {
            TRY_DO(wait_for(POLLIN));
        } else if (errno != EINTR) {
            return refuse(Code::system_failed, "reply", "The connection broke before the answer was complete.");
        }
    }
}

Result<ClientReply> ClientExchange::read_head() {
    for (;;) {
        const std::string_view view = input_.view();
        const std::size_t end = view.find("\r\n\r\n");
        if (end != std::string_view::npos) {
            auto reply = parse_reply_head(view.substr(0, end + 4));
            input_.consume(end + 4);
            return reply;
        }
        if (view.size() > reply_head_bytes_max) return not_http("The answer's head is too large.");
        TRY(const u64 got, fill(8 * kib));
        if (got == 0) return not_http("The server closed the connection without an answer.");
    }
}

Result<ClientReply> ClientExchange::read_reply() {
    ClientReply reply;
    do {  // 100 Continue and its kind come before the answer.
        TRY(reply, read_head());
    } while (reply.status < 200);
    const std::string* connection = reply.headers.find("Connection");
    kept_ = connection == nullptr || !equals_without_case(*connection, "close");
    const std::string* length = reply.headers.find("Content-Length");
    const std::string* coding = reply.headers.find("Transfer-Encoding");
    if (request_.method == "HEAD" || reply.status == 204 || reply.status == 304) {
        complete_ = true;
    } else if (coding != nullptr) {
        TRY_DO(read_chunked_body(reply));
    } else if (length != nullptr) {
        u64 size_bytes = 0;
        if (std::from_chars(length->data(), length->data() + length->size(), size_bytes).ptr != length->data() + length->size())
            return not_http("The answer's Content-Length is not a number.");
        TRY_DO(read_length_body(reply, size_bytes));
    } else {
        kept_ = false;
        TRY_DO(read_body_to_end(reply));
    }
    complete_ = true;
    return reply;
}

/// Hands on the first `size_bytes` of the input.
Result<void> ClientExchange::deliver(ClientReply& reply, u64 size_bytes) {
    const std::string_view bytes = input_.view().substr(0, size_bytes);
    start_wait();
    if (request_.download && reply.status < 300) {
        TRY_DO(request_.download(std::as_bytes(std::span(bytes))));
    } else {
        if (reply.body.size() + bytes.size() > request_.body_bytes_max)
            return refuse(Code::too_large, "reply", reply.body.size() + bytes.size(), request_.body_bytes_max);
        reply.body += bytes;
    }
    input_.consume(size_bytes);
    return {};
}

Result<void> ClientExchange::read_length_body(ClientReply& reply, u64 size_bytes) {
    while (size_bytes > 0) {
        if (input_.empty()) {
            TRY(const u64 got, fill(std::min(size_bytes, piece_bytes)));
            if (got == 0) return not_http("The answer ended " + std::to_string(size_bytes) + " bytes early.");
        }
        const u64 taken = std::min(size_bytes, input_.size());
        TRY_DO(deliver(reply, taken));
        size_bytes -= taken;
    }
    return {};
}

Result<void> ClientExchange::read_chunked_body(ClientReply& reply) {
    ChunkDecoder decoder;
    for (;;) {
        TRY(const u64 framing, decoder.feed(input_.view()));
        input_.consume(framing);
        if (decoder.done()) return {};
        if (input_.empty()) {
            TRY(const u64 got, fill(64 * kib));
            if (got == 0) return not_http("The answer ended inside a chunk.");
            continue;
        }
        const u64 taken = std::min(decoder.data_left_bytes(), input_.size());
        TRY_DO(deliver(reply, taken));
        decoder.take(taken);
    }
}

Result<void> ClientExchange::read_body_to_end(ClientReply& reply) {
    for (;;) {
        if (!input_.empty()) TRY_DO(deliver(reply, input_.size()));
        TRY(const u64 got, fill(64 * kib));
        if (got == 0) return {};
    }
}
}  // namespace vramd::http
