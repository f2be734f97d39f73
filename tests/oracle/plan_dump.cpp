// plan_dump FILE MEMORY: loads a model as the loader does, writes the memory that it would lend into the file MEMORY, and prints the plan
// as JSON. For tests/oracle/check_formats.py. Memory that no copy or decode writes keeps the pattern 0xa5.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json/src.hpp>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "base/fd.hpp"
#include "formats/model_file.hpp"

namespace {
using namespace vramd;
namespace json = boost::json;

class OpenFile : public formats::Source {
public:
    explicit OpenFile(const std::filesystem::path& path) : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        struct stat status {};
        if (file_ && ::fstat(file_.get(), &status) == 0) size_bytes_ = static_cast<u64>(status.st_size);
    }
    u64 size_bytes() const override { return size_bytes_; }
    Result<void> read(u64 offset_bytes, std::span<std::byte> into) override {
        while (!into.empty()) {
            const ssize_t got = ::pread(file_.get(), into.data(), into.size(), static_cast<off_t>(offset_bytes));
            if (got <= 0) return std::unexpected(system_error("pread", errno));
            into = into.subspan(static_cast<std::size_t>(got));
            offset_bytes += static_cast<u64>(got);
        }
        return {};
    }

private:
    Fd file_;
    u64 size_bytes_ = 0;
};

struct Loaded {
    formats::Plan plan;
    std::vector<std::byte> memory;
};

Result<Loaded> load(const std::filesystem::path& path) {
    std::vector<std::unique_ptr<OpenFile>> files;
    files.push_back(std::make_unique<OpenFile>(path));
    TRY(const auto format, formats::recognise(path.filename().string(), *files[0]));
    TRY(const auto needed, formats::needed_files(format, *files[0]));
    for (const std::string& name : needed) files.push_back(std::make_unique<OpenFile>(path.parent_path() / name));
    std::vector<formats::Source*> sources;
    for (const auto& file : files) sources.push_back(file.get());
    Loaded loaded;
    TRY(loaded.plan, formats::plan(format, sources));
    loaded.memory.assign(loaded.plan.memory_bytes, std::byte{0xa5});
    for (const formats::Copy& copy : loaded.plan.copies)
        TRY_DO(files[copy.file]->read(copy.file_offset_bytes, std::span(loaded.memory).subspan(copy.memory_offset_bytes, copy.size_bytes)));
    for (const formats::Decode& item : loaded.plan.decodes)
        TRY_DO(
            formats::decode(item, *files[item.file], std::span(loaded.memory).subspan(item.memory_offset_bytes, item.memory_size_bytes)));
    return loaded;
}

json::object told(const formats::Plan& plan) {
    json::array tensors;
    for (const formats::Tensor& tensor : plan.tensors)
        tensors.push_back({{"name", tensor.name},
                           {"dtype", tensor.dtype},
                           {"shape", json::array(tensor.shape.begin(), tensor.shape.end())},
                           {"size", tensor.size_bytes},
                           {"offset", tensor.memory_offset_bytes}});
    return {{"format", std::string(formats::name_of(plan.format))},
            {"memory_bytes", plan.memory_bytes},
            {"tensor_bytes", plan.tensor_bytes},
            {"copies", plan.copies.size()},
            {"decodes", plan.decodes.size()},
            {"tensors", std::move(tensors)}};
}
}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const auto loaded = load(argv[1]);
    if (!loaded) {
        std::fprintf(stderr, "%s: %s: %s\n", argv[1], loaded.error().field.c_str(), describe(loaded.error()).c_str());
        return 1;
    }
    const Fd out(::open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    std::span<const std::byte> rest = loaded->memory;
    while (!rest.empty()) {
        const ssize_t put = ::write(out.get(), rest.data(), rest.size());
        if (put <= 0) return 1;
        rest = rest.subspan(static_cast<std::size_t>(put));
    }
    std::puts(json::serialize(told(loaded->plan)).c_str());
    return 0;
}
