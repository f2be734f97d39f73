/// What keeper and core say to each other: messages of a fixed size per kind over a SOCK_SEQPACKET pair. Room-internal.
///
/// The core asks, the keeper answers each request with exactly one message; so nothing queues up, and neither can drown the other. A
/// message of a wrong size, magic, version, kind or number of descriptors is no message: the keeper ends a core that sends one.
#pragma once
#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vramd::keeper {
inline constexpr u32 message_magic = 0x31504b56;  // "VKP1"
inline constexpr u16 message_version = 1;
inline constexpr std::size_t descriptors_max = 253;  ///< The kernel's SCM_MAX_FD.
inline constexpr std::size_t line_bytes_max = 1024;

enum class Kind : u16 {
    take_over = 1,  ///< core: answered by `listeners`.
    next_blocks,    ///< core: the blocks from `key` on; answered by `blocks`.
    store,          ///< core: `key`, `size`, one descriptor; answered by `answer`.
    drop,           ///< core: `key`; answered by `answer`.
    ready,          ///< core: `count` bytes of text in the body; answered by `answer`.
    answer,         ///< keeper: `code` 0, or 1 + Code with `key` as value and `size` as limit.
    listeners,      ///< keeper: generation, pid, start, life; `count` is a set of `listener_*`, a descriptor for each.
    blocks,         ///< keeper: `count` BlockEntry in the body, a descriptor for each; 0: there are no more.
};
inline constexpr u32 listener_tcp = 1;
inline constexpr u32 listener_http = 2;
inline constexpr u32 listener_attach = 4;

struct Message {
    u32 magic = message_magic;
    u16 version = message_version;
    Kind kind{};
    u64 request = 0;  ///< Drawn by the core, repeated in the answer.
    u64 key = 0;      ///< listeners: generation.
    u64 size = 0;     ///< listeners: the keeper's pid.
    u64 started_wall_ns = 0;
    u64 life = 0;
    u32 code = 0;
    u32 count = 0;
};
static_assert(sizeof(Message) == 56);

struct BlockEntry {
    u64 key = 0;
    u64 size_bytes = 0;
};
static_assert(sizeof(BlockEntry) * descriptors_max >= line_bytes_max);

/// The body's bytes that go with a kind.
[[nodiscard]] constexpr std::size_t body_bytes(Kind kind) {
    if (kind == Kind::ready) return line_bytes_max;
    if (kind == Kind::blocks) return sizeof(BlockEntry) * descriptors_max;
    return 0;
}

/// A message as received, with its descriptors.
struct Packet {
    Message head;
    std::array<BlockEntry, descriptors_max> body{};
    std::vector<Fd> descriptors;
    [[nodiscard]] std::span<std::byte> body_as_bytes() { return std::as_writable_bytes(std::span(body)); }
};

/// Sends without waiting. `body` may be shorter than the kind's; the rest is 0. Errors: `busy` (the other side does not read),
/// `system_failed` (it has gone).
[[nodiscard]] Result<void> send_message(const Fd& socket, const Message& head, std::span<const std::byte> body,
                                        std::span<const int> descriptors);

enum class Received : u8 { packet, nothing, closed };
/// Receives without waiting. Errors: `malformed_request`; `system_failed`.
[[nodiscard]] Result<Received> receive_message(const Fd& socket, Packet& packet);
}  // namespace vramd::keeper
