#include "core/memory/transfers.hpp"

#include <algorithm>
#include <tuple>

#include "base/invariant.hpp"
#include "terms/archive.hpp"

namespace vramd::memory {
namespace {
/// Lowers a count and takes it out at 0; true if it is out.
bool count_down(std::map<std::string, u64, std::less<>>& counts, const std::string& owner) {
    const auto found = counts.find(owner);
    INVARIANT(found != counts.end() && found->second > 0);
    if (--found->second > 0) return false;
    counts.erase(found);
    return true;
}

u64 count_of(const std::map<std::string, u64, std::less<>>& counts, const std::string& owner) {
    const auto found = counts.find(owner);
    return found == counts.end() ? 0 : found->second;
}
}  // namespace

void Transfers::index(const Transfer& transfer) {
    const TransferPlan& plan = transfer.plan;
    by_allocation_[plan.source.serial].push_back(plan.id.serial);
    if (!plan.keeps_id()) by_allocation_[plan.target.serial].push_back(plan.id.serial);
    open_of_[plan.owner] += 1;
    if (transfer.state != TransferState::running) return;
    ++running_;
    running_of_[plan.owner] += 1;
}

void Transfers::forget(const Transfer& transfer) {
    const TransferPlan& plan = transfer.plan;
    for (const u64 serial : {plan.source.serial, plan.target.serial}) {
        const auto found = by_allocation_.find(serial);
        if (found == by_allocation_.end()) continue;  // Source and target in one.
        std::erase(found->second, plan.id.serial);
        if (found->second.empty()) by_allocation_.erase(found);
    }
    if (transfer.state == TransferState::running) {
        --running_;
        (void)count_down(running_of_, plan.owner);
    }
    if (count_down(open_of_, plan.owner)) last_turn_.erase(plan.owner);
}

void Transfers::apply(const TransferQueued& event) {
    INVARIANT(event.plan.id.serial >= next_transfer_);
    Transfer transfer;
    transfer.plan = event.plan;
    next_transfer_ = event.plan.id.serial + 1;
    index(transfer);
    rows_.emplace(event.plan.id.serial, std::move(transfer));
}

void Transfers::apply(const TransferBegun& event) {
    const auto found = rows_.find(event.id.serial);
    INVARIANT(found != rows_.end() && found->second.state == TransferState::queued);
    Transfer& transfer = found->second;
    transfer.state = TransferState::running;
    transfer.begun_wall_ns = event.wall_ns;
    transfer.turn = next_turn_++;
    last_turn_[transfer.plan.owner] = transfer.turn;
    ++running_;
    running_of_[transfer.plan.owner] += 1;
}

void Transfers::apply(const TransferCancelling& event) {
    const auto found = rows_.find(event.id.serial);
    INVARIANT(found != rows_.end() && found->second.is_open());
    found->second.ending = event.reason;
}

void Transfers::apply(const TransferEnded& event) {
    const auto found = rows_.find(event.id.serial);
    INVARIANT(found != rows_.end() && found->second.is_open());
    Transfer& transfer = found->second;
    forget(transfer);
    transfer.state = event.state;
    transfer.ending.reset();
    transfer.error = event.error;
    transfer.result = event.result;
    transfer.ended_wall_ns = event.wall_ns;
    ended_.push_back(event.id.serial);
    if (ended_.size() <= transfers_kept_max) return;
    rows_.erase(ended_.front());
    ended_.pop_front();
}

const Transfer* Transfers::transfer(TransferId id) const {
    const auto found = rows_.find(id.serial);
    return found != rows_.end() && found->second.plan.id == id ? &found->second : nullptr;
}

std::vector<const Transfer*> Transfers::of(u64 allocation_serial) const {
    std::vector<const Transfer*> list;
    if (const auto found = by_allocation_.find(allocation_serial); found != by_allocation_.end())
        for (const u64 serial : found->second) list.push_back(&rows_.at(serial));
    return list;
}

const Transfer* Transfers::changing(u64 allocation_serial) const {
    for (const Transfer* transfer : of(allocation_serial))
        if (transfer->plan.target.serial == allocation_serial || transfer->plan.mode == TransferMode::move) return transfer;
    return nullptr;
}

std::vector<const Transfer*> Transfers::next() const {
    std::vector<const Transfer*> queued;
    for (const auto& [serial, transfer] : rows_)
        if (transfer.state == TransferState::queued) queued.push_back(&transfer);
    const auto rank = [this](const Transfer* transfer) {
        const TransferPlan& plan = transfer->plan;
        return std::tuple(-static_cast<int>(plan.priority), count_of(running_of_, plan.owner), count_of(last_turn_, plan.owner),
                          plan.id.serial);
    };
    std::ranges::sort(queued, [&rank](const Transfer* a, const Transfer* b) { return rank(a) < rank(b); });
    return queued;
}

void Transfers::audit(std::vector<std::string>& findings) const {
    std::size_t open = 0;
    std::size_t running = 0;
    for (const auto& [serial, transfer] : rows_) {
        if (!transfer.is_open()) continue;
        ++open;
        running += transfer.state == TransferState::running ? 1 : 0;
        for (const u64 allocation : {transfer.plan.source.serial, transfer.plan.target.serial}) {
            const Transfer* changed_by = changing(allocation);
            if (changed_by != nullptr && of(allocation).size() > 1)
                findings.push_back("allocation " + std::to_string(allocation) + " is changed by one transfer and used by another.");
        }
    }
    if (running != running_) findings.push_back("the count of running transfers differs from the transfers.");
    if (running > transfers_running_max) findings.push_back("more transfers run than may run at once.");
    if (open != this->open()) findings.push_back("the list of ended transfers differs from the transfers.");
}

// ---------------------------------------------------------------------------------------------------------------------------- snapshots
namespace {
struct SavedTransfer {
    Transfer row;
    bool is_ending = false;
    Code ending{};
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        auto& t = s.row;
        visit(t.plan, t.state, s.is_ending, s.ending, t.error.code, t.error.field, t.error.value, t.error.limit, t.error.detail, t.result,
              t.turn, t.begun_wall_ns, t.ended_wall_ns);
    }
};
}  // namespace

