/// Transfers between two places, on one device or two: what is asked for, and how far it is.
#pragma once
#include "api/problem.hpp"
#include "api/resources_parts.hpp"
#include "api/resources_requests.hpp"

namespace vramd::api {
template <>
inline constexpr auto description<TransferMode> = describe(
    "TransferMode", "copy: the source stays as it is. move: one authoritative copy at each instant; in the end only the target's.");
template <>
inline constexpr auto description<TransferState> = describe("TransferState",
                                                            "queued: its room is taken, its turn has not come. The last three are ends.");

struct TransferRequest {
    std::string source_allocation_id;
    std::optional<std::string> target_device_id;
    std::optional<std::string> target_allocation_id;
    u64 source_offset_bytes = 0;
    u64 target_offset_bytes = 0;
    std::optional<u64> size_bytes;
    TransferMode mode = TransferMode::copy;
    Priority priority = Priority::normal;
    std::optional<u64> timeout_seconds;
    bool verify = false;
    bool wait_for_completion = true;
};
BOOST_DESCRIBE_STRUCT(TransferRequest, (),
                      (source_allocation_id, target_device_id, target_allocation_id, source_offset_bytes, target_offset_bytes, size_bytes,
                       mode, priority, timeout_seconds, verify, wait_for_completion))
template <>
inline constexpr auto description<TransferRequest> = describe(
    "TransferRequest", "What goes where. Exactly one of targetDeviceId and targetAllocationId.",
    {{.member = "source_allocation_id", .tells = "Where the bytes are.", .example = R"("alc_0q3xw8c5k2mznd1")", .min = 1, .max = 64},
     {.member = "target_device_id",
      .tells = "The device to bring them to: a copy makes a new allocation there, a move keeps the id.",
      .example = R"("host0")",
      .min = 1,
      .max = 64,
      .presence = Presence::optional},
     {.member = "target_allocation_id",
      .tells = "The allocation to bring them into; a move then frees the source.",
      .example = R"("alc_7t1vb9e4h6pqrs2")",
      .min = 1,
      .max = 64,
      .presence = Presence::optional},
     {.member = "source_offset_bytes",
      .tells = "Where in the source to begin.",
      .example = "0",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "target_offset_bytes",
      .tells = "Where in the target allocation to begin.",
      .example = "0",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "size_bytes",
      .tells = "How much; absent: to the source's end, or what the target holds.",
      .example = "1048576",
      .unit = "bytes",
      .min = 1,
      .presence = Presence::optional},
     {.member = "mode", .tells = "Whether the source stays.", .presence = Presence::optional},
     {.member = "priority",
      .tells = "Whose turn is next: the most urgent, and among equals each owner in turn.",
      .presence = Presence::optional},
     {.member = "timeout_seconds",
      .tells = "When to give up, from its acceptance; absent: never.",
      .example = "60",
      .unit = "s",
      .min = 1,
      .max = timeout_seconds_max,
      .presence = Presence::optional},
     {.member = "verify", .tells = "Sum both sides and compare.", .example = "false", .presence = Presence::optional},
     {.member = "wait_for_completion",
      .tells = "False: answer 202 at once; the transfer at Location shows how far it is.",
      .example = "true",
      .presence = Presence::optional}});

struct TransferThroughput {
    std::optional<u64> current_bytes_per_second;
    std::optional<u64> average_bytes_per_second;
    std::optional<u64> peak_bytes_per_second;
    std::optional<u64> link_limit_bytes_per_second;
    std::optional<Time> link_limit_measured_at;
    std::optional<Percentage> efficiency_percentage;
};
BOOST_DESCRIBE_STRUCT(TransferThroughput, (),
                      (current_bytes_per_second, average_bytes_per_second, peak_bytes_per_second, link_limit_bytes_per_second,
                       link_limit_measured_at, efficiency_percentage))
template <>
inline constexpr auto description<TransferThroughput> =
    describe("TransferThroughput", "How fast, beside what the link can do.",
             {{.member = "current_bytes_per_second",
               .tells = "Over the last moment; only while it runs.",
               .example = "9120000000",
               .unit = "bytes/s",
               .presence = Presence::optional},
              {.member = "average_bytes_per_second",
               .tells = "From the first byte on.",
               .example = "9050000000",
               .unit = "bytes/s",
               .presence = Presence::optional},
              {.member = "peak_bytes_per_second",
               .tells = "The highest seen.",
               .example = "9300000000",
               .unit = "bytes/s",
               .presence = Presence::optional},
              {.member = "link_limit_bytes_per_second",
               .tells = "What the link can do, measured after the start; absent before that.",
               .example = "9500000000",
               .unit = "bytes/s",
               .presence = Presence::optional},
              {.member = "link_limit_measured_at",
               .tells = "When that was measured.",
               .example = R"("2026-01-31T08:15:30.250Z")",
               .presence = Presence::optional},
              {.member = "efficiency_percentage",
               .tells = "Average of the link's limit; 100 where it was as fast or faster, and then the two rates tell by how much.",
               .example = "95.26",
               .unit = "%",
               .presence = Presence::optional}});

/// A stage of a transfer and its time so far.
struct TransferStage {
    std::string name;
    Milliseconds duration_ms;
};
BOOST_DESCRIBE_STRUCT(TransferStage, (), (name, duration_ms))
template <>
inline constexpr auto description<TransferStage> =
    describe("TransferStage", "A part of a transfer's life, and how long it took so far.",
             {{.member = "name", .tells = "queued or copying.", .example = R"("copying")"},
              {.member = "duration_ms", .tells = "How long.", .example = "12.500", .unit = "ms"}});

struct Transfer {
    std::string id;
    TransferState status = TransferState::queued;
    TransferMode mode = TransferMode::copy;
    Priority priority = Priority::normal;
    std::string owner;
    std::string source_allocation_id;
    std::string source_device_id;
    std::string target_allocation_id;
    std::string target_device_id;
    u64 source_offset_bytes = 0;
    u64 target_offset_bytes = 0;
    u64 size_bytes = 0;
    u64 transferred_bytes = 0;
    Percentage progress_percentage;
    TransferThroughput throughput;
    std::optional<Milliseconds> eta_ms;
    std::vector<TransferStage> stages;
    bool verify = false;
    std::optional<std::string> checksum;
    bool cancelling = false;
    Time created_at;
    std::optional<Time> started_at;
    std::optional<Time> ended_at;
    std::optional<Problem> problem;
};
BOOST_DESCRIBE_STRUCT(Transfer, (),
                      (id, status, mode, priority, owner, source_allocation_id, source_device_id, target_allocation_id, target_device_id,
                       source_offset_bytes, target_offset_bytes, size_bytes, transferred_bytes, progress_percentage, throughput, eta_ms,
                       stages, verify, checksum, cancelling, created_at, started_at, ended_at, problem))
template <>
inline constexpr auto description<Transfer> = describe(
    "Transfer", "The record of one transfer.",
    {{.member = "id", .tells = "Opaque.", .example = R"("xfr_3c8d1f6g9h2jk4m")"},
     {.member = "status", .tells = "How far it is.", .example = R"("running")"},
     {.member = "mode", .tells = "Whether the source stays.", .example = R"("copy")"},
     {.member = "priority", .tells = "How urgent.", .example = R"("normal")"},
     {.member = "owner", .tells = "Who asked.", .example = R"("uid:1000")"},
     {.member = "source_allocation_id", .tells = "Where the bytes were.", .example = R"("alc_0q3xw8c5k2mznd1")"},
     {.member = "source_device_id", .tells = "On which device.", .example = R"("host0")"},
     {.member = "target_allocation_id",
      .tells = "Where they go; made when a copy succeeds, the source's own id for a move to a device.",
      .example = R"("alc_7t1vb9e4h6pqrs2")"},
     {.member = "target_device_id", .tells = "On which device.", .example = R"("host1")"},
     {.member = "source_offset_bytes", .tells = "Where in the source it began.", .example = "0", .unit = "bytes"},
     {.member = "target_offset_bytes", .tells = "Where in the target it began.", .example = "0", .unit = "bytes"},
     {.member = "size_bytes", .tells = "How much it is.", .example = "1048576", .unit = "bytes"},
     {.member = "transferred_bytes", .tells = "Copied so far.", .example = "524288", .unit = "bytes"},
     {.member = "progress_percentage", .tells = "Transferred of the whole.", .example = "50.00", .unit = "%"},
     {.member = "throughput", .tells = "How fast."},
     {.member = "eta_ms",
      .tells = "What is left at the average rate; only while it runs.",
      .example = "0.058",
      .unit = "ms",
      .presence = Presence::optional},
     {.member = "stages", .tells = "Its stages and their times."},
     {.member = "verify", .tells = "Whether both sides are summed and compared.", .example = "false"},
     {.member = "checksum",
      .tells = "XXH3 over the XXH3 sums of each MiB, where it was verified.",
      .example = R"("9f2c4e6a8b0d1357")",
      .presence = Presence::optional},
     {.member = "cancelling", .tells = "True: it was asked to end and does as soon as nobody touches its memory.", .example = "false"},
     {.member = "created_at", .tells = "When it was accepted.", .example = R"("2026-01-31T08:15:30.250Z")"},
     {.member = "started_at", .tells = "When its turn came.", .example = R"("2026-01-31T08:15:30.251Z")", .presence = Presence::optional},
     {.member = "ended_at", .tells = "When it ended.", .example = R"("2026-01-31T08:15:30.263Z")", .presence = Presence::optional},
     {.member = "problem", .tells = "Why it did not succeed.", .presence = Presence::optional}});

struct TransferList {
    std::vector<Transfer> items;
    std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(TransferList, (), (items, next_cursor))
template <>
inline constexpr auto description<TransferList> = describe("TransferList", "Transfers, newest first.",
                                                           {{.member = "items", .tells = "The transfers."}, next_cursor_field});

struct TransfersQuery {
    u64 limit = 100;
    std::optional<std::string> cursor;
    std::optional<std::string> device_id;
    std::optional<std::string> owner;
    std::optional<TransferState> status;
    std::optional<TransferMode> type;
};
BOOST_DESCRIBE_STRUCT(TransfersQuery, (), (limit, cursor, device_id, owner, status, type))
template <>
inline constexpr auto description<TransfersQuery> =
    describe("TransfersQuery", "Which transfers.",
             {limit_field,
              cursor_field,
              {.member = "device_id",
               .tells = "Only those from or to this device.",
               .example = R"("host0")",
               .min = 1,
               .max = 64,
               .presence = Presence::optional},
              {.member = "owner",
               .tells = "Only those of this owner.",
               .example = R"("uid:1000")",
               .min = 1,
               .max = name_bytes_max,
               .presence = Presence::optional},
              {.member = "status", .tells = "Only those in this state.", .presence = Presence::optional},
              {.member = "type", .tells = "Only those of this mode.", .presence = Presence::optional}});
}  // namespace vramd::api
