#include "cli/model_columns.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_models {
constexpr Argument arguments[] = {
    {"name", Takes::optional, "One model in full", Offers::models},
    {"available", Takes::flag, "The files that can be loaded, with the memory each would take"},
    {"device", Takes::value, "Only of this device", Offers::devices},
};
constexpr Column available_columns[] = {
    {"PATH", "path"},
    {"FORMAT", "format"},
    {"NEEDS", "predictedBytes", As::size},
    {"TENSORS", "tensorCount", As::number},
    {"LOADED AS", "loadedAs"},
    {"PROBLEM", "problem.detail"},
    {"FILE", "fileBytes", As::size, Shown::wide},
    {"FOLDER", "folder", As::text, Shown::wide},
    {"CODE", "problem.code", As::text, Shown::wide},
};

Told<void> run(Session& session, const Given& given) {
    if (given.has("available"))
        return show_list(session, "/api/model/available", {},
                         {available_columns, "path", "items", "There is no model file in the model folders."});
    if (given.has("name")) {
        Query query;
        query.add("name", given.text("name"));
        TRY(const http::ClientReply reply, session.ask({.target = "/api/model/info" + query.text()}));
        return show_record(session, reply.body, "name");
    }
    const std::string device = given.text("device");
    const std::string target = "/api/model/status" + (device.empty() ? "" : "/" + http::percent_encoded(device));
    TRY(const http::ClientReply reply, session.ask({.target = target}));
    return show_items(session, reply.body, {model_columns, "name", "loadedModels", "No model is loaded. See vramctl models --available."});
}
}  // namespace verb_models

constexpr Verb models_verb = {"models",
                              "Which models are loaded, or can be",
                              "GET /api/model/status, /api/model/info, /api/model/available",
                              verb_models::arguments,
                              verb_models::run,
                              Repeats::yes,
                              "vramctl models --available"};
}  // namespace vramd::cli
