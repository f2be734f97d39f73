#include "cli/top_state.hpp"

#include <algorithm>

#include "cli/figures.hpp"

namespace vramd::cli::top {
namespace {
std::string lower_case(std::string_view text) {
    std::string lower(text);
    for (char& c : lower)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return lower;
}

Row row_of(Tab tab, const json::object& item, Sizes sizes, double now_seconds) {
    const TabFacts& facts = facts_of(tab);
    Row row;
    row.record = item;
    complete(tab, row.record, sizes);
    row.id = text_at(row.record, facts.id);
    for (const Column& column : facts.columns) {
        std::string& cell = row.cells.emplace_back(cell_text(row.record, column, sizes, now_seconds));
        if (column.as == As::time && cell.ends_with(" ago")) cell.resize(cell.size() - 4);  // The head says so.
    }
    return row;
}

bool passes(const Row& row, std::string_view filter_in_lower_case) {
    if (filter_in_lower_case.empty()) return true;
    return std::any_of(row.cells.begin(), row.cells.end(),
                       [&](const std::string& cell) { return lower_case(cell).find(filter_in_lower_case) != std::string::npos; });
}

/// A row's value in a column, as it is sorted by: numbers by their value, all else by its text, for times in RFC 3339 are in order so.
struct Rank {
    std::optional<double> number;
    std::string text;  ///< Where there is no number.
};
Rank rank_of(const Row& row, const Column& column) {
    Rank rank{real_at(row.record, column.key), {}};
    if (!rank.number) rank.text = text_at(row.record, column.key);
    return rank;
}
/// Below 0, 0 or above it. What has no figure is less than any.
int compare(const Rank& one, const Rank& other) {
    if (one.number && other.number) return *one.number < *other.number ? -1 : *one.number > *other.number ? 1 : 0;
    if (one.number.has_value() != other.number.has_value()) return one.number ? 1 : -1;
    return one.text.compare(other.text);
}

void find_chosen(Table& table) {
    if (!table.chosen.empty()) {
        for (std::size_t place = 0; place < table.shown.size(); ++place)
            if (table.rows[table.shown[place]].id == table.chosen) {
                table.at = place;
                return;
            }
    }
    // It is gone: the row that stands where it stood is the next one.
    table.at = table.shown.empty() ? 0 : std::min(table.at, table.shown.size() - 1);
    if (!table.chosen.empty() && !table.shown.empty()) table.chosen = table.rows[table.shown[table.at]].id;
}
}  // namespace

State::State() {
    for (const Tab one : all_tabs) table_of(one).sort = {{facts_of(one).sort_column, facts_of(one).order}};
}

const Row* chosen_row(const State& state) {
    const Table& table = state.table();
    return table.at < table.shown.size() ? &table.rows[table.shown[table.at]] : nullptr;
}

void arrange(State& state, Tab tab) {
    Table& table = state.table_of(tab);
    const std::span<const Column> columns = facts_of(tab).columns;
    const std::string filter = lower_case(table.filter);
    std::vector<std::pair<std::size_t, std::vector<Rank>>> ranked;  // A value is looked up once for each row, not for each comparison.
    for (std::size_t i = 0; i < table.rows.size(); ++i) {
        if (!passes(table.rows[i], filter)) continue;
        std::vector<Rank>& ranks = ranked.emplace_back(i, std::vector<Rank>{}).second;
        for (const SortKey& key : table.sort) ranks.push_back(rank_of(table.rows[i], columns[key.column]));
    }
    std::stable_sort(ranked.begin(), ranked.end(), [&](const auto& one, const auto& other) {
        for (std::size_t i = 0; i < table.sort.size(); ++i) {
            const int compared = compare(one.second[i], other.second[i]);
            if (compared != 0) return table.sort[i].order == Order::rising ? compared < 0 : compared > 0;
        }
        return false;
    });
    table.shown.clear();
    for (const auto& [place, ranks] : ranked) table.shown.push_back(place);
    find_chosen(table);
}

void take_rows(State& state, Tab tab, const json::value& body, double now_seconds) {
    if (state.paused) return;
    Table& table = state.table_of(tab);
    table.rows.clear();
    for (const json::value& item : items_of(body, facts_of(tab).field))
        if (item.is_object()) table.rows.push_back(row_of(tab, item.get_object(), state.sizes, now_seconds));
    table.cut = body.is_object() && !text_at(body.get_object(), "nextCursor").empty();
    table.taken_at = now_seconds;
    arrange(state, tab);
}

void take_events(State& state, std::span<const std::string> events, double now_seconds) {
    state.held_events.insert(state.held_events.end(), events.begin(), events.end());
    while (state.held_events.size() > event_rows_max) state.held_events.pop_front();
    if (state.paused || state.held_events.empty()) return;
    Table& table = state.table_of(Tab::events);
    for (const std::string& text : state.held_events) {
        const auto event = parse_document(text);
        if (event && event->is_object()) table.rows.push_back(row_of(Tab::events, event->get_object(), state.sizes, now_seconds));
    }
    state.held_events.clear();
    while (table.rows.size() > event_rows_max) table.rows.pop_front();
    table.taken_at = now_seconds;
    arrange(state, Tab::events);
}

void take_system(State& state, const json::value& body) {
    if (!body.is_object()) return;
    state.version = printable(text_at(body.get_object(), "version"));
    const std::string generation = text_at(body.get_object(), "generation");
    if (!state.generation.empty() && generation != state.generation)
        state.notice = (state.notice.empty() ? "The core was started again." : state.notice) + " It is core " + generation + " now.";
    state.generation = generation;
}

void take_contact(State& state, double now_seconds) {
    if (state.contact == Contact::lost) {
        const std::string away = duration_text((now_seconds - state.contact_since) * 1000);
        state.notice = "The daemon answers again, after " + away + "." + (state.notice.empty() ? "" : " ") + state.notice;
    }
    if (state.contact != Contact::live) state.contact_since = now_seconds;
    state.contact = Contact::live;
    state.why.clear();
}

void take_loss(State& state, std::string why, double now_seconds) {
    if (state.contact != Contact::lost) state.contact_since = now_seconds;
    state.contact = Contact::lost;
    state.why = printable(std::move(why));
    state.notice.clear();
}

void take_details(State& state, std::string title, std::string_view text) {
    state.mode = Mode::details;
    state.details_title = std::move(title);
    state.details.clear();
    state.details_at = 0;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        state.details.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

void sort_first(Table& table, SortKey key) {
    std::erase_if(table.sort, [&](const SortKey& other) { return other.column == key.column; });
    table.sort.insert(table.sort.begin(), key);
    if (table.sort.size() > sort_keys_max) table.sort.resize(sort_keys_max);
}

Told<void> sort_by(State& state, std::string_view words) {
    const std::span<const Column> columns = facts_of(state.tab).columns;
    std::vector<SortKey> keys;
    while (!words.empty()) {
        std::string_view word = words.substr(0, words.find(','));
        words.remove_prefix(std::min(word.size() + 1, words.size()));
        const bool turned = word.starts_with('-');
        if (turned) word.remove_prefix(1);
        std::string known;
        std::optional<std::size_t> found;
        for (std::size_t i = 0; i < columns.size(); ++i) {
            const std::string name = lower_case(columns[i].head.substr(0, columns[i].head.find(' ')));
            known += (known.empty() ? "" : ", ") + name;
            if (name == lower_case(word)) found = i;
        }
        if (!found)
            return std::unexpected(Failure(Exit::usage, "sort: '" + std::string(word) + "' is no column of " +
                                                            std::string(facts_of(state.tab).word) + ": " + known + "."));
        // Figures and times are looked at from their largest, texts from their first.
        const Order usual = columns[*found].as == As::text ? Order::rising : Order::falling;
        const Order other = usual == Order::rising ? Order::falling : Order::rising;
        keys.push_back({*found, turned ? other : usual});
    }
    for (std::size_t i = keys.size(); i-- > 0;) sort_first(state.table(), keys[i]);
    return {};
}
}  // namespace vramd::cli::top
