/// The ledger's layout of events, held to the byte: one sample of each kind, with a value of its own in every field, against the bytes that
/// event_bytes.txt keeps. A ledger outlives the binary that wrote it, so a change of these bytes must be meant.
#include <doctest/doctest.h>

#include <map>
#include <sstream>

#include "terms/event.hpp"

using namespace vramd;

namespace {
/// Kinds with their bytes in hex: a name, then lines of hex that are set in.
constexpr const char* kept_text =
#include "terms/event_bytes.txt"
    ;

const std::string what_to_do =
    "Ledgers that were written before hold the old bytes and would be misread. If the change is not meant, it is a bug: mend it. If it is "
    "meant, raise format_version as docs/ledger.md says of it, and put the lines below in the place of the old ones in "
    "src/terms/event_bytes.txt:\n";

std::vector<Event> samples_of_memory() {
    return {
        DeviceAdded{.device_id = "host0", .capacity_bytes = 0x0102, .granule_bytes = 0x0304},
        DeviceResized{.device = 0x0102, .capacity_bytes = 0x0304},
        BlockReserved{.block = 0x01, .device = 0x0203, .kind = BlockKind::pinned, .owner = "me", .size_bytes = 0x0405},
        BlockReady{.block = 0x0102},
        BlockReleasing{.block = 0x0102},
        BlockGone{.block = 0x0102},
        AllocationReserved{.id = {0x01, 0x02},
                           .block = 0x03,
                           .offset_bytes = 0x04,
                           .size_bytes = 0x05,
                           .granted_bytes = 0x06,
                           .alignment_bytes = 0x07,
                           .type = AllocationType::unified,
                           .owner = "me",
                           .purpose = "weights",
                           .persistent = false,
                           .shareable = true,
                           .lease_seconds = 0x08,
                           .lease_until_monotonic_ns = 0x09,
                           .wall_ns = 0x0a,
                           .model = 0x0b},
        AllocationReady{.id = {0x01, 0x02}},
        AllocationDropped{.id = {0x01, 0x02}, .code = Code::device_lost, .detail = "gone"},
        AllocationFreed{.id = {0x01, 0x02}, .reason = Code::timed_out},
        AllocationAccessed{.id = {0x01, 0x02}, .wall_ns = 0x03, .lease_until_monotonic_ns = 0x04},
        LeaseRenewed{.id = {0x01, 0x02}, .lease_seconds = 0x03, .lease_until_monotonic_ns = 0x04},
        MoveReserved{.id = {0x01, 0x02}, .block = 0x03, .offset_bytes = 0x04, .granted_bytes = 0x05, .operation = 0x06},
        AllocationMoved{.id = {0x01, 0x02}},
        MoveDropped{.id = {0x01, 0x02}, .reason = Code::conflict},
        BlockDirtied{.block = 0x0102},
    };
}

std::vector<Event> samples_of_models() {
    const LoadRequest request{.name = "name",
                              .path = "path",
                              .type = ModelType::llm,
                              .estimated_size_mb = 0x03,
                              .device_id = "a",
                              .priority = Priority::high,
                              .pinned = true};
    const Inspection inspection{.format = ModelFormat::onnx,
                                .identity = {.device = 0x04, .inode = 0x05, .size_bytes = 0x06, .modified_ns = 0x07, .header_hash = 0x08},
                                .memory_bytes = 0x09,
                                .tensor_bytes = 0x0a,
                                .tensors = {{.name = "w", .dtype = "f32", .shape = {2, 3}, .offset_bytes = 0, .size_bytes = 24},
                                            {.name = "v", .dtype = "i8", .shape = {}, .offset_bytes = 256, .size_bytes = 1}}};
    return {
        OperationStarted{.id = {0x01, 0x02}, .kind = OperationKind::optimize, .owner = "me", .request = request, .wall_ns = 0x04},
        OperationEnded{.id = {0x01, 0x02},
                       .state = OperationState::failed,
                       .error = {Code::invalid_model, "header", 0x03, 0x04, "why"},
                       .wall_ns = 0x05},
        ModelLoading{.id = {0x01, 0x02},
                     .operation = {0x03, 0x04},
                     .allocation = {0x05, 0x06},
                     .device = 0x0708,
                     .tier = ModelTier::ram,
                     .target = 0x090a,
                     .inspection = inspection},
        ModelResident{.id = {0x01, 0x02}, .allocation = {0x03, 0x04}, .device = 0x0506, .load_ns = 0x07, .wall_ns = 0x08},
        ModelNamed{.id = {0x01, 0x02}, .operation = {0x03, 0x04}, .target = 0x0506},
        ModelGone{.id = {0x01, 0x02}, .allocation = {0x03, 0x04}, .device = 0x0506},
        ModelUnnamed{.id = {0x01, 0x02}, .name = "name"},
        OperationCancelling{.id = {0x01, 0x02}},
        ModelCopying{.id = {0x01, 0x02}, .operation = {0x03, 0x04}, .allocation = {0x05, 0x06}, .device = 0x0708, .tier = ModelTier::ram},
        ModelTiered{.id = {0x01, 0x02}, .allocation = {0x03, 0x04}, .device = 0x0506, .tier = ModelTier::ram, .pinned = true},
        CacheSet{.device = 0x0102, .max_bytes = 0x0304, .order = EvictionOrder::smart, .marks = {0x0405, 0x0607}},
    };
}

std::vector<Event> samples_of_transfers() {
    const TransferPlan plan{.id = {0x01, 0x02},
                            .owner = "me",
                            .source = {0x03, 0x04},
                            .target = {0x05, 0x06},
                            .source_device = 0x0708,
                            .target_device = 0x090a,
                            .source_offset_bytes = 0x0b,
                            .target_offset_bytes = 0x0c,
                            .size_bytes = 0x0d,
                            .mode = TransferMode::move,
                            .priority = Priority::critical,
                            .verify = true,
                            .makes_target = false,
                            .deadline_monotonic_ns = 0x0e,
                            .wall_ns = 0x0f};
    return {
        TransferQueued{.plan = plan},
        TransferBegun{.id = {0x01, 0x02}, .wall_ns = 0x03},
        TransferCancelling{.id = {0x01, 0x02}, .reason = Code::cancelled},
        TransferEnded{.id = {0x01, 0x02},
                      .state = TransferState::cancelled,
                      .error = {Code::timed_out, "field", 0x03, 0x04, "why"},
                      .result = {.bytes = 0x05, .wait_ns = 0x06, .duration_ns = 0x07, .checksum = 0x08},
                      .wall_ns = 0x09},
    };
}

std::vector<Event> samples_of_upkeep() {
    const auto figures = [](u64 first) { return FreeFigures{first, first + 1, first + 2, first + 3, first + 4, first + 5, first + 6}; };
    const UpkeepRequest request{.kind = OperationKind::optimize,
                                .devices = {0x0102, 0x0304},
                                .actions = {UpkeepAction::compact, UpkeepAction::cache},
                                .strategy = DefragmentStrategy::conservative,
                                .own_only = true,
                                .time_limit_ns = 0x05,
                                .deadline_monotonic_ns = 0x06,
                                .target_fragmentation_hundredths = 0x07,
                                .target_usage_hundredths = 0x08,
                                .preserve = {0x09, 0x0a},
                                .preserve_models = {"kept"}};
    const UpkeepActed acted{.action = UpkeepAction::preload,
                            .stopped_by = UpkeepStop::leased,
                            .moves = 0x01,
                            .moved_bytes = 0x02,
                            .freed_bytes = 0x03,
                            .released_blocks = 0x04,
                            .ended_leases = 0x05,
                            .models = {"model"},
                            .left = 0x06,
                            .why_left = "used"};
    return {
        PressureChanged{.device = 0x0102,
                        .from = PressureBand::moderate,
                        .to = PressureBand::critical,
                        .level_hundredths = 0x0304,
                        .cause = PressureCause::system,
                        .wall_ns = 0x05},
        UpkeepStarted{.id = {0x01, 0x02},
                      .owner = "me",
                      .request = request,
                      .before = {figures(0x10), figures(0x20)},
                      .monotonic_ns = 0x03,
                      .wall_ns = 0x04},
        UpkeepTold{.id = {0x01, 0x02},
                   .result = {.after = {figures(0x10)}, .actions = {acted}, .planned_bytes = 0x03, .duration_ns = 0x04}},
        KeyUsed{.owner = "me",
                .key = "once",
                .call = 0x01,
                .body = 0x02,
                .subject = "alc_1",
                .device_id = "host0",
                .bytes = 0x03,
                .wall_ns = 0x04},
        LimitsSet{.device = 0x0102,
                  .limits = {.form = LimitForm::percentage,
                             .max_bytes = 0x03,
                             .max_hundredths = 0x04,
                             .reserve_bytes = 0x05,
                             .emergency_hundredths = 0x06,
                             .owner_quotas = {{"me", 0x07}, {"you", 0x08}}},
                  .wall_ns = 0x09},
    };
}

std::vector<Event> samples_of_sessions() {
    return {
        SessionBegun{.id = {0x01, 0x02}, .key_sum = 0x03, .owner = "me", .client = "python"},
        HoldTaken{.id = {0x01, 0x02}, .session = {0x03, 0x04}, .mode = HoldMode::write, .ends_with_session = true},
        HoldEnded{.id = {0x01, 0x02}, .session = {0x03, 0x04}},
        SessionEnded{.id = {0x01, 0x02}, .owner = "me", .reason = Code::timed_out},
        AllocationAbandoned{.id = {0x01, 0x02}},
    };
}

std::vector<std::byte> encoded(const Event& event) {
    std::vector<std::byte> bytes;
    encode(event, bytes);
    return bytes;
}

/// The lines that event_bytes.txt has for an event.
std::string lines_of(const Event& event) {
    constexpr std::size_t bytes_a_line = 60;
    constexpr const char* digits = "0123456789abcdef";
    std::string lines(name_of(event));
    std::size_t count = 0;
    for (const std::byte byte : encoded(event)) {
        if (count++ % bytes_a_line == 0) lines += "\n    ";
        lines += digits[std::to_integer<unsigned>(byte >> 4)];
        lines += digits[std::to_integer<unsigned>(byte & std::byte{0xf})];
    }
    return lines + "\n";
}

std::map<std::string, std::string> kept_lines() {
    std::map<std::string, std::string> kept;
    std::istringstream text(kept_text);
    std::string name;
    for (std::string line; std::getline(text, line);) {
        if (line.empty()) continue;
        if (line.front() != ' ') name = line;
        kept[name] += line + "\n";
    }
    return kept;
}

/// By tag; null where there is none.
std::vector<const Event*> by_tag(const std::vector<Event>& samples) {
    std::vector<const Event*> found(std::variant_size_v<Event>, nullptr);
    for (const Event& sample : samples) found[sample.index()] = &sample;
    return found;
}

std::vector<Event> all_samples() {
    std::vector<Event> all;
    for (const auto& some : {samples_of_memory(), samples_of_models(), samples_of_transfers(), samples_of_upkeep(), samples_of_sessions()})
        all.insert(all.end(), some.begin(), some.end());
    return all;
}
}  // namespace

