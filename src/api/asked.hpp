/// What a handler is given and how it answers.
///
/// A handler is one of two functions:
///   Result<Reply> f(const Asked<Query, Body>&)                   answers at once;
///   void f(Asked<Query, Body>, Answer<Reply>)                    answers when it can, exactly once, from any thread.
/// `Nothing` stands where there is no query or no body. By the time a handler runs, both have passed the codec.
#pragma once
#include <atomic>
#include <memory>

#include "api/api.hpp"
#include "api/codec.hpp"
#include "api/problem.hpp"
#include "base/mutex.hpp"

namespace vramd::api {
class EventStreams;
class Replays;

/// What all calls share. Outlives every request.
struct Surface {
    engine::Engine& engine;
    Options options;
    std::string openapi;  ///< The document, made once.
    std::unique_ptr<Replays> replays;
    std::unique_ptr<EventStreams> event_streams;
    Mutex counts_lock;
    std::function<http::ServerCounts()> counts GUARDED_BY(counts_lock);

    Surface(engine::Engine& engine_of_all, Options options_of_all);
    ~Surface();
};

/// One request on its way.
struct Call {
    Surface* surface = nullptr;
    Caller caller;
    std::vector<std::string> params;  ///< The path's parameters, in order.
    http::RequestHead head;
    std::string_view pattern = {};  ///< Of the route's row.

    [[nodiscard]] engine::Engine& engine() const { return surface->engine; }
};

/// No query, or no body.
struct Nothing {};
BOOST_DESCRIBE_STRUCT(Nothing, (), ())
template <>
inline constexpr auto description<Nothing> = describe("Nothing", "Takes no fields.");

template <class Query_, class Body_>
struct Asked {
    Call call;
    Query_ query;
    Body_ body;
};

/// What a request calls the device that it is about: the path's parameter, or its one field for it; empty: it names none.
template <class Query_, class Body_>
[[nodiscard]] constexpr std::string_view device_field(std::string_view pattern) {
    if (pattern.find("{device}") != std::string_view::npos) return "device";
    if constexpr (requires(Body_ body) { body.target_device_id; }) return "/targetDeviceId";
    if constexpr (requires(Body_ body) { body.device_id; }) return "/deviceId";
    if constexpr (requires(Query_ query) { query.device_id; }) return "?deviceId";
    return {};
}
/// The error with its device under the name that the request has for it: whoever refuses does not know how it was asked.
[[nodiscard]] Error told_of_device(Error error, std::string_view device_field);

/// The duty to answer with a T or a refusal. Move-only; dropped unanswered it answers 500.
template <class T>
class Answer {
public:
    Answer(http::Responder responder, std::string instance, u16 status, std::string_view device_field = {})
        : responder_(std::move(responder)), instance_(std::move(instance)), status_(status), device_field_(device_field) {}

