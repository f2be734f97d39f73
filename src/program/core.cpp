/// `vramd-core`: the daemon's working half. The steps of its life, in order; the keeper holds what outlives it.
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "api/api.hpp"
#include "attach/server.hpp"
#include "base/random.hpp"
#include "device/host/host.hpp"
#include "device/spec.hpp"
#include "engine/keeper_vault.hpp"
#include "engine/loading_processes.hpp"
#include "engine/threads.hpp"
#include "http/server.hpp"
#include "keeper/link.hpp"
#include "keeper/places.hpp"
#include "ledger/step.hpp"
#include "program/settings.hpp"

using namespace vramd;

namespace {
constexpr int exit_done = 0;
constexpr int exit_failed = 1;
constexpr int exit_refused = 2;
constexpr u64 stop_ms_max = 5'000;
constexpr u64 answers_ms_max = 500;  ///< Of that: for the last answers to be sent.

void say(const std::string& text) { (void)std::fprintf(stderr, "vramd-core: %s\n", text.c_str()); }

std::string boot_id() {
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string id;
    std::getline(file, id);
    return id;
}

Result<std::vector<engine::ConfiguredDevice>> open_devices(const program::Settings& settings) {
    TRY(const std::vector<device::Spec> specs, device::parse_specs(settings.devices));
    const u64 available = device::host::available_bytes().value_or(0);
    std::vector<engine::ConfiguredDevice> devices;
    for (const device::Spec& spec : specs) {
        device::host::Options options;
        options.id = spec.id;
        TRY(options.capacity_bytes, device::resolve_size(spec.size, available, 4 * kib));
        options.pool_max_bytes = options.capacity_bytes / 4;
        TRY(std::shared_ptr<device::Device> opened, device::host::open(options));
        const u64 granule = opened->facts().granularity_bytes;
        devices.push_back({spec.id, options.capacity_bytes, granule, std::move(opened)});
    }
    return devices;
}

/// The RAM cache is a part of the first host device.
Result<void> take_settings(engine::Options& options, const program::Settings& settings,
                           const std::vector<engine::ConfiguredDevice>& devices) {
    options.read_only = settings.read_only;
    options.eviction = settings.eviction;
    options.watermarks = settings.watermarks;
    options.relief = settings.relief;
    if (devices.empty()) return {};
    options.cache_device_id = devices.front().device_id;  // Also where it may hold nothing: which models go first is kept with it.
    if (settings.ram_cache == "0") return {};
    const engine::ConfiguredDevice& first = devices.front();
    TRY(const device::Size share, device::parse_size(settings.ram_cache));
    TRY(options.cache_max_bytes, device::resolve_size(share, first.capacity_bytes, first.granule_bytes));
    options.cache_max_bytes = std::min(options.cache_max_bytes, first.capacity_bytes);
    return {};
}

/// Where TCP really listens ("127.0.0.1:41234"); "none" without it.
std::string address_of(const Fd& tcp) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (!tcp || getsockname(tcp.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return "none";
    char text[INET6_ADDRSTRLEN] = {};
    if (address.ss_family == AF_INET6) {
        const auto& six = reinterpret_cast<const sockaddr_in6&>(address);
        (void)inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof text);
        return "http://[" + std::string(text) + "]:" + std::to_string(ntohs(six.sin6_port));
    }
    const auto& four = reinterpret_cast<const sockaddr_in&>(address);
    (void)inet_ntop(AF_INET, &four.sin_addr, text, sizeof text);
    return "http://" + std::string(text) + ":" + std::to_string(ntohs(four.sin_port));
}

/// Whether TCP can be reached from this machine only.
bool is_loopback(const Fd& tcp) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getsockname(tcp.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
    if (address.ss_family == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
    return ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr) >> 24 == 127;
}

std::string ready_line(const keeper::Listeners& listeners, const keeper::Places& places,
                       const std::vector<engine::ConfiguredDevice>& devices) {
    std::string ids;
    for (const engine::ConfiguredDevice& device : devices) ids += (ids.empty() ? "" : ",") + device.device_id;
    return "vramd ready http=" + address_of(listeners.tcp) + " socket=" + places.attach_socket.native() + " devices=" + ids;
}

/// Until a signal says otherwise, or the keeper has ended.
enum class Wish : u8 { stop, again };
Wish serve(const Fd& signals, const keeper::Link& link, const keeper::Places& places, std::span<char* const> arguments) {
    for (;;) {
        pollfd waits[2] = {{signals.get(), POLLIN, 0}, {link.hangup_fd(), POLLIN, 0}};
        if (poll(waits, 2, -1) < 0) continue;
        if (waits[1].revents != 0) return Wish::stop;
        signalfd_siginfo signal{};
        if (read(signals.get(), &signal, sizeof signal) != sizeof signal) continue;
        if (signal.ssi_signo != SIGHUP) return Wish::stop;
        const auto asked = program::read_settings(arguments, [](const char* name) { return std::getenv(name); });
        if (asked) {
            const keeper::Places& wanted = asked->settings.places;
            if (wanted.listen != places.listen || wanted.attach_socket != places.attach_socket ||
                wanted.state_directory != places.state_directory)
                say("SIGHUP: listen, socket and state_dir stay as they are until vramd itself is started again");
            say("SIGHUP: starting again with the configuration as it is now; all memory is kept");
            return Wish::again;
        }
        say("SIGHUP: the configuration stays as it was: " + describe(asked.error()));
    }
}

Fd block_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
    (void)pthread_sigmask(SIG_BLOCK, &set, nullptr);  // Before any thread: all inherit it. Cannot fail with these arguments.
    (void)signal(SIGPIPE, SIG_IGN);
    return Fd(signalfd(-1, &set, SFD_CLOEXEC));
}

