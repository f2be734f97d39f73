#include <charconv>
#include <cstdio>

#include "cli/document.hpp"
#include "cli/figures.hpp"
#include "cli/interrupt.hpp"
#include "cli/session.hpp"
#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_events {
constexpr Argument arguments[] = {
    {"follow", Takes::flag, "Go on with what happens, through restarts of the daemon too", Offers::nothing, {}, "-f"},
    {"since", Takes::value, "Begin with the event of this number; 0: the oldest kept"},
    {"last", Takes::value, "Begin so many events back; else 100, or with --follow none"},
    {"type", Takes::value, "Only these types, separated by commas"},
    {"device", Takes::value, "Only of this device", Offers::devices},
    {"owner", Takes::value, "Only of this owner"},
};
/// The columns of -o csv: every field that an event can have, in the order of the API's description of it.
constexpr std::string_view csv_columns[] = {
    "sequence",    "type",         "at",         "deviceId",       "fromDeviceId", "owner",        "allocationId",    "targetAllocationId",
    "operationId", "modelId",      "transferId", "sessionId",      "blockId",      "kind",         "state",           "name",
    "path",        "purpose",      "mode",       "allocationType", "sizeBytes",    "grantedBytes", "capacityBytes",   "bytes",
    "persistent",  "leaseSeconds", "durationMs", "from",           "to",           "cause",        "levelPercentage", "reason",
    "code",        "detail"};
constexpr u64 back_default = 100;
constexpr u64 silence_ms_max = 60'000;  ///< The daemon says something every 15 s.
constexpr u64 again_ms = 200;
constexpr u32 failures_max = 50;  ///< In a row, without an event between: 10 s.

/// Takes the stream apart and shows each event as it comes.
class Reader {
public:
    Reader(Session& session, u64 from) : session_(session), next_(from) {}
    Result<void> take(std::span<const std::byte> bytes) {
        rest_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        for (std::size_t end = rest_.find("\n\n"); end != std::string::npos; end = rest_.find("\n\n")) {
            show(std::string_view(rest_).substr(0, end + 1));
            rest_.erase(0, end + 2);
        }
        (void)std::fflush(stdout);  // Who follows reads line by line; a full disk is seen at the final flush.
        return {};
    }
    [[nodiscard]] u64 next() const { return next_; }
    [[nodiscard]] const std::string& problem() const { return problem_; }
    /// A broken connection: what was not whole comes again.
    void restart() { rest_.clear(); }
    /// A table without rows still has its head.
    void end() {
        if (session_.wishes().format == Format::csv && !head_written_) write_csv_head();
    }

private:
    void show(std::string_view block) {
        std::string_view id, type, data;
        while (!block.empty()) {
            const std::string_view line = block.substr(0, block.find('\n'));
            block.remove_prefix(line.size() + 1);
            if (line.starts_with("id: ")) id = line.substr(4);
            if (line.starts_with("event: ")) type = line.substr(7);
            if (line.starts_with("data: ")) data = line.substr(6);
        }
        if (type == "problem") problem_ = data;
        u64 sequence = 0;
        const bool numbered = std::from_chars(id.data(), id.data() + id.size(), sequence).ec == std::errc{} && !id.empty();
        if (numbered) next_ = sequence + 1;
        if (!numbered || data.empty()) return;
        switch (session_.wishes().format) {
            case Format::json:
            case Format::jsonl:
                return session_.out(std::string(data) + "\n");
            case Format::csv:
                return show_csv(data);
            case Format::name:
                return session_.out(std::to_string(sequence) + "\n");
            case Format::table:
            case Format::wide:
                return session_.out(line_of(data));
        }
    }
    void write_csv_head() {
        session_.out(csv_line(std::vector<std::string>(std::begin(csv_columns), std::end(csv_columns))));
        head_written_ = true;
    }
    void show_csv(std::string_view data) {
        if (!head_written_) write_csv_head();
        const auto document = parse_document(data);
        const json::object* const event = document ? document->if_object() : nullptr;
        std::vector<std::string> cells;
        for (const std::string_view column : csv_columns) cells.push_back(event == nullptr ? std::string() : text_at(*event, column));
        session_.out(csv_line(cells));
    }
    /// "1042 08:15:30.250 allocationReserved host0 uid:1000 alc_… 2.0 MiB …".
    std::string line_of(std::string_view data) const {
        const auto document = parse_document(data);
        const json::object* const event = document ? document->if_object() : nullptr;
        if (event == nullptr) return std::string(data) + "\n";
        std::string line = std::to_string(number_at(*event, "sequence").value_or(0)) + " " + text_at(*event, "at").substr(11, 12) + "  " +
                           text_at(*event, "type");
        for (const auto& [key, value] : *event) {
            if (key == "sequence" || key == "at" || key == "type") continue;
            line += "  " + std::string(key) + "=" + figure_text(session_, std::string_view(key), *event);
        }
        return line + "\n";
    }

