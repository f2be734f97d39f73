/// For tests: asks the API as the HTTP server would, with no socket between; and an engine that must never be reached.
#pragma once
#include <doctest/doctest.h>

#include "api/api.hpp"
#include "api/codec.hpp"
#include "api/route.hpp"

namespace vramd::api {
/// Stands where a request must be refused before the engine hears of it: each call of it fails the test and answers `system_failed`.
class UntouchedEngine final : public engine::Engine {
public:
    u64 touched = 0;

    void allocate(AllocateCommand, u64, engine::Done<engine::Allocated> done) override { done(refusal()); }
    engine::Shortfall shortfall_of(const AllocateCommand&) override { return (void)refusal(), engine::Shortfall{}; }
    void forget_waiting(u64) override { (void)refusal(); }
    void free(FreeCommand, bool, engine::Done<engine::Freed> done) override { done(refusal()); }
    Result<report::AllocationTold> renew_lease(RenewLeaseCommand) override { return refusal(); }
    Result<std::unique_ptr<engine::Content>> open_content(const Caller&, AllocationId, engine::Access) override { return refusal(); }
    Result<std::unique_ptr<engine::Attachment>> attach(const Caller&, AllocationId, std::optional<engine::AttachMode>,
                                                       const engine::Holder&) override {
        return refusal();
    }
    Result<SessionId> begin_session(BeginSessionCommand) override { return refusal(); }
    Result<engine::ResumedSession> resume_session(const Caller&, u64) override { return refusal(); }
    Result<engine::Kept> let_go(SessionId, AllocationId) override { return refusal(); }
    void end_session(SessionId) override { (void)refusal(); }
    std::vector<engine::ZombieTold> zombies() override { return {}; }
    void clear(engine::ClearRequest, engine::Done<engine::Moved> done) override { done(refusal()); }
    void copy(engine::CopyRequest, engine::Done<engine::Moved> done) override { done(refusal()); }
    void transfer(TransferCommand, Until, engine::Done<report::TransferTold> done) override { done(refusal()); }
    Result<report::TransferTold> cancel_transfer(CancelTransferCommand) override { return refusal(); }
    Result<report::TransferTold> read_transfer(const Caller&, TransferId) override { return refusal(); }
    report::TransferPage transfers(const Caller&, const report::TransferFilter&) override {
        return (void)refusal(), report::TransferPage{};
    }
    Result<OperationId> load_model(LoadModelCommand, engine::Done<report::OperationTold>) override { return refusal(); }
    void let_loaded_go(OperationId) override { (void)refusal(); }
    void unload_model(UnloadModelCommand, engine::Done<engine::Freed> done) override { done(refusal()); }
    void uncache(UncacheCommand, engine::Done<engine::Freed> done) override { done(refusal()); }
    engine::CacheTold cache() override { return {}; }
    Result<report::OperationTold> cancel(CancelOperationCommand) override { return refusal(); }
    void available_models(engine::Done<std::vector<engine::AvailableModel>> done) override { done(refusal()); }
    Result<OperationId> upkeep(UpkeepCommand, engine::Done<report::OperationTold>) override { return refusal(); }
    void try_upkeep(UpkeepCommand, engine::Done<report::UpkeepProgress> done) override { done(refusal()); }
    engine::SystemTold system() override { return (void)refusal(), engine::SystemTold{}; }
    std::vector<engine::DeviceTold> devices() override { return (void)refusal(), std::vector<engine::DeviceTold>{}; }
    Result<engine::DeviceTold> device(std::string_view) override { return refusal(); }
    Result<void> known_device(std::string_view) override { return refusal(); }
    report::AllocationPage allocations(const Caller&, const report::AllocationFilter&) override {
        return (void)refusal(), report::AllocationPage{};
    }
    Result<report::AllocationTold> allocation(const Caller&, AllocationId) override { return refusal(); }
    report::UsageTold usage(const Caller&, std::string_view) override { return (void)refusal(), report::UsageTold{}; }
    std::vector<report::ModelTold> models() override { return (void)refusal(), std::vector<report::ModelTold>{}; }
    Result<report::ModelTold> model(std::string_view) override { return refusal(); }
    Result<std::vector<Tensor>> tensors(std::string_view) override { return refusal(); }
    Result<report::OperationTold> operation(const Caller&, OperationId) override { return refusal(); }
    std::vector<report::OperationTold> operations(const Caller&, u64) override {
        return (void)refusal(), std::vector<report::OperationTold>{};
    }
    std::vector<engine::PressureTold> pressures(const Caller&) override { return (void)refusal(), std::vector<engine::PressureTold>{}; }
    Result<engine::PressureTold> pressure(const Caller&, std::string_view) override { return refusal(); }
    std::vector<engine::PastTold> past(std::string_view, report::Window) override {
        return (void)refusal(), std::vector<engine::PastTold>{};
    }
    std::vector<engine::AnalysisTold> analysis(std::string_view, report::Window) override {
        return (void)refusal(), std::vector<engine::AnalysisTold>{};
    }
    void advice(const Caller&, engine::Done<std::vector<report::Advice>> done) override { done(refusal()); }
    std::vector<engine::ModelsOfDevice> model_memory() override { return (void)refusal(), std::vector<engine::ModelsOfDevice>{}; }
    void optimize_models(engine::OptimizeModelsRequest, engine::Done<engine::OptimizedModels> done) override { done(refusal()); }
    Result<report::LimitsTold> limits(std::string_view) override { return refusal(); }
    Result<engine::LimitsChanged> set_limits(SetLimitsCommand, engine::Trial) override { return refusal(); }
    Result<engine::Reclaimed> reclaim(ReclaimCommand) override { return refusal(); }
    engine::WorkTold work() override { return (void)refusal(), engine::WorkTold{}; }
    void content_stats(const Caller&, AllocationId, engine::Done<engine::ContentStats> done) override { done(refusal()); }
    engine::AuditTold audit() override { return (void)refusal(), engine::AuditTold{}; }
    std::optional<engine::KeyTold> key_used(const Caller&) override { return std::nullopt; }
    engine::Events& events() override { return untouched_events_; }
    void stop(u64) override {}

private:
    class UntouchedEvents final : public engine::Events {
    public:
        explicit UntouchedEvents(UntouchedEngine& engine) : engine_(engine) {}
        u64 last() const override { return 0; }
        u64 oldest() const override { return 1; }
        std::vector<u64> counts() const override { return {}; }
        Result<std::vector<engine::EventTold>> read(u64, u64) override { return engine_.refusal(); }
        void listen(std::function<void()>) override {}
        bool arm(u64) override { return true; }
        void history_of(const Caller&, AllocationId, u64, std::move_only_function<void(Result<engine::AllocationHistory>)> done) override {
            done(engine_.refusal());
        }

