/// The machine's own memory as a device: every block is one memfd, sealed against resizing, mapped and backed by pages before it is
/// given out.
///
/// Freed blocks are kept in a pool by size, zeroed in the background, and given out again: touching fresh pages costs far more than
/// zeroing ones that are there (docs/notes/0002-host-memory.md has the figures). The pool is bounded and gives way when the system's memory
/// runs low. Memory that another process may reach never enters it.
#pragma once
#include <memory>
#include <string>

#include "base/predecessor.hpp"
#include "device/device.hpp"

namespace vramd::device::host {
/// Whether huge pages that somebody reserved (hugetlbfs) may back blocks. Transparent huge pages are asked for in any case; the system's
/// policy for shared memory (`Reading::huge_pages`) decides.
enum class ReservedHugePages : u8 {
    leave,     ///< Whoever reserved them did so for a purpose.
    when_free  ///< Taken where enough are free and the size is a multiple of theirs. Such a block can be mapped, not written by write(2).
};

struct Options {
    std::string id = "host0";
    u64 capacity_bytes = 0;                ///< Told in `facts`; the core keeps to it.
    u64 pool_max_bytes = 0;                ///< Freed blocks kept at most; 0 keeps none.
    u64 spare_bytes = 0;                   ///< Fresh memory kept touched for blocks that the pool has no size for; counts as pool.
    u64 keep_available_bytes = 256 * mib;  ///< Below this much available memory creation is refused and the pool gives way.
    ReservedHugePages reserved_huge_pages = ReservedHugePages::leave;
    /// The process before this one: what comes free while it is still ending goes to the system and not to the pool. Null: there was none.
    std::shared_ptr<const Predecessor> predecessor = nullptr;
    std::string root = "/";  ///< Where proc and sys are found; tests name a folder of recorded files.
};

/// Opens a host device. Starts one background thread, which ends with the device.
/// Errors: `invalid_field` (capacity 0 or not a multiple of the page), `system_failed`.
[[nodiscard]] Result<std::unique_ptr<Device>> open(const Options& options);

/// What the system could still give: the smallest of MemAvailable and the rooms of the cgroups over this process; absent where
/// the system does not say. For `auto`.
[[nodiscard]] std::optional<u64> available_bytes(const std::string& root = "/");
}  // namespace vramd::device::host
