/// The real vault: the keeper's table, over its line.
#pragma once
#include <memory>

#include "engine/ports.hpp"
#include "keeper/link.hpp"

namespace vramd::engine {
class KeeperVault final : public Vault {
public:
    explicit KeeperVault(std::shared_ptr<keeper::Link> link) : link_(std::move(link)) {}
    /// Memory without a descriptor (Direct3D 12's) is nobody's to keep: the next core finds its record and no block, and tells it as lost.
    Result<void> store(BlockKey key, u64 size_bytes, const Fd& memory) override {
        if (!memory) return {};
        return link_->store(key, size_bytes, memory);
    }
    Result<void> drop(BlockKey key) override { return link_->drop(key); }

private:
    std::shared_ptr<keeper::Link> link_;
};
}  // namespace vramd::engine