    private:
        UntouchedEngine& engine_;
    };
    UntouchedEvents untouched_events_{*this};

    std::unexpected<Error> refusal() {
        ++touched;
        return refuse(Code::system_failed, "engine", "The engine was reached.");
    }
};

/// Keeps the reply. One that never came is status 0.
class KeepingChannel final : public http::ReplyChannel {
public:
    http::Reply kept{.status = 0, .content_type = {}, .headers = {}, .body = {}, .source = {}};
    u64 replies = 0;
    void reply(http::Reply reply) override {
        kept = std::move(reply);
        ++replies;
    }
    std::shared_ptr<http::StreamChannel> stream(http::Reply, u64) override { return nullptr; }
    void on_gone(std::move_only_function<void()>) override {}
    [[nodiscard]] bool is_gone() const override { return false; }
};

/// A request's head as the server makes it.
inline http::RequestHead head_of(http::Method method, std::string path, std::vector<http::Field> query = {},
                                 std::string_view content_type = {}) {
    http::RequestHead head;
    head.method = method;
    for (const std::string_view segment : segments_of(path)) head.segments.emplace_back(segment);
    head.path = std::move(path);
    head.query = std::move(query);
    if (!content_type.empty()) head.headers.add("Content-Type", std::string(content_type));
    head.peer.address = "127.0.0.1:5";
    return head;
}

/// The reply to a request with a whole body.
inline http::Reply ask(http::Handler& api, http::RequestHead head, std::string body = {}) {
    if (!body.empty()) {
        head.framing = http::Framing::length;
        head.content_length_bytes = body.size();
    }
    http::Routing routing = api.route(head);
    if (auto* reply = std::get_if<http::Reply>(&routing)) return std::move(*reply);
    auto* buffered = std::get_if<http::BufferBody>(&routing);
    REQUIRE(buffered != nullptr);
    const auto channel = std::make_shared<KeepingChannel>();
    buffered->answer(http::Request{std::move(head), std::move(body)}, http::Responder(channel));
    CHECK(channel->replies <= 1);
    return std::move(channel->kept);
}

/// A pattern's path with each parameter at its example.
inline std::string path_of(std::string_view pattern) {
    std::string path;
    for (const std::string_view segment : segments_of(pattern)) {
        path += '/';
        if (!segment.starts_with('{')) path += segment;
        for (const PathParameter& parameter : path_parameters)
            if (segment == "{" + std::string(parameter.name) + "}") path += parameter.example;
    }
    return path;
}
}  // namespace vramd::api
