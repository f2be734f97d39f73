/// The ledger's directory: names, listing, setting aside. Room-internal; docs/ledger.md has the layout.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vramd::ledger {
/// A segment or a snapshot by its name: `number` is a segment's first event, or the last that a snapshot includes.
struct NumberedFile {
    u64 number = 0;
    std::filesystem::path path;
};

inline constexpr std::string_view segment_prefix = "ledger-";
inline constexpr std::string_view snapshot_prefix = "snapshot-";
/// There from before damage is repaired until `Ledger::settle_damage`.
inline constexpr std::string_view unsettled_name = "damage-unsettled";

/// A failed system call on a file: `system_error` whose sentence names the file.
[[nodiscard]] Error failed_on(std::string_view call, int errno_value, const std::filesystem::path& place);

/// `ledger-00000000000000000001`: twenty digits, so that names sort as numbers do.
[[nodiscard]] std::string numbered_name(std::string_view prefix, u64 number);
/// The files of this kind in `directory`, by rising number; a directory that is not there holds none. Errors: `system_failed`.
[[nodiscard]] Result<std::vector<NumberedFile>> list_numbered(const std::filesystem::path& directory, std::string_view prefix);

/// Makes it and its parents, mode 0700 for what is new. Errors: `system_failed`.
[[nodiscard]] Result<void> make_directory(const std::filesystem::path& directory);
[[nodiscard]] Result<void> rename_file(const std::filesystem::path& from, const std::filesystem::path& to);
/// An empty file, mode 0600; no error when it is there. Errors: `system_failed`.
[[nodiscard]] Result<void> make_file(const std::filesystem::path& path);
/// No error when it is not there.
[[nodiscard]] Result<void> remove_file(const std::filesystem::path& path);

enum class Aside : u8 { move, copy };
/// Moves or copies a file of `root` into `root/damaged`, under a name that is free there.
[[nodiscard]] Result<void> set_aside(const std::filesystem::path& root, const std::filesystem::path& file, Aside how);

/// What a file takes from the disk, holes not counted; 0 when it is not there.
[[nodiscard]] u64 disk_bytes(const std::filesystem::path& path);
}  // namespace vramd::ledger
