#include "cli/trace_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "base/fd.hpp"
#include "core/model/trace_events.hpp"
#include "core/model/trace_text.hpp"
#include "ledger/reader.hpp"
#include "terms/event.hpp"

namespace vramd::cli {
namespace {
constexpr std::size_t piece_bytes = 64 * kib;

Failure not_read(const std::string& path, const Error& error) {
    Failure failure(error.code == Code::not_found ? Exit::not_found : Exit::failed, path + ": " + describe(error));
    if (error.code == Code::not_found) failure.remedy = "a trace as text, or the state directory of a vramd";
    return failure;
}

/// "trace.csv:7: bytes: 'x' is no …"
Failure wrong_line(const std::string& path, const Error& error) {
    Failure failure(Exit::usage,
                    path + ":" + std::to_string(error.value) + ": " + (error.field.empty() ? "" : error.field + ": ") + error.detail);
    failure.remedy = "lines as timeMs,model,bytes,loadMs,useMs,pinned with that head; docs/models.md has an example";
    return failure;
}

/// Cuts a stream of bytes into lines, none kept longer than the parser takes.
class LineCutter {
public:
    explicit LineCutter(model::TraceText& text) : text_(text) {}
    Result<void> add(std::string_view bytes) {
        for (std::size_t end = 0; (end = bytes.find('\n')) != std::string_view::npos; bytes.remove_prefix(end + 1)) {
            if (line_.empty()) {
                TRY_DO(text_.add_line(bytes.substr(0, end)));
                continue;
            }
            line_ += bytes.substr(0, end);
            TRY_DO(text_.add_line(line_));
            line_.clear();
        }
        line_ += bytes;
        return line_.size() > model::trace_line_bytes_max + 1 ? text_.add_line(line_) : Result<void>();  // Refused: it is too long.
    }
    /// The last line may lack its end.
    Result<void> end() { return line_.empty() ? Result<void>() : text_.add_line(line_); }

private:
    model::TraceText& text_;
    std::string line_;
};

Told<TraceFile> read_text(const std::string& path, const Fd& file) {
    model::TraceText text;
    LineCutter lines(text);
    std::array<char, piece_bytes> piece{};
    for (ssize_t got = 0; (got = read(file.get(), piece.data(), piece.size())) != 0;) {
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return std::unexpected(not_read(path, system_error("read", errno)));
        if (const auto added = lines.add({piece.data(), static_cast<std::size_t>(got)}); !added)
            return std::unexpected(wrong_line(path, added.error()));
    }
    if (const auto added = lines.end(); !added) return std::unexpected(wrong_line(path, added.error()));
    auto named = std::move(text).finish();
    if (!named) return std::unexpected(wrong_line(path, named.error()));
    TraceFile trace;
    trace.named = *std::move(named);
    return trace;
}

void add_notes(TraceFile& trace, const ledger::FilesRead& read, const model::EventTrace& made) {
    for (const ledger::Damage& damage : read.damages)
        trace.notes.push_back(damage.file + " cannot be trusted from byte " + std::to_string(damage.offset_bytes) +
                              " on, and was read up to there: " + damage.why);
    if (made.refused_of_unknown_size > 0)
        trace.notes.push_back(
            "Loads that found no room and whose size no event tells are left out: " + std::to_string(made.refused_of_unknown_size) + ".");
    if (made.devices.size() > 1) {
        std::string all;
        for (const std::string& device : made.devices) all += (all.empty() ? "" : ", ") + device;
        trace.notes.push_back("The ledger's models were on several devices (" + all + "), which are taken as one here.");
    }
}

Told<TraceFile> read_ledger(const std::string& path) {
    std::filesystem::path folder(path);
    std::error_code error;
    if (std::filesystem::is_directory(folder / "ledger", error)) folder /= "ledger";
    model::TraceEvents fold;
    u64 life_first_sequence = 0;
    const auto read = ledger::read_files(folder, [&](const ledger::Batch& batch) -> Result<ledger::Visit> {
        if (batch.life_first_sequence != life_first_sequence) fold.begin_life();
        life_first_sequence = batch.life_first_sequence;
        for (const auto& bytes : batch.events) {
            TRY(const Event event, decode_event(bytes));
            TRY_DO(fold.see(event, batch.wall_ns));
        }
        return ledger::Visit::more;
    });
    if (!read) return std::unexpected(not_read(path, read.error()));
    model::EventTrace made = std::move(fold).finish();
    TraceFile trace;
    add_notes(trace, *read, made);
    trace.capacity_bytes = made.capacity_bytes;
    trace.named = std::move(made.named);
    if (trace.named.trace.requests.empty())
        return std::unexpected(Failure(Exit::not_found, path + ": The ledger tells of no request for a model."));
    return trace;
}
}  // namespace

Told<TraceFile> read_trace(const std::string& path) {
    if (path == "-") {
        const Fd input(dup(STDIN_FILENO));
        return read_text("stdin", input);
    }
    const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat facts {};
    if (!file || fstat(file.get(), &facts) != 0) {
        Error error = system_error("open", errno);
        if (errno == ENOENT || errno == ENOTDIR) error.code = Code::not_found;
        return std::unexpected(not_read(path, error));
    }
    return S_ISDIR(facts.st_mode) ? read_ledger(path) : read_text(path, file);
}
}  // namespace vramd::cli
