/// The tensors of models as JSON, made once per model: a client that attaches what is loaded waits for no table to be written.
#pragma once
#include <list>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "base/fd.hpp"
#include "engine/engine.hpp"

namespace vramd::attach {
/// A list of tensors: as text where it fits into a packet beside the rest, else in sealed memory. Immutable, shared.
struct Table {
    std::string text;    ///< `[{"name":…},…]`; empty if `memory` holds it.
    Fd memory;           ///< Sealed against every change.
    u64 size_bytes = 0;  ///< Of the JSON.
};

/// What fits a packet beside a model's record.
inline constexpr std::size_t table_text_bytes_max = 32 * kib;

/// The table of these tensors. Errors: `system_failed`.
[[nodiscard]] Result<std::shared_ptr<const Table>> make_table(std::span<const Tensor> tensors);

/// Keeps the tables of the models that were attached last. Not synchronised.
class Tables {
public:
    /// Of the model of this name and id, which the caller holds. Errors: of `Engine::tensors` and `make_table`.
    [[nodiscard]] Result<std::shared_ptr<const Table>> of(engine::Engine& engine, ModelId id, std::string_view name);

private:
    std::map<u64, std::shared_ptr<const Table>> by_model_;
    std::list<u64> order_;  ///< The one asked for longest ago first.
    u64 bytes_ = 0;
};
}  // namespace vramd::attach
