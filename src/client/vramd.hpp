/// vramd for C++: models and memory of a vramd daemon, read in place.
///
/// What is mapped here is the daemon's own memory: no byte is copied, and every process that loads a model shares one copy of it. C++17 and
/// the standard library are all that this header needs; link with `-lvramd` (pkg-config vramd, or find_package(vramd)).
///
///     auto client = vramd::client::Client::connect();
///     auto model = client->load("silero_vad.onnx");
///     for (const auto& tensor : model->tensors()) use(tensor.name, tensor.data, tensor.size_bytes);
///
/// Errors are values: every call that can be refused gives a `Result`. Thread-safe throughout: one client may be used by many threads,
/// whose calls wait for one another. A process that forked connects anew; while it lives without having executed another program it keeps
/// the connection that it was forked with, should its parent be killed. Texts are UTF-8. The protocol: docs/attach-protocol.md.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#if defined(__GNUC__)
#define VRAMD_API __attribute__((visibility("default")))
#else
#define VRAMD_API
#endif

namespace vramd::client {
/// Why a call was refused.
struct Error {
    std::string code;     ///< For programs, as over HTTP: "not-found", "insufficient-memory", …; "disconnected": no daemon.
    std::string message;  ///< A sentence.
    std::string field;    ///< The parameter at fault; empty: none.
    std::string remedy;   ///< What to do next; may be empty.
    std::vector<std::string> suggestions;  ///< Where memory is short: each makes it fit when followed.
    std::uint64_t available_bytes = 0;     ///< Likewise: all that can be had, …
    std::uint64_t largest_free_bytes = 0;  ///< … and in one piece.
};

/// A value, or why there is none.
template <class T>
class Result {
public:
    Result(T value) : held_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: meant to be made of either.
    Result(Error error) : held_(std::in_place_index<1>, std::move(error)) {}  // NOLINT
    [[nodiscard]] bool has_value() const { return held_.index() == 0; }
    explicit operator bool() const { return has_value(); }
    /// Undefined without a value.
    T& operator*() { return *std::get_if<0>(&held_); }
    const T& operator*() const { return *std::get_if<0>(&held_); }
    T* operator->() { return std::get_if<0>(&held_); }
    const T* operator->() const { return std::get_if<0>(&held_); }
    /// Undefined with one.
    [[nodiscard]] const Error& error() const { return *std::get_if<1>(&held_); }

private:
    std::variant<T, Error> held_;
};

/// What is done with memory: read it in place; have a copy of one's own of each page that is written; write it in place.
enum class Mode { read, private_copy, write };

struct Tensor {
    std::string name;
    std::string dtype;                 ///< As the file's format names it: "f32", "bf16", "q4_k", …
    std::vector<std::uint64_t> shape;  ///< In elements, in the file's order.
    const std::byte* data = nullptr;   ///< Valid as long as the model; null on a GPU.
    std::uint64_t size_bytes = 0;
    std::uint64_t device_address = 0;  ///< On a GPU: where it lies there (CUdeviceptr), valid as long as the model; else 0.
};

struct Progress {
    std::string stage;  ///< "inspect", "reserve", "cache", "load" or "done".
    std::uint64_t done_bytes = 0;
    std::uint64_t total_bytes = 0;  ///< 0 until the file's header is read.
};

struct LoadOptions {
    std::string path;                  ///< The file beneath a model folder; empty: as the name says.
    std::string device;                ///< Empty: wherever it is, else where there is most room.
    Mode mode = Mode::read;            ///< `read` or `private_copy`.
    bool pinned = false;               ///< Of a load: never evicted.
    std::vector<std::string> tensors;  ///< Only these are told; empty: all.
    /// Called from within `load`, which throws what it throws (of std::exception's kind). It may not use the client, nor let go of what
    /// came from it.
    std::function<void(const Progress&)> progress;
};

struct AllocateOptions {
    std::string device;  ///< Empty: where there is most room.
    std::string purpose;
    bool persistent = false;            ///< True: lives until it is freed; false: ends with the client.
    bool shareable = false;             ///< True: others may attach it, to read.
    std::uint64_t timeout_seconds = 0;  ///< How long to wait for room.
};

struct Device {
    std::string id;
    std::string kind;  ///< "host", "cuda", "d3d12".
    std::uint64_t total_bytes = 0;
    std::string uuid;  ///< Of a GPU, as nvidia-smi prints it; else empty.
};

/// What the daemon asks for: to let go of a model that is mapped here, for somebody waits for the room.
struct ReclaimRequest {
    std::string allocation_id;    ///< As `Model::allocation_id`.
    std::string model;            ///< Its first name.
    std::uint64_t bytes = 0;      ///< What comes back when all who have it have let go of it.
    std::uint64_t within_ms = 0;  ///< How long that is of use.
};
/// Called on a thread of the client's own. What is let go of until it returns is given back; what is not, is kept, and the daemon is told
/// so. It may use the client, whose calls wait for one another; it must not throw.
using OnReclaim = std::function<void(const ReclaimRequest&)>;

class Connection;
struct Mapped;

/// A model in memory; one that was moved from is empty. Copies share it; with the last one the daemon is told that it is not used here any
/// more.
class VRAMD_API Model {
public:
    [[nodiscard]] const std::string& name() const;
    [[nodiscard]] const std::string& format() const;  ///< "safetensors", "gguf" or "onnx".
    [[nodiscard]] const std::string& allocation_id() const;
    [[nodiscard]] const std::vector<Tensor>& tensors() const;
    /// Absent where the model has none of that name, or it was not asked for.
    [[nodiscard]] std::optional<Tensor> find(const std::string& name) const;
    /// All its bytes; writing is for `Mode::private_copy` alone, else the kernel ends the process. Null on a GPU.
    [[nodiscard]] std::byte* data() const;
    /// On a GPU: where it lies there (CUdeviceptr), in the primary context of the GPU, to be read by kernels and copies; else 0.
    [[nodiscard]] std::uint64_t device_address() const;
    [[nodiscard]] std::uint64_t size_bytes() const;
    /// Copies one of its tensors to `to`, which has `tensor.size_bytes`; from a GPU too. Errors: "system-failed", what the driver said.
    [[nodiscard]] std::optional<Error> copy_out(const Tensor& tensor, void* to) const;

