/// The resources of /api/memory that tell: devices' status and usage, allocation records.
#pragma once
#include "api/resources_events.hpp"
#include "api/resources_parts.hpp"

namespace vramd::api {
inline constexpr u64 history_events_max = 1000;

/// An allocation's bytes, looked at on this call.
struct ContentStats {
    u64 scanned_bytes = 0;
    u64 zero_bytes = 0;
    Percentage zero_percentage;
    u64 distinct_values = 0;
    Rate entropy_bits_per_byte;
    std::string checksum;
    Milliseconds duration_ms;
};
BOOST_DESCRIBE_STRUCT(ContentStats, (),
                      (scanned_bytes, zero_bytes, zero_percentage, distinct_values, entropy_bits_per_byte, checksum, duration_ms))
template <>
inline constexpr auto description<ContentStats> = describe(
    "ContentStats", "What an allocation's bytes are: all were read on this call. Bytes that are written meanwhile count as they were met.",
    {{.member = "scanned_bytes", .tells = "All of its bytes.", .example = "2097152", .unit = "bytes"},
     {.member = "zero_bytes", .tells = "Bytes that are 0.", .example = "1048576", .unit = "bytes"},
     {.member = "zero_percentage", .tells = "Their share.", .example = "50.00", .unit = "%"},
     {.member = "distinct_values", .tells = "How many of the 256 values of a byte occur.", .example = "256", .max = 256},
     {.member = "entropy_bits_per_byte",
      .tells = "By how often each value occurs: 0 where all bytes are equal, 8 where all values are equally frequent.",
      .example = "5.12",
      .unit = "bits"},
     {.member = "checksum",
      .tells = "XXH3 (64 bits) over the XXH3 sums of its MiBs: the same as a verified transfer of all of it tells.",
      .example = R"("a35650b1b70dbb3a")"},
     {.member = "duration_ms", .tells = "What reading them took.", .example = "1.250", .unit = "ms"}});
struct Allocation {
    std::string id;
    std::string device_id;
    u64 size_bytes = 0;
    u64 granted_bytes = 0;
    u64 alignment = 0;
    AllocationType allocation_type = AllocationType::default_;
    AllocationStatus status = AllocationStatus::live;
    std::string owner;
    std::string purpose;
    bool persistent = true;
    bool shareable = false;
    bool is_pinned = false;
    std::string block_id;
    u64 offset_bytes = 0;
    Time created_at;
    Time last_accessed;
    u64 access_count = 0;
    u64 attached_clients = 0;
    std::optional<u64> lease_seconds;
    std::optional<Time> lease_expires_at;
    std::optional<std::string> model;
    std::optional<std::vector<LedgerEvent>> history;
    std::optional<bool> history_complete;
    std::optional<u64> history_omitted;
    std::optional<ContentStats> content_stats;
};
BOOST_DESCRIBE_STRUCT(Allocation, (),
                      (id, device_id, size_bytes, granted_bytes, alignment, allocation_type, status, owner, purpose, persistent, shareable,
                       is_pinned, block_id, offset_bytes, created_at, last_accessed, access_count, attached_clients, lease_seconds,
                       lease_expires_at, model, history, history_complete, history_omitted, content_stats))
template <>
inline constexpr auto description<Allocation> = describe(
    "Allocation", "The record of one allocation.",
    {{.member = "id", .tells = "Opaque, unguessable, never used again.", .example = R"("alc_0q3xw8c5k2mznd1")"},
     device_id_field,
     {.member = "size_bytes", .tells = "The size that was asked for.", .example = "2097152", .unit = "bytes"},
     {.member = "granted_bytes", .tells = "What it takes of the device: the size rounded up.", .example = "2097152", .unit = "bytes"},
     {.member = "alignment", .tells = "The place is a multiple of this.", .example = "256", .unit = "bytes"},
     {.member = "allocation_type", .tells = "What the memory is for."},
     {.member = "status", .tells = "Whether it can be used.", .example = R"("live")"},
     {.member = "owner", .tells = "Whose it is.", .example = R"("uid:1000")"},
     {.member = "purpose", .tells = "What its owner said it is for.", .example = R"("activations")"},
     {.member = "persistent", .tells = "True: lives until it is freed. False: ends with its lease.", .example = "true"},
     {.member = "shareable", .tells = "True: in a block of its own, which other owners may attach.", .example = "false"},
     {.member = "is_pinned", .tells = "True: it is never moved.", .example = "false"},
     {.member = "block_id", .tells = "The block of physical memory that holds it.", .example = R"("blk_7")"},
     {.member = "offset_bytes", .tells = "Its place in the block.", .example = "4096", .unit = "bytes"},
     {.member = "created_at", .tells = "When it was made.", .example = R"("2026-01-31T08:15:30.250Z")"},
     {.member = "last_accessed", .tells = "When its content was last read or written.", .example = R"("2026-01-31T08:15:30.250Z")"},
     {.member = "access_count", .tells = "How often its content was read or written.", .example = "0"},
     {.member = "attached_clients",
      .tells = "Connections of the attach protocol that hold it now: while there are any it is neither freed, moved nor evicted.",
      .example = "0"},
     {.member = "lease_seconds",
      .tells = "How long its lease lasts after each renewal or access.",
      .example = "60",
      .unit = "s",
      .presence = Presence::optional},
     {.member = "lease_expires_at",
      .tells = "When it ends unless the lease is renewed.",
      .example = R"("2026-01-31T08:16:30.250Z")",
      .presence = Presence::optional},
     {.member = "model", .tells = "The model whose bytes it holds.", .example = R"("detector")", .presence = Presence::optional},
     {.member = "history",
      .tells = "With includeHistory: the events of its life, oldest first; the first one and the newest.",
      .max = history_events_max,
      .presence = Presence::optional},
     {.member = "history_complete",
      .tells = "With includeHistory: false where its beginning is no longer kept.",
      .example = "true",
      .presence = Presence::optional},
     {.member = "history_omitted",
      .tells = "With includeHistory: events left out between the first and the newest.",
      .example = "0",
      .presence = Presence::optional},
     {.member = "content_stats", .tells = "With includeContentStats: what its bytes are.", .presence = Presence::optional}});

/// The record with what making it took.
struct AllocationMade : Allocation {
    Performance performance;
    DeviceAfter device_after;
};
BOOST_DESCRIBE_STRUCT(AllocationMade, (Allocation), (performance, device_after))
template <>
inline constexpr auto description<AllocationMade> = describe(
    "AllocationMade", "The new allocation's record, what making it took, and the device right after.", description<Allocation>,
    {{.member = "performance", .tells = "How long the parts took."}, {.member = "device_after", .tells = "The device right after."}});

struct AllocationList {
    std::vector<Allocation> items;
    std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(AllocationList, (), (items, next_cursor))
template <>
inline constexpr auto description<AllocationList> = describe("AllocationList", "Allocations, newest first.",
                                                             {{.member = "items", .tells = "The records."}, next_cursor_field});

struct Freed {
    u64 freed_bytes = 0;
    FreeStatus status = FreeStatus::freed;
    Performance performance;
    DeviceAfter device_after;
};
BOOST_DESCRIBE_STRUCT(Freed, (), (freed_bytes, status, performance, device_after))
template <>
inline constexpr auto description<Freed> =
    describe("Freed", "What was given back.",
             {{.member = "freed_bytes",
               .tells = "What the device got back, or gets back when the last holder lets go.",
               .example = "2097152",
               .unit = "bytes"},
              {.member = "status", .tells = "Whether the memory is free already."},
              {.member = "performance", .tells = "How long it took."},
              {.member = "device_after",
               .tells = "The device right after. Of a model it is told when the memory is back; a block of an "
                        "allocation that goes back to the system whole still counts as used, as a "
                        "zombie, for the moment until it is gone."}});

struct Moved {
    u64 bytes = 0;
    Milliseconds duration_ms;
    u64 bytes_per_second = 0;
    std::optional<Percentage> efficiency_percentage;
};
BOOST_DESCRIBE_STRUCT(Moved, (), (bytes, duration_ms, bytes_per_second, efficiency_percentage))
template <>
inline constexpr auto description<Moved> = describe(
    "Moved", "Bytes moved within a device, and how fast.",
    {{.member = "bytes", .tells = "How many bytes were written.", .example = "1073741824", .unit = "bytes"},
     {.member = "duration_ms", .tells = "How long it took.", .example = "107.374", .unit = "ms"},
     {.member = "bytes_per_second", .tells = "Bytes by duration.", .example = "10000000000", .unit = "bytes/s"},
     {.member = "efficiency_percentage",
      .tells = "Against this machine's own rate for the same work, measured after start; 100 where it was as fast or faster; absent "
               "until it has been measured.",
      .example = "93.10",
      .unit = "%",
      .presence = Presence::optional}});

struct Cleared : Moved {
    u64 allocations_touched = 0;
    u64 free_ranges_touched = 0;
};
BOOST_DESCRIBE_STRUCT(Cleared, (Moved), (allocations_touched, free_ranges_touched))
template <>
inline constexpr auto description<Cleared> =
    describe("Cleared", "What was filled, and how fast.", description<Moved>,
             {{.member = "allocations_touched", .tells = "Allocations that were written to.", .example = "1"},
              {.member = "free_ranges_touched", .tells = "Free ranges that were filled.", .example = "0"}});
}  // namespace vramd::api
