#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace {
constexpr Argument arguments[] = {{"model", Takes::required, "A loaded model's name", Offers::models}};
constexpr Column columns[] = {
    {"NAME", "name"}, {"DTYPE", "dtype"}, {"SHAPE", "shape"}, {"SIZE", "sizeBytes", As::size}, {"OFFSET", "offsetBytes", As::number},
};

Told<void> run(Session& session, const Given& given) {
    return show_list(session, "/api/model/" + http::percent_encoded(given.text("model")) + "/tensors", {},
                     {columns, "name", "items", "The model has no tensors."});
}
}  // namespace

constexpr Verb tensors_verb = {"tensors",   "A loaded model's tensors", "GET /api/model/{name}/tensors", arguments, run,
                               Repeats::no, "vramctl tensors detector"};
}  // namespace vramd::cli
