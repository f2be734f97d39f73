#include "api/openapi.hpp"

#include <algorithm>

#include "api/examples.hpp"
#include "api/openapi_schema.hpp"
#include "api/route.hpp"

namespace vramd::api {
namespace json = boost::json;
namespace {
std::string_view media_type(Media media) {
    switch (media) {
        case Media::json:
            return "application/json";
        case Media::octets:
            return "application/octet-stream";
        case Media::html:
            return "text/html";
        case Media::text:
            return "text/plain";
        case Media::events:
            return "text/event-stream";
        case Media::none:
            break;
    }
    return {};
}

/// An example of each problem, as its refusal would be written.
json::object problem_examples() {
    json::object examples;
    for (const CodeFacts& facts : code_table) {
        json::object value = object_example(shape_of<Problem>());
        value["type"] = "/problems/" + std::string(facts.name);
        value["title"] = view(facts.title);
        value["status"] = facts.status;
        value["code"] = view(facts.name);
        value["remedy"] = view(facts.remedy);
        if (facts.code != Code::insufficient_memory) {
            value["detail"] = std::string(facts.title) + ".";
            for (const char* name : {"requestedBytes", "availableBytes", "largestFreeBytes", "suggestions", "field", "value", "limit"})
                value.erase(name);
        }
        examples[view(facts.name)] = {{"summary", view(facts.title)}, {"value", std::move(value)}};
    }
    return examples;
}

/// What a body without a shape looks like: bytes have no form, JSON is an object.
json::object plain_body(Media media, std::string_view example) {
    json::object body;
    if (media == Media::octets)
        body["schema"] = {{"type", "string"}, {"contentMediaType", view(media_type(media))}};
    else
        body["schema"] = {{"type", media == Media::json ? "object" : "string"}};
    if (!example.empty()) body["example"] = media == Media::json ? json::parse(view(example)) : json::value(view(example));
    return body;
}

/// The bodies that are shown for a call, by name; and the same as a list of values.
json::object named_examples(const Route& route) {
    json::object named;
    for (const RequestExample& example : request_examples())
        if (example.operation == route.operation)
            named[view(example.name)] = {
                {"summary", view(example.summary)},
                {"value", route.body_media == Media::json ? json::parse(view(example.body)) : json::value(view(example.body))}};
    return named;
}
json::array example_values(const json::object& named) {
    json::array values;
    for (const auto& example : named) values.push_back(example.value().at("value"));
    return values;
}

class Document {
public:
    std::string text() {
        json::object paths;
        for (const Route& route : routes()) {
            json::object& path =
                paths.contains(view(route.pattern)) ? paths[view(route.pattern)].as_object() : paths[view(route.pattern)].emplace_object();
            std::string method(http::name_of(route.method));
            for (char& c : method) c = static_cast<char>(c - 'A' + 'a');
            path[method] = operation(route);
        }
        (void)schemas_.reference_to(shape_of<Problem>());
        json::object schemas;
        for (const auto& [name, schema] : schemas_.all()) schemas[name] = schema;
        for (const auto& [name, examples] : bodies_) schemas[name].at("examples") = examples;
        const json::object document{{"openapi", "3.1.0"},
                                    {"info", info()},
                                    {"servers", json::array{{{"url", "/"}, {"description", "The daemon that served this document."}}}},
                                    {"security", json::array{json::object{}, {{"bearer", json::array{}}}}},
                                    {"tags", tags()},
                                    {"paths", std::move(paths)},
                                    {"components",
                                     {{"schemas", std::move(schemas)},
                                      {"examples", problem_examples()},
                                      {"securitySchemes",
                                       {{"bearer",
                                         {{"type", "http"},
                                          {"scheme", "bearer"},
                                          {"description", "A token of the daemon's token file; not needed on this machine."}}}}}}}};
        return text_of(document) + "\n";
    }

private:
    static json::object info() {
        return {{"title", "vramd"},
                {"version", view(api_version)},
                {"summary", "The memory orchestrator of one machine."},
                {"description",
                 "Bytes are integers and exact; times are RFC 3339 in UTC; percentages run from 0 to 100 with two decimals. A success is "
                 "the resource itself, "
                 "a refusal is application/problem+json. Unknown fields are refused. Over the Unix socket the caller is who the kernel "
                 "says; over TCP on "
                 "loopback it is the owner http, who sees and frees its own only."}};
    }

    static json::array tags() {
        json::array tags;
        for (const Section& section : sections) tags.push_back({{"name", view(section.name)}, {"description", view(section.tells)}});
        return tags;
    }

