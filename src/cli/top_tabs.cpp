#include "cli/top_tabs.hpp"

#include <algorithm>

namespace vramd::cli::top {
namespace {
constexpr Column device_columns[] = {
    {"DEVICE", "deviceId"},
    {"TOTAL", "totalBytes", As::size},
    {"OURS", "liveBytes", As::size},
    {"ZOMBIE", "zombieBytes", As::size},
    {"RESERVED", "reservedBytes", As::size},
    {"OTHERS", "takenBytes", As::size},
    {"FREE", "availableBytes", As::size},
    {"USE", "usagePercentage", As::percentage},
    {"HEALTH", "health"},
    {"ALLOCATIONS", "allocationCount", As::number},
    {"RECLAIMABLE", "reclaimableBytes", As::size},
    {"BLOCKS", "blockCount", As::number},
    {"TYPE", "memoryType"},
};
// Whose it is and what it holds come before what else there is: on a narrow screen the last columns have no room.
constexpr Column process_columns[] = {
    {"ID", "id"},
    {"SIZE", "sizeBytes", As::size},
    {"DEVICE", "deviceId"},
    {"OWNER", "owner"},
    {"HOLDS", "holds"},
    {"STATUS", "status"},
    {"CLIENTS", "attachedClients", As::number},
    {"AGE", "createdAt", As::time},
    {"TYPE", "allocationType"},
    {"USED", "lastAccessed", As::time},
    {"USES", "accessCount", As::number},
};
constexpr Column top_model_columns[] = {
    {"NAME", "name"},
    {"SIZE", "sizeBytes", As::size},
    {"STATE", "state"},
    {"DEVICES", "devices"},
    {"CLIENTS", "attachedClients", As::number},
    {"PINNED", "pinned"},
    {"LOADED", "loadedAt", As::time},
    {"FORMAT", "format"},
    {"TENSORS", "tensorCount", As::number},
    {"TOOK", "loadMs", As::duration_ms},
    {"RATE", "loadBytesPerSecond", As::rate},
    {"PATH", "path"},
};
constexpr Column transfer_columns[] = {
    {"ID", "id"},
    {"STATUS", "status"},
    {"DONE", "progressPercentage", As::percentage},
    {"SIZE", "sizeBytes", As::size},
    {"RATE", "rate", As::rate},
    {"FROM", "sourceDeviceId"},
    {"TO", "targetDeviceId"},
    {"AGE", "createdAt", As::time},
    {"MODE", "mode"},
    {"LEFT", "etaMs", As::duration_ms},
    {"OWNER", "owner"},
    {"PRIORITY", "priority"},
    {"SOURCE", "sourceAllocationId"},
};
constexpr Column event_columns[] = {
    {"EVENT", "sequence", As::number},
    {"AT (UTC)", "time"},
    {"TYPE", "type"},
    {"DEVICE", "deviceId"},
    {"ABOUT", "about"},
    {"OWNER", "owner"},
    {"SIZE", "size", As::size},
    {"WHAT", "what"},
};
constexpr TabFacts facts[] = {
    {"Devices", "Dev", "devices", "/api/memory/status", "devices", "deviceId", device_columns, 0, Order::rising, 1, 0,
     "There are no devices."},
    {"Processes", "Proc", "processes", "/api/memory/allocations?limit=1000", "items", "id", process_columns, 1, Order::falling, 1, 7,
     "Nobody holds memory."},
    {"Models", "Mod", "models", "/api/model/status", "loadedModels", "name", top_model_columns, 1, Order::falling, 1, 6,
     "No model is loaded."},
    {"Transfers", "Xfer", "transfers", "/api/memory/transfers?limit=1000", "items", "id", transfer_columns, 7, Order::falling, 3, 7,
     "There are no transfers."},
    {"Events", "Ev", "events", "", "", "sequence", event_columns, 0, Order::falling, 6, 1, "Nothing happened yet."},
};

/// "allocationId=alc_1  purpose=scratch": what no other column shows.
std::string remaining_fields(const json::object& event, Sizes sizes) {
    std::string text;
    for (const auto& [key, value] : event) {
        const std::string_view name(key.data(), key.size());
        const bool shown =
            std::any_of(std::begin(event_columns), std::end(event_columns), [&](const Column& one) { return one.key == name; });
        if (shown || name == "at" || text_at(event, name) == text_at(event, "about")) continue;
        text += (text.empty() ? "" : "  ") + std::string(name) + "=" + figure_text(sizes, name, event);
    }
    return text;
}

std::string devices_of(const json::object& model) {
    std::string text;
    const json::value* const places = model.if_contains("places");
    if (places == nullptr || !places->is_array()) return text;
    for (const json::value& place : places->get_array())
        if (place.is_object()) text += (text.empty() ? "" : ", ") + text_at(place.get_object(), "deviceId");
    return text;
}

void copy_first(json::object& record, std::string_view to, std::initializer_list<std::string_view> from) {
    for (const std::string_view key : from)
        if (const json::value* const value = find_path(record, key)) {
            const json::value copied = *value;
            record[to] = copied;
            return;
        }
}
}  // namespace

const TabFacts& facts_of(Tab tab) { return facts[static_cast<std::size_t>(tab)]; }

std::optional<Tab> tab_named(std::string_view word) {
    for (const Tab tab : all_tabs)
        if (facts_of(tab).word == word) return tab;
    return std::nullopt;
}

void complete(Tab tab, json::object& record, Sizes sizes) {
    switch (tab) {
        case Tab::devices:
            record["takenBytes"] = parts_of(record).others_bytes;
            break;
        case Tab::processes: {
            const std::string model = text_at(record, "model");
            record["holds"] = model.empty() ? text_at(record, "purpose") : "model " + model;
            break;
        }
        case Tab::models:
            record["devices"] = devices_of(record);
            break;
        case Tab::transfers:
            copy_first(record, "rate", {"throughput.currentBytesPerSecond", "throughput.averageBytesPerSecond"});
            break;
        case Tab::events: {
            const std::string at = text_at(record, "at");
            copy_first(record, "about", {"allocationId", "transferId", "modelId", "operationId", "sessionId", "blockId"});
            record["what"] = remaining_fields(record, sizes);
            record["time"] = at.size() >= 19 ? at.substr(11, 8) : at;
            copy_first(record, "size", {"sizeBytes", "bytes"});
            break;
        }
    }
}

Parts parts_of(const json::object& status) {
    const auto bytes = [&](std::string_view key) { return number_at(status, key).value_or(0); };
    const u64 total = bytes("totalBytes");
    Parts parts;
    u64 left = total;
    const auto take = [&](u64 wanted) {
        const u64 taken = std::min(wanted, left);
        left -= taken;
        return taken;
    };
    parts.live_bytes = take(bytes("liveBytes"));
    parts.zombie_bytes = take(bytes("zombieBytes"));
    parts.reserved_bytes = take(bytes("reservedBytes"));
    const u64 by_books = bytes("freeBytes"), available = bytes("availableBytes");
    parts.others_bytes = take(by_books > available ? by_books - available : 0);
    parts.free_bytes = left;
    return parts;
}
}  // namespace vramd::cli::top
