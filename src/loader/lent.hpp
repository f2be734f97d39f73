/// What the core lent for one job: its terms, its descriptors, and the mappings of the lent memory.
#pragma once
#include <string>
#include <vector>

#include "ipc/frame.hpp"
#include "ipc/messages.hpp"
#include "loader/confine.hpp"

namespace vramd::loader {
enum class Method : u8 { inspect, load };

struct Job {
    u64 id = 0;
    Method method = Method::inspect;
    std::string main_name;
    u64 names_checksum = 0;  ///< Of the further files' names, in the order of their descriptors.
    Limits limits;
    Strictness strictness = Strictness::required;
    u64 offset_bytes = 0;  ///< Of the lent range in `memory`.
    u64 size_bytes = 0;
    Fd table;
    Fd memory;              ///< Only for a load.
    std::vector<Fd> files;  ///< The main one first.
};
/// Waits for the request and all its descriptors. Errors: `malformed_request`, `invalid_field`, `system_failed` (the core is gone).
[[nodiscard]] Result<Job> receive_job(const ipc::Channel& channel);

/// A shared, writable mapping of lent memory; unmapped with the object.
class Mapping {
public:
    /// Maps [offset, offset + size) of `fd`; size 0 maps nothing. Errors: `system_failed`.
    [[nodiscard]] static Result<Mapping> of(const Fd& fd, u64 offset_bytes, u64 size_bytes);
    Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
    Mapping& operator=(Mapping&&) = delete;
    ~Mapping();
    [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }

private:
    explicit Mapping(std::span<std::byte> bytes) : bytes_(bytes) {}
    std::span<std::byte> bytes_;
};
}  // namespace vramd::loader
