#include "cli/local_model.hpp"
#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_tensors {
constexpr Argument arguments[] = {
    {"model", Takes::required, "A loaded model's name, or a model file, which needs no daemon", Offers::models}};
constexpr Column columns[] = {
    {"NAME", "name"}, {"DTYPE", "dtype"}, {"SHAPE", "shape"}, {"SIZE", "sizeBytes", As::size}, {"OFFSET", "offsetBytes", As::number},
};

Told<void> run(Session& session, const Given& given) {
    const std::string model = given.text("model");
    const ListView view{columns, "name", "items", "The model has no tensors."};
    if (!means_file(model)) return show_list(session, "/api/model/" + http::percent_encoded(model) + "/tensors", {}, view);
    if (session.wishes().asks == Asks::for_curl)
        return std::unexpected(Failure(Exit::usage, "A file is read here, without the daemon: there is no REST call to print."));
    TRY(const std::string body, describe_model_file(model));
    return show_items(session, body, view);
}
}  // namespace verb_tensors

constexpr Verb tensors_verb = {"tensors",
                               "A loaded model's tensors, or those of a file",
                               "GET /api/model/{name}/tensors",
                               verb_tensors::arguments,
                               verb_tensors::run,
                               Repeats::yes,
                               "vramctl tensors detector; vramctl tensors ./detector.gguf"};
}  // namespace vramd::cli
