#include "cli/top_keys.hpp"

#include <algorithm>

#include "cli/figures.hpp"
#include "cli/top_text.hpp"

namespace vramd::cli::top {
namespace {
constexpr std::string_view help[] = {
    "1 to 5, Tab     Devices, Processes, Models, Transfers, Events",
    "Up Down j k     choose a row; PgUp PgDn a page; End the last; Home the first",
    "< >             sort by the column before or after; the old one comes second",
    "R               turn the order round",
    "M T N           sort by size, by time, by the first column",
    "/  F4           show only rows that have a text; Enter keeps it, Esc ends it",
    "Enter           the chosen row in full, with its history",
    "u               unload the chosen model: asks first, and names the bytes",
    "K  F9           free the allocation by force, or cancel the transfer: asks too",
    "p               pause: what is shown stays",
    "?  h  q         this page; quit (as F10 and Ctrl-C do)",
    "A bar: # ours, z zombie (freed, still held), r reserved, o other programs.",
    "No client is ended from here: what it holds is freed, and is a zombie until",
    "the client lets go.",
};

std::string sized(const State& state, u64 bytes) {
    return state.sizes == Sizes::exact ? std::to_string(bytes) + " bytes" : size_text(bytes);
}

void ask(State& state, std::string question, Wish on_yes) {
    state.mode = Mode::question;
    state.question = std::move(question);
    state.on_yes = std::move(on_yes);
}

std::string clients_text(u64 clients) { return clients == 1 ? "1 client holds it" : std::to_string(clients) + " clients hold it"; }

/// `record` is a model's, as of the tab of models.
void ask_unload_model(State& state, const json::object& record) {
    const std::string name = text_at(record, "name");
    u64 bytes = 0;
    if (const json::value* const places = record.if_contains("places"); places != nullptr && places->is_array())
        for (const json::value& place : places->get_array())
            if (place.is_object()) bytes += number_at(place.get_object(), "sizeBytes").value_or(0);
    const u64 clients = number_at(record, "attachedClients").value_or(0);
    const std::string held = clients == 0 ? std::string() : " " + clients_text(clients) + ", so the daemon may refuse.";
    const std::string devices = text_at(record, "devices");
    ask(state,
        "Unload " + name + "? " + sized(state, bytes) + " on " + devices + " go back, or stay in the RAM cache while it has room." + held,
        {Wish::What::act, "DELETE", "/api/model/unload" + Query().add("name", name).text(), "Unloaded " + name});
}

void unload(State& state) {
    const Row* const row = chosen_row(state);
    if (row != nullptr && state.tab == Tab::models) return ask_unload_model(state, row->record);
    const std::string model = row != nullptr && state.tab == Tab::processes ? text_at(row->record, "model") : std::string();
    if (model.empty()) {
        state.notice = "u unloads a model: choose one in Models (3), or the memory of one in Processes (2).";
        return;
    }
    const std::string device = text_at(row->record, "deviceId");
    const u64 bytes = number_at(row->record, "sizeBytes").value_or(0);
    ask(state, "Unload " + model + " from " + device + "? " + sized(state, bytes) + " go back, or stay in the RAM cache while it has room.",
        {Wish::What::act, "DELETE", "/api/model/unload/" + http::percent_encoded(device) + Query().add("name", model).text(),
         "Unloaded " + model + " from " + device});
}

void end_allocation(State& state, const json::object& record) {
    const std::string id = text_at(record, "id"), model = text_at(record, "model"), purpose = text_at(record, "purpose");
    const u64 clients = number_at(record, "attachedClients").value_or(0);
    if (!model.empty()) {
        state.notice = "It holds the model " + model + ": u unloads it.";
    } else if (text_at(record, "status") == "zombie") {
        state.notice = "It is freed already, and its memory comes back when the last client lets go.";
    } else {
        std::string question = "Free " + id + " by force? " + sized(state, number_at(record, "sizeBytes").value_or(0)) + " of " +
                               text_at(record, "owner") + " on " + text_at(record, "deviceId");
        if (!purpose.empty()) question += " (" + purpose + ")";
        question += clients == 0 ? ": its bytes are lost."
                                 : ": " + clients_text(clients) + " and can go on with it; the memory comes back when the last lets go.";
        ask(state, std::move(question),
            {Wish::What::act, "DELETE", "/api/memory/allocations/" + http::percent_encoded(id) + "?force=true", "Freed " + id});
    }
}

void end_holder(State& state) {
    const Row* const row = chosen_row(state);
    if (row != nullptr && state.tab == Tab::processes) return end_allocation(state, row->record);
    if (row == nullptr || state.tab != Tab::transfers) {
        state.notice = "K ends what a row of Processes (2) or Transfers (4) stands for.";
        return;
    }
    const std::string status = text_at(row->record, "status");
    if (status != "queued" && status != "running") {
        state.notice = "The transfer has ended already (" + status + ").";
        return;
    }
    ask(state,
        "Cancel " + row->id + "? " + sized(state, number_at(row->record, "sizeBytes").value_or(0)) + " from " +
            text_at(row->record, "sourceDeviceId") + " to " + text_at(row->record, "targetDeviceId") + "; the source stays as it is.",
        {Wish::What::act, "DELETE", "/api/memory/transfer/" + http::percent_encoded(row->id), "Cancelled " + row->id});
}

Wish look(const State& state) {
    const Row* const row = chosen_row(state);
    if (row == nullptr) return {};
    const std::string id = http::percent_encoded(row->id);
    switch (state.tab) {
        case Tab::devices:
            return {Wish::What::look, "GET", "/api/memory/status/" + id + "?includeUsageStats=true&includeFragmentation=true",
                    "Device " + row->id};
        case Tab::processes:
            return {Wish::What::look, "GET", "/api/memory/allocation/" + id + "?includeHistory=true", "Allocation " + row->id};
        case Tab::models:
            return {Wish::What::look, "GET", "/api/model/info?name=" + id, "Model " + row->id};
        case Tab::transfers:
            return {Wish::What::look, "GET", "/api/memory/transfer/" + id, "Transfer " + row->id};
        case Tab::events:
            break;
    }
    return {Wish::What::look, {}, {}, "Event " + row->id};
}

Wish turn_to(State& state, Tab tab) {
    state.tab = tab;
    return {Wish::What::turn};
}

Wish turn_by(State& state, std::size_t steps) {
    return turn_to(state, all_tabs[(static_cast<std::size_t>(state.tab) + steps) % tab_count]);
}

void move_to(State& state, std::size_t at) {
    Table& table = state.table();
    if (table.shown.empty()) return;
    table.at = std::min(at, table.shown.size() - 1);
    table.chosen = table.rows[table.shown[table.at]].id;
}

void sort_on(State& state, std::size_t column) {
    const TabFacts& facts = facts_of(state.tab);
    const bool falling = facts.columns[column].as != As::text;
    sort_first(state.table(), {column, falling ? Order::falling : Order::rising});
    arrange(state, state.tab);
}

void sort_beside(State& state, std::size_t steps) {
    const std::size_t columns = facts_of(state.tab).columns.size();
    sort_on(state, (state.table().sort.front().column + steps) % columns);
}

void turn_order(State& state) {
    SortKey& first = state.table().sort.front();
    first.order = first.order == Order::rising ? Order::falling : Order::rising;
    arrange(state, state.tab);
}

void set_filter(State& state, std::string text) {
    state.typed = std::move(text);
    state.table().filter = state.typed;
    arrange(state, state.tab);
}

void press_in_filter(State& state, const Key& key) {
    if (key.name == Key::Name::text) return set_filter(state, state.typed + key.text);
    if (key.name == Key::Name::backspace) {
        std::vector<Glyph> glyphs = glyphs_of(state.typed);
        std::string shorter;
        for (std::size_t i = 0; i + 1 < glyphs.size(); ++i) shorter += glyphs[i].text;
        return set_filter(state, shorter);
    }
    if (key.name == Key::Name::escape) set_filter(state, {});
    if (key.name == Key::Name::escape || key.name == Key::Name::enter) state.mode = Mode::rows;
}

void press_in_details(State& state, const Key& key, std::size_t page_rows) {
    const std::size_t last = state.details.size() > page_rows ? state.details.size() - page_rows : 0;
    std::size_t& at = state.details_at;
    if (key.name == Key::Name::up || key.text == "k")
        at -= at > 0 ? 1 : 0;
    else if (key.name == Key::Name::down || key.text == "j")
        ++at;
    else if (key.name == Key::Name::page_up)
        at -= std::min(at, page_rows);
    else if (key.name == Key::Name::page_down || key.text == " ")
        at += page_rows;
    else if (key.name == Key::Name::home)
        at = 0;
    else if (key.name == Key::Name::end)
        at = last;
    else if (key.name == Key::Name::escape || key.name == Key::Name::enter || key.name == Key::Name::left || key.text == "q")
        state.mode = Mode::rows;
    at = std::min(at, state.details.empty() ? 0 : state.details.size() - 1);
}

/// Keys that move the choice; false: it is none of them.
bool press_to_move(State& state, const Key& key, std::size_t page_rows) {
    const std::size_t at = state.table().at;
    if (key.name == Key::Name::up || key.text == "k") return move_to(state, at - std::min<std::size_t>(at, 1)), true;
    if (key.name == Key::Name::down || key.text == "j") return move_to(state, at + 1), true;
    if (key.name == Key::Name::page_up) return move_to(state, at - std::min(at, page_rows)), true;
    if (key.name == Key::Name::page_down) return move_to(state, at + page_rows), true;
    if (key.name == Key::Name::end) return move_to(state, number_max), true;
    if (key.name != Key::Name::home) return false;
    state.table().at = 0;
    state.table().chosen.clear();
    return true;
}

/// A letter that stands for the key, so that one table tells what each does; 0: none does.
char meaning_of(const Key& key) {
    switch (key.name) {
        case Key::Name::left:
            return '<';
        case Key::Name::right:
            return '>';
        case Key::Name::tab:
            return '\t';
        case Key::Name::back_tab:
            return '\b';
        case Key::Name::enter:
            return '\n';
        case Key::Name::escape:
            return '\x1b';
        case Key::Name::function: {
            constexpr std::pair<std::string_view, char> functions[] = {{"1", '?'}, {"4", '/'}, {"6", '>'}, {"9", 'K'}, {"10", 'q'}};
            for (const auto& [number, letter] : functions)
                if (key.text == number) return letter;
            return 0;
        }
        case Key::Name::text:
            return key.text.size() == 1 ? key.text[0] : '\0';
        default:
            return 0;
    }
}

/// Keys that sort; false: it is none of them.
bool press_to_sort(State& state, char meaning) {
    const TabFacts& facts = facts_of(state.tab);
    switch (meaning) {
        case '<':
        case ',':
            return sort_beside(state, facts.columns.size() - 1), true;
        case '>':
        case '.':
            return sort_beside(state, 1), true;
        case 'R':
        case 'I':
            return turn_order(state), true;
        case 'M':
            return sort_on(state, facts.size_column), true;
        case 'T':
            return sort_on(state, facts.time_column), true;
        case 'N':
            return sort_on(state, 0), true;
        default:
            return false;
    }
}

Wish press_on_rows(State& state, const Key& key, std::size_t page_rows, double now_seconds) {
    const char meaning = meaning_of(key);
    if (press_to_move(state, key, page_rows) || press_to_sort(state, meaning)) return {};
    switch (meaning) {
        case '1':
        case '2':
        case '3':
        case '4':
        case '5':
            return turn_to(state, all_tabs[static_cast<std::size_t>(meaning - '1')]);
        case '\t':
            return turn_by(state, 1);
        case '\b':
            return turn_by(state, tab_count - 1);
        case '\n':
            return look(state);
        case 'q':
            return {Wish::What::quit};
        case '/':
        case '\\':
            state.typed = state.table().filter;
            state.mode = Mode::filter;
            return {};
        case '\x1b':
            return set_filter(state, {}), Wish{};
        case 'u':
            return unload(state), Wish{};
        case 'K':
            return end_holder(state), Wish{};
        case 'p':
            state.paused = !state.paused;
            take_events(state, {}, now_seconds);
            return {state.paused ? Wish::What::nothing : Wish::What::turn};
        case '?':
        case 'h':
            state.mode = Mode::help;
            return {};
        default:
            return {};
    }
}
}  // namespace

std::span<const std::string_view> help_lines() { return help; }

Wish press(State& state, const Key& key, std::size_t page_rows, double now_seconds) {
    state.notice.clear();
    switch (state.mode) {
        case Mode::question:
            state.mode = Mode::rows;
            if (key.text == "y" || key.text == "Y") return state.on_yes;
            state.notice = "Nothing was done.";
            return {};
        case Mode::filter:
            return press_in_filter(state, key), Wish{};
        case Mode::details:
            return press_in_details(state, key, page_rows), Wish{};
        case Mode::help:
            state.mode = Mode::rows;
            return {};
        case Mode::rows:
            break;
    }
    return press_on_rows(state, key, page_rows, now_seconds);
}
}  // namespace vramd::cli::top
