/// Over every type that goes over the wire, found through the route table.
#include <charconv>
#include <map>

#include "api/arbitrary.hpp"
#include "api/asking.hpp"
#include "api/openapi.hpp"
#include "api/resources_limits.hpp"
#include "api/resources_requests.hpp"
#include "api/tell.hpp"

using namespace vramd;
using namespace vramd::api;

namespace {
/// Writes, reads and writes `rounds` arbitrary values of T.
template <class T>
void read_back_what_was_written(u64 seed) {
    Choices choices = Choices::from_seed(seed);
    for (int round = 0; round < 60; ++round) {
        T value;
        fill_arbitrary(shape_of<T>(), Field{.member = {}, .tells = {}}, &value, choices);
        const std::string text = write(value);
        const auto again = parse<T>(text);
        REQUIRE_MESSAGE(again.has_value(), shape_of<T>().name << ": " << again.error().detail << " " << text);
        CHECK(write(*again) == text);
    }
}
template <class... T>
void all_read_back() {
    u64 seed = 1;
    (read_back_what_was_written<T>(seed++), ...);
}

/// A value's own JSON.
std::string json_of(const Node& node) {
    if (node.kind != Node::Kind::list && node.kind != Node::Kind::object) return told(node);
    const bool list = node.kind == Node::Kind::list;
    std::string text(1, list ? '[' : '{');
    for (std::size_t i = 0; i < node.items.size(); ++i) {
        if (i > 0) text += ',';
        if (!list) text += "\"" + node.names[i] + "\":";
        text += json_of(node.items[i]);
    }
    return text + (list ? ']' : '}');
}

/// The JSON of an object with one member put in, replaced or (empty `value`) left out.
std::string with_member(const Node& object, std::string_view name, std::string_view value) {
    std::string text = "{";
    for (std::size_t i = 0; i < object.names.size(); ++i) {
        if (object.names[i] == name) continue;
        const Node& item = object.items[i];
        text += (text.size() > 1 ? ",\"" : "\"") + object.names[i] + "\":" + json_of(item);
    }
    if (!value.empty()) text.append(text.size() > 1 ? ",\"" : "\"").append(name).append("\":").append(value);
    return text + "}";
}

/// Values that an integer field between `min` and `max` must refuse, and those that it must take.
struct Probes {
    std::vector<std::string> refused = {"-1",
                                        "-9223372036854775808",
                                        "0.5",
                                        "1.0",
                                        "1e3",
                                        "9223372036854775808",
                                        "18446744073709551615",
                                        "18446744073709551616",
                                        "\"7\"",
                                        "true",
                                        "null",
                                        "[]",
                                        "{}"};
    std::vector<std::string> taken;
};
Probes probes_of(u64 min, u64 max, Rule rule) {
    Probes probes;
    for (const u64 value : {u64{0}, min - 1, min, min + 1, max - 1, max, max + 1, u64{1} << 31, (u64{1} << 53) + 1}) {
        const bool fits = value >= min && value <= max && (rule == Rule::none || (value & (value - 1)) == 0);
        (fits ? probes.taken : probes.refused).push_back(std::to_string(value));
    }
    return probes;
}

http::Reply send(Api& api, const Route& route, std::string body) {
    return ask(api, head_of(route.method, path_of(route.pattern), {}, "application/json"), std::move(body));
}

/// The reply must be a 400 problem that names the field, and, for a number that counts, value and limit.
void check_refused(const http::Reply& reply, const std::string& pointer, const std::string& sent) {
    CHECK_MESSAGE(reply.status == 400, sent);
    CHECK(reply.content_type == "application/problem+json");
    const auto problem = parse<Problem>(reply.body);
    REQUIRE_MESSAGE(problem.has_value(), reply.body);
    CHECK(problem->code == "invalid-field");
    CHECK_MESSAGE(problem->field == pointer, sent);
    CHECK_MESSAGE(problem->detail.starts_with(pointer), problem->detail);
}

/// Whether a text is a whole number of this range: what a query may hold there.
bool is_between(std::string_view text, u64 min, u64 max) {
    u64 number = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    return !text.empty() && read.ec == std::errc() && read.ptr == text.data() + text.size() && number >= min && number <= max;
}

const Shape& inner_of(const Shape& shape) { return shape.kind == Kind::maybe ? shape.inner() : shape; }

void probe_integer(Api& api, const Route& route, const Node& example, const Member& member) {
    const u64 max = std::min(member.field.max, inner_of(member.shape()).largest);
    const std::string pointer = "/" + std::string(member.name.view());
    const Probes probes = probes_of(member.field.min, max, member.field.rule);
    for (const std::string& value : probes.refused) {
        const http::Reply reply = send(api, route, with_member(example, member.name.view(), value));
        check_refused(reply, pointer, value);
        CHECK_MESSAGE(reply.body.find("got " + (value.front() == '"' ? "\\\"7\\\""
                                                : value == "[]"      ? "a list"
                                                : value == "{}"      ? "an object"
                                                                     : value)) != std::string::npos,
                      reply.body);
        CHECK_MESSAGE(reply.body.find(std::to_string(max)) != std::string::npos, reply.body);
    }
    for (const std::string& value : probes.taken) {
        const http::Reply reply = send(api, route, with_member(example, member.name.view(), value));
        CHECK_MESSAGE(reply.status != 400, pointer << " " << value << " " << reply.body);
    }
}

void probe_text(Api& api, const Route& route, const Node& example, const Member& member) {
    const std::string pointer = "/" + std::string(member.name.view());
    const u64 max = std::min(member.field.max, text_bytes_max);
    std::vector<std::string> refused = {
        "7", "true", "[]", "{}", "null", "\"" + std::string(max + 1, 'a') + "\"", "\"a\\u0000b\"", "\"a\\nb\"", "\"\\u007f\""};
    if (member.field.min > 0) refused.push_back("\"\"");
    for (const std::string& value : refused)
        check_refused(send(api, route, with_member(example, member.name.view(), value)), pointer, value);
}

void probe_word(Api& api, const Route& route, const Node& example, const Member& member, const std::vector<std::string>& refused) {
    for (const std::string& value : refused)
        check_refused(send(api, route, with_member(example, member.name.view(), value)), "/" + std::string(member.name.view()), value);
}

void probe_member(Api& api, const Route& route, const Node& example, const Member& member) {
    switch (inner_of(member.shape()).kind) {
        case Kind::integer:
            return probe_integer(api, route, example, member);
        case Kind::text:
            return probe_text(api, route, example, member);
        case Kind::boolean:
            return probe_word(api, route, example, member, {"0", "1", "\"true\"", "null", "[]", "{}", "1.5"});
        case Kind::choice:
            return probe_word(api, route, example, member, {"0", "\"\"", "\"Default\"", "\"unknown\"", "null", "true", "[]", "{}"});
        case Kind::decimal:
            return probe_word(api, route, example, member, {"-1", "1.001", "1e1", "100.01", "\"1\"", "null", "true", "[]", "{}"});
        case Kind::map:
            probe_word(api, route, example, member, {"0", "\"\"", "null", "true", "[]"});
            for (const std::string value : {"-1", "0.5", "1e3", "9223372036854775808", "\"7\"", "null", "{}"})
                check_refused(send(api, route, with_member(example, member.name.view(), "{\"me\":" + value + "}")),
                              "/" + std::string(member.name.view()) + "/me", value);
            return check_refused(send(api, route, with_member(example, member.name.view(), "{\"\":1}")),
                                 "/" + std::string(member.name.view()) + "/", "a name of no characters");
        case Kind::list:
            return probe_word(api, route, example, member, {"0", "\"\"", "null", "true", "{}"});
        default:
            FAIL("a request has a field of a kind that no probe covers");
    }
}
}  // namespace

