/// What is known of a model file and its tensors once the loader has read its header.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "terms/enums.hpp"
#include "terms/ids.hpp"

namespace vramd {
/// One tensor, as the loader reported it and the core checked it.
struct Tensor {
    std::string name;
    std::string dtype;       ///< As the format names it, lower case: "f32", "bf16", "q4_k", …
    std::vector<u64> shape;  ///< In elements, as the file orders them; empty for a scalar.
    u64 offset_bytes = 0;    ///< In the model's allocation.
    u64 size_bytes = 0;
    bool operator==(const Tensor&) const = default;
    template <class Self, class V>
    static void fields(Self& self, V&& visit) {
        visit(self.name, self.dtype, self.shape, self.offset_bytes, self.size_bytes);
    }
    // A list of them is kept in a form of its own: tensor_pack.hpp.
    static void pack(const std::vector<Tensor>& tensors, std::vector<std::byte>& out);
    [[nodiscard]] static bool unpack(std::span<const std::byte> bytes, std::vector<Tensor>& tensors);
};

/// Says whether two names stand for one content.
struct FileIdentity {
    u64 device = 0;
    u64 inode = 0;
    u64 size_bytes = 0;
    u64 modified_ns = 0;
    u64 header_hash = 0;
    bool operator==(const FileIdentity&) const = default;
    template <class Self, class V>
    static void fields(Self& self, V&& visit) {
        visit(self.device, self.inode, self.size_bytes, self.modified_ns, self.header_hash);
    }
};

/// The longest name of a model, in bytes.
inline constexpr u64 model_name_bytes_max = 256;

/// A request to load, as it was accepted.
struct LoadRequest {
    std::string name;
    std::string path;  ///< As the caller gave it: relative to a model folder, or absolute beneath one.
    ModelType type = ModelType::other;
    u64 estimated_size_mb = 0;  ///< 0: none given. Kept for the caller; the file's header is the truth.
    std::string device_id;      ///< Empty: the policy chooses.
    Priority priority = Priority::normal;
    bool pinned = false;
    ModelTier tier = ModelTier::device;  ///< `ram`: into the RAM cache, on no device beyond it.
    template <class Self, class V>
    static void fields(Self& self, V&& visit) {
        visit(self.name, self.path, self.type, self.estimated_size_mb, self.device_id, self.priority, self.pinned, self.tier);
    }
};

/// From where room is made ahead of need, and down to where, in hundredths of a percent of what a device may hand out. The same under
/// every order.
struct Watermarks {
    u64 high = 80'00;  ///< Usage beyond it begins an eviction.
    u64 low = 70'00;   ///< What it goes down to; ≤ high.
    bool operator==(const Watermarks&) const = default;
    template <class Self, class V>
    static void fields(Self& self, V&& visit) {
        visit(self.high, self.low);
    }
};
/// Nothing goes ahead of need.
inline constexpr Watermarks no_watermarks{100'00, 100'00};

/// What a file's header says, checked against the file.
struct Inspection {
    ModelFormat format = ModelFormat::safetensors;
    FileIdentity identity;
    u64 memory_bytes = 0;  ///< Exactly what a load takes of a device, before rounding to its granule.
    u64 tensor_bytes = 0;  ///< Σ of the tensors; the difference is alignment.
    std::vector<Tensor> tensors;
    template <class Self, class V>
    static void fields(Self& self, V&& visit) {
        visit(self.format, self.identity, self.memory_bytes, self.tensor_bytes, self.tensors);
    }
};
}  // namespace vramd
