#include "api/openapi.hpp"

#include <algorithm>
#include <set>

#include "api/asking.hpp"
#include "api/examples.hpp"

using namespace vramd;
using namespace vramd::api;

namespace {
const Node& document() {
    static const Node node = [] {
        auto read = read_json(openapi_document());
        REQUIRE_MESSAGE(read.has_value(), read.error().detail);
        return *std::move(read);
    }();
    return node;
}

const Node& at(const Node& node, std::string_view name) {
    const Node* const found = node.member(name);
    REQUIRE_MESSAGE(found != nullptr, name);
    return *found;
}

template <class Visit>
void each_node(const Node& node, const std::string& path, Visit&& visit) {
    visit(node, path);
    for (std::size_t i = 0; i < node.items.size(); ++i)
        each_node(node.items[i], path + "/" + (node.kind == Node::Kind::object ? node.names[i] : std::to_string(i)), visit);
}

std::string described(const Node& node) {
    const Node* const text = node.member("description");
    return text == nullptr ? std::string() : text->text;
}
}  // namespace

TEST_CASE("every reference of the document leads somewhere") {
    u64 references = 0;
    each_node(document(), "", [&](const Node& node, const std::string& path) {
        const Node* const reference = node.kind == Node::Kind::object ? node.member("$ref") : nullptr;
        if (reference == nullptr) return;
        ++references;
        const Node* target = &document();
        for (const std::string_view step : segments_of(std::string_view(reference->text).substr(1))) {
            target = target->member(step);
            REQUIRE_MESSAGE(target != nullptr, path << " -> " << reference->text);
        }
    });
    CHECK(references > 200);
}

TEST_CASE("every route is in the document with summary, description, its parameters declared and its success told") {
    const Node& paths = at(document(), "paths");
    for (const Route& route : routes()) {
        std::string method(http::name_of(route.method));
        for (char& c : method) c = static_cast<char>(c - 'A' + 'a');
        const Node& operation = at(at(paths, route.pattern), method);
        CHECK(at(operation, "operationId").text == route.operation);
        CHECK(!at(operation, "summary").text.empty());
        CHECK(
            std::ranges::any_of(sections, [&](const Section& section) { return section.name == at(operation, "tags").items.at(0).text; }));
        CHECK(!described(operation).empty());
        std::set<std::string> declared;
        for (const Node& parameter : at(operation, "parameters").items) {
            CHECK(!described(parameter).empty());
            CHECK(parameter.member("example") != nullptr);
            if (at(parameter, "in").text == "path") declared.insert("{" + at(parameter, "name").text + "}");
        }
        std::set<std::string> used;
        for (const std::string_view segment : segments_of(route.pattern))
            if (segment.starts_with('{')) used.emplace(segment);
        CHECK(declared == used);
        CHECK(at(operation, "responses").member(std::to_string(route.outcomes[0].status)) != nullptr);
        CHECK((operation.member("requestBody") != nullptr) == (route.body_media != Media::none));
    }
    std::size_t operations = 0;
    for (const Node& path : paths.items) operations += path.items.size();
    CHECK(operations == routes().size());
}

TEST_CASE("every problem that a route can answer stands under its status, with an example") {
    const Node& paths = at(document(), "paths");
    for (const Route& route : routes()) {
        std::string method(http::name_of(route.method));
        for (char& c : method) c = static_cast<char>(c - 'A' + 'a');
        const Node& responses = at(at(at(paths, route.pattern), method), "responses");
        for (const CodeFacts& facts : code_table) {
            if (!holds(problems_of(route), facts.code)) continue;
            const Node& response = at(responses, std::to_string(facts.status));
            const Node& examples = at(at(at(response, "content"), "application/problem+json"), "examples");
            CHECK_MESSAGE(examples.member(facts.name) != nullptr, route.operation << " " << facts.name);
        }
    }
    for (const CodeFacts& facts : code_table) {
        const Node& value = at(at(at(at(document(), "components"), "examples"), facts.name), "value");
        CHECK(at(value, "code").text == facts.name);
        CHECK(at(value, "status").text == std::to_string(facts.status));
    }
}

TEST_CASE("every schema and every field of it is described, with limits where it has them and an example") {
    const Node& schemas = at(at(document(), "components"), "schemas");
    CHECK(schemas.items.size() > 30);
    for (std::size_t i = 0; i < schemas.items.size(); ++i) {
        CAPTURE(schemas.names[i]);
        CHECK(!described(schemas.items[i]).empty());
        CHECK(schemas.items[i].member("examples") != nullptr);
        const Node* const properties = schemas.items[i].member("properties");
        if (properties == nullptr) continue;
        for (std::size_t k = 0; k < properties->items.size(); ++k) {
            CAPTURE(properties->names[k]);
            const Node& property = properties->items[k];
            CHECK(!described(property).empty());
            const bool list = property.member("type") != nullptr && property.member("type")->text == "array";
            CHECK((list || property.member("examples") != nullptr));
            if (property.member("type") != nullptr && property.member("type")->text == "integer")
                CHECK(property.member("maximum") != nullptr);
        }
    }
}

TEST_CASE("every call that takes a body shows one that its own parser reads, and every answer shows what it looks like") {
    const Node& paths = at(document(), "paths");
    for (const Route& route : routes()) {
        CAPTURE(route.operation);
        std::string method(http::name_of(route.method));
        for (char& c : method) c = static_cast<char>(c - 'A' + 'a');
        const Node& operation = at(at(paths, route.pattern), method);
        std::set<std::string_view> names;
        for (const RequestExample& example : request_examples()) {
            if (example.operation != route.operation) continue;
            CHECK(route.body_media != Media::none);
            CHECK_MESSAGE(names.insert(example.name).second, example.name);
            CHECK(!example.summary.empty());
            if (route.body == nullptr) continue;
            const Shape& shape = route.body();
            const auto node = read_json(example.body);
            REQUIRE_MESSAGE(node.has_value(), example.name);
            const auto parsed = parse_node(*node, shape, shape.make().get(), {});
            CHECK_MESSAGE(parsed.has_value(), example.name << ": " << parsed.error().detail);
        }
        CHECK(names.empty() == (route.body_media == Media::none));
        for (const Outcome& outcome : route.outcomes) {
            if (outcome.tells.empty() || outcome.media == Media::none) continue;
            const Node& content = at(at(at(operation, "responses"), std::to_string(outcome.status)), "content");
            CHECK(content.items.at(0).member("example") != nullptr);
        }
    }
    for (const RequestExample& example : request_examples())
        CHECK_MESSAGE(std::ranges::any_of(routes(), [&](const Route& route) { return route.operation == example.operation; }),
                      example.name);
}

TEST_CASE("what is gone for good after a call is told of every call that takes something away") {
    for (const Route& route : routes()) {
        CAPTURE(route.operation);
        if (route.method == http::Method::delete_) CHECK(!route.loses.empty());
        if (route.method == http::Method::get) CHECK(route.loses.empty());
    }
}

TEST_CASE("an answer's example is read by the answer's own parser") {
    u64 read = 0;
    for (const Route& route : routes())
        for (const Outcome& outcome : route.outcomes) {
            if (outcome.shape == nullptr) continue;
            const Shape& shape = outcome.shape();
            const auto node = read_json(example_text(shape));
            REQUIRE(node.has_value());
            const auto parsed = parse_node(*node, shape, shape.make().get(), {});
            CHECK_MESSAGE(parsed.has_value(), route.operation << ": " << parsed.error().detail);
            ++read;
        }
    CHECK(read > 30);
}
