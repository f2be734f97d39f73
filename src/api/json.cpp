#include "api/json.hpp"

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>

#include "http/problem.hpp"

namespace vramd::api {
namespace {
namespace json = boost::json;

/// Records what Boost.JSON's parser sees. Each `on_` function answers false to stop, with `refusal` set.
class Recorder {
public:
    static constexpr std::size_t max_object_size = json_members_max;
    static constexpr std::size_t max_array_size = json_values_max;
    static constexpr std::size_t max_key_size = json_bytes_max;
    static constexpr std::size_t max_string_size = json_bytes_max;

    Node root;
    Error refusal;

    bool on_document_begin(json::error_code&) { return true; }
    bool on_document_end(json::error_code&) { return true; }
    bool on_object_begin(json::error_code& ec) { return open(Node::Kind::object, ec); }
    bool on_object_end(std::size_t, json::error_code&) { return close(); }
    bool on_array_begin(json::error_code& ec) { return open(Node::Kind::list, ec); }
    bool on_array_end(std::size_t, json::error_code&) { return close(); }
    bool on_key_part(json::string_view part, std::size_t, json::error_code&) { return gather(part); }
    bool on_key(json::string_view part, std::size_t, json::error_code& ec) {
        gather(part);
        std::vector<std::string>& names = open_.back()->names;
        if (std::ranges::find(names, gathered_) != names.end()) {
            const std::string pointer = pointer_to(path(), gathered_);
            return stop(Error{Code::invalid_field, pointer, 0, 0, pointer + " comes more than once."}, ec);
        }
        names.push_back(std::exchange(gathered_, {}));
        return true;
    }
    bool on_string_part(json::string_view part, std::size_t, json::error_code&) { return gather(part); }
    bool on_string(json::string_view part, std::size_t, json::error_code& ec) { return gather(part) && scalar(Node::Kind::text, ec); }
    bool on_number_part(json::string_view part, json::error_code&) { return gather(part); }
    bool on_int64(i64, json::string_view part, json::error_code& ec) { return gather(part) && scalar(Node::Kind::number, ec); }
    bool on_uint64(u64, json::string_view part, json::error_code& ec) { return gather(part) && scalar(Node::Kind::number, ec); }
    bool on_double(double, json::string_view part, json::error_code& ec) { return gather(part) && scalar(Node::Kind::number, ec); }
    bool on_bool(bool truth, json::error_code& ec) {
        Node* node = add(Node::Kind::boolean, ec);
        if (node != nullptr) node->truth = truth;
        return node != nullptr;
    }
    bool on_null(json::error_code& ec) { return add(Node::Kind::null, ec) != nullptr; }
    bool on_comment_part(json::string_view, json::error_code&) { return true; }
    bool on_comment(json::string_view, json::error_code&) { return true; }

private:
    bool stop(Error error, json::error_code& ec) {
        refusal = std::move(error);
        ec = json::error::syntax;
        return false;
    }
    bool gather(json::string_view part) {
        gathered_.append(part.data(), part.size());
        return true;
    }
    Node* add(Node::Kind kind, json::error_code& ec) {
        if (++values_ > json_values_max) {
            stop(Error{Code::too_large, "body", values_, json_values_max, "The body holds more than 65536 JSON values."}, ec);
            return nullptr;
        }
        Node* node = open_.empty() ? &root : &open_.back()->items.emplace_back();
        node->kind = kind;
        return node;
    }
    bool scalar(Node::Kind kind, json::error_code& ec) {
        Node* node = add(kind, ec);
        if (node != nullptr) node->text = std::exchange(gathered_, {});
        return node != nullptr;
    }
    bool open(Node::Kind kind, json::error_code& ec) {
        Node* node = add(kind, ec);
        if (node != nullptr) open_.push_back(node);  // Stays valid: its parent grows only after it is closed.
        return node != nullptr;
    }
    bool close() {
        open_.pop_back();
        return true;
    }
    /// The pointer of the innermost open container.
    [[nodiscard]] std::string path() const {
        std::string path;
        for (std::size_t i = 0; i + 1 < open_.size(); ++i) {
            const Node& node = *open_[i];
            path = pointer_to(path, node.kind == Node::Kind::object ? node.names.back() : std::to_string(node.items.size() - 1));
        }
        return path;
    }

    std::vector<Node*> open_;
    std::string gathered_;
    u64 values_ = 0;
};

std::string cut(std::string_view text) {
    constexpr std::size_t shown_max = 60;
    if (text.size() <= shown_max) return std::string(text);
    std::size_t end = shown_max;
    while (end > 0 && (static_cast<u8>(text[end]) & 0xc0) == 0x80) --end;  // Not within a character.
    return std::string(text.substr(0, end)) + "…";
}
}  // namespace

const Node* Node::member(std::string_view name) const {
    for (std::size_t i = 0; i < names.size(); ++i)
        if (names[i] == name) return &items[i];
    return nullptr;
}

Result<Node> read_json(std::string_view text) {
    if (text.size() > json_bytes_max)
        return std::unexpected(Error{Code::too_large, "body", text.size(), json_bytes_max, "A JSON body may have at most 1048576 bytes."});
    json::parse_options options;
    options.max_depth = json_levels_max;
    json::basic_parser<Recorder> parser(options);
    json::error_code ec;
    const std::size_t read = parser.write_some(false, text.data(), text.size(), ec);
    if (parser.handler().refusal.code != Code{} || !parser.handler().refusal.detail.empty())
        return std::unexpected(std::move(parser.handler().refusal));
    if (ec || read < text.size()) {
        const std::string reason = ec ? ec.message() : "there is more after its end";
        return refuse(Code::malformed_request, "body", "The body is not valid JSON: at byte " + std::to_string(read) + ", " + reason + ".");
    }
    return std::move(parser.handler().root);
}

std::string quoted_text(std::string_view text) { return http::json_quoted(cut(text)); }

std::string told(const Node& node) {
    switch (node.kind) {
        case Node::Kind::null:
            return "null";
        case Node::Kind::boolean:
            return node.truth ? "true" : "false";
        case Node::Kind::number:
            return cut(node.text);
        case Node::Kind::text:
            return quoted_text(node.text);
        case Node::Kind::list:
            return "a list";
        case Node::Kind::object:
            return "an object";
    }
    return {};
}

std::string pointer_to(std::string_view parent, std::string_view name) {
    std::string pointer(parent);
    pointer += '/';
    for (const char c : name) {
        if (c == '~')
            pointer += "~0";
        else if (c == '/')
            pointer += "~1";
        else
            pointer += c;
    }
    return pointer;
}

}  // namespace vramd::api
