#include "cli/top_frame.hpp"

#include <algorithm>
#include <cmath>

#include "cli/figures.hpp"
#include "cli/top_keys.hpp"
#include "cli/top_text.hpp"

namespace vramd::cli::top {
namespace {
constexpr std::size_t gap_columns = 2;
constexpr std::size_t narrow_columns = 100;  ///< On a screen below that each column counts: between two stands one blank.
constexpr std::size_t column_min = 6;        ///< A text column is not made narrower than this.
constexpr double old_after_seconds = 5;      ///< What is older says so.
constexpr std::size_t label_columns_max = 12;
constexpr std::size_t foot_lines_max = 4;
constexpr char part_letters[] = {'#', 'z', 'r', 'o', '.'};
constexpr Style part_styles[] = {Style::ours, Style::zombie, Style::reserved, Style::others, Style::plain};

/// A frame being filled. What lies outside is left out.
class Canvas {
public:
    explicit Canvas(Size size) : frame_{size, std::vector(size.lines, std::vector<Cell>(size.columns))} {}

    /// Returns the column after the text.
    std::size_t put(std::size_t line, std::size_t column, std::string_view text, Style style) {
        if (line >= frame_.lines.size()) return column;
        std::vector<Cell>& cells = frame_.lines[line];
        for (Glyph& glyph : glyphs_of(text)) {
            if (column + glyph.columns > cells.size()) break;
            const std::size_t next = column + glyph.columns;
            cells[column] = {std::move(glyph.text), style};
            if (glyph.columns == 2) cells[column + 1] = {{}, style};
            column = next;
        }
        return column;
    }
    void put_right(std::size_t line, std::string_view text, Style style) {
        const std::string cut = begun(text, frame_.size.columns);
        put(line, frame_.size.columns - columns_of(cut), cut, style);
    }
    void paint(std::size_t line, Style style) {
        if (line >= frame_.lines.size()) return;
        for (Cell& cell : frame_.lines[line]) cell.style = style;
    }
    [[nodiscard]] Size size() const { return frame_.size; }
    [[nodiscard]] Frame take() { return std::move(frame_); }

private:
    Frame frame_;
};

std::string age_text(double seconds) {
    const double whole = std::max(0.0, std::floor(seconds));
    return whole < 60 ? std::to_string(static_cast<u64>(whole)) + " s" : duration_text(whole * 1000);
}

/// "live", "PAUSED, shown: 12 s old", "LOST for 4 s, shown: 5 s old".
std::pair<std::string, Style> contact_text(const State& state, double now) {
    const auto& taken = state.table().taken_at;
    const std::string age = taken ? age_text(now - *taken) + " old" : "nothing known";
    if (state.contact == Contact::lost) return {"LOST for " + age_text(now - state.contact_since) + ", shown: " + age, Style::bad};
    if (state.paused) return {"PAUSED, shown: " + age, Style::warning};
    if (state.contact == Contact::asking || !taken) return {"asking", Style::warning};
    if (state.tab != Tab::events && now - *taken >= old_after_seconds) return {"shown: " + age, Style::warning};
    return {"live", Style::good};
}

void draw_title(Canvas& canvas, const State& state, double now) {
    const auto [contact, style] = contact_text(state, now);
    const std::size_t room = canvas.size().columns;
    std::string title = "vramd " + state.version + (state.version.empty() ? "" : " ") + "at " + state.where;
    if (!state.generation.empty()) title += "  core " + state.generation;
    const std::size_t taken = columns_of(contact) + gap_columns;
    canvas.put(0, 0, taken < room ? fitted(title, room - taken) : std::string(), Style::strong);
    canvas.put_right(0, contact, style);
}

void draw_bar(Canvas& canvas, const State& state, std::size_t line, const Row& device, std::size_t label_columns) {
    const std::size_t room = canvas.size().columns;
    const Parts parts = parts_of(device.record);
    const u64 used = parts.live_bytes + parts.zombie_bytes;
    const u64 whole = used + parts.reserved_bytes + parts.others_bytes + parts.free_bytes;
    const double share = whole == 0 ? 0 : 100.0 * static_cast<double>(used) / static_cast<double>(whole);
    const auto sized = [&](u64 bytes) { return state.sizes == Sizes::exact ? std::to_string(bytes) : size_text(bytes); };
    std::string figures = percentage_text(share);
    figures.insert(0, figures.size() < 7 ? 7 - figures.size() : 0, ' ');
    if (room >= 70) figures = sized(used) + " of " + sized(whole) + " " + figures;
    const std::size_t figures_columns = std::max<std::size_t>(room >= 70 ? 31 : 8, columns_of(figures) + 1);
    canvas.put(line, 0, fitted(device.id, label_columns), Style::plain);
    if (room < label_columns + figures_columns + 10) {
        canvas.put_right(line, figures, Style::plain);
        return;
    }
    const std::size_t cells = room - label_columns - figures_columns - 3;
    std::size_t column = canvas.put(line, label_columns + 1, "[", Style::plain);
    const auto shares = shares_of(parts, cells);
    for (std::size_t part = 0; part < shares.size(); ++part)
        column = canvas.put(line, column, std::string(shares[part], part_letters[part]), part_styles[part]);
    canvas.put(line, column, "]", Style::plain);
    canvas.put_right(line, figures, Style::plain);
}

void draw_bars(Canvas& canvas, const State& state, const Layout& layout) {
    const Table& devices = state.table_of(Tab::devices);
    std::size_t label_columns = 1;
    for (std::size_t i = 0; i < layout.bars; ++i)
        label_columns = std::clamp(columns_of(devices.rows[i].id), label_columns, label_columns_max);
    for (std::size_t i = 0; i < layout.bars; ++i) draw_bar(canvas, state, 1 + i, devices.rows[i], label_columns);
    if (layout.legend == 0) return;
    const std::size_t line = 1 + layout.bars;
    std::size_t column = label_columns + 2;
    constexpr std::string_view words[] = {"ours", "zombie", "reserved", "other programs", "free"};
    for (std::size_t part = 0; part < std::size(words); ++part) {
        column = canvas.put(line, column, std::string(1, part_letters[part]), part_styles[part]);
        column = canvas.put(line, column + 1, words[part], Style::faint) + gap_columns;
    }
    if (const std::size_t more = devices.rows.size() - layout.bars; more > 0)
        canvas.put_right(line, " " + std::to_string(more) + " more: press 1", Style::warning);
}

/// "40 rows", "12/40 filter: abc"; of a list that the daemon does not tell whole "newest 1000".
std::string rows_text(const State& state) {
    const Table& table = state.table();
    if (!table.taken_at) return {};
    const std::string all = std::to_string(table.rows.size());
    if (!table.filter.empty()) return std::to_string(table.shown.size()) + "/" + all + " filter: " + table.filter;
    if (table.cut) return "newest " + all;
    return all + (table.rows.size() == 1 ? " row" : " rows");
}

void draw_tabs(Canvas& canvas, const State& state, std::size_t line) {
    const std::size_t room = canvas.size().columns;
    std::size_t column = 0;
    for (const Tab tab : all_tabs) {
        const TabFacts& facts = facts_of(tab);
        const bool active = tab == state.tab;
        const std::string label = std::to_string(static_cast<std::size_t>(tab) + 1) + (room < 60 ? "" : " ") +
                                  std::string(room < 60 ? facts.short_name : facts.name);
        column = canvas.put(line, column, active ? "[" + label + "]" : " " + label + " ", active ? Style::strong : Style::plain);
    }
    if (column + 3 < room) canvas.put_right(line, begun(rows_text(state), room - column - 1), Style::faint);
}

std::string head_text(const Table& table, const Column& column, std::size_t index) {
    std::string head(column.head);
    for (std::size_t i = 0; i < table.sort.size(); ++i) {
        if (table.sort[i].column != index) continue;
        head += table.sort[i].order == Order::rising ? "\xe2\x86\x91" : "\xe2\x86\x93";
        if (i > 0) head += std::to_string(i + 1);
    }
    return head;
}

std::size_t gap_of(std::size_t room) { return room < narrow_columns ? 1 : gap_columns; }

/// How wide each column is; those without room have 0 and are the last ones.
std::vector<std::size_t> column_widths(const Table& table, std::span<const Column> columns, std::span<const Row* const> rows,
                                       std::size_t room) {
    const std::size_t gap = gap_of(room);
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        widths.push_back(columns_of(head_text(table, columns[i], i)));
        for (const Row* const row : rows) widths[i] = std::max(widths[i], columns_of(row->cells[i]));
    }
    const auto whole = [&] {
        std::size_t sum = 0;
        for (const std::size_t width : widths) sum += width == 0 ? 0 : width + gap;
        return sum <= gap ? 0 : sum - gap;
    };
    // A long name is shortened first, so that it does not push the others off; then the last columns go.
    for (std::size_t i = 0; i < columns.size() && whole() > room; ++i) {
        if (columns[i].as != As::text) continue;
        const std::size_t floor = std::max(column_min, columns_of(columns[i].head) + 2);
        const std::size_t third = std::max(room / 3, floor);
        if (widths[i] > third) widths[i] = third;
    }
    for (std::size_t i = columns.size(); i-- > 1 && whole() > room;) {
        const std::size_t before = whole() - widths[i] - gap;
        const bool text = columns[i].as == As::text;
        widths[i] = text && before + gap + column_min <= room ? room - before - gap : 0;
    }
    widths[0] = std::min(widths[0], room);
    return widths;
}

void draw_cells(Canvas& canvas, std::size_t line, std::span<const Column> columns, const std::vector<std::size_t>& widths,
                auto text_of_column, Style style) {
    std::size_t column = canvas.size().columns > 2 ? 1 : 0;  // Before it stands the mark of the chosen row.
    for (std::size_t i = 0; i < columns.size() && widths[i] > 0; ++i) {
        const std::string text = fitted(text_of_column(i), widths[i]);
        const std::size_t padding = is_number(columns[i].as) ? widths[i] - columns_of(text) : 0;
        canvas.put(line, column + padding, text, style);
        column += widths[i] + gap_of(canvas.size().columns - 1);
    }
}

/// What stands out by itself, beside its word.
Style row_style(const State& state, const Row& row) {
    const std::string status = text_at(row.record, state.tab == Tab::devices ? "health" : state.tab == Tab::models ? "state" : "status");
    if (status == "lost" || status == "failed") return Style::bad;
    if (status == "zombie" || status == "degraded" || status == "loading" || status == "running" || status == "pending")
        return Style::warning;
    return Style::plain;
}

void draw_rows(Canvas& canvas, const State& state, const Layout& layout) {
    const Table& table = state.table();
    const TabFacts& facts = facts_of(state.tab);
    const std::size_t first = state.interactive && table.at >= layout.rows ? table.at - layout.rows + 1 : 0;
    std::vector<const Row*> rows;
    for (std::size_t i = first; i < table.shown.size() && rows.size() < layout.rows; ++i) rows.push_back(&table.rows[table.shown[i]]);
    const std::size_t room = canvas.size().columns > 2 ? canvas.size().columns - 1 : canvas.size().columns;
    const std::vector<std::size_t> widths = column_widths(table, facts.columns, rows, room);
    draw_cells(
        canvas, layout.rows_at - 1, facts.columns, widths, [&](std::size_t i) { return head_text(table, facts.columns[i], i); },
        Style::heading);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const bool chosen = state.interactive && first + i == table.at;
        const std::size_t line = layout.rows_at + i;
        const Style style = chosen ? Style::chosen : row_style(state, *rows[i]);
        if (chosen) canvas.paint(line, style);
        if (chosen) canvas.put(line, 0, ">", style);
        draw_cells(
            canvas, line, facts.columns, widths, [&](std::size_t column) { return rows[i]->cells[column]; }, style);
    }
    if (!rows.empty()) return;
    const std::string none = !table.taken_at        ? "Asking the daemon."
                             : table.filter.empty() ? std::string(facts.none)
                                                    : "No row has '" + table.filter + "'.";
    canvas.put(layout.rows_at, 1, begun(none, room), Style::faint);
}

