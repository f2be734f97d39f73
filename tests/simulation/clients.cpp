/// What is done to allocations, and what befalls the daemon.
#include "clients.hpp"

#include <algorithm>
#include <cstring>

namespace vramd::simulation {
namespace {
constexpr u64 sizes[] = {1, 255, 256, 257, 4096, 5000, 20'000, 65'536, 80'000, 200'000};
}  // namespace

const std::array<Clients::Deed, 39> Clients::deeds{{
    {&Clients::step, 18},       {&Clients::allocate, 10},     {&Clients::free, 6},
    {&Clients::write, 6},       {&Clients::read, 4},          {&Clients::clear, 2},
    {&Clients::copy, 2},        {&Clients::renew, 2},         {&Clients::touch_others, 2},
    {&Clients::load, 3},        {&Clients::unload, 2},        {&Clients::cancel, 2},
    {&Clients::change_file, 2}, {&Clients::fault, 2},         {&Clients::pass_time, 2},
    {&Clients::crash, 1},       {&Clients::hold_open, 2},     {&Clients::force_free, 2},
    {&Clients::clear_free, 2},  {&Clients::transfer, 6},      {&Clients::cancel_transfer, 1},
    {&Clients::upkeep, 1},      {&Clients::try_upkeep, 1},    {&Clients::cancel_upkeep, 1},
    {&Clients::step, 12},       {&Clients::write, 2},         {&Clients::step, 12},
    {&Clients::set_limits, 1},  {&Clients::want, 4},          {&Clients::follow_advice, 2},
    {&Clients::rest, 1},        {&Clients::begin_session, 1}, {&Clients::take_hold, 4},
    {&Clients::let_hold_go, 1}, {&Clients::end_session, 1},   {&Clients::resume_session, 2},
    {&Clients::attach, 5},      {&Clients::answer_asked, 8},  {&Clients::touch_zombie, 2},
}};

/// Each run leaves some deeds out and does others more often; the world goes on in all of them.
Clients::Clients(World& world, Choices& choices, Met& met) : world_(world), met_(met) {
    for (std::size_t i = 0; i < deeds.size(); ++i) {
        const bool always = deeds[i].act == &Clients::step || deeds[i].act == &Clients::allocate;
        const u64 factor = std::array<u64, 6>{4, 4, 4, 16, 1, 0}[choices.below(6)];
        weights_[i] = deeds[i].weight * (always ? std::max<u64>(factor, 4) : factor);
        weight_ += weights_[i];
    }
}

/// After a failure answers may still come while readers go: nobody listens any more.
Clients::~Clients() {
    ++world_.epoch;
    readers_.clear();
    sessions_.clear();
}

void Clients::act(Choices& choices) {
    u64 drawn = choices.below(weight_);
    std::size_t which = 0;
    for (; drawn >= weights_[which]; ++which) drawn -= weights_[which];
    (this->*deeds[which].act)(choices);
    check();
}

void Clients::step(Choices& choices) { (void)world_.step(choices); }  // Nothing may be due.
void Clients::pass_time(Choices& choices) { world_.advance_ns(choices.below(20) * ns_per_second); }

std::optional<AllocationId> Clients::any(Choices& choices) {
    if (held_.empty()) return std::nullopt;
    auto at = held_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(choices.below(held_.size())));
    return at->first;
}

bool Clients::excused(const Error& error, const Held* held) const {
    if (error.code == Code::system_failed) return faulty_;
    if (error.code == Code::read_only) return true;  // The ledger's next file comes with the next steps; at rest there must be one.
    // Who waits for a move's or a transfer's end keeps newcomers out for a moment.
    return error.code == Code::conflict && held != nullptr &&
           (held->moving > 0 || held->ending || held->doomed || held->may_go || !upkeeps_.empty());
}

void Clients::renewed(Held& held) {
    if (held.lease_until_ns != 0) held.lease_until_ns = world_.now_ns() + held.lease_seconds * ns_per_second;
}

Clients::Place Clients::place_of(AllocationId id) {
    const auto told = world_.core().allocation(admin, id);
    if (!told) fail("an allocation is not there: " + describe(told.error()));
    return {told->block, told->offset_bytes};
}