struct Transfers::Saved {
    std::vector<SavedTransfer> rows;
    std::vector<u64> ended;
    u64 next_transfer = 1;
    u64 next_turn = 1;
    std::map<std::string, u64> last_turn;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.rows, s.ended, s.next_transfer, s.next_turn, s.last_turn);
    }
};

void Transfers::save(std::vector<std::byte>& out) const {
    Saved saved;
    for (const auto& [serial, row] : rows_) saved.rows.push_back({row, row.ending.has_value(), row.ending.value_or(Code{})});
    saved.ended.assign(ended_.begin(), ended_.end());
    saved.next_transfer = next_transfer_;
    saved.next_turn = next_turn_;
    saved.last_turn.insert(last_turn_.begin(), last_turn_.end());
    ArchiveWriter writer(out);
    writer(saved);
}

Result<Transfers> Transfers::restore(std::span<const std::byte> bytes) {
    Saved saved;
    ArchiveReader reader(bytes);
    reader(saved);
    TRY_DO(reader.finish());
    Transfers transfers;
    for (SavedTransfer& row : saved.rows) {
        if (row.is_ending) row.row.ending = row.ending;
        if (row.row.is_open()) transfers.index(row.row);
        transfers.rows_.emplace(row.row.plan.id.serial, std::move(row.row));
    }
    transfers.ended_.assign(saved.ended.begin(), saved.ended.end());
    transfers.next_transfer_ = saved.next_transfer;
    transfers.next_turn_ = saved.next_turn;
    transfers.last_turn_.insert(saved.last_turn.begin(), saved.last_turn.end());
    return transfers;
}
}  // namespace vramd::memory
