/// What the attach protocol's calls take and answer, field by field. Requests and records that HTTP has too are HTTP's
/// (api/resources_*.hpp).
#pragma once
#include "api/resources_events.hpp"
#include "api/resources_memory.hpp"
#include "api/resources_model.hpp"
#include "api/resources_requests.hpp"
#include "api/resources_system.hpp"
#include "engine/engine.hpp"

namespace vramd {
namespace attach {
/// What `list` lists.
enum class Listed : u8 { allocations, models };
}  // namespace attach
template <>
struct EnumNames<engine::AttachMode> {
    static constexpr std::array<std::string_view, 3> names = {"read", "private", "write"};
};
template <>
struct EnumNames<attach::Listed> {
    static constexpr std::array<std::string_view, 2> names = {"allocations", "models"};
};
template <>
inline constexpr auto api::description<engine::AttachMode> = api::describe("AttachMode", "What is done with the memory.");
template <>
inline constexpr auto api::description<HoldMode> = api::describe("HoldMode", "What a session does with memory that it holds.");
template <>
inline constexpr auto api::description<attach::Listed> = api::describe("Listed", "What to list.");

namespace attach {
inline constexpr u64 version = 1;

struct HelloParams {
    u64 version = 0;
    std::string client;
    std::optional<std::string> resume_key;
    bool reclaim = false;
};
BOOST_DESCRIBE_STRUCT(HelloParams, (), (version, client, resume_key, reclaim))

struct DeviceTold {
    std::string device_id;
    std::string kind;
    std::vector<std::string> capabilities;
    u64 total_bytes = 0;
    u64 granularity_bytes = 0;
    std::optional<std::string> uuid;
};
BOOST_DESCRIBE_STRUCT(DeviceTold, (), (device_id, kind, capabilities, total_bytes, granularity_bytes, uuid))

struct HeldTold {
    HoldMode mode = HoldMode::read;
    std::vector<std::string> allocation_ids;
};
BOOST_DESCRIBE_STRUCT(HeldTold, (), (mode, allocation_ids))

struct HelloResult {
    u64 version = 0;
    std::string session;
    std::string resume_key;
    u64 grace_seconds = 0;
    std::optional<std::vector<HeldTold>> held;
    std::string daemon_version;
    std::string owner;
    Role role = Role::user;
    std::vector<DeviceTold> devices;
};
BOOST_DESCRIBE_STRUCT(HelloResult, (), (version, session, resume_key, grace_seconds, held, daemon_version, owner, role, devices))

/// As HTTP's, but for the lease, which the connection takes the place of.
struct AllocateParams {
    std::optional<std::string> device_id;
    u64 size_bytes = 0;
    AllocationType allocation_type = AllocationType::mapped;
    u64 alignment = 256;
    std::string purpose;
    bool persistent = false;
    bool shareable = false;
    u64 timeout_seconds = 0;
    Priority priority = Priority::normal;
    std::optional<std::string> owner;
};
BOOST_DESCRIBE_STRUCT(AllocateParams, (),
                      (device_id, size_bytes, allocation_type, alignment, purpose, persistent, shareable, timeout_seconds, priority, owner))

/// Where memory lies in a descriptor that comes with the message.
struct MemoryGiven {
    std::string allocation_id;
    u64 descriptor = 0;
    u64 offset_bytes = 0;
    u64 size_bytes = 0;
    engine::AttachMode mode = engine::AttachMode::read;
    std::string device_id;
    u64 block_bytes = 0;
};
BOOST_DESCRIBE_STRUCT(MemoryGiven, (), (allocation_id, descriptor, offset_bytes, size_bytes, mode, device_id, block_bytes))

struct AllocateResult {
    api::AllocationMade allocation;
    std::optional<MemoryGiven> memory;
};
BOOST_DESCRIBE_STRUCT(AllocateResult, (), (allocation, memory))

struct FreeParams {
    std::string allocation_id;
    bool force = false;
};
BOOST_DESCRIBE_STRUCT(FreeParams, (), (allocation_id, force))

struct AttachParams {
    std::optional<std::string> allocation_id;
    std::optional<std::string> model;
    engine::AttachMode mode = engine::AttachMode::read;
    std::optional<std::string> path;
    ModelType type = ModelType::other;
    std::optional<std::string> device_id;
    Priority priority = Priority::normal;
    bool pinned = false;
    std::optional<std::vector<std::string>> tensors;
};
BOOST_DESCRIBE_STRUCT(AttachParams, (), (allocation_id, model, mode, path, type, device_id, priority, pinned, tensors))

/// A list of tensors that is too long for the packet: JSON, in a descriptor that comes with the message.
struct TableGiven {
    u64 descriptor = 0;
    u64 size_bytes = 0;
};
BOOST_DESCRIBE_STRUCT(TableGiven, (), (descriptor, size_bytes))

struct AttachedAllocation {
    std::optional<api::Allocation> allocation;
    MemoryGiven memory;
};
BOOST_DESCRIBE_STRUCT(AttachedAllocation, (), (allocation, memory))

/// The tensors follow, as `tensors`, where they fit.
struct AttachedModel {
    api::Model model;
    MemoryGiven memory;
    std::optional<TableGiven> tensor_table;
};
BOOST_DESCRIBE_STRUCT(AttachedModel, (), (model, memory, tensor_table))

struct DetachParams {
    std::string allocation_id;
};
BOOST_DESCRIBE_STRUCT(DetachParams, (), (allocation_id))

struct ListParams {
    Listed kind = Listed::allocations;
    std::optional<std::string> device_id;
    std::optional<std::string> owner;
    std::optional<AllocationType> type;
    std::optional<AllocationStatus> status;
    u64 limit = 100;
    std::optional<std::string> cursor;
};
BOOST_DESCRIBE_STRUCT(ListParams, (), (kind, device_id, owner, type, status, limit, cursor))

/// How far the load that an attach waits for has come.
struct ProgressNotice {
    std::string operation_id;
    std::string model;
    std::string stage;
    u64 done_bytes = 0;
    u64 total_bytes = 0;
    api::Percentage progress_percentage;
};
BOOST_DESCRIBE_STRUCT(ProgressNotice, (), (operation_id, model, stage, done_bytes, total_bytes, progress_percentage))

/// What the client is asked to let go of.
struct ReclaimNotice {
    std::string allocation_id;
    std::string model;
    u64 bytes = 0;
    u64 within_ms = 0;
};
BOOST_DESCRIBE_STRUCT(ReclaimNotice, (), (allocation_id, model, bytes, within_ms))

/// The client's answer to that.
struct ReclaimedParams {
    std::string allocation_id;
    u64 bytes = 0;
};
BOOST_DESCRIBE_STRUCT(ReclaimedParams, (), (allocation_id, bytes))

/// Where events are read.
struct SubscribeResult {
    u64 descriptor = 0;
    u64 from = 0;
};
BOOST_DESCRIBE_STRUCT(SubscribeResult, (), (descriptor, from))

/// Beside the sentence, for programs: HTTP's problem document without what only HTTP needs.
struct Refusal {
    std::string code;
    std::optional<std::string> field;
    std::optional<u64> value;
    std::optional<u64> limit;
    std::optional<std::string> remedy;
    std::optional<u64> requested_bytes;
    std::optional<u64> available_bytes;
    std::optional<u64> largest_free_bytes;
    std::optional<std::vector<std::string>> suggestions;
};
BOOST_DESCRIBE_STRUCT(Refusal, (), (code, field, value, limit, remedy, requested_bytes, available_bytes, largest_free_bytes, suggestions))

inline constexpr api::Field allocation_field{.member = "allocation_id", .tells = "The allocation's id.", .min = 1, .max = 64};
inline constexpr api::Field memory_field{.member = "memory", .tells = "Where it lies in a descriptor of this message."};
}  // namespace attach

template <>
inline constexpr auto api::description<attach::HelloParams> = api::describe(
    "HelloParams", "Who comes.",
    {{.member = "version", .tells = "Of the protocol: 1."},
     {.member = "client", .tells = "What the client calls itself.", .max = api::name_bytes_max, .presence = api::Presence::optional},
     {.member = "resume_key", .tells = "Of the session to go on with.", .min = 1, .max = 128, .presence = api::Presence::optional},
     {.member = "reclaim", .tells = "True: it may be asked to let go of models.", .presence = api::Presence::optional}});
template <>
inline constexpr auto api::description<attach::DeviceTold> =
    api::describe("DeviceTold", "A device, in short.",
                  {api::device_id_field,
                   {.member = "kind", .tells = "host, cuda or d3d12."},
                   {.member = "capabilities", .tells = "What it can do."},
                   {.member = "total_bytes", .tells = "What there is to hand out."},
                   {.member = "granularity_bytes", .tells = "Blocks are multiples of this."},
                   {.member = "uuid", .tells = "Which GPU it is.", .presence = api::Presence::optional}});
template <>
inline constexpr auto api::description<attach::HeldTold> = api::describe("HeldTold", "Allocations that a session holds in one way.",
                                                                         {{.member = "mode", .tells = "What it does with them."},
                                                                          {.member = "allocation_ids", .tells = "Their ids."}});
template <>
inline constexpr auto api::description<attach::HelloResult> = api::describe(
    "HelloResult", "Who answers.",
    {{.member = "version", .tells = "Of the protocol."},
     {.member = "session", .tells = "The session's id."},
     {.member = "resume_key", .tells = "To go on with the session over another connection."},
     {.member = "grace_seconds", .tells = "For how long it waits for its client after the core's death."},
     {.member = "held", .tells = "What a session that goes on holds; absent of a new one.", .presence = api::Presence::optional},
     {.member = "daemon_version", .tells = "The daemon's."},
     {.member = "owner", .tells = "Who the client is to the daemon."},
     {.member = "role", .tells = "What it may do."},
     {.member = "devices", .tells = "What there is."}});
template <>
inline constexpr auto api::description<attach::AllocateParams> = api::describe_without(api::description<api::AllocateRequest>,
                                                                                       "lease_seconds", "AllocateParams",
                                                                                       "What memory is wanted.");
template <>
inline constexpr auto api::description<attach::MemoryGiven> =
    api::describe("MemoryGiven", "Memory in a descriptor.",
                  {attach::allocation_field,
                   {.member = "descriptor", .tells = "Which one of the message's descriptors, from 0."},
                   {.member = "offset_bytes", .tells = "Where it begins there."},
                   {.member = "size_bytes", .tells = "How long it is."},
                   {.member = "mode", .tells = "What may be done with it."},
                   api::device_id_field,
                   {.member = "block_bytes", .tells = "How long all is that the descriptor gives."}});
template <>
inline constexpr auto api::description<attach::AllocateResult> =
    api::describe("AllocateResult", "The new allocation.",
                  {{.member = "allocation", .tells = "Its record."},
                   {.member = "memory", .tells = "Where it lies; null where it shares its block.", .presence = api::Presence::nullable}});
template <>
inline constexpr auto api::description<attach::FreeParams> = api::describe(
    "FreeParams", "What to free.",
    {attach::allocation_field, {.member = "force", .tells = "True: wait for who reads its content, and leave it to those who have it attached.", .presence = api::Presence::optional}});
template <>
inline constexpr auto api::description<attach::AttachParams> = api::describe(
    "AttachParams", "What to attach.",
    {api::allocation_id_field,
     {.member = "model", .tells = "A model's name.", .min = 1, .max = model_name_bytes_max, .presence = api::Presence::optional},
     {.member = "mode", .tells = "What is done with the memory.", .presence = api::Presence::optional},
     {.member = "path",
      .tells = "The file, if it is not loaded.",
      .min = 1,
      .max = api::text_bytes_max,
      .presence = api::Presence::optional},
     {.member = "type", .tells = "What the model does.", .presence = api::Presence::optional},
     {.member = "device_id", .tells = "Where it is wanted.", .min = 1, .max = 64, .presence = api::Presence::optional},
     {.member = "priority", .tells = "In which order loads get room.", .presence = api::Presence::optional},
     {.member = "pinned", .tells = "Of a load: never evicted.", .presence = api::Presence::optional},
     {.member = "tensors", .tells = "Only these.", .min = 1, .max = 1024, .presence = api::Presence::optional}});
template <>
inline constexpr auto api::description<attach::TableGiven> = api::describe("TableGiven", "A list of tensors in a descriptor.",
                                                                           {{.member = "descriptor",
                                                                             .tells = "Which one of the message's descriptors, from 0."},
                                                                            {.member = "size_bytes", .tells = "Of the JSON in it."}});
template <>
inline constexpr auto api::description<attach::AttachedAllocation> =
    api::describe("AttachedAllocation", "An allocation, attached.",
                  {{.member = "allocation", .tells = "Its record; null where it is another's.", .presence = api::Presence::nullable},
                   attach::memory_field});
template <>
inline constexpr auto api::description<attach::AttachedModel> =
    api::describe("AttachedModel", "A model, attached.",
                  {{.member = "model", .tells = "Its record."},
                   attach::memory_field,
                   {.member = "tensor_table", .tells = "Its tensors, where they do not fit.", .presence = api::Presence::optional}});
template <>
inline constexpr auto api::description<attach::DetachParams> = api::describe("DetachParams", "What to detach.", {attach::allocation_field});
template <>
inline constexpr auto api::description<attach::ReclaimNotice> = api::describe("ReclaimNotice", "What is asked back.",
                                                                              {attach::allocation_field,
                                                                               {.member = "model", .tells = "The model's name."},
                                                                               {.member = "bytes",
                                                                                .tells = "What comes back when all have let go of it."},
                                                                               {.member = "within_ms", .tells = "By when it is of use."}});
template <>
inline constexpr auto api::description<attach::ReclaimedParams> =
    api::describe("ReclaimedParams", "What was given back.",
                  {attach::allocation_field, {.member = "bytes", .tells = "How many bytes of it; 0: none.", .max = number_max}});
template <>
inline constexpr auto api::description<attach::SubscribeResult> =
    api::describe("SubscribeResult", "A stream of events.",
                  {{.member = "descriptor", .tells = "Which one of the message's descriptors, from 0."},
                   {.member = "from", .tells = "The number of the first event that it can bring."}});
template <>
inline constexpr auto api::description<attach::ListParams> = api::describe(
    "ListParams", "What to list.",
    {{.member = "kind", .tells = "allocations or models.", .presence = api::Presence::optional},
     {.member = "device_id", .tells = "Only on this device.", .min = 1, .max = 64, .presence = api::Presence::optional},
     {.member = "owner", .tells = "Only of this owner.", .min = 1, .max = api::name_bytes_max, .presence = api::Presence::optional},
     api::type_filter_field,
     api::status_filter_field,
     api::limit_field,
     api::cursor_field});
template <>
inline constexpr auto api::description<attach::Refusal> =
    api::describe("Refusal", "Why a call was refused.",
                  {{.member = "code", .tells = "The kind of problem, for programs."},
                   {.member = "field", .tells = "What is at fault.", .presence = api::Presence::optional},
                   {.member = "value", .tells = "As it was given.", .presence = api::Presence::optional},
                   {.member = "limit", .tells = "What it had to keep to.", .presence = api::Presence::optional},
                   {.member = "remedy", .tells = "What to do next.", .presence = api::Presence::optional},
                   {.member = "requested_bytes", .tells = "Where room is short.", .presence = api::Presence::optional},
                   {.member = "available_bytes", .tells = "All that can be had.", .presence = api::Presence::optional},
                   {.member = "largest_free_bytes", .tells = "In one piece.", .presence = api::Presence::optional},
                   {.member = "suggestions", .tells = "What would make it fit.", .presence = api::Presence::optional}});
template <>
inline constexpr auto api::description<attach::ProgressNotice> =
    api::describe("ProgressNotice", "How far a load is.",
                  {{.member = "operation_id", .tells = "The load's operation."},
                   {.member = "model", .tells = "The model's name."},
                   {.member = "stage", .tells = "inspect, reserve, cache, load or done."},
                   {.member = "done_bytes", .tells = "Landed so far; never goes back."},
                   {.member = "total_bytes", .tells = "0 until the header is read."},
                   {.member = "progress_percentage", .tells = "Of the bytes."}});
}  // namespace vramd
