/// Sessions on a real engine, without a socket.
#include "attach/session.hpp"

#include <fcntl.h>
#include <sys/mman.h>

#include "attach/conversation.hpp"

using namespace vramd;
using namespace vramd::attach;

namespace {
std::string allocation_of(const Heard& heard) { return heard.at("result/memory/allocationId"); }

u64 attached(Bed& bed, const std::string& id) {
    const auto told = bed.daemon.core->allocation(engine::admin, *id_from<AllocationTag>(id));
    return told ? told->attached_clients : 0;
}

/// Models' loads that end at once, of so many tensors.
std::shared_ptr<engine::ScriptedLoading> model_of(u64 tensors) {
    auto loading = std::make_shared<engine::ScriptedLoading>();
    Inspection inspection{ModelFormat::gguf, {1, 2, tensors, 3, 4}, tensors, tensors, {}};
    for (u64 i = 0; i < tensors; ++i) inspection.tensors.push_back({"tensor." + std::to_string(i), "u8", {1}, i, 1});
    loading->inspection = std::move(inspection);
    return loading;
}
}  // namespace

TEST_CASE("a connection begins with hello, which tells who the client is and what there is; a second one is refused") {
    Bed bed;
    auto talk = bed.talk();
    const Heard early = talk.ask("list", "{}");
    CHECK(early.at("error/code") == "-32000");
    CHECK(early.at("error/data/code") == "conflict");
    CHECK(early.at("error/message") == "The first call of a connection is hello.");
    const Heard hello = talk.hello();
    CHECK(hello.at("result/version") == "1");
    CHECK(hello.at("result/session").starts_with("ses_"));
    CHECK(hello.at("result/resumeKey").size() == 32);
    CHECK(hello.at("result/owner") == "me");
    CHECK(hello.at("result/role") == "user");
    CHECK(hello.at("result/devices/0/deviceId") == "a");
    CHECK(talk.hello().at("error/data/code") == "conflict");
}

TEST_CASE("hello with another version, or with the key of a session that ended, says so in words and can be tried again") {
    Bed bed;
    auto talk = bed.talk();
    CHECK(talk.ask("hello", R"({"version":2})").at("error/data/code") == "unsupported");
    const Heard unknown = talk.ask("hello", R"({"version":1,"resumeKey":"00112233445566778899aabbccddeeff"})");
    CHECK(unknown.at("error/data/code") == "not-found");
    CHECK(unknown.at("error/message").starts_with("The session is not known"));
    CHECK(talk.hello().at("result/version") == "1");
}

TEST_CASE("what is no call is answered with JSON-RPC's number, under its id where that can be read") {
    Bed bed;
    auto talk = bed.talk();
    struct Row {
        const char* packet;
        const char* number;
        const char* id;
    };
    const Row rows[] = {
        {"{", "-32700", "null"},
        {"\xff\xfe", "-32700", "null"},
        {R"({"jsonrpc":"2.0","id":1,"method":"hello"} x)", "-32700", "null"},
        {"[]", "-32600", "null"},
        {"7", "-32600", "null"},
        {R"({"jsonrpc":"2.0","method":"hello"})", "-32600", "null"},
        {R"({"jsonrpc":"2.0","id":null,"method":"hello"})", "-32600", "null"},
        {R"({"jsonrpc":"2.0","id":-1,"method":"hello"})", "-32600", "null"},
        {R"({"jsonrpc":"2.0","id":1.5,"method":"hello"})", "-32600", "null"},
        {R"({"jsonrpc":"2.0","id":1,"id":2,"method":"hello"})", "-32600", "null"},
        {R"({"jsonrpc":"1.0","id":3,"method":"hello"})", "-32600", "3"},
        {R"({"id":"a\"b","method":"hello"})", "-32600", "a\"b"},
        {R"({"jsonrpc":"2.0","id":3,"method":5})", "-32600", "3"},
        {R"({"jsonrpc":"2.0","id":3,"method":"hello","extra":1})", "-32600", "3"},
        {R"({"jsonrpc":"2.0","id":3,"result":{}})", "-32600", "3"},
        {R"({"jsonrpc":"2.0","id":3,"method":"nothing"})", "-32601", "3"},
        {R"({"jsonrpc":"2.0","id":3,"method":"hello","params":[1]})", "-32602", "3"},
        {R"({"jsonrpc":"2.0","id":3,"method":"hello","params":{}})", "-32602", "3"},
        {R"({"jsonrpc":"2.0","id":3,"method":"hello","params":{"version":"1"}})", "-32602", "3"},
        {R"({"jsonrpc":"2.0","id":3,"method":"hello","params":{"version":1,"what":1}})", "-32602", "3"},
    };
    for (const Row& row : rows) {
        const Heard heard = talk.say(row.packet);
        CHECK_MESSAGE(heard.at("error/code") == row.number, row.packet);
        CHECK_MESSAGE(heard.at("id") == row.id, row.packet);
        CHECK(!heard.at("error/message").empty());
        CHECK(!heard.at("error/data/code").empty());
    }
    const std::string long_name(60'000, 'x');
    CHECK(talk.say(R"({"jsonrpc":"2.0","id":1,"method":"hello","params":{")" + long_name + R"(":1}})").at("error/code") == "-32602");
    CHECK(talk.hello().at("result/version") == "1");
}

