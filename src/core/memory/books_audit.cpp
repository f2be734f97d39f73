/// Books checked against themselves, saved and taken back.
#include <bit>

#include "core/memory/books.hpp"
#include "terms/archive.hpp"

namespace vramd::memory {
namespace {
/// Rows as the snapshot keeps them: texts in full, so that the index numbers of a session need not be kept.
struct SavedDevice {
    DeviceRow row;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.row.id, s.row.capacity_bytes, s.row.granule_bytes, s.row.limits, s.row.limits_revision);
    }
};
struct SavedBlock {
    BlockRow row;
    std::string owner;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.row.key, s.row.size_bytes, s.row.dirty_bytes, s.owner, s.row.device, s.row.kind, s.row.state);
    }
};
/// Read as values, written as references: a copy of every row would be memory that the state does not have to spare.
template <class Row = AllocationRow, class Text = std::string>
struct SavedAllocation {
    Row row;
    Text owner;
    Text purpose;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.row.id, s.row.block, s.row.offset_bytes, s.row.size_bytes, s.row.granted_bytes, s.row.created_wall_ns,
              s.row.accessed_wall_ns, s.row.access_count, s.row.lease_until_monotonic_ns, s.row.model, s.row.lease_seconds, s.owner,
              s.purpose, s.row.alignment_log2, s.row.type, s.row.status, s.row.persistent, s.row.shareable);
    }
};
struct SavedMove {
    u64 serial = 0;
    Move move;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.serial, s.move.block, s.move.offset_bytes, s.move.granted_bytes, s.move.operation);
    }
};
}  // namespace

struct Books::Saved {
    std::vector<SavedDevice> devices;
    std::vector<SavedBlock> blocks;
    std::vector<SavedAllocation<>> allocations;
    std::vector<SavedMove> moves;
    u64 next_block = 1;
    u64 next_allocation = 1;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.devices, s.blocks, s.allocations, s.moves, s.next_block, s.next_allocation);
    }
};

/// As a `Saved` would be written, row by row.
void Books::save(std::vector<std::byte>& out) const {
    constexpr std::size_t row_bytes = 192;  // More than most take: growing would copy it all. Pages not reached cost nothing.
    out.reserve(out.size() + allocations_.size() * row_bytes);
    ArchiveWriter writer(out);
    writer(static_cast<u32>(devices_.size()));
    for (const DeviceRow& device : devices_) writer(SavedDevice{device});
    writer(static_cast<u32>(blocks_.size()));
    for (const auto& [key, block] : blocks_) writer(SavedBlock{block.row, name(block.row.owner)});
    writer(static_cast<u32>(allocations_.size()));
    for (const auto& [serial, allocation] : allocations_)
        writer(SavedAllocation<const AllocationRow&, const std::string&>{allocation.row, name(allocation.row.owner),
                                                                         name(allocation.row.purpose)});
    writer(static_cast<u32>(moves_.size()));
    for (const auto& [serial, move] : moves_) writer(SavedMove{serial, move});
    writer(next_block_, next_allocation_);
}

Result<Books> Books::restore(std::span<const std::byte> bytes) {
    Saved saved;
    ArchiveReader reader(bytes);
    reader(saved);
    TRY_DO(reader.finish());
    Books books;
    for (SavedDevice& device : saved.devices) books.apply(DeviceAdded{device.row.id, device.row.capacity_bytes, device.row.granule_bytes});
    for (const SavedBlock& block : saved.blocks) {
        books.apply(BlockReserved{block.row.key, block.row.device, block.row.kind, block.owner, block.row.size_bytes});
        if (block.row.state == BlockState::releasing) books.apply(BlockReleasing{block.row.key});
        Block& made = books.blocks_.at(block.row.key);
        made.row.state = block.row.state;
        made.row.dirty_bytes = block.row.dirty_bytes;
    }
    for (const SavedAllocation<>& allocation : saved.allocations) {
        AllocationRow row = allocation.row;
        row.owner = books.names_.take(allocation.owner);
        row.purpose = books.names_.take(allocation.purpose);
        books.attach({row, {}});
    }
    for (const SavedMove& saved_move : saved.moves) {
        const Move& move = saved_move.move;
        const Allocation* allocation = books.allocation_by_serial(saved_move.serial);
        if (allocation == nullptr)
            return refuse(Code::system_failed, "snapshot", "The snapshot moves an allocation that it does not have.");
        books.apply(MoveReserved{allocation->row.id, move.block, move.offset_bytes, move.granted_bytes, move.operation});
    }
    // Last: what lies there may be beyond the limits, which came later than it did.
    for (std::size_t i = 0; i < saved.devices.size(); ++i) {
        books.devices_[i].limits = saved.devices[i].row.limits;
        books.devices_[i].limits_revision = saved.devices[i].row.limits_revision;
    }
    books.next_block_ = saved.next_block;
    books.next_allocation_ = saved.next_allocation;
    return books;
}

namespace {
void expect(std::vector<std::string>& findings, u64 kept, u64 counted, const std::string& what) {
    if (kept != counted)
        findings.push_back(what + ": the books say " + std::to_string(kept) + ", the rows say " + std::to_string(counted) + ".");
}
}  // namespace

