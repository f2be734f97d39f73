#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "cli/figures.hpp"
#include "cli/show.hpp"
#include "cli/verbs.hpp"
#include "cli/version.hpp"

namespace vramd::cli {
namespace verb_doctor {
enum class Verdict : u8 { good, note, bad };

/// One thing looked at.
struct Finding {
    std::string what;
    Verdict verdict = Verdict::good;
    std::string found;
    std::string remedy;
};

constexpr std::string_view word_of(Verdict verdict) { return verdict == Verdict::good ? "ok" : verdict == Verdict::note ? "note" : "BAD"; }

std::string first_line(const char* path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

Finding kernel() {
    utsname name{};
    if (uname(&name) != 0) return {"kernel", Verdict::bad, "uname fails", "run on Linux"};
    int major = 0, minor = 0;
    const bool read = std::sscanf(name.release, "%d.%d", &major, &minor) == 2;
    const bool enough = read && (major > 5 || (major == 5 && minor >= 13));
    return {"kernel", enough ? Verdict::good : Verdict::bad, name.release, "Linux 5.13 or later, for Landlock and sealed memory"};
}

Finding limit(const char* what, int resource, u64 wanted, const char* remedy) {
    rlimit bounds{};
    if (getrlimit(static_cast<__rlimit_resource_t>(resource), &bounds) != 0) return {what, Verdict::bad, "cannot be read", remedy};
    const bool endless = bounds.rlim_cur == RLIM_INFINITY;
    const bool enough = endless || bounds.rlim_cur >= wanted;
    const bool can_be = bounds.rlim_max == RLIM_INFINITY || bounds.rlim_max >= wanted;
    const std::string found = endless                      ? "unlimited"
                              : resource == RLIMIT_MEMLOCK ? size_text(bounds.rlim_cur)
                                                           : std::to_string(bounds.rlim_cur);
    return {what, enough || can_be ? Verdict::good : Verdict::note, found, remedy};
}

Finding huge_pages() {
    const std::string policy = first_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    if (policy.empty()) return {"huge pages", Verdict::note, "the kernel does not say; memory is mapped in 4 KiB pages", {}};
    const std::size_t open = policy.find('[');
    const std::string chosen = open == std::string::npos ? policy : policy.substr(open + 1, policy.find(']') - open - 1);
    const bool good = chosen == "advise" || chosen == "always" || chosen == "within_size";
    return {"huge pages", good ? Verdict::good : Verdict::note, "shared memory: " + chosen,
            "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled (faster first touch)"};
}

Finding landlock() {
    const long version = syscall(444 /* landlock_create_ruleset */, nullptr, 0, 1U /* LANDLOCK_CREATE_RULESET_VERSION */);
    if (version < 0)
        return {"sandbox: Landlock", Verdict::bad, "the kernel refuses it",
                "boot with lsm=landlock,… ; without it model files are not loaded"};
    return {"sandbox: Landlock", Verdict::good, "ABI " + std::to_string(version), {}};
}

Finding seccomp() {
    const bool there = prctl(PR_GET_SECCOMP) >= 0;
    return {"sandbox: seccomp", there ? Verdict::good : Verdict::bad, there ? "available" : "the kernel has none",
            "a kernel with CONFIG_SECCOMP_FILTER"};
}

Finding nvidia() {
    if (access("/proc/driver/nvidia/version", R_OK) != 0)
        return {"NVIDIA driver", Verdict::note, "not loaded; host memory works without", {}};
    return {"NVIDIA driver", Verdict::good, first_line("/proc/driver/nvidia/version"), {}};
}

Finding available_memory() {
    std::ifstream file("/proc/meminfo");
    for (std::string key, unit; file >> key;) {
        u64 value = 0;
        file >> value;
        std::getline(file, unit);
        if (key != "MemAvailable:") continue;
        return {"memory", value * kib >= gib ? Verdict::good : Verdict::note, size_text(value * kib) + " available",
                "end other programs, or serve with --device host=SIZE"};
    }
    return {"memory", Verdict::note, "/proc/meminfo does not say", {}};
}

/// The default port: free, the daemon's, or somebody else's.
Finding port() {
    const http::Address address{http::Door::tcp, {}, "127.0.0.1", 7070};
    http::Client client(address);
    if (!client.open(1000)) return {"port 7070", Verdict::good, "free", {}};
    http::ClientRequest request;
    request.target = "/api/system";
    request.wait_ms_max = 1000;
    const auto reply = client.exchange(std::move(request));
    const auto body = reply ? parse_document(reply->body) : std::unexpected(reply.error());
    if (body && body->is_object() && body->get_object().contains("keeperPid")) return {"port 7070", Verdict::good, "vramd answers", {}};
    return {"port 7070", Verdict::note, "another program answers", "vramd serve --listen 127.0.0.1:PORT, with another port"};
}

/// What the daemon says of itself, or why it does not.
void ask_daemon(Session& session, std::vector<Finding>& findings) {
    const auto system = session.ask({.target = "/api/system", .wait_ms_max = 5000});
    if (!system) {
        findings.push_back({"daemon", Verdict::bad, system.error().what, system.error().remedy});
        return;
    }
    const auto body = parse_document(system->body);
    const json::object* const told = body ? body->if_object() : nullptr;
    const std::string version = told == nullptr ? "" : text_at(*told, "version");
    findings.push_back(
        {"daemon", Verdict::good, "answers, version " + version + ", core " + (told == nullptr ? "" : text_at(*told, "corePid")), {}});
    if (version != own_version())
        findings.push_back(
            {"versions", Verdict::note, "vramctl is " + std::string(own_version()), "use the vramctl that came with the daemon"});
    if (told != nullptr && text_at(*told, "readOnly") == "yes")
        findings.push_back({"ledger", Verdict::bad, "read-only: " + text_at(*told, "readOnlyReason"),
                            "see /readyz for the cause; reads are answered meanwhile"});
    const auto ready = session.ask({.target = "/readyz", .wait_ms_max = 5000});
    findings.push_back(
        {"readiness", ready ? Verdict::good : Verdict::bad, ready ? "ready" : ready.error().what, ready ? "" : ready.error().remedy});
    const auto audit = session.ask({.target = "/api/audit", .wait_ms_max = 30'000});
    if (!audit) return;
    const auto books = parse_document(audit->body);
    const bool agree = books && books->is_object() && text_at(books->get_object(), "ok") == "yes";
    findings.push_back({"books", agree ? Verdict::good : Verdict::bad, agree ? "agree" : "do not agree", "vramctl audit"});
}

constexpr Column columns[] = {{"CHECK", "check"}, {"VERDICT", "verdict"}, {"FOUND", "found"}, {"REMEDY", "remedy"}};

Told<void> show(Session& session, const std::vector<Finding>& findings) {
    json::array list;
    std::string lines;
    for (const Finding& finding : findings) {
        const bool good = finding.verdict == Verdict::good;
        std::string line(word_of(finding.verdict));
        list.push_back({{"check", finding.what},
                        {"verdict", finding.verdict == Verdict::bad ? "bad" : line},
                        {"found", finding.found},
                        {"remedy", good ? std::string() : finding.remedy}});
        line.resize(6, ' ');
        line += finding.what;
        line.resize(25, ' ');
        lines += line + finding.found + "\n";
        if (!good && !finding.remedy.empty()) lines += std::string(25, ' ') + "Try: " + finding.remedy + "\n";
    }
    if (session.wishes().format != Format::table && session.wishes().format != Format::wide)
        return show_items(session, json::serialize(json::value{{"items", std::move(list)}}), {columns, "check", "items", {}});
    session.out(lines);
    return {};
}

Told<void> run(Session& session, const Given&) {
    if (session.wishes().asks == Asks::for_curl) {
        TRY_DO(session.ask({.target = "/api/system"}));
    }
    std::vector<Finding> findings;
    findings.push_back(kernel());
    findings.push_back(available_memory());
    findings.push_back(limit("open files", RLIMIT_NOFILE, 16'384, "LimitNOFILE=65536 in the unit, or ulimit -n"));
    findings.push_back(
        limit("locked memory", RLIMIT_MEMLOCK, gib, "LimitMEMLOCK=infinity in the unit, or ulimit -l; only pinned memory needs it"));
    findings.push_back(huge_pages());
    findings.push_back(landlock());
    findings.push_back(seccomp());
    findings.push_back(nvidia());
    findings.push_back(port());
    ask_daemon(session, findings);
    TRY_DO(show(session, findings));
    u64 bad = 0;
    for (const Finding& finding : findings) bad += finding.verdict == Verdict::bad ? 1 : 0;
    if (bad == 0) return {};
    return std::unexpected(Failure(Exit::failed, std::to_string(bad) + (bad == 1 ? " check is bad." : " checks are bad.")));
}
}  // namespace verb_doctor

constexpr Verb doctor_verb = {
    "doctor", "Check what vramd needs, with a remedy for each fault", "GET /api/system, /readyz, /api/audit", {}, verb_doctor::run};
}  // namespace vramd::cli
