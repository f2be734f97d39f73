/// What a keeper leaves with the service manager, by name, and what the next one makes of it. Room-internal.
///
/// | name | descriptor |
/// |---|---|
/// | `life.LIFE` | of STATE_DIR/lock, with its lock: nobody else can use the ledger while the memory lies in the store |
/// | `core.GENERATION` | a pidfd of the core that runs: the next keeper sees it ended before it starts one of its own |
/// | `b.KEY.SIZE` | a block |
///
/// Numbers are to base 36, so that no name is longer than 29 bytes: the names of 4,096 descriptors have to fit one variable of the
/// environment (LISTEN_FDNAMES), which the kernel bounds to 128 KiB.
///
/// Invariant: a life goes on only by the lock of the very state directory that this keeper has, and only once no core of it runs.
#pragma once
#include <string>
#include <vector>

#include "keeper/holdings.hpp"
#include "keeper/keeper.hpp"
#include "keeper/places.hpp"
#include "keeper/supervisor.hpp"

namespace vramd::keeper {
[[nodiscard]] std::string life_name(u64 life);
[[nodiscard]] std::string core_name(u64 generation);
[[nodiscard]] std::string block_name(u64 key, u64 size_bytes);

/// Lock, life, generation and blocks of the keeper before this one; or a new life, where nothing of one is among `stored`, or it is of
/// another state directory. What the manager keeps and is no part of the life is let go of. Errors: `timed_out` (the core before does not
/// end); as `lock_directory`.
[[nodiscard]] Result<Holdings> begin_life(std::vector<Stored> stored, const Places& places, Supervisor& supervisor);
/// Gives the manager what it does not have yet.
void fill_store(const Holdings& holdings, Supervisor& supervisor);
/// Notes in each block whether the manager has it: for the binary that is executed next.
void mark_stored(Holdings& holdings, const Supervisor& supervisor);
}  // namespace vramd::keeper
