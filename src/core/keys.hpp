/// Keys that callers gave their changes (Idempotency-Key), so that a request that comes again after a lost answer does its work once.
///
/// A key is recorded in the same batch as the change that it came with: after the core's death either both are there or neither. A key
/// belongs to its owner and to one call (method, path and query). It is given back when the change came to nothing: an allocation that
/// never became usable, an operation or transfer that failed.
///
/// Invariants: at most `used_keys_max` rows, oldest out first; a row is in the order once; each subject with a key that can be given back
/// is in `by_subject_`. Only `apply` changes anything. A pure value.
#pragma once
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "base/result.hpp"
#include "terms/event.hpp"

namespace vramd::core {
inline constexpr std::size_t used_keys_max = 10'000;
inline constexpr u64 used_key_ns_max = 24 * 3600 * u64{1'000'000'000};

class Keys {
public:
    void apply(const KeyUsed& event);
    void apply(const AllocationDropped& event);
    void apply(const OperationEnded& event);
    void apply(const TransferEnded& event);
    /// What the key was used for, if it was and is remembered at `wall_ns`.
    [[nodiscard]] const KeyUsed* find(const std::string& owner, const std::string& key, u64 call, u64 wall_ns) const;
    [[nodiscard]] std::size_t size() const { return rows_.size(); }

    void audit(std::vector<std::string>& findings) const;
    void save(std::vector<std::byte>& out) const;
    [[nodiscard]] static Result<Keys> restore(std::span<const std::byte> bytes);

private:
    using Name = std::tuple<std::string, std::string, u64>;  ///< Owner, key, call.
    void forget(u64 number);
    void give_back(const std::string& subject);

    std::map<u64, KeyUsed> rows_;  ///< By a number that counts up.
    u64 next_ = 1;
    // Derived.
    std::map<Name, u64> numbers_;
    std::map<std::string, u64> by_subject_;
};
}  // namespace vramd::core
