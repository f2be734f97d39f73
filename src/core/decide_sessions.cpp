/// Sessions: begun, what they hold, ended.
#include "core/decide.hpp"

namespace vramd::core {
Result<Decision> decide_one(const State& state, const BeginSessionCommand& command, Moment) {
    if (state.sessions.with_key(command.key_sum) != nullptr)
        return refuse(Code::conflict, "session", "Another session has this key.");  // By chance once in 2^64: the client asks again.
    Decision decision;
    decision.session = {state.sessions.next(), command.secret};
    decision.events.push_back(SessionBegun{decision.session, command.key_sum, command.owner, command.client});
    return decision;
}

Result<Decision> decide_one(const State& state, const TakeHoldCommand& command, Moment now) {
    const Session* session = state.sessions.session(command.session);
    if (session == nullptr) return not_found("session", to_text(command.session));
    const memory::Allocation* allocation = state.books.allocation(command.id);
    if (allocation == nullptr) return not_found("allocation", to_text(command.id));
    TRY_DO(check_usable(*allocation));
    const Hold* before = session->hold(command.id);
    Hold hold{command.id, command.mode, command.ends_with_session && !allocation->row.persistent};
    if (before != nullptr) {
        if (hold.mode == HoldMode::none) hold.mode = before->mode;
        hold.ends_with_session |= before->ends_with_session;
    }
    TRY(Decision decision, decide_one(state, AccessCommand{command.id}, now));
    if (before == nullptr || hold != *before)
        decision.events.push_back(HoldTaken{hold.id, command.session, hold.mode, hold.ends_with_session});
    return decision;
}

Result<Decision> decide_one(const State& state, const LetGoCommand& command, Moment) {
    Decision decision;
    const Session* session = state.sessions.session(command.session);
    const Hold* hold = session == nullptr ? nullptr : session->hold(command.id);
    if (hold == nullptr) return decision;
    if (!hold->ends_with_session || state.books.allocation(command.id)->row.status == AllocationStatus::zombie)
        decision.events.push_back(HoldEnded{command.id, command.session});
    else if (hold->mode != HoldMode::none)
        decision.events.push_back(HoldTaken{command.id, command.session, HoldMode::none, true});
    return decision;
}

Result<Decision> decide_one(const State& state, const EndSessionCommand& command, Moment) {
    Decision decision;
    if (const Session* session = state.sessions.session(command.session))
        decision.events.push_back(SessionEnded{command.session, session->owner, command.reason});
    return decision;
}
}  // namespace vramd::core
