/// A lent file, read by position and never mapped: a file that is cut while it is read gives an error, not a signal.
#pragma once
#include <sys/stat.h>

#include "base/fd.hpp"
#include "formats/model_file.hpp"

namespace vramd::loader {
/// What must stay equal while a file is read.
struct FileState {
    u64 size_bytes = 0;
    u64 modified_ns = 0;
    bool operator==(const FileState&) const = default;
};
/// Errors: `system_failed`; `invalid_model` if it is no regular file.
[[nodiscard]] Result<FileState> state_of(int fd);

/// One thread's view of a lent file. Borrows the descriptor; the size is the one given, as it was when the job began.
class FileSource final : public formats::Source {
public:
    FileSource(int fd, u64 size_bytes) : fd_(fd), size_bytes_(size_bytes) {}
    [[nodiscard]] u64 size_bytes() const override { return size_bytes_; }
    /// Errors: `invalid_model` (the file ends earlier than it said), `system_failed`.
    [[nodiscard]] Result<void> read(u64 offset_bytes, std::span<std::byte> into) override;

private:
    int fd_;
    u64 size_bytes_;
};
}  // namespace vramd::loader
