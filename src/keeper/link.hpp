/// The core's side of its line to the keeper: gives descriptors into safe keeping, and takes everything back after a restart.
///
/// Why: a block's memory lives as long as some process holds its descriptor. The keeper holds one of each, so the core may die at any
/// instruction. Rule for callers: `store` is acknowledged before the block's event is appended, and `drop` is called after the event
/// that frees the block; so after a death the keeper holds every block that the ledger knows, and perhaps one or two that it does not
/// (drop those).
///
/// Invariants: one request is under way at a time; every request is answered; a block is never in the keeper's table twice.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vramd::keeper {
/// A block in safe keeping. The keeper does not look into it: `key` and `size_bytes` are the core's words.
struct KeptBlock {
    u64 key = 0;
    u64 size_bytes = 0;
    Fd descriptor;
};

/// Sockets that are bound and listening already. A connection made while no core ran waits in them.
struct Listeners {
    Fd tcp;          ///< HTTP over TCP; none with `--listen none`.
    Fd http_unix;    ///< HTTP over the Unix socket beside the attach socket.
    Fd attach_unix;  ///< SOCK_SEQPACKET.
};

/// All that the keeper has, as duplicates owned by the caller; the keeper goes on holding its own.
struct Takeover {
    Listeners listeners;
    std::vector<KeptBlock> blocks;  ///< By rising key.
    u64 generation = 0;             ///< Core starts so far in this keeper's life, this one included: 1 for the first.
    u64 keeper_pid = 0;
    u64 started_wall_ns = 0;  ///< When the keeper started; an upgrade does not change it.
    u64 life = 0;  ///< Random, drawn once per keeper's life and kept through upgrades: the memory's life (ledger::Options::life).
};

/// Thread-safe. Every call waits for its answer, at most 5 s (`timed_out`); `system_failed` when the keeper has gone: then end the process.
class Link {
public:
    /// The descriptor's number as the keeper told it (VRAMD_KEEPER_FD in the environment); none: not started by a keeper.
    [[nodiscard]] static std::optional<int> inherited();
    /// The pidfd of the core before this one, where that is still ending (VRAMD_PREDECESSOR_FD); empty otherwise.
    [[nodiscard]] static Fd inherited_predecessor();
    /// Owns the descriptor from now on, and learns who is at its other end. Errors: `system_failed` (not a socket of a keeper).
    [[nodiscard]] static Result<std::unique_ptr<Link>> take(int descriptor);
    ~Link();
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    [[nodiscard]] Result<Takeover> takeover();
    /// Gives the keeper a duplicate. Errors: `conflict` (the key is taken), `limit_exceeded` (value: blocks kept, limit: how many fit).
    [[nodiscard]] Result<void> store(u64 key, u64 size_bytes, const Fd& descriptor);
    /// The keeper closes its duplicate before it answers. Errors: `not_found`.
    [[nodiscard]] Result<void> drop(u64 key);
    /// Says that the core serves. `line` (≤ 1,024 bytes, no newline) is what the keeper prints on stdout at the first ready of its life.
    /// Errors: `too_large`.
    [[nodiscard]] Result<void> ready(std::string_view line);

    /// Readable once the keeper has ended (a pidfd): the memory is gone then and the core must exit. Owned by the link.
    [[nodiscard]] int hangup_fd() const;

private:
    struct State;
    explicit Link(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};
}  // namespace vramd::keeper
