/// All that must not be lost: the table of blocks, the sockets and the keeper's identity; and how they pass through exec. Room-internal.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "keeper/link.hpp"

namespace vramd::keeper {
struct Kept {
    u64 size_bytes = 0;
    Fd descriptor;
    bool in_store = false;  ///< The service manager keeps it too, as far as the binary before this one knew.
};

struct Holdings {
    Fd lock;
    Listeners listeners;
    std::map<u64, Kept> blocks;
    u64 generation = 0;
    u64 started_wall_ns = 0;
    u64 life = 0;
    bool announced = false;  ///< The ready line has been printed.
};

/// Writes the holdings' numbers into a memfd and lets every descriptor pass through exec. Answers the memfd, which passes too.
[[nodiscard]] Result<Fd> pack(const Holdings& holdings);
/// Asks the binary at `program` whether it could go on with what `pack` writes, before all is staked on it. Errors: `conflict`.
[[nodiscard]] Result<void> ask_successor(const std::string& program);
/// Takes that back: the descriptors must not pass through an exec after all.
void seal_against_exec(const Holdings& holdings);
/// What the binary before this one packed, when VRAMD_KEEPER_STATE names it. Errors: `conflict` when it cannot be read.
[[nodiscard]] Result<std::optional<Holdings>> unpack_inherited();
}  // namespace vramd::keeper
