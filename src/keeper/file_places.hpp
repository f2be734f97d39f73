/// What a configuration file says of the keeper's places, learned without a parser. Room-internal, and for the main of `vramd`.
///
/// The keeper must know its directory and sockets before it has a core, and must stay without a parser. So a short-lived process of the
/// core's program reads the file (`vramd-core config --plain`, which is done before anything is locked or bound) and answers in lines
/// KEY=VALUE, of which the keeper takes three. Without a file nobody is asked.
#pragma once
#include "keeper/places.hpp"

namespace vramd::keeper {
/// `resolve_places`, with the file that `--config` or VRAMD_CONFIG names: a flag beats the file, the file beats the variables. In a keeper
/// that goes on from an upgrade the file is not asked again, for lock and sockets are held already; what was settled at the first start is
/// in its variables. `arguments`: those after the verb. Errors: as `resolve_places`; `invalid_field` (the core's program has refused the
/// file, and said why on stderr), `timed_out`, `system_failed`.
[[nodiscard]] Result<Places> find_places(const std::string& core_program, std::span<char* const> arguments, const Environment& environment);
}  // namespace vramd::keeper
