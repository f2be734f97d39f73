#include "core/model/trace_text.hpp"

#include <algorithm>
#include <charconv>

#include "base/clock.hpp"

namespace vramd::model {
namespace {
enum Column : std::size_t { time, name, bytes, load, use, pinned };
constexpr std::array<std::string_view, 6> column_names = {"timeMs", "model", "bytes", "loadMs", "useMs", "pinned"};
constexpr std::size_t decimals_max = 6;
constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

std::optional<u64> whole_number(std::string_view text) {
    u64 number = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || failed != std::errc{} || end != text.data() + text.size() || number > number_max) return std::nullopt;
    return number;
}

/// "12.345": milliseconds, as nanoseconds.
std::optional<u64> nanoseconds(std::string_view text) {
    const std::size_t dot = text.find('.');
    const auto ms = whole_number(text.substr(0, dot));
    if (!ms || *ms > number_max / ns_per_ms) return std::nullopt;
    if (dot == std::string_view::npos) return *ms * ns_per_ms;
    std::string decimals(text.substr(dot + 1));
    if (decimals.empty() || decimals.size() > decimals_max) return std::nullopt;
    decimals.resize(decimals_max, '0');
    const auto rest = whole_number(decimals);
    if (!rest || *rest > number_max - *ms * ns_per_ms) return std::nullopt;
    return *ms * ns_per_ms + *rest;
}

/// Reads the field whose quote is at `at`; answers where it ends, or npos.
std::size_t read_quoted(std::string_view line, std::size_t at, std::string& cell) {
    for (++at; at < line.size(); ++at) {
        if (line[at] == '"' && (at + 1 == line.size() || line[at + 1] != '"')) return at + 1;
        if (line[at] == '"') ++at;
        cell += line[at];
    }
    return std::string_view::npos;
}

/// What of a cell can be shown in an error.
std::string shown(std::string_view text) {
    std::size_t end = std::min<std::size_t>(text.size(), 40);
    while (end > 0 && end < text.size() && (static_cast<u8>(text[end]) & 0xc0) == 0x80) --end;  // Not within a letter.
    std::string out(text.substr(0, end));
    std::ranges::replace_if(
        out, [](char c) { return static_cast<u8>(c) < 0x20 || c == 0x7f; }, '?');
    return "'" + out + (end < text.size() ? "…'" : "'");
}
}  // namespace

std::unexpected<Error> TraceText::wrong(std::string_view field, std::string why) const {
    return std::unexpected(Error{Code::invalid_field, std::string(field), line_, 0, std::move(why)});
}

std::string_view TraceText::cell(std::size_t column) const {
    return places_[column] ? std::string_view(cells_[*places_[column]]) : std::string_view();
}

Result<void> TraceText::add_line(std::string_view line) {
    line_ += 1;
    if (line_ == 1 && line.starts_with(byte_order_mark)) line.remove_prefix(byte_order_mark.size());
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.size() > trace_line_bytes_max) return wrong({}, "It is longer than " + std::to_string(trace_line_bytes_max) + " bytes.");
    if (line.find_first_not_of(" \t") == std::string_view::npos || line.front() == '#') return {};
    if (line.contains('\0')) return wrong({}, "It holds a zero byte: this is no text.");
    TRY_DO(split(line));
    if (width_ == 0) return read_head();
    if (cells_.size() != width_)
        return wrong({}, "It has " + std::to_string(cells_.size()) + " fields, and the head has " + std::to_string(width_) + ".");
    return read_request();
}

Result<void> TraceText::split(std::string_view line) {
    cells_.clear();
    for (std::size_t at = 0;; ++at) {
        std::string& cell = cells_.emplace_back();
        if (at < line.size() && line[at] == '"') {
            at = read_quoted(line, at, cell);
            if (at == std::string_view::npos) return wrong({}, "A quoted field does not end.");
            if (at < line.size() && line[at] != ',') return wrong({}, "A comma must follow a quoted field.");
        } else {
            const std::size_t end = std::min(line.find(',', at), line.size());
            cell = line.substr(at, end - at);
            if (cell.contains('"')) return wrong({}, "A field with quotes must be quoted itself.");
            cell.erase(cell.find_last_not_of(" \t") + 1);
            cell.erase(0, cell.find_first_not_of(" \t"));
            at = end;
        }
        if (at == line.size()) return {};
    }
}

