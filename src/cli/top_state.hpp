/// What vramctl top knows and shows, as a value: rows from the API's answers, their order, what is chosen, what is asked of the user.
///
/// Nothing here waits, draws or calls: keys and answers go in, and what is to be done comes out as a `Wish`. Times are given, never read.
#pragma once
#include <deque>

#include "cli/top_tabs.hpp"

namespace vramd::cli::top {
struct Row {
    std::string id;
    json::object record;
    std::vector<std::string> cells;  ///< As shown: one for each column.
};
struct SortKey {
    std::size_t column = 0;
    Order order = Order::rising;
    bool operator==(const SortKey&) const = default;
};

/// A tab's rows, in which order they are shown, and which one is chosen.
struct Table {
    std::deque<Row> rows;
    std::vector<std::size_t> shown;  ///< Positions in `rows` of those that the filter lets pass, in order.
    std::vector<SortKey> sort;       ///< The first decides; where rows are equal by it, the next.
    std::string filter;
    std::size_t at = 0;              ///< The chosen row's place in `shown`.
    std::string chosen;              ///< Its id, so that it stays chosen wherever it goes; empty: whichever is first.
    bool cut = false;                ///< The daemon has more rows than it tells at once.
    std::optional<double> taken_at;  ///< When the rows were told.
};
inline constexpr std::size_t sort_keys_max = 3;
inline constexpr std::size_t event_rows_max = 1000;

/// Something that a key asks for and that the state cannot do itself.
struct Wish {
    enum class What : u8 {
        nothing,
        quit,
        turn,  ///< Another tab: its rows are wanted.
        look,  ///< One thing in full, from `target`.
        act,   ///< The call `method` `target`, which the user has said yes to.
    };
    What what = What::nothing;
    std::string method = {};
    std::string target = {};
    std::string title = {};  ///< Of what is looked at, or what was done: "Unloaded detector".
};

enum class Mode : u8 { rows, filter, question, details, help };
enum class Contact : u8 { asking, live, lost };

struct State {
    // What the user asked for on the command line.
    std::string where;  ///< The daemon's address, as told.
    Sizes sizes = Sizes::figures;
    bool interactive = true;  ///< False: one frame for a script, without keys and a chosen row.

    Tab tab = Tab::processes;
    std::array<Table, tab_count> tables;
    std::string version;
    std::string generation;
    Contact contact = Contact::asking;
    double contact_since = 0;
    std::string why;  ///< Why it is lost.
    bool paused = false;
    std::deque<std::string> held_events;  ///< That came while paused; the newest of them.

    Mode mode = Mode::rows;
    std::string typed;     ///< The filter so far.
    std::string question;  ///< What `on_yes` would do, with the bytes it concerns.
    Wish on_yes;
    std::string details_title;
    std::vector<std::string> details;
    std::size_t details_at = 0;  ///< The first line shown.
    std::string notice;          ///< What came of the last action, until the next key.

    State();
    [[nodiscard]] Table& table() { return tables[static_cast<std::size_t>(tab)]; }
    [[nodiscard]] const Table& table() const { return tables[static_cast<std::size_t>(tab)]; }
    [[nodiscard]] Table& table_of(Tab which) { return tables[static_cast<std::size_t>(which)]; }
    [[nodiscard]] const Table& table_of(Tab which) const { return tables[static_cast<std::size_t>(which)]; }
};

/// The chosen row; nullptr where there is none.
[[nodiscard]] const Row* chosen_row(const State& state);

/// An answer to a tab's call. While paused what is shown stays as it is.
void take_rows(State& state, Tab tab, const json::value& body, double now_seconds);
/// Events as the stream has them, oldest first. While paused they are kept and not shown.
void take_events(State& state, std::span<const std::string> events, double now_seconds);
/// The answer of /api/system.
void take_system(State& state, const json::value& body);
/// The daemon answered; where it had been lost, a notice tells how long.
void take_contact(State& state, double now_seconds);
/// It does not answer: `why` is a sentence.
void take_loss(State& state, std::string why, double now_seconds);
/// What was looked at, in lines.
void take_details(State& state, std::string title, std::string_view text);

/// Filters and sorts a tab's rows anew, and finds the chosen one again.
void arrange(State& state, Tab tab);
/// The tab's sort order from words like "size,owner" ("-" before one: the other way round). Errors: a usage failure that names the columns.
[[nodiscard]] Told<void> sort_by(State& state, std::string_view words);
/// The column comes first; the one that was, second.
void sort_first(Table& table, SortKey key);
}  // namespace vramd::cli::top
