#include "cli/failure.hpp"

#include "cli/document.hpp"
#include "cli/figures.hpp"

namespace vramd::cli {
Exit exit_of(Code code) {
    switch (code) {
        case Code::invalid_field:
        case Code::out_of_range:
            return Exit::usage;
        case Code::not_found:
            return Exit::not_found;
        case Code::insufficient_memory:
        case Code::limit_exceeded:
        case Code::quota_exceeded:
            return Exit::refused;
        case Code::timed_out:
            return Exit::timed_out;
        case Code::leased:
        case Code::pinned:
        case Code::name_in_use:
        case Code::conflict:
        case Code::precondition_failed:
            return Exit::conflict;
        default:
            return Exit::failed;
    }
}

Failure::Failure(const Error& error) : exit(exit_of(error.code)), what(describe(error)) {
    if (error.field == "connect") {
        exit = Exit::unreachable;
        remedy = "vramd serve, or name the daemon with --socket or --url";
    } else if (error.code == Code::timed_out) {
        remedy = "again, or vramctl doctor if it stays so";
    }
}

Failure failure_of_reply(u16 status, const std::string& body) {
    Failure failure;
    failure.body = body;
    const auto problem = parse_document(body);
    const json::object* const fields = problem ? problem->if_object() : nullptr;
    if (fields == nullptr) {
        failure.what = "The server answered with status " + std::to_string(status) + ", which is no answer that vramctl knows.";
        return failure;
    }
    failure.what = printable(text_at(*fields, "detail"));
    if (const auto code = code_named(text_at(*fields, "code"))) failure.exit = exit_of(*code);
    const auto figure = [&](std::string_view key, std::string_view said) {
        const auto bytes = number_at(*fields, key);
        if (!bytes) return;
        if (!failure.why.empty()) failure.why += ", ";
        failure.why += std::string(said) + " " + size_text(*bytes);
    };
    figure("requestedBytes", "asked");
    figure("availableBytes", "available");
    figure("largestFreeBytes", "largest hole");
    if (!failure.why.empty()) failure.why += ".";
    const json::value* const suggestions = fields->if_contains("suggestions");
    if (suggestions != nullptr && suggestions->is_array() && !suggestions->get_array().empty() && suggestions->get_array()[0].is_string())
        failure.remedy = printable(plain_text(&suggestions->get_array()[0]));
    else
        failure.remedy = text_at(*fields, "remedy");
    if (failure.what.empty()) failure.what = text_at(*fields, "title");
    return failure;
}

std::string lines_of(const Failure& failure) {
    std::string lines;
    if (!failure.what.empty()) lines += "vramctl: " + failure.what + "\n";
    if (!failure.why.empty()) lines += "  " + failure.why + "\n";
    if (!failure.remedy.empty()) lines += "  Try: " + failure.remedy + "\n";
    return lines;
}
}  // namespace vramd::cli
