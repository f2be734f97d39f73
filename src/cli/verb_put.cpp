#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.hpp"
#include "cli/progress.hpp"
#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_put {
constexpr Argument arguments[] = {
    {"id", Takes::required, "The allocation", Offers::allocations},
    {"file", Takes::optional, "What to write into it; else stdin", Offers::files},
    {"offset", Takes::value, "Where to begin"},
};
/// Below this nobody has time to read a bar.
constexpr u64 shown_from_bytes = 64 * mib;

struct Source {
    Fd file;
    std::optional<u64> size_bytes;  ///< Of a regular file, from its present position.
};

Told<Source> open_source(const std::string& path) {
    Source source;
    source.file = Fd(path.empty() || path == "-" ? dup(STDIN_FILENO) : open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!source.file) return std::unexpected(Failure(Exit::failed, path + ": " + describe(system_error("open", errno))));
    struct stat facts {};
    if (fstat(source.file.get(), &facts) != 0) return std::unexpected(Failure(system_error("fstat", errno)));
    if (S_ISDIR(facts.st_mode)) return std::unexpected(Failure(Exit::usage, path + " is a folder."));
    const off_t position = lseek(source.file.get(), 0, SEEK_CUR);
    if (S_ISREG(facts.st_mode) && position >= 0 && position <= facts.st_size)
        source.size_bytes = static_cast<u64>(facts.st_size - position);
    return source;
}

Told<void> run(Session& session, const Given& given) {
    TRY(Source source, open_source(given.text("file")));
    Call call{.method = "PUT", .target = "/api/memory/allocation/" + http::percent_encoded(given.text("id")) + "/content"};
    if (source.size_bytes == 0) return std::unexpected(Failure(Exit::usage, "There is nothing to write: the input is empty."));
    if (given.has("offset")) {
        TRY(const u64 offset, given.size("offset"));
        if (!source.size_bytes)
            return std::unexpected(Failure(Exit::usage, "--offset needs a file, whose size is known before it is sent."));
        if (*source.size_bytes > number_max - offset) return std::unexpected(Failure(Exit::usage, "offset: the end must lie below 2^63."));
        call.headers.emplace_back("Content-Range",
                                  "bytes " + std::to_string(offset) + "-" + std::to_string(offset + *source.size_bytes - 1) + "/*");
    }
    call.upload_bytes = source.size_bytes;
    call.curl_data = "@" + (given.has("file") ? given.text("file") : std::string("-"));
    Progress progress;
    Step step{"writing", 0, source.size_bytes.value_or(0), {}, {}};
    call.upload = [&](std::span<std::byte> room) -> Result<u64> {
        for (;;) {
            const ssize_t got = read(source.file.get(), room.data(), room.size());
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) return std::unexpected(system_error("read", errno));
            step.done_bytes += static_cast<u64>(got);
            if (step.total_bytes >= shown_from_bytes) progress.show(step);
            return static_cast<u64>(got);
        }
    };
    const auto reply = session.ask(std::move(call));
    progress.clear();
    if (!reply) return std::unexpected(reply.error());
    return show_done(session, reply->body, given.text("id"));
}
}  // namespace verb_put

constexpr Verb put_verb = {"put",
                           "Write bytes into an allocation",
                           "PUT /api/memory/allocation/{id}/content",
                           verb_put::arguments,
                           verb_put::run,
                           Repeats::no,
                           "vramctl put alc_0q3xw8c5k2mznd1 weights.bin --offset 1MiB"};
}  // namespace vramd::cli
