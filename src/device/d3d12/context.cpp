#include "device/d3d12/context.hpp"

#include <algorithm>
#include <chrono>

#include "base/clock.hpp"

namespace vramd::device::d3d12 {
namespace {
constexpr u64 first_pause_ns = 20'000;
constexpr u64 longest_pause_ns = ns_per_ms;

bool is_removal(HRESULT result) {
    return result == error_device_removed || result == error_device_hung || result == error_device_reset || result == error_driver_internal;
}
}  // namespace

Result<std::shared_ptr<Context>> Context::make(std::shared_ptr<Runtime> runtime, Adapter adapter, u64 patience_ns) {
    const std::shared_ptr<Context> context(new Context(std::move(runtime), std::move(adapter), patience_ns));
    TRY_DO(context->begin());
    return context;
}

Result<void> Context::begin() {
    TRY(device_, runtime_->make_device(adapter_));
    D3D12_FEATURE_DATA_ARCHITECTURE architecture{};
    TRY_DO(check("CheckFeatureSupport", device_->CheckFeatureSupport(D3D12_FEATURE_ARCHITECTURE, &architecture, sizeof architecture)));
    traits_.is_uma = architecture.UMA != 0;
    D3D12_FEATURE_DATA_D3D12_OPTIONS options{};
    TRY_DO(check("CheckFeatureSupport", device_->CheckFeatureSupport(D3D12_FEATURE_D3D12_OPTIONS, &options, sizeof options)));
    traits_.tiled_tier = static_cast<u32>(options.TiledResourcesTier);
    D3D12_COMMAND_QUEUE_DESC description{};
    description.Type = D3D12_COMMAND_LIST_TYPE_COPY;
    return check("CreateCommandQueue", device_->CreateCommandQueue(&description, id_of<ID3D12CommandQueue>(), queue_.put()));
}

Context::~Context() {
    end(std::move(queue_));
    end(std::move(device_));
}

Result<void> Context::check(std::string_view call, HRESULT result) {
    if (!FAILED(result)) return check_lost();
    if (is_removal(result)) return lose(std::string(call) + " answered " + words_of(result) + ".");
    TRY_DO(check_there());  // Whatever a call says after a removal, that is the reason.
    if (result == E_OUTOFMEMORY) return refuse(Code::insufficient_memory, "device", std::string(call) + ": the device has no memory left.");
    return refuse(Code::system_failed, "device", std::string(call) + " answered " + words_of(result) + ".");
}

Result<void> Context::check_there() {
    TRY_DO(check_lost());
    const HRESULT reason = device_->GetDeviceRemovedReason();
    if (FAILED(reason)) return lose("Its reason for being removed is " + words_of(reason) + ".");
    return {};
}

Result<void> Context::check_lost() const {
    if (!lost_) return {};
    return refuse(Code::device_lost, "device", lost_cause().value_or(""));
}

std::optional<std::string> Context::lost_cause() const {
    const Lock lock(mutex_);
    return lost_cause_;
}

std::unexpected<Error> Context::lose(std::string cause) {
    const Lock lock(mutex_);
    if (!lost_cause_) lost_cause_ = "The Direct3D 12 device " + adapter_.name + " is lost, and all its memory with it: " + std::move(cause);
    lost_ = true;
    return refuse(Code::device_lost, "device", *lost_cause_);
}

Result<Lane> Context::make_lane() {
    TRY_DO(check_lost());
    Lane lane;
    ID3D12Device& device = *device_.get();
    TRY_DO(check("CreateCommandAllocator",
                 device.CreateCommandAllocator(D3D12_COMMAND_LIST_TYPE_COPY, id_of<ID3D12CommandAllocator>(), lane.allocator.put())));
    TRY_DO(check("CreateCommandList", device.CreateCommandList(0, D3D12_COMMAND_LIST_TYPE_COPY, lane.allocator.get(), nullptr,
                                                               id_of<ID3D12GraphicsCommandList>(), lane.list.put())));
    TRY_DO(check("Close", lane.list->Close()));  // It is made open; each submission opens it anew.
    TRY_DO(check("CreateFence", device.CreateFence(0, D3D12_FENCE_FLAG_NONE, id_of<ID3D12Fence>(), lane.fence.put())));
    return lane;
}

Result<void> Context::submit(Lane& lane, const std::function<void(ID3D12GraphicsCommandList&)>& record) {
    TRY_DO(check_lost());
    if (lane.finished == lane.submitted) TRY_DO(check("ID3D12CommandAllocator::Reset", lane.allocator->Reset()));
    TRY_DO(check("ID3D12GraphicsCommandList::Reset", lane.list->Reset(lane.allocator.get(), nullptr)));
    record(*lane.list.get());
    TRY_DO(check("Close", lane.list->Close()));
    ID3D12CommandList* const lists[] = {lane.list.get()};
    if (lane.finished == lane.submitted) under_way_ += 1;
    const Lock lock(queue_mutex_);
    queue_->ExecuteCommandLists(1, lists);
    lane.submitted += 1;
    return check("Signal", queue_->Signal(lane.fence.get(), lane.submitted));
}

/// Asks for the value again and again: a wait in the runtime has no end of its own.
Result<void> Context::finish(Lane& lane) {
    const u64 deadline_ns = monotonic_ns() + patience_ns_;
    u64 pause_ns = first_pause_ns;
    while (lane.finished < lane.submitted) {
        TRY_DO(check_lost());
        const u64 value = lane.fence->GetCompletedValue();
        if (value >= lane.submitted) {
            TRY_DO(check_there());
            if (value == UINT64_MAX) return lose("Its fence answers as that of a removed device does.");
            lane.finished = lane.submitted;
            under_way_ -= 1;
            break;
        }
        if (monotonic_ns() > deadline_ns) {
            TRY_DO(check_there());
            return lose("What it was told to copy was not done after " + std::to_string(patience_ns_ / ns_per_ms) + " ms.");
        }
        std::unique_lock lock(mutex_);
        (void)never_.wait_for(lock, std::chrono::nanoseconds(pause_ns));
        pause_ns = std::min(2 * pause_ns, longest_pause_ns);
    }
    return {};
}

void Context::keep_for_ever(IUnknown* object) {
    static Mutex mutex;
    static auto* const kept = new std::vector<IUnknown*>();
    const Lock lock(mutex);
    kept->push_back(object);
}
}  // namespace vramd::device::d3d12