void Books::audit_block(const Block& block, std::vector<std::string>& findings) const {
    const std::string which = "block " + std::to_string(block.row.key);
    if (block.row.state == BlockState::releasing && !block.allocations().empty())
        findings.push_back(which + " is given up but holds allocations.");
    if (block.row.kind != BlockKind::arena && block.row.state == BlockState::ready && block.allocations().empty())
        findings.push_back(which + " holds nothing and is not given back.");
    u64 end = 0;
    u64 granted = 0;
    for (const auto& [offset, serial] : block.allocations()) {
        const Allocation* allocation = allocation_by_serial(serial);
        const Move* moving = move(serial);
        const bool first = allocation != nullptr && allocation->row.block == block.row.key && allocation->row.offset_bytes == offset;
        const bool second = moving != nullptr && moving->block == block.row.key && moving->offset_bytes == offset;
        if (allocation == nullptr || first == second) {
            findings.push_back(which + " lists an allocation that is not there.");
            continue;
        }
        if (offset < end) findings.push_back(which + " holds two allocations in one place.");
        if (offset % (u64{1} << allocation->row.alignment_log2) != 0) findings.push_back(which + " holds a misaligned allocation.");
        if (name(allocation->row.owner) != name(block.row.owner)) findings.push_back(which + " holds bytes of two owners.");
        const u64 bytes = first ? allocation->row.granted_bytes : moving->granted_bytes;
        end = offset + bytes;
        granted += bytes;
    }
    if (end > block.row.size_bytes) findings.push_back(which + " holds an allocation beyond its end.");
    if (!block.space) return;
    expect(findings, block.space->stats().used_bytes, granted, which + " used bytes");
    if (!block.space->consistent()) findings.push_back(which + " has a sub-allocator that contradicts itself.");
}

void Books::audit(std::vector<std::string>& findings) const {
    std::vector<DeviceSums> devices(devices_.size());
    std::map<Use, UseSums> uses;
    std::map<std::pair<u16, std::string>, u64, std::less<>> held;
    for (const auto& [key, block] : blocks_) {
        DeviceSums& sums = devices[block.row.device];
        sums.committed += block.row.size_bytes;
        sums.blocks += 1;
        if (block.row.state == BlockState::releasing) sums.zombie += block.row.size_bytes;
        audit_block(block, findings);
    }
    u64 leases = 0;
    for (const auto& [serial, allocation] : allocations_) {
        const Block* in = block(allocation.row.block);
        if (in == nullptr) {
            findings.push_back("allocation " + std::to_string(serial) + " lies in no block.");
            continue;
        }
        DeviceSums& sums = devices[in->row.device];
        const bool abandoned = allocation.row.status == AllocationStatus::zombie;
        (abandoned ? sums.zombie : sums.live) += allocation.row.granted_bytes;
        sums.abandoned += abandoned ? allocation.row.granted_bytes : 0;
        sums.allocations += 1;
        const AllocationRow& row = allocation.row;
        UseSums& use = uses[{in->row.device, row.owner, row.purpose, row.model != 0}];
        use.live += row.granted_bytes;
        use.allocations += 1;
        held[{in->row.device, name(allocation.row.owner)}] += allocation.row.granted_bytes;
        if (allocation.row.lease_until_monotonic_ns != 0) ++leases;
        if (serial >= next_allocation_) findings.push_back("allocation " + std::to_string(serial) + " has a number not given out yet.");
    }
    for (const auto& [serial, move] : moves_) {
        const Block* in = block(move.block);
        if (in == nullptr || in->allocations().empty() || in->serial(move.handle) != serial)
            findings.push_back("allocation " + std::to_string(serial) + " is being moved to no place.");
        else
            devices[in->row.device].live += move.granted_bytes;
        const Block* first = allocations_.contains(serial) ? block(allocations_.find(serial)->row.block) : nullptr;
        if (in != nullptr && first != nullptr && first->row.device != in->row.device)
            held[{in->row.device, name(allocations_.find(serial)->row.owner)}] += move.granted_bytes;
        if (!allocations_.contains(serial)) findings.push_back("allocation " + std::to_string(serial) + " is moved and not there.");
    }
    if (held_ != held) findings.emplace_back("what owners hold on a device differs from the rows.");
    expect(findings, leases_.size(), leases, "leases");
    if (uses_ != uses) findings.emplace_back("what is in use by whom, where and for what differs from the rows.");
    for (std::size_t i = 0; i < devices_.size(); ++i) {
        expect(findings, device_sums_[i].committed, devices[i].committed, devices_[i].id + " committed bytes");
        expect(findings, device_sums_[i].live, devices[i].live, devices_[i].id + " live bytes");
        expect(findings, device_sums_[i].zombie, devices[i].zombie, devices_[i].id + " zombie bytes");
        expect(findings, device_sums_[i].abandoned, devices[i].abandoned, devices_[i].id + " abandoned bytes");
        expect(findings, device_sums_[i].allocations, devices[i].allocations, devices_[i].id + " allocations");
        if (devices[i].committed > devices_[i].capacity_bytes) findings.push_back(devices_[i].id + " has more blocks than its capacity.");
        const u64 parts = devices[i].live + devices[i].zombie + reserved_bytes(static_cast<u16>(i)) + free_bytes(static_cast<u16>(i));
        expect(findings, parts, devices_[i].capacity_bytes, devices_[i].id + " live + zombie + reserved + free bytes");
    }
}
}  // namespace vramd::memory
