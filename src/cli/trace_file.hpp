/// What `vramctl simulate` replays: a trace as text, or the ledger of a vramd, running or not.
#pragma once
#include <string>
#include <vector>

#include "cli/failure.hpp"
#include "core/model/trace.hpp"

namespace vramd::cli {
struct TraceFile {
    model::NamedTrace named;
    u64 capacity_bytes = 0;          ///< Of the devices that a ledger's models were loaded onto; 0: it does not say.
    std::vector<std::string> notes;  ///< What a reader of the figures should know: sentences.
};

/// "-" is stdin, a folder a ledger's or a state directory with one in it, anything else a text in the form of core/model/trace_text.hpp.
/// Only reads: a daemon that writes the ledger meanwhile goes on and is not held up. Blocks for the disk. Errors: not found, usage (no
/// trace, with file, line and column), failed.
[[nodiscard]] Told<TraceFile> read_trace(const std::string& path);
}  // namespace vramd::cli
