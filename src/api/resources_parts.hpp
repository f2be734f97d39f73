/// What several resources share: enumerations, paging, and the figures that come beside every change.
#pragma once
#include "api/shape.hpp"
#include "terms/enums.hpp"

namespace vramd {
namespace api {
enum class HealthState : u8 { good, degraded, lost };
enum class FreeStatus : u8 { freed, zombie, cached };
}  // namespace api
template <>
struct EnumNames<api::HealthState> {
    static constexpr std::array<std::string_view, 3> names = {"good", "degraded", "lost"};
};
template <>
struct EnumNames<api::FreeStatus> {
    static constexpr std::array<std::string_view, 3> names = {"freed", "zombie", "cached"};
};

namespace api {
inline constexpr u64 page_items_max = 1000;
inline constexpr u64 name_bytes_max = 128;

template <>
inline constexpr auto description<AllocationType> = describe("AllocationType",
                                                             "What the memory is for. default, buffer: movable within its device. pinned: "
                                                             "locked, never moved. mapped: a block of its own, shareable. texture: "
                                                             "aligned to 64 KiB. unified: as mapped, and reached by every GPU.");
template <>
inline constexpr auto description<Priority> = describe("Priority", "In which order requests get room.");
template <>
inline constexpr auto description<AllocationStatus> =
    describe("AllocationStatus", "pending: being made ready. live: usable. zombie: freed, but somebody still holds the memory.");
template <>
inline constexpr auto description<ModelType> = describe("ModelType", "What the model does.");
template <>
inline constexpr auto description<ModelState> =
    describe("ModelState", "loading: its bytes are being read. resident: loaded, usable. cached: whole in the RAM cache, loaded nowhere.");
template <>
inline constexpr auto description<ModelFormat> = describe("ModelFormat", "The file's format.");
template <>
inline constexpr auto description<OperationKind> = describe("OperationKind", "What the operation does.");
template <>
inline constexpr auto description<OperationState> = describe("OperationState", "How far the operation is.");
template <>
inline constexpr auto description<HealthState> =
    describe("HealthState", "good; degraded: works, the reasons say what is wrong; lost: every call that needs the device is refused.");
template <>
inline constexpr auto description<FreeStatus> =
    describe("FreeStatus",
             "freed: the memory is free again. zombie: a client still holds it; it counts as used until the client lets go. "
             "cached: the RAM cache keeps it, until somebody needs the room.");
template <>
inline constexpr auto description<ModelTier> =
    describe("ModelTier", "device: loaded there, for use. ram: kept by the RAM cache, which gives it up before anything else goes.");

/// Of lists without filters.
struct PageQuery {
    u64 limit = 100;
    std::optional<std::string> cursor;
};
BOOST_DESCRIBE_STRUCT(PageQuery, (), (limit, cursor))
inline constexpr Field limit_field{.member = "limit",
                                   .tells = "How many items to answer at most.",
                                   .example = "100",
                                   .min = 1,
                                   .max = page_items_max,
                                   .presence = Presence::optional};
inline constexpr Field cursor_field{.member = "cursor",
                                    .tells = "Where to go on: nextCursor of the page before.",
                                    .example = R"("p100")",
                                    .min = 1,
                                    .max = 64,
                                    .presence = Presence::optional};
inline constexpr Field next_cursor_field{.member = "next_cursor",
                                         .tells = "Ask with this cursor for the items that follow; null at the end.",
                                         .example = "null",
                                         .presence = Presence::nullable};
template <>
inline constexpr auto description<PageQuery> = describe("PageQuery", "Which part of a list.", {limit_field, cursor_field});

/// How long the parts of one call took, measured on that call.
struct Performance {
    std::optional<Milliseconds> wait_ms;
    std::optional<Milliseconds> placement_ms;
    std::optional<Milliseconds> zeroing_ms;
    Milliseconds total_ms;
};
BOOST_DESCRIBE_STRUCT(Performance, (), (wait_ms, placement_ms, zeroing_ms, total_ms))
template <>
inline constexpr auto description<Performance> =
    describe("Performance", "How long the parts of this call took, measured on this call.",
             {{.member = "wait_ms",
               .tells = "Waiting for room, and for the device to make memory.",
               .example = "0.412",
               .unit = "ms",
               .presence = Presence::optional},
              {.member = "placement_ms",
               .tells = "Deciding on a place and recording it.",
               .example = "0.021",
               .unit = "ms",
               .presence = Presence::optional},
              {.member = "zeroing_ms",
               .tells = "Zeroing bytes that others had used.",
               .example = "0.350",
               .unit = "ms",
               .presence = Presence::optional},
              {.member = "total_ms", .tells = "From the request's arrival at the engine to its end.", .example = "0.783", .unit = "ms"}});

/// A device's books right after a change.
struct DeviceAfter {
    std::string device_id;
    u64 used_bytes = 0;
    u64 available_bytes = 0;
    u64 largest_free_bytes = 0;
    Percentage fragmentation_percentage;
};
BOOST_DESCRIBE_STRUCT(DeviceAfter, (), (device_id, used_bytes, available_bytes, largest_free_bytes, fragmentation_percentage))
inline constexpr Field device_id_field{.member = "device_id", .tells = "The device's id.", .example = R"("host0")", .min = 1, .max = 64};
template <>
inline constexpr auto description<DeviceAfter> = describe(
    "DeviceAfter", "The device's books right after the call.",
    {device_id_field,
     {.member = "used_bytes", .tells = "Held by allocations, zombies included.", .example = "2147483648", .unit = "bytes"},
     {.member = "available_bytes",
      .tells = "By the books: capacity less live, zombie and reserved. What other processes took from under it is in the device's status.",
      .example = "6442450944",
      .unit = "bytes"},
     {.member = "largest_free_bytes", .tells = "The largest free run.", .example = "6442450944", .unit = "bytes"},
     {.member = "fragmentation_percentage", .tells = "1 − largest free run ÷ free bytes.", .example = "0.00", .unit = "%"}});
}  // namespace api
}  // namespace vramd
