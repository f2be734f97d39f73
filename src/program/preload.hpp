/// Models that the configuration file names for each start.
#pragma once
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <string>
#include <string_view>
#include <vector>

#include "program/settings.hpp"

namespace vramd::program {
inline constexpr std::string_view preload_key = "preload";

/// The tables `[[preload]]` of the file at `path`, in their order: `name` and `path`, and `device`, `type`, `pinned`, `tier` (`device` or
/// `ram`: into the RAM cache only). Errors: `invalid_field`, naming file, line, key and what it may be; a name that comes twice.
[[nodiscard]] Result<std::vector<LoadRequest>> preload_of(const toml::table& file, const std::string& path);
/// How `vramd config` tells of them: their names.
[[nodiscard]] Origin origin_of(const std::vector<LoadRequest>& preload, const toml::table& file, const std::string& path);
}  // namespace vramd::program
