#include "cli/show.hpp"

#include <algorithm>
#include <numeric>

#include "cli/figures.hpp"

namespace vramd::cli {
namespace {
constexpr u32 bar_cells = 12;
constexpr std::string_view gap = "  ";

/// Columns on a screen: code points, for names may be in any script.
std::size_t width_of(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<u8>(c) & 0xc0) != 0x80; }));
}

std::vector<std::size_t> widths_of(std::span<const Column> columns, const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        widths.push_back(width_of(columns[i].head));
        for (const auto& row : rows) widths[i] = std::max(widths[i], width_of(row[i]));
    }
    return widths;
}

/// The first third and the end of a text, for names differ at their ends: "If_0_outp…conv.weight".
std::string shortened(const std::string& text, std::size_t width_max) {
    const std::size_t width = width_of(text);
    if (width <= width_max) return text;
    const std::size_t front = (width_max - 1) / 3;
    const std::size_t resume = width - (width_max - 1 - front);
    std::string out;
    std::size_t letters = 0;  // Begun so far.
    for (const char c : text) {
        if ((static_cast<u8>(c) & 0xc0) != 0x80 && ++letters == front + 1) out += "\xe2\x80\xa6";
        if (letters <= front || letters > resume) out += c;
    }
    return out;
}

std::string size_as(Sizes sizes, u64 bytes) { return sizes == Sizes::exact ? std::to_string(bytes) : size_text(bytes); }

std::vector<Column> columns_of(const Session& session, std::span<const Column> all) {
    std::vector<Column> chosen;
    for (const Column& column : all) {
        if (column.as == As::usage_bar && session.wishes().format == Format::csv) continue;
        if (column.shown == Shown::always || session.wishes().format != Format::table) chosen.push_back(column);
    }
    return chosen;
}

std::string with_line_end(const std::string& body) { return body.ends_with('\n') ? body : body + "\n"; }

/// What of the items is shown line by line, in all forms but json.
class Lines {
public:
    Lines(Session& session, const ListView& view) : session_(session), view_(view), columns_(columns_of(session, view.columns)) {}

    void add(const std::string& body, const json::value& parsed) {
        const Format format = session_.wishes().format;
        if (format == Format::jsonl)
            for (const std::string_view item : raw_items(body, view_.field)) session_.out(std::string(item) + "\n");
        for (const json::value& value : items_of(parsed, view_.field)) {
            const json::object* const item = value.if_object();
            if (item == nullptr) continue;
            ++count_;
            if (format == Format::name) session_.out(text_at(*item, view_.name) + "\n");
            if (format == Format::csv) add_csv(*item);
            if (format != Format::table && format != Format::wide) continue;
            std::vector<std::string>& row = rows_.emplace_back();
            for (const Column& column : columns_) row.push_back(cell_text(*item, column, session_.wishes().sizes, session_.now_seconds()));
        }
    }
    void end() {
        const Format format = session_.wishes().format;
        if (format == Format::csv && !head_written_) write_csv_head();
        if (format != Format::table && format != Format::wide) return;
        if (count_ == 0) {
            session_.out(std::string(view_.none) + "\n");
        } else {
            if (format == Format::table) fit_to_screen(columns_, rows_, session_.screen_columns());
            session_.out(table_text(columns_, rows_, session_.colors_stdout() ? When::always : When::never));
        }
    }

private:
    void write_csv_head() {
        std::vector<std::string> heads;
        for (const Column& column : columns_) heads.emplace_back(column.key);
        session_.out(csv_line(heads));
        head_written_ = true;
    }
    void add_csv(const json::object& item) {
        if (!head_written_) write_csv_head();
        std::vector<std::string> cells;
        for (const Column& column : columns_) cells.push_back(text_at(item, column.key));
        session_.out(csv_line(cells));
    }

    Session& session_;
    const ListView& view_;
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
    u64 count_ = 0;
    bool head_written_ = false;
};

/// The same; a time also tells how long ago that was.
std::string field_text(const Session& session, std::string_view key, const json::object& object) {
    const std::string text = figure_text(session, key, object);
    return parse_time(text) ? text + "  (" + relative_time_text(text, session.now_seconds()) + ")" : text;
}

void append_record(const Session& session, const json::object& object, std::size_t indent, std::string& out);

/// One of a list: its plain fields on one line, what it holds in turn below it.
void append_item(const Session& session, const json::object& item, std::size_t indent, std::string& out) {
    std::string line, below;
    for (const auto& field : item) {
        const std::string name(field.key().data(), field.key().size());
        if (const json::object* inner = field.value().if_object()) {
            below += std::string(indent + 2, ' ') + label_of(name) + "\n";
            append_record(session, *inner, indent + 4, below);
        } else if (const std::string text = field_text(session, name, item); !text.empty()) {
            line += (line.empty() ? "" : std::string(gap)) + label_of(name) + " " + text;
        }
    }
    out += std::string(indent, ' ') + "- " + line + "\n" + below;
}

