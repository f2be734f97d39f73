/// The resources of /api/system, /api/devices, /api/audit and the health calls.
#pragma once
#include "api/resources_parts.hpp"

namespace vramd::api {
struct Worker {
    u32 pid = 0;
    std::string job;
    std::string operation_id;
};
BOOST_DESCRIBE_STRUCT(Worker, (), (pid, job, operation_id))
template <>
inline constexpr auto description<Worker> =
    describe("Worker", "A process that reads a model file.",
             {{.member = "pid", .tells = "Its process id.", .example = "4242"},
              {.member = "job", .tells = "What it does.", .example = R"("load")"},
              {.member = "operation_id", .tells = "For which operation.", .example = R"("op_5g7hj2k4m6npqr8")"}});

struct Recovery {
    u64 replayed_events = 0;
    Milliseconds replay_ms;
    u64 adopted_blocks = 0;
    Milliseconds adopt_ms;
    Milliseconds total_ms;
    u64 undone_allocations = 0;
    std::vector<std::string> findings;
};
BOOST_DESCRIBE_STRUCT(Recovery, (), (replayed_events, replay_ms, adopted_blocks, adopt_ms, total_ms, undone_allocations, findings))
template <>
inline constexpr auto description<Recovery> =
    describe("Recovery", "What the core's last start took and found.",
             {{.member = "replayed_events", .tells = "Events read back from the ledger.", .example = "120"},
              {.member = "replay_ms", .tells = "How long that took.", .example = "0.210", .unit = "ms"},
              {.member = "adopted_blocks", .tells = "Blocks of memory taken back.", .example = "3"},
              {.member = "adopt_ms", .tells = "How long that took.", .example = "0.480", .unit = "ms"},
              {.member = "total_ms", .tells = "From the core's start to ready.", .example = "11.300", .unit = "ms"},
              {.member = "undone_allocations", .tells = "Allocations that nobody had been told of yet.", .example = "0"},
              {.member = "findings", .tells = "What was not as it should be, a sentence each.", .example = "[]"}});

struct System {
    std::string version;
    u32 keeper_pid = 0;
    u32 core_pid = 0;
    u64 generation = 0;
    u64 ledger_sequence = 0;
    Time started_at;
    Time core_started_at;
    std::string boot_id;
    bool read_only = false;
    std::optional<std::string> read_only_reason;
    std::vector<Worker> workers;
    Recovery recovery;
    std::string owner;
    Role role = Role::user;
};
BOOST_DESCRIBE_STRUCT(System, (),
                      (version, keeper_pid, core_pid, generation, ledger_sequence, started_at, core_started_at, boot_id, read_only,
                       read_only_reason, workers, recovery, owner, role))
}  // namespace vramd::api
template <>
struct vramd::EnumNames<vramd::Role> {
    static constexpr std::array<std::string_view, 2> names = {"user", "admin"};
};
namespace vramd::api {
template <>
inline constexpr auto description<Role> = describe("Role", "user: sees and frees its own. admin: all.");
template <>
inline constexpr auto description<System> =
    describe("System", "The daemon, its processes, and who the caller is to it.",
             {{.member = "version", .tells = "The daemon's version.", .example = R"("0.1.0")"},
              {.member = "keeper_pid", .tells = "The process that outlives the core.", .example = "4240"},
              {.member = "core_pid", .tells = "The process that answered.", .example = "4241"},
              {.member = "generation", .tells = "How often the core was started so far.", .example = "1"},
              {.member = "ledger_sequence", .tells = "The last event's number.", .example = "120"},
              {.member = "started_at", .tells = "When the keeper was started.", .example = R"("2026-01-31T08:00:00.000Z")"},
              {.member = "core_started_at", .tells = "When this core was started.", .example = R"("2026-01-31T08:00:00.050Z")"},
              {.member = "boot_id", .tells = "The machine's boot.", .example = R"("0f9c2c1e-5d0e-4c39-9d0b-6c0a6fb3a2a7")"},
              {.member = "read_only", .tells = "True: changes are refused, reads are answered.", .example = "false"},
              {.member = "read_only_reason",
               .tells = "Why it is read-only.",
               .example = R"("The ledger's file system is full.")",
               .presence = Presence::optional},
              {.member = "workers", .tells = "Processes that read model files just now."},
              {.member = "recovery", .tells = "What the core's last start took."},
              {.member = "owner", .tells = "Who the caller is.", .example = R"("uid:1000")"},
              {.member = "role", .tells = "What the caller may do."}});

struct Link {
    std::string device_id;
    u64 bytes_per_second = 0;
    Time measured_at;
};
BOOST_DESCRIBE_STRUCT(Link, (), (device_id, bytes_per_second, measured_at))
template <>
inline constexpr auto description<Link> =
    describe("Link", "What can be brought to another device at best.",
             {{.member = "device_id", .tells = "The other device.", .example = R"("host1")"},
              {.member = "bytes_per_second",
               .tells = "The rate, measured with all transfer threads, or of a GPU's own copies.",
               .example = "9500000000",
               .unit = "bytes/s"},
              {.member = "measured_at", .tells = "When it was measured.", .example = R"("2026-01-31T08:15:30.250Z")"}});

struct Device {
    std::string device_id;
    std::string kind;
    std::string name;
    std::string driver;
    std::optional<std::string> uuid;
    std::string memory_type;
    std::vector<std::string> capabilities;
    u64 total_bytes = 0;
    u64 granularity_bytes = 0;
    std::optional<u64> physical_bytes;
    std::optional<u64> pinned_bytes;
    HealthState health = HealthState::good;
    std::vector<std::string> health_reasons;
    std::vector<Link> links;
};
BOOST_DESCRIBE_STRUCT(Device, (),
                      (device_id, kind, name, driver, uuid, memory_type, capabilities, total_bytes, granularity_bytes, physical_bytes,
                       pinned_bytes, health, health_reasons, links))
template <>
inline constexpr auto description<Device> =
    describe("Device", "A device that memory can be had of.",
             {device_id_field,
              {.member = "kind", .tells = "host, cuda, d3d12 or sim.", .example = R"("host")"},
              {.member = "name", .tells = "The hardware's name where it is known.", .example = R"("")"},
              {.member = "driver", .tells = "Driver or kernel with its version.", .example = R"("Linux 6.1.0")"},
              {.member = "uuid",
               .tells = "Which GPU it is, as nvidia-smi prints it.",
               .example = R"("GPU-5a0b1c2d-0000-1111-2222-0123456789ab")",
               .presence = Presence::optional},
              {.member = "memory_type", .tells = "systemMemory, gpuMemory or simulated.", .example = R"("systemMemory")"},
              {.member = "capabilities",
               .tells = "What it can do; the rest is refused as unsupported.",
               .example = R"(["map","pinned","sharedRead"])"},
              {.member = "total_bytes", .tells = "The capacity, as configured.", .example = "8589934592", .unit = "bytes"},
              {.member = "granularity_bytes", .tells = "Blocks are multiples of this.", .example = "4096", .unit = "bytes"},
              {.member = "physical_bytes",
               .tells = "The hardware's memory.",
               .example = "17179869184",
               .unit = "bytes",
               .presence = Presence::optional},
              {.member = "pinned_bytes",
               .tells = "System memory of the daemon that a GPU reads by itself, so far; what comes from there comes at the link's speed.",
               .example = "2147483648",
               .unit = "bytes",
               .presence = Presence::optional},
              {.member = "health", .tells = "Whether it works."},
              {.member = "health_reasons", .tells = "What is wrong, a sentence each.", .example = "[]"},
              {.member = "links", .tells = "To each other device; empty in the first second of the first start."}});

struct DeviceList {
    std::vector<Device> items;
    std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(DeviceList, (), (items, next_cursor))
template <>
inline constexpr auto description<DeviceList> = describe("DeviceList", "All devices, in the order of the configuration.",
                                                         {{.member = "items", .tells = "The devices."}, next_cursor_field});

struct Audit {
    bool ok = true;
    u64 checked = 0;
    u64 finding_count = 0;
    std::optional<std::vector<std::string>> findings;
    std::string state_hash;
    u64 ledger_sequence = 0;
};
BOOST_DESCRIBE_STRUCT(Audit, (), (ok, checked, finding_count, findings, state_hash, ledger_sequence))
template <>
inline constexpr auto description<Audit> =
    describe("Audit", "Whether all books agree: devices, owners, blocks, keeper, ledger.",
             {{.member = "ok", .tells = "True: nothing was found.", .example = "true"},
              {.member = "checked", .tells = "How many statements were checked.", .example = "51"},
              {.member = "finding_count", .tells = "How many did not hold.", .example = "0"},
              {.member = "findings", .tells = "Each in a sentence; for admins only.", .example = "[]", .presence = Presence::optional},
              {.member = "state_hash", .tells = "Of the whole state; equal after a replay.", .example = R"("9ae16a3b2f90404f")"},
              {.member = "ledger_sequence", .tells = "The last event's number.", .example = "120"}});

struct Health {
    std::string status;
    std::optional<std::string> reason;
};
BOOST_DESCRIBE_STRUCT(Health, (), (status, reason))
template <>
inline constexpr auto description<Health> =
    describe("Health", "Whether the daemon answers, or serves.",
             {{.member = "status", .tells = "ok, or degraded with a reason.", .example = R"("ok")"},
              {.member = "reason", .tells = "Why it is degraded.", .example = R"("device a is lost")", .presence = Presence::optional}});
}  // namespace vramd::api
