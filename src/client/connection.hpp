/// One connection: a call out, notices and its answer in. Calls wait for one another, so nothing else can come.
///
/// A thread waits for the connection's end, and goes on with the session over another one at once (resume.cpp): the daemon keeps what a
/// session holds for ten seconds after its core's death, whether anybody here calls meanwhile or not.
///
/// Invariants
/// 1. An allocation is detached when the last mapping of it ends, and not before: counted here, for the daemon counts a connection once.
/// 2. After a reconnection all that is mapped is attached, and nothing else, before anything else is said.
#pragma once
#include <atomic>
#include <boost/json/object.hpp>
#include <map>
#include <mutex>
#include <thread>

#include "client/gpu.hpp"
#include "client/vramd.hpp"

namespace vramd::client {
/// A descriptor of one's own.
class Descriptor {
public:
    explicit Descriptor(int number = -1) : number_(number) {}
    ~Descriptor();
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    [[nodiscard]] int get() const { return number_; }

private:
    int number_;
};

/// An answer's result and the descriptors that came with it.
struct Answer {
    boost::json::object result;
    std::vector<Descriptor> descriptors;
};

class Watch;

/// Thread-safe.
class Connection : public std::enable_shared_from_this<Connection> {
public:
    Connection(std::string path, std::string name);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    /// From the hello on it may be asked to let go of models. Before `open`.
    void let_ask(OnReclaim on_reclaim);
    /// Says hello. Errors: "disconnected", and what the daemon says.
    [[nodiscard]] std::optional<Error> open();
    using Notice = std::function<void(const boost::json::object&)>;
    [[nodiscard]] Result<Answer> call(const char* method, const boost::json::object& params, const Notice& notice = {});
    /// The answer's memory, mapped and counted. `frees`: it is given back with its last mapping.
    [[nodiscard]] Result<std::shared_ptr<const Mapped>> map(const Answer& answer, bool frees);
    /// One mapping of it has ended.
    void unmapped(const Mapped& mapped);
    [[nodiscard]] const std::vector<Device>& devices() const { return devices_; }
    /// For its thread: takes what has come, unless a call does.
    void hear();
    /// For its thread: says whether what was asked for is held still.
    void answer_asked(const ReclaimRequest& request);

private:
    struct Hold {
        std::string mode;
        std::uint64_t count = 0;
    };
    /// Whether a packet left: what did not can be sent again, whatever it asks for.
    enum class Left { no, yes };
    [[nodiscard]] std::optional<Error> open_locked();
    [[nodiscard]] std::optional<Error> open_once();
    [[nodiscard]] Result<Answer> ask(const char* method, const boost::json::object& params, const Notice& notice, Left* left = nullptr);
    [[nodiscard]] Result<boost::json::object> receive(std::vector<Descriptor>& descriptors);
    [[nodiscard]] Error lost(const std::string& why);
    void take_notice(const boost::json::object& message, const Notice& notice);
    void set_devices(const boost::json::object& hello);

    // resume.cpp
    [[nodiscard]] Result<Answer> greet();
    [[nodiscard]] std::optional<Error> take_up(const boost::json::object& hello);
    static constexpr int for_ever = 0;
    void set_patience(int seconds);
    void guard_locked();
    void guard();

    const std::string path_;
    const std::string name_;
    const int process_;
    std::vector<Device> devices_;  // Set once, by `open`.
    std::mutex lock_;
    Descriptor socket_;
    bool connected_ = false;        ///< Somebody listened, when it was opened last.
    std::shared_ptr<Watch> watch_;  // None: it is never asked.
    std::uint64_t next_id_ = 1;
    std::atomic<std::thread::id> told_in_{};  ///< The thread in which progress is told just now.
    std::map<std::string, Hold> holds_;
    std::map<std::string, bool> left_;  ///< What ended here while there was no connection; true: it is to be freed.
    std::string resume_key_;
    int wait_ms_max_ = -1;  ///< For an answer.
    Descriptor stop_;       ///< An eventfd, written when this ends.
    bool guarding_ = false;
    std::thread guard_;
};

/// Memory of the daemon, mapped here until this ends.
struct Mapped {
    Mapped(std::shared_ptr<Connection> connection_then, std::string id_then, void* base_then, std::uint64_t size_then, bool frees_then)
        : connection(std::move(connection_then)), id(std::move(id_then)), base(base_then), size_bytes(size_then), frees(frees_then) {}
    ~Mapped();
    Mapped(const Mapped&) = delete;
    Mapped& operator=(const Mapped&) = delete;
    [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(base); }
    [[nodiscard]] std::uint64_t device_address() const { return gpu ? gpu->address() : 0; }

    std::shared_ptr<Connection> connection;
    std::string id;
    void* base;  ///< Null on a GPU.
    std::uint64_t size_bytes;
    bool frees;
    std::unique_ptr<GpuMapping> gpu;
};

[[nodiscard]] const char* name_of(Mode mode);
/// Why the daemon could not read that: it would answer nobody. Errors: "invalid-field".
[[nodiscard]] std::optional<Error> unsayable(const boost::json::object& params);
/// The table of tensors in the answer, or in memory that came with it. Errors: "system-failed".
[[nodiscard]] Result<std::vector<Tensor>> tensors_of(const Answer& answer, const Mapped& mapped);
}  // namespace vramd::client
