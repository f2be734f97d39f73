/// One row of the route table: everything that dispatch, OpenAPI and a newcomer need to know of one operation.
///
/// Rows are made by `get<&handler>(…)` and its kin, which take the types of query, body and answer from the handler itself: the table
/// cannot promise another field than the handler reads. All of it is constant data.
#pragma once
#include <string_view>

#include "api/asked.hpp"

namespace vramd::api {
/// A set of codes, as the bits of their values.
using CodeSet = u32;
template <class... C>
[[nodiscard]] constexpr CodeSet codes(C... code) {
    return (CodeSet{0} | ... | (CodeSet{1} << static_cast<u32>(code)));
}
[[nodiscard]] constexpr bool holds(CodeSet set, Code code) { return (set >> static_cast<u32>(code) & 1) != 0; }

/// What a body is made of.
enum class Media : u8 { none, json, octets, html, text, events };

/// One kind of success.
struct Outcome {
    u16 status = 200;
    std::string_view tells;
    Media media = Media::json;
    const Shape& (*shape)() = nullptr;  ///< Of a JSON body.
    std::string_view example = {};      ///< Of a body that has no shape.
};

/// A header that a call reads.
struct HeaderTold {
    std::string_view name;
    std::string_view tells;
    std::string_view example;
};

struct Route {
    http::Method method = http::Method::get;
    std::string_view pattern;    ///< Segments; "{name}" stands for one parameter.
    std::string_view operation;  ///< OpenAPI's operationId, unique.
    std::string_view section;
    std::string_view summary;
    std::string_view tells;
    CodeSet problems = 0;               ///< Beside those that follow from what it is: see `problems_of`.
    const Shape& (*query)() = nullptr;  ///< Of an object of scalars; null: takes no query.
    const Shape& (*body)() = nullptr;   ///< Of a JSON body; null: none, or not JSON.
    Media body_media = Media::none;
    std::string_view loses = {};        ///< What is gone for good after it, a sentence; empty: nothing. Who offers a button asks first.
    HeaderTold header{};                ///< Without a name: none. Mutations with a JSON answer take Idempotency-Key besides.
    std::array<Outcome, 2> outcomes{};  ///< A second one without a status is none.
    http::Routing (*handle)(Call call) = nullptr;
};

/// What any route may answer.
inline constexpr CodeSet common_problems = codes(Code::invalid_field, Code::malformed_request, Code::forbidden, Code::method_not_allowed,
                                                 Code::not_acceptable, Code::header_too_large, Code::system_failed, Code::busy);

/// Whether a request may come with an Idempotency-Key.
[[nodiscard]] constexpr bool takes_key(const Route& route) {
    return route.method != http::Method::get && route.outcomes[0].media == Media::json && route.body_media != Media::octets;
}
/// Every code that the route can answer.
[[nodiscard]] constexpr CodeSet problems_of(const Route& route) {
    CodeSet all = common_problems | route.problems;
    if (takes_key(route)) all |= codes(Code::conflict);
    if (route.body_media != Media::none) all |= codes(Code::unsupported_media_type);
    if (route.body_media == Media::json) all |= codes(Code::too_large);
    return all;
}

/// The parts of the API, in the order of a first session.
struct Section {
    std::string_view name;
    std::string_view tells;
};
inline constexpr std::string_view devices_section = "Devices";
inline constexpr std::string_view allocations_section = "Allocations";
inline constexpr std::string_view content_section = "Reading and writing";
inline constexpr std::string_view models_section = "Models";
inline constexpr std::string_view transfers_section = "Transfers";
inline constexpr std::string_view limits_section = "Limits";
inline constexpr std::string_view upkeep_section = "Pressure and upkeep";
inline constexpr std::string_view progress_section = "Progress";
inline constexpr std::string_view events_section = "Events and metrics";
inline constexpr std::string_view system_section = "The daemon";
inline constexpr std::array sections = {
    Section{devices_section, "What memory there is, how it is, and who uses it."},
    Section{allocations_section, "Taking memory, finding it again, giving it back."},
    Section{content_section, "The bytes of an allocation: reading, writing, filling and copying them."},
    Section{models_section, "Model files, and their tensors in memory."},
    Section{transfers_section, "Bytes from one place to another, on one device or between two."},
    Section{limits_section, "How much of a device may be used, and by whom."},
    Section{upkeep_section, "How tight memory is, what would help, and doing it."},
    Section{progress_section, "Work that goes on after its answer."},
    Section{events_section, "What happens, as it happens and as it was."},
    Section{system_section, "Whether it serves, its processes, its books, and this API itself."},
};

/// One path parameter's meaning, by its name in the patterns and how those begin.
struct PathParameter {
    std::string_view name;
    std::string_view tells;
    std::string_view example;
    std::string_view beneath = {};
};
inline constexpr std::array path_parameters = {
    PathParameter{"device", "A device's id; GET /api/devices lists them.", "host0"},
    PathParameter{"id", "An allocation's id, as the call that made it answered.", "alc_0q3xw8c5k2mznd1", "/api/memory/allocation"},
    PathParameter{"id", "A transfer's id, as the call that began it answered.", "xfr_6k2mznd10q3xw8c5", "/api/memory/transfer/"},
    PathParameter{"id", "An operation's id, as the call that began it answered.", "op_5g7hj2k4m6npqr8", "/api/operations/"},
    PathParameter{"name", "A model's name, as it was loaded by.", "detector"},
    PathParameter{"code", "A problem's code.", "insufficient-memory"},
};

/// The text of one row, in the order that reads best in the table.
struct Told {
    std::string_view pattern;
    std::string_view operation;
    std::string_view section;
    std::string_view summary;
    std::string_view tells;
    std::string_view success;  ///< What the body of the answer is.
    CodeSet problems = 0;
};

namespace made {
template <class T>
constexpr auto shape_or_null() -> const Shape& (*)() {
    if constexpr (std::is_same_v<T, Nothing>)
        return nullptr;
    else
        return &shape_of<T>;
}
constexpr Route route(http::Method method, const Told& told) {
    Route row;
    row.method = method;
    row.pattern = told.pattern;
    row.operation = told.operation;
    row.section = told.section;
    row.summary = told.summary;
    row.tells = told.tells;
    row.problems = told.problems;
    return row;
}
}  // namespace made

/// A row whose handler takes a described query and body and answers a described struct.
template <auto Handler, u16 Status = 200>
constexpr Route row(http::Method method, const Told& told) {
    using Types = HandlerTypes<decltype(Handler)>;
    Route row = made::route(method, told);
    row.query = made::shape_or_null<typename Types::Query>();
    row.body = made::shape_or_null<typename Types::Body>();
    row.body_media = std::is_same_v<typename Types::Body, Nothing> ? Media::none : Media::json;
    row.outcomes[0] = Outcome{Status, told.success, Media::json, &shape_of<typename Types::Reply>};
    row.handle = &handle_json<Handler, Status>;
    return row;
}
template <auto Handler>
constexpr Route get(const Told& told) {
    return row<Handler>(http::Method::get, told);
}
template <auto Handler, u16 Status = 200>
constexpr Route post(const Told& told) {
    return row<Handler, Status>(http::Method::post, told);
}
template <auto Handler>
constexpr Route put(const Told& told) {
    return row<Handler>(http::Method::put, told);
}
template <auto Handler>
constexpr Route remove(const Told& told) {
    return row<Handler>(http::Method::delete_, told);
}
/// The same row with a second kind of success: accepted, and told at another URL.
constexpr Route or_accepted(Route row, std::string_view tells, const Shape& (*shape)()) {
    row.outcomes[1] = Outcome{202, tells, Media::json, shape};
    return row;
}
/// The same row, of which it is told what is gone for good after it.
constexpr Route losing(Route row, std::string_view what) {
    row.loses = what;
    return row;
}

/// All rows; constant. Whoever lists them goes by `sections`.
[[nodiscard]] std::span<const Route> routes();

/// Where a path leads.
struct Match {
    const Route* route = nullptr;     ///< Null: no row with this path and method.
    std::vector<std::string> params;  ///< The parameters' values, in the pattern's order.
    std::string allow;                ///< The methods that the path has ("GET, HEAD, OPTIONS"); empty: no such path.
};
/// Finds the row. Where two patterns fit, the one with fewer parameters wins.
[[nodiscard]] Match match(std::span<const Route> rows, http::Method method, const std::vector<std::string>& segments);
/// The methods that any path has: what `OPTIONS *` is told.
[[nodiscard]] std::string allow_anywhere(std::span<const Route> rows);
/// "/a/{id}" as "a", "{id}".
[[nodiscard]] std::vector<std::string_view> segments_of(std::string_view pattern);
}  // namespace vramd::api
