#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "cli/session.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_cat {
constexpr Argument arguments[] = {
    {"id", Takes::required, "The allocation", Offers::allocations},
    {"offset", Takes::value, "Where to begin"},
    {"size", Takes::value, "How much; else to the end"},
    {"force", Takes::flag, "Write raw bytes to a terminal as well"},
};

Result<void> write_out(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t written = write(STDOUT_FILENO, bytes.data(), bytes.size());
        if (written < 0 && errno != EINTR) return std::unexpected(system_error("write", errno));
        if (written > 0) bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return {};
}

Told<void> run(Session& session, const Given& given) {
    if (isatty(STDOUT_FILENO) == 1 && !given.has("force") && session.wishes().asks == Asks::the_daemon) {
        Failure failure(Exit::usage, "Raw bytes can upset a terminal, and stdout is one.");
        failure.remedy = "into a file (> FILE) or a program (| xxd), or with --force";
        return std::unexpected(failure);
    }
    Call call{.target = "/api/memory/allocation/" + http::percent_encoded(given.text("id")) + "/content"};
    if (given.has("offset") || given.has("size")) {
        u64 offset = 0;
        if (given.has("offset")) {
            TRY(offset, given.size("offset"));
        }
        std::string range = "bytes=" + std::to_string(offset) + "-";
        if (given.has("size")) {
            TRY(const u64 size, given.size("size"));
            if (size == 0 || size > number_max - offset)
                return std::unexpected(Failure(Exit::usage, "size: must be 1 or more, and end below 2^63."));
            range += std::to_string(offset + size - 1);
        }
        call.headers.emplace_back("Range", range);
    }
    call.download = write_out;
    TRY_DO(session.ask(std::move(call)));
    return {};
}
}  // namespace verb_cat

constexpr Verb cat_verb = {"cat",
                           "Write an allocation's bytes to stdout",
                           "GET /api/memory/allocation/{id}/content",
                           verb_cat::arguments,
                           verb_cat::run,
                           Repeats::no,
                           "vramctl cat alc_0q3xw8c5k2mznd1 --size 64 | od -A d -t x1",
                           Shows::what_it_is};
}  // namespace vramd::cli
