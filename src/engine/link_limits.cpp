#include "engine/link_limits.hpp"

#include <fstream>
#include <sstream>

namespace vramd::engine {
namespace {
/// The file's first line. Then a line each, of rates in bytes per second and of nanoseconds of 1970:
/// "system COPY ZERO AT" and "device ID FROM-SYSTEM TO-SYSTEM WITHIN FILL AT".
constexpr std::string_view form = "vramd-link-limits-2";
}  // namespace

void LinkLimits::keep_in(std::filesystem::path file) {
    const Lock lock(mutex_);
    file_ = std::move(file);
    read();
}

void LinkLimits::set_system(const transfer::Limits& limits, u64 wall_ns) {
    const Lock lock(mutex_);
    system_ = {limits, wall_ns};
    write();
}

void LinkLimits::set_device(std::string device_id, const device::CopyRates& rates, u64 wall_ns) {
    const Lock lock(mutex_);
    devices_[std::move(device_id)] = {rates, wall_ns};
    write();
}

const LinkLimits::Measured* LinkLimits::measured(std::string_view device_id) const {
    const auto found = devices_.find(device_id);
    return found == devices_.end() ? nullptr : &found->second;
}

LinkLimits::Rate LinkLimits::copy(End from, End to) const {
    const Lock lock(mutex_);
    if (from.is_seen && to.is_seen) return {system_.limits.copy_bytes_per_second, system_.wall_ns};
    if (!from.is_seen && !to.is_seen && from.device_id != to.device_id) return {};
    const Measured* const device = measured(to.is_seen ? from.device_id : to.device_id);
    if (device == nullptr) return {};
    if (from.is_seen) return {device->rates.from_system, device->wall_ns};
    return {to.is_seen ? device->rates.to_system : device->rates.within, device->wall_ns};
}

LinkLimits::Rate LinkLimits::fill(End end) const {
    const Lock lock(mutex_);
    if (end.is_seen) return {system_.limits.zero_bytes_per_second, system_.wall_ns};
    const Measured* const device = measured(end.device_id);
    return device == nullptr ? Rate{} : Rate{device->rates.fill, device->wall_ns};
}

/// All of the file, or nothing of it.
void LinkLimits::read() {
    std::ifstream in(file_);
    std::string line, word, id;
    if (!std::getline(in, line) || line != form) return;
    System system;
    std::map<std::string, Measured, std::less<>> devices;
    while (std::getline(in, line)) {
        std::istringstream words(line);
        words >> word;
        if (word == "system") {
            words >> system.limits.copy_bytes_per_second >> system.limits.zero_bytes_per_second >> system.wall_ns;
        } else {
            Measured device;
            words >> id >> device.rates.from_system >> device.rates.to_system >> device.rates.within >> device.rates.fill >> device.wall_ns;
            devices[id] = device;
        }
        if (!words || (word != "system" && word != "device")) return;
    }
    system_ = system;
    devices_ = std::move(devices);
}

void LinkLimits::write() const {
    if (file_.empty()) return;
    std::filesystem::path aside = file_;
    aside += ".new";
    {
        std::ofstream out(aside, std::ios::trunc);
        out << form << '\n';
        out << "system " << system_.limits.copy_bytes_per_second << ' ' << system_.limits.zero_bytes_per_second << ' ' << system_.wall_ns
            << '\n';
        for (const auto& [id, device] : devices_)
            out << "device " << id << ' ' << device.rates.from_system << ' ' << device.rates.to_system << ' ' << device.rates.within << ' '
                << device.rates.fill << ' ' << device.wall_ns << '\n';
        if (!out.flush()) return;
    }
    std::error_code ignored;  // Then the old one stays.
    std::filesystem::rename(aside, file_, ignored);
}
}  // namespace vramd::engine
