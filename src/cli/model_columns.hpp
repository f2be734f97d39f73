/// How model records are shown, wherever a verb lists them.
#pragma once
#include "cli/show.hpp"

namespace vramd::cli {
inline constexpr Column model_columns[] = {
    {"NAME", "name"},
    {"STATE", "state"},
    {"FORMAT", "format"},
    {"TYPE", "type"},
    {"SIZE", "sizeBytes", As::size},
    {"TENSORS", "tensorCount", As::number},
    {"DEVICE", "places.0.deviceId"},
    {"LOADED", "loadedAt", As::time},
    {"TOOK", "loadMs", As::duration_ms},
    {"RATE", "loadBytesPerSecond", As::rate, Shown::wide},
    {"PREDICTED", "predictedBytes", As::size, Shown::wide},
    {"PINNED", "pinned", As::text, Shown::wide},
    {"ALLOCATION", "places.0.allocationId", As::text, Shown::wide},
    {"PATH", "path", As::text, Shown::wide},
};
}  // namespace vramd::cli
