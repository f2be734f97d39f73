#include "device/cuda/pins.hpp"

#include <algorithm>
#include <span>

#include "base/background.hpp"

namespace vramd::device::cuda {
namespace {
constexpr unsigned register_read_only = 8;
void* address_of(std::span<const std::byte> bytes) { return const_cast<std::byte*>(bytes.data()); }
}  // namespace

Pin::~Pin() {
    const bool usable = context_->enter().has_value();
    const u64 pinned = pinned_bytes_;
    for (u64 at = 0; usable && at < pinned; at += piece_bytes)
        (void)context_->check("cuMemHostUnregister", context_->driver().host_unregister(address_of(memory_.read().subspan(at))));
}

bool Pin::advance() {
    const u64 at = pinned_bytes_;
    const u64 size = std::min(piece_bytes, memory_.size_bytes() - at);
    if (size == 0 || !context_->enter()) return false;
    // What is sealed is mapped to be read only, and the driver wants to be told.
    const unsigned flags = memory_.write() ? 0 : register_read_only;
    if (context_->driver().host_register(address_of(memory_.read().subspan(at)), size, flags) != status_success) return false;
    pinned_bytes_.store(at + size, std::memory_order_release);
    return true;
}

Pins::Pins(std::shared_ptr<Context> context)
    : context_(std::move(context)), thread_([this] {
          run_in_background();
          work();
      }) {}

Pins::~Pins() {
    {
        const Lock lock(mutex_);
        stop_ = true;
    }
    changed_.notify_all();
}

void Pins::add(u64 name, Mapping memory) {
    if (memory.size_bytes() < least_bytes) return;
    {
        const Lock lock(mutex_);
        if (const auto found = pins_.find(name); found != pins_.end()) {
            if (found->second->begin() == memory.read().data()) return;
            remove_locked(found);  // Sealed meanwhile: it is mapped anew.
        }
        auto pin = std::make_shared<Pin>(context_, std::move(memory));
        if (!by_address_.emplace(pin->begin(), pin).second) return;
        pins_.emplace(name, pin);
        ahead_.push_back(std::move(pin));
    }
    changed_.notify_all();
}

void Pins::remove(u64 name) {
    {
        const Lock lock(mutex_);
        const auto found = pins_.find(name);
        if (found == pins_.end()) return;
        remove_locked(found);
    }
    changed_.notify_all();
}

void Pins::remove_locked(std::map<u64, std::shared_ptr<Pin>>::iterator found) {
    by_address_.erase(found->second->begin());
    std::erase(ahead_, found->second);
    going_.push_back(std::move(found->second));
    pins_.erase(found);
}

std::shared_ptr<const Pin> Pins::find(std::span<const std::byte> bytes) {
    const Lock lock(mutex_);
    auto found = by_address_.upper_bound(bytes.data());
    if (found == by_address_.begin()) return nullptr;
    --found;
    const std::span<const std::byte> pinned = found->second->pinned();
    const auto offset = static_cast<u64>(bytes.data() - pinned.data());
    if (offset > pinned.size() || bytes.size() > pinned.size() - offset) return nullptr;
    return found->second;
}

u64 Pins::pinned_bytes() {
    const Lock lock(mutex_);
    u64 bytes = 0;
    for (const auto& [name, pin] : pins_) bytes += pin->pinned().size();
    return bytes;
}

void Pins::settle() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ahead_.empty() && going_.empty() && !busy_; });
}

void Pins::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return stop_ || !ahead_.empty() || !going_.empty(); });
        if (stop_) return;
        std::shared_ptr<Pin> pin;
        const bool goes = !going_.empty();
        auto& queue = goes ? going_ : ahead_;
        pin = std::move(queue.front());
        queue.pop_front();
        busy_ = true;
        lock.unlock();
        // One piece, then a look at what else there is: who asks for a little is not kept waiting by much.
        const bool more = !goes && pin->advance();
        std::shared_ptr<Pin> again = more ? pin : nullptr;
        pin.reset();
        lock.lock();
        busy_ = false;
        if (again && by_address_.contains(again->begin())) ahead_.push_back(std::move(again));
        if (again) going_.push_back(std::move(again));  // Removed meanwhile.
        changed_.notify_all();
    }
}
}  // namespace vramd::device::cuda
