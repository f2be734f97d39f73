/// Headers of model files that were read lately, so that who asks for a model again starts no process for it.
///
/// A header counts as long as every file of the model is the one it was, to its times of change. What was changed within the last second
/// before it was read is not kept: it could be changed once more within one tick of the file system's clock.
#pragma once
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.hpp"
#include "terms/model.hpp"
#include "worker/job.hpp"

namespace vramd::engine {
/// The state of a model's files, by name; the main one first, without a name.
using FilesState = std::vector<std::pair<std::string, worker::FileFacts>>;
/// Empty where a file cannot be looked at or was changed within a second before `now_wall_ns`.
[[nodiscard]] FilesState settled_state(const worker::ModelFiles& files, u64 now_wall_ns);

/// What the files' headers said.
struct KnownHeader {
    std::string path;
    FilesState files;
    Inspection model;
    std::shared_ptr<const worker::ReadPlan> plan;
    /// Of the further files.
    [[nodiscard]] std::vector<std::string> other_names() const;
};

/// Thread-safe. Holds at most 64 headers of at most 4,096 tensors each, some 30 MiB; those that were asked for last.
class KnownHeaders {
public:
    /// The header of the model at `path` as it was read last; whether its files are the same still is for the caller to see.
    [[nodiscard]] std::optional<KnownHeader> find(const std::string& path);
    /// Nothing where the state is empty or the header too large.
    void keep(KnownHeader header);

private:
    Mutex lock_;
    std::deque<KnownHeader> headers_ GUARDED_BY(lock_);  ///< Those asked for last at the end.
};
}  // namespace vramd::engine
