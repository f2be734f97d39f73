/// How full a disk is, and of a full one in words with which a person can mend it.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "base/types.hpp"

namespace vramd {
/// After "No space left on device.": how much is needed at the place and how much its disk has, or that it takes no further file; empty
/// where the reason (`errno_value`) was another, or nothing is known of the disk. `place` need not be there, its folder does.
[[nodiscard]] std::string room_on_disk(const std::filesystem::path& place, u64 needed_bytes, int errno_value);
/// Bytes that the disk of `place` has free for this process; absent where nothing is known of it.
[[nodiscard]] std::optional<u64> free_on_disk(const std::filesystem::path& place);
}  // namespace vramd