TEST_CASE("every resource and every request reads back as it was written") {
    all_read_back<Problem, PageQuery, Performance, DeviceAfter, Allocation, AllocationMade, AllocationList, Freed, Moved, Cleared>();
    all_read_back<HoleClass, Fragmentation, Share, Usage, NumaNode, HugePages, Stall, DeviceStatus, MemoryStatus>();
    all_read_back<AllocateRequest, AllocateHereRequest, LeaseRequest, ClearRequest, ClearDeviceRequest, CopyRequest, StatusQuery,
                  DeviceAllocationsQuery, AllocationsQuery, FreeQuery>();
    all_read_back<LimitsRequest, OwnerQuota, Limits, LimitsImpact, Reclaimed, ChangedLimits>();
    all_read_back<ModelLoadRequest, ModelLoadHereRequest, Place, Model, ModelList, ModelStatus, ModelNameQuery, TensorsQuery, TensorInfo,
                  TensorList, AvailableModel>();
    all_read_back<AvailableModelList, Operation, OperationList, Worker, Recovery, System, Device, DeviceList, Audit, Health>();
}

TEST_CASE("every request's example is taken by its own parser") {
    UntouchedEngine engine;
    const auto api = Api::make(engine, {});
    u64 bodies = 0;
    for (const Route& route : routes()) {
        if (route.body == nullptr) continue;
        ++bodies;
        const http::Reply reply = send(*api, route, example_text(route.body()));
        CHECK_MESSAGE(reply.status != 400, route.operation << ": " << reply.body);
    }
    CHECK(bodies >= 10);
}

