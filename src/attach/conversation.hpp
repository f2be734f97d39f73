/// For this room's tests: a session on a real engine, its answers as values, and what the engine answers later run when the test says so.
#pragma once
#include <condition_variable>
#include <deque>

#include "attach/session.hpp"
#include "engine/test_daemon.hpp"

namespace vramd::attach {
/// An answer, parsed, with its descriptors.
struct Heard {
    std::string text;
    api::Node node;
    std::vector<Fd> descriptors;

    /// The text or number at a path of member names and list positions: "error/data/code". Empty where there is none.
    [[nodiscard]] std::string at(std::string_view path) const {
        const api::Node* node_at = &node;
        while (node_at != nullptr && !path.empty()) {
            const std::size_t end = std::min(path.find('/'), path.size());
            const std::string name(path.substr(0, end));
            path.remove_prefix(std::min(end + 1, path.size()));
            if (node_at->kind == api::Node::Kind::list) {
                const std::size_t i = static_cast<std::size_t>(name[0] - '0');
                node_at = i < node_at->items.size() ? &node_at->items[i] : nullptr;
            } else {
                node_at = node_at->member(name);
            }
        }
        if (node_at == nullptr) return {};
        if (node_at->kind == api::Node::Kind::boolean) return node_at->truth ? "true" : "false";
        return node_at->kind == api::Node::Kind::null ? "null" : node_at->text;
    }
};

/// Sessions' work, kept until a test runs it.
struct LaterWork {
    Mutex lock;
    std::condition_variable_any came;
    std::deque<std::pair<u64, Later>> work;

    void post(u64 session, Later later) {
        const Lock held(lock);
        work.emplace_back(session, std::move(later));
        came.notify_all();
    }
    std::pair<u64, Later> take() {
        std::unique_lock held(lock);
        if (!came.wait_for(held, std::chrono::seconds(20), [this] { return !work.empty(); })) std::abort();
        auto first = std::move(work.front());
        work.pop_front();
        return first;
    }
};

class Conversation {
public:
    Conversation(World& world, LaterWork& later, u64 number, Caller caller)
        : later_(later), session_(std::in_place, world, number, std::move(caller), [this](Outgoing packet) {
              auto node = api::read_json(packet.text);
              REQUIRE_MESSAGE(node.has_value(), packet.text);
              CHECK(packet.text.size() <= packet_bytes_max);
              heard_.push_back({std::move(packet.text), *std::move(node), std::move(packet.descriptors)});
          }) {}

    /// Sends a call and answers what was answered at once or, after the work that it left, later. Progress is passed over.
    Heard ask(std::string_view method, std::string_view params) {
        return say(std::string(R"({"jsonrpc":"2.0","id":1,"method":")").append(method).append(R"(","params":)").append(params).append("}"));
    }
    Heard say(std::string_view packet) {
        session_->receive(packet);
        return hear();
    }
    Heard hear() {
        for (;;) {
            while (!heard_.empty()) {
                Heard first = std::move(heard_.front());
                heard_.pop_front();
                if (first.at("method").empty()) return first;
                notices.push_back(std::move(first));
            }
            auto [number, work] = later_.take();
            work(&*session_);
        }
    }
    Heard hello() { return ask("hello", R"({"version":1,"client":"test"})"); }
    [[nodiscard]] bool has_heard() const { return !heard_.empty(); }
    Session& session() { return *session_; }
    std::vector<Heard> notices;

private:
    LaterWork& later_;
    std::deque<Heard> heard_;
    std::optional<Session> session_;
};

/// A daemon's insides whose loads are these.
struct LoadingDaemon : engine::Daemon {
    explicit LoadingDaemon(std::shared_ptr<engine::Loading> loads) {
        if (!loads) return;
        end();
        loading = std::move(loads);
        start();
    }
};

inline std::string in_quotes(const std::string& text) { return '"' + text + '"'; }

/// The attach protocol's world around a core; gone before that is.
struct Door {
    Door(engine::Engine& core, LaterWork& later)
        : streams(core.events()),
          world{core, [&later](u64 session, Later work) { later.post(session, std::move(work)); }, streams, *pipes} {}
    api::EventStreams streams;
    std::unique_ptr<EventPipes> pipes = EventPipes::open().value();
    World world;
};

/// A daemon's insides with the attach protocol's world around.
struct Bed {
    explicit Bed(std::shared_ptr<engine::Loading> loads = nullptr) : daemon(std::move(loads)) {}
    LaterWork later;  // Outlives the engine, which posts to it until its end.
    LoadingDaemon daemon;
    Door door{*daemon.core, later};
    World& world = door.world;
    u64 next = 1;
    Conversation talk(const char* owner = "me", Role role = Role::user) { return Conversation(world, later, next++, Caller{owner, role}); }
    /// Nothing is handed out, nothing held.
    void check_empty() {
        CHECK(daemon.core->allocations(engine::admin, {}).items.empty());
        CHECK(daemon.core->devices()[0].books.live_bytes == 0);
        CHECK(daemon.core->audit().ok);
    }
};
}  // namespace vramd::attach
