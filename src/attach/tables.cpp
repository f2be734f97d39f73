#include "attach/tables.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "api/codec.hpp"
#include "api/resources_model.hpp"

namespace vramd::attach {
namespace {
constexpr std::size_t kept_max = 64;
constexpr u64 kept_bytes_max = 32 * mib;
constexpr int all_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;

Result<Fd> sealed_memory(std::string_view text) {
    Fd memory(memfd_create("vramd-tensors", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!memory) return std::unexpected(system_error("memfd_create", errno));
    for (std::string_view left = text; !left.empty();) {
        const ssize_t written = write(memory.get(), left.data(), left.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return std::unexpected(system_error("write", written < 0 ? errno : EIO));
        left.remove_prefix(static_cast<std::size_t>(written));
    }
    if (fcntl(memory.get(), F_ADD_SEALS, all_seals) != 0) return std::unexpected(system_error("fcntl(F_ADD_SEALS)", errno));
    return memory;
}
}  // namespace

Result<std::shared_ptr<const Table>> make_table(std::span<const Tensor> tensors) {
    auto table = std::make_shared<Table>();
    std::string text = "[";
    for (const Tensor& tensor : tensors) {
        if (text.size() > 1) text += ',';
        text += api::write(api::TensorInfo{tensor.name, tensor.dtype, tensor.shape, tensor.offset_bytes, tensor.size_bytes});
    }
    text += ']';
    table->size_bytes = text.size();
    if (text.size() <= table_text_bytes_max) {
        table->text = std::move(text);
    } else {
        TRY(table->memory, sealed_memory(text));
    }
    return table;
}

Result<std::shared_ptr<const Table>> Tables::of(engine::Engine& engine, ModelId id, std::string_view name) {
    if (const auto found = by_model_.find(id.serial); found != by_model_.end()) {
        order_.remove(id.serial);
        order_.push_back(id.serial);
        return found->second;
    }
    TRY(const std::vector<Tensor> tensors, engine.tensors(name));
    TRY(std::shared_ptr<const Table> table, make_table(tensors));
    bytes_ += table->size_bytes;
    by_model_[id.serial] = table;
    order_.push_back(id.serial);
    while (order_.size() > 1 && (order_.size() > kept_max || bytes_ > kept_bytes_max)) {
        bytes_ -= by_model_.at(order_.front())->size_bytes;
        by_model_.erase(order_.front());
        order_.pop_front();
    }
    return table;
}
}  // namespace vramd::attach
