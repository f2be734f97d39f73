#include "terms/event.hpp"

#include <array>
#include <span>

#include "terms/archive.hpp"

namespace vramd {
namespace {
constexpr std::array<std::string_view, 41> names = {"deviceAdded",        "deviceResized",   "blockReserved",      "blockReady",
                                                    "blockReleasing",     "blockGone",       "allocationReserved", "allocationReady",
                                                    "allocationDropped",  "allocationFreed", "allocationAccessed", "leaseRenewed",
                                                    "operationStarted",   "operationEnded",  "modelLoading",       "modelResident",
                                                    "modelNamed",         "modelGone",       "modelUnnamed",       "operationCancelling",
                                                    "moveReserved",       "allocationMoved", "moveDropped",        "pressureChanged",
                                                    "transferQueued",     "transferBegun",   "transferCancelling", "transferEnded",
                                                    "upkeepStarted",      "upkeepTold",      "blockDirtied",       "keyUsed",
                                                    "limitsSet",          "modelCopying",    "modelTiered",        "cacheSet",
                                                    "sessionBegun",       "holdTaken",       "holdEnded",          "sessionEnded",
                                                    "allocationAbandoned"};
static_assert(names.size() == std::variant_size_v<Event>);

template <std::size_t Index>
Result<Event> decode_as(std::span<const std::byte> fields) {
    std::variant_alternative_t<Index, Event> event;
    ArchiveReader reader(fields);
    reader(event);
    TRY_DO(reader.finish());
    return Event(std::move(event));
}

using Decoder = Result<Event> (*)(std::span<const std::byte>);
template <std::size_t... Indexes>
constexpr std::array<Decoder, sizeof...(Indexes)> decoders_of(std::index_sequence<Indexes...>) {
    return {&decode_as<Indexes>...};
}
constexpr auto decoders = decoders_of(std::make_index_sequence<std::variant_size_v<Event>>{});
}  // namespace

std::string_view name_of(const Event& event) { return names[event.index()]; }
std::span<const std::string_view> event_names() { return names; }

void encode(const Event& event, std::vector<std::byte>& out) {
    ArchiveWriter writer(out);
    writer(static_cast<u8>(event.index()));
    std::visit([&writer](const auto& kind) { writer(kind); }, event);
}

Result<Event> decode_event(std::span<const std::byte> bytes) {
    if (bytes.empty()) return refuse(Code::system_failed, "record", "A record of the ledger is empty.");
    const auto tag = static_cast<std::size_t>(bytes[0]);
    if (tag >= decoders.size()) return refuse(Code::system_failed, "record", tag, decoders.size() - 1);
    return decoders[tag](bytes.subspan(1));
}
}  // namespace vramd
