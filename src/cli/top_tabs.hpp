/// The five tabs of vramctl top: what each lists, from which call, in which columns.
///
/// Columns stand in the order of their weight: what a narrow screen has no room for falls off at the right.
#pragma once
#include <array>
#include <optional>
#include <span>

#include "cli/show.hpp"

namespace vramd::cli::top {
enum class Tab : u8 { devices, processes, models, transfers, events };
inline constexpr std::size_t tab_count = 5;
inline constexpr std::array<Tab, tab_count> all_tabs = {Tab::devices, Tab::processes, Tab::models, Tab::transfers, Tab::events};

enum class Order : u8 { rising, falling };

struct TabFacts {
    std::string_view name;        ///< "Processes"
    std::string_view short_name;  ///< Where there is little room.
    std::string_view word;        ///< As --tab takes it.
    std::string_view target;      ///< The call that tells its rows; of events empty, for these come by themselves.
    std::string_view field;       ///< Where in the answer they are.
    std::string_view id;          ///< The key of what tells one row from the others.
    std::span<const Column> columns;
    std::size_t sort_column;  ///< At first.
    Order order;
    std::size_t size_column;  ///< What the keys M, T and N sort by.
    std::size_t time_column;
    std::string_view none;  ///< What is said where there are no rows.
};
[[nodiscard]] const TabFacts& facts_of(Tab tab);
[[nodiscard]] std::optional<Tab> tab_named(std::string_view word);

/// Adds to a record what its columns show and the daemon does not tell so: who a device's bytes are with, a model's devices, an event's
/// remaining fields in words.
void complete(Tab tab, json::object& record, Sizes sizes);

/// A device's capacity in five parts that sum to it.
struct Parts {
    u64 live_bytes = 0;
    u64 zombie_bytes = 0;    ///< Freed, and still held by somebody.
    u64 reserved_bytes = 0;  ///< Kept back.
    u64 others_bytes = 0;    ///< Taken by other programs from what the daemon could have given.
    u64 free_bytes = 0;
    bool operator==(const Parts&) const = default;
};
/// Of a device's status.
[[nodiscard]] Parts parts_of(const json::object& status);
}  // namespace vramd::cli::top
