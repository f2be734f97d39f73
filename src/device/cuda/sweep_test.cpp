/// Every call of the driver fails once, in every way: whatever a process was at, it is told so in words, nothing of it is left, and the
/// next process finds each byte that was said to be there.
#include "device/cuda/fixture.hpp"

namespace vramd::device::cuda {
namespace {
constexpr int out_of_memory_status = 2;
constexpr int launch_failed = 719;  // Lasts: the process never gets anything else.
constexpr int unknown = 999;

/// What a keeper has of one block, and what must lie in it.
struct Kept {
    BlockSpec spec;
    Fd descriptor;
    std::byte value{};        ///< The last that was said to be there.
    std::byte begun_value{};  ///< Of a fill that failed, which may have come to any point; else as `value`.
};

/// A process' whole work with a GPU, as far as it comes.
class Process {
public:
    /// True when nothing was refused.
    bool work() {
        auto opened =
            open({.look_every_ns = 3600 * ns_per_second, .lost = [this](const std::string& why) { causes_ += why.empty() ? 1000 : 1; }});
        if (!is_fine(opened)) return false;
        device_ = *std::move(opened);
        return make(block(1, least)) && fill(0, std::byte{5}) && make(block(2, least, BlockKind::shareable)) && copy() &&
               is_fine(device_->share(1, Sharing::writable)) && is_fine(device_->seal_for_sharing(2)) && look() && make(block(3)) &&
               let_go();
    }
    /// At the end every failure has been told at most once, and of a lost one why.
    void check_told() const {
        CHECK(causes_ <= 1);
        CHECK(wordless_ == 0);
    }
    void end() { device_.reset(); }
    [[nodiscard]] std::vector<Kept>& kept() { return kept_; }

private:
    template <class T>
    bool is_fine(const Result<T>& result) {
        if (!result && describe(result.error()).empty()) ++wordless_;
        return result.has_value();
    }
    bool make(const BlockSpec& spec) {
        auto keeper = device_->create(spec);
        if (!is_fine(keeper)) {
            CHECK(device_->blocks().size() == kept_.size());
            return false;
        }
        kept_.push_back({spec, *std::move(keeper)});
        return true;
    }
    bool fill(std::size_t which, std::byte value) {
        Kept& one = kept_[which];
        const auto way = channel_to(*device_, one.spec.key);
        if (!is_fine(way)) return false;
        one.begun_value = value;
        if (!is_fine((*way)->fill(0, one.spec.size_bytes, value))) return false;
        one.value = value;
        return true;
    }
    bool copy() {
        const auto from = channel_to(*device_, 1), to = channel_to(*device_, 2);
        if (!is_fine(from) || !is_fine(to)) return false;
        std::vector<std::byte> bytes(kept_[0].spec.size_bytes);
        if (!is_fine((*from)->read(0, bytes))) return false;
        CHECK(all(bytes, kept_[0].value));
        kept_[1].begun_value = kept_[0].value;
        if (!is_fine((*to)->copy_from(0, **from, 0, bytes.size()))) return false;
        kept_[1].value = kept_[0].value;
        return is_fine((*from)->write(0, bytes));
    }
    bool look() {
        (void)device_->read();
        return is_fine(device_->health_check());
    }
    bool let_go() {
        const bool gone = is_fine(device_->release(3));
        if (gone) kept_.pop_back();
        return gone;
    }

    std::unique_ptr<Device> device_;
    std::vector<Kept> kept_;
    std::atomic<int> causes_ = 0;
    int wordless_ = 0;
};

void next_process_finds(std::vector<Kept>& kept) {
    const auto device = gpu();
    for (Kept& one : kept) {
        CAPTURE(one.spec.key);
        REQUIRE(device->adopt(one.spec, std::move(one.descriptor)).has_value());
        const auto bytes = content(*device, one.spec.key);
        const bool right = std::ranges::all_of(bytes, [&](std::byte byte) { return byte == one.value || byte == one.begun_value; });
        CHECK(right);
    }
}

/// Works on a GPU whose `nth` call from now on answers `status`. True when that call was never made.
bool outlived(int status, u64 nth) {
    const u64 descriptors = open_descriptors();
    bool whole = false;
    {
        Process process;
        Double::get().order(nullptr, status, nth);
        whole = process.work();
        process.end();
        process.check_told();
        const u64 pending = Double::get().pending();
        Double::get().calm();
        if (status == out_of_memory_status)
            CHECK(pending == 0);  // After the others the GPU is lost to this process, and waiting for it is vain.
        // What the driver would not take back goes with the process.
        Double::get().forget();
        next_process_finds(process.kept());
        Double::get().forget();
    }
    CHECK(open_descriptors() == descriptors);
    return whole;
}
}  // namespace

TEST_CASE("whichever call of the driver fails, and however, the next process finds every byte and nothing is left") {
    const Calm calm;
    (void)outlived(0, 0);  // The libraries stay open.
    for (const int status : {out_of_memory_status, launch_failed, unknown}) {
        CAPTURE(status);
        u64 nth = 0;
        u64 unnoticed = 0;
        for (; unnoticed < 20 && nth < 1000; ++nth) {
            CAPTURE(nth);
            // A failure that changes nothing (a count that nobody needs) is right too: only many in a row mean the end.
            unnoticed = outlived(status, nth) ? unnoticed + 1 : 0;
        }
        CHECK(nth > 60);
        CHECK(nth < 1000);
    }
}
}  // namespace vramd::device::cuda
