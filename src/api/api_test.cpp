#include "api/api.hpp"

#include "api/asking.hpp"
#include "api/resources_system.hpp"

using namespace vramd;
using namespace vramd::api;

namespace {
struct Door {
    UntouchedEngine engine;
    std::unique_ptr<Api> api = Api::make(engine, {1000, {{"s3cret", "anna", Role::user}, {"r00t", "ops", Role::admin}}});
};
std::string header_of(const http::Reply& reply, std::string_view name) {
    for (const auto& [key, value] : reply.headers)
        if (http::equals_without_case(key, name)) return value;
    return {};
}
std::string code_of(const http::Reply& reply) {
    const auto problem = parse<Problem>(reply.body);
    return problem ? problem->code : "not a problem: " + reply.body;
}
}  // namespace

TEST_CASE("a path that is none, a method it has not, and OPTIONS are answered from the table") {
    Door door;
    const http::Reply missing = ask(*door.api, head_of(http::Method::get, "/api/nothing"));
    CHECK(missing.status == 404);
    CHECK(code_of(missing) == "not-found");
    CHECK(parse<Problem>(missing.body)->instance == "/api/nothing");
    const http::Reply wrong = ask(*door.api, head_of(http::Method::post, "/api/system"));
    CHECK(wrong.status == 405);
    CHECK(header_of(wrong, "Allow") == "GET, HEAD, OPTIONS");
    const http::Reply options = ask(*door.api, head_of(http::Method::options, "/api/operations/op_1"));
    CHECK(options.status == 204);
    CHECK(header_of(options, "Allow") == "GET, HEAD, DELETE, OPTIONS");
    CHECK(door.engine.touched == 0);
}

TEST_CASE("a caller that takes no JSON gets 406, and one that takes anything or says nothing gets its answer") {
    Door door;
    const auto with_accept = [&](std::string accept) {
        http::RequestHead head = head_of(http::Method::get, "/healthz");
        head.headers.add("Accept", std::move(accept));
        return ask(*door.api, std::move(head)).status;
    };
    for (const std::string accept :
         {"application/json", "*/*", "application/*", "text/html, application/json;q=0.5", "text/html,*/*;q=0.8", "APPLICATION/JSON", ""})
        CHECK_MESSAGE(with_accept(accept) == 200, accept);
    for (const std::string accept : {"text/html", "application/xml, text/*", "application/json;q=0", "*/*;q=0.0", "image/*"})
        CHECK_MESSAGE(with_accept(accept) == 406, accept);
}

TEST_CASE("a body that is not declared as JSON is refused, so that no form of a web page can send one") {
    Door door;
    for (const std::string type : {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""}) {
        const http::Reply reply =
            ask(*door.api, head_of(http::Method::post, "/api/memory/allocations/allocate", {}, type), R"({"sizeBytes":1})");
        CHECK_MESSAGE(reply.status == 415, type);
        CHECK(code_of(reply) == "unsupported-media-type");
    }
    CHECK(door.engine.touched == 0);
    const http::Reply taken =
        ask(*door.api, head_of(http::Method::post, "/api/memory/allocations/allocate", {}, "application/json; charset=utf-8"),
            R"({"sizeBytes":1})");
    CHECK(taken.status == 500);
    CHECK(door.engine.touched == 1);
}

TEST_CASE("the kernel's word, or a token, says who asks; a stranger's token and another machine without one are refused") {
    Door door;
    const auto who = [&](http::Door through, u32 uid, std::string address, std::string authorization) {
        http::RequestHead head = head_of(http::Method::get, "/api/system");
        head.peer = {through, uid, 1, std::move(address)};
        if (!authorization.empty()) head.headers.add("Authorization", std::move(authorization));
        const http::Reply reply = ask(*door.api, std::move(head));
        const auto system = parse<System>(reply.body);
        return system ? system->owner + (system->role == Role::admin ? " admin" : " user") : code_of(reply);
    };
    CHECK(who(http::Door::unix_socket, 0, {}, {}) == "uid:0 admin");
    CHECK(who(http::Door::unix_socket, 1000, {}, {}) == "uid:1000 admin");
    CHECK(who(http::Door::unix_socket, 1001, {}, {}) == "uid:1001 user");
    CHECK(who(http::Door::tcp, 0, "127.0.0.1:9", {}) == "http user");
    CHECK(who(http::Door::tcp, 0, "[::1]:9", {}) == "http user");
    CHECK(who(http::Door::tcp, 0, "10.0.0.7:9", {}) == "forbidden");
    CHECK(who(http::Door::tcp, 0, "10.0.0.7:9", "Bearer s3cret") == "anna user");
    CHECK(who(http::Door::tcp, 0, "127.0.0.1:9", "bearer r00t") == "ops admin");
    for (const std::string bad : {"Bearer s3cre", "Bearer s3crets", "Bearer", "Bearer ", "Basic s3cret", "s3cret"})
        CHECK_MESSAGE(who(http::Door::unix_socket, 0, {}, bad) == "forbidden", bad);
}

