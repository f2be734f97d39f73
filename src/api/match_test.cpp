#include <set>

#include "api/asking.hpp"

using namespace vramd;
using namespace vramd::api;

namespace {
std::vector<std::string> split(std::string_view path) {
    std::vector<std::string> segments;
    for (const std::string_view segment : segments_of(path)) segments.emplace_back(segment);
    return segments;
}
std::string_view operation_of(http::Method method, std::string_view path) {
    const Match found = match(routes(), method, split(path));
    return found.route == nullptr ? std::string_view("none") : found.route->operation;
}
}  // namespace

TEST_CASE("each row of the table is found by its own path and method, with its parameters' values") {
    for (const Route& route : routes()) {
        const std::string path = path_of(route.pattern);
        const Match found = match(routes(), route.method, split(path));
        REQUIRE_MESSAGE(found.route != nullptr, path);
        CHECK(found.route->operation == route.operation);
        std::string filled;
        std::size_t next = 0;
        for (const std::string_view segment : segments_of(route.pattern))
            filled += "/" + (segment.starts_with('{') ? found.params.at(next++) : std::string(segment));
        CHECK(filled == path);
    }
}

TEST_CASE("no two rows have the same operation, or the same method and pattern; every word of a row is there") {
    std::set<std::string> operations, places;
    for (const Route& route : routes()) {
        CHECK(operations.insert(std::string(route.operation)).second);
        CHECK(places.insert(std::string(http::name_of(route.method)) + std::string(route.pattern)).second);
        for (const std::string_view text : {route.section, route.summary, route.tells, route.outcomes[0].tells}) CHECK(!text.empty());
        CHECK((route.handle != nullptr));
    }
}

TEST_CASE("a word of the API wins over a parameter in the same place") {
    CHECK(operation_of(http::Method::post, "/api/memory/allocations/allocate") == "allocate");
    CHECK(operation_of(http::Method::delete_, "/api/memory/allocations/alc_1") == "freeAllocation");
    CHECK(operation_of(http::Method::get, "/api/model/status/tensors") == "readDeviceModelStatus");
    CHECK(operation_of(http::Method::get, "/api/model/x/tensors") == "listTensors");
    CHECK(operation_of(http::Method::get, "/api/model/cache/tensors") == "readCachedModel");  // The word that comes first.
    CHECK(operation_of(http::Method::get, "/api/memory/status") == "readStatuses");
    CHECK(operation_of(http::Method::get, "/api/memory/status/host0") == "readStatus");
}

TEST_CASE("a path that is none has no methods, and a path without the method tells those that it has") {
    for (const std::string_view path : {"/", "/api", "/api/memory", "/api/memory/status/a/b", "/api/memory/nothing", "/API/system"})
        CHECK_MESSAGE(match(routes(), http::Method::get, split(path)).allow.empty(), path);
    const Match content = match(routes(), http::Method::post, split("/api/memory/allocation/alc_1/content"));
    CHECK(content.route == nullptr);
    CHECK(content.allow == "GET, HEAD, PUT, OPTIONS");
}