void Clients::took(AllocationId id, Held held) {
    if (const auto bytes = content(held.owner, id, nullptr))
        for (const std::byte byte : *bytes)
            if (byte != std::byte{0}) fail("a new allocation shows bytes of an older one");
    if (!held_.emplace(id, std::move(held)).second) fail("an id was given out twice");
}

void Clients::allocate(Choices& choices) {
    AllocateCommand command;
    command.caller = caller_of(choices.below(3));
    command.device_id = std::array{"", "a", "b"}[choices.below(3)];
    command.size_bytes = sizes[choices.below(std::size(sizes))];
    command.alignment_bytes = u64{1} << choices.below(14);
    command.type = std::array{AllocationType::default_, AllocationType::default_, AllocationType::buffer,
                              AllocationType::mapped,   AllocationType::texture,  AllocationType::pinned}[choices.below(6)];
    command.shareable = choices.one_in(8);
    command.persistent = !choices.one_in(4);
    command.lease_seconds = 10 + choices.below(50);
    command.priority = static_cast<Priority>(choices.below(4));
    ask(command, choices.one_in(4) ? choices.below(60) * ns_per_second : 0);
}

/// Refused where somebody is at it; a move that closes a hole is waited for, and the answer may come later.
void Clients::free(Choices& choices) {
    const auto id = any(choices);
    if (!id || held_.at(*id).ending) return;
    Held& held = held_.at(*id);
    if (held.busy > 0 && (held.moving > 0 || !upkeeps_.empty())) return;  // A clear's answer may come after the free's.
    const bool busy = held.busy > 0 || held.in_transfer() || held.firm + held.loose > 0;
    const bool gone = expired(held);
    const auto answered = std::make_shared<bool>(false);
    const u64 epoch = world_.epoch;
    ++unanswered_;
    world_.core().free({held.owner, *id}, false, [this, answered, epoch, busy, gone, id = *id](const Result<engine::Freed>& freed) {
        if (epoch != world_.epoch) return;
        if (*answered) fail("a free was answered twice");
        *answered = true;
        --unanswered_;
        see_transfers();
        const auto at = held_.find(id);
        if (at == held_.end()) return;  // Its lease ran out, or a transfer moved it away, while the free waited.
        const bool late = at->second.ending;
        if (freed && (at->second.busy > 0 || at->second.in_transfer() || at->second.firm > 0)) fail("memory was freed while it was used");
        if (!freed && !busy && !gone && !late && !excused(freed.error(), &at->second))
            fail("a free was refused: " + describe(freed.error()));
        if (freed) held_.erase(at);
        if (!freed) at->second.ending = false;
    });
    if (*answered) return;
    if (held.moving == 0 && upkeeps_.empty() && !held.doomed && !held.may_go) fail("a free was not answered");
    held.ending = true;
    met_["a free waits for a move"] += 1;
}