TEST_CASE("every field of every request refuses each bad value by name, value and limit, and the engine never hears of it") {
    UntouchedEngine engine;
    const auto api = Api::make(engine, {});
    for (const Route& route : routes()) {
        if (route.body == nullptr) continue;
        CAPTURE(route.operation);
        const auto example = read_json(example_text(route.body()));
        REQUIRE(example.has_value());
        for (const Member& member : route.body().members) {
            CAPTURE(std::string(member.name.view()));
            const std::string pointer = "/" + std::string(member.name.view());
            probe_member(*api, route, *example, member);
            const u64 touched = engine.touched;
            if (member.field.presence == Presence::always)
                check_refused(send(*api, route, with_member(*example, member.name.view(), {})), pointer, "missing");
            const std::string once = with_member(*example, member.name.view(), "0");
            check_refused(send(*api, route, once.substr(0, once.size() - 1) + ",\"" + std::string(member.name.view()) + "\":0}"), pointer,
                          "twice");
            CHECK(engine.touched == touched);
        }
        const u64 touched = engine.touched;
        check_refused(send(*api, route, with_member(*example, "unknownField", "1")), "/unknownField", "unknown");
        for (const std::string body : {"[]", "1", "null", "\"a\""}) CHECK(send(*api, route, body).status == 400);
        for (const std::string body : {"{", "{]", "{\"a\":", "\xff", "{\"sizeBytes\":0x10}"}) {
            const auto problem = parse<Problem>(send(*api, route, body).body);
            REQUIRE(problem.has_value());
            CHECK(problem->code == "malformed-request");
        }
        CHECK(engine.touched == touched);
    }
}

TEST_CASE("every query parameter refuses each bad value by name, and the engine never hears of it") {
    UntouchedEngine engine;
    const auto api = Api::make(engine, {});
    for (const Route& route : routes()) {
        if (route.query == nullptr) continue;
        for (const Member& member : route.query().members) {
            const Shape& shape = inner_of(member.shape());
            std::vector<std::string> refused = {std::string(5000, 'a')};
            if (shape.kind == Kind::integer)
                refused = {"", "0", "-1", "1.0", "1e3", "1001", "2147483648", "9007199254740993", "18446744073709551616", "x", " 1", "1 "};
            if (shape.kind == Kind::boolean) refused = {"", "0", "1", "True", "yes", "null"};
            if (shape.kind == Kind::choice) refused = {"", "x", "0", "Default"};
            if (shape.kind == Kind::integer)
                std::erase_if(refused, [&](const std::string& text) { return is_between(text, member.field.min, member.field.max); });
            for (const std::string& value : refused) {
                std::vector<http::Field> query = {{std::string(member.name.view()), value}};
                check_refused(ask(*api, head_of(route.method, path_of(route.pattern), query)), "?" + std::string(member.name.view()),
                              value);
            }
            const std::string valid = shape.kind == Kind::boolean  ? "true"
                                      : shape.kind == Kind::choice ? std::string(shape.choices[0])
                                                                   : "1";
            std::vector<http::Field> twice(2, {std::string(member.name.view()), valid});
            check_refused(ask(*api, head_of(route.method, path_of(route.pattern), twice)), "?" + std::string(member.name.view()), "twice");
        }
    }
    for (const Route& route : routes()) {
        check_refused(ask(*api, head_of(route.method, path_of(route.pattern), {{"nothing", "1"}})), "?nothing", "unknown");
    }
    CHECK(engine.touched == 0);
}