void append_record(const Session& session, const json::object& object, std::size_t indent, std::string& out) {
    std::size_t width = 0;
    for (const auto& pair : object)
        if (!pair.value().is_object()) width = std::max(width, label_of({pair.key().data(), pair.key().size()}).size());
    const std::string margin(indent, ' ');
    for (const auto& pair : object) {
        const std::string key(pair.key().data(), pair.key().size());
        const std::string label = label_of(key);
        const json::array* const list = pair.value().if_array();
        if (const json::object* inner = pair.value().if_object()) {
            out += margin + label + "\n";
            append_record(session, *inner, indent + 2, out);
        } else if (list != nullptr && !list->empty() && (*list)[0].is_object()) {
            out += margin + label + "\n";
            for (const json::value& item : *list)
                if (item.is_object()) append_item(session, item.get_object(), indent + 2, out);
        } else if (const std::string text = field_text(session, key, object); !text.empty()) {
            out += margin + label + std::string(width - label.size(), ' ') + std::string(gap) + text + "\n";
        }
    }
}

/// A line for each name at the key, in "list.key" each item's.
std::string name_lines(const json::object& object, std::string_view key) {
    const std::size_t dot = key.find('.');
    const json::value* const list = dot == std::string_view::npos ? nullptr : object.if_contains(key.substr(0, dot));
    if (list == nullptr || !list->is_array()) return text_at(object, key) + "\n";
    std::string lines;
    for (const json::value& item : list->get_array())
        if (item.is_object()) lines += text_at(item.get_object(), key.substr(dot + 1)) + "\n";
    return lines;
}

void flatten(const json::object& object, const std::string& prefix, std::vector<std::string>& heads, std::vector<std::string>& cells) {
    for (const auto& pair : object) {
        const std::string key = prefix + std::string(pair.key().data(), pair.key().size());
        if (const json::object* inner = pair.value().if_object()) {
            flatten(*inner, key + ".", heads, cells);
            continue;
        }
        heads.push_back(key);
        cells.push_back(pair.value().is_array() ? exact_text(pair.value()) : plain_text(&pair.value()));
    }
}
}  // namespace

bool is_number(As as) { return as != As::text && as != As::time && as != As::usage_bar; }

std::string cell_text(const json::object& item, const Column& column, Sizes sizes, double now_seconds) {
    const auto whole = number_at(item, column.key);
    const auto real = real_at(item, column.key);
    switch (column.as) {
        case As::size:
            return whole ? size_as(sizes, *whole) : "";
        case As::rate:
            return whole ? rate_text(*whole) : "";
        case As::percentage:
            return real ? percentage_text(*real) : "";
        case As::duration_ms:
            return real ? duration_text(*real) : "";
        case As::time: {
            const std::string time = text_at(item, column.key);
            return time.empty() ? time : relative_time_text(time, now_seconds);
        }
        case As::usage_bar:
            return real ? bar_text(*real, bar_cells) : "";
        case As::text:
        case As::number:
            break;
    }
    return printable(text_at(item, column.key));
}

std::string record_text(const Session& session, const json::object& object) {
    std::string out;
    append_record(session, object, 0, out);
    return out;
}

std::string figure_text(const Session& session, std::string_view key, const json::object& object) {
    return figure_text(session.wishes().sizes, key, object);
}

std::string figure_text(Sizes sizes, std::string_view key, const json::object& object) {
    const auto whole = number_at(object, key);
    const auto real = real_at(object, key);
    if (whole && (key.ends_with("BytesPerSecond") || key == "bytesPerSecond")) return rate_text(*whole);
    if (whole && (key.ends_with("Bytes") || key.ends_with("BytesBefore") || key.ends_with("BytesAfter") || key == "bytes"))
        return size_as(sizes, *whole);
    if (whole && key == "alignment") return size_as(sizes, *whole);
    if (real && (key.ends_with("Percentage") || key == "percentage")) return percentage_text(*real);
    if (real && key.ends_with("Ms")) return duration_text(*real);
    if (real && key.ends_with("Seconds")) return duration_text(*real * 1000);
    return printable(text_at(object, key));
}

Told<void> show_list(Session& session, std::string target, Query query, const ListView& view) {
    query.add("limit", "1000");
    std::string cursor;
    Lines lines(session, view);
    do {
        Query page = query;
        page.add_if("cursor", cursor);
        TRY(const http::ClientReply reply, session.ask({.target = target + page.text()}));
        if (session.wishes().format == Format::json) {
            session.out(with_line_end(reply.body));
            return {};
        }
        TRY(const json::value parsed, parse_document(reply.body));
        lines.add(reply.body, parsed);
        cursor = parsed.is_object() ? text_at(parsed.get_object(), "nextCursor") : std::string();
    } while (!cursor.empty());
    lines.end();
    return {};
}

