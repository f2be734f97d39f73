#include "engine/model_folders.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "worker/open_beneath.hpp"

namespace vramd::engine {
namespace fs = std::filesystem;
namespace {
constexpr std::string_view endings[] = {".safetensors", ".safetensors.index.json", ".gguf", ".onnx"};

bool looks_like_a_model(std::string_view name) {
    return std::ranges::any_of(endings, [name](std::string_view ending) { return name.ends_with(ending); });
}

Result<Fd> open_folder(const fs::path& folder) {
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return refuse(Code::not_found, "/path",
                      "The model folder " + folder.native() + " is not there; make it, or start the daemon with another --model-dir.");
    return Fd(descriptor);
}

/// The path relative to the folder, or nothing if it does not lie beneath it as text. The kernel checks it again when it opens.
std::string beneath(const fs::path& folder, const fs::path& absolute) {
    const fs::path relative = absolute.lexically_relative(folder);
    return relative.empty() || *relative.begin() == ".." || relative == "." ? std::string() : relative.string();
}
}  // namespace

ModelFolders::ModelFolders(std::vector<fs::path> folders) {
    for (const fs::path& folder : folders) {
        std::error_code error;
        const fs::path whole = fs::weakly_canonical(fs::absolute(folder, error), error);
        folders_.push_back(error ? folder : whole);
    }
}

Result<OpenModel> ModelFolders::open(std::string_view path) const {
    const fs::path asked(path);
    Error refusal{Code::path_not_allowed, "/path", 0, 0,
                  "/path does not lie beneath a model folder: " + std::string(path.substr(0, 200)) + "."};
    for (const fs::path& folder : folders_) {
        const std::string relative = asked.is_absolute() ? beneath(folder, asked.lexically_normal()) : std::string(path);
        if (relative.empty()) continue;
        const auto top = open_folder(folder);
        if (!top) continue;
        auto file = worker::open_beneath(top->get(), relative);
        if (!file) {
            refusal = file.error();
            refusal.field = "/path";
            if (refusal.code == Code::not_found)
                refusal.detail = "There is no file " + std::string(path.substr(0, 200)) + " beneath the model folders.";
            if (refusal.code == Code::not_found) continue;
            return std::unexpected(refusal);
        }
        const fs::path inner(relative);
        const fs::path parent = inner.parent_path();
        TRY(Fd home, open_folder(parent.empty() ? folder : folder / parent));
        return OpenModel{inner.filename().string(), *std::move(file), std::move(home)};
    }
    return std::unexpected(refusal);
}

std::vector<Loading::File> ModelFolders::files() const {
    std::vector<Loading::File> found;
    for (const fs::path& folder : folders_) {
        std::error_code error;
        fs::recursive_directory_iterator walk(folder, fs::directory_options::skip_permission_denied, error);
        for (const fs::recursive_directory_iterator end; !error && walk != end && found.size() < files_max; walk.increment(error)) {
            if (walk.depth() >= depth_max) walk.disable_recursion_pending();
            struct stat facts {};
            if (!looks_like_a_model(walk->path().filename().string()) || lstat(walk->path().c_str(), &facts) != 0 ||
                !S_ISREG(facts.st_mode))
                continue;
            const u64 modified = static_cast<u64>(facts.st_mtim.tv_sec) * ns_per_second + static_cast<u64>(facts.st_mtim.tv_nsec);
            found.push_back({walk->path().lexically_relative(folder).string(), folder.string(), static_cast<u64>(facts.st_size),
                             facts.st_ino, modified});
        }
    }
    std::ranges::sort(
        found, [](const Loading::File& a, const Loading::File& b) { return std::tie(a.folder, a.path) < std::tie(b.folder, b.path); });
    return found;
}
}  // namespace vramd::engine
