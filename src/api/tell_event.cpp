/// Events as resources. By the fields that they have: a new kind of event is told without a word here, as far as it names its parts as
/// others do.
#include "api/tell.hpp"

namespace vramd::api {
namespace {
template <class E>
std::string word(E value) {
    return std::string(EnumNames<E>::names[static_cast<std::size_t>(value)]);
}

template <class Tag>
void tell_id(LedgerEvent& told, const Id<Tag>& id) {
    if constexpr (Tag::prefix == "alc_") told.allocation_id = to_text(id);
    if constexpr (Tag::prefix == "op_") told.operation_id = to_text(id);
    if constexpr (Tag::prefix == "mdl_") told.model_id = to_text(id);
    if constexpr (Tag::prefix == "xfr_") told.transfer_id = to_text(id);
    if constexpr (Tag::prefix == "ses_") told.session_id = to_text(id);
}

std::optional<std::string> unless_empty(const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); }

void tell_error(LedgerEvent& told, Code code, const std::string& detail) {
    told.code = facts_of(code).name;
    told.detail = unless_empty(detail);
}

/// Ids and names.
template <class E>
void tell_names(LedgerEvent& told, const E& event) {
    if constexpr (requires { tell_id(told, event.id); }) tell_id(told, event.id);
    if constexpr (requires { tell_id(told, event.operation); }) tell_id(told, event.operation);
    if constexpr (requires { tell_id(told, event.allocation); }) tell_id(told, event.allocation);
    if constexpr (requires { tell_id(told, event.session); }) tell_id(told, event.session);
    if constexpr (requires { event.block; }) told.block_id = "blk_" + std::to_string(event.block);
    if constexpr (requires { std::string(event.name); }) told.name = event.name;
    if constexpr (requires { std::string(event.client); }) told.name = unless_empty(event.client);
    if constexpr (requires { EnumNames<decltype(event.mode)>::names; }) told.mode = word(event.mode);
    if constexpr (requires { std::string(event.purpose); }) told.purpose = unless_empty(event.purpose);
    if constexpr (requires { EnumNames<decltype(event.kind)>::names; }) told.kind = word(event.kind);
    if constexpr (requires { EnumNames<decltype(event.request.kind)>::names; }) told.kind = word(event.request.kind);
    if constexpr (requires { event.request.path; }) told.path = event.request.path;
    if constexpr (requires { event.request.name; }) told.name = event.request.name;
}

/// Figures.
template <class E>
void tell_figures(LedgerEvent& told, const E& event) {
    if constexpr (requires { told.size_bytes = event.size_bytes; }) told.size_bytes = event.size_bytes;
    if constexpr (requires { told.granted_bytes = event.granted_bytes; }) told.granted_bytes = event.granted_bytes;
    if constexpr (requires { told.capacity_bytes = event.capacity_bytes; }) told.capacity_bytes = event.capacity_bytes;
    if constexpr (requires { told.persistent = event.persistent; }) told.persistent = event.persistent;
    if constexpr (requires { event.lease_seconds; })
        if (event.lease_seconds != 0) told.lease_seconds = event.lease_seconds;
    if constexpr (requires { event.load_ns; }) told.duration_ms = milliseconds_of_ns(event.load_ns);
    if constexpr (requires { event.inspection.memory_bytes; }) told.size_bytes = event.inspection.memory_bytes;
    if constexpr (requires {
                      event.result.bytes;
                      event.result.duration_ns;
                  }) {
        told.bytes = event.result.bytes;
        told.duration_ms = milliseconds_of_ns(event.result.duration_ns);
    }
    if constexpr (requires { event.level_hundredths; }) told.level_percentage = Percentage{std::min<u64>(event.level_hundredths, 100'00)};
}

/// Ends and changes.
template <class E>
void tell_outcome(LedgerEvent& told, const E& event) {
    if constexpr (requires { EnumNames<decltype(event.state)>::names; }) told.state = word(event.state);
    if constexpr (requires {
                      EnumNames<decltype(event.from)>::names;
                      EnumNames<decltype(event.to)>::names;
                  }) {
        told.from = word(event.from);
        told.to = word(event.to);
    }
    if constexpr (requires { EnumNames<decltype(event.cause)>::names; }) told.cause = word(event.cause);
    if constexpr (requires { facts_of(event.reason); }) told.reason = facts_of(event.reason).name;
    if constexpr (requires {
                      facts_of(event.code);
                      event.detail;
                  })
        tell_error(told, event.code, event.detail);
    if constexpr (requires {
                      event.error.code;
                      event.state;
                  })
        if (word(event.state) != "succeeded") tell_error(told, event.error.code, event.error.detail);
}

template <class E>
void tell_kind(LedgerEvent& told, const E& event) {
    tell_names(told, event);
    tell_figures(told, event);
    tell_outcome(told, event);
    if constexpr (requires { event.plan.source; }) {
        told.transfer_id = to_text(event.plan.id);
        told.allocation_id = to_text(event.plan.source);
        told.target_allocation_id = to_text(event.plan.target);
        told.size_bytes = event.plan.size_bytes;
        told.kind = word(event.plan.mode);
    }
    if constexpr (std::is_same_v<E, AllocationReserved>) told.allocation_type = event.type;
    if constexpr (std::is_same_v<E, AllocationFreed>)
        if (event.reason == Code::cancelled) told.reason = "freed";
    if constexpr (std::is_same_v<E, SessionEnded>)
        if (event.reason == Code::cancelled) told.reason = "ended";
}
}  // namespace

LedgerEvent tell_event(const engine::EventTold& event) {
    LedgerEvent told;
    told.sequence = event.sequence;
    told.type = name_of(event.event);
    told.at = time_of_ns(event.wall_ns);
    told.device_id = unless_empty(event.whose.device_id);
    told.from_device_id = unless_empty(event.whose.other_device_id);
    told.owner = unless_empty(event.whose.owner);
    std::visit([&told](const auto& kind) { tell_kind(told, kind); }, event.event);
    return told;
}
}  // namespace vramd::api
