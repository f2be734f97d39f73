/// `vramd-core`: the daemon's working half. The steps of its life, in order; the keeper holds what outlives it.
#include <arpa/inet.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
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
#include "device/spec.hpp"
#include "engine/keeper_vault.hpp"
#include "engine/loading_processes.hpp"
#include "engine/threads.hpp"
#include "http/server.hpp"
#include "keeper/link.hpp"
#include "keeper/places.hpp"
#include "ledger/step.hpp"
#include "program/devices.hpp"
#include "program/missing.hpp"
#include "program/primer.hpp"
#include "program/settings.hpp"
#include "program/web_files.hpp"

using namespace vramd;

namespace {
constexpr int exit_done = 0;
constexpr int exit_failed = 1;
constexpr int exit_refused = 2;
constexpr u64 stop_ms_max = 5'000;
constexpr unsigned end_seconds_max = 10;  // All of it.
constexpr u64 answers_ms_max = 500;       ///< Of that: for the last answers to be sent.

/// What threads have let go of goes back to the system at once but for a little each. Left to itself the C library comes to keep up to 64
/// MiB for each thread that once freed a large piece: after advice on a million allocations that was more than all of them take.
void keep_little_of_what_is_freed() {
    constexpr int kept_bytes_max = 4 << 20;
    (void)mallopt(M_MMAP_THRESHOLD, kept_bytes_max);
    (void)mallopt(M_TRIM_THRESHOLD, kept_bytes_max);
}

void say(const std::string& text) { (void)std::fprintf(stderr, "vramd-core: %s\n", text.c_str()); }

void say_what_is_missing() {
    for (const std::string& sentence : program::what_is_missing()) say(sentence);
}

std::string boot_id() {
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string id;
    std::getline(file, id);
    return id;
}

/// The RAM cache is a part of the first host device.
Result<void> take_settings(engine::Options& options, const program::Settings& settings,
                           const std::vector<engine::ConfiguredDevice>& devices) {
    options.read_only = settings.read_only;
    options.eviction = settings.eviction;
    options.watermarks = settings.watermarks;
    options.relief = settings.relief;
    if (devices.empty()) return {};
    const engine::ConfiguredDevice* const with_cache = program::cache_device(devices);
    const engine::ConfiguredDevice& first = with_cache != nullptr ? *with_cache : devices.front();
    options.cache_device_id = first.device_id;  // Also where it may hold nothing: which models go first is kept with it.
    if (settings.ram_cache == "0" || with_cache == nullptr) return {};
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

/// Until a signal says otherwise, the keeper has ended, or a device was lost that only the next core can have again.
enum class Wish : u8 { stop, again, other_core };
Wish serve(const Fd& signals, const Fd& device_lost, const keeper::Link& link, const keeper::Places& places,
           std::span<char* const> arguments, const std::string& kept) {
    for (;;) {
        pollfd waits[3] = {{signals.get(), POLLIN, 0}, {link.hangup_fd(), POLLIN, 0}, {device_lost.get(), POLLIN, 0}};
        if (poll(waits, 3, -1) < 0) continue;
        if (waits[1].revents != 0) return Wish::stop;
        if (waits[2].revents != 0) return Wish::other_core;
        if (waits[0].revents == 0) continue;
        signalfd_siginfo signal{};
        if (read(signals.get(), &signal, sizeof signal) != sizeof signal) continue;
        if (signal.ssi_signo != SIGHUP) return Wish::stop;
        const auto asked = program::read_settings(arguments, [](const char* name) { return std::getenv(name); });
        if (asked) {
            const keeper::Places& wanted = asked->settings.places;
            if (wanted.listen != places.listen || wanted.attach_socket != places.attach_socket ||
                wanted.state_directory != places.state_directory)
                say("SIGHUP: listen, socket and state_dir stay as they are until vramd itself is started again");
            say("SIGHUP: starting again with the configuration as it is now; " + kept);
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

attach::Options attach_options(Fd listening, const program::Settings& settings) {
    attach::Options options{std::move(listening), geteuid()};
    options.zombie_grace_ns = settings.zombie_grace_seconds * ns_per_second;
    options.say = say;
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

/// Who may come in over TCP; from other machines nobody without one.
Result<std::vector<api::Token>> tokens_for(const program::Settings& settings, const Fd& tcp) {
    std::vector<api::Token> tokens;
    if (!settings.token_file.empty()) {
        TRY(tokens, program::read_tokens(settings.token_file));
    }
    if (tokens.empty() && tcp && !is_loopback(tcp))
        return refuse(Code::invalid_field, "--listen",
                      "--listen " + address_of(tcp) + " can be reached from other machines; give --token-file, or a loopback address.");
    return tokens;
}

http::Options serving_at(keeper::Listeners& listeners) {
    http::Options serving;
    if (listeners.tcp) serving.listeners.push_back({std::move(listeners.tcp), http::Door::tcp});
    serving.listeners.push_back({std::move(listeners.http_unix), http::Door::unix_socket});
    return serving;
}

/// A driver that hangs keeps who calls it: two threads for each device that has one, so that all others go on.
std::vector<std::shared_ptr<engine::Threads>> threads_of_drivers(std::vector<engine::ConfiguredDevice>& devices) {
    std::vector<std::shared_ptr<engine::Threads>> all;
    for (engine::ConfiguredDevice& device : devices)
        if (!device::is_seen(*device.device)) device.executor = all.emplace_back(std::make_shared<engine::Threads>(2));
    return all;
}

Result<void> run(const program::Settings& settings, std::span<char* const> arguments) {
    const Fd signals = block_signals();
    const auto descriptor = keeper::Link::inherited();
    if (!descriptor) return refuse(Code::invalid_field, "VRAMD_KEEPER_FD", "vramd-core is started by vramd; use `vramd serve`.");
    const auto predecessor = std::make_shared<const Predecessor>(keeper::Link::inherited_predecessor());
    // Not for loading processes; before any thread that could read the environment.
    (void)unsetenv("VRAMD_KEEPER_FD");
    (void)unsetenv("VRAMD_PREDECESSOR_FD");
    TRY(std::shared_ptr<keeper::Link> link, keeper::Link::take(*descriptor));
    TRY(keeper::Takeover kept, link->takeover());
    arm_failpoint(kept.generation);
    if (kept.generation == 1) say_what_is_missing();
    TRY(const keeper::Places places, keeper::resolve_places({}, [](const char* name) { return std::getenv(name); }));
    TRY(std::vector<api::Token> tokens, tokens_for(settings, kept.listeners.tcp));
    // Before any thread: a GPU's driver takes settings from the environment.
    const Fd device_lost(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    const auto lost = [descriptor = device_lost.get(), what = program::what_is_kept(settings)](const std::string& cause) {
        say(cause + " This process ends, so that the next one can have the device again; " + what + ".");
        (void)eventfd_write(descriptor, 1);
    };
    TRY(auto devices, program::open_devices(settings, kept, places.state_directory, predecessor, lost));
    if (std::ranges::any_of(devices, [](const auto& device) { return device.device->facts().kind == "cuda"; }))
        program::start_primer(places.state_directory, static_cast<i32>(kept.keeper_pid));
    auto threads = std::make_shared<engine::Threads>(4);
    const auto drivers = threads_of_drivers(devices);
    TRY(std::shared_ptr<worker::Loaders> loaders, worker::Loaders::start({}));
    engine::Ports ports;
    ports.secret = random_secret;
    ports.vault = std::make_shared<engine::KeeperVault>(link);
    ports.executor = threads;
    ports.loading =
        engine::loading_by_processes(loaders, engine::ModelFolders({settings.model_folders.begin(), settings.model_folders.end()}));
    ports.transfer =
        std::make_shared<transfer::Engine>(transfer::Options{.threads = program::transfer_threads(devices), .predecessor = predecessor});
    ports.measure_limits = [] { return transfer::measure_limits(0); };
    ports.devices = std::move(devices);
    for (keeper::KeptBlock& block : kept.blocks) ports.kept.push_back({block.key, block.size_bytes, std::move(block.descriptor)});
    engine::Options options = options_of(kept, places);
    TRY_DO(take_settings(options, settings, ports.devices));
    const std::string line = ready_line(kept.listeners, places, ports.devices);
    auto transfers = ports.transfer;
    TRY(auto engine, engine::Engine::start(std::move(options), std::move(ports)));
    const auto api = api::Api::make(*engine, {geteuid(), std::move(tokens), program::web_files()});
    TRY(auto server, http::Server::start(serving_at(kept.listeners), *api));
    api->count_by([&server] { return server->counts(); });
    TRY(auto attach, attach::Server::start(attach_options(std::move(kept.listeners.attach_unix), settings), *engine, api->event_streams()));
    TRY_DO(link->ready(line));
    preload(*engine, settings.preload);
    const Wish wish = serve(signals, device_lost, *link, places, arguments, program::what_is_kept(settings));
    (void)alarm(end_seconds_max);  // A driver that hangs may keep a thread for ever; nobody shall wait for it. SIGALRM ends the process.
    close(*server, *attach, *engine);
    attach.reset();
    loaders->shutdown();
    for (const auto& of_driver : drivers) of_driver->stop();
    threads->stop();  // After this nothing runs that could touch the engine but transfers, which end with their last owner.
    transfers.reset();
    // As a failure, so that a device that fails again and again does not have cores started without end.
    if (wish == Wish::other_core) return refuse(Code::device_lost, "device", "A device was lost; all else has ended in order.");
    return {};
}
}  // namespace

int main(int argument_count, char** argument_list) {
    if (argument_count == 2 && std::string_view(argument_list[1]) == program::primer_argument) return program::be_primer();
    keep_little_of_what_is_freed();
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
