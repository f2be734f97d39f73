/// The book of transfers: which wait for their turn, which run, and the last that have ended.
///
/// Invariants: at most `transfers_running_max` run; an allocation that a running or queued transfer writes, moves or makes is in no other
/// one, and one that it only reads may be read by others too; finished ones are kept for a while (`transfers_kept_max`), oldest out first.
/// Only `apply` changes anything. A pure value.
#pragma once
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "terms/event.hpp"

namespace vramd::memory {
inline constexpr std::size_t transfers_running_max = 4;
/// Queued and running ones together.
inline constexpr std::size_t transfers_open_max = 10'000;
/// Ended ones that can still be asked for.
inline constexpr std::size_t transfers_kept_max = 1000;

struct Transfer {
    TransferPlan plan;
    TransferState state = TransferState::queued;
    std::optional<Code> ending;  ///< Why it is to end before its time.
    Error error;                 ///< Where it did not succeed.
    TransferResult result;
    u64 turn = 0;  ///< Its place in the order of beginnings; 0 while queued.
    u64 begun_wall_ns = 0;
    u64 ended_wall_ns = 0;

    [[nodiscard]] bool is_open() const { return state == TransferState::queued || state == TransferState::running; }
};

class Transfers {
public:
    void apply(const TransferQueued& event);
    void apply(const TransferBegun& event);
    void apply(const TransferCancelling& event);
    void apply(const TransferEnded& event);

    // Look-ups; pointers hold until the next apply.
    [[nodiscard]] const Transfer* transfer(TransferId id) const;
    [[nodiscard]] const std::map<u64, Transfer>& transfers() const { return rows_; }
    /// Open transfers that this allocation is the source or the target of, oldest first.
    [[nodiscard]] std::vector<const Transfer*> of(u64 allocation_serial) const;
    /// The open transfer that makes, writes or moves this allocation; null: none does.
    [[nodiscard]] const Transfer* changing(u64 allocation_serial) const;
    /// Queued ones in the order in which they may begin: the most urgent first; among equals the owner with the fewest running, then the
    /// one who had a turn longest ago, then the oldest.
    [[nodiscard]] std::vector<const Transfer*> next() const;
    [[nodiscard]] std::size_t running() const { return running_; }
    [[nodiscard]] std::size_t open() const { return rows_.size() - ended_.size(); }
    [[nodiscard]] u64 next_transfer() const { return next_transfer_; }

    /// Appends a sentence for each thing that does not hold.
    void audit(std::vector<std::string>& findings) const;
    void save(std::vector<std::byte>& out) const;
    [[nodiscard]] static Result<Transfers> restore(std::span<const std::byte> bytes);

private:
    struct Saved;
    void index(const Transfer& transfer);
    void forget(const Transfer& transfer);

    std::map<u64, Transfer> rows_;  ///< By serial.
    std::deque<u64> ended_;         ///< Serials, oldest first.
    u64 next_transfer_ = 1;
    u64 next_turn_ = 1;
    std::map<std::string, u64, std::less<>> last_turn_;  ///< By owner, of those who have open transfers.

    // Derived.
    std::map<u64, std::vector<u64>> by_allocation_;  ///< Open ones: allocation → transfers, oldest first.
    std::map<std::string, u64, std::less<>> running_of_;
    std::map<std::string, u64, std::less<>> open_of_;
    std::size_t running_ = 0;
};
}  // namespace vramd::memory
