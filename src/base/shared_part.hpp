/// A part of a large value that copies of the value share until one of them changes it: so the value is copied in the time that its parts
/// take to be counted, and what a change copies is one part.
///
/// Who holds the only reference may write without asking anybody. Another thread may let go of its own at any moment: its last reading
/// then happens before our first writing, for letting go releases and `own` acquires.
#pragma once
#include <atomic>
#include <utility>

#include "base/types.hpp"

namespace vramd {
/// A pointer that may be null. One object is one thread's; those that share a part may be different threads'. `T` is copyable.
template <class T>
class SharedPart {
public:
    SharedPart() = default;
    template <class... Arguments>
    [[nodiscard]] static SharedPart made_of(Arguments&&... arguments) {
        return SharedPart(new Part(std::forward<Arguments>(arguments)...));
    }
    SharedPart(const SharedPart& other) : part_(other.part_) {
        if (part_ != nullptr) part_->holders.fetch_add(1, std::memory_order_relaxed);
    }
    SharedPart(SharedPart&& other) noexcept : part_(std::exchange(other.part_, nullptr)) {}
    SharedPart& operator=(SharedPart other) noexcept {
        std::swap(part_, other.part_);
        return *this;
    }
    ~SharedPart() {
        if (part_ != nullptr && part_->holders.fetch_sub(1, std::memory_order_acq_rel) == 1) delete part_;
    }

    explicit operator bool() const { return part_ != nullptr; }
    const T& operator*() const { return part_->value; }
    const T* operator->() const { return &part_->value; }
    /// The part, to be changed; it is copied first where others share it. Not null. What was read through another pointer into it stays
    /// with the others. O(1) for who has it alone.
    [[nodiscard]] T& own() {
        if (part_->holders.load(std::memory_order_acquire) != 1) *this = made_of(std::as_const(part_->value));
        return part_->value;
    }

private:
    struct Part {
        template <class... Arguments>
        explicit Part(Arguments&&... arguments) : value(std::forward<Arguments>(arguments)...) {}
        T value;
        std::atomic<u64> holders = 1;
    };
    explicit SharedPart(Part* part) : part_(part) {}
    Part* part_ = nullptr;
};
}  // namespace vramd
