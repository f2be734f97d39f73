/// A trace with its models' names, put together request by request from whatever source: what `vramctl simulate` replays.
///
/// What a load costs is measured, never assumed: the mean of all that the source tells of a model's loads. A model of which it tells none
/// gets its size at the rate of all that were measured, and is counted, so that whoever shows figures can say so.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "core/model/replay.hpp"

namespace vramd::model {
/// Bounds of a trace: far above real ones, and a bound on memory (24 bytes a request) and time for odd ones.
inline constexpr u64 trace_requests_max = 10'000'000;
inline constexpr u64 trace_models_max = 10'000;

struct NamedTrace {
    std::vector<std::string> names;  ///< By model.
    ReplayTrace trace;
    u64 models_measured = 0;  ///< Those whose loads were measured; 0: no load time is known, and all are 0.
};

class TraceBuilder {
public:
    /// A model that is not known yet. Errors: `too_large` beyond `trace_models_max`.
    [[nodiscard]] Result<u32> add_model(std::string_view name, u64 size_bytes);
    /// One load of it took so long.
    void add_load(u32 model, u64 load_ns);
    /// Errors: `too_large` beyond `trace_requests_max`.
    [[nodiscard]] Result<void> add_request(const ReplayRequest& request);

    [[nodiscard]] u64 size_bytes(u32 model) const { return made_.trace.models[model].size_bytes; }
    [[nodiscard]] std::vector<ReplayRequest>& requests() { return made_.trace.requests; }

    /// The trace, its requests by time (equal times as they were added), and by time from its first request.
    [[nodiscard]] NamedTrace finish() &&;

private:
    struct Measured {
        u128 sum_ns = 0;
        u64 count = 0;
    };
    NamedTrace made_;
    std::vector<Measured> measured_;  ///< By model.
};
}  // namespace vramd::model
