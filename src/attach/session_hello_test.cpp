/// Hello with a session's key, on a core that took over from another.
#include "attach/conversation.hpp"

using namespace vramd;
using namespace vramd::attach;

namespace {
std::string with_key(const std::string& key) { return R"({"version":1,"resumeKey":)" + in_quotes(key) + "}"; }
std::string of(const std::string& id) { return R"({"allocationId":)" + in_quotes(id) + "}"; }

/// Cores that follow one another, each with a door of its own.
struct Successive {
    LaterWork later;  // Outlives the engine, which posts to it until its end.
    LoadingDaemon daemon{nullptr};
    std::unique_ptr<Door> door = std::make_unique<Door>(*daemon.core, later);
    u64 next = 1;

    std::unique_ptr<Conversation> talk(const char* owner = "me") {
        return std::make_unique<Conversation>(door->world, later, next++, Caller{owner, Role::user, {}});
    }
    /// The core dies with this connection open.
    void die(std::unique_ptr<Conversation>& connection) {
        daemon.core->abandon();
        connection.reset();
        door.reset();
        daemon.end();
        daemon.start();
        door = std::make_unique<Door>(*daemon.core, later);
    }
    [[nodiscard]] u64 attached(const std::string& id) {
        const auto told = daemon.core->allocation(engine::admin, *id_from<AllocationTag>(id));
        return told ? told->attached_clients : 0;
    }
    [[nodiscard]] bool is_there(const std::string& id) {
        return daemon.core->allocation(engine::admin, *id_from<AllocationTag>(id)).has_value();
    }
};
}  // namespace

TEST_CASE("a session goes on by its key after the core's death: the same name and key, and all that it held, by mode") {
    Successive cores;
    auto talk = cores.talk();
    const Heard hello = talk->hello();
    CHECK(hello.at("result/graceSeconds") == "10");
    CHECK(hello.at("result/held").empty());
    const std::string key = hello.at("result/resumeKey");
    const std::string own = talk->ask("allocate", R"({"sizeBytes":10000})").at("result/memory/allocationId");
    const std::string kept = talk->ask("allocate", R"({"sizeBytes":10000,"persistent":true})").at("result/memory/allocationId");
    CHECK(talk->ask("attach", R"({"mode":"read","allocationId":)" + in_quotes(kept) + "}").at("result/memory/mode") == "read");
    const std::string gone = talk->ask("allocate", R"({"sizeBytes":10000,"persistent":true})").at("result/memory/allocationId");
    CHECK(talk->ask("detach", of(gone)).at("result/allocationId") == gone);
    CHECK(talk->ask("detach", of(own)).at("result/allocationId") == own);
    for (int death = 0; death < 3; ++death) {
        cores.die(talk);
        CHECK(cores.attached(own) == 1);
        CHECK(cores.attached(kept) == 1);
        CHECK(cores.attached(gone) == 0);
        talk = cores.talk();
        const Heard again = talk->ask("hello", with_key(key));
        CHECK(again.at("result/session") == hello.at("result/session"));
        CHECK(again.at("result/resumeKey") == key);
        CHECK(again.at("result/graceSeconds") == "10");
        CHECK(again.at("result/held/0/mode") == "none");
        CHECK(again.at("result/held/0/allocationIds/0") == own);
        CHECK(again.at("result/held/1/mode") == "read");
        CHECK(again.at("result/held/1/allocationIds/0") == kept);
        CHECK(again.at("result/held/2").empty());
        CHECK(cores.attached(own) == 1);
    }
    CHECK(talk->ask("detach", of(own)).at("error/data/code") == "not-found");  // It was before the first death.
    CHECK(talk->ask("detach", of(kept)).at("result/allocationId") == kept);
    talk->session().end();
    CHECK(!cores.is_there(own));
    CHECK(cores.attached(kept) == 0);
    CHECK(cores.is_there(kept));
}

TEST_CASE("a session's key works for its owner alone and for one connection; each refusal says so and leaves hello to be said again") {
    Successive cores;
    auto talk = cores.talk();
    const std::string key = talk->hello().at("result/resumeKey");
    auto second = cores.talk();
    const Heard in_use = second->ask("hello", with_key(key));
    CHECK(in_use.at("error/data/code") == "conflict");
    CHECK(in_use.at("error/message").starts_with("The session has another connection"));
    second.reset();
    cores.die(talk);
    auto stranger = cores.talk("other");
    const Heard not_yours = stranger->ask("hello", with_key(key));
    CHECK(not_yours.at("error/data/code") == "not-found");
    CHECK(not_yours.at("error/data/field") == "/resumeKey");
    CHECK(stranger->hello().at("result/version") == "1");
    talk = cores.talk();
    CHECK(talk->ask("hello", with_key(key)).at("result/resumeKey") == key);
    second = cores.talk();
    CHECK(second->ask("hello", with_key(key)).at("error/data/code") == "conflict");
    CHECK(second->hello().at("result/resumeKey") != key);
}

TEST_CASE("a session whose client ended while its core lived is known to nobody, and holds nothing after the core's death either") {
    Successive cores;
    auto talk = cores.talk();
    const std::string key = talk->hello().at("result/resumeKey");
    const std::string own = talk->ask("allocate", R"({"sizeBytes":10000})").at("result/memory/allocationId");
    talk->session().end();
    CHECK(!cores.is_there(own));
    talk = cores.talk();
    CHECK(talk->ask("hello", with_key(key)).at("error/data/code") == "not-found");
    cores.die(talk);
    talk = cores.talk();
    CHECK(talk->ask("hello", with_key(key)).at("error/data/code") == "not-found");
    CHECK(cores.daemon.core->audit().ok);
}

TEST_CASE("a core that can record nothing gives a session that ends with it, and says that by a grace of 0") {
    Successive cores;
    auto talk = cores.talk();
    talk->hello();
    const std::string kept = talk->ask("allocate", R"({"sizeBytes":10000,"persistent":true})").at("result/memory/allocationId");
    cores.daemon.read_only = true;
    cores.die(talk);
    talk = cores.talk();
    const Heard hello = talk->hello();
    CHECK(hello.at("result/graceSeconds") == "0");
    CHECK(hello.at("result/session").starts_with("ses_"));
    CHECK(talk->ask("attach", R"({"mode":"read","allocationId":)" + in_quotes(kept) + "}").descriptors.size() == 1);
    CHECK(talk->ask("detach", of(kept)).at("result/allocationId") == kept);
    talk->session().end();
    CHECK(cores.attached(kept) == 1);  // The first session's hold is kept for its client, or for a core that may end it.
}

TEST_CASE("a free that was refused leaves the session's hold as it was, for the next core too") {
    Successive cores;
    auto talk = cores.talk();
    const std::string key = talk->hello().at("result/resumeKey");
    const std::string shared =
        talk->ask("allocate", R"({"sizeBytes":4096,"persistent":true,"shareable":true})").at("result/memory/allocationId");
    auto reader = cores.talk("other");
    reader->hello();
    CHECK(reader->ask("attach", R"({"mode":"read","allocationId":)" + in_quotes(shared) + "}").descriptors.size() == 1);
    CHECK(talk->ask("free", of(shared)).at("error/data/code") == "leased");
    CHECK(cores.attached(shared) == 2);
    reader->session().end();
    cores.die(talk);
    talk = cores.talk();
    CHECK(talk->ask("hello", with_key(key)).at("result/held/0/mode") == "write");
    CHECK(talk->ask("free", of(shared)).at("result/status") == "freed");
    talk->session().end();
    CHECK(cores.daemon.core->audit().ok);
}
