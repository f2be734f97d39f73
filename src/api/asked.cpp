#include "api/asked.hpp"

#include <algorithm>

#include "api/event_streams.hpp"
#include "api/openapi.hpp"
#include "api/replays.hpp"
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

bool is_mutation(http::Method method) { return method != http::Method::get && method != http::Method::options; }
}  // namespace

Surface::Surface(engine::Engine& engine_of_all, Options options_of_all)
    : engine(engine_of_all), options(std::move(options_of_all)), openapi(openapi_document()), replays(std::make_unique<Replays>()),
      event_streams(std::make_unique<EventStreams>(engine_of_all.events())) {}
Surface::~Surface() = default;

Result<void> check_no_body(const std::string& body) {
    if (body.empty()) return {};
    return refuse(Code::invalid_field, "body", "This call takes no body; what can be chosen stands in the query.");
}

std::optional<http::Responder> once_only(const Call& call, const std::string& body, http::Responder responder) {
    const std::string* const given = call.head.headers.find("Idempotency-Key");
    if (given == nullptr || !is_mutation(call.head.method)) return responder;
    if (given->empty() || given->size() > idempotency_key_bytes_max) {
        std::move(responder)(problem_reply(Error{Code::invalid_field, "Idempotency-Key", given->size(), idempotency_key_bytes_max,
                                                 "Idempotency-Key must have 1 to 128 characters."},
                                           call.head.path));
        return std::nullopt;
    }
    std::string key = call.caller.owner + '\n' + std::string(name_of(call.head.method)) + ' ' + call.head.path + '\n';
    for (const auto& [name, value] : call.head.query) key += name + '=' + value + '\n';
    key += *given;
    auto before = call.surface->replays->begin(key, body);
    if (!before || *before) {
        std::move(responder)(before ? **std::move(before) : problem_reply(before.error(), call.head.path));
        return std::nullopt;
    }
    return http::Responder(std::make_shared<RememberingChannel>(*call.surface->replays, std::move(key), std::move(responder)));
}
}  // namespace vramd::api
