#include "worker/loader_process.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>

#include <atomic>

#include "base/choices.hpp"
#include "base/clock.hpp"
#include "worker/test_files.hpp"

namespace vramd::worker {
using namespace testing;
namespace {
constexpr u64 large_bytes = 256 * mib;

/// A GGUF version 3 file with one tensor of four F32 values.
std::string gguf() {
    std::string bytes;
    const auto number = [&bytes](auto value) { bytes.append(reinterpret_cast<const char*>(&value), sizeof value); };
    bytes += "GGUF";
    number(u32{3});
    number(u64{1});
    number(u64{0});
    number(u64{6});
    bytes += "weight";
    number(u32{1});
    number(u64{4});
    number(u32{0});
    number(u64{0});
    bytes.resize(round_up(bytes.size(), 32), '\0');
    return bytes + "0123456789abcdef";
}

/// An ONNX file (protobuf by hand): ir_version 8 and a graph with one initializer, as int32_data, which must be decoded to int8.
std::string onnx() {
    const auto field = [](u32 number, const std::string& value) {
        return std::string(1, static_cast<char>(number << 3 | 2)) + static_cast<char>(value.size()) + value;
    };
    const auto varint = [](u32 number, u8 value) { return std::string(1, static_cast<char>(number << 3)) + static_cast<char>(value); };
    const std::string tensor = varint(1, 3) + varint(2, 3) + field(5, "\x01\x02\x7f") + field(8, "w");
    const std::string graph = field(2, "g") + field(5, tensor);
    return varint(1, 8) + field(7, graph);
}
}  // namespace

TEST_CASE("a safetensors file is inspected and loads to the byte, padding staying zero") {
    const auto all = loaders();
    const Safetensors file = safetensors(3, 1000);
    const SharedFiles files = files_of("model.safetensors", file_of(file.bytes()));
    const auto inspection = inspect(*all, files);
    REQUIRE(inspection.has_value());
    CHECK(inspection->model.format == ModelFormat::safetensors);
    CHECK(inspection->model.tensor_bytes == 3000);
    CHECK(inspection->needed_files.empty());
    REQUIRE(inspection->model.tensors.size() == 3);

    const u64 space = round_up(inspection->model.memory_bytes, 4096) + 8192;
    const Memory memory(space);
    LoadJob job = load_job(files, memory, space - 8192, 4096);
    job.expected_hash = inspection->model.identity.header_hash;
    const auto loaded = load(*all, std::move(job));
    REQUIRE(loaded.has_value());
    std::string expected(inspection->model.memory_bytes, '\0');
    for (std::size_t i = 0; i < 3; ++i) {
        const Tensor& tensor = inspection->model.tensors[i];
        CHECK(tensor.shape == std::vector<u64>{250});
        const std::string content = file.data.substr(i * 1000, 1000);
        CHECK(bytes_at(memory, 4096 + tensor.offset_bytes, 1000) == content);
        expected.replace(tensor.offset_bytes, 1000, content);
    }
    CHECK(bytes_at(memory, 4096, expected.size()) == expected);
    CHECK(bytes_at(memory, 0, 4096) == std::string(4096, '\0'));
    CHECK(bytes_at(memory, 4096 + expected.size(), space - 4096 - expected.size()) == std::string(space - 4096 - expected.size(), '\0'));
    CHECK(loaded->stages.spawn_ns > 0);
    CHECK(loaded->stages.total_ns >= loaded->stages.spawn_ns);
}

TEST_CASE("with the plan of its inspection a file loads without any process, unless it is another file by now") {
    const auto all = loaders();
    const Safetensors content = safetensors(2, 4000);
    const SharedFiles files = files_of("model.safetensors", file_of(content.bytes()));
    const auto inspection = inspect(*all, files);
    REQUIRE(inspection.has_value());
    const Memory memory(8192);
    const auto planned = [&] {
        LoadJob job = load_job(files, memory, 8192);
        job.expected_hash = inspection->model.identity.header_hash;
        job.plan = inspection->plan;
        return load(*all, std::move(job));
    };
    const auto loaded = planned();
    REQUIRE(loaded.has_value());
    CHECK(loaded->stages.spawn_ns == 0);
    for (std::size_t i = 0; i < 2; ++i)
        CHECK(bytes_at(memory, inspection->model.tensors[i].offset_bytes, 4000) == content.data.substr(i * 4000, 4000));

    // Another byte, the same size, and the time put back: the kernel's own note of the change stays.
    struct stat before {};
    REQUIRE(fstat(files->main.get(), &before) == 0);
    REQUIRE(pwrite(files->main.get(), "x", 1, static_cast<off_t>(content.header.size())) == 1);
    const std::array times = {before.st_atim, before.st_mtim};
    REQUIRE(futimens(files->main.get(), times.data()) == 0);
    CHECK(planned().error().code == Code::invalid_model);
}

TEST_CASE("gguf and onnx files load, decoded values among them") {
    const auto all = loaders();
    const Memory memory(8192);
    REQUIRE(load(*all, load_job(files_of("m.gguf", file_of(gguf())), memory, 4096)).has_value());
    CHECK(bytes_at(memory, 0, 16) == "0123456789abcdef");

    LoadJob job = load_job(files_of("m.onnx", file_of(onnx())), memory, 4096, 4096);
    const auto loaded = load(*all, std::move(job));
    REQUIRE(loaded.has_value());
    CHECK(loaded->plan->decoded_bytes == 3);
    CHECK(bytes_at(memory, 4096, 4) == std::string("\x01\x02\x7f\0", 4));
}

TEST_CASE("a model in shards names them, and loads once they are lent") {
    const auto all = loaders();
    const Safetensors shard = safetensors(2, 64, 5);
    const std::string index = R"({"metadata":{"total_size":128},"weight_map":{"t0":"a.safetensors","t1":"a.safetensors"}})";
    const auto files = std::make_shared<ModelFiles>();
    files->main_name = "model.safetensors.index.json";
    files->main = file_of(index);
    const auto first = inspect(*all, files);
    REQUIRE(first.has_value());
    REQUIRE(first->needed_files == std::vector<std::string>{"a.safetensors"});

    const Memory memory(4096);
    CHECK(load(*all, load_job(files, memory, 4096)).error().code == Code::invalid_field);

    const auto complete = std::make_shared<ModelFiles>();
    complete->main_name = files->main_name;
    complete->main = file_of(index);
    complete->others.push_back({"a.safetensors", file_of(shard.bytes())});
    const auto second = inspect(*all, complete);
    REQUIRE(second.has_value());
    CHECK(second->needed_files.empty());
    REQUIRE(load(*all, load_job(complete, memory, 4096)).has_value());
    CHECK(bytes_at(memory, second->model.tensors[0].offset_bytes, 64) == shard.data.substr(0, 64));
}

TEST_CASE("once a load is done its memory can be sealed against every writer") {
    const auto all = loaders();
    const Safetensors file = safetensors(1, 4096);
    Memory memory(4096);
    REQUIRE(load(*all, load_job(files_of("m", file_of(file.bytes())), memory, 4096)).has_value());
    memory.unmap();
    CHECK(fcntl(memory.get(), F_ADD_SEALS, F_SEAL_WRITE) == 0);  // EBUSY while any writable mapping is left.
}

TEST_CASE("what is no model is refused with a reason, and too little memory with both sizes") {
    const auto all = loaders();
    for (const char* content : {"", "not a model at all", "{\"a\":1}"}) {
        const auto inspection = inspect(*all, files_of("m.safetensors", file_of(content)));
        REQUIRE(!inspection.has_value());
        CHECK(inspection.error().code == Code::invalid_model);
        CHECK(!describe(inspection.error()).empty());
    }
    const Memory memory(4096);
    const auto loaded = load(*all, load_job(files_of("m", file_of(safetensors(1, 5000).bytes())), memory, 4096));
    REQUIRE(!loaded.has_value());
    CHECK(loaded.error().code == Code::out_of_range);
    CHECK(loaded.error().value >= 5000);
    CHECK(bytes_at(memory, 0, 4096) == std::string(4096, '\0'));
    CHECK(!load(*all, load_job(files_of("m", file_of("x")), memory, 8192)).has_value());  // Beyond the memory's own end.
}

TEST_CASE("a file that changed since its inspection does not load") {
    const auto all = loaders();
    const auto inspection = inspect(*all, files_of("m", file_of(safetensors(1, 64).bytes())));
    REQUIRE(inspection.has_value());
    const Memory memory(4096);
    LoadJob job = load_job(files_of("m", file_of(safetensors(1, 64).bytes())), memory, 4096);  // Same bytes, another file.
    job.expected_hash = inspection->model.identity.header_hash;
    const auto loaded = load(*all, std::move(job));
    REQUIRE(!loaded.has_value());
    CHECK(loaded.error().code == Code::invalid_model);
}

TEST_CASE("a file that is cut or written while it loads fails the load with the reason") {
    const auto all = loaders();
    for (const off_t new_size : {off_t{4096}, static_cast<off_t>(large_bytes * 2)}) {
        const SharedFiles files = files_of("m", large_file(large_bytes));
        const Memory memory(large_bytes);
        LoadJob job = load_job(files, memory, large_bytes);
        std::atomic<int> reports = 0;
        job.progress = [&](u64, u64) {
            if (reports++ == 0) CHECK(ftruncate(files->main.get(), new_size) == 0);
        };
        const auto loaded = load(*all, std::move(job));
        REQUIRE(!loaded.has_value());
        CHECK(loaded.error().code == Code::invalid_model);
        CHECK(describe(loaded.error()).find("while it was being read") != std::string::npos);
    }
}

TEST_CASE("whichever file of a model changes while it loads, the load fails and names it") {
    const auto all = loaders();
    for (const std::size_t changed : {std::size_t{0}, std::size_t{1}}) {
        const auto files = std::make_shared<ModelFiles>();
        files->main_name = "model.safetensors.index.json";
        files->main = file_of(R"({"weight_map":{"t0":"a.safetensors"}})");
        files->others.push_back({"a.safetensors", large_file(large_bytes)});
        const Memory memory(large_bytes);
        LoadJob job = load_job(files, memory, large_bytes);
        std::atomic<int> reports = 0;
        job.progress = [&](u64, u64) {
            // One byte, written over by itself: only the times tell.
            if (reports++ == 0)
                CHECK(pwrite((changed == 0 ? files->main : files->others[0].fd).get(), changed == 0 ? "{" : "\0", 1, 0) == 1);
        };
        const auto loaded = load(*all, std::move(job));
        REQUIRE(!loaded.has_value());
        const std::string name = changed == 0 ? files->main_name : files->others[0].name;
        CHECK(describe(loaded.error()) == "The file " + name + " changed while it was being read; load it again.");
    }
}

TEST_CASE("a job that is cancelled at any moment ends once, and leaves no process and no descriptor") {
    const auto all = loaders();
    const SharedFiles files = files_of("m", large_file(large_bytes));
    const std::size_t before = open_descriptors();
    for (u64 seed = 0; seed < 12; ++seed) {
        Choices choices = Choices::from_seed(seed);
        const Memory memory(large_bytes);
        Awaited<Loaded> answer;
        LoadJob job = load_job(files, memory, large_bytes);
        job.done = answer.callback();
        const auto ticket = all->load(std::move(job));
        REQUIRE(ticket.has_value());
        const u64 until_ns = monotonic_ns() + choices.below(120) * ns_per_ms;
        while (monotonic_ns() < until_ns) std::this_thread::yield();
        all->cancel(*ticket);
        const auto loaded = answer.wait();
        if (!loaded) CHECK(loaded.error().code == Code::cancelled);
        CHECK(pids_of(*all).empty());
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("progress is told, never goes back, and ends at the total") {
    const auto all = loaders();
    const Memory memory(large_bytes);
    LoadJob job = load_job(files_of("m", large_file(large_bytes)), memory, large_bytes);
    u64 last = 0;
    u64 last_total = 0;
    u64 reports = 0;
    bool backwards = false;
    job.progress = [&](u64 bytes, u64 total) {
        backwards = backwards || bytes < last;
        last = bytes;
        last_total = total;
        ++reports;
    };
    const auto loaded = load(*all, std::move(job));
    REQUIRE(loaded.has_value());
    CHECK(!backwards);
    CHECK(last == last_total);
    CHECK(last_total == large_bytes);
    CHECK(reports > 0);
}

TEST_CASE("an ended service ends its jobs: each is answered, no process is left") {
    auto all = loaders({.processes_max = 2});
    const Memory memory(large_bytes);
    const SharedFiles files = files_of("m", large_file(large_bytes));
    std::atomic<int> answers = 0;
    for (int i = 0; i < 5; ++i) {
        LoadJob job = load_job(files, memory, large_bytes);
        job.done = [&](const Result<Loaded>&) { ++answers; };
        REQUIRE(all->load(std::move(job)).has_value());
    }
    all->shutdown();
    CHECK(answers == 5);
    CHECK(pids_of(*all).empty());
    CHECK(!all->inspect({files, 1000, [](const Result<Inspection>&) {}}).has_value());
}

TEST_CASE("two hundred loads leave the descriptors as they were") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    constexpr int rounds = 40;  // A sanitized process takes a while to start.
#else
    constexpr int rounds = 200;
#endif
    const auto all = loaders();
    const SharedFiles files = files_of("m", file_of(safetensors(4, 64).bytes()));
    const Memory memory(4096);
    REQUIRE(load(*all, load_job(files, memory, 4096)).has_value());
    const std::size_t before = open_descriptors();
    for (int i = 0; i < rounds; ++i) REQUIRE(load(*all, load_job(files, memory, 4096)).has_value());
    CHECK(open_descriptors() == before);
    CHECK(pids_of(*all).empty());
}

TEST_CASE("a loading process is confined: another user, seccomp, Landlock where the kernel has it") {
    const auto all = loaders();
    REQUIRE(inspect(*all, files_of("m", file_of(safetensors(1, 64).bytes()))).has_value());
    CHECK(all->confinement().seccomp);
    CHECK(all->confinement().uid == 65534);
}

TEST_CASE("a missing program and absurd options are told at the start") {
    CHECK(Loaders::start({.program = "/nowhere/vramd-worker"}).error().code == Code::not_found);
    CHECK(Loaders::start({.processes_max = 0}).error().code == Code::invalid_field);
    CHECK(Loaders::start({.readers = 0}).error().code == Code::invalid_field);
}
}  // namespace vramd::worker
