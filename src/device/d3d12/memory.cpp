#include "device/d3d12/memory.hpp"

#include "base/range.hpp"

namespace vramd::device::d3d12 {
D3D12_RESOURCE_DESC buffer_of(u64 size_bytes, D3D12_RESOURCE_FLAGS flags) {
    D3D12_RESOURCE_DESC description{};
    description.Dimension = D3D12_RESOURCE_DIMENSION_BUFFER;
    description.Width = size_bytes;
    description.Height = 1;
    description.DepthOrArraySize = 1;
    description.MipLevels = 1;
    description.Format = DXGI_FORMAT_UNKNOWN;
    description.SampleDesc.Count = 1;
    description.Layout = D3D12_TEXTURE_LAYOUT_ROW_MAJOR;
    description.Flags = flags;
    return description;
}

Result<Com<ID3D12Resource>> place(Context& context, ID3D12Heap& heap, u64 heap_bytes, u64 offset_bytes, u64 size_bytes) {
    if (offset_bytes % placement_bytes != 0) return refuse(Code::invalid_field, "offsetBytes", offset_bytes, placement_bytes);
    if (size_bytes == 0) return refuse(Code::invalid_field, "sizeBytes", size_bytes, placement_bytes);
    TRY_DO(Range::within(heap_bytes, offset_bytes, size_bytes));
    // With unordered access, as DirectML's tensors want it.
    const D3D12_RESOURCE_DESC description = buffer_of(size_bytes, D3D12_RESOURCE_FLAG_ALLOW_UNORDERED_ACCESS);
    Com<ID3D12Resource> buffer;
    TRY_DO(context.check("CreatePlacedResource",
                         context.device().CreatePlacedResource(&heap, offset_bytes, &description, D3D12_RESOURCE_STATE_COMMON, nullptr,
                                                               id_of<ID3D12Resource>(), buffer.put())));
    return buffer;
}

Result<std::shared_ptr<Memory>> Memory::make(std::shared_ptr<Context> context, u64 size_bytes) {
    TRY_DO(context->check_lost());
    const std::shared_ptr<Memory> memory(new Memory(std::move(context), size_bytes));
    Context& there = *memory->context_;
    D3D12_HEAP_DESC description{};
    description.SizeInBytes = size_bytes;
    description.Properties.Type = D3D12_HEAP_TYPE_DEFAULT;
    description.Alignment = placement_bytes;
    description.Flags = D3D12_HEAP_FLAG_ALLOW_ONLY_BUFFERS;
    TRY_DO(there.check("CreateHeap", there.device().CreateHeap(&description, id_of<ID3D12Heap>(), memory->heap_.put())));
    for (u64 at = 0; at < size_bytes; at += window_bytes) {
        TRY(Com<ID3D12Resource> window, place(there, *memory->heap_.get(), size_bytes, at, std::min(window_bytes, size_bytes - at)));
        memory->windows_.push_back(std::move(window));
    }
    return memory;
}

Memory::~Memory() {
    for (Com<ID3D12Resource>& window : windows_) context_->end(std::move(window));
    context_->end(std::move(heap_));
}
}  // namespace vramd::device::d3d12
