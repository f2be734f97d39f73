#include "engine/known_headers.hpp"

#include <algorithm>

namespace vramd::engine {
namespace {
constexpr std::size_t headers_max = 64;
constexpr std::size_t tensors_max = 4096;
constexpr u64 settles_ns = 1'000'000'000;
}  // namespace

FilesState settled_state(const worker::ModelFiles& files, u64 now_wall_ns) {
    FilesState state;
    const auto add = [&](const std::string& name, const Fd& file) {
        const auto facts = worker::facts_of_file(file);
        if (!facts || facts->changed_ns + settles_ns > now_wall_ns) return false;
        state.emplace_back(name, *facts);
        return true;
    };
    bool settled = add({}, files.main);
    for (const worker::NamedFile& other : files.others) settled = settled && add(other.name, other.fd);
    return settled ? state : FilesState{};
}

std::vector<std::string> KnownHeader::other_names() const {
    std::vector<std::string> names;
    for (const auto& [name, facts] : files)
        if (!name.empty()) names.push_back(name);
    return names;
}

std::optional<KnownHeader> KnownHeaders::find(const std::string& path) {
    const Lock lock(lock_);
    const auto found = std::ranges::find(headers_, path, &KnownHeader::path);
    if (found == headers_.end()) return std::nullopt;
    std::rotate(found, found + 1, headers_.end());
    return headers_.back();
}

void KnownHeaders::keep(KnownHeader header) {
    if (header.files.empty() || header.model.tensors.size() > tensors_max) return;
    const Lock lock(lock_);
    std::erase_if(headers_, [&header](const KnownHeader& other) { return other.path == header.path; });
    headers_.push_back(std::move(header));
    if (headers_.size() > headers_max) headers_.pop_front();
}
}  // namespace vramd::engine