TEST_CASE("memory that is allocated comes with its descriptor, reads as zero, and ends with the connection") {
    Bed bed;
    {
        auto talk = bed.talk();
        talk.hello();
        const Heard made = talk.ask("allocate", R"({"sizeBytes":10000,"purpose":"test"})");
        REQUIRE(made.descriptors.size() == 1);
        CHECK(made.at("result/allocation/persistent") == "false");
        CHECK(made.at("result/allocation/attachedClients") == "1");
        CHECK(made.at("result/memory/mode") == "write");
        CHECK(made.at("result/memory/sizeBytes") == "10000");
        auto* const bytes = static_cast<char*>(mmap(nullptr, 10'000, PROT_READ | PROT_WRITE, MAP_SHARED, made.descriptors[0].get(), 0));
        REQUIRE(bytes != MAP_FAILED);
        CHECK(std::all_of(bytes, bytes + 10'000, [](char c) { return c == 0; }));
        bytes[9'999] = 'x';
        munmap(bytes, 10'000);
        talk.session().end();
    }
    bed.check_empty();
}

TEST_CASE("memory that is persistent stays when the connection ends, and is given to the next one") {
    Bed bed;
    std::string id;
    {
        auto talk = bed.talk();
        talk.hello();
        id = allocation_of(talk.ask("allocate", R"({"sizeBytes":10000,"persistent":true})"));
        CHECK(attached(bed, id) == 1);
        talk.session().end();
    }
    CHECK(attached(bed, id) == 0);
    auto talk = bed.talk();
    talk.hello();
    const Heard again = talk.ask("attach", R"({"mode":"write","allocationId":)" + in_quotes(id) + "}");
    CHECK(again.descriptors.size() == 1);
    CHECK(again.at("result/allocation/attachedClients") == "1");
    CHECK(talk.ask("attach", R"({"mode":"read","allocationId":)" + in_quotes(id) + "}").at("result/memory/mode") == "read");
    CHECK(attached(bed, id) == 1);  // The same client.
    CHECK(talk.ask("detach", R"({"allocationId":)" + in_quotes(id) + "}").at("result/allocationId") == id);
    CHECK(talk.ask("detach", R"({"allocationId":)" + in_quotes(id) + "}").at("error/data/code") == "not-found");
    CHECK(talk.ask("free", R"({"allocationId":)" + in_quotes(id) + "}").at("result/status") == "freed");
    talk.session().end();
    bed.check_empty();
}

TEST_CASE("a client that ends before it could be told of its allocation leaves nothing behind, persistent or not") {
    Bed bed;
    for (const char* const persistent : {"true", "false"}) {
        auto talk = bed.talk();
        talk.hello();
        talk.session().receive(R"({"jsonrpc":"2.0","id":1,"method":"allocate","params":{"sizeBytes":10000,"persistent":)" +
                               std::string(persistent) + "}}");
        CHECK(!talk.has_heard());
        talk.session().end();
        bed.later.take().second(nullptr);
    }
    bed.check_empty();
}

TEST_CASE("what is freed while another client has it attached is refused, stays held, and can be freed after that") {
    Bed bed;
    auto one = bed.talk();
    auto other = bed.talk("other");
    one.hello();
    other.hello();
    const std::string id = allocation_of(one.ask("allocate", R"({"sizeBytes":10000,"shareable":true})"));
    const Heard shared = other.ask("attach", R"({"allocationId":)" + in_quotes(id) + "}");
    REQUIRE(shared.descriptors.size() == 1);
    CHECK((fcntl(shared.descriptors[0].get(), F_GETFL) & O_ACCMODE) == O_RDONLY);
    CHECK((fcntl(shared.descriptors[0].get(), F_GET_SEALS) & F_SEAL_FUTURE_WRITE) != 0);
    CHECK(shared.at("result/allocation") == "null");  // Another's record.
    CHECK(attached(bed, id) == 2);
    CHECK(one.ask("free", R"({"allocationId":)" + in_quotes(id) + "}").at("error/data/code") == "leased");
    CHECK(attached(bed, id) == 2);
    CHECK(other.ask("free", R"({"allocationId":)" + in_quotes(id) + "}").at("error/data/code") == "not-found");
    CHECK(attached(bed, id) == 2);
    other.session().end();
    CHECK(one.ask("free", R"({"allocationId":)" + in_quotes(id) + "}").at("result/status") == "freed");
    bed.check_empty();
}

TEST_CASE("what is freed by force is there for the others who have it attached, and free when the last of them lets go") {
    for (const bool detaches : {true, false}) {
        CAPTURE(detaches);
        Bed bed;
        auto one = bed.talk();
        auto other = bed.talk("other");
        one.hello();
        other.hello();
        const std::string id = allocation_of(one.ask("allocate", R"({"sizeBytes":10000,"shareable":true})"));
        (void)other.ask("attach", R"({"allocationId":)" + in_quotes(id) + "}");
        CHECK(one.ask("free", R"({"force":true,"allocationId":)" + in_quotes(id) + "}").at("result/status") == "zombie");
        CHECK(attached(bed, id) == 1);
        CHECK(one.ask("free", R"({"force":true,"allocationId":)" + in_quotes(id) + "}").at("result/status") == "zombie");  // As before.
        CHECK(one.ask("free", R"({"allocationId":)" + in_quotes(id) + "}").at("error/data/code") == "leased");
        const Heard anew = one.ask("attach", R"({"allocationId":)" + in_quotes(id) + "}");
        CHECK(anew.at("error/data/code") == "conflict");
        CHECK(anew.at("error/message").find("was freed") != std::string::npos);
        if (detaches)
            CHECK(other.ask("detach", R"({"allocationId":)" + in_quotes(id) + "}").at("result/allocationId") == id);
        else
            other.session().end();
        CHECK(one.ask("free", R"({"allocationId":)" + in_quotes(id) + "}").at("error/data/code") == "not-found");
        bed.check_empty();
    }
}

TEST_CASE("who ends while it waits for room waits no longer: nothing goes for it when there could be room") {
    Bed bed;
    auto holder = bed.talk();
    auto waiter = bed.talk();
    holder.hello();
    waiter.hello();
    const u64 most = bed.daemon.core->devices()[0].books.total_bytes;
    const std::string sizes = std::to_string(most / 4 * 3);
    const std::string id = allocation_of(holder.ask("allocate", R"({"sizeBytes":)" + sizes + "}"));
    waiter.session().receive(R"({"jsonrpc":"2.0","id":1,"method":"allocate","params":{"timeoutSeconds":60,"sizeBytes":)" + sizes + "}}");
    CHECK(bed.daemon.core->work().waiting_allocations == 1);
    waiter.session().end();
    CHECK(bed.daemon.core->work().waiting_allocations == 0);
    bed.later.take().second(nullptr);  // Its answer, to nobody.
    CHECK(holder.ask("free", R"({"allocationId":)" + in_quotes(id) + "}").at("result/status") == "freed");
    CHECK(bed.daemon.core->allocations(engine::admin, {}).items.empty());
    bed.check_empty();
}

TEST_CASE("a session that lets go of a zombie of its own has done with it, and need not end for it to go") {
    Bed bed;
    auto one = bed.talk();
    one.hello();
    const std::string id = allocation_of(one.ask("allocate", R"({"sizeBytes":10000})"));
    CHECK(bed.daemon.free("me", *id_from<AllocationTag>(id), true)->status == AllocationStatus::zombie);
    CHECK(one.ask("detach", R"({"allocationId":)" + in_quotes(id) + "}").at("result/allocationId") == id);
    bed.check_empty();
}

TEST_CASE("a zombie that a session has no mapping of can be let go of without its client, one that it has mapped cannot") {
    Bed bed;
    auto one = bed.talk();
    auto other = bed.talk();
    one.hello();
    other.hello();
    const std::string mapped = allocation_of(one.ask("allocate", R"({"sizeBytes":10000})"));
    const std::string detached = allocation_of(one.ask("allocate", R"({"sizeBytes":10000})"));
    const std::string small = one.ask("allocate", R"({"sizeBytes":100,"allocationType":"default"})").at("result/allocation/id");
    (void)one.ask("detach", R"({"allocationId":)" + in_quotes(detached) + "}");
    CHECK(bed.daemon.core->zombies().empty());
    for (const std::string& id : {mapped, detached, small})
        CHECK(bed.daemon.free("me", *id_from<AllocationTag>(id), true)->status == AllocationStatus::zombie);
    const std::vector<engine::ZombieTold> zombies = bed.daemon.core->zombies();
    REQUIRE(zombies.size() == 3);
    CHECK(zombies[0] == engine::ZombieTold{*id_from<AllocationTag>(mapped), 12288});
    CHECK(one.session().held_of(zombies) == zombies);
    CHECK(other.session().held_of(zombies).empty());
    CHECK_FALSE(other.session().let_go_unmapped(zombies[0].id));
    CHECK_FALSE(one.session().let_go_unmapped(zombies[0].id));
    CHECK(one.session().let_go_unmapped(zombies[1].id));
    CHECK(one.session().let_go_unmapped(zombies[2].id));
    CHECK(bed.daemon.core->zombies() == std::vector{zombies[0]});
    one.session().end();
    CHECK(bed.daemon.core->zombies().empty());
    bed.check_empty();
}

TEST_CASE("memory that shares its block comes without a descriptor, and asking for one says what to allocate instead") {
    Bed bed;
    auto talk = bed.talk();
    talk.hello();
    const Heard made = talk.ask("allocate", R"({"sizeBytes":100,"allocationType":"default"})");
    CHECK(made.at("result/memory") == "null");
    CHECK(made.descriptors.empty());
    const std::string id = made.at("result/allocation/id");
    const Heard refused = talk.ask("attach", R"({"allocationId":)" + in_quotes(id) + "}");
    CHECK(refused.at("error/data/code") == "unsupported");
    CHECK(refused.at("error/message").find("\"mapped\"") != std::string::npos);
    talk.session().end();
    bed.check_empty();
}

TEST_CASE("a model that is not there is loaded, with progress, and comes with its tensors; the next client has it at once") {
    Bed bed(model_of(3));
    auto talk = bed.talk();
    talk.hello();
    const Heard first = talk.ask("attach", R"({"model":"m","path":"m.gguf"})");
    REQUIRE(first.descriptors.size() == 1);
    REQUIRE(talk.notices.size() >= 1);
    CHECK(talk.notices[0].at("params/call") == "1");
    CHECK(talk.notices[0].at("params/operationId").starts_with("op_"));
    CHECK(first.at("result/model/name") == "m");
    CHECK(first.at("result/model/attachedClients") == "1");
    CHECK(first.at("result/tensors/2/name") == "tensor.2");
    CHECK(first.at("result/tensors/2/offsetBytes") == "2");
    CHECK(first.at("result/memory/sizeBytes") == "3");
    auto other = bed.talk("other");
    other.hello();
    const Heard second = other.ask("attach", R"({"model":"m","mode":"private","tensors":["tensor.1"]})");
    CHECK(second.at("result/tensors/0/name") == "tensor.1");
    CHECK(second.at("result/tensors/1").empty());
    CHECK(second.at("result/memory/allocationId") == first.at("result/memory/allocationId"));
    CHECK(second.at("result/model/attachedClients") == "2");
    CHECK(other.ask("attach", R"({"model":"m","tensors":["none"]})").at("error/data/code") == "not-found");
    CHECK(other.ask("attach", R"({"model":"m","mode":"write"})").at("error/data/code") == "conflict");
    CHECK(other.ask("attach", R"({"model":"m","allocationId":"alc_x"})").at("error/code") == "-32602");
    auto third = bed.talk("third");
    third.hello();
    CHECK(third.ask("attach", R"({"model":"m","tensors":["none"]})").at("error/data/code") == "not-found");
    CHECK(bed.daemon.core->model("m")->attached_clients == 2);  // What was refused after it was held is held no more.
    talk.session().end();
    other.session().end();
    CHECK(bed.daemon.core->model("m")->attached_clients == 0);
}

TEST_CASE("a list of tensors that is too long for a packet comes in memory that nobody can change") {
    Bed bed(model_of(2000));
    auto talk = bed.talk();
    talk.hello();
    const Heard heard = talk.ask("attach", R"({"model":"m.gguf"})");
    REQUIRE(heard.descriptors.size() == 2);
    CHECK(heard.at("result/tensors").empty());
    CHECK(heard.at("result/tensorTable/descriptor") == "1");
    const int table = heard.descriptors[1].get();
    CHECK((fcntl(table, F_GET_SEALS) & F_SEAL_WRITE) != 0);
    std::string text(std::stoul(heard.at("result/tensorTable/sizeBytes")), ' ');
    REQUIRE(pread(table, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    const auto node = api::read_json(text);
    REQUIRE(node.has_value());
    CHECK(node->items.size() == 2000);
    CHECK(node->items[1999].member("name")->text == "tensor.1999");
    talk.session().end();
}

TEST_CASE("a load that fails answers the attach with its reason") {
    auto loading = model_of(3);
    loading->inspection = vramd::refuse(Code::invalid_model, "header", "it ends beyond the file");
    Bed bed(loading);
    auto talk = bed.talk();
    talk.hello();
    CHECK(talk.ask("attach", R"({"model":"m","path":"m.gguf"})").at("error/data/code") == "invalid-model");
    CHECK(!talk.session().wants_ticks());
    talk.session().end();
}

TEST_CASE("a list fits its packets, and its pages together hold everything once") {
    Bed bed;
    auto talk = bed.talk();
    talk.hello();
    for (int i = 0; i < 150; ++i)
        REQUIRE(talk.ask("allocate",
                         R"({"sizeBytes":1,"allocationType":"default","persistent":true,"purpose":")" + std::string(100, 'p') + "\"}")
                    .at("error/code")
                    .empty());
    std::set<std::string> seen;
    std::string cursor;
    int pages = 0;
    do {
        const Heard page = talk.ask("list", R"({"limit":1000)" + (cursor.empty() ? "" : ",\"cursor\":" + in_quotes(cursor)) + "}");
        REQUIRE(page.at("error/code").empty());
        for (const api::Node& item : page.node.member("result")->member("items")->items) CHECK(seen.insert(item.member("id")->text).second);
        cursor = page.at("result/nextCursor");
        ++pages;
    } while (cursor != "null");
    CHECK(seen.size() == 150);
    CHECK(pages > 1);
    CHECK(talk.ask("list", R"({"kind":"models"})").at("result/nextCursor") == "null");
    CHECK(talk.ask("list", R"({"cursor":"x"})").at("error/data/field") == "/cursor");
    talk.session().end();
}

TEST_CASE("a connection that holds or waits for too much is refused more, and others are not") {
    Bed bed;
    bed.world.quotas.held_max = 2;
    bed.world.quotas.in_flight_max = 2;
    auto talk = bed.talk();
    talk.hello();
    for (int i = 0; i < 2; ++i) CHECK(talk.ask("allocate", R"({"sizeBytes":1})").at("error/code").empty());
    CHECK(talk.ask("allocate", R"({"sizeBytes":1})").at("error/data/code") == "limit-exceeded");
    auto other = bed.talk();
    other.hello();
    for (int i = 0; i < 2; ++i)
        other.session().receive(R"({"jsonrpc":"2.0","id":1,"method":"allocate","params":{"sizeBytes":67000000,"timeoutSeconds":600}})");
    CHECK(other.ask("allocate", R"({"sizeBytes":1})").at("error/data/code") == "busy");
    talk.session().end();
    other.session().end();
}