/// For tests of real processes: `VRAMD_FAILPOINT=ledger.step:N` kills a keeper's first core at the Nth step that its ledger takes. The
/// cores after it live, so that what they find can be looked at.
void arm_failpoint(u64 generation) {
    constexpr std::string_view kind = "ledger.step:";
    const char* const asked = std::getenv("VRAMD_FAILPOINT");
    if (asked == nullptr || generation != 1) return;
    const std::string_view text(asked);
    u64 nth = 0;
    if (text.starts_with(kind) && std::from_chars(text.data() + kind.size(), text.data() + text.size(), nth).ec == std::errc{})
        ledger::kill_at_step(nth);
}

engine::Options options_of(const keeper::Takeover& kept, const keeper::Places& places) {
    engine::Options options;
    options.sample_every_ns = ns_per_second / 10;
    options.state_directory = places.state_directory / "ledger";
    options.boot_id = boot_id();
    options.life = options.boot_id + "/" + std::to_string(kept.life);  // The memory ends with the machine or with the keeper.
    options.version = VRAMD_VERSION;
    options.keeper_pid = static_cast<i32>(kept.keeper_pid);
    options.generation = kept.generation;
    options.started_wall_ns = kept.started_wall_ns;
    return options;
}

/// Asks for what the configuration names, as anybody could; what is there already stays as it is.
void preload(engine::Engine& engine, const std::vector<LoadRequest>& models) {
    for (const LoadRequest& request : models) {
        const auto failed = [name = request.name](const Error& error) { say("preload " + name + ": " + describe(error)); };
        const auto begun = engine.load_model({{"vramd", Role::admin}, request}, [failed](Result<report::OperationTold> ended) {
            if (!ended)
                failed(ended.error());
            else if (ended->error)
                failed(*ended->error);
        });
        if (!begun) failed(begun.error());
    }
}

/// All at once: no connection is accepted from now on, so that new ones wait for the next core; requests that run may end; who would wait
/// longer is told so by the engine, while there is time to send it.
void close(http::Server& server, attach::Server& attach, engine::Engine& engine) {
    const std::jthread closing([&server] { server.stop(stop_ms_max); });
    attach.close_door();
    engine.stop((stop_ms_max - answers_ms_max) * ns_per_ms);
}

