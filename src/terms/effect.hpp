/// What is to be done in the world once an event is recorded. Each can be done again after a crash: none may depend on having run once.
#pragma once
#include <variant>

#include "terms/model.hpp"
#include "terms/transfer.hpp"

namespace vramd {
struct CreateBlockEffect {
    BlockKey block = 0;
};
struct ReleaseBlockEffect {
    BlockKey block = 0;
};
/// Zero the first bytes of an allocation before anybody sees them; what follows them was never used since the block was made.
struct ZeroEffect {
    AllocationId id;
    u64 bytes = 0;
};
struct InspectModelEffect {
    OperationId operation;
};
/// Find a place for the model that this operation waits for.
struct PlaceModelEffect {
    enum class When : u8 { now, after_release };
    OperationId operation;
    When when = When::now;
};
struct LoadModelEffect {
    OperationId operation;
};
/// End the loading process of an operation that is over.
struct StopLoadEffect {
    OperationId operation;
};
/// Copy an allocation to its second place.
struct MoveEffect {
    AllocationId id;
};
/// Let queued transfers begin.
struct ScheduleTransfersEffect {};
/// Copy a transfer's bytes.
struct TransferEffect {
    TransferId id;
};
/// End a transfer that runs.
struct StopTransferEffect {
    TransferId id;
};
/// Do what is left of a defragmentation or an optimize.
struct UpkeepEffect {
    OperationId operation;
};
using Effect = std::variant<CreateBlockEffect, ReleaseBlockEffect, ZeroEffect, InspectModelEffect, LoadModelEffect, StopLoadEffect, MoveEffect,
                            ScheduleTransfersEffect, TransferEffect, StopTransferEffect, UpkeepEffect, PlaceModelEffect>;
}  // namespace vramd
