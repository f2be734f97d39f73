/// The catalogue: which models are known, under which names, where their copies are, and the operations: loads and upkeep.
///
/// Invariants: a name stands for at most one model; a model has at least one name and at least one copy, at most one on a device; a copy
/// has exactly one allocation; an operation that runs is an upkeep, or before its model (inspecting), or waits for it; a copy in the RAM
/// cache's tier is on the cache's device; finished operations are kept for a while (`finished_max`), oldest out first.
/// Only `apply` changes anything. A pure value.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "terms/event.hpp"

namespace vramd::model {
/// Finished operations that can still be asked for.
inline constexpr std::size_t finished_max = 1000;
/// Operations that run at once. Not more than `finished_max`: all that one event batch ends can still be told of.
inline constexpr std::size_t running_max = finished_max;

/// One content, and the names that stand for it.
struct Model {
    ModelId id;
    LoadRequest request;  ///< Of the operation that made it known.
    std::vector<std::string> names;
    std::shared_ptr<const Inspection> inspection;
};
/// A model's bytes on one device. Known by its allocation's serial.
struct Copy {
    u64 model = 0;  ///< Its serial.
    AllocationId allocation;
    u16 device = 0;
    ModelState state = ModelState::loading;  ///< Loading or resident.
    ModelTier tier = ModelTier::device;
    OperationId operation;  ///< The one that loads it.
    bool pinned = false;    ///< Never evicted.
    u64 load_ns = 0;
    u64 loaded_wall_ns = 0;
};
/// The RAM cache.
struct Cache {
    u16 device = 0;
    u64 max_bytes = 0;  ///< Of copies that nobody has loaded for use.
    EvictionOrder order = EvictionOrder::fifo;
    Watermarks marks = no_watermarks;
};

/// What an operation of upkeep is about; unused in others.
struct Upkeep {
    UpkeepRequest request;
    std::vector<FreeFigures> before;  ///< One per device of the request.
    UpkeepResult result;
    u64 started_monotonic_ns = 0;
    u64 moves = 0;  ///< Counted from the moves themselves: exact whenever the core died.
    u64 moved_bytes = 0;
};

struct Operation {
    OperationId id;
    OperationKind kind = OperationKind::load_model;
    OperationState state = OperationState::running;
    std::string owner;
    LoadRequest request;
    u64 model = 0;        ///< Serial of the model it waits for; 0 while inspecting.
    u16 target = 0;       ///< The device on which it waits for it.
    u64 total_bytes = 0;  ///< What it loads; 0 until the header is read.
    bool cancelling = false;
    Error error;  ///< Where it failed.
    u64 started_wall_ns = 0;
    u64 ended_wall_ns = 0;
    Upkeep upkeep;
    [[nodiscard]] bool is_upkeep() const { return kind != OperationKind::load_model; }
};

class Catalogue {
public:
    void apply(const OperationStarted& event);
    void apply(const OperationCancelling& event);
    void apply(const OperationEnded& event);
    void apply(const UpkeepStarted& event);
    void apply(const UpkeepTold& event);
    void apply(const ModelLoading& event);
    void apply(const ModelResident& event);
    void apply(const ModelNamed& event);
    void apply(const ModelUnnamed& event);
    void apply(const ModelGone& event);
    void apply(const ModelCopying& event);
    void apply(const ModelTiered& event);
    void apply(const CacheSet& event);

    /// An allocation was moved for this operation: what AllocationMoved means here.
    void count_move(u64 operation, u64 bytes);

    // Look-ups; pointers hold until the next apply.
    [[nodiscard]] const Model* model(u64 serial) const;
    [[nodiscard]] const Model* model_named(std::string_view name) const;
    /// The model with this content, if there is one.
    [[nodiscard]] const Model* model_of(const FileIdentity& identity) const;
    [[nodiscard]] const Operation* operation(OperationId id) const;
    [[nodiscard]] const Operation* operation_by_serial(u64 serial) const;
    [[nodiscard]] const std::map<u64, Model>& models() const { return models_; }
    [[nodiscard]] const std::map<u64, Operation>& operations() const { return operations_; }
    /// All copies, by their allocations' serials.
    [[nodiscard]] const std::map<u64, Copy>& copies() const { return copies_; }
    [[nodiscard]] const Copy* copy(u64 allocation_serial) const;
    /// Of one model, those first that came first.
    [[nodiscard]] std::vector<const Copy*> copies_of(u64 model) const;
    [[nodiscard]] const Copy* copy_on(u64 model, u16 device) const;
    /// A whole copy of the model from which others can be made; one in use first, so that the cache's may go.
    [[nodiscard]] const Copy* whole_copy(u64 model) const;
    [[nodiscard]] const std::optional<Cache>& cache() const { return cache_; }
    /// Which models go first.
    [[nodiscard]] EvictionOrder order() const { return cache_ ? cache_->order : EvictionOrder::fifo; }
    /// From where on models go ahead of need.
    [[nodiscard]] Watermarks marks() const { return cache_ ? cache_->marks : no_watermarks; }
    /// The copy that this operation is loading, if it is still loading.
    [[nodiscard]] const Copy* loading_by(OperationId operation) const;
    /// Running operations that cannot end well without this loading copy, oldest first: those that want it where it is, and all that wait
    /// for the model where no other copy is there or on its way.
    [[nodiscard]] std::vector<OperationId> waiting_for(const Copy& copy) const;
    /// Running operations that wait for this model, wherever, oldest first.
    [[nodiscard]] std::vector<OperationId> waiting_for_model(u64 model) const;
    /// Running defragmentations and optimizes that work on this device, oldest first.
    [[nodiscard]] std::vector<OperationId> upkeeps_of(u16 device) const;
    /// Whether the last operation that waits for this copy is being cancelled.
    [[nodiscard]] bool cancelling(const Copy& copy) const;
    [[nodiscard]] std::size_t running() const { return operations_.size() - finished_.size(); }
    [[nodiscard]] u64 next_model() const { return next_model_; }
    [[nodiscard]] u64 next_operation() const { return next_operation_; }

    void audit(std::vector<std::string>& findings) const;
    void save(std::vector<std::byte>& out) const;
    [[nodiscard]] static Result<Catalogue> restore(std::span<const std::byte> bytes);

private:
    struct Saved;
    Copy& loading_copy(ModelId model, OperationId operation, AllocationId allocation, u16 device, ModelTier tier);
    std::map<u64, Model> models_;
    std::map<u64, Copy> copies_;
    std::map<u64, Operation> operations_;
    std::optional<Cache> cache_;
    u64 next_model_ = 1;
    u64 next_operation_ = 1;

    // Derived.
    std::map<std::string, u64, std::less<>> names_;
    std::deque<u64> finished_;  ///< Serials, oldest first.
};
}  // namespace vramd::model
