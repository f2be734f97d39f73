/// How many connections there may be, in all and of one peer.
#pragma once
#include <memory>
#include <string>
#include <unordered_map>

#include "base/mutex.hpp"
#include "base/types.hpp"

namespace vramd::http {
/// Thread-safe; outlived by its seats through shared ownership.
class Seats : public std::enable_shared_from_this<Seats> {
public:
    Seats(u64 seats_max, u64 seats_per_peer_max) : seats_max_(seats_max), seats_per_peer_max_(seats_per_peer_max) {}

    /// One connection's place, given back on destruction.
    class Seat {
    public:
        Seat(std::shared_ptr<Seats> seats, std::string peer) : seats_(std::move(seats)), peer_(std::move(peer)) {}
        Seat(Seat&&) noexcept = default;
        Seat& operator=(Seat&&) = delete;
        ~Seat() {
            if (seats_) seats_->give_back(peer_);
        }

    private:
        std::shared_ptr<Seats> seats_;
        std::string peer_;
    };

    /// A place for a connection of `peer` (its uid or address), or nullptr when it or the house is full.
    [[nodiscard]] std::unique_ptr<Seat> take(const std::string& peer) {
        const Lock lock(mutex_);
        if (taken_ >= seats_max_) return nullptr;
        u64& of_peer = by_peer_[peer];
        if (of_peer >= seats_per_peer_max_) return nullptr;
        ++of_peer;
        ++taken_;
        return std::make_unique<Seat>(shared_from_this(), peer);
    }
    [[nodiscard]] u64 taken() const {
        const Lock lock(mutex_);
        return taken_;
    }

private:
    void give_back(const std::string& peer) {
        const Lock lock(mutex_);
        --taken_;
        const auto found = by_peer_.find(peer);
        if (--found->second == 0) by_peer_.erase(found);
    }

    const u64 seats_max_;
    const u64 seats_per_peer_max_;
    mutable Mutex mutex_;
    u64 taken_ GUARDED_BY(mutex_) = 0;
    std::unordered_map<std::string, u64> by_peer_ GUARDED_BY(mutex_);
};
}  // namespace vramd::http
