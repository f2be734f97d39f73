#include "ledger/directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <system_error>

namespace vramd::ledger {
namespace {
/// The number in a name of this kind; 0 stands for "not of this kind", for segments start at 1 and no snapshot is taken of nothing.
u64 number_in(std::string_view name, std::string_view prefix) {
    if (!name.starts_with(prefix)) return 0;
    const std::string_view digits = name.substr(prefix.size());
    u64 number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return digits.size() == 20 && error == std::errc{} && end == digits.data() + digits.size() ? number : 0;
}
}  // namespace

Error failed_on(std::string_view call, int errno_value, const std::filesystem::path& place) {
    Error error = system_error(call, errno_value);
    error.detail = place.native() + ": " + error.detail;
    return error;
}

std::string numbered_name(std::string_view prefix, u64 number) {
    std::string digits = std::to_string(number);
    return std::string(prefix) + std::string(20 - digits.size(), '0') + digits;
}

Result<std::vector<NumberedFile>> list_numbered(const std::filesystem::path& directory, std::string_view prefix) {
    std::vector<NumberedFile> files;
    std::error_code error;
    std::filesystem::directory_iterator entries(directory, error);
    if (error == std::errc::no_such_file_or_directory) return files;
    for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error))
        if (const u64 number = number_in(entries->path().filename().native(), prefix); number != 0)
            files.push_back({number, entries->path()});
    if (error) return std::unexpected(failed_on("readdir", error.value(), directory));
    std::ranges::sort(files, {}, &NumberedFile::number);
    return files;
}

Result<void> make_directory(const std::filesystem::path& directory) {
    std::error_code error;
    if (std::filesystem::is_directory(directory, error)) return {};
    if (directory.has_parent_path() && directory.parent_path() != directory) TRY_DO(make_directory(directory.parent_path()));
    if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return std::unexpected(failed_on("mkdir", errno, directory));
    return {};
}

Result<void> rename_file(const std::filesystem::path& from, const std::filesystem::path& to) {
    if (rename(from.c_str(), to.c_str()) != 0) return std::unexpected(failed_on("rename", errno, from));
    return {};
}

Result<void> make_file(const std::filesystem::path& path) {
    const int made = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (made < 0) return std::unexpected(failed_on("open", errno, path));
    (void)close(made);  // Nothing was written that a close could fail to keep.
    return {};
}

Result<void> remove_file(const std::filesystem::path& path) {
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return std::unexpected(failed_on("unlink", errno, path));
    return {};
}

Result<void> set_aside(const std::filesystem::path& root, const std::filesystem::path& file, Aside how) {
    const std::filesystem::path damaged = root / "damaged";
    TRY_DO(make_directory(damaged));
    std::filesystem::path target = damaged / file.filename();
    std::error_code error;
    for (u64 copy = 2; std::filesystem::exists(target, error); ++copy) {
        target = damaged / file.filename();
        target += "." + std::to_string(copy);
    }
    if (how == Aside::move) return rename_file(file, target);
    std::filesystem::copy_file(file, target, error);
    if (error) return std::unexpected(failed_on("copy_file", error.value(), file));
    return {};
}

u64 disk_bytes(const std::filesystem::path& path) {
    struct stat facts {};
    return stat(path.c_str(), &facts) == 0 ? static_cast<u64>(facts.st_blocks) * 512 : 0;
}
}  // namespace vramd::ledger
