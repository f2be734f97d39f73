#include "client/connection.hpp"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <cstring>

namespace json = boost::json;

namespace vramd::client {
namespace {
constexpr std::size_t packet_bytes_max = 65536;
constexpr std::size_t descriptors_max = 8;
constexpr std::uint64_t protocol_version = 1;

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
}  // namespace

Descriptor::~Descriptor() {
    if (number_ >= 0) (void)close(number_);
}

const char* name_of(Mode mode) { return mode == Mode::read ? "read" : mode == Mode::private_copy ? "private" : "write"; }

Connection::Connection(std::string path, std::string name) : path_(std::move(path)), name_(std::move(name)), process_(getpid()) {}

std::optional<Error> Connection::open() {
    const std::lock_guard lock(lock_);
    return open_locked();
}

std::optional<Error> Connection::open_locked() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path) return lost("The path is too long for a socket.");
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    Descriptor link(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (link.get() < 0) return failed("socket");
    if (connect(link.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return lost(std::string(std::strerror(errno)) + ". Is vramd running, and may this user reach its socket?");
    socket_ = std::move(link);
    const auto hello = ask("hello", {{"version", protocol_version}, {"client", name_.substr(0, 128)}}, {});
    if (!hello) return hello.error();
    if (devices_.empty())
        if (const json::value* const list = hello->result.if_contains("devices"); list != nullptr && list->is_array())
            for (const json::value& one : list->get_array())
                if (const json::object* const device = one.if_object())
                    devices_.push_back({text_at(*device, "deviceId"), text_at(*device, "kind"), number_at(*device, "totalBytes")});
    for (const auto& [id, hold] : holds_) {
        const auto again = ask("attach", {{"allocationId", id}, {"mode", hold.mode}}, {});
        if (!again && again.error().code == "disconnected") return again.error();
    }
    return std::nullopt;
}

Error Connection::lost(const std::string& why) {
    socket_ = Descriptor();
    Error error;
    error.code = "disconnected";
    error.message = path_ + ": " + why;
    return error;
}

Result<Answer> Connection::call(const char* method, const json::object& params, const Notice& notice) {
    const std::lock_guard lock(lock_);
    if (getpid() != process_) {
        Error error;
        error.code = "disconnected";
        error.message = "This connection is another process's, which forked; connect again here.";
        return error;
    }
    if (socket_.get() < 0)
        if (auto error = open_locked()) return *std::move(error);
    auto answer = ask(method, params, notice);
    // Counted under the same lock, so that nobody's last mapping ends in between.
    if (answer)
        if (const json::object* const memory = object_at(answer->result, "memory")) {
            Hold& hold = holds_[text_at(*memory, "allocationId")];
            hold.mode = text_at(*memory, "mode");
            hold.count += 1;
        }
    return answer;
}

Result<Answer> Connection::ask(const char* method, const json::object& params, const Notice& notice) {
    const std::uint64_t id = next_id_++;
    const std::string packet = json::serialize(json::object{{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}});
    if (packet.size() > packet_bytes_max) {
        Error error;
        error.code = "invalid-field";
        error.message = "The call takes " + std::to_string(packet.size()) + " bytes; a packet holds 65536.";
        return error;
    }
    if (send(socket_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(packet.size()))
        return lost(std::strerror(errno));
    for (;;) {
        Answer answer;
        auto message = receive(answer.descriptors);
        if (!message) return message.error();
        if (message->contains("method")) {
            if (const json::object* const told = object_at(*message, "params"); told != nullptr && notice) notice(*told);
            continue;
        }
        if (number_at(*message, "id") != id) continue;
        if (const json::object* const error = object_at(*message, "error")) return error_of(*error);
        if (json::value* const result = message->if_contains("result"); result != nullptr && result->is_object())
            answer.result = std::move(result->get_object());
        return answer;
    }
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
    const int protection = mode == "read" ? PROT_READ : PROT_READ | PROT_WRITE;
    const int flags = mode == "private" ? MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED;
    void* base = MAP_FAILED;
    if (which < answer.descriptors.size())
        base = mmap(nullptr, size_bytes, protection, flags, answer.descriptors[which].get(),
                    static_cast<off_t>(number_at(*memory, "offsetBytes")));
    if (base == MAP_FAILED) {
        const Error error = failed("mmap of " + std::to_string(size_bytes) + " bytes");
        unmapped(Mapped(nullptr, id, nullptr, 0, frees));
        return error;
    }
    return std::shared_ptr<const Mapped>(std::make_shared<Mapped>(shared_from_this(), id, base, size_bytes, frees));
}

void Connection::unmapped(const Mapped& mapped) {
    const std::lock_guard lock(lock_);
    const auto found = holds_.find(mapped.id);
    if (found == holds_.end() || --found->second.count > 0) return;
    holds_.erase(found);
    if (socket_.get() < 0 || getpid() != process_) return;  // It ended with the connection.
    // Refused where it is gone already, or others use it: then it ends with them, or with the connection.
    (void)ask(mapped.frees ? "free" : "detach", {{"allocationId", mapped.id}}, {});
}

Mapped::~Mapped() {
    if (base == nullptr) return;
    (void)munmap(base, size_bytes);
    connection->unmapped(*this);
}

Result<std::vector<Tensor>> tensors_of(const Answer& answer, std::byte* base) {
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
        Tensor tensor{
            text_at(*told, "name"), text_at(*told, "dtype"), {}, base + number_at(*told, "offsetBytes"), number_at(*told, "sizeBytes")};
        if (const json::value* const shape = told->if_contains("shape"); shape != nullptr && shape->is_array())
            for (const json::value& extent : shape->get_array()) tensor.shape.push_back(extent.to_number<std::uint64_t>());
        tensors.push_back(std::move(tensor));
    }
    return tensors;
}
}  // namespace vramd::client
