/// Opens the devices that the configuration names.
#pragma once
#include <filesystem>
#include <functional>
#include <vector>

#include "base/predecessor.hpp"
#include "engine/ports.hpp"
#include "keeper/link.hpp"
#include "program/settings.hpp"

namespace vramd::program {
/// `lost` is told, from any thread, that a device failed which only the next core can open anew. What an earlier core had and this one
/// cannot open is there all the same, as lost, so that its memory is kept. Errors: `invalid_field` and `unsupported`, naming `--device`.
[[nodiscard]] Result<std::vector<engine::ConfiguredDevice>> open_devices(const Settings& settings, const keeper::Takeover& kept,
                                                                         const std::filesystem::path& state_directory,
                                                                         const std::shared_ptr<const Predecessor>& predecessor,
                                                                         std::function<void(const std::string& cause)> lost);

/// What outlives this core, in words: "all memory is kept", unless a device is asked for whose memory is its process's own.
[[nodiscard]] std::string what_is_kept(const Settings& settings);

/// Threads that move bytes: more where what they move goes on to a GPU, whose link one processor does not fill.
[[nodiscard]] u32 transfer_threads(const std::vector<engine::ConfiguredDevice>& devices);

/// The device whose memory the RAM cache is a part of: the first that the processor sees; null where there is none.
[[nodiscard]] const engine::ConfiguredDevice* cache_device(const std::vector<engine::ConfiguredDevice>& devices);
}  // namespace vramd::program
