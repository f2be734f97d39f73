#include "device/channel.hpp"

#include <algorithm>

namespace vramd::device {
bool is_seen(const Device& device) { return std::ranges::find(device.facts().capabilities, "map") != device.facts().capabilities.end(); }

Result<std::shared_ptr<Channel>> channel_to(Device& device, u64 key, Patience patience) {
    auto* const channels = dynamic_cast<Channels*>(&device);
    if (channels == nullptr) return refuse(Code::unsupported, "block", "The device's memory is reached by mapping it.");
    return channels->open_channel(key, patience);
}

void pin_for(Device& device, u64 key, const Mapping& memory) {
    if (auto* const channels = dynamic_cast<Channels*>(&device)) channels->pin(key, memory);
}

void unpin_for(Device& device, u64 key) {
    if (auto* const channels = dynamic_cast<Channels*>(&device)) channels->unpin(key);
}

Result<CopyRates> rates_of(Device& device) {
    auto* const channels = dynamic_cast<Channels*>(&device);
    if (channels == nullptr) return refuse(Code::unsupported, "device", "The device's memory is reached by mapping it.");
    return channels->rates();
}
}  // namespace vramd::device