    Session& session_;
    u64 next_;
    std::string rest_;
    std::string problem_;
    bool head_written_ = false;  ///< Once, though --follow connects anew.
};

/// Where to begin, as a number; 0 where that is now and nothing has to be looked up.
Told<u64> begin_at(Session& session, const Given& given) {
    if (given.has("since")) {
        TRY(const u64 since, given.number("since"));
        return since;
    }
    if ((given.has("follow") && !given.has("last")) || session.wishes().asks == Asks::for_curl) return u64{0};
    u64 back = back_default;
    if (given.has("last")) {
        TRY(back, given.number("last"));
    }
    TRY(const http::ClientReply reply, session.ask({.target = "/api/system"}));
    TRY(const json::value body, parse_document(reply.body));
    const u64 last = body.is_object() ? number_at(body.get_object(), "ledgerSequence").value_or(0) : 0;
    return last >= back ? last - back + 1 : 1;
}

std::string target_of(const Given& given, const std::string& from) {
    Query query;
    query.add_if("from", from).add_if("type", given.text("type")).add_if("deviceId", given.text("device"));
    query.add_if("owner", given.text("owner"));
    if (!given.has("follow")) query.add("follow", "false");
    return "/api/events" + query.text();
}

Told<void> run(Session& session, const Given& given) {
    TRY(const u64 begin, begin_at(session, given));
    const bool from_now = begin == 0 && !given.has("since");
    Reader reader(session, begin);
    std::string from = from_now ? std::string() : std::to_string(begin);
    for (u32 failures = 0;; ++failures) {
        const u64 before = reader.next();
        auto reply = session.ask({.target = target_of(given, from),
                                  .headers = {{"Accept", "text/event-stream"}},
                                  .download = [&reader](std::span<const std::byte> bytes) { return reader.take(bytes); },
                                  .wait_ms_max = silence_ms_max});
        if (!reader.problem().empty()) return std::unexpected(failure_of_reply(410, reader.problem()));
        if (reply && !given.has("follow")) return reader.end(), Told<void>();
        // With --follow a broken connection is made again, and the stream goes on where it was; a refusal in words stands.
        const bool refused = !reply && (!given.has("follow") || !reply.error().body.empty() || reply.error().exit == Exit::done);
        if (refused || (!reply && failures >= failures_max)) return std::unexpected(reply.error());
        if (reader.next() != before) failures = 0;
        reader.restart();
        if (reader.next() != 0) from = std::to_string(reader.next());
        const InterruptWatch interrupt;
        interrupt.wait(again_ms);
        if (interrupt.came()) return std::unexpected(Failure(Exit::interrupted, "Interrupted."));
    }
}
}  // namespace verb_events

constexpr Verb events_verb = {"events",
                              "What happened, and what happens",
                              "GET /api/events",
                              verb_events::arguments,
                              verb_events::run,
                              Repeats::no,
                              "vramctl events --follow --type allocationFreed"};
}  // namespace vramd::cli
