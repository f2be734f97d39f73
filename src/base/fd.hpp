/// Sole ownership of a file descriptor.
#pragma once
#include "base/result.hpp"

namespace vramd {
/// Owns one descriptor, or none (-1). Move-only; closes on destruction. Not synchronised.
class Fd {
public:
    Fd() = default;
    explicit Fd(int descriptor) : descriptor_(descriptor) {}
    Fd(Fd&& other) noexcept : descriptor_(other.release()) {}
    Fd& operator=(Fd&& other) noexcept;
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { reset(); }

    [[nodiscard]] int get() const { return descriptor_; }
    [[nodiscard]] explicit operator bool() const { return descriptor_ >= 0; }
    /// Gives the descriptor up without closing it.
    [[nodiscard]] int release() {
        const int given = descriptor_;
        descriptor_ = -1;
        return given;
    }
    void reset();
    /// A second descriptor for the same open file, close-on-exec.
    [[nodiscard]] Result<Fd> duplicate() const;

private:
    int descriptor_ = -1;
};
}  // namespace vramd