void draw_page(Canvas& canvas, const Layout& layout, std::string_view title, auto line_of, std::size_t count, std::size_t at) {
    const std::size_t room = canvas.size().columns;
    canvas.put(layout.tabs_at, 0, begun(title, room), Style::heading);
    std::size_t line = layout.tabs_at + 1;
    for (; line < layout.foot_at && at < count; ++at)
        for (const std::string& part : wrapped(line_of(at), room))
            if (line < layout.foot_at) canvas.put(line++, 0, part, Style::plain);
}

std::string foot_text(const State& state) {
    switch (state.mode) {
        case Mode::question:
            return state.question + "  y: yes, any other key: no";
        case Mode::filter:
            return "Filter: " + state.typed + "_";
        case Mode::details:
            return "Esc back  Up Down PgUp PgDn scroll";
        case Mode::help:
            return "Any key goes back.";
        case Mode::rows:
            break;
    }
    if (!state.notice.empty()) return state.notice;
    if (state.contact == Contact::lost) return state.why + " Trying again.";
    return state.interactive ? std::string(keys_line) : std::string();
}
}  // namespace

Layout layout_of(const State& state, Size size) {
    Layout layout;
    const std::string foot = foot_text(state);
    if (!foot.empty() && size.columns > 0) {
        layout.foot = foot == keys_line ? std::vector{begun(foot, size.columns)} : wrapped(foot, size.columns);
        const std::size_t most = std::clamp<std::size_t>(size.lines / 3, 1, foot_lines_max);
        if (layout.foot.size() > most) layout.foot.resize(most);
        if (size.lines < 2) layout.foot.clear();
    }
    layout.foot_at = size.lines - layout.foot.size();
    const std::size_t devices = state.table_of(Tab::devices).rows.size();
    const std::size_t bars_max = size.lines < 8 ? 0 : std::max<std::size_t>((size.lines - 6) / 3, 1);
    layout.bars = std::min(devices, bars_max);
    layout.legend = layout.bars > 0 && size.lines >= 16 ? 1 : 0;
    layout.tabs_at = std::min<std::size_t>(1 + layout.bars + layout.legend, layout.foot_at);
    layout.rows_at = std::min(layout.tabs_at + 2, layout.foot_at);
    layout.rows = layout.foot_at - layout.rows_at;
    return layout;
}