TEST_CASE("every kind of event has a sample whose bytes are kept") {
    const std::vector<Event> samples = all_samples();
    auto kept = kept_lines();
    const std::vector<const Event*> found = by_tag(samples);
    for (std::size_t tag = 0; tag < found.size(); ++tag) {
        const std::string name(event_names()[tag]);
        CHECK_MESSAGE(found[tag] != nullptr, name, " is an event without a sample: add one above, with a value of its own in every field.");
        if (found[tag] != nullptr)
            CHECK_MESSAGE(kept.contains(name), name, " is new: append its lines to src/terms/event_bytes.txt\n", lines_of(*found[tag]));
        kept.erase(name);
    }
    for (const auto& [name, lines] : kept)
        FAIL_CHECK(name, " has kept bytes but is no event any more: old ledgers hold it, so a kind is never taken away.\n", lines);
}

TEST_CASE("a ledger that was written before is read as it was meant: no event's bytes have changed") {
    const std::vector<Event> samples = all_samples();
    const auto kept = kept_lines();
    for (const Event& sample : samples) {
        const auto lines = kept.find(std::string(name_of(sample)));
        if (lines == kept.end()) continue;  // The test above tells.
        CHECK_MESSAGE(lines->second == lines_of(sample), "The layout of ", name_of(sample), " has changed. ", what_to_do, lines_of(sample));
        const auto again = decode_event(encoded(sample));
        REQUIRE(again.has_value());
        CHECK(lines_of(*again) == lines_of(sample));
    }
}
