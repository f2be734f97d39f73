#include "api/problem.hpp"

#include "api/codec.hpp"

namespace vramd::api {
namespace {
/// A sentence for a person. What is wrong with a model file is told by its reader as a rule's half ("it ends beyond the file") at a place
/// ("tensor w"): together they are a sentence.
std::string detail_of(const Error& error) {
    std::string detail = vramd::describe(error);
    const bool has_place = !error.field.empty() && error.field.front() != '/';
    const bool is_half = !detail.empty() && !(detail.front() >= 'A' && detail.front() <= 'Z') && !detail.starts_with(error.field);
    if (error.code == Code::invalid_model && has_place && is_half) detail = error.field + ": " + detail;
    if (error.code == Code::invalid_model && !detail.empty() && detail.back() != '.') detail += '.';
    return detail;
}
}  // namespace

Problem problem_of(const Error& error, std::string_view instance) {
    const CodeFacts& facts = facts_of(error.code);
    Problem problem;
    problem.type = "/problems/" + std::string(facts.name);
    problem.title = facts.title;
    problem.status = facts.status;
    problem.detail = detail_of(error);
    if (!instance.empty()) problem.instance = instance;
    problem.code = facts.name;
    if (!error.field.empty()) problem.field = error.field;
    const bool of_amounts =
        error.code == Code::insufficient_memory || error.code == Code::quota_exceeded || error.code == Code::limit_exceeded;
    if (!error.field.empty() && (error.limit != 0 || (of_amounts && error.value != 0))) {  // Nothing may be all that there is.
        problem.value = error.value;
        problem.limit = error.limit;
    }
    problem.remedy = remedy_of(error);
    return problem;
}

namespace {
http::Reply reply_of(const Problem& problem, const CodeFacts& facts) {
    http::Reply reply;
    reply.status = facts.status;
    reply.content_type = "application/problem+json";
    reply.body = write(problem) + "\n";
    if (facts.retry_after_seconds != 0) reply.headers.emplace_back("Retry-After", std::to_string(facts.retry_after_seconds));
    return reply;
}

std::string page(std::string_view title, const std::string& body) {
    return "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + std::string(title) +
           "</title><style>body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}"
           "</style></head><body><h1>" +
           std::string(title) + "</h1>" + body + "</body></html>\n";
}
}  // namespace

http::Reply problem_reply(const Error& error, std::string_view instance) {
    return reply_of(problem_of(error, instance), facts_of(error.code));
}

http::Reply problem_reply(const Error& error, std::string_view instance, const engine::Shortfall& shortfall) {
    Problem problem = problem_of(error, instance);
    problem.requested_bytes = shortfall.requested_bytes;
    problem.available_bytes = shortfall.available_bytes;
    problem.largest_free_bytes = shortfall.largest_free_bytes;
    problem.suggestions = shortfall.suggestions;
    return reply_of(problem, facts_of(error.code));
}

std::string problems_page() {
    std::string list = "<p>Every way in which vramd refuses or fails.</p><ul>";
    for (const CodeFacts& facts : code_table) {
        const std::string name(facts.name);
        list += "<li><a href=\"/problems/" + name + "\"><code>" + name + "</code></a> (" + std::to_string(facts.status) +
                "): " + std::string(facts.title) + ".</li>";
    }
    return page("Problems", list + "</ul>");
}

Result<std::string> problem_page(std::string_view code) {
    const auto known = code_named(code);
    if (!known) return refuse(Code::not_found, "code", "There is no kind of problem of this name; /problems lists all.");
    const CodeFacts& facts = facts_of(*known);
    std::string body = "<p><code>" + std::string(facts.name) + "</code>, HTTP status " + std::to_string(facts.status) +
                       ".</p><h2>What to do</h2><p>" + std::string(facts.remedy) + "</p>";
    if (facts.retry_after_seconds != 0)
        body += "<p>The same request may succeed later: the answer's <code>Retry-After</code> says " +
                std::to_string(facts.retry_after_seconds) + " s.</p>";
    return page(facts.title, body + "<p><a href=\"/problems\">All problems</a></p>");
}
}  // namespace vramd::api