Result<void> TraceText::read_head() {
    for (std::size_t i = 0; i < cells_.size(); ++i) {
        const auto found = std::ranges::find(column_names, cells_[i]);
        if (found == column_names.end())
            return wrong({}, "It must be the head, and " + shown(cells_[i]) + " is none of timeMs, model, bytes, loadMs, useMs, pinned.");
        auto& place = places_[static_cast<std::size_t>(found - column_names.begin())];
        if (place) return wrong(*found, "The head names it twice.");
        place = i;
    }
    for (const Column needed : {Column::time, Column::name})
        if (!places_[needed]) return wrong(column_names[needed], "The head must name it.");
    width_ = cells_.size();
    return {};
}

Result<u64> TraceText::read_time(std::size_t column) const {
    const std::string_view text = cell(column);
    if (text.empty()) return 0;
    if (const auto ns = nanoseconds(text)) return *ns;
    return wrong(column_names[column], shown(text) + " is no number of milliseconds, with at most six decimals, below 2^63 nanoseconds.");
}

Result<u32> TraceText::read_model() {
    const std::string_view called = cell(Column::name), size = cell(Column::bytes);
    if (called.empty()) return wrong(column_names[Column::name], "A request must name its model.");
    const auto size_bytes = size.empty() ? std::optional<u64>(0) : whole_number(size);
    if (!size_bytes || (!size.empty() && *size_bytes == 0))
        return wrong(column_names[Column::bytes], shown(size) + " is no whole number from 1 to 9223372036854775807.");
    const auto known = models_.find(called);
    if (known == models_.end()) {
        if (size.empty()) return wrong(column_names[Column::bytes], "The first request for " + shown(called) + " must tell its size.");
        auto model = builder_.add_model(called, *size_bytes);
        if (!model)
            return std::unexpected(Error{Code::too_large, std::string(column_names[Column::name]), line_, trace_models_max,
                                         "There are more than " + std::to_string(trace_models_max) + " models."});
        models_.emplace(called, *model);
        return *model;
    }
    if (const u64 before = builder_.size_bytes(known->second); !size.empty() && *size_bytes != before)
        return wrong(column_names[Column::bytes], shown(called) + " had " + std::to_string(before) + " bytes before, and has " +
                                                      std::to_string(*size_bytes) + " here. What changed is another model.");
    return known->second;
}

Result<void> TraceText::read_request() {
    ReplayRequest request;
    if (cell(Column::time).empty()) return wrong(column_names[Column::time], "A request must tell its time.");
    TRY(request.at_ns, read_time(Column::time));
    if (request.at_ns < last_ns_) return wrong(column_names[Column::time], shown(cell(Column::time)) + " is before the request above it.");
    last_ns_ = request.at_ns;
    TRY(request.model, read_model());
    TRY(const u64 load_ns, read_time(Column::load));
    TRY(request.use_ns, read_time(Column::use));
    if (const std::string_view word = cell(Column::pinned); word == "yes")
        request.keeps = Keeps::pinned;
    else if (!word.empty() && word != "no")
        return wrong(column_names[Column::pinned], shown(word) + " is neither yes nor no.");
    if (!cell(Column::load).empty()) builder_.add_load(request.model, load_ns);
    if (!builder_.add_request(request))
        return std::unexpected(Error{
            Code::too_large, {}, line_, trace_requests_max, "There are more than " + std::to_string(trace_requests_max) + " requests."});
    return {};
}

Result<NamedTrace> TraceText::finish() && {
    if (builder_.requests().empty()) {
        line_ += 1;
        return wrong({}, width_ == 0 ? "It ends without a head: timeMs,model,bytes,loadMs,useMs,pinned." : "It ends without a request.");
    }
    return std::move(builder_).finish();
}
}  // namespace vramd::model
