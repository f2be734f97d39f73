/// Limits of a device: what may be sent, what is told.
#pragma once
#include "api/resources_parts.hpp"
#include "terms/limits.hpp"

namespace vramd::api {
template <>
inline constexpr auto description<LimitForm> = describe(
    "LimitForm", "How the most that may be used was given: not at all, in bytes, or as a share of the capacity, which follows it.");

struct LimitsRequest {
    std::optional<u64> max_bytes;
    std::optional<Percentage> max_percentage;
    std::optional<u64> reserve_bytes;
    std::optional<Percentage> emergency_threshold_percentage;
    std::optional<std::map<std::string, u64>> owner_quotas;
    bool enforce_immediately = false;
    bool dry_run = false;
};
BOOST_DESCRIBE_STRUCT(LimitsRequest, (),
                      (max_bytes, max_percentage, reserve_bytes, emergency_threshold_percentage, owner_quotas, enforce_immediately,
                       dry_run))
inline constexpr Field max_bytes_field{
    .member = "max_bytes", .tells = "The most that may be used, the reserve included.", .example = "6442450944", .unit = "bytes"};
template <>
inline constexpr auto description<LimitsRequest> = describe(
    "LimitsRequest", "Which limits are to be others. What is absent stays as it is.",
    {{.member = "max_bytes",
      .tells = "The most that may be used, the reserve included; at most the device's capacity. Not together with maxPercentage.",
      .example = "6442450944",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "max_percentage",
      .tells = "The same as a share of the capacity; 100 takes the limit away. Not together with maxBytes.",
      .unit = "%",
      .presence = Presence::optional},
     {.member = "reserve_bytes",
      .tells = "Kept back from everybody, below that most; at most the capacity.",
      .example = "268435456",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "emergency_threshold_percentage",
      .tells = "Of what may be used: when more is held, models that nobody uses or pinned go by themselves, those that were loaded first "
               "before the others, the newest never. 100: they go only when room is needed.",
      .example = "95.00",
      .unit = "%",
      .min = 1,
      .presence = Presence::optional},
     {.member = "owner_quotas",
      .tells = "The most that each owner may hold on the device; the whole table, so what is not in it has no quota. At most 200 owners.",
      .example = R"({"http":2147483648})",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "enforce_immediately",
      .tells = "Take back at once what is over the limits, as far as models and empty blocks go; nobody's allocations are touched.",
      .example = "false",
      .presence = Presence::optional},
     {.member = "dry_run",
      .tells = "Change nothing, only tell what it would lead to.",
      .example = "false",
      .presence = Presence::optional}});

struct OwnerQuota {
    std::string owner;
    u64 quota_bytes = 0;
    u64 held_bytes = 0;
};
BOOST_DESCRIBE_STRUCT(OwnerQuota, (), (owner, quota_bytes, held_bytes))
template <>
inline constexpr auto description<OwnerQuota> =
    describe("OwnerQuota", "What an owner may hold on a device, and does.",
             {{.member = "owner", .tells = "Whose quota it is.", .example = R"("http")"},
              {.member = "quota_bytes", .tells = "The most it may hold.", .example = "2147483648", .unit = "bytes"},
              {.member = "held_bytes", .tells = "What it holds.", .example = "1073741824", .unit = "bytes"}});

struct Limits {
    std::string device_id;
    u64 revision = 0;
    u64 total_bytes = 0;
    u64 max_bytes = 0;
    Percentage max_percentage;
    LimitForm max_given_as = LimitForm::none;
    u64 reserve_bytes = 0;
    Percentage emergency_threshold_percentage;
    u64 emergency_threshold_bytes = 0;
    u64 usable_bytes = 0;
    u64 used_bytes = 0;
    u64 held_bytes = 0;
    u64 available_bytes = 0;
    std::vector<OwnerQuota> owner_quotas;
};
BOOST_DESCRIBE_STRUCT(Limits, (),
                      (device_id, revision, total_bytes, max_bytes, max_percentage, max_given_as, reserve_bytes,
                       emergency_threshold_percentage, emergency_threshold_bytes, usable_bytes, used_bytes, held_bytes, available_bytes,
                       owner_quotas))
template <>
inline constexpr auto description<Limits> = describe(
    "Limits", "The limits of a device, and what they come to now.",
    {device_id_field,
     {.member = "revision", .tells = "How often they were changed; the ETag is made of it.", .example = "3"},
     {.member = "total_bytes", .tells = "The capacity.", .example = "8589934592", .unit = "bytes"},
     max_bytes_field,
     {.member = "max_percentage", .tells = "The same as a share of the capacity.", .example = "75.00", .unit = "%"},
     {.member = "max_given_as", .tells = "In which form it was given."},
     {.member = "reserve_bytes", .tells = "Kept back below that.", .example = "268435456", .unit = "bytes"},
     {.member = "emergency_threshold_percentage",
      .tells = "Of what may be used: above this models go by themselves; 100: only when room is needed.",
      .example = "95.00",
      .unit = "%"},
     {.member = "emergency_threshold_bytes", .tells = "The same in bytes.", .example = "5865353216", .unit = "bytes"},
     {.member = "usable_bytes",
      .tells = "What can be handed out in all: the most less the reserve.",
      .example = "6174015488",
      .unit = "bytes"},
     {.member = "used_bytes", .tells = "live and zombie.", .example = "2147483648", .unit = "bytes"},
     {.member = "held_bytes", .tells = "In blocks: used, and what arenas hold in advance.", .example = "2181038080", .unit = "bytes"},
     {.member = "available_bytes", .tells = "By the books: usable less used.", .example = "4026531840", .unit = "bytes"},
     {.member = "owner_quotas", .tells = "Who may hold how much. Who is no admin sees itself and vramd."}});

struct LimitsImpact {
    u64 over_bytes = 0;
    u64 reclaimable_bytes = 0;
    u64 reclaimable_blocks = 0;
    std::vector<std::string> models;
    u64 remains_over_bytes = 0;
    u64 available_bytes_before = 0;
    u64 available_bytes_after = 0;
    std::vector<OwnerQuota> owners_over_quota;
};
BOOST_DESCRIBE_STRUCT(LimitsImpact, (),
                      (over_bytes, reclaimable_bytes, reclaimable_blocks, models, remains_over_bytes, available_bytes_before,
                       available_bytes_after, owners_over_quota))
template <>
inline constexpr auto description<LimitsImpact> =
    describe("LimitsImpact", "What limits lead to, computed on the state just before they were set.",
             {{.member = "over_bytes", .tells = "What blocks hold beyond what may be used.", .example = "1073741824", .unit = "bytes"},
              {.member = "reclaimable_bytes",
               .tells = "What a reclaim of that gives back: whole blocks, so it can be more.",
               .example = "1342177280",
               .unit = "bytes"},
              {.member = "reclaimable_blocks", .tells = "Arenas that hold nothing, and go first.", .example = "0"},
              {.member = "models", .tells = "Models that go after these, in order.", .example = R"(["detector"])"},
              {.member = "remains_over_bytes",
               .tells = "What no reclaim takes: memory in use. It stays until it is freed, and nothing new is given out before.",
               .example = "0",
               .unit = "bytes"},
              {.member = "available_bytes_before", .tells = "Usable less used, before.", .example = "5368709120", .unit = "bytes"},
              {.member = "available_bytes_after",
               .tells = "The same with these limits; where they are enforced at once, when what goes for them is back.",
               .example = "4026531840",
               .unit = "bytes"},
              {.member = "owners_over_quota", .tells = "Owners that hold more than their quota: they keep it, and get no more."}});

struct Reclaimed {
    u64 bytes = 0;
    u64 blocks = 0;
    std::vector<std::string> models;
};
BOOST_DESCRIBE_STRUCT(Reclaimed, (), (bytes, blocks, models))
template <>
inline constexpr auto description<Reclaimed> = describe(
    "Reclaimed", "What was taken back.",
    {{.member = "bytes", .tells = "Of blocks that go; zombie until the device has let go of them.", .example = "0", .unit = "bytes"},
     {.member = "blocks", .tells = "Arenas that held nothing.", .example = "0"},
     {.member = "models", .tells = "Models that were evicted, in order.", .example = "[]"}});

struct ChangedLimits : Limits {
    bool dry_run = false;
    LimitsImpact impact;
    Reclaimed reclaimed;
};
BOOST_DESCRIBE_STRUCT(ChangedLimits, (Limits), (dry_run, impact, reclaimed))
template <>
inline constexpr auto description<ChangedLimits> =
    describe("ChangedLimits", "The limits as they are now (of a dry run: as they would be), and what they lead to.", description<Limits>,
             {{.member = "dry_run", .tells = "True: nothing was changed.", .example = "false"},
              {.member = "impact", .tells = "What they lead to."},
              {.member = "reclaimed", .tells = "What was taken back at once; nothing unless enforceImmediately."}});
}  // namespace vramd::api
