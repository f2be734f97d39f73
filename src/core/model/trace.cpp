#include "core/model/trace.hpp"

#include <algorithm>

namespace vramd::model {
Result<u32> TraceBuilder::add_model(std::string_view name, u64 size_bytes) {
    if (made_.names.size() >= trace_models_max) return refuse(Code::too_large, "model", made_.names.size() + 1, trace_models_max);
    made_.names.emplace_back(name);
    made_.trace.models.push_back({size_bytes, 0});
    measured_.emplace_back();
    return static_cast<u32>(made_.names.size() - 1);
}

void TraceBuilder::add_load(u32 model, u64 load_ns) {
    measured_[model].sum_ns += load_ns;
    measured_[model].count += 1;
}

Result<void> TraceBuilder::add_request(const ReplayRequest& request) {
    if (requests().size() >= trace_requests_max) return refuse(Code::too_large, "requests", requests().size() + 1, trace_requests_max);
    requests().push_back(request);
    return {};
}

NamedTrace TraceBuilder::finish() && {
    std::vector<ReplayModel>& models = made_.trace.models;
    long double sum_ns = 0, sum_bytes = 0;  // A rate is an estimate whatever it is computed in.
    for (std::size_t i = 0; i < models.size(); ++i) {
        if (measured_[i].count == 0) continue;
        models[i].load_ns = static_cast<u64>(measured_[i].sum_ns / measured_[i].count);
        made_.models_measured += 1;
        sum_ns += static_cast<long double>(models[i].load_ns);
        sum_bytes += static_cast<long double>(models[i].size_bytes);
    }
    for (std::size_t i = 0; i < models.size(); ++i)
        if (measured_[i].count == 0 && sum_bytes > 0)
            models[i].load_ns = static_cast<u64>(
                std::min(static_cast<long double>(models[i].size_bytes) * (sum_ns / sum_bytes), static_cast<long double>(number_max)));
    if (requests().empty()) return std::move(made_);
    std::ranges::stable_sort(requests(), {}, &ReplayRequest::at_ns);
    const u64 begin_ns = requests().front().at_ns;
    for (ReplayRequest& request : requests()) request.at_ns -= begin_ns;
    return std::move(made_);
}
}  // namespace vramd::model
