/// One request and its reply on a client's socket. Used by client.cpp only.
#pragma once
#include "http/client.hpp"
#include "http/input.hpp"

namespace vramd::http {
/// The socket is non-blocking and outlives this.
class ClientExchange {
public:
    ClientExchange(int socket, const Address& address, ClientRequest& request);
    [[nodiscard]] Result<ClientReply> run();
    /// The reply was complete and the server keeps the connection.
    [[nodiscard]] bool reusable() const { return complete_ && kept_; }

private:
    [[nodiscard]] std::string head() const;
    [[nodiscard]] Result<void> send_upload();
    /// Errors with the field "sent" when the server stopped reading: its reply may say why.
    [[nodiscard]] Result<void> send_all(std::string_view bytes);
    [[nodiscard]] Result<ClientReply> read_reply();
    [[nodiscard]] Result<ClientReply> read_head();
    [[nodiscard]] Result<void> read_length_body(ClientReply& reply, u64 size_bytes);
    [[nodiscard]] Result<void> read_chunked_body(ClientReply& reply);
    [[nodiscard]] Result<void> read_body_to_end(ClientReply& reply);
    [[nodiscard]] Result<void> deliver(ClientReply& reply, u64 size_bytes);
    /// Reads once into the input; 0 at the end of the stream.
    [[nodiscard]] Result<u64> fill(u64 room_bytes);
    [[nodiscard]] Result<void> wait_for(short events);
    void start_wait();

    const int socket_;
    const Address& address_;
    ClientRequest& request_;
    Input input_{2 * mib};
    u64 deadline_ns_ = 0;
    bool complete_ = false;
    bool kept_ = false;
};
}  // namespace vramd::http
