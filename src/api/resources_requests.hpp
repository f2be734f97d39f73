/// What callers of /api/memory may send: bodies and queries.
#pragma once
#include "api/resources_parts.hpp"

namespace vramd::api {
inline constexpr u64 alignment_bytes_max = gib;
inline constexpr u64 timeout_seconds_max = 86'400;
inline constexpr u64 lease_seconds_max = 30 * 86'400;
inline constexpr Field allocation_id_field{.member = "allocation_id",
                                           .tells = "The allocation's id.",
                                           .example = R"("alc_0q3xw8c5k2mznd1")",
                                           .min = 1,
                                           .max = 64,
                                           .presence = Presence::optional};

struct AllocationQuery {
    bool include_history = false;
    bool include_content_stats = false;
};
BOOST_DESCRIBE_STRUCT(AllocationQuery, (), (include_history, include_content_stats))
template <>
inline constexpr auto description<AllocationQuery> =
    describe("AllocationQuery", "What to tell of the allocation besides.",
             {{.member = "include_history",
               .tells = "Tell the events of its life, as the ledger has them.",
               .example = "true",
               .presence = Presence::optional},
              {.member = "include_content_stats",
               .tells = "Read all of its bytes and tell what they are; takes the time of the reading, and no access is counted.",
               .example = "true",
               .presence = Presence::optional}});

struct AllocateRequest {
    std::optional<std::string> device_id;
    u64 size_bytes = 0;
    AllocationType allocation_type = AllocationType::default_;
    u64 alignment = 256;
    std::string purpose;
    bool persistent = true;
    bool shareable = false;
    u64 lease_seconds = 60;
    u64 timeout_seconds = 0;
    Priority priority = Priority::normal;
    std::optional<std::string> owner;
};
BOOST_DESCRIBE_STRUCT(AllocateRequest, (),
                      (device_id, size_bytes, allocation_type, alignment, purpose, persistent, shareable, lease_seconds, timeout_seconds,
                       priority, owner))
template <>
inline constexpr auto description<AllocateRequest> =
    describe("AllocateRequest", "What memory is wanted.",
             {{.member = "device_id",
               .tells = "Where; absent: the device with most room.",
               .example = R"("host0")",
               .min = 1,
               .max = 64,
               .presence = Presence::optional},
              {.member = "size_bytes", .tells = "How much.", .example = "2097152", .unit = "bytes", .min = 1},
              {.member = "allocation_type", .tells = "What the memory is for.", .presence = Presence::optional},
              {.member = "alignment",
               .tells = "The place is to be a multiple of this; a power of two.",
               .example = "256",
               .unit = "bytes",
               .min = 1,
               .max = alignment_bytes_max,
               .presence = Presence::optional,
               .rule = Rule::power_of_two},
              {.member = "purpose",
               .tells = "What it is for, in the owner's words; usage is told by it.",
               .example = R"("activations")",
               .max = name_bytes_max,
               .presence = Presence::optional},
              {.member = "persistent",
               .tells = "True: lives until it is freed. False: ends with its lease.",
               .example = "true",
               .presence = Presence::optional},
              {.member = "shareable",
               .tells = "True: a block of its own, which other owners may attach for reading.",
               .example = "false",
               .presence = Presence::optional},
              {.member = "lease_seconds",
               .tells = "Of what is not persistent: how long it lives after each renewal or access.",
               .example = "60",
               .unit = "s",
               .min = 1,
               .max = lease_seconds_max,
               .presence = Presence::optional},
              {.member = "timeout_seconds",
               .tells = "How long to wait for room; 0: not at all.",
               .example = "0",
               .unit = "s",
               .max = timeout_seconds_max,
               .presence = Presence::optional},
              {.member = "priority", .tells = "Who waits for room gets it in this order.", .presence = Presence::optional},
              {.member = "owner",
               .tells = "Whose it is to be; absent: the caller's. Only an admin may name another.",
               .example = R"("uid:1000")",
               .min = 1,
               .max = name_bytes_max,
               .presence = Presence::optional}});

/// The same for a device that the path names.
struct AllocateHereRequest {
    u64 size_bytes = 0;
    AllocationType allocation_type = AllocationType::default_;
    u64 alignment = 256;
    std::string purpose;
    bool persistent = true;
    bool shareable = false;
    u64 lease_seconds = 60;
    u64 timeout_seconds = 0;
    Priority priority = Priority::normal;
    std::optional<std::string> owner;
};
BOOST_DESCRIBE_STRUCT(AllocateHereRequest, (),
                      (size_bytes, allocation_type, alignment, purpose, persistent, shareable, lease_seconds, timeout_seconds, priority,
                       owner))
template <>
inline constexpr auto description<AllocateHereRequest> = describe_without(description<AllocateRequest>, "device_id", "AllocateHereRequest",
                                                                          "What memory is wanted of the device that the path names.");

struct LeaseRequest {
    u64 lease_seconds = 60;
};
BOOST_DESCRIBE_STRUCT(LeaseRequest, (), (lease_seconds))
template <>
inline constexpr auto description<LeaseRequest> = describe("LeaseRequest", "How long the memory is wanted on.",
                                                           {{.member = "lease_seconds",
                                                             .tells = "From now, and after each further access.",
                                                             .example = "60",
                                                             .unit = "s",
                                                             .min = 1,
                                                             .max = lease_seconds_max,
                                                             .presence = Presence::optional}});

struct ClearRequest {
    std::optional<std::string> allocation_id;
    std::optional<std::string> device_id;
    u64 offset_bytes = 0;
    std::optional<u64> size_bytes;
    u32 fill_value = 0;
};
BOOST_DESCRIBE_STRUCT(ClearRequest, (), (allocation_id, device_id, offset_bytes, size_bytes, fill_value))
template <>
inline constexpr auto description<ClearRequest> =
    describe("ClearRequest", "What to fill: an allocation, or all free memory of a device. Exactly one of allocationId and deviceId.",
             {allocation_id_field,
              {.member = "device_id", .tells = "The device.", .min = 1, .max = 64, .presence = Presence::optional},
              {.member = "offset_bytes",
               .tells = "Where in the allocation to begin.",
               .example = "0",
               .unit = "bytes",
               .presence = Presence::optional},
              {.member = "size_bytes",
               .tells = "How much of the allocation; absent: to its end.",
               .example = "4096",
               .unit = "bytes",
               .min = 1,
               .presence = Presence::optional},
              {.member = "fill_value", .tells = "The byte to fill with.", .example = "0", .max = 255, .presence = Presence::optional}});

/// The same for a device that the path names.
struct ClearDeviceRequest {
    u32 fill_value = 0;
};
BOOST_DESCRIBE_STRUCT(ClearDeviceRequest, (), (fill_value))
template <>
inline constexpr auto description<ClearDeviceRequest> =
    describe("ClearDeviceRequest", "What to fill the device's free memory with.",
             {{.member = "fill_value", .tells = "The byte to fill with.", .example = "0", .max = 255, .presence = Presence::optional}});

struct CopyRequest {
    std::string source_allocation_id;
    std::string target_allocation_id;
    u64 source_offset_bytes = 0;
    u64 target_offset_bytes = 0;
    std::optional<u64> size_bytes;
};
BOOST_DESCRIBE_STRUCT(CopyRequest, (), (source_allocation_id, target_allocation_id, source_offset_bytes, target_offset_bytes, size_bytes))
template <>
inline constexpr auto description<CopyRequest> = describe(
    "CopyRequest", "What to copy where, within one device. Overlapping ranges of one allocation are copied as if through a buffer.",
    {{.member = "source_allocation_id", .tells = "Where the bytes are.", .example = R"("alc_0q3xw8c5k2mznd1")", .min = 1, .max = 64},
     {.member = "target_allocation_id", .tells = "Where they are to go.", .example = R"("alc_7t1vb9e4h6pqrs2")", .min = 1, .max = 64},
     {.member = "source_offset_bytes",
      .tells = "Where in the source to begin.",
      .example = "0",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "target_offset_bytes",
      .tells = "Where in the target to begin.",
      .example = "0",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "size_bytes",
      .tells = "How much; absent: what both hold beyond their offsets, the smaller.",
      .example = "4096",
      .unit = "bytes",
      .min = 1,
      .presence = Presence::optional}});

struct StatusQuery {
    bool include_allocations = false;
    bool include_usage_stats = false;
    bool include_fragmentation = false;
};
BOOST_DESCRIBE_STRUCT(StatusQuery, (), (include_allocations, include_usage_stats, include_fragmentation))
template <>
inline constexpr auto description<StatusQuery> =
    describe("StatusQuery", "What to tell beside the totals.",
             {{.member = "include_allocations", .tells = "The newest 100 allocations.", .presence = Presence::optional},
              {.member = "include_usage_stats", .tells = "Who uses the memory.", .presence = Presence::optional},
              {.member = "include_fragmentation", .tells = "How the free memory lies.", .presence = Presence::optional}});

/// Filters of a device's list.
struct DeviceAllocationsQuery {
    u64 limit = 100;
    std::optional<std::string> cursor;
    std::optional<std::string> owner;
    std::optional<AllocationType> type;
    std::optional<AllocationStatus> status;
};
BOOST_DESCRIBE_STRUCT(DeviceAllocationsQuery, (), (limit, cursor, owner, type, status))
inline constexpr Field owner_filter_field{.member = "owner",
                                          .tells = "Only this owner's.",
                                          .example = R"("uid:1000")",
                                          .min = 1,
                                          .max = name_bytes_max,
                                          .presence = Presence::optional};
inline constexpr Field type_filter_field{.member = "type", .tells = "Only of this type.", .presence = Presence::optional};
inline constexpr Field status_filter_field{.member = "status", .tells = "Only with this status.", .presence = Presence::optional};
template <>
inline constexpr auto description<DeviceAllocationsQuery> = describe("DeviceAllocationsQuery", "Which allocations.",
                                                                     {limit_field, cursor_field, owner_filter_field, type_filter_field,
                                                                      status_filter_field});

struct AllocationsQuery : DeviceAllocationsQuery {
    std::optional<std::string> device_id;
};
BOOST_DESCRIBE_STRUCT(AllocationsQuery, (DeviceAllocationsQuery), (device_id))
template <>
inline constexpr auto description<AllocationsQuery> = describe("AllocationsQuery", "Which allocations.",
                                                               description<DeviceAllocationsQuery>,
                                                               {{.member = "device_id",
                                                                 .tells = "Only on this device.",
                                                                 .example = R"("host0")",
                                                                 .min = 1,
                                                                 .max = 64,
                                                                 .presence = Presence::optional}});

struct FreeQuery {
    bool force = false;
    bool wait_for_completion = true;
};
BOOST_DESCRIBE_STRUCT(FreeQuery, (), (force, wait_for_completion))
template <>
inline constexpr auto description<FreeQuery> =
    describe("FreeQuery", "How to free.",
             {{.member = "force",
               .tells = "True: when its content is being read or written, wait for that to end instead of refusing; when clients have it "
                        "attached, answer at once with status zombie: it is free when the last of them lets go.",
               .presence = Presence::optional},
              {.member = "wait_for_completion",
               .tells = "False: answer 202 at once where the end has to be waited for; the record at Location shows it until it is gone.",
               .presence = Presence::optional}});
}  // namespace vramd::api
