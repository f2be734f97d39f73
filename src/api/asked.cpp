#include "api/asked.hpp"

#include <algorithm>

#include "api/event_streams.hpp"
#include "api/openapi.hpp"
#include "api/replays.hpp"
#include "base/checksum.hpp"
#include "base/invariant.hpp"

namespace vramd::api {
namespace {
/// Passes a reply on and remembers it.
class RememberingChannel : public http::ReplyChannel {
public:
    RememberingChannel(Replays& replays, std::string key, http::Responder responder)
        : replays_(replays), key_(std::move(key)), responder_(std::move(responder)) {}

    void reply(http::Reply reply) override {
        replays_.ended(key_, reply);
        std::move(responder_)(std::move(reply));
    }
    /// Answers that are remembered have an end.
    std::shared_ptr<http::StreamChannel> stream(http::Reply, u64) override {
        invariant_broken("an answer with a key streams", __FILE__, __LINE__);
    }
    void on_gone(std::move_only_function<void()> told) override { responder_.on_gone(std::move(told)); }
    [[nodiscard]] bool is_gone() const override { return responder_.gone(); }

private:
    Replays& replays_;
    std::string key_;
    http::Responder responder_;
};

u64 hash_of(std::string_view text) { return checksum(std::as_bytes(std::span(text))); }

bool is_mutation(http::Method method) { return method != http::Method::get && method != http::Method::options; }
}  // namespace

Surface::Surface(engine::Engine& engine_of_all, Options options_of_all)
    : engine(engine_of_all),
      options(std::move(options_of_all)),
      openapi(openapi_document()),
      replays(std::make_unique<Replays>()),
      event_streams(std::make_unique<EventStreams>(engine_of_all.events())) {}
Surface::~Surface() = default;

Result<void> check_no_body(const std::string& body) {
    if (body.empty()) return {};
    return refuse(Code::invalid_field, "body", "This call takes no body; what can be chosen stands in the query.");
}

std::optional<http::Responder> once_only(Call& call, const std::string& body, http::Responder responder) {
    const std::string* const given = call.head.headers.find("Idempotency-Key");
    if (given == nullptr || !is_mutation(call.head.method)) return responder;
    if (given->empty() || given->size() > idempotency_key_bytes_max) {
        std::move(responder)(problem_reply(Error{Code::invalid_field, "Idempotency-Key", given->size(), idempotency_key_bytes_max,
                                                 "Idempotency-Key must have 1 to 128 characters."},
                                           call.head.path));
        return std::nullopt;
    }
    std::string target = std::string(name_of(call.head.method)) + ' ' + call.head.path + '\n';
    for (const auto& [name, value] : call.head.query) target += name + '=' + value + '\n';
    std::string key = call.caller.owner + '\n' + target + *given;
    auto before = call.surface->replays->begin(key, body);
    if (!before || *before) {
        std::move(responder)(before ? **std::move(before) : problem_reply(before.error(), call.head.path));
        return std::nullopt;
    }
    call.caller.key = {*given, hash_of(target), hash_of(body)};
    return http::Responder(std::make_shared<RememberingChannel>(*call.surface->replays, std::move(key), std::move(responder)));
}

Result<std::optional<engine::KeyTold>> made_before(const Call& call) {
    if (call.caller.key.text.empty()) return std::optional<engine::KeyTold>();
    auto used = call.engine().key_used(call.caller);
    if (used && used->body != call.caller.key.body)
        return refuse(Code::invalid_field, "Idempotency-Key",
                      "Idempotency-Key came before with another body; use a new key for a new request.");
    return used;
}

Error made_before_error(const engine::KeyTold& used) {
    std::string detail = "The request with this Idempotency-Key was carried out before";
    detail += used.subject.empty() ? "." : "; it was about " + used.subject + ".";
    return Error{Code::conflict, "Idempotency-Key", 0, 0, std::move(detail)};
}

Error told_of_device(Error error, std::string_view device_field) {
    const bool about_one =
        error.field == "/deviceId" || error.field == "deviceId" || (error.field == "device" && error.code == Code::not_found);
    if (about_one && !device_field.empty()) error.field = device_field;
    return error;
}

bool prefers_async(const http::RequestHead& head) {
    for (const auto& [name, value] : head.headers.fields()) {
        if (!http::equals_without_case(name, "Prefer")) continue;
        std::string_view rest = value;
        while (!rest.empty()) {
            std::string_view one = rest.substr(0, rest.find(','));
            rest.remove_prefix(std::min(one.size() + 1, rest.size()));
            one = one.substr(0, one.find_first_of(";="));
            while (one.starts_with(' ') || one.starts_with('\t')) one.remove_prefix(1);
            while (one.ends_with(' ') || one.ends_with('\t')) one.remove_suffix(1);
            if (http::equals_without_case(one, "respond-async")) return true;
        }
    }
    return false;
}
}  // namespace vramd::api