std::optional<std::vector<std::byte>> Clients::content(const Caller& caller, AllocationId id, const Held* held) {
    auto opened = world_.core().open_content(caller, id, engine::Access::read);
    if (!opened && excused(opened.error(), held)) return std::nullopt;
    if (!opened) fail("content cannot be read: " + describe(opened.error()));
    std::vector<std::byte> bytes;
    while (bytes.size() < (*opened)->size_bytes()) {
        const auto part = (*opened)->view(bytes.size(), 10'000);
        if (!part || part->empty()) fail("a view of content is missing");
        bytes.insert(bytes.end(), part->begin(), part->end());
    }
    return bytes;
}

void Clients::write(Choices& choices) {
    const auto id = any(choices);
    if (!id) return;
    Held& held = held_.at(*id);
    if (!held.may_write() || expired(held)) return;
    auto opened = world_.core().open_content(held.owner, *id, engine::Access::write);
    if (!opened && excused(opened.error(), &held)) return;
    if (!opened) fail("content cannot be written: " + describe(opened.error()));
    const u64 from = choices.below(held.bytes.size());
    const u64 count = 1 + choices.below(held.bytes.size() - from);
    const auto value = static_cast<std::byte>(1 + choices.below(255));
    const auto room = (*opened)->room(from, count);
    if (!room || room->size() < count) fail("there is no room to write");
    std::memset(room->data(), static_cast<int>(value), count);
    std::fill_n(held.bytes.begin() + static_cast<std::ptrdiff_t>(from), count, value);
    renewed(held);
    if (held.moving > 0) met_["a write while it is moved"] += 1;
}

void Clients::read(Choices& choices) {
    const auto id = any(choices);
    if (id && !expired(held_.at(*id))) compare(*id, held_.at(*id));
}

void Clients::renew(Choices& choices) {
    const auto id = any(choices);
    if (!id) return;
    Held& held = held_.at(*id);
    if (held.lease_until_ns == 0 || held.ending || expired(held)) return;
    held.lease_seconds = 1 + choices.below(100);
    const auto told = world_.core().renew_lease({held.owner, *id, held.lease_seconds});
    if (!told) fail("a lease was not renewed: " + describe(told.error()));
    held.lease_until_ns = told->lease_until_monotonic_ns;
}

/// Another's allocation looks like a missing one, whatever is tried.
void Clients::touch_others(Choices& choices) {
    const auto id = any(choices);
    if (!id) return;
    const Caller stranger{"stranger", Role::user};
    const auto expect_missing = [](const auto& result) {
        if (result || result.error().code != Code::not_found) fail("another's allocation does not look missing");
    };
    expect_missing(world_.core().allocation(stranger, *id));
    expect_missing(world_.core().open_content(stranger, *id, engine::Access::read));
    expect_missing(world_.core().renew_lease({stranger, *id, 5}));
    world_.core().free({stranger, *id}, false, expect_missing);
    world_.core().free({held_.at(*id).owner, {id->serial, id->secret + 1}}, false, expect_missing);
}

void Clients::change_file(Choices& choices) {
    ModelFile& file = world_.files[model_paths[choices.below(std::size(model_paths))]];
    file.size_bytes = 1 + choices.below(100'000);
    file.seed = choices.below(1000);
    file.version += 1;
}

/// Somebody begins to read, or one of those who read stops.
void Clients::hold_open(Choices& choices) {
    if (readers_.size() >= 3 || (!readers_.empty() && choices.one_in(2))) return let_reader_go(choices.below(readers_.size()));
    if (choices.one_in(4)) return hold_model_open(choices);
    auto id = any(choices);
    if (choices.one_in(2))  // What is being moved just now is left in peace by nobody.
        world_.core().look([&](const core::State& state) {
            for (const auto& [serial, move] : state.books.moves())
                if (const AllocationId moved = state.books.allocation_by_serial(serial)->row.id; held_.contains(moved)) id = moved;
        });
    if (!id || held_.at(*id).ending || expired(held_.at(*id))) return;
    Held& held = held_.at(*id);
    auto opened = world_.core().open_content(held.owner, *id, engine::Access::read);
    if (!opened && excused(opened.error(), &held)) return;
    if (!opened) fail("content cannot be read: " + describe(opened.error()));
    held.busy += 1;
    renewed(held);
    readers_.push_back({*id, place_of(*id), *std::move(opened)});
}

/// Whoever reads a model keeps it from being evicted.
void Clients::hold_model_open(Choices& choices) {
    const auto model = world_.core().model(model_names[choices.below(std::size(model_names))]);
    if (!model || model->best().state != ModelState::resident) return;
    auto opened = world_.core().open_content({"anybody", Role::user}, model->best().allocation, engine::Access::read);
    if (!opened && excused(opened.error(), nullptr)) return;
    if (!opened) fail("a model cannot be read: " + describe(opened.error()));
    readers_.push_back({model->best().allocation, place_of(model->best().allocation), *std::move(opened)});
    met_["a model is read for a while"] += 1;
}

void Clients::let_reader_go(std::size_t index) {
    auto reader = std::move(readers_[index]);
    readers_.erase(readers_.begin() + static_cast<std::ptrdiff_t>(index));
    if (const auto held = held_.find(reader.id); held != held_.end()) held->second.busy -= 1;  // Else it is a model's.
    const bool wakes = reader.attachment != nullptr && !wanted_.empty();
    reader.content.reset();
    reader.attachment.reset();
    met_["a client let go while somebody waited"] += wakes ? 1 : 0;
}

bool Clients::is_read(AllocationId id) const {
    return is_held(id) || std::ranges::any_of(readers_, [id](const Reader& reader) { return reader.id == id; });
}

/// A forced free waits for those who read and write now, and then frees; what clients have attached it makes a zombie. Only a transfer
/// that has not ended is a reason to refuse it.
void Clients::force_free(Choices& choices) {
    const auto id = any(choices);
    if (!id || held_.at(*id).ending || expired(held_.at(*id))) return;
    Held& held = held_.at(*id);
    const auto reads_it = [&id](const Reader& reader) { return reader.id == *id; };
    if (held.busy != static_cast<u64>(std::ranges::count_if(readers_, reads_it))) return;  // A clear's answer may come after the free's.
    held.ending = true;
    ++unanswered_;
    const u64 epoch = world_.epoch;
    const bool in_transfer = held.in_transfer();
    const auto accepted = std::make_shared<bool>(false);
    world_.core().free({held.owner, *id}, true, [this, epoch, in_transfer, accepted, id = *id](const Result<engine::Freed>& freed) {
        if (epoch != world_.epoch) return;
        --unanswered_;
        see_transfers();
        const auto at = held_.find(id);
        if (at == held_.end()) return;  // The transfer that it waited for moved it away.
        if (*accepted && !freed && freed.error().code != Code::read_only && !expired(at->second))
            fail("a forced free that was accepted did not end as freed: " + describe(freed.error()));
        if (!freed && !in_transfer && !excused(freed.error(), &at->second)) fail("a forced free was refused: " + describe(freed.error()));
        if (freed && freed->status == AllocationStatus::zombie) return became_zombie(id);
        if (freed && at->second.firm > 0) fail("memory was freed under clients that have it attached");
        if (freed && (at->second.busy > 0 || at->second.in_transfer())) fail("a forced free did not wait for those at it");
        if (freed) held_.erase(at);
        if (!freed) at->second.ending = false;
    });
    *accepted = held_.contains(*id) && held_.at(*id).ending;
    met_["a forced free waits"] += *accepted ? 1 : 0;
}

void Clients::fault(Choices& choices) {
    auto& backing = *world_.backings[choices.below(world_.backings.size())];
    switch (choices.below(4)) {
        case 0:
            world_.vault->failures = 1;
            break;
        case 1:
            backing.fail_creates(1, Code::insufficient_memory);
            break;
        case 2:
            world_.flips = 1;
            break;
        default:
            backing.fail_call(choices.below(6), Code::system_failed);
            faulty_ = true;
            break;
    }
}

void Clients::crash(Choices& choices) {
    while (!readers_.empty()) let_reader_go(0);  // Before the core that they read from.
    see_transfers();
    note_models();  // Before the reader let go, a model could not be evicted; now one may have been.
    unanswered_ = 0;
    world_.disarm();
    faulty_ = false;
    world_.capacities.at("b") = choices.one_in(2) ? 256 * kib : 64 * kib + choices.below(12) * 16 * kib;
    loads_.clear();  // Whoever waited for them lost the connection.
    wanted_.clear();
    refusal_.reset();
    for (auto& [id, held] : held_) {
        held.unsure = held.unsure || held.busy > 0;
        held.busy = 0;
        held.ending = false;
    }
    next_serial_ = next_block_ = UINT64_MAX;  // What the next core makes of the old one's blocks is not asked for by anybody.
    std::set<std::string> acknowledged;
    for (const auto& [name, path] : resident_) acknowledged.insert(name);
    met_["a crash with a zombie"] += zombies_.empty() ? 0 : 1;
    met_["a crash in a transfer"] += transfers_.empty() ? 0 : 1;
    world_.core().abandon();
    ++world_.epoch;  // From here on nobody hears it.
    lose_connections();
    for (const std::string& wrong : world_.crash()) fail(wrong);
    see_sessions();
    for (const std::string& name : acknowledged)
        if (!world_.core().model(name)) fail("the model " + name + " was lost in a crash");
    see_transfers();
    compare_all();
    // Exactly what was acknowledged is there: an answer that nobody heard leaves nothing behind but models, loads and transfers that go on.
    std::set<AllocationId> in_making;
    for (const auto& [id, transferring] : transfers_) in_making.insert(transferring.told.plan.target);
    report::AllocationFilter all;
    all.limit = 100'000;
    for (const report::AllocationTold& told : world_.core().allocations(admin, all).items)
        if (told.model.empty() && told.owner != "vramd" && !held_.contains(told.id) && !zombies_.contains(told.id) &&
            !in_making.contains(told.id))
            fail("an allocation that nobody was told of outlived a crash");
}
}  // namespace vramd::simulation
