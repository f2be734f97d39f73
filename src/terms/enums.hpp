/// The closed sets of words that commands, events and answers share, each with its name on the wire.
#pragma once
#include <array>
#include <optional>
#include <string_view>

#include "base/types.hpp"

namespace vramd {
enum class AllocationType : u8 { default_, pinned, mapped, texture, buffer, unified };
enum class Priority : u8 { low, normal, high, critical };
/// `pending`: room is taken, the bytes are being made ready. `live`: usable. `zombie`: freed, but somebody still holds the memory.
enum class AllocationStatus : u8 { pending, live, zombie };
/// `arena`: ranges of one owner. `dedicated`: one allocation. `pinned`: one allocation, locked in RAM.
enum class BlockKind : u8 { arena, dedicated, pinned };
enum class BlockState : u8 { creating, ready, releasing };
enum class ModelType : u8 { unet, vae, encoder, llm, lora, controlnet, other };
/// `cached`: ready in the RAM cache only.
enum class ModelState : u8 { loading, resident, cached };
/// What a copy of a model is kept for. `device`: loaded there, for use. `ram`: in the RAM cache, which gives it up first.
enum class ModelTier : u8 { device, ram };
enum class ModelFormat : u8 { safetensors, gguf, onnx };
enum class OperationKind : u8 { load_model, defragment, optimize };
enum class OperationState : u8 { running, succeeded, failed, cancelled };
enum class TransferMode : u8 { copy, move };
/// `queued`: its room is taken, its turn has not come.
enum class TransferState : u8 { queued, running, succeeded, failed, cancelled };
enum class Role : u8 { user, admin };

/// Which model goes first when room is wanted (core/model/eviction.hpp).
enum class EvictionOrder : u8 {
    fifo,   ///< Oldest load first.
    lru,    ///< Longest untouched first.
    smart,  ///< What is least missed per byte first: (time to load it again, as measured) ÷ ((idle + 1 s) × size).
};

/// The wire names of an enum, in the order of its values.
template <class E>
struct EnumNames;
template <>
struct EnumNames<AllocationType> {
    static constexpr std::array<std::string_view, 6> names = {"default", "pinned", "mapped", "texture", "buffer", "unified"};
};
template <>
struct EnumNames<Priority> {
    static constexpr std::array<std::string_view, 4> names = {"low", "normal", "high", "critical"};
};
template <>
struct EnumNames<AllocationStatus> {
    static constexpr std::array<std::string_view, 3> names = {"pending", "live", "zombie"};
};
template <>
struct EnumNames<BlockKind> {
    static constexpr std::array<std::string_view, 3> names = {"arena", "dedicated", "pinned"};
};
template <>
struct EnumNames<BlockState> {
    static constexpr std::array<std::string_view, 3> names = {"creating", "ready", "releasing"};
};
template <>
struct EnumNames<ModelType> {
    static constexpr std::array<std::string_view, 7> names = {"unet", "vae", "encoder", "llm", "lora", "controlnet", "other"};
};
template <>
struct EnumNames<ModelState> {
    static constexpr std::array<std::string_view, 3> names = {"loading", "resident", "cached"};
};
template <>
struct EnumNames<ModelTier> {
    static constexpr std::array<std::string_view, 2> names = {"device", "ram"};
};
template <>
struct EnumNames<EvictionOrder> {
    static constexpr std::array<std::string_view, 3> names = {"fifo", "lru", "smart"};
};
template <>
struct EnumNames<ModelFormat> {
    static constexpr std::array<std::string_view, 3> names = {"safetensors", "gguf", "onnx"};
};
template <>
struct EnumNames<OperationKind> {
    static constexpr std::array<std::string_view, 3> names = {"loadModel", "defragment", "optimize"};
};
template <>
struct EnumNames<OperationState> {
    static constexpr std::array<std::string_view, 4> names = {"running", "succeeded", "failed", "cancelled"};
};

template <>
struct EnumNames<TransferMode> {
    static constexpr std::array<std::string_view, 2> names = {"copy", "move"};
};
template <>
struct EnumNames<TransferState> {
    static constexpr std::array<std::string_view, 5> names = {"queued", "running", "succeeded", "failed", "cancelled"};
};

template <class E>
[[nodiscard]] constexpr std::string_view name_of(E value) {
    return EnumNames<E>::names[static_cast<std::size_t>(value)];
}
template <class E>
[[nodiscard]] constexpr std::optional<E> enum_named(std::string_view name) {
    for (std::size_t i = 0; i < EnumNames<E>::names.size(); ++i)
        if (EnumNames<E>::names[i] == name) return static_cast<E>(i);
    return std::nullopt;
}
/// True if `value` is one of the enum's values; for values that came as bytes.
template <class E>
[[nodiscard]] constexpr bool is_valid(E value) {
    return static_cast<std::size_t>(value) < EnumNames<E>::names.size();
}
}  // namespace vramd