    struct Facts;
    explicit Model(std::shared_ptr<const Facts> facts) : facts_(std::move(facts)) {}

private:
    std::shared_ptr<const Facts> facts_;
};

/// Memory of one's own, or another's to read; what was moved from is empty. Copies share it. What was allocated without `persistent` is
/// freed with the last one.
class VRAMD_API Allocation {
public:
    [[nodiscard]] const std::string& id() const;
    [[nodiscard]] std::byte* data() const;  ///< Null on a GPU.
    /// On a GPU: where it lies there (CUdeviceptr), in the primary context of the GPU; else 0. What was begun on it is waited for when the
    /// last copy of this ends.
    [[nodiscard]] std::uint64_t device_address() const;
    [[nodiscard]] std::uint64_t size_bytes() const;

    explicit Allocation(std::shared_ptr<const Mapped> mapped) : mapped_(std::move(mapped)) {}

private:
    std::shared_ptr<const Mapped> mapped_;
};

/// A connection to a daemon. What was made by it keeps the connection. When the daemon's core dies or is upgraded, a thread of its own goes
/// on with the next one at once: what is mapped stays what it is, and what was allocated without `persistent` lives on. A call that waits
/// for its answer just then is asked again if it is `load` or `attach`; `allocate` and `free` answer "disconnected", for they may have been
/// carried out. Where the next core does not hear of it within ten seconds, what is mapped is attached anew.
class VRAMD_API Client {
public:
    /// The daemon at `socket`; empty: VRAMD_SOCKET, else the default place. Without `on_reclaim` it is never asked to let go of anything.
    /// Errors: "disconnected".
    [[nodiscard]] static Result<Client> connect(const std::string& socket = {}, const std::string& name = "c++", OnReclaim on_reclaim = {});

    /// The model, from memory if it is there, else loaded first. Errors: "not-found", "invalid-model", "insufficient-memory",
    /// "name-in-use", "path-not-allowed", "disconnected", ….
    [[nodiscard]] Result<Model> load(const std::string& name, const LoadOptions& options = {});
    /// New memory, which reads as zero. Errors: "insufficient-memory" with suggestions, "quota-exceeded", "timed-out", ….
    [[nodiscard]] Result<Allocation> allocate(std::uint64_t size_bytes, const AllocateOptions& options = {});
    /// An allocation that is there: one's own, or another's that is shareable.
    [[nodiscard]] Result<Allocation> attach(const std::string& allocation_id, Mode mode = Mode::read);
    /// Gives memory back; what is mapped of it stays readable here. Errors: "leased" while others have it attached, "not-found".
    [[nodiscard]] std::optional<Error> free(const std::string& allocation_id);
    [[nodiscard]] const std::vector<Device>& devices() const;

    explicit Client(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}

private:
    std::shared_ptr<Connection> connection_;
};
}  // namespace vramd::client
