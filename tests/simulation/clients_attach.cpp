/// Clients that have memory attached for a while, and let it go.
#include <algorithm>

#include "clients.hpp"

namespace vramd::simulation {
namespace {
constexpr std::size_t readers_max = 4;
}

/// Somebody attaches a model, its cached copy perhaps, or an allocation of its own; or one of those who use something lets go of it.
void Clients::attach(Choices& choices) {
    if (readers_.size() >= readers_max || (!readers_.empty() && choices.one_in(2))) return let_reader_go(choices.below(readers_.size()));
    if (choices.one_in(4)) {
        const auto id = any(choices);
        if (!id || held_.at(*id).ending || expired(held_.at(*id))) return;
        Held& held = held_.at(*id);
        if (!hold_attached(held.owner, *id, Asks::yes)) return;  // It never is.
        held.busy += 1;
        renewed(held);
        return;
    }
    const auto model = world_.core().model(model_names[choices.below(std::size(model_names))]);
    if (!model || model->places.empty()) return;
    const report::ModelPlaceTold& place = model->places[choices.below(model->places.size())];
    if (place.state == ModelState::resident &&
        hold_attached({"anybody", Role::user}, place.allocation, choices.one_in(3) ? Asks::no : Asks::yes))
        met_["a client attached a model"] += 1;
}

bool Clients::hold_attached(const Caller& caller, AllocationId id, Asks asks) {
    auto attached = world_.core().attach({caller.owner, caller.role, {}, next_session_++}, id, std::nullopt);
    const auto own = held_.find(id);
    if (!attached && excused(attached.error(), own == held_.end() ? nullptr : &own->second)) return false;
    if (!attached) fail("memory cannot be attached: " + describe(attached.error()));
    readers_.push_back({id, place_of(id), {}, *std::move(attached), {}});
    if (asks == Asks::no) return true;
    const auto question = readers_.back().question = std::make_shared<Question>();
    readers_.back().attachment->let_ask([this, epoch = world_.epoch, question](const engine::Ask& ask) {
        if (epoch == world_.epoch) asked(ask, *question);
    });
    return true;
}

/// Who is asked can give what it is asked for, and was left in peace since it was asked before.
void Clients::asked(const engine::Ask& ask, Question& question) {
    met_["a client was asked"] += 1;
    if (world_.now_ns() < question.until_ns) fail("a client was asked again before its time was over");
    if (ask.within_ns == 0 || ask.within_ns > 10 * ns_per_second) fail("a client was asked for what is of no use, or for too long");
    question = {world_.now_ns() + ask.within_ns, true};
    for (const Reader& reader : readers_)
        if (reader.id == ask.allocation && !reader.question) fail("a client was asked for what another keeps who cannot be asked");
    world_.core().look([&](const core::State& state) {
        const model::Copy* copy = state.catalogue.copy(ask.allocation.serial);
        if (copy == nullptr || copy->pinned || copy->state != ModelState::resident)
            fail("a client was asked for what could not be evicted");
        if (ask.bytes != state.books.block(state.books.allocation(ask.allocation)->row.block)->row.size_bytes)
            fail("a client was asked for other bytes than would come back");
    });
}

/// Who was asked lets go, or says that it does not; others never answer.
void Clients::answer_asked(Choices& choices) {
    for (std::size_t i = 0; i < readers_.size(); ++i) {
        Reader& reader = readers_[i];
        if (!reader.question || !reader.question->pending) continue;
        reader.question->pending = false;
        if (choices.one_in(4)) return reader.attachment->keeps();
        met_["a client let go of what it was asked for"] += 1;
        return let_reader_go(i);
    }
}

/// What blocks hold of which nobody has any use but clients that could be asked and were not yet; nothing where anybody was asked.
u64 Clients::askable_bytes(const core::State& state, u16 device) const {
    std::set<u64> serials, kept;
    for (const auto& [id, transferring] : transfers_) kept.insert(transferring.told.plan.source.serial);
    for (const auto& [number, session] : sessions_)
        for (const auto& [id, hold] : session.holds) kept.insert(id.serial);
    for (const Reader& reader : readers_) {
        if (reader.question && reader.question->until_ns != 0) return 0;
        (reader.question ? serials : kept).insert(reader.id.serial);
    }
    u64 bytes = 0;
    for (const u64 serial : serials) {
        const model::Copy* copy = kept.contains(serial) ? nullptr : state.catalogue.copy(serial);
        const auto all = copy == nullptr ? std::vector<const model::Copy*>() : state.catalogue.copies_of(copy->model);
        const bool source = std::ranges::find(all, ModelState::loading, &model::Copy::state) != all.end();
        if (copy != nullptr && copy->device == device && !copy->pinned && !source && state.transfers.of(serial).empty())
            bytes += state.books.block(state.books.allocation_by_serial(serial)->row.block)->row.size_bytes;
    }
    return bytes;
}

/// A model that was loaded to be attached is there when its load is told, whatever it is called by then.
void Clients::attach_loaded(const report::OperationTold& loaded) {
    std::optional<AllocationId> place;
    if (loaded.state == OperationState::succeeded)
        world_.core().look([&](const core::State& state) {
            const model::Operation* operation = state.catalogue.operation(loaded.id);
            const model::Copy* copy = operation == nullptr ? nullptr : state.catalogue.copy_on(operation->model, operation->target);
            if (copy == nullptr || copy->state != ModelState::resident) fail("a model that was loaded to be attached is not there");
            place = copy->allocation;
        });
    if (place && readers_.size() < readers_max && hold_attached({"anybody", Role::user}, *place, Asks::yes))
        met_["a model was attached by who loaded it"] += 1;
    world_.core().let_loaded_go(loaded.id);
}
}  // namespace vramd::simulation
