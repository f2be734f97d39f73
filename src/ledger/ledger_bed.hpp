/// What the ledger's tests share: a directory that goes away, and a ledger's content as plain values.
#pragma once
#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "ledger/ledger.hpp"

namespace vramd::ledger {
inline std::vector<std::byte> bytes_of(std::string_view text) {
    const auto* at = reinterpret_cast<const std::byte*>(text.data());
    return {at, at + text.size()};
}
inline std::string text_of(std::span<const std::byte> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

/// A directory of its own for one test.
class Bed {
public:
    /// `memory`: where there is a tmpfs, for tests that open thousands of ledgers; what they check does not depend on the file system.
    enum class On : u8 { disk, memory };
    explicit Bed(On on = On::disk) {
        const std::filesystem::path memory = "/dev/shm";
        const bool in_memory = on == On::memory && access(memory.c_str(), W_OK) == 0;
        std::string name = ((in_memory ? memory : std::filesystem::temp_directory_path()) / "vramd-ledger-XXXXXX").string();
        REQUIRE(mkdtemp(name.data()) != nullptr);
        root = name;
    }
    ~Bed() {
        std::error_code ignored;
        std::filesystem::remove_all(root, ignored);
    }
    Bed(const Bed&) = delete;
    Bed& operator=(const Bed&) = delete;
    [[nodiscard]] Options options(std::string life = "boot-1", u64 segment_bytes = 16 * kib) const {
        return {root / "state", std::move(life), segment_bytes, gib};
    }
    [[nodiscard]] std::filesystem::path state() const { return root / "state"; }
    std::filesystem::path root;
};

/// One batch as values.
struct Told {
    u64 first_sequence = 0;
    u64 wall_ns = 0;
    std::vector<std::string> events;
    bool operator==(const Told&) const = default;
};

inline Visitor into(std::vector<Told>& list) {
    return [&list](const Batch& batch) -> Result<Visit> {
        Told told{batch.first_sequence, batch.wall_ns, {}};
        for (const auto& event : batch.events) told.events.push_back(text_of(event));
        list.push_back(std::move(told));
        return Visit::more;
    };
}
inline std::vector<Told> replayed(const Ledger& ledger) {
    std::vector<Told> list;
    REQUIRE(ledger.replay(into(list)).has_value());
    return list;
}
inline std::vector<Told> history(const Ledger& ledger, u64 from = 1, u64 to = number_max) {
    std::vector<Told> list;
    REQUIRE(ledger.read(from, to, into(list)).has_value());
    return list;
}
inline Opened opened(const Options& options) {
    auto result = Ledger::open(options);
    if (!result) FAIL(describe(result.error()));
    return *std::move(result);
}
/// Appends and answers what a replay must tell of it.
inline Told add(Ledger& ledger, u64 wall_ns, const std::vector<std::string>& events) {
    std::vector<std::vector<std::byte>> batch;
    for (const std::string& event : events) batch.push_back(bytes_of(event));
    const auto first = ledger.append(wall_ns, batch);
    if (!first) FAIL(describe(first.error()));
    return {*first, wall_ns, events};
}
}  // namespace vramd::ledger
