/// Asking the client to let go of a model, and its answer. What it lets go of, it detaches like anything else.
#include "api/codec.hpp"
#include "attach/session.hpp"

namespace vramd::attach {
/// If the client wished so at its hello.
void Session::let_ask(engine::Attachment& hold) {
    if (!may_be_asked_) return;
    hold.let_ask([later = world_.later, number = number_](const engine::Ask& asked) {
        later(number, [asked](Session* session) {
            if (session != nullptr) session->ask(asked);
        });
    });
}

void Session::ask(const engine::Ask& asked) {
    const auto held = held_.find(asked.allocation.serial);
    if (held == held_.end() || held->second.id != asked.allocation || !held->second.attached) return;  // It let go meanwhile.
    if (asked_.size() >= world_.quotas.held_max) asked_.erase(asked_.begin());
    asked_.insert_or_assign(asked.allocation.serial, asked.bytes);
    const ReclaimNotice notice{to_text(asked.allocation), asked.model, asked.bytes, asked.within_ns / ns_per_ms};
    send_({notice_text("reclaim", api::write(notice)), {}});
}

void Session::reclaimed(const Call& call) {
    const auto params = params_of<ReclaimedParams>(call);
    if (!params) return refuse(call.id, params.error());
    const auto id = id_from_text(params->allocation_id);
    const auto asked = id ? asked_.find(id->serial) : asked_.end();
    if (asked == asked_.end())
        return refuse(call.id, Error{Code::not_found, "/allocationId", 0, 0,
                                     "This connection was not asked for " + api::quoted_text(params->allocation_id) + "."});
    if (params->bytes > asked->second) return refuse(call.id, Error{Code::out_of_range, "/bytes", params->bytes, asked->second, {}});
    asked_.erase(asked);
    answer(call.id, api::write(*params));
    // Who let go of something, or says that it will, is waited for.
    if (params->bytes > 0) return;
    if (const auto held = held_.find(id->serial); held != held_.end() && held->second.hold) held->second.hold->keeps();
}
}  // namespace vramd::attach
