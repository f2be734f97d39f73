/// The real `Loading`: files opened beneath the model folders, read by loading processes of the worker room.
#pragma once
#include <memory>

#include "engine/model_folders.hpp"
#include "worker/loader_process.hpp"

namespace vramd::engine {
/// Thread-safe. Callbacks come on the loaders' one thread, or before the call returns where nothing could be started.
[[nodiscard]] std::shared_ptr<Loading> loading_by_processes(std::shared_ptr<worker::Loaders> loaders, ModelFolders folders);
}  // namespace vramd::engine
