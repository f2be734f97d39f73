#include "client/connection.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "client/watch.hpp"

namespace json = boost::json;

namespace vramd::client {
namespace {
constexpr std::size_t packet_bytes_max = 65536;
constexpr std::size_t descriptors_max = 8;
constexpr int patience_seconds = 30;  // For how long the next core is waited for.
constexpr int greeted_again_max = 50;
constexpr int again_max = 3;  // So often a call is asked again whose connection ended before its answer.

std::string text_at(const json::object& object, const char* name) {
    const json::value* const found = object.if_contains(name);
    return found != nullptr && found->is_string() ? std::string(found->get_string()) : std::string();
}
std::uint64_t number_at(const json::object& object, const char* name) {
    const json::value* const found = object.if_contains(name);
    if (found == nullptr || !found->is_number()) return 0;
    boost::system::error_code ignored;  // What does not fit is none of ours.
    const auto number = found->to_number<std::uint64_t>(ignored);
    return ignored ? 0 : number;
}
const json::object* object_at(const json::object& object, const char* name) {
    const json::value* const found = object.if_contains(name);
    return found != nullptr ? found->if_object() : nullptr;
}

Error error_of(const json::object& told) {
    Error error;
    error.message = text_at(told, "message");
    if (const json::object* const data = object_at(told, "data")) {
        error.code = text_at(*data, "code");
        error.field = text_at(*data, "field");
        error.remedy = text_at(*data, "remedy");
        error.available_bytes = number_at(*data, "availableBytes");
        error.largest_free_bytes = number_at(*data, "largestFreeBytes");
        if (const json::value* const list = data->if_contains("suggestions"); list != nullptr && list->is_array())
            for (const json::value& one : list->get_array())
                if (one.is_string()) error.suggestions.emplace_back(one.get_string());
    }
    return error;
}
Error failed(const std::string& what) {
    Error error;
    error.code = "system-failed";
    error.message = what + ": " + std::strerror(errno) + ".";
    return error;
}
/// Progress is told in this thread, until this ends.
class Telling {
public:
    explicit Telling(std::atomic<std::thread::id>& thread) : thread_(thread) { thread_ = std::this_thread::get_id(); }
    ~Telling() { thread_ = std::thread::id(); }
    Telling(const Telling&) = delete;
    Telling& operator=(const Telling&) = delete;

private:
    std::atomic<std::thread::id>& thread_;
};
/// Keeps the thread of those who are asked away from a call's answers.
class Busy {
public:
    explicit Busy(std::shared_ptr<Watch> watch) : watch_(std::move(watch)) {
        if (watch_) watch_->set_busy(true);
    }
    ~Busy() {
        if (watch_) watch_->set_busy(false);
    }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;

private:
    const std::shared_ptr<Watch> watch_;
};
}  // namespace

Descriptor::~Descriptor() {
    if (number_ >= 0) (void)close(number_);
}

std::optional<Error> unsayable(const json::object& params) {
    for (const auto& [name, value] : params) {
        boost::system::error_code wrong;
        (void)json::parse(json::serialize(value), wrong);
        if (!wrong) continue;
        Error error;
        error.code = "invalid-field";
        error.field = "/" + std::string(name);
        error.message = error.field + " must be text in UTF-8: " + wrong.message() + ".";
        return error;
    }
    return std::nullopt;
}

const char* name_of(Mode mode) { return mode == Mode::read ? "read" : mode == Mode::private_copy ? "private" : "write"; }

Connection::Connection(std::string path, std::string name)
    : path_(std::move(path)), name_(std::move(name)), process_(getpid()), stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Connection::~Connection() {
    if (getpid() != process_) {  // Of the process that this one forked from, which shares all that could be told here.
        if (guard_.joinable()) guard_.detach();
        return;
    }
    const std::uint64_t one = 1;
    (void)!write(stop_.get(), &one, sizeof one);  // It can only fail when it is written already.
    if (guard_.joinable()) guard_.join();
    (void)shutdown(socket_.get(), SHUT_RDWR);  // A process that forked from this one, and a thread, have descriptors of it too.
    if (watch_) watch_->end();
}

void Connection::let_ask(OnReclaim on_reclaim) { watch_ = std::make_shared<Watch>(std::move(on_reclaim)); }

std::optional<Error> Connection::open() {
    const std::lock_guard lock(lock_);
    if (watch_)
        if (auto error = Watch::begin(watch_, weak_from_this())) return error;
    return open_locked();
}

/// A core that dies while it greets is followed by the next one, which is asked in its stead.
std::optional<Error> Connection::open_locked() {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(patience_seconds);
    for (int attempt = 0;; ++attempt) {
        const auto error = open_once();
        const bool died = error && error->code == "disconnected" && connected_;
        if (!died || attempt >= greeted_again_max || std::chrono::steady_clock::now() >= until) return error;
    }
}

std::optional<Error> Connection::open_once() {
    connected_ = false;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path) return lost("The path is too long for a socket.");
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    Descriptor link(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (link.get() < 0) return failed("socket");
    socket_ = std::move(link);
    set_patience(patience_seconds);
    if (connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return lost(std::string(std::strerror(errno)) + ". Is vramd running, and may this user reach its socket?");
    connected_ = true;
    const auto hello = greet();
    if (!hello) {
        (void)lost("It was not greeted.");
        return hello.error();
    }
    set_devices(hello->result);
    if (auto error = take_up(hello->result)) return error;
    set_patience(for_ever);
    if (watch_) watch_->set_socket(socket_.get());
    guard_locked();
    return std::nullopt;
}

void Connection::set_devices(const json::object& hello) {
    const json::value* const list = hello.if_contains("devices");
    if (!devices_.empty() || list == nullptr || !list->is_array()) return;
    for (const json::value& one : list->get_array())
        if (const json::object* const device = one.if_object())
            devices_.push_back(
                {text_at(*device, "deviceId"), text_at(*device, "kind"), number_at(*device, "totalBytes"), text_at(*device, "uuid")});
}

Error Connection::lost(const std::string& why) {
    if (socket_.get() >= 0) (void)shutdown(socket_.get(), SHUT_RDWR);  // For who waits for its end.
    socket_ = Descriptor();
    if (watch_) watch_->set_socket(-1);
    Error error;
    error.code = "disconnected";
    error.message = path_ + ": " + why;
    return error;
}

Result<Answer> Connection::call(const char* method, const json::object& params, const Notice& notice) {
    if (getpid() != process_) {
        Error error;
        error.code = "disconnected";
        error.message = "This connection is another process's, which forked; connect again here.";
        return error;
    }
    if (auto error = unsayable(params)) return *std::move(error);
    if (told_in_.load() == std::this_thread::get_id()) {
        Error error;
        error.code = "conflict";
        error.message = "A load's progress is told from within the load, which any other call would wait for: call when it has ended.";
        return error;
    }
    const bool harmless_twice =
        std::strcmp(method, "attach") == 0 || std::strcmp(method, "list") == 0 || std::strcmp(method, "subscribe") == 0;
    const std::lock_guard lock(lock_);
    for (int attempt = 0;; ++attempt) {
        if (socket_.get() < 0)
            if (auto error = open_locked()) return *std::move(error);
        Left left = Left::no;
        auto answer = ask(method, params, notice, &left);
        const bool ended = !answer && answer.error().code == "disconnected";
        if (ended && attempt < again_max && (left == Left::no || harmless_twice)) continue;
        // Counted under the same lock, so that nobody's last mapping ends in between.
        if (answer)
            if (const json::object* const memory = object_at(answer->result, "memory")) {
                Hold& hold = holds_[text_at(*memory, "allocationId")];
                hold.mode = text_at(*memory, "mode");
                hold.count += 1;
            }
        return answer;
    }
}

Result<Answer> Connection::ask(const char* method, const json::object& params, const Notice& notice, Left* left) {
    const std::uint64_t id = next_id_++;
    const std::string packet = json::serialize(json::object{{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}});
    if (packet.size() > packet_bytes_max) {
        Error error;
        error.code = "invalid-field";
        error.message = "The call takes " + std::to_string(packet.size()) + " bytes; a packet holds 65536.";
        return error;
    }
    const Busy busy(watch_);
    if (send(socket_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(packet.size()))
        return lost(std::strerror(errno));
    if (left != nullptr) *left = Left::yes;
    for (;;) {
        Answer answer;
        auto message = receive(answer.descriptors);
        if (!message) return message.error();
        if (message->contains("method")) {
            take_notice(*message, notice);
            continue;
        }
        if (number_at(*message, "id") != id) continue;
        if (const json::object* const error = object_at(*message, "error")) return error_of(*error);
        if (json::value* const result = message->if_contains("result"); result != nullptr && result->is_object())
            answer.result = std::move(result->get_object());
        return answer;
    }
}

void Connection::take_notice(const json::object& message, const Notice& notice) {
    const json::object* const told = object_at(message, "params");
    if (told == nullptr) return;
    if (text_at(message, "method") != "reclaim") {
        if (!notice) return;
        const Telling telling(told_in_);
        notice(*told);
    } else if (watch_) {
        watch_->asked({text_at(*told, "allocationId"), text_at(*told, "model"), number_at(*told, "bytes"), number_at(*told, "withinMs")});
    }
}

void Connection::hear() {
    const std::unique_lock lock(lock_, std::try_to_lock);
    if (!lock || socket_.get() < 0 || getpid() != process_) return;
    pollfd waits{socket_.get(), POLLIN, 0};
    if (poll(&waits, 1, 0) <= 0) return;  // A call has taken it.
    std::vector<Descriptor> none;
    const auto message = receive(none);
    if (message && message->contains("method")) take_notice(*message, {});
}

void Connection::answer_asked(const ReclaimRequest& request) {
    const std::lock_guard lock(lock_);
    if (socket_.get() < 0 || getpid() != process_) return;
    const std::uint64_t given = holds_.find(request.allocation_id) == holds_.end() ? request.bytes : 0;
    (void)ask("reclaimed", {{"allocationId", request.allocation_id}, {"bytes", given}}, {});  // Of a connection before, it is not known.
}

Result<json::object> Connection::receive(std::vector<Descriptor>& descriptors) {
    std::string data(packet_bytes_max, '\0');
    iovec part{data.data(), data.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(descriptors_max * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    pollfd waits[2] = {{socket_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    int ready = -1;
    do ready = poll(waits, 2, wait_ms_max_);
    while (ready < 0 && errno == EINTR);
    if (ready == 0) return lost("The daemon does not answer.");
    if (waits[1].revents != 0) return lost("The client has ended.");
    const ssize_t got = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    if (got <= 0) return lost(got == 0 ? "The daemon ended the connection; ask again." : std::strerror(errno));
    for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
        for (std::size_t i = 0; i < (head->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
            int number = -1;
            std::memcpy(&number, CMSG_DATA(head) + i * sizeof(int), sizeof number);
            descriptors.emplace_back(number);
        }
    }
    boost::system::error_code wrong;
    json::value told = json::parse(json::string_view(data.data(), static_cast<std::size_t>(got)), wrong);
    if (wrong || !told.is_object()) return lost("The daemon sent what is no message.");
    return std::move(told.get_object());
}

Result<std::shared_ptr<const Mapped>> Connection::map(const Answer& answer, bool frees) {
    const json::object* const memory = object_at(answer.result, "memory");
    if (memory == nullptr)
        return error_of({{"message", "The allocation lies in a block with others."}, {"data", json::object{{"code", "unsupported"}}}});
    const std::string id = text_at(*memory, "allocationId");
    const std::string mode = text_at(*memory, "mode");
    const std::uint64_t size_bytes = number_at(*memory, "sizeBytes");
    const std::uint64_t which = number_at(*memory, "descriptor");
    auto mapped = std::make_shared<Mapped>(shared_from_this(), id, nullptr, size_bytes, frees);
    if (which >= answer.descriptors.size()) return failed("a descriptor that did not come");
    const int descriptor = answer.descriptors[which].get();
    const auto device = std::find_if(devices_.begin(), devices_.end(),
                                     [&](const Device& one) { return one.id == text_at(*memory, "deviceId") && one.kind == "cuda"; });
    if (device != devices_.end()) {
        auto gpu = GpuMapping::make(descriptor, number_at(*memory, "blockBytes"), mode == "write", device->uuid);
        if (!gpu) return gpu.error();
        mapped->gpu = std::move(*gpu);
        return std::shared_ptr<const Mapped>(std::move(mapped));
    }
    const int protection = mode == "read" ? PROT_READ : PROT_READ | PROT_WRITE;
    const int flags = mode == "private" ? MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED;
    void* const base = mmap(nullptr, size_bytes, protection, flags, descriptor, static_cast<off_t>(number_at(*memory, "offsetBytes")));
    if (base == MAP_FAILED) return failed("mmap of " + std::to_string(size_bytes) + " bytes");
    mapped->base = base;
    return std::shared_ptr<const Mapped>(std::move(mapped));
}

void Connection::unmapped(const Mapped& mapped) {
    if (getpid() != process_) return;  // Before the lock, which a thread that is not here may have had.
    const std::lock_guard lock(lock_);
    const auto found = holds_.find(mapped.id);
    if (found == holds_.end() || --found->second.count > 0) return;
    holds_.erase(found);
    // Refused where it is gone already, or others use it: then it ends with them, or with the connection.
    if (socket_.get() >= 0) (void)ask(mapped.frees ? "free" : "detach", {{"allocationId", mapped.id}}, {});
    if (socket_.get() < 0) left_[mapped.id] = mapped.frees;  // The session holds it yet.
}

Mapped::~Mapped() {
    gpu.reset();
    if (base != nullptr) (void)munmap(base, size_bytes);
    connection->unmapped(*this);
}

Result<std::vector<Tensor>> tensors_of(const Answer& answer, const Mapped& mapped) {
    const json::value* list = answer.result.if_contains("tensors");
    json::value table;
    if (const json::object* const given = object_at(answer.result, "tensorTable")) {
        std::string text(number_at(*given, "sizeBytes"), '\0');
        const std::uint64_t which = number_at(*given, "descriptor");
        if (which >= answer.descriptors.size() ||
            pread(answer.descriptors[which].get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
            return failed("reading the table of tensors");
        boost::system::error_code wrong;
        table = json::parse(text, wrong);
        list = &table;
    }
    std::vector<Tensor> tensors;
    if (list == nullptr || !list->is_array()) return tensors;
    for (const json::value& one : list->get_array()) {
        const json::object* const told = one.if_object();
        if (told == nullptr) continue;
        const std::uint64_t offset_bytes = number_at(*told, "offsetBytes");
        Tensor tensor{text_at(*told, "name"), text_at(*told, "dtype"), {}, nullptr, number_at(*told, "sizeBytes"), 0};
        if (mapped.gpu)
            tensor.device_address = mapped.device_address() + offset_bytes;
        else
            tensor.data = mapped.data() + offset_bytes;
        if (const json::value* const shape = told->if_contains("shape"); shape != nullptr && shape->is_array())
            for (const json::value& extent : shape->get_array()) tensor.shape.push_back(extent.to_number<std::uint64_t>());
        tensors.push_back(std::move(tensor));
    }
    return tensors;
}
}  // namespace vramd::client
