#include "cli/local_model.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <boost/json.hpp>
#include <cerrno>
#include <filesystem>
#include <future>

#include "worker/loader_process.hpp"
#include "worker/open_beneath.hpp"

namespace vramd::cli {
namespace {
namespace json = boost::json;

Told<Fd> open_file(const std::string& path, int flags) {
    Fd file(open(path.c_str(), flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // Never waits for a FIFO's writer.
    if (file) return file;
    const Error error = system_error("open", errno);
    return std::unexpected(Failure(errno == ENOENT || errno == ENOTDIR ? Exit::not_found : Exit::failed, path + ": " + describe(error)));
}

Result<worker::Inspection> inspect(worker::Loaders& loaders, std::shared_ptr<const worker::ModelFiles> files) {
    std::promise<Result<worker::Inspection>> promise;
    auto answer = promise.get_future();
    worker::InspectJob job;
    job.files = std::move(files);
    job.done = [&promise](Result<worker::Inspection> inspection) { promise.set_value(std::move(inspection)); };
    TRY_DO(loaders.inspect(std::move(job)));
    return answer.get();  // `done` comes by the job's deadline.
}

std::string body_of(const std::string& path, const Inspection& model) {
    json::array items;
    for (const Tensor& tensor : model.tensors) {
        json::array shape;
        for (const u64 dimension : tensor.shape) shape.emplace_back(dimension);
        items.push_back(json::object{{"name", tensor.name},
                                     {"dtype", tensor.dtype},
                                     {"shape", std::move(shape)},
                                     {"offsetBytes", tensor.offset_bytes},
                                     {"sizeBytes", tensor.size_bytes}});
    }
    return json::serialize(json::object{{"file", path},
                                        {"format", name_of(model.format)},
                                        {"memoryBytes", model.memory_bytes},
                                        {"tensorBytes", model.tensor_bytes},
                                        {"items", std::move(items)}});
}
}  // namespace

bool means_file(const std::string& word) {
    struct stat facts {};
    return word.contains('/') || (stat(word.c_str(), &facts) == 0 && !S_ISDIR(facts.st_mode));
}

Told<std::string> describe_model_file(const std::string& path) {
    const std::filesystem::path file(path);
    auto files = std::make_shared<worker::ModelFiles>();
    files->main_name = file.filename();
    TRY(files->main, open_file(path, 0));
    TRY(const Fd folder, open_file(file.has_parent_path() ? file.parent_path().native() : ".", O_DIRECTORY));
    TRY(const auto loaders, worker::Loaders::start({}));
    TRY(worker::Inspection inspection, inspect(*loaders, files));
    if (!inspection.needed_files.empty()) {
        auto whole = std::make_shared<worker::ModelFiles>();
        whole->main_name = files->main_name;
        TRY(whole->main, files->main.duplicate());
        for (const std::string& name : inspection.needed_files) {
            auto other = worker::open_beneath(folder.get(), name);
            if (!other)
                return std::unexpected(
                    Failure(exit_of(other.error().code), "The model needs the file " + name + ": " + describe(other.error())));
            whole->others.push_back({name, *std::move(other)});
        }
        TRY(inspection, inspect(*loaders, std::move(whole)));
        if (!inspection.needed_files.empty()) return std::unexpected(Failure(Exit::failed, path + " asks for further files without end."));
    }
    return body_of(path, inspection.model);
}
}  // namespace vramd::cli
