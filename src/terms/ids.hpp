/// The ids that callers see.
#pragma once
#include "base/id.hpp"

namespace vramd {
struct AllocationTag {
    static constexpr std::string_view prefix = "alc_";
};
struct OperationTag {
    static constexpr std::string_view prefix = "op_";
};
struct ModelTag {
    static constexpr std::string_view prefix = "mdl_";
};
struct TransferTag {
    static constexpr std::string_view prefix = "xfr_";
};
struct SessionTag {
    static constexpr std::string_view prefix = "ses_";
};
using AllocationId = Id<AllocationTag>;
using OperationId = Id<OperationTag>;
using ModelId = Id<ModelTag>;
using TransferId = Id<TransferTag>;
using SessionId = Id<SessionTag>;
/// Names one block of physical memory towards devices and the keeper; never shown to a caller, never reused.
using BlockKey = u64;
}  // namespace vramd