Frame frame_of(const State& state, Size size, double now_seconds) {
    Canvas canvas(size);
    if (size.lines == 0 || size.columns == 0) return canvas.take();
    const Layout layout = layout_of(state, size);
    draw_title(canvas, state, now_seconds);
    draw_bars(canvas, state, layout);
    if (state.mode == Mode::details) {
        draw_page(
            canvas, layout, state.details_title, [&](std::size_t i) { return std::string_view(state.details[i]); }, state.details.size(),
            state.details_at);
    } else if (state.mode == Mode::help) {
        draw_page(
            canvas, layout, "Keys", [](std::size_t i) { return help_lines()[i]; }, help_lines().size(), 0);
    } else {
        if (layout.tabs_at < layout.foot_at) draw_tabs(canvas, state, layout.tabs_at);
        if (layout.rows > 0) draw_rows(canvas, state, layout);
    }
    const Style foot_style =
        state.mode == Mode::question || state.mode == Mode::filter || !state.notice.empty() ? Style::strong : Style::faint;
    for (std::size_t i = 0; i < layout.foot.size(); ++i) canvas.put(layout.foot_at + i, 0, layout.foot[i], foot_style);
    return canvas.take();
}

std::string text_of(const Frame& frame) {
    std::string text;
    std::size_t kept = 0;
    for (const std::vector<Cell>& cells : frame.lines) {
        std::string line;
        for (const Cell& cell : cells) line += cell.text;
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
        if (!line.empty()) kept = text.size();
    }
    text.resize(kept);
    return text;
}
}  // namespace vramd::cli::top
