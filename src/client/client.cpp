#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <exception>

#include "client/connection.hpp"

namespace json = boost::json;

namespace vramd::client {
struct Model::Facts {
    std::string name;
    std::string format;
    std::vector<Tensor> tensors;
    std::shared_ptr<const Mapped> mapped;
};

namespace {
/// Where the daemon listens unless told otherwise.
std::string default_socket() {
    if (const char* const named = std::getenv("VRAMD_SOCKET"); named != nullptr && *named != '\0') return named;
    if (geteuid() == 0) return "/run/vramd/vramd.sock";
    const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
    return (runtime != nullptr && *runtime != '\0' ? std::string(runtime) : "/run/user/" + std::to_string(geteuid())) + "/vramd/vramd.sock";
}
const std::string no_text;
/// Of what was moved from.
Error gone(const char* what) {
    Error error;
    error.code = "conflict";
    error.message = std::string("This ") + what + " was moved from.";
    return error;
}
void add(json::object& params, const char* name, const std::string& text) {
    if (!text.empty()) params[name] = text;
}
}  // namespace

const std::string& Model::name() const { return facts_ ? facts_->name : no_text; }
const std::string& Model::format() const { return facts_ ? facts_->format : no_text; }
const std::string& Model::allocation_id() const { return facts_ ? facts_->mapped->id : no_text; }
const std::vector<Tensor>& Model::tensors() const {
    static const std::vector<Tensor> none;
    return facts_ ? facts_->tensors : none;
}
std::optional<Tensor> Model::find(const std::string& name) const {
    const auto& all = tensors();
    const auto found = std::find_if(all.begin(), all.end(), [&name](const Tensor& tensor) { return tensor.name == name; });
    return found == all.end() ? std::nullopt : std::optional<Tensor>(*found);
}
std::byte* Model::data() const { return facts_ ? facts_->mapped->data() : nullptr; }
std::uint64_t Model::device_address() const { return facts_ ? facts_->mapped->device_address() : 0; }
std::optional<Error> Model::copy_out(const Tensor& tensor, void* to) const {
    if (tensor.size_bytes == 0) return std::nullopt;
    if (!facts_) return gone("model");
    if (facts_->mapped->gpu) return facts_->mapped->gpu->read(tensor.device_address, to, tensor.size_bytes);
    std::copy_n(tensor.data, tensor.size_bytes, static_cast<std::byte*>(to));
    return std::nullopt;
}
std::uint64_t Model::size_bytes() const { return facts_ ? facts_->mapped->size_bytes : 0; }

const std::string& Allocation::id() const { return mapped_ ? mapped_->id : no_text; }
std::byte* Allocation::data() const { return mapped_ ? mapped_->data() : nullptr; }
std::uint64_t Allocation::device_address() const { return mapped_ ? mapped_->device_address() : 0; }
std::uint64_t Allocation::size_bytes() const { return mapped_ ? mapped_->size_bytes : 0; }

Result<Client> Client::connect(const std::string& socket, const std::string& name, OnReclaim on_reclaim) {
    auto connection = std::make_shared<Connection>(socket.empty() ? default_socket() : socket, name);
    if (on_reclaim) connection->let_ask(std::move(on_reclaim));
    if (auto error = connection->open()) return *std::move(error);
    return Client(std::move(connection));
}

Result<Model> Client::load(const std::string& name, const LoadOptions& options) {
    if (!connection_) return gone("client");
    json::object params{{"model", name}, {"mode", name_of(options.mode)}};
    add(params, "path", options.path);
    add(params, "deviceId", options.device);
    if (options.pinned) params["pinned"] = true;
    if (!options.tensors.empty()) params["tensors"] = json::value_from(options.tensors);
    Connection::Notice notice;
    std::exception_ptr thrown;  // By the caller's own function: thrown on when the answer is here, and what it brought is let go of.
    if (options.progress)
        notice = [&options, &thrown](const json::object& told) {
            if (thrown) return;
            const auto number = [&told](const char* member) {
                const json::value* const found = told.if_contains(member);
                return found != nullptr && found->is_number() ? found->to_number<std::uint64_t>() : 0;
            };
            const json::value* const stage = told.if_contains("stage");
            try {
                options.progress({stage != nullptr && stage->is_string() ? std::string(stage->get_string()) : "", number("doneBytes"),
                                  number("totalBytes")});
            } catch (const std::exception&) {
                thrown = std::current_exception();
            }
        };
    const auto answer = connection_->call("attach", params, notice);
    if (!answer && !thrown) return answer.error();
    const auto mapped = answer ? connection_->map(*answer, false) : Result<std::shared_ptr<const Mapped>>(answer.error());
    if (thrown) std::rethrow_exception(thrown);
    if (!mapped) return mapped.error();
    auto tensors = tensors_of(*answer, **mapped);
    if (!tensors) return tensors.error();
    const json::value* const model = answer->result.if_contains("model");
    const auto text = [model](const char* member) {
        const json::value* const found = model != nullptr && model->is_object() ? model->get_object().if_contains(member) : nullptr;
        return found != nullptr && found->is_string() ? std::string(found->get_string()) : std::string();
    };
    return Model(std::make_shared<Model::Facts>(Model::Facts{text("name"), text("format"), *std::move(tensors), *mapped}));
}

Result<Allocation> Client::allocate(std::uint64_t size_bytes, const AllocateOptions& options) {
    if (!connection_) return gone("client");
    json::object params{{"sizeBytes", size_bytes}, {"persistent", options.persistent}, {"shareable", options.shareable}};
    add(params, "deviceId", options.device);
    add(params, "purpose", options.purpose);
    if (options.timeout_seconds > 0) params["timeoutSeconds"] = options.timeout_seconds;
    const auto answer = connection_->call("allocate", params);
    if (!answer) return answer.error();
    const auto mapped = connection_->map(*answer, !options.persistent);
    if (!mapped) return mapped.error();
    return Allocation(*mapped);
}

Result<Allocation> Client::attach(const std::string& allocation_id, Mode mode) {
    if (!connection_) return gone("client");
    const auto answer = connection_->call("attach", {{"allocationId", allocation_id}, {"mode", name_of(mode)}});
    if (!answer) return answer.error();
    const auto mapped = connection_->map(*answer, false);
    if (!mapped) return mapped.error();
    return Allocation(*mapped);
}

std::optional<Error> Client::free(const std::string& allocation_id) {
    if (!connection_) return gone("client");
    const auto answer = connection_->call("free", {{"allocationId", allocation_id}});
    return answer ? std::nullopt : std::optional<Error>(answer.error());
}

const std::vector<Device>& Client::devices() const {
    static const std::vector<Device> none;
    return connection_ ? connection_->devices() : none;
}
}  // namespace vramd::client
