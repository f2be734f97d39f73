#include <algorithm>

#include "base/percentages.hpp"
#include "cli/figures.hpp"
#include "cli/show.hpp"
#include "cli/trace_file.hpp"
#include "cli/verbs.hpp"
#include "core/model/replay.hpp"

namespace vramd::cli {
namespace verb_simulate {

using model::ReplayResult;

constexpr Argument arguments[] = {
    {"trace", Takes::required, "Requests as CSV (timeMs,model,bytes,loadMs,useMs,pinned), '-' for stdin, or a vramd's state directory",
     Offers::files},
    {"capacity", Takes::value, "How large the memory is; from a ledger as large as its devices unless told"},
    {"policy", Takes::value, "Which order of eviction", Offers::words, "fifo lru smart all"},
    {"watermarks", Takes::value, "Percent of the capacity: beyond HIGH evict down to LOW; 80,70 unless told; 100,100 evicts only for need"},
};
constexpr Column columns[] = {
    {"POLICY", "policy"},
    {"HITS", "hitPercentage", As::percentage},
    {"LOADS", "loads", As::number},
    {"LOADED", "loadedBytes", As::size},
    {"EVICTED", "evictions", As::number},
    {"REFUSED", "refused", As::number},
    {"WAITED", "waitedMs", As::duration_ms},
    {"P50", "waitP50Ms", As::duration_ms},
    {"P99", "waitP99Ms", As::duration_ms},
    {"JOINED", "joined", As::number, Shown::wide},
    {"DELAYED", "delayed", As::number, Shown::wide},
    {"PEAK", "peakBytes", As::size, Shown::wide},
};
constexpr u64 whole = 100'00;  ///< In hundredths of a percent.
constexpr std::string_view hindsight = "hindsight";

/// One line of the table.
struct Row {
    std::string_view policy;
    ReplayResult told;
};
struct Simulated {
    TraceFile trace;
    model::ReplayRules rules;
    std::vector<Row> rows;  ///< The policies, then hindsight.
    model::ReplayBound bound;
    u64 all_bytes = 0;  ///< Of every model.
};

double hundredths(long double number) { return static_cast<double>(static_cast<i64>(number * 100 + 0.5L)) / 100; }
double share(u64 part, u64 all) {
    return all == 0 ? 0 : hundredths(100.0L * static_cast<long double>(part) / static_cast<long double>(all));
}
double milliseconds(u64 ns) { return static_cast<double>(ns / 1000) / 1000; }

json::object item_of(const Row& row) {
    const ReplayResult& told = row.told;
    return {{"policy", row.policy},
            {"hitPercentage", share(told.hits, told.requests)},
            {"requests", told.requests},
            {"hits", told.hits},
            {"joined", told.joined},
            {"loads", told.loads},
            {"refused", told.refused},
            {"delayed", told.delayed},
            {"evictions", told.evictions},
            {"loadedBytes", told.loaded_bytes},
            {"evictedBytes", told.evicted_bytes},
            {"waitedMs", milliseconds(told.waited_ns)},
            {"waitP50Ms", milliseconds(told.waited_p50_ns)},
            {"waitP99Ms", milliseconds(told.waited_p99_ns)},
            {"peakBytes", told.peak_bytes}};
}

/// Better first: fewer refused, then less waiting, then more hits, then fewer bytes.
auto rank_of(const ReplayResult& told) { return std::tuple(told.refused, told.waited_ns, told.requests - told.hits, told.loaded_bytes); }

/// The policies but for hindsight, the best one first; equal ones in the table's order.
std::vector<Row> ranked(const Simulated& run) {
    std::vector<Row> rows(run.rows.begin(), run.rows.end() - 1);
    std::ranges::stable_sort(rows, {}, [](const Row& row) { return rank_of(row.told); });
    return rows;
}

/// By how much the first is better: "31.0 % less waiting than fifo".
std::string advantage(const Session& session, const ReplayResult& best, const Row& other) {
    const ReplayResult& told = other.told;
    const std::string than = " than " + std::string(other.policy);
    if (told.refused != best.refused) return std::to_string(told.refused - best.refused) + " fewer refused" + than;
    if (told.waited_ns != best.waited_ns)
        return percentage_text(share(told.waited_ns - best.waited_ns, told.waited_ns)) + " less waiting" + than;
    if (told.hits != best.hits) return percentage_text(share(best.hits - told.hits, best.requests)) + " more of all requests hit" + than;
    return session.size(told.loaded_bytes - best.loaded_bytes) + " less loaded" + than;
}

/// "On this trace lru and smart did best: 31.0 % less waiting than fifo."
std::string verdict(const Session& session, const Simulated& run) {
    const std::vector<Row> rows = ranked(run);
    const ReplayResult& best = rows.front().told;
    if (rows.size() < 2) return {};
    std::string names, advantages;
    for (const Row& row : rows) {
        std::string& list = rank_of(row.told) == rank_of(best) ? names : advantages;
        if (&list == &names)
            names += (names.empty() ? "" : " and ") + std::string(row.policy);
        else
            advantages += (advantages.empty() ? "" : ", ") + advantage(session, best, row);
    }
    if (advantages.empty()) return "On this trace all policies did the same.";
    return "On this trace " + names + " did best: " + advantages + ".";
}

/// "1000 requests for 30 models (46.7 GiB) over 1 h 3 min, in 10.0 GiB, evicting beyond 80.0 % down to 70.0 %:"
std::string heading(const Session& session, const Simulated& run) {
    const model::NamedTrace& named = run.trace.named;
    const auto percent = [](u64 mark) { return percentage_text(static_cast<double>(mark) / 100); };
    const auto count = [](u64 number, const char* what) { return std::to_string(number) + " " + what + (number == 1 ? "" : "s"); };
    std::string line = count(named.trace.requests.size(), "request") + " for " + count(named.names.size(), "model") + " (" +
                       session.size(run.all_bytes) + ") over " + duration_text(milliseconds(named.trace.requests.back().at_ns)) + ", in " +
                       session.size(run.rules.capacity_bytes) + ", evicting ";
    if (run.rules.marks.high == whole)
        line += "what does not fit";
    else
        line += "beyond " + percent(run.rules.marks.high) + " down to " + percent(run.rules.marks.low);
    return line + ":\n";
}

std::string body_of(const Session& session, const std::string& path, const Simulated& run) {
    json::array items, notes;
    for (const Row& row : run.rows) items.push_back(item_of(row));
    for (const std::string& note : run.trace.notes) notes.emplace_back(note);
    const model::NamedTrace& named = run.trace.named;
    const u64 requests = named.trace.requests.size();
    json::object body{{"trace", path},
                      {"capacityBytes", run.rules.capacity_bytes},
                      {"highPercentage", hundredths(static_cast<long double>(run.rules.marks.high) / 100)},
                      {"lowPercentage", hundredths(static_cast<long double>(run.rules.marks.low) / 100)},
                      {"requests", requests},
                      {"models", named.names.size()},
                      {"modelsMeasured", named.models_measured},
                      {"modelBytes", run.all_bytes},
                      {"items", std::move(items)},
                      {"bound", json::object{{"hitPercentageMax", share(run.bound.hits_max, requests)},
                                             {"hitsMax", run.bound.hits_max},
                                             {"loadedBytesMin", run.bound.loaded_bytes_min}}},
                      {"best", ranked(run).front().policy},
                      {"verdict", verdict(session, run)},
                      {"notes", std::move(notes)}};
    return exact_text(body);
}

/// "80,70": percent, with two decimals at most.
Told<model::Watermarks> marks_of(const Given& given) {
    if (!given.has("watermarks")) return model::Watermarks{};
    const std::string text = given.text("watermarks");
    const auto wrong = [&] {
        return std::unexpected(
            Failure(Exit::usage, "watermarks: '" + text + "' is not two percentages from 0 to 100, the lower one last, such as 80,70."));
    };
    const auto marks = parse_percentages(text, 2);
    if (!marks || (*marks)[0] < (*marks)[1]) return wrong();
    return model::Watermarks{(*marks)[0], (*marks)[1]};
}

void add_notes(Simulated& run) {
    const model::NamedTrace& named = run.trace.named;
    const u64 guessed = named.names.size() - named.models_measured;
    if (named.models_measured == 0)
        run.trace.notes.emplace_back("The trace tells no load times: waiting is for room only, and smart goes by size and recency.");
    else if (guessed > 0)
        run.trace.notes.push_back("Models whose load was never measured: " + std::to_string(guessed) +
                                  ". They are taken to load at the others' rate.");
    if (std::ranges::any_of(run.rows, [](const Row& row) { return row.told.delayed > 0; }))
        run.trace.notes.emplace_back(
            "Loads that waited until a use ended were served after later requests, which can even beat that limit.");
}

Told<Simulated> simulate(const Given& given, const std::string& path) {
    Simulated run;
    TRY(run.rules.marks, marks_of(given));
    u64 capacity_bytes = 0;
    if (given.has("capacity")) {
        TRY(capacity_bytes, given.size("capacity"));
        if (capacity_bytes == 0) return std::unexpected(Failure(Exit::usage, "capacity: A memory of 0 bytes holds nothing."));
    }
    TRY(run.trace, read_trace(path));
    run.rules.capacity_bytes = capacity_bytes == 0 ? run.trace.capacity_bytes : capacity_bytes;
    if (run.rules.capacity_bytes == 0) {
        Failure failure(Exit::usage, "The trace does not say how large the memory is.");
        failure.remedy = "--capacity 16GiB";
        return std::unexpected(failure);
    }
    const model::ReplayTrace& trace = run.trace.named.trace;
    for (const EvictionOrder order : {EvictionOrder::fifo, EvictionOrder::lru, EvictionOrder::smart})
        if (const std::string wanted = given.text("policy"); wanted.empty() || wanted == "all" || wanted == name_of(order))
            run.rows.push_back({name_of(order), replay(trace, run.rules, order)});
    run.rows.push_back({hindsight, replay_hindsight(trace, run.rules.capacity_bytes)});
    run.bound = replay_bound(trace, run.rules.capacity_bytes);
    for (const model::ReplayModel& one : trace.models) run.all_bytes += std::min(one.size_bytes, UINT64_MAX - run.all_bytes);
    add_notes(run);
    return run;
}

Told<void> run(Session& session, const Given& given) {
    if (session.wishes().asks == Asks::for_curl)
        return std::unexpected(Failure(Exit::usage, "A trace is replayed here, without the daemon: there is no REST call to print."));
    const std::string path = given.text("trace");
    TRY(const Simulated run, simulate(given, path));
    const bool for_people = session.wishes().format == Format::table || session.wishes().format == Format::wide;
    if (for_people) session.out(heading(session, run));
    TRY_DO(show_items(session, body_of(session, path, run), {columns, "policy", "items", {}}));
    if (!for_people) return {};
    session.out("Hindsight unloads what is wanted last, which no policy can know. Whoever serves requests as they come has at most " +
                percentage_text(share(run.bound.hits_max, run.trace.named.trace.requests.size())) + " hits and loads at least " +
                session.size(run.bound.loaded_bytes_min) + ".\n");
    for (const std::string& note : run.trace.notes) session.out(printable(note) + "\n");
    if (const std::string line = verdict(session, run); !line.empty()) session.out(line + "\n");
    return {};
}
}  // namespace verb_simulate

constexpr Verb simulate_verb = {"simulate",
                                "Replay requests for models under each policy of eviction, and tell which does best",
                                "",
                                verb_simulate::arguments,
                                verb_simulate::run,
                                Repeats::no,
                                "vramctl simulate trace.csv --capacity 16GiB; vramctl simulate /var/lib/vramd"};
}  // namespace vramd::cli