    void operator()(const Result<T>& result) && {
        if (result)
            std::move(*this).success(*result, {});
        else
            std::move(*this).send(problem_reply(told_of_device(result.error(), device_field_), instance_));
    }
    /// A header field of whatever is answered.
    void add_header(std::string name, std::string value) { headers_.emplace_back(std::move(name), std::move(value)); }
    /// Success with a Location.
    void at(const T& value, std::string location) && { std::move(*this).success(value, std::move(location)); }
    /// Success with the entity tag of what is told (etag.hpp).
    void tagged(const T& value, std::string etag) && {
        std::move(*this).send(http::Reply{status_, "application/json", {{"ETag", std::move(etag)}}, write(value) + "\n", {}});
    }
    /// What the caller has, by its If-None-Match, is still so.
    void unmodified(std::string etag) && { std::move(*this).send(http::Reply{304, {}, {{"ETag", std::move(etag)}}, {}, {}}); }
    /// Accepted: `value` is told and goes on at `location`.
    template <class U>
    void accepted(const U& value, std::string location) && {
        std::move(*this).send({202, "application/json", {{"Location", std::move(location)}}, write(value) + "\n", {}});
    }
    void refuse(const Error& error, const engine::Shortfall& shortfall) && {
        std::move(*this).send(problem_reply(told_of_device(error, device_field_), instance_, shortfall));
    }
    /// Calls `told` once if whoever asked goes away before the answer, at once if that is so already; it must not block.
    void on_gone(std::move_only_function<void()> told) { responder_.on_gone(std::move(told)); }
    [[nodiscard]] bool gone() const { return responder_.gone(); }

private:
    void success(const T& value, std::string location) && {
        http::Reply reply{status_, "application/json", {}, write(value) + "\n", {}};
        if (!location.empty()) reply.headers.emplace_back("Location", std::move(location));
        std::move(*this).send(std::move(reply));
    }
    void send(http::Reply reply) && {
        for (http::Field& field : headers_) reply.headers.push_back(std::move(field));
        std::move(responder_)(std::move(reply));
    }
    http::Responder responder_;
    std::string instance_;
    u16 status_;
    std::string_view device_field_;  ///< Static.
    std::vector<http::Field> headers_;
};

/// One answer that two sides may give, such as "done" and "still running": who takes it first gives it. Thread-safe.
template <class T>
class ContestedAnswer {
public:
    explicit ContestedAnswer(Answer<T> answer) : answer_(std::move(answer)) {}
    [[nodiscard]] std::optional<Answer<T>> take() {
        if (taken_.exchange(true)) return std::nullopt;
        return std::move(answer_);
    }

private:
    std::atomic<bool> taken_ = false;
    Answer<T> answer_;
};

template <class F>
struct HandlerTypes;
template <class Q, class B, class R>
struct HandlerTypes<Result<R> (*)(const Asked<Q, B>&)> {
    using Query = Q;
    using Body = B;
    using Reply = R;
    static constexpr bool at_once = true;
};
template <class Q, class B, class R>
struct HandlerTypes<void (*)(Asked<Q, B>, Answer<R>)> {
    using Query = Q;
    using Body = B;
    using Reply = R;
    static constexpr bool at_once = false;
};

/// Errors: `invalid_field` when a body came where none is taken.
[[nodiscard]] Result<void> check_no_body(const std::string& body);
/// The responder to use: for a mutation with an Idempotency-Key one that remembers the answer; the key then goes with the caller, into the
/// batch of its change. Nothing, when this answered already: with the remembered answer, or a refusal.
[[nodiscard]] std::optional<http::Responder> once_only(Call& call, const std::string& body, http::Responder responder);
/// What the ledger knows of the caller's key: a change that was made and whose answer this core has not in memory, for another core gave
/// it or died before. Errors: `invalid_field` (the key came with another body).
[[nodiscard]] Result<std::optional<engine::KeyTold>> made_before(const Call& call);
/// A change made before that is told by its subject alone.
[[nodiscard]] Error made_before_error(const engine::KeyTold& used);
/// Answers with what the change that was made under this key has led to. Specialised per kind of answer where that can be told anew
/// (handlers.hpp); else `conflict`, naming the subject.
template <class T>
void answer_again(const Call&, const engine::KeyTold& used, Answer<T> answer) {
    std::move(answer)(std::unexpected(made_before_error(used)));
}

/// True if the caller prefers not to wait (RFC 7240, `Prefer: respond-async`).
[[nodiscard]] bool prefers_async(const http::RequestHead& head);
/// Takes the preference as waitForCompletion=false, where the call has that; true if it did.
template <class Choices>
bool take_preference(const http::RequestHead& head, Choices& choices) {
    if constexpr (requires { choices.wait_for_completion = false; }) {
        if (!prefers_async(head)) return false;
        choices.wait_for_completion = false;
        return true;
    }
    return false;
}

template <auto Handler, u16 Status>
http::Routing handle_json(Call call) {
    using Types = HandlerTypes<decltype(Handler)>;
    http::BufferBody buffered;
    buffered.answer = [call = std::move(call)](http::Request request, http::Responder first) mutable {
        auto responder = once_only(call, request.body, std::move(first));
        if (!responder) return;
        const std::string instance = call.head.path;
        const std::string_view named = device_field<typename Types::Query, typename Types::Body>(call.pattern);
        auto asked = [&]() -> Result<Asked<typename Types::Query, typename Types::Body>> {
            TRY(auto query, parse_query<typename Types::Query>(call.head.query));
            if constexpr (std::is_same_v<typename Types::Body, Nothing>) {
                TRY_DO(check_no_body(request.body));
                return Asked<typename Types::Query, Nothing>{std::move(call), std::move(query), {}};
            } else {
                TRY(auto body, parse<typename Types::Body>(request.body));
                return Asked<typename Types::Query, typename Types::Body>{std::move(call), std::move(query), std::move(body)};
            }
        }();
        Answer<typename Types::Reply> answer(*std::move(responder), instance, Status, named);
        if (!asked) return std::move(answer)(std::unexpected(asked.error()));
        if (take_preference(asked->call.head, asked->query) || take_preference(asked->call.head, asked->body))
            answer.add_header("Preference-Applied", "respond-async");
        const auto before = made_before(asked->call);
        if (!before) return std::move(answer)(std::unexpected(before.error()));
        if (*before) {
            answer.add_header("Idempotent-Replayed", "true");
            return answer_again(asked->call, **before, std::move(answer));
        }
        if constexpr (Types::at_once)
            std::move(answer)(Handler(*asked));
        else
            Handler(*std::move(asked), std::move(answer));
    };
    return buffered;
}
}  // namespace vramd::api