Told<void> show_items(Session& session, const std::string& body, const ListView& view) {
    if (session.wishes().format == Format::json) {
        session.out(with_line_end(body));
        return {};
    }
    TRY(const json::value parsed, parse_document(body));
    Lines lines(session, view);
    lines.add(body, parsed);
    lines.end();
    return {};
}

Told<void> show_record(Session& session, const std::string& body, std::string_view name) {
    const Format format = session.wishes().format;
    if (format == Format::json || format == Format::jsonl) {
        session.out(with_line_end(body));
        return {};
    }
    TRY(const json::value parsed, parse_document(body));
    const json::object* const object = parsed.if_object();
    if (object == nullptr) return std::unexpected(Failure(Exit::failed, "The server's answer is not an object."));
    std::string out;
    if (format == Format::name) {
        out = name_lines(*object, name);
    } else if (format == Format::csv) {
        std::vector<std::string> heads, cells;
        flatten(*object, {}, heads, cells);
        out = csv_line(heads) + csv_line(cells);
    } else {
        out = record_text(session, *object);
    }
    session.out(out);
    return {};
}

Told<void> show_done(Session& session, const std::string& body, std::string_view about) {
    if (session.wishes().format != Format::name) return show_record(session, body, {});
    session.out(std::string(about) + "\n");
    return {};
}

void fit_to_screen(std::span<const Column> columns, std::vector<std::vector<std::string>>& rows, std::size_t columns_max) {
    if (columns_max == 0 || columns.empty()) return;
    const std::vector<std::size_t> widths = widths_of(columns, rows);
    const std::size_t whole = std::accumulate(widths.begin(), widths.end(), gap.size() * (columns.size() - 1));
    if (whole <= columns_max) return;
    std::size_t widest = columns.size();
    for (std::size_t i = 0; i < columns.size(); ++i)
        if (columns[i].as == As::text && (widest == columns.size() || widths[i] > widths[widest])) widest = i;
    if (widest == columns.size()) return;
    const std::size_t excess = whole - columns_max;
    const std::size_t room = widths[widest] > excess + shortened_min ? widths[widest] - excess : shortened_min;
    for (auto& row : rows) row[widest] = shortened(row[widest], room);
}

std::string table_text(std::span<const Column> columns, const std::vector<std::vector<std::string>>& rows, When bold_head) {
    const std::vector<std::size_t> widths = widths_of(columns, rows);
    const auto line = [&](auto cell_of) {
        std::string text;
        for (std::size_t i = 0; i < columns.size(); ++i) {
            const std::string content(cell_of(i));
            const std::string padding(widths[i] - width_of(content), ' ');
            if (i > 0) text += gap;
            text += is_number(columns[i].as) ? padding + content : content + padding;
        }
        text.erase(text.find_last_not_of(' ') + 1);
        return text;
    };
    const std::string head = line([&](std::size_t i) { return columns[i].head; });
    std::string out = bold_head == When::always ? "\x1b[1m" + head + "\x1b[0m\n" : head + "\n";
    for (const auto& row : rows) out += line([&](std::size_t i) { return row[i]; }) + "\n";
    return out;
}

std::string csv_line(std::span<const std::string> cells) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        if (i > 0) line += ',';
        if (cells[i].find_first_of(",\"\r\n") == std::string::npos) {
            line += cells[i];
            continue;
        }
        line += '"';
        for (const char c : cells[i]) line += c == '"' ? "\"\"" : std::string(1, c);
        line += '"';
    }
    return line + "\n";
}

std::string label_of(std::string_view key) {
    if (key == "bytesPerSecond") return "Rate";
    for (const std::string_view when : {"Before", "After"})  // "availableBytesBefore": "Available before".
        if (const std::string unit = "Bytes" + std::string(when); key.ends_with(unit) && key.size() > unit.size())
            return label_of(key.substr(0, key.size() - unit.size())) + (when == "Before" ? " before" : " after");
    for (const std::string_view unit : {"BytesPerSecond", "Bytes", "Percentage", "Seconds", "Ms"}) {
        if (!key.ends_with(unit) || key.size() == unit.size()) continue;
        key.remove_suffix(unit.size());
        if (unit == "BytesPerSecond") return label_of(key) + " rate";
        break;
    }
    std::string label;
    for (const char c : key) {
        const bool upper = c >= 'A' && c <= 'Z';
        if (upper) label += ' ';
        label += upper ? static_cast<char>(c - 'A' + 'a') : c;
    }
    if (!label.empty() && label[0] >= 'a' && label[0] <= 'z') label[0] = static_cast<char>(label[0] - 'a' + 'A');
    return label;
}
}  // namespace vramd::cli
