/// Hello: a session begins, or goes on after the death of the core that knew it.
#include <algorithm>
#include <array>
#include <cstdio>

#include "api/codec.hpp"
#include "attach/session.hpp"
#include "base/checksum.hpp"
#include "base/random.hpp"

namespace vramd::attach {
namespace {
std::string hex_of(u64 number) {
    std::array<char, 17> text{};
    (void)std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(number));
    return text.data();
}

/// What is recorded of a key, which is 128 random bits: it cannot be told back from this. Besides, only the session's owner may use it.
u64 sum_of(const std::string& key) { return checksum(std::as_bytes(std::span(key))); }

std::vector<DeviceTold> devices_of(engine::Engine& engine) {
    std::vector<DeviceTold> devices;
    for (const engine::DeviceTold& told : engine.devices())
        devices.push_back({told.books.device_id, told.facts.kind, told.facts.capabilities, told.books.total_bytes,
                           told.facts.granularity_bytes, told.facts.uuid.empty() ? std::nullopt : std::optional(told.facts.uuid)});
    return devices;
}

Error in_words(Error error) {
    error.field = "/resumeKey";
    if (error.code == Code::not_found)
        error.detail = "The session is not known: it ended with its connection, or nobody went on with it within " +
                       std::to_string(engine::session_grace_seconds) + " s of the core's start. Say hello without resumeKey for a new one.";
    if (error.code == Code::conflict)
        error.detail = "The session has another connection, or had it and is just ending. Say hello without resumeKey for a new one.";
    return error;
}
}  // namespace

void Session::hello(const Call& call) {
    const auto params = params_of<HelloParams>(call);
    if (!params) return refuse(call.id, params.error());
    if (greeted_) return refuse(call.id, Error{Code::conflict, {}, 0, 0, "This connection has said hello already."});
    if (params->version != version)
        return refuse(call.id, Error{Code::unsupported, "/version", params->version, version,
                                     "This daemon speaks version 1 of the protocol; say hello with that."});
    may_be_asked_ = params->reclaim;
    HelloResult result;
    if (params->resume_key) {
        auto held = resume(*params->resume_key);
        if (!held) return refuse(call.id, in_words(held.error()));
        result.held = *std::move(held);
    }
    result.resume_key = params->resume_key ? *params->resume_key : hex_of(random_secret()) + hex_of(random_secret());
    if (!session_)  // A ledger that takes nothing now is no reason to refuse: graceSeconds tells it.
        session_ = world_.engine.begin_session({caller_.owner, params->client, sum_of(result.resume_key), 0}).value_or(SessionId{});
    if (world_.devices.empty()) world_.devices = devices_of(world_.engine);
    if (world_.version.empty()) world_.version = world_.engine.system().version;
    result.version = version;
    result.session = session_ ? to_text(session_) : id_text(SessionTag::prefix, number_, random_secret());
    result.grace_seconds = session_ ? engine::session_grace_seconds : 0;
    result.daemon_version = world_.version;
    result.owner = caller_.owner;
    result.role = caller_.role;
    result.devices = world_.devices;
    greeted_ = true;
    answer(call.id, api::write(result));
}

/// Takes a session over, with all that it holds, which is told by mode. Errors: of `Engine::resume_session`.
Result<std::vector<HeldTold>> Session::resume(const std::string& key) {
    TRY(engine::ResumedSession resumed, world_.engine.resume_session(caller_, sum_of(key)));
    session_ = resumed.id;
    std::vector<HeldTold> told;
    for (engine::HeldBefore& before : resumed.held) {
        auto group = std::ranges::find(told, before.mode, &HeldTold::mode);
        if (group == told.end()) group = told.insert(told.end(), HeldTold{before.mode, {}});
        group->allocation_ids.push_back(to_text(before.id));
        if (before.mode != HoldMode::none) let_ask(*before.hold);
        held_[before.id.serial] = {before.id, std::move(before.hold), before.mode != HoldMode::none, before.ends_with_session};
    }
    return told;
}
}  // namespace vramd::attach
