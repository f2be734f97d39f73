/// The ledger's events as readers see them.
#pragma once
#include "api/resources_parts.hpp"

namespace vramd::api {
/// One event: what all have, and of the rest what its type has.
struct LedgerEvent {
    u64 sequence = 0;
    std::string type;
    Time at;
    std::optional<std::string> device_id;
    std::optional<std::string> from_device_id;
    std::optional<std::string> owner;
    std::optional<std::string> allocation_id;
    std::optional<std::string> target_allocation_id;
    std::optional<std::string> operation_id;
    std::optional<std::string> model_id;
    std::optional<std::string> transfer_id;
    std::optional<std::string> session_id;
    std::optional<std::string> block_id;
    std::optional<std::string> kind;
    std::optional<std::string> state;
    std::optional<std::string> name;
    std::optional<std::string> path;
    std::optional<std::string> purpose;
    std::optional<std::string> mode;
    std::optional<AllocationType> allocation_type;
    std::optional<u64> size_bytes;
    std::optional<u64> granted_bytes;
    std::optional<u64> capacity_bytes;
    std::optional<u64> bytes;
    std::optional<bool> persistent;
    std::optional<u64> lease_seconds;
    std::optional<Milliseconds> duration_ms;
    std::optional<std::string> from;
    std::optional<std::string> to;
    std::optional<std::string> cause;
    std::optional<Percentage> level_percentage;
    std::optional<std::string> reason;
    std::optional<std::string> code;
    std::optional<std::string> detail;
};
BOOST_DESCRIBE_STRUCT(LedgerEvent, (),
                      (sequence, type, at, device_id, from_device_id, owner, allocation_id, target_allocation_id, operation_id, model_id,
                       transfer_id, session_id, block_id, kind, state, name, path, purpose, mode, allocation_type, size_bytes,
                       granted_bytes, capacity_bytes, bytes, persistent, lease_seconds, duration_ms, from, to, cause, level_percentage,
                       reason, code, detail))
template <>
inline constexpr auto description<LedgerEvent> = describe(
    "LedgerEvent", "One event of the ledger. Every event has sequence, type and at; the other fields are there where its type has them.",
    {{.member = "sequence", .tells = "Its number: events count up by one, and none is ever used twice.", .example = "1042", .min = 1},
     {.member = "type", .tells = "What happened.", .example = R"("allocationReserved")"},
     {.member = "at", .tells = "When it was recorded.", .example = R"("2026-01-31T08:15:30.250Z")"},
     {.member = "device_id", .tells = "The device where it happened.", .example = R"("host0")", .presence = Presence::optional},
     {.member = "from_device_id",
      .tells = "The device that a transfer's bytes come from, when it is another.",
      .example = R"("host1")",
      .presence = Presence::optional},
     {.member = "owner", .tells = "Whose it is; absent: the daemon's own.", .example = R"("uid:1000")", .presence = Presence::optional},
     {.member = "allocation_id",
      .tells = "The allocation; of a transfer its source.",
      .example = R"("alc_0q3xw8c5k2mznd1")",
      .presence = Presence::optional},
     {.member = "target_allocation_id",
      .tells = "A transfer's target.",
      .example = R"("alc_0q3xw8c5k2mznd2")",
      .presence = Presence::optional},
     {.member = "operation_id", .tells = "The operation.", .example = R"("op_0q3xw8c5k2mzn1")", .presence = Presence::optional},
     {.member = "model_id", .tells = "The model.", .example = R"("mdl_0q3xw8c5k2mzn1")", .presence = Presence::optional},
     {.member = "transfer_id", .tells = "The transfer.", .example = R"("xfr_0q3xw8c5k2mzn1")", .presence = Presence::optional},
     {.member = "session_id",
      .tells = "A session of the attach protocol; of a hold the one that has it.",
      .example = R"("ses_0q3xw8c5k2mzn1")",
      .presence = Presence::optional},
     {.member = "block_id", .tells = "The block of physical memory.", .example = R"("blk_7")", .presence = Presence::optional},
     {.member = "kind",
      .tells = "What kind of block, operation or transfer it is.",
      .example = R"("dedicated")",
      .presence = Presence::optional},
     {.member = "state", .tells = "How an operation or transfer ended.", .example = R"("succeeded")", .presence = Presence::optional},
     {.member = "name",
      .tells = "A model's name; of a session what its client calls itself.",
      .example = R"("detector")",
      .presence = Presence::optional},
     {.member = "path",
      .tells = "A model's file, as the caller named it.",
      .example = R"("detector.safetensors")",
      .presence = Presence::optional},
     {.member = "purpose", .tells = "What its owner said it is for.", .example = R"("activations")", .presence = Presence::optional},
     {.member = "mode",
      .tells = "What a session does with what it holds: read, private, write, or none without a mapping.",
      .example = R"("read")",
      .presence = Presence::optional},
     {.member = "allocation_type", .tells = "What the memory is for.", .presence = Presence::optional},
     {.member = "size_bytes",
      .tells = "The size that was asked for.",
      .example = "2097152",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "granted_bytes",
      .tells = "What it takes of the device.",
      .example = "2097152",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "capacity_bytes",
      .tells = "A device's capacity.",
      .example = "8589934592",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "bytes",
      .tells = "How many bytes were moved or freed.",
      .example = "2097152",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "persistent",
      .tells = "True: lives until it is freed. False: ends with its lease.",
      .example = "true",
      .presence = Presence::optional},
     {.member = "lease_seconds",
      .tells = "How long its lease lasts after each renewal or access.",
      .example = "60",
      .unit = "s",
      .presence = Presence::optional},
     {.member = "duration_ms", .tells = "How long it took.", .example = "107.374", .unit = "ms", .presence = Presence::optional},
     {.member = "from", .tells = "The pressure's band before.", .example = R"("moderate")", .presence = Presence::optional},
     {.member = "to", .tells = "The pressure's band now.", .example = R"("high")", .presence = Presence::optional},
     {.member = "cause", .tells = "What the pressure comes from.", .example = R"("thisService")", .presence = Presence::optional},
     {.member = "level_percentage", .tells = "The pressure's level.", .example = "91.50", .unit = "%", .presence = Presence::optional},
     {.member = "reason",
      .tells = "Why it ended: freed (somebody asked), ended (a session's client did), or the code of a problem (timed-out: its lease or "
               "time ended).",
      .example = R"("freed")",
      .presence = Presence::optional},
     {.member = "code", .tells = "Why it failed: the code of a problem.", .example = R"("device-lost")", .presence = Presence::optional},
     {.member = "detail",
      .tells = "Why it failed, in a sentence.",
      .example = R"("The device is lost.")",
      .presence = Presence::optional}});

struct EventsQuery {
    std::optional<u64> from;
    std::string type;
    std::optional<std::string> device_id;
    std::string owner;
    bool follow = true;
};
BOOST_DESCRIBE_STRUCT(EventsQuery, (), (from, type, device_id, owner, follow))
template <>
inline constexpr auto description<EventsQuery> = describe(
    "EventsQuery", "Which events, and from where.",
    {{.member = "from",
      .tells = "The number of the first event; absent: what follows Last-Event-ID, or without that what happens from now on. 0: the oldest "
               "that is kept.",
      .example = "1",
      .presence = Presence::optional},
     {.member = "type",
      .tells = "Only these types, separated by commas.",
      .example = R"("allocationReserved,allocationFreed")",
      .max = 2000,
      .presence = Presence::optional},
     {.member = "device_id",
      .tells = "Only what happens on this device.",
      .example = R"("host0")",
      .min = 1,
      .max = 64,
      .presence = Presence::optional},
     {.member = "owner",
      .tells = "Only what is this owner's.",
      .example = R"("uid:1000")",
      .max = name_bytes_max,
      .presence = Presence::optional},
     {.member = "follow",
      .tells = "True: the stream goes on with what happens. False: it ends with the last event of now.",
      .example = "true",
      .presence = Presence::optional}});
}  // namespace vramd::api
