/// Frames over a Unix SOCK_SEQPACKET socket: one packet is one message, with its descriptors beside it.
///
/// Why so: the kernel keeps packet borders, so there is no length field to lie in; descriptors travel out of band and can be refused by
/// giving the kernel no room for them. The other end is hostile until shown otherwise.
///
/// Invariants
/// - A frame has 1 … `frame_bytes_max` bytes. A larger one (MSG_TRUNC) is refused; an empty one reads as the end of the connection.
/// - Descriptors that did not fit (MSG_CTRUNC) end the connection, and those that came are closed: room for one can install two.
/// - The core receives with `Descriptors::refused`: the kernel then installs none, whatever was sent, and the sender is dropped.
/// Source: unix(7), cmsg(3), recvmsg(2).
#pragma once
#include <sys/types.h>

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.hpp"

namespace vramd::ipc {
inline constexpr std::size_t frame_bytes_max = 64 * kib;
/// Descriptors beside one frame. The kernel's own limit is 253 (SCM_MAX_FD).
inline constexpr std::size_t frame_fds_max = 250;

/// Who holds the other end, as the kernel says (SO_PEERCRED): the process that connected, or that made the pair.
struct Peer {
    pid_t pid = 0;
    uid_t uid = 0;
    gid_t gid = 0;
    bool operator==(const Peer&) const = default;
};

/// Whether inbound descriptors are taken. `refused` gives the kernel no room: none is ever installed in this process.
enum class Descriptors : u8 { refused, taken };

/// What one `receive` found.
struct Received {
    enum class Kind : u8 {
        frame,    ///< `text` and `fds` hold it.
        nothing,  ///< No packet waits (the socket does not block).
        closed,   ///< The peer is gone; nothing more will come.
    };
    Kind kind = Kind::nothing;
    std::string text;     ///< 1 … frame_bytes_max bytes, of any content.
    std::vector<Fd> fds;  ///< Close-on-exec; empty unless `Descriptors::taken`.
};

/// One end of a connection. Owns its descriptor. Calls may come from several threads, for a frame is one system call; closing may not.
class Channel {
public:
    Channel() = default;
    /// Takes over a connected SOCK_SEQPACKET socket.
    explicit Channel(Fd socket) : socket_(std::move(socket)) {}
    /// Two connected ends, close-on-exec, blocking. Errors: `system_failed`.
    [[nodiscard]] static Result<std::pair<Channel, Channel>> make_pair();

    /// Sends one frame, with descriptors that stay the caller's. Blocks only if the socket does.
    /// Errors: `too_large` (text empty or over `frame_bytes_max`, fds over `frame_fds_max`), `busy` (a non-blocking socket is full; nothing
    /// was sent), `system_failed` (the peer is gone, or the kernel refused). Never raises SIGPIPE.
    [[nodiscard]] Result<void> send(std::string_view text, std::span<const int> fds = {}) const;
    /// Takes one frame. Waits for one if the socket blocks.
    /// Errors: `malformed_request` (too large, descriptors where none may come or too many; all that came are closed: drop the
    /// peer), `system_failed`.
    [[nodiscard]] Result<Received> receive(Descriptors descriptors) const;
    /// Makes `send` and `receive` answer at once from now on. Errors: `system_failed`.
    [[nodiscard]] Result<void> set_non_blocking() const;
    /// The other end's identity. Errors: `system_failed`.
    [[nodiscard]] Result<Peer> peer() const;

    [[nodiscard]] int descriptor() const { return socket_.get(); }
    [[nodiscard]] explicit operator bool() const { return static_cast<bool>(socket_); }
    void close() { socket_.reset(); }

private:
    Fd socket_;
};
}  // namespace vramd::ipc
