/// What the core runs with: flags beat the configuration file, the file beats VRAMD_*, these beat the defaults.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "api/api.hpp"
#include "base/result.hpp"
#include "engine/ports.hpp"
#include "keeper/places.hpp"

namespace vramd::program {
/// One setting's value and where it came from, for `vramd config`.
struct Origin {
    std::string key;
    std::string value;
    std::string source;  ///< "flag", "file /path:LINE", "VRAMD_…", "default".
};

struct Settings {
    keeper::Places places;             ///< As these sources say; a core that runs has its keeper's, which were settled at its start.
    std::vector<std::string> devices;  ///< `--device` texts; none: auto.
    std::vector<std::string> model_folders;
    std::vector<std::string> absent_model_folders;  ///< Of those that somebody named: not there yet. The default one may be missing.
    std::string token_file;                         ///< Empty: none.
    std::string ram_cache;                          ///< A size, a share of the first host device, or "0".
    EvictionOrder eviction = EvictionOrder::fifo;
    Watermarks watermarks;
    core::ReliefMarks relief;
    u64 zombie_grace_seconds = 0;      ///< 0: nobody is ended for what it holds.
    u64 gpu_patience_seconds = 30;     ///< A driver that does not answer for so long has its GPU lost.
    std::vector<LoadRequest> preload;  ///< Models to load at each start.
    engine::ReadOnly read_only = engine::ReadOnly::no;
    std::vector<Origin> origins;
};

/// What the command line asks for.
enum class Verb : u8 { serve, config, told };
struct Asked {
    Verb verb = Verb::serve;
    Settings settings;
    std::string text;  ///< Verb::told and Verb::config: what to print.
};

using Environment = std::function<const char*(const char*)>;

/// Reads everything. Errors: `invalid_field`, naming the flag, key or variable and what is wrong with it.
[[nodiscard]] Result<Asked> read_settings(std::span<char* const> arguments, const Environment& environment);

/// Lines `token owner role` (role: user or admin); blank lines and lines that begin with # are passed over. The file must not be readable
/// by others. Errors: `invalid_field` with the line's number, `system_failed`.
[[nodiscard]] Result<std::vector<api::Token>> read_tokens(const std::string& path);
}  // namespace vramd::program
