#include "program/devices.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <thread>

#include "device/channel.hpp"
#include "device/cuda/cuda.hpp"
#include "device/d3d12/d3d12.hpp"
#include "device/host/host.hpp"
#include "device/spec.hpp"
#include "program/known_gpus.hpp"

namespace vramd::program {
namespace {
using Devices = std::vector<engine::ConfiguredDevice>;
using Lost = std::function<void(const std::string&)>;

void say(const std::string& text) { (void)std::fprintf(stderr, "vramd-core: %s\n", text.c_str()); }

void add(Devices& devices, std::shared_ptr<device::Device> device) {
    const device::Facts& facts = device->facts();
    devices.push_back({facts.id, facts.capacity_bytes, facts.granularity_bytes, device});
}

Result<void> open_host(Devices& devices, const device::Spec& spec, u64 available_bytes, std::shared_ptr<const Predecessor> predecessor) {
    device::host::Options options;
    options.id = spec.id;
    TRY(options.capacity_bytes, device::resolve_size(spec.size, available_bytes, 4 * kib));
    options.pool_max_bytes = options.capacity_bytes / 4;
    options.predecessor = std::move(predecessor);
    TRY(std::shared_ptr<device::Device> opened, device::host::open(options));
    add(devices, std::move(opened));
    return {};
}

/// What is kept since before this core.
struct KeptBytes {
    u64 in_system_memory = 0;
    u64 on_gpus = 0;
};
KeptBytes bytes_of(const keeper::Takeover& kept) {
    KeptBytes bytes;
    for (const keeper::KeptBlock& block : kept.blocks) {
        // Those of system memory are files that cannot be resized; a GPU's are no files of that kind.
        const int seals = fcntl(block.descriptor.get(), F_GET_SEALS);
        (seals >= 0 && (seals & F_SEAL_SHRINK) != 0 ? bytes.in_system_memory : bytes.on_gpus) += block.size_bytes;
    }
    return bytes;
}

/// What opening a GPU takes beside its setting.
struct Opening {
    const keeper::Takeover& kept;
    KeptBytes kept_bytes;
    const std::shared_ptr<const Predecessor>& predecessor;
    const Lost& lost;
    u64 patience_ns;
    const KnownGpus& before;  ///< Of the core before this one.
    KnownGpus now = {};
};

/// What a core before this one had is there at once; what it may have had and cannot be opened is kept in its place.
Result<void> open_gpu(Devices& devices, const device::Spec& spec, Opening& opening) {
    const bool every = spec.kind == device::SpecKind::every_cuda;
    const std::string told = "--device " + (every ? "auto" : "cuda" + (spec.which.empty() ? "" : ":" + spec.which));
    device::cuda::Options options{spec.which, spec.size, opening.kept_bytes.on_gpus, std::nullopt, opening.predecessor};
    options.patience_ns = opening.patience_ns;
    options.lost = opening.lost;
    const auto before = opening.before.find(asked_as(spec));
    if (before != opening.before.end()) options.known = before->second;
    auto opened = device::cuda::open(options);
    if (!opened && opening.kept.generation > 1 && !spec.which.starts_with("GPU-")) {
        say(told + ": " + describe(opened.error()) + " Its memory is kept, and cannot be used.");
        opened = device::cuda::stand_in("cuda" + (spec.which.empty() ? "0" : spec.which), opened.error());
    } else if (opened) {
        opening.now.emplace(asked_as(spec), device::cuda::known_of(**opened));
    }
    if (!opened) return refuse(Code::unsupported, "--device", told + ": " + describe(opened.error()));
    const device::Facts& facts = (*opened)->facts();
    if (std::ranges::any_of(devices, [&](const auto& device) { return device.device_id == facts.id; }))
        return refuse(Code::invalid_field, "--device", told + " is " + facts.id + ", which another --device names too.");
    add(devices, *std::move(opened));
    return {};
}

/// Those that a core before this one had; else those that can be had, whatever the others say.
void open_every_gpu(Devices& devices, device::Spec spec, Opening& opening) {
    std::vector<std::string> found;
    for (const auto& [asked, gpu] : opening.before)
        if (asked.starts_with("every:")) found.push_back(std::to_string(gpu.index));
    if (found.empty()) {
        device::cuda::Libraries::prepare_environment();
        const auto libraries = device::cuda::Libraries::open();
        const auto gpus = libraries ? device::cuda::list_gpus(**libraries) : std::unexpected(libraries.error());
        if (!gpus) {
            say("no GPU is used: " + describe(gpus.error()));
            if (opening.kept_bytes.on_gpus > 0) add(devices, device::cuda::stand_in("cuda0", gpus.error()));
            return;
        }
        for (const device::cuda::Gpu& gpu : *gpus) found.push_back(std::to_string(gpu.index));
    }
    for (const std::string& index : found) {
        const std::string id = "cuda" + index;
        if (std::ranges::any_of(devices, [&](const auto& device) { return device.device_id == id; })) continue;
        spec.which = index;
        if (const auto opened = open_gpu(devices, spec, opening); !opened) say(id + " is not used: " + describe(opened.error()));
    }
}

/// Its memory ended with the process before, so there is nothing to keep for a later one: one that cannot be had again is left out, and
/// all others go on.
Result<void> open_adapter(Devices& devices, const device::Spec& spec, const Opening& opening) {
    const std::string told = "--device d3d12" + (spec.which.empty() ? "" : ":" + spec.which);
    device::d3d12::prepare_environment();
    device::d3d12::Options options{.which = spec.which, .size = spec.size, .predecessor = opening.predecessor};
    options.system_available = [] { return device::host::available_bytes(); };
    options.patience_ns = opening.patience_ns;
    auto opened = device::d3d12::open(options);
    if (!opened && opening.kept.generation > 1) {
        say(told + ": " + describe(opened.error()) + " It is left out.");
        return {};
    }
    if (!opened) return refuse(Code::unsupported, "--device", told + ": " + describe(opened.error()));
    const std::string id = (*opened)->facts().id;
    if (std::ranges::any_of(devices, [&](const auto& device) { return device.device_id == id; }))
        return refuse(Code::invalid_field, "--device", told + " is " + id + ", which another --device names too.");
    add(devices, *std::move(opened));
    return {};
}
}  // namespace

Result<Devices> open_devices(const Settings& settings, const keeper::Takeover& kept, const std::filesystem::path& state_directory,
                             const std::shared_ptr<const Predecessor>& predecessor, Lost lost) {
    TRY(const std::vector<device::Spec> specs, device::parse_specs(settings.devices));
    const KeptBytes kept_bytes = bytes_of(kept);
    // A share is of what there is beside what is kept: a core's death makes no device smaller.
    const u64 available = device::host::available_bytes().value_or(0) + kept_bytes.in_system_memory;
    const std::filesystem::path file = state_directory / "gpus";
    const KnownGpus before = kept.generation > 1 ? read_known_gpus(file, kept.life) : KnownGpus{};
    Opening opening{kept, kept_bytes, predecessor, lost, settings.gpu_patience_seconds * ns_per_second, before};
    Devices devices;
    for (const device::Spec& spec : specs) {
        if (spec.kind == device::SpecKind::host)
            TRY_DO(open_host(devices, spec, available, predecessor));
        else if (spec.kind == device::SpecKind::cuda)
            TRY_DO(open_gpu(devices, spec, opening));
        else if (spec.kind == device::SpecKind::d3d12)
            TRY_DO(open_adapter(devices, spec, opening));
    }
    // Those that are named come first, whatever their order: `auto` leaves out what is there already.
    for (const device::Spec& spec : specs)
        if (spec.kind == device::SpecKind::every_cuda) open_every_gpu(devices, spec, opening);
    if (opening.now != before) keep_known_gpus(file, kept.life, opening.now);
    return devices;
}

std::string what_is_kept(const Settings& settings) {
    const auto is_adapter = [](const std::string& text) { return text.starts_with("d3d12"); };
    return std::ranges::any_of(settings.devices, is_adapter) ? "all memory is kept but Direct3D 12's, which ends with this process"
                                                             : "all memory is kept";
}

u32 transfer_threads(const Devices& devices) {
    constexpr u32 threads_max = 8;
    const bool all_seen = std::ranges::all_of(devices, [](const auto& device) { return device::is_seen(*device.device); });
    return all_seen ? 0 : std::clamp<u32>(std::thread::hardware_concurrency() / 2, 2, threads_max);
}

const engine::ConfiguredDevice* cache_device(const Devices& devices) {
    const auto found = std::ranges::find_if(devices, [](const auto& device) { return device::is_seen(*device.device); });
    return found == devices.end() ? nullptr : &*found;
}
}  // namespace vramd::program
