/// How much of a device may be used, as commands, events and answers share it.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "terms/enums.hpp"

namespace vramd {
/// How the most that may be used was given: not at all, in bytes, or as a share of the capacity (which follows it when it changes).
enum class LimitForm : u8 { none, bytes, percentage };
template <>
struct EnumNames<LimitForm> {
    static constexpr std::array<std::string_view, 3> names = {"none", "bytes", "percentage"};
};

/// The limits of one device. The initial values limit nothing.
struct DeviceLimits {
    LimitForm form = LimitForm::none;
    u64 max_bytes = 0;                        ///< Of LimitForm::bytes: the most that may be used.
    u64 max_hundredths = 100'00;              ///< Of LimitForm::percentage: the same in hundredths of a per cent of the capacity.
    u64 reserve_bytes = 0;                    ///< Kept back from everybody, below that most.
    u64 emergency_hundredths = 100'00;        ///< Of what may be used: above this models go by themselves; whole: only when room is needed.
    std::map<std::string, u64> owner_quotas;  ///< Owner → the most that this owner may hold on the device, bytes.
    bool operator==(const DeviceLimits&) const = default;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.form, s.max_bytes, s.max_hundredths, s.reserve_bytes, s.emergency_hundredths, s.owner_quotas);
    }
};

/// What is to become of them: what is absent stays as it is.
struct LimitsChange {
    std::optional<u64> max_bytes;  ///< At most one of max_bytes and max_hundredths.
    std::optional<u64> max_hundredths;
    std::optional<u64> reserve_bytes;
    std::optional<u64> emergency_hundredths;
    std::optional<std::map<std::string, u64>> owner_quotas;  ///< The whole table.
};
/// Whether what is over the limits is reclaimed at once, as far as it can be.
enum class Enforce : u8 { later, immediately };
/// What may be reclaimed: arenas that hold nothing; these and models that nobody uses or pinned; such models alone; what is in the RAM
/// cache's tier alone; or this and arenas that hold nothing.
enum class ReclaimReach : u8 { empty_blocks, models, models_only, cache_only, cache };
}  // namespace vramd
