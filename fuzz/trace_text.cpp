// links: terms core/memory core/model
// The bytes as a trace of requests, and as decisions of a generator of traces that are nearly right. One that is taken is written out again
// and read once more, must be the same, and is replayed: whatever a stranger's trace holds, no replay may hang, wrap or break an invariant.
#include <cstdio>
#include <cstdlib>

#include "base/choices.hpp"
#include "core/model/trace_text.hpp"

using namespace vramd;
using namespace vramd::model;

namespace {
void demand(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "wrong: %s\n", what);
    std::abort();
}

Result<NamedTrace> read(std::string_view bytes) {
    TraceText text;
    while (!bytes.empty()) {
        const std::size_t end = std::min(bytes.find('\n'), bytes.size());
        TRY_DO(text.add_line(bytes.substr(0, end)));
        bytes.remove_prefix(std::min(end + 1, bytes.size()));
    }
    return std::move(text).finish();
}

std::string milliseconds(u64 ns) {
    char text[40];
    (void)std::snprintf(text, sizeof text, "%llu.%06llu", static_cast<unsigned long long>(ns / 1'000'000),
                        static_cast<unsigned long long>(ns % 1'000'000));
    return text;
}

std::string written(const NamedTrace& named) {
    std::string text = "timeMs,model,bytes,useMs,pinned\n";
    for (const ReplayRequest& request : named.trace.requests) {
        std::string quoted;
        for (const char c : named.names[request.model]) quoted += c == '"' ? "\"\"" : std::string(1, c);
        text += milliseconds(request.at_ns) + ",\"" + quoted + "\"," + std::to_string(named.trace.models[request.model].size_bytes) + "," +
                milliseconds(request.use_ns) + (request.keeps == Keeps::pinned ? ",yes\n" : ",no\n");
    }
    return text;
}

void judge_trace(const NamedTrace& named) {
    const ReplayTrace& trace = named.trace;
    demand(!trace.requests.empty() && trace.requests[0].at_ns == 0, "a trace that does not begin");
    demand(named.names.size() == trace.models.size() && named.models_measured <= trace.models.size(), "models without names");
    u64 last_ns = 0, largest_bytes = 0;
    std::size_t longest = 0;
    for (const ReplayModel& model : trace.models) {
        demand(model.size_bytes >= 1 && model.size_bytes <= number_max && model.load_ns <= number_max, "a size or a load beyond its range");
        largest_bytes = std::max(largest_bytes, model.size_bytes);
    }
    for (const ReplayRequest& request : trace.requests) {
        demand(request.model < trace.models.size() && request.at_ns >= last_ns, "a request out of order, or for no model");
        last_ns = request.at_ns;
    }
    for (const std::string& name : named.names) longest = std::max(longest, name.size());
    if (longest < 1000) {
        const auto again = read(written(named));
        demand(again.has_value() && again->names == named.names, "what was written out is read otherwise");
        for (std::size_t i = 0; i < trace.requests.size(); ++i) {
            const ReplayRequest &one = trace.requests[i], &other = again->trace.requests[i];
            demand(one.at_ns == other.at_ns && one.use_ns == other.use_ns && one.model == other.model && one.keeps == other.keeps,
                   "a request that is read otherwise");
        }
    }
    for (const u64 capacity_bytes : {largest_bytes, std::min(number_max, largest_bytes / 2 * 3), largest_bytes / 2})
        for (const EvictionOrder order : {EvictionOrder::fifo, EvictionOrder::lru, EvictionOrder::smart}) {
            const ReplayResult told = replay(trace, {capacity_bytes, {}}, order);
            demand(told.hits + told.loads + told.refused == trace.requests.size() && told.peak_bytes <= capacity_bytes, "a request lost");
        }
    (void)replay_hindsight(trace, largest_bytes);
    (void)replay_bound(trace, largest_bytes);
}

void judge(std::string_view bytes) {
    const auto named = read(bytes);
    if (named) return judge_trace(*named);
    const Error& error = named.error();
    demand(error.code == Code::invalid_field || error.code == Code::too_large, "a refusal that no text may get");
    demand(error.value >= 1 && !error.detail.empty(), "a refusal without its line or its reason");
}

std::string one_of(Choices& choices, std::initializer_list<const char*> texts) { return texts.begin()[choices.below(texts.size())]; }

std::string odd_trace(Choices& choices) {
    std::string text =
        one_of(choices, {"timeMs,model,bytes,loadMs,useMs,pinned\n", "timeMs,model,bytes,loadMs,useMs,pinned\r\n", "timeMs,model\n"});
    for (u64 i = choices.below(12), time = 0; i > 0; --i) {
        time += choices.below(50);
        text += choices.one_in(12) ? one_of(choices, {"", "-1", "9223372036854.775807", "1e9", " 7"}) : std::to_string(time);
        text += "," + one_of(choices, {"a", "b", "c", "\"a\"", "\"a,\"\"b\"", "\"", "", " a ", "\xff"});
        text += "," + one_of(choices, {"5", "5", "7", "9223372036854775807", "0", ""});
        text += "," + one_of(choices, {"", "3", "0.5", "9223372036854.775807", "x"});
        text += "," + one_of(choices, {"", "10", "100", "9223372036854.775807", "1."});
        text += "," + one_of(choices, {"", "no", "yes", "\n", "YES"}) + one_of(choices, {"\n", "\r\n", "\n\n", "\n#\n", ""});
    }
    return text;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const u8* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    judge(bytes);
    judge("timeMs,model,bytes,loadMs,useMs,pinned\n" + std::string(bytes));
    Choices choices = Choices::replay({data, data + std::min<std::size_t>(size, 200)});
    judge(odd_trace(choices));
    return 0;
}
