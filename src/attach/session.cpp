#include "attach/session.hpp"

#include <algorithm>

#include "api/codec.hpp"
#include "api/paging.hpp"
#include "api/tell.hpp"
#include "base/clock.hpp"
#include "base/random.hpp"

namespace vramd::attach {
namespace {
constexpr std::size_t page_text_bytes_max = 48 * kib;

/// Writes items, newest first, until the next one would not fit a packet; `serial_of` an item is where the next page begins.
template <class Item, class Serial>
std::string page_text(const std::vector<Item>& items, std::optional<std::string> next_cursor, Serial&& serial_of) {
    std::string text = R"({"items":[)";
    for (std::size_t i = 0; i < items.size(); ++i) {
        const std::string item = api::write(items[i]);
        if (i > 0 && text.size() + item.size() > page_text_bytes_max) {
            next_cursor = "p" + std::to_string(serial_of(items[i - 1]));
            break;
        }
        if (i > 0) text += ',';
        text += item;
    }
    return text + R"(],"nextCursor":)" + (next_cursor ? api::write(*next_cursor) : "null") + "}";
}

std::string known_methods(auto& methods) {
    std::string names;
    for (const auto& method : methods) names.append(names.empty() ? "" : ", ").append(method.name);
    return names;
}

AllocateCommand command_of(const Caller& caller, const AllocateParams& params) {
    AllocateCommand command;
    command.caller = caller;
    command.device_id = params.device_id.value_or(std::string());
    command.size_bytes = params.size_bytes;
    command.alignment_bytes = params.alignment;
    command.type = params.allocation_type;
    command.priority = params.priority;
    command.purpose = params.purpose;
    command.owner = params.owner.value_or(std::string());
    command.persistent = params.persistent;
    command.shareable = params.shareable;
    command.lease_seconds = lease_seconds;
    command.secret = random_secret();
    return command;
}
}  // namespace

const Session::Method Session::methods[] = {
    {"hello", &Session::hello},
    {"list", &Session::list},
    {"allocate", &Session::allocate},
    {"free", &Session::free},
    {"attach", &Session::attach},
    {"detach", &Session::detach},
    {"reclaimed", &Session::reclaimed},
    {"subscribe", &Session::subscribe},
    {"worker.initialize", &Session::worker_initialize},
    {"worker.load_model", &Session::worker_load},
    {"worker.unload_model", &Session::worker_unload},
    {"worker.get_model_info", &Session::worker_tell},
    {"worker.optimize_memory", &Session::worker_optimize},
    {"worker.get_status", &Session::worker_tell},
    {"worker.cleanup", &Session::worker_cleanup},
};

Session::Session(World& world, u64 number, Caller caller, Send send)
    : world_(world), number_(number), caller_(std::move(caller)), send_(std::move(send)) {
    caller_.session = number;
}
Session::~Session() = default;

void Session::answer(const std::string& id, std::string_view result, std::vector<Fd> descriptors) {
    send_({answer_text(id, result), std::move(descriptors)});
}

void Session::refuse(const std::string& id, const Error& error, const engine::Shortfall* shortfall) {
    const Number number = error.code == Code::invalid_field ? Number::invalid_params : Number::refused;
    send_({refusal_text(id, number, error, shortfall), {}});
}

void Session::refuse(const Fault& fault) { send_({refusal_text(fault.id, fault.number, fault.error), {}}); }

void Session::refuse_packet(const Error& error) {
    ++faults_;
    refuse(Fault{"null", Number::invalid_request, error});
}

void Session::receive(std::string_view packet) {
    const auto call = read_call(packet);
    if (!call) {
        if (call.error().number != Number::invalid_params) ++faults_;
        return refuse(call.error());
    }
    const auto method = std::ranges::find(methods, call->method, &Method::name);
    if (method == std::end(methods)) {
        ++faults_;
        return refuse({call->id, Number::method_not_found,
                       Error{Code::unsupported,
                             {},
                             0,
                             0,
                             "There is no method " + api::quoted_text(call->method) + "; there are: " + known_methods(methods) + "."}});
    }
    if (!greeted_ && method->run != &Session::hello)
        return refuse(call->id, Error{Code::conflict, {}, 0, 0, "The first call of a connection is hello."});
    (this->*method->run)(*call);
}

/// Whether one more call may wait for its answer.
bool Session::may_wait(const Call& call) {
    if (in_flight_ < world_.quotas.in_flight_max) return true;
    refuse(call.id, Error{Code::busy,
                          {},
                          in_flight_,
                          world_.quotas.in_flight_max,
                          "So many calls of this connection wait for their answers already; send this one when one of them has come."});
    return false;
}

void Session::list(const Call& call) {
    const auto params = params_of<ListParams>(call);
    if (!params) return refuse(call.id, params.error());
    auto below = api::cursor_number(params->cursor, ~u64{0});
    if (!below) return refuse(call.id, Error{Code::invalid_field, "/cursor", 0, 0, "/cursor must be the nextCursor of the page before."});
    if (params->kind == Listed::allocations) {
        report::AllocationFilter filter{
            params->device_id.value_or(""), params->owner.value_or(""), params->type, params->status, *below, params->limit};
        const report::AllocationPage page = world_.engine.allocations(caller_, filter);
        const api::AllocationList list = api::tell_allocations(page);
        return answer(call.id, page_text(list.items, list.next_cursor,
                                         [](const api::Allocation& item) { return id_from<AllocationTag>(item.id)->serial; }));
    }
    std::vector<report::ModelTold> models = world_.engine.models();
    std::ranges::sort(models, std::ranges::greater(), [](const report::ModelTold& model) { return model.id.serial; });
    std::vector<api::Model> items;
    std::optional<std::string> next_cursor;
    for (const report::ModelTold& model : models) {
        const auto here = [&](const report::ModelPlaceTold& place) { return !params->device_id || place.device_id == *params->device_id; };
        if (model.id.serial >= *below || std::ranges::none_of(model.places, here)) continue;
        if (items.size() == params->limit) {
            next_cursor = "p" + std::to_string(id_from<ModelTag>(items.back().id)->serial);
            break;
        }
        items.push_back(api::tell_model(model));
    }
    answer(call.id, page_text(items, std::move(next_cursor), [](const api::Model& item) { return id_from<ModelTag>(item.id)->serial; }));
}

// ------------------------------------------------------------------------------------------------------------------------- allocations
void Session::allocate(const Call& call) {
    const auto params = params_of<AllocateParams>(call);
    if (!params) return refuse(call.id, params.error());
    if (!may_wait(call)) return;
    if (const auto room = room_to_hold(); !room) return refuse(call.id, room.error());
    AllocateCommand command = command_of(caller_, *params);
    ++in_flight_;
    auto done = [later = world_.later, number = number_, engine = &world_.engine, id = call.id,
                 command](Result<engine::Allocated> made) mutable {
        later(number, [engine, id = std::move(id), command = std::move(command), made = std::move(made)](Session* session) mutable {
            if (session != nullptr)
                session->allocated(id, command, std::move(made));
            else if (made)  // Nobody was told of it.
                engine->free({command.caller, made->record.id}, true, [](const Result<engine::Freed>&) {});
        });
    };
    world_.engine.allocate(std::move(command), params->timeout_seconds * ns_per_second, std::move(done));
}

void Session::allocated(const std::string& id, const AllocateCommand& command, Result<engine::Allocated> made) {
    --in_flight_;
    if (!made) {
        const bool short_of_room = made.error().code == Code::insufficient_memory || made.error().code == Code::timed_out;
        if (!short_of_room) return refuse(id, made.error());
        const engine::Shortfall shortfall = world_.engine.shortfall_of(command);
        return refuse(id, made.error(), &shortfall);
    }
    std::vector<Fd> descriptors;
    auto given = give_new(made->record, descriptors);
    if (!given) {
        world_.engine.free({caller_, made->record.id}, true, [](const Result<engine::Freed>&) {});
        return refuse(id, given.error());
    }
    const auto now = world_.engine.allocation(caller_, made->record.id);
    if (now) made->record = *now;  // With this client counted.
    answer(id, api::write(AllocateResult{api::tell_made(*made), *std::move(given)}), std::move(descriptors));
}

/// The memory of what was just made for this client, or nothing where it lies in a block with others.
Result<std::optional<MemoryGiven>> Session::give_new(const report::AllocationTold& made, std::vector<Fd>& descriptors) {
    const Ends ends = made.persistent ? Ends::by_a_free : Ends::with_us;
    auto given = give(made.id, engine::AttachMode::write, descriptors, ends);
    if (given) return *std::move(given);
    if (given.error().code != Code::unsupported) return std::unexpected(given.error());
    if (!made.persistent) {
        TRY(auto hold, world_.engine.attach(caller_, made.id, std::nullopt, {session_, true}));
        held_[made.id.serial] = {made.id, std::move(hold), false, true};
    }
    return std::nullopt;
}

Result<MemoryGiven> Session::give(AllocationId id, engine::AttachMode mode, std::vector<Fd>& descriptors, Ends ends) {
    if (!held_.contains(id.serial)) TRY_DO(room_to_hold());
    TRY(auto hold, world_.engine.attach(caller_, id, mode, {session_, ends == Ends::with_us}));
    Fd memory = hold->take_memory();
    const auto maps = [&](const DeviceTold& told) {
        return told.device_id == hold->device_id() && std::ranges::find(told.capabilities, "map") != told.capabilities.end();
    };
    Result<void> usable;
    if (mode == engine::AttachMode::private_ && std::ranges::none_of(world_.devices, maps))
        usable = vramd::refuse(Code::unsupported, "/mode",
                               "Copies of one's own page by page are made of system memory alone; attach it to read.");
    else if (!memory)
        usable = vramd::refuse(Code::unsupported, "device", "The device has no memory that another process could map.");
    if (!usable) {
        if (session_ && !held_.contains(id.serial)) (void)world_.engine.let_go(session_, id);  // Else we hold it until we end.
        return std::unexpected(usable.error());
    }
    MemoryGiven given{to_text(id), descriptors.size(), hold->offset_bytes(), hold->size_bytes(),
                      mode,        hold->device_id(),  hold->block_bytes()};
    descriptors.push_back(std::move(memory));
    let_ask(*hold);
    Held& held = held_[id.serial];
    held.id = id;
    held.attached = true;
    held.ends_with_us |= ends == Ends::with_us;
    held.hold = std::move(hold);  // One from before goes only now.
    return given;
}

Result<void> Session::room_to_hold() const {
    if (held_.size() < world_.quotas.held_max) return {};
    return vramd::refuse(
        Code::limit_exceeded, {},
        "This connection holds " + std::to_string(held_.size()) + " allocations, as many as one may; detach some or open another.");
}

Result<AllocationId> Session::id_from_text(const std::string& text) {
    const auto id = id_from<AllocationTag>(text);
    if (!id)
        return vramd::refuse(Code::not_found, "/allocationId",
                             "There is no allocation " + api::quoted_text(text) + ", or it is not yours.");
    return *id;
}

void Session::free(const Call& call) {
    const auto params = params_of<FreeParams>(call);
    if (!params) return refuse(call.id, params.error());
    const auto id = id_from_text(params->allocation_id);
    if (!id) return refuse(call.id, id.error());
    if (!may_wait(call)) return;
    Held before;
    if (const auto held = held_.find(id->serial); held != held_.end() && held->second.id == *id) {
        before = std::move(held->second);
        held_.erase(held);
    }
    // Its lease may be over: it must not end by that between our hold and the free.
    if (before.ends_with_us) (void)world_.engine.renew_lease({caller_, *id, lease_seconds});
    before.hold.reset();
    ++in_flight_;
    auto done = [later = world_.later, number = number_, engine = &world_.engine, id = *id, call_id = call.id, attached = before.attached,
                 ends_with_us = before.ends_with_us, caller = caller_](Result<engine::Freed> result) mutable {
        later(number, [=, result = std::move(result)](Session* session) mutable {
            if (session != nullptr)
                session->freed(call_id, {id, nullptr, attached, ends_with_us}, result);
            else if (!result && ends_with_us)
                engine->free({caller, id}, true, [](const Result<engine::Freed>&) {});
        });
    };
    world_.engine.free({caller_, *id}, params->force, std::move(done));
}

void Session::freed(const std::string& id, Held before, const Result<engine::Freed>& freed) {
    --in_flight_;
    if (freed && session_ && freed->status == AllocationStatus::zombie) (void)world_.engine.let_go(session_, before.id);
    if (freed) return answer(id, api::write(api::tell_freed(*freed)));
    if (before.attached || before.ends_with_us) {  // It stays, and so does our hold.
        if (auto again = world_.engine.attach(caller_, before.id, std::nullopt, {session_})) {
            before.hold = *std::move(again);
            held_.insert_or_assign(before.id.serial, std::move(before));
        }
    }
    refuse(id, freed.error());
}

void Session::detach(const Call& call) {
    const auto params = params_of<DetachParams>(call);
    if (!params) return refuse(call.id, params.error());
    const auto id = id_from_text(params->allocation_id);
    const auto found = id ? held_.find(id->serial) : held_.end();
    if (found == held_.end() || found->second.id != *id || !found->second.attached)
        return refuse(call.id, Error{Code::not_found, "/allocationId", 0, 0,
                                     "This connection has not attached " + api::quoted_text(params->allocation_id) + "."});
    if (const auto gone = let_go(found); !gone) return refuse(call.id, gone.error());
    answer(call.id, api::write(*params));
}

/// The mapping is gone; what ends with us is ours until it is freed.
Result<void> Session::let_go(std::map<u64, Held>::iterator held) {
    TRY(const engine::Kept kept, world_.engine.let_go(session_, held->second.id));
    if (held->second.ends_with_us && kept == engine::Kept::until_it_ends)
        held->second.attached = false;
    else
        held_.erase(held);
    return {};
}

/// Events come over a socket of their own: whoever reads them slowly, or not at all, misses nothing else.
void Session::subscribe(const Call& call) {
    auto query = params_of<api::EventsQuery>(call);
    if (!query) return refuse(call.id, query.error());
    if (const auto open = stream_.lock(); open != nullptr && !open->over())
        return refuse(call.id,
                      Error{Code::conflict, {}, 0, 0, "This connection has a stream of events; close that, or open another connection."});
    auto wanted = api::wanted_events(world_.engine, caller_, *std::move(query), nullptr, "/");
    if (!wanted) return refuse(call.id, wanted.error());
    const u64 from = wanted->from;
    auto ends = world_.pipes.make();
    if (!ends) return refuse(call.id, ends.error());
    if (const auto begun = world_.streams.begin(*std::move(wanted), http::EventStream(ends->ours)); !begun)
        return refuse(call.id, begun.error());
    stream_ = ends->ours;
    std::vector<Fd> descriptors;
    descriptors.push_back(std::move(ends->theirs));
    answer(call.id, api::write(SubscribeResult{0, from}), std::move(descriptors));
}

std::vector<engine::ZombieTold> Session::held_of(std::span<const engine::ZombieTold> zombies) const {
    std::vector<engine::ZombieTold> ours;
    if (zombies.empty()) return ours;
    for (const auto& [serial, held] : held_) {
        const auto zombie = std::ranges::lower_bound(zombies, serial, {}, [](const engine::ZombieTold& told) { return told.id.serial; });
        if (zombie != zombies.end() && zombie->id == held.id) ours.push_back(*zombie);
    }
    return ours;
}

bool Session::let_go_unmapped(AllocationId id) {
    const auto held = held_.find(id.serial);
    if (held == held_.end() || held->second.attached) return false;
    (void)let_go(held);  // What the ledger cannot take now stays a zombie, and is tried again.
    return true;
}

void Session::end() {
    loads_.clear();
    if (const auto stream = stream_.lock()) stream->end();  // As many streams as connections, which are counted.
    std::vector<AllocationId> ending;
    for (const auto& [serial, held] : held_)
        if (held.ends_with_us) ending.push_back(held.id);
    held_.clear();
    if (in_flight_ > 0) world_.engine.forget_waiting(number_);
    if (session_) world_.engine.end_session(session_);
    // Who reads one of them by other ways is waited for; another client keeps it until its lease is over.
    for (const AllocationId id : ending) world_.engine.free({caller_, id}, true, [](const Result<engine::Freed>&) {});
}
}  // namespace vramd::attach