TEST_CASE("an id that is none answers as a missing one, before the engine is asked") {
    Door door;
    for (const std::string id : {"x", "alc_", "op_5g7hj2k4m6npqr8", "alc_%2e%2e", "1"})
        for (const http::Method method : {http::Method::get}) {
            CHECK(ask(*door.api, head_of(method, "/api/memory/allocation/" + id)).status == 404);
            CHECK(ask(*door.api, head_of(method, "/api/memory/allocation/" + id + "/content")).status == 404);
        }
    CHECK(ask(*door.api, head_of(http::Method::delete_, "/api/memory/allocations/x")).status == 404);
    CHECK(ask(*door.api, head_of(http::Method::get, "/api/operations/alc_1")).status == 404);
    CHECK(door.engine.touched == 0);
}

TEST_CASE("a call without a body refuses one") {
    Door door;
    CHECK(code_of(ask(*door.api, head_of(http::Method::get, "/api/system"), "{}")) == "invalid-field");
    CHECK(code_of(ask(*door.api, head_of(http::Method::delete_, "/api/model/unload", {{"name", "a"}}), "{}")) == "invalid-field");
    CHECK(door.engine.touched == 0);
}

TEST_CASE("a clear names exactly one target, and a device is cleared whole") {
    Door door;
    const auto clear = [&](std::string body) {
        const http::Reply reply =
            ask(*door.api, head_of(http::Method::post, "/api/memory/operations/clear", {}, "application/json"), std::move(body));
        const auto problem = parse<Problem>(reply.body);
        return problem ? problem->code + " " + problem->field.value_or("") : reply.body;
    };
    CHECK(clear("{}") == "invalid-field /allocationId");
    CHECK(clear(R"({"allocationId":"alc_0q3xw8c5k2mznd1","deviceId":"host0"})") == "invalid-field /allocationId");
    CHECK(clear(R"({"deviceId":"host0","sizeBytes":1})") == "invalid-field /sizeBytes");
    CHECK(clear(R"({"deviceId":"host0","offsetBytes":1})") == "invalid-field /offsetBytes");
    CHECK(clear(R"({"deviceId":"host0","fillValue":256})") == "invalid-field /fillValue");
    CHECK(door.engine.touched == 0);
}

TEST_CASE("each problem has its page, named by the type of its documents") {
    Door door;
    for (const CodeFacts& facts : code_table) {
        const http::Reply document = problem_reply(Error{facts.code, "field", 1, 2, {}}, "/x");
        CHECK(document.status == facts.status);
        CHECK((header_of(document, "Retry-After").empty()) == (facts.retry_after_seconds == 0));
        const auto problem = parse<Problem>(document.body);
        REQUIRE(problem.has_value());
        const http::Reply page = ask(*door.api, head_of(http::Method::get, problem->type));
        CHECK(page.status == 200);
        CHECK(page.content_type == "text/html; charset=utf-8");
        CHECK(page.body.find(facts.remedy) != std::string::npos);
    }
    CHECK(ask(*door.api, head_of(http::Method::get, "/problems/nonsense")).status == 404);
    CHECK(ask(*door.api, head_of(http::Method::get, "/problems")).body.find("insufficient-memory") != std::string::npos);
}

TEST_CASE("what is wrong with a model file is a sentence that begins with the place") {
    const auto told = [](Code code, const char* field, const char* detail) {
        return problem_of(Error{code, field, 0, 0, detail}, {}).detail;
    };
    CHECK(told(Code::invalid_model, "index", "it has no object weight_map") == "index: it has no object weight_map.");
    CHECK(told(Code::invalid_model, "header", "84 bytes are needed at 970") == "header: 84 bytes are needed at 970.");
    CHECK(told(Code::invalid_model, "w", "The file changed.") == "The file changed.");
    CHECK(told(Code::invalid_model, "/path", "it is none") == "it is none.");
    CHECK(told(Code::not_found, "device", "There is no device x.") == "There is no device x.");
}

TEST_CASE("memory that could not be had is told with its figures") {
    engine::Shortfall shortfall{2048, 1024, 512, {"Free something."}};
    const http::Reply reply = problem_reply(Error{Code::insufficient_memory, "/sizeBytes", 2048, 1024, {}}, "/x", shortfall);
    CHECK(reply.status == 507);
    CHECK(reply.body.find(R"("requestedBytes":2048,"availableBytes":1024,"largestFreeBytes":512,"suggestions":["Free something."])") !=
          std::string::npos);
}
