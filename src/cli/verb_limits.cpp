#include <charconv>

#include "cli/figures.hpp"
#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_limits {
constexpr Argument arguments[] = {
    {"action", Takes::required, "Show them, or change those that are named", Offers::words, "get set"},
    {"device", Takes::required, "Of which device", Offers::devices},
    {"max", Takes::value, "The most that may be used: a size, or a share of the capacity (75%); 100% takes the limit away"},
    {"reserve", Takes::value, "Kept back from everybody: a size"},
    {"emergency", Takes::value,
     "Above this share of what may be used models go by themselves, such as 90%; 100%, as it is unless set: only when room is needed"},
    {"quota", Takes::value, "What owners may hold: anna=2GiB,http=1GiB; anna=none takes a quota away"},
    {"enforce", Takes::flag, "Take back at once what is over them, as far as models and empty blocks go"},
    {"dry-run", Takes::flag, "Change nothing, only tell what it would lead to"},
};

std::unexpected<Failure> usage(std::string text) { return std::unexpected(Failure(Exit::usage, std::move(text))); }

/// "75%" or "12.5%" as a number with at most two decimals; nothing where the text is no percentage.
std::optional<double> percentage_in(std::string_view text) {
    if (!text.ends_with('%')) return std::nullopt;
    text.remove_suffix(1);
    double value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failed != std::errc{} || end != text.data() + text.size() || value < 0 || value > 100) return std::nullopt;
    return value;
}

Told<void> add_max(const Given& given, json::object& request) {
    if (!given.has("max")) return {};
    const std::string text = given.text("max");
    if (const auto share = percentage_in(text)) {
        request["maxPercentage"] = *share;
        return {};
    }
    if (text.ends_with('%')) return usage("max: '" + text + "' is not a share from 0% to 100%.");
    TRY(request["maxBytes"], given.size("max"));
    return {};
}

/// The present table with the changes: the daemon takes the whole table.
Told<void> add_quotas(const Given& given, const json::value& present, json::object& request) {
    json::object table;
    for (const json::value& row : items_of(present, "ownerQuotas"))
        if (const json::object* quota = row.if_object()) table[text_at(*quota, "owner")] = number_at(*quota, "quotaBytes").value_or(0);
    const std::string text = given.text("quota");
    std::string_view rest = text;
    while (!rest.empty()) {
        const std::string_view one = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(one.size() + 1, rest.size()));
        const std::size_t sign = one.rfind('=');
        if (sign == std::string_view::npos || sign == 0) return usage("quota: '" + std::string(one) + "' is not OWNER=SIZE.");
        const std::string owner(one.substr(0, sign));
        const std::string_view amount = one.substr(sign + 1);
        if (amount == "none") {
            table.erase(owner);
            continue;
        }
        const auto bytes = parse_size(amount);
        if (!bytes) return usage("quota: " + describe(bytes.error()));
        table[owner] = *bytes;
    }
    request["ownerQuotas"] = std::move(table);
    return {};
}

Told<json::object> request_of(const Given& given) {
    json::object request;
    TRY_DO(add_max(given, request));
    if (given.has("reserve")) {
        TRY(request["reserveBytes"], given.size("reserve"));
    }
    if (given.has("emergency")) {
        const auto share = percentage_in(given.text("emergency"));
        if (!share) return usage("emergency: '" + given.text("emergency") + "' is not a share from 0.01% to 100%.");
        request["emergencyThresholdPercentage"] = *share;
    }
    if (given.has("enforce")) request["enforceImmediately"] = true;
    if (given.has("dry-run")) request["dryRun"] = true;
    return request;
}

/// The request's JSON. The library writes 75.0 as 7.5E1, which the API refuses: percentages are decimals, not powers.
std::string text_of(const json::object& request) {
    std::string text = "{";
    for (const auto& [name, value] : request) {
        char decimal[16];
        if (value.is_double()) std::snprintf(decimal, sizeof decimal, "%.2f", value.get_double());
        text += (text.size() > 1 ? "," : "") + json::serialize(json::string(name)) + ":" +
                (value.is_double() ? decimal : json::serialize(value));
    }
    return text + "}";
}

Told<void> run(Session& session, const Given& given) {
    const std::string target = "/api/memory/limits/" + http::percent_encoded(given.text("device"));
    const bool sets = given.text("action") == "set";
    for (const Argument& argument : arguments)
        if (!sets && argument.takes != Takes::required && given.has(argument.name))
            return usage(std::string(argument.name) + ": limits get takes no changes; say limits set.");
    if (sets && session.wishes().watch_seconds) return usage("limits set changes things: --watch does not apply.");
    if (!sets) {
        TRY(const http::ClientReply reply, session.ask({.target = target}));
        return show_record(session, reply.body, "deviceId");
    }
    TRY(json::object request, request_of(given));
    Call call{.method = "PUT", .target = target};
    if (given.has("quota")) {
        // Read, changed, and written only if nobody wrote in between.
        TRY(const http::ClientReply present, session.ask({.target = target}));
        TRY(const json::value document, parse_document(present.body));
        TRY_DO(add_quotas(given, document, request));
        if (const std::string* const tag = present.headers.find("ETag")) call.headers.emplace_back("If-Match", *tag);
    }
    call.body = text_of(request);
    TRY(const http::ClientReply reply, session.ask(std::move(call)));
    return show_record(session, reply.body, "deviceId");
}
}  // namespace verb_limits

constexpr Verb limits_verb = {"limits",
                              "How much of a device may be used, and by whom",
                              "GET /api/memory/limits/{device}, PUT /api/memory/limits/{device}",
                              verb_limits::arguments,
                              verb_limits::run,
                              Repeats::yes,
                              "vramctl limits set host0 --max 75% --quota http=2GiB --dry-run"};
}  // namespace vramd::cli