    json::array parameters(const Route& route) {
        json::array parameters;
        for (const std::string_view segment : segments_of(route.pattern))
            for (const PathParameter& known : path_parameters)
                if (segment == "{" + std::string(known.name) + "}" && route.pattern.starts_with(known.beneath))
                    parameters.push_back({{"name", view(known.name)},
                                          {"in", "path"},
                                          {"required", true},
                                          {"description", view(known.tells)},
                                          {"schema", {{"type", "string"}}},
                                          {"example", view(known.example)}});
        if (route.query != nullptr)
            for (const Member& member : route.query().members)
                parameters.push_back({{"name", view(member.name.view())},
                                      {"in", "query"},
                                      {"required", member.field.presence == Presence::always},
                                      {"description", view(member.field.tells)},
                                      {"schema", schemas_.schema_of(member.shape(), member.field)},
                                      {"example", member_example(member.shape(), member.field)}});
        if (!route.header.name.empty()) parameters.push_back(header(route.header));
        const auto waits = [](const Shape& (*shape)()) {
            return shape != nullptr &&
                   std::ranges::any_of(shape().members, [](const Member& member) { return member.name.view() == "waitForCompletion"; });
        };
        if (waits(route.query) || waits(route.body))
            parameters.push_back(header({"Prefer", "respond-async is the same as waitForCompletion=false.", "respond-async"}));
        if (takes_key(route))
            parameters.push_back(
                header({"Idempotency-Key",
                        "Any text of up to 128 characters. A request that comes again with its key gets the first one's answer and does "
                        "nothing twice, through restarts too: the key is recorded with its change, for a day and the last 10,000 keys. "
                        "What only fills or copies bytes is done again after a restart.",
                        "3f0c1d2e"}));
        return parameters;
    }

    static json::value header(const HeaderTold& told) {
        return {{"name", view(told.name)},
                {"in", "header"},
                {"required", false},
                {"description", view(told.tells)},
                {"schema", {{"type", "string"}}},
                {"example", view(told.example)}};
    }

    json::object content(const Outcome& outcome) {
        if (outcome.media == Media::none) return {};
        json::object body = plain_body(outcome.media, outcome.example);
        if (outcome.shape != nullptr)
            body = {{"schema", schemas_.reference_to(outcome.shape())}, {"example", object_example(outcome.shape())}};
        return {{view(media_type(outcome.media)), std::move(body)}};
    }

    json::object request_body(const Route& route) {
        json::object named = named_examples(route);
        json::object body = plain_body(route.body_media, {});
        if (route.body != nullptr) {
            body["schema"] = schemas_.reference_to(route.body());
            // What is shown for a shape alone runs too: the first call's that takes it.
            bodies_.try_emplace(std::string(route.body().name), example_values(named));
        }
        body["examples"] = std::move(named);
        return {{"required", true}, {"content", {{view(media_type(route.body_media)), std::move(body)}}}};
    }

    json::object responses(const Route& route) {
        json::object responses;
        for (const Outcome& outcome : route.outcomes) {
            if (outcome.tells.empty()) continue;
            json::object response{{"description", view(outcome.tells)}, {"content", content(outcome)}};
            if (outcome.status == 201 || outcome.status == 202)
                response["headers"] = {{"Location", {{"description", "Where the resource is told."}, {"schema", {{"type", "string"}}}}}};
            responses[std::to_string(outcome.status)] = std::move(response);
        }
        for (const CodeFacts& facts : code_table) {
            if (!holds(problems_of(route), facts.code)) continue;
            const std::string status = std::to_string(facts.status);
            const std::string line = std::string(facts.name) + ": " + std::string(facts.title) + ". " + std::string(facts.remedy);
            if (!responses.contains(status))
                responses[status] = {{"description", line},
                                     {"content",
                                      {{"application/problem+json",
                                        {{"schema", schemas_.reference_to(shape_of<Problem>())}, {"examples", json::object{}}}}}}};
            else
                responses[status].at("description") = std::string(responses[status].at("description").as_string()) + "\n\n" + line;
            responses[status].at("content").at("application/problem+json").at("examples").as_object()[view(facts.name)] = {
                {"$ref", "#/components/examples/" + std::string(facts.name)}};
        }
        return responses;
    }

    json::object operation(const Route& route) {
        json::object operation{{"operationId", view(route.operation)},
                               {"tags", json::array{view(route.section)}},
                               {"summary", view(route.summary)},
                               {"description", view(route.tells)},
                               {"parameters", parameters(route)}};
        if (route.body_media != Media::none) operation["requestBody"] = request_body(route);
        if (!route.loses.empty()) operation["x-loses"] = view(route.loses);
        operation["responses"] = responses(route);
        return operation;
    }

    Schemas schemas_;
    std::map<std::string, json::array> bodies_;  ///< The examples of each schema that is a body.
};
}  // namespace

std::string openapi_document() { return Document().text(); }
}  // namespace vramd::api
