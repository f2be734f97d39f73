#include "core/state.hpp"

#include "base/checksum.hpp"
#include "terms/archive.hpp"

namespace vramd::core {
namespace {
template <class T>
concept ForBooks = requires(memory::Books& books, const T& event) {
    books.apply(event);
};
}  // namespace

void apply(State& state, const Event& event) {
    std::visit(
        [&state](const auto& kind) {
            if constexpr (ForBooks<std::decay_t<decltype(kind)>>)
                state.books.apply(kind);
            else
                state.catalogue.apply(kind);
        },
        event);
}

std::vector<std::string> audit(const State& state) {
    std::vector<std::string> findings;
    state.books.audit(findings);
    state.catalogue.audit(findings);
    for (const auto& [serial, model] : state.catalogue.models()) {
        const memory::Allocation* allocation = state.books.allocation(model.allocation);
        if (allocation == nullptr || allocation->row.model != serial)
            findings.push_back("model " + model.names.front() + " has no memory of its own.");
        else if ((model.state == ModelState::resident) != (allocation->row.status == AllocationStatus::live))
            findings.push_back("model " + model.names.front() + " and its memory disagree about being ready.");
    }
    for (const auto& [serial, allocation] : state.books.allocations())
        if (allocation.row.model != 0 && state.catalogue.model(allocation.row.model) == nullptr)
            findings.push_back("allocation " + std::to_string(serial) + " holds a model that is not there.");
    return findings;
}

std::vector<std::byte> save(const State& state) {
    std::vector<std::byte> books;
    state.books.save(books);
    std::vector<std::byte> out;
    ArchiveWriter writer(out);
    writer(static_cast<u64>(books.size()));
    out.insert(out.end(), books.begin(), books.end());
    state.catalogue.save(out);
    return out;
}

Result<State> restore(std::span<const std::byte> bytes) {
    u64 books_size = 0;
    if (bytes.size() < sizeof books_size) return refuse(Code::system_failed, "snapshot", "The snapshot is shorter than its head.");
    std::memcpy(&books_size, bytes.data(), sizeof books_size);
    bytes = bytes.subspan(sizeof books_size);
    if (books_size > bytes.size()) return refuse(Code::system_failed, "snapshot", "The snapshot is shorter than its head says.");
    State state;
    TRY(state.books, memory::Books::restore(bytes.first(books_size)));
    TRY(state.catalogue, model::Catalogue::restore(bytes.subspan(books_size)));
    return state;
}

u64 state_hash(const State& state) { return checksum(save(state)); }

bool may_see(const State& state, const Caller& caller, const memory::Allocation& allocation) {
    return caller.role == Role::admin || allocation.row.model != 0 || state.books.name(allocation.row.owner) == caller.owner;
}
}  // namespace vramd::core
