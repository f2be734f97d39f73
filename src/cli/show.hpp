/// Answers on stdout, in the form that -o asks for. json is the server's body, unchanged; jsonl is one item a line, unchanged; csv has
/// exact numbers; tables are for people.
#pragma once
#include <span>

#include "cli/document.hpp"
#include "cli/session.hpp"

namespace vramd::cli {
/// How a column's values are told.
enum class As : u8 { text, number, size, rate, percentage, duration_ms, time, usage_bar };
enum class Shown : u8 { always, wide };

/// A column's head, key and place never change within a major version: scripts cut them out.
struct Column {
    std::string_view head;
    std::string_view key;  ///< Dotted path within an item.
    As as = As::text;
    Shown shown = Shown::always;
};

/// A list: asks for one page after the other (json: for one page of the largest size) and shows the items. `name` is the key of -o name.
/// `none` is what a person is told when there are none.
struct ListView {
    std::span<const Column> columns;
    std::string_view name = "id";
    std::string_view field = "items";
    std::string_view none;
};
[[nodiscard]] Told<void> show_list(Session& session, std::string target, Query query, const ListView& view);

/// An answer that has its list in it (a status with devices), shown from its body.
[[nodiscard]] Told<void> show_items(Session& session, const std::string& body, const ListView& view);

/// One record: for a person, a line per field. `name` is the key of -o name; of "list.key" each item of the list has one.
[[nodiscard]] Told<void> show_record(Session& session, const std::string& body, std::string_view name);
/// What came of a change whose answer does not say what it is about: `about`, as the user called it, is what -o name shows.
[[nodiscard]] Told<void> show_done(Session& session, const std::string& body, std::string_view about);

/// A field's value as a person reads it, by what its name ends with: "durationMs" as "0.84 ms", "sizeBytes" as "2.00 MiB".
[[nodiscard]] std::string figure_text(const Session& session, std::string_view key, const json::object& object);
[[nodiscard]] std::string figure_text(Sizes sizes, std::string_view key, const json::object& object);
/// An item's value in a column, as a person reads it.
[[nodiscard]] std::string cell_text(const json::object& item, const Column& column, Sizes sizes, double now_seconds);
/// Values that stand to the right of their column.
[[nodiscard]] bool is_number(As as);
/// A record as a person reads it: a line per field, what it holds in turn below it.
[[nodiscard]] std::string record_text(const Session& session, const json::object& object);

/// The items of an array as they stand in the text, byte by byte. `text` is valid JSON whose top is an object.
[[nodiscard]] std::vector<std::string_view> raw_items(std::string_view text, std::string_view field);

/// Cells as lines, columns padded; numbers to the right. Rows have as many cells as there are columns.
[[nodiscard]] std::string table_text(std::span<const Column> columns, const std::vector<std::vector<std::string>>& rows, When bold_head);
/// Shortens the longest texts of the widest text column in their middle, so that the lines fit into `columns_max` columns of a screen; a
/// column keeps at least `shortened_min` of them, for ids and devices are never cut. 0: nothing is cut.
void fit_to_screen(std::span<const Column> columns, std::vector<std::vector<std::string>>& rows, std::size_t columns_max);
inline constexpr std::size_t shortened_min = 24;
/// One CSV line (RFC 4180).
[[nodiscard]] std::string csv_line(std::span<const std::string> cells);
/// "sizeBytes" as "Size", "isPinned" as "Is pinned".
[[nodiscard]] std::string label_of(std::string_view key);
}  // namespace vramd::cli