Result<void> run(const program::Settings& settings, std::span<char* const> arguments) {
    const Fd signals = block_signals();
    const auto descriptor = keeper::Link::inherited();
    if (!descriptor) return refuse(Code::invalid_field, "VRAMD_KEEPER_FD", "vramd-core is started by vramd; use `vramd serve`.");
    (void)unsetenv("VRAMD_KEEPER_FD");  // Not for loading processes; before any thread that could read the environment.
    TRY(std::shared_ptr<keeper::Link> link, keeper::Link::take(*descriptor));
    TRY(keeper::Takeover kept, link->takeover());
    arm_failpoint(kept.generation);
    TRY(const keeper::Places places, keeper::resolve_places({}, [](const char* name) { return std::getenv(name); }));
    std::vector<api::Token> tokens;
    if (!settings.token_file.empty()) {
        TRY(tokens, program::read_tokens(settings.token_file));
    }
    if (tokens.empty() && kept.listeners.tcp && !is_loopback(kept.listeners.tcp))
        return refuse(Code::invalid_field, "--listen",
                      "--listen " + address_of(kept.listeners.tcp) +
                          " can be reached from other machines; give --token-file, or a loopback address.");
    auto threads = std::make_shared<engine::Threads>(4);
    TRY(std::shared_ptr<worker::Loaders> loaders, worker::Loaders::start({}));
    engine::Ports ports;
    ports.secret = random_secret;
    ports.vault = std::make_shared<engine::KeeperVault>(link);
    ports.executor = threads;
    ports.loading =
        engine::loading_by_processes(loaders, engine::ModelFolders({settings.model_folders.begin(), settings.model_folders.end()}));
    ports.transfer = std::make_shared<transfer::Engine>(transfer::Options{});
    ports.measure_limits = [] { return transfer::measure_limits(0); };
    TRY(ports.devices, open_devices(settings));
    for (keeper::KeptBlock& block : kept.blocks) ports.kept.push_back({block.key, block.size_bytes, std::move(block.descriptor)});
    engine::Options options = options_of(kept, places);
    TRY_DO(take_settings(options, settings, ports.devices));
    const std::string line = ready_line(kept.listeners, places, ports.devices);
    auto transfers = ports.transfer;
    TRY(auto engine, engine::Engine::start(std::move(options), std::move(ports)));
    const auto api = api::Api::make(*engine, {geteuid(), std::move(tokens)});
    http::Options serving;
    if (kept.listeners.tcp) serving.listeners.push_back({std::move(kept.listeners.tcp), http::Door::tcp});
    serving.listeners.push_back({std::move(kept.listeners.http_unix), http::Door::unix_socket});
    TRY(auto server, http::Server::start(std::move(serving), *api));
    api->count_by([&server] { return server->counts(); });
    TRY(auto attach, attach::Server::start({std::move(kept.listeners.attach_unix), geteuid(), {}}, *engine));
    TRY_DO(link->ready(line));
    preload(*engine, settings.preload);
    (void)serve(signals, *link, places, arguments);
    close(*server, *attach, *engine);
    attach.reset();
    loaders->shutdown();
    threads->stop();  // After this nothing runs that could touch the engine but transfers, which end with their last owner.
    transfers.reset();
    return {};
}
}  // namespace

int main(int argument_count, char** argument_list) {
    const std::span<char* const> arguments(argument_list, static_cast<std::size_t>(argument_count));
    const auto asked = program::read_settings(arguments, [](const char* name) { return std::getenv(name); });
    if (!asked) {
        say(describe(asked.error()));
        return exit_refused;
    }
    if (asked->verb != program::Verb::serve) {
        (void)std::fputs(asked->text.c_str(), stdout);
        return exit_done;
    }
    for (const std::string& folder : asked->settings.absent_model_folders)
        say("the model folder " + folder + " is not there; what it holds can be loaded as soon as it is");
    if (const auto ran = run(asked->settings, arguments); !ran) {
        say(describe(ran.error()));
        return ran.error().code == Code::invalid_field || ran.error().code == Code::unsupported ? exit_refused : exit_failed;
    }
    return exit_done;
}
