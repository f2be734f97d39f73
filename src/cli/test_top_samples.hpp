/// Answers of the API as vramctl top's tests take them: two devices, some allocations, models and transfers.
#pragma once
#include "cli/top_state.hpp"

namespace vramd::cli::top::testing {
inline constexpr double noon = 1'780'000'000;  // 2026-05-28T20:26:40Z

inline json::value parsed(std::string_view text) { return parse_document(text).value(); }

inline json::value two_devices() {
    return parsed(R"({"devices":[
        {"deviceId":"a","totalBytes":1000,"usedBytes":500,"liveBytes":400,"zombieBytes":100,"reservedBytes":100,"freeBytes":400,
         "availableBytes":300,"usagePercentage":50.0,"health":"good","allocationCount":3,"blockCount":2,"memoryType":"systemMemory",
         "reclaimableBytes":0},
        {"deviceId":"b","totalBytes":2048,"usedBytes":0,"liveBytes":0,"zombieBytes":0,"reservedBytes":0,"freeBytes":2048,
         "availableBytes":2048,"usagePercentage":0.0,"health":"degraded","allocationCount":0,"blockCount":0,"memoryType":"systemMemory",
         "reclaimableBytes":0}]})");
}

inline json::value three_allocations() {
    return parsed(R"({"items":[
        {"id":"alc_1","deviceId":"a","sizeBytes":100,"status":"live","owner":"uid:7","purpose":"scratch","attachedClients":2,
         "allocationType":"default","createdAt":"2026-05-28T20:26:10.000Z","lastAccessed":"2026-05-28T20:26:10.000Z","accessCount":0},
        {"id":"alc_2","deviceId":"a","sizeBytes":300,"status":"live","owner":"vramd","purpose":"model","model":"模型","attachedClients":0,
         "allocationType":"default","createdAt":"2026-05-28T20:25:40.000Z","lastAccessed":"2026-05-28T20:26:10.000Z","accessCount":0},
        {"id":"alc_3","deviceId":"b","sizeBytes":100,"status":"zombie","owner":"anna","purpose":"","attachedClients":1,
         "allocationType":"mapped","createdAt":"2026-05-28T20:26:30.000Z","lastAccessed":"2026-05-28T20:26:10.000Z","accessCount":0}],
        "nextCursor":null})");
}

inline json::value two_models() {
    return parsed(R"({"loadedModels":[
        {"name":"模型","state":"resident","sizeBytes":300,"attachedClients":0,"pinned":false,"format":"gguf","tensorCount":4,"path":"m.gguf",
         "loadedAt":"2026-05-28T20:25:40.000Z","loadMs":12.5,"places":[{"deviceId":"a","sizeBytes":300},{"deviceId":"b","sizeBytes":308}]},
        {"name":"kept","state":"loading","sizeBytes":50,"attachedClients":1,"pinned":false,"format":"onnx","tensorCount":9,"path":"k.onnx",
         "places":[{"deviceId":"a","sizeBytes":50}]}]})");
}

inline json::value two_transfers() {
    return parsed(R"({"items":[
        {"id":"xfr_1","status":"running","mode":"copy","sizeBytes":4096,"progressPercentage":25.0,"sourceDeviceId":"a","targetDeviceId":"b",
         "createdAt":"2026-05-28T20:26:39.000Z","owner":"anna","priority":"normal","throughput":{"averageBytesPerSecond":1024},"etaMs":3.0},
        {"id":"xfr_2","status":"succeeded","mode":"move","sizeBytes":8192,"progressPercentage":100.0,"sourceDeviceId":"a",
         "targetDeviceId":"b","createdAt":"2026-05-28T20:26:38.000Z","owner":"anna","priority":"normal","throughput":{}}],"nextCursor":null})");
}

/// All of these, live.
inline State full_state() {
    State state;
    state.where = "unix:/run/vramd/vramd-http.sock";
    take_system(state, parsed(R"({"version":"0.1.0","generation":1,"ledgerSequence":9})"));
    take_rows(state, Tab::devices, two_devices(), noon);
    take_rows(state, Tab::processes, three_allocations(), noon);
    take_rows(state, Tab::models, two_models(), noon);
    take_rows(state, Tab::transfers, two_transfers(), noon);
    const std::string event =
        R"({"sequence":9,"type":"allocationReady","at":"2026-05-28T20:26:30.250Z","deviceId":"a","owner":"anna","allocationId":"alc_3"})";
    take_events(state, std::span(&event, 1), noon);
    take_contact(state, noon);
    return state;
}

inline std::vector<std::string> shown_ids(const Table& table) {
    std::vector<std::string> ids;
    for (const std::size_t place : table.shown) ids.push_back(table.rows[place].id);
    return ids;
}
}  // namespace vramd::cli::top::testing
