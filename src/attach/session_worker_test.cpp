/// The analysis' worker on a real engine: its seven operations and its fields.
#include "attach/conversation.hpp"

using namespace vramd;
using namespace vramd::attach;

namespace {
Heard worker(Conversation& talk, const std::string& operation, const std::string& params = "{}") {
    return talk.ask("worker." + operation, params);
}
/// A model of 5000 bytes, which takes 8192.
std::shared_ptr<engine::ScriptedLoading> any_model() { return std::make_shared<engine::ScriptedLoading>(); }
}  // namespace

TEST_CASE("a worker is initialized, loads, tells, unloads and cleans up, with the analysis' fields") {
    Bed bed(any_model());
    auto talk = bed.talk("me", Role::admin);
    talk.hello();
    CHECK(worker(talk, "get_status").at("error/data/code") == "conflict");
    const Heard begun = worker(talk, "initialize");
    CHECK(begun.at("result/device_id") == "a");
    CHECK(begun.at("result/memory_limit_mb") == "64.00");
    CHECK(begun.at("result/memory_usage_mb") == "0.00");
    CHECK(begun.at("result/available_memory_mb") == "64.00");
    CHECK(begun.at("result/model_count") == "0");
    const Heard loaded = worker(talk, "load_model", R"({"name":"m","path":"m.gguf","type":"unet","estimated_size_mb":1})");
    CHECK(loaded.at("result/model_count") == "1");
    CHECK(loaded.at("result/loaded_models/m/path") == "m.gguf");
    CHECK(loaded.at("result/loaded_models/m/type") == "unet");
    CHECK(loaded.at("result/loaded_models/m/size_mb") == "0.00");  // 8,192 bytes.
    CHECK(!talk.notices.empty());
    CHECK(worker(talk, "get_model_info").at("result/model_count") == "1");
    CHECK(worker(talk, "optimize_memory").node.member("result")->member("unloaded_models")->items.empty());
    CHECK(worker(talk, "unload_model", R"({"name":"m"})").at("result/model_count") == "0");
    CHECK(worker(talk, "unload_model", R"({"name":"m"})").at("error/data/code") == "not-found");
    CHECK(worker(talk, "load_model", R"({"name":"m","path":"m.gguf"})").at("result/model_count") == "1");
    CHECK(worker(talk, "cleanup").at("result/unloaded_models/0") == "m");
    CHECK(worker(talk, "get_status").at("error/data/code") == "conflict");
    talk.session().end();
}

TEST_CASE("a worker's own limit refuses a model, by the estimate before the load and by the real size after it") {
    auto loading = any_model();
    loading->inspection->memory_bytes = loading->inspection->tensors[0].size_bytes = 3 * mib;
    Bed bed(loading);
    auto talk = bed.talk("me", Role::admin);
    talk.hello();
    CHECK(worker(talk, "initialize", R"({"memory_limit_mb":2})").at("result/memory_limit_mb") == "2.00");
    CHECK(worker(talk, "load_model", R"({"name":"m","path":"m.gguf","estimated_size_mb":3})").at("error/data/code") == "limit-exceeded");
    CHECK(loading->loads == 0);
    CHECK(worker(talk, "load_model", R"({"name":"m","path":"m.gguf","estimated_size_mb":1})").at("error/data/code") == "limit-exceeded");
    CHECK(loading->loads == 1);
    CHECK(worker(talk, "get_status").at("result/model_count") == "0");
    talk.session().end();
}

TEST_CASE("a worker that cleans up leaves what a client has attached, and says so") {
    Bed bed(any_model());
    auto talk = bed.talk("me", Role::admin);
    auto other = bed.talk("other");
    talk.hello();
    other.hello();
    worker(talk, "initialize");
    worker(talk, "load_model", R"({"name":"m","path":"m.gguf"})");
    CHECK(other.ask("attach", R"({"model":"m"})").at("error/code").empty());
    CHECK(worker(talk, "unload_model", R"({"name":"m"})").at("error/data/code") == "leased");
    CHECK(worker(talk, "cleanup").at("result/kept_models/m") == "leased");
    other.session().end();
    talk.session().end();
}

TEST_CASE("a worker's parameters are refused by their names") {
    Bed bed;
    auto talk = bed.talk();
    talk.hello();
    worker(talk, "initialize");
    for (const auto& [operation, params, field] :
         {std::tuple("initialize", R"({"device_id":7})", "/device_id"),
          std::tuple("initialize", R"({"memory_limit_mb":0})", "/memory_limit_mb"),
          std::tuple("initialize", R"({"memory_limit_mb":1.5})", "/memory_limit_mb"), std::tuple("load_model", R"({"path":"p"})", "/name"),
          std::tuple("load_model", R"({"name":"n"})", "/path"), std::tuple("load_model", R"({"name":"n","path":"p","type":"x"})", "/type"),
          std::tuple("load_model", R"({"name":"n","path":"p","what":1})", "/what"), std::tuple("unload_model", R"({"name":""})", "/name"),
          std::tuple("get_status", R"({"x":1})", "/x"), std::tuple("cleanup", R"({"x":1})", "/x")}) {
        const Heard heard = worker(talk, operation, params);
        CHECK_MESSAGE(heard.at("error/code") == "-32602", operation);
        CHECK_MESSAGE(heard.at("error/data/field") == field, operation);
    }
    CHECK(worker(talk, "initialize", R"({"device_id":"none"})").at("error/data/code") == "not-found");
}
