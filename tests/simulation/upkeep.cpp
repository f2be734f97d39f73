/// upkeep_simulation [--runs N] [--steps M] [--seed S]: defragmentations and optimizes under random allocations, frees, writes and reads,
/// with crashes anywhere. The oracle knows owners and bytes only: whatever is moved, every id keeps its content.
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "world.hpp"

using namespace vramd;
using namespace vramd::simulation;

namespace {
struct Wrong : std::runtime_error {
    using std::runtime_error::runtime_error;
};
const Caller admin{"uid:0", Role::admin};
constexpr u64 sizes[] = {1, 256, 1000, 4096, 9000, 20'000, 70'000};

class Users {
public:
    explicit Users(World& world) : world_(world) {}
    u64 moves = 0;       ///< Of the upkeeps that ended.
    u64 ended = 0;
    u64 taken_up = 0;    ///< Ended by another core than the one that began them.
    u64 cancelled = 0;

    void act(Choices& choices) {
        switch (choices.below(20)) {
            case 0 ... 3: allocate(choices); break;
            case 4 ... 5: free(choices); break;
            case 6 ... 7: write(choices); break;
            case 8: compare(choices); break;
            case 9: hold(choices); break;
            case 10 ... 11: begin(choices); break;
            case 12: cancel(choices); break;
            case 13: world_.advance_ns(choices.below(40) * ns_per_second); break;
            case 14: try_one(choices); break;
            case 15:
                if (choices.one_in(6)) crash();
                break;
            default: (void)world_.step(choices); break;  // Nothing may be due.
        }
        look_at_operations();
    }
    void finish(Choices& choices) {
        readers_.clear();
        world_.settle(choices);
        look_at_operations();
        if (!running_.empty()) throw Wrong("an upkeep never ends");
        for (const auto& [id, held] : held_) compare(id, held);
        for (const std::string& wrong : world_.leaks()) throw Wrong(wrong);
        for (const std::string& wrong : world_.core().findings()) throw Wrong(wrong);
    }

private:
    struct Held {
        Caller owner;
        std::vector<std::byte> bytes;
    };
    void allocate(Choices& choices) {
        AllocateCommand command;
        command.caller = {"owner" + std::to_string(choices.below(2)), Role::user};
        command.device_id = choices.one_in(3) ? "b" : "a";
        command.size_bytes = sizes[choices.below(std::size(sizes))];
        command.alignment_bytes = u64{1} << choices.below(13);
        const u64 epoch = world_.epoch;
        world_.core().allocate(command, 0, [this, epoch, command](Result<engine::Allocated> made) {
            if (epoch != world_.epoch || !made) return;
            held_.emplace(made->record.id, Held{command.caller, std::vector<std::byte>(command.size_bytes)});
        });
    }
    std::map<AllocationId, Held>::iterator any(Choices& choices) {
        auto at = held_.begin();
        if (!held_.empty()) std::advance(at, static_cast<std::ptrdiff_t>(choices.below(held_.size())));
        return at;
    }
    void free(Choices& choices) {
        const auto at = any(choices);
        if (at == held_.end()) return;
        bool refused = false;
        const auto answering = std::make_shared<bool>(true);
        // Content that somebody holds is refused; a move under way is waited for, and the answer may come later.
        world_.core().free({at->second.owner, at->first}, false, [&refused, answering](Result<engine::Freed> freed) {
            if (*answering && !freed && freed.error().code == Code::leased) refused = true;
        });
        *answering = false;  // A later answer finds `refused` gone.
        if (!refused) held_.erase(at);
    }
    void write(Choices& choices) {
        const auto at = any(choices);
        if (at == held_.end()) return;
        const auto content = world_.core().open_content(at->second.owner, at->first, engine::Access::write);
        if (!content) throw Wrong("content cannot be written: " + describe(content.error()));
        const auto room = (*content)->room(0, UINT64_MAX);
        SeededRandom random(choices.below(1000));
        for (std::size_t i = 0; i < room->size(); ++i) (*room)[i] = at->second.bytes[i] = static_cast<std::byte>(random.next());
    }
    void compare(AllocationId id, const Held& held) {
        const auto content = world_.core().open_content(held.owner, id, engine::Access::read);
        if (!content) throw Wrong("an allocation that was acknowledged cannot be read: " + describe(content.error()));
        const auto bytes = (*content)->view(0, UINT64_MAX);
        if (!std::ranges::equal(*bytes, held.bytes)) throw Wrong("an allocation has other bytes than were written");
    }
    void compare(Choices& choices) {
        if (const auto at = any(choices); at != held_.end()) compare(at->first, at->second);
    }
    void hold(Choices& choices) {
        if (readers_.size() > 2 || choices.one_in(2)) readers_.clear();
        const auto at = any(choices);
        if (at == held_.end()) return;
        auto content = world_.core().open_content(at->second.owner, at->first, engine::Access::read);
        if (content) readers_.push_back(*std::move(content));
    }
    UpkeepCommand any_upkeep(Choices& choices) {
        UpkeepCommand command;
        command.caller = choices.one_in(3) ? Caller{"owner0", Role::user} : admin;
        command.device_id = std::array{"", "a", "b"}[choices.below(3)];
        command.request.kind = choices.one_in(3) ? OperationKind::optimize : OperationKind::defragment;
        command.request.actions = {UpkeepAction::defragment};
        if (command.request.kind == OperationKind::optimize)
            command.request.actions = {UpkeepAction::garbage_collect, UpkeepAction::compact, UpkeepAction::defragment, UpkeepAction::cache};
        command.request.strategy = static_cast<DefragmentStrategy>(choices.below(4));
        if (choices.one_in(4)) command.request.time_limit_ns = choices.below(100) * ns_per_second;
        if (choices.one_in(4)) command.request.target_fragmentation_hundredths = choices.below(10'000);
        return command;
    }
    void begin(Choices& choices) {
        const auto begun = world_.core().upkeep(any_upkeep(choices), {});
        if (begun) running_.emplace(*begun, world_.epoch);
        if (!begun && begun.error().code != Code::conflict) throw Wrong("an upkeep is refused: " + describe(begun.error()));
    }
    void try_one(Choices& choices) {
        const u64 before = world_.core().hash();
        const auto tried = world_.core().try_upkeep(any_upkeep(choices));
        if (world_.core().hash() != before) throw Wrong("a dry run changed the state");
        if (!tried) return;
        for (std::size_t i = 0; i < tried->before.size(); ++i)
            if (tried->result.after[i].uncommitted_bytes < tried->before[i].uncommitted_bytes) throw Wrong("a dry run takes memory away");
    }
    void cancel(Choices& choices) {
        if (running_.empty() || choices.one_in(2)) return;
        (void)world_.core().cancel({admin, running_.begin()->first});  // It may have ended.
    }
    void look_at_operations() {
        for (auto at = running_.begin(); at != running_.end();) {
            const auto told = world_.core().operation(admin, at->first);
            if (!told) throw Wrong("an operation is forgotten");
            if (told->state == OperationState::failed) throw Wrong("an upkeep failed: " + describe(*told->error));
            if (told->state == OperationState::running) {
                ++at;
                continue;
            }
            if (told->upkeep->result.after.size() != told->upkeep->before.size()) throw Wrong("an upkeep ended without figures");
            u64 by_actions = 0;
            for (const UpkeepActed& acted : told->upkeep->result.actions) by_actions += acted.moves;
            if (at->second == world_.epoch && by_actions != told->upkeep->moves) throw Wrong("an upkeep's moves are counted two ways");
            moves += told->upkeep->moves;
            taken_up += at->second != world_.epoch ? 1 : 0;
            cancelled += told->state == OperationState::cancelled ? 1 : 0;
            ++ended;
            at = running_.erase(at);
        }
    }
    void crash() {
        readers_.clear();
        for (const std::string& wrong : world_.crash()) throw Wrong(wrong);
        for (auto at = held_.begin(); at != held_.end();) {
            compare(at->first, at->second);
            ++at;
        }
    }

    World& world_;
    std::map<AllocationId, Held> held_;
    std::set<AllocationId> gone_;
    std::map<OperationId, u64> running_;  ///< With the epoch that began it.
    std::vector<std::unique_ptr<engine::Content>> readers_;
};

struct Reached {
    u64 moves = 0;
    u64 ended = 0;
    u64 taken_up = 0;
    u64 cancelled = 0;
};
std::string run(u64 seed, u64 steps, Reached& reached) {
    try {
        Choices choices = Choices::from_seed(seed);
        World world(1);
        Users users(world);
        for (u64 i = 0; i < steps; ++i) users.act(choices);
        users.finish(choices);
        reached.moves += users.moves;
        reached.ended += users.ended;
        reached.taken_up += users.taken_up;
        reached.cancelled += users.cancelled;
    } catch (const std::runtime_error& wrong) {
        return wrong.what();
    }
    return {};
}
}  // namespace

int main(int argument_count, char** arguments) {
    u64 runs = 20;
    u64 steps = 2000;
    const char* const from_environment = std::getenv("VRAMD_SEED");
    u64 seed = from_environment == nullptr ? 1 : std::strtoull(from_environment, nullptr, 10);
    for (int i = 1; i + 1 < argument_count; i += 2) {
        const std::string flag = arguments[i];
        if (flag == "--runs") runs = std::strtoull(arguments[i + 1], nullptr, 10);
        if (flag == "--steps") steps = std::strtoull(arguments[i + 1], nullptr, 10);
        if (flag == "--seed") seed = std::strtoull(arguments[i + 1], nullptr, 10);
    }
    Reached reached;
    for (u64 i = 0; i < runs; ++i) {
        std::printf("seed %llu\r", static_cast<unsigned long long>(seed + i));
        (void)std::fflush(stdout);  // So that an abort can be replayed.
        const std::string wrong = run(seed + i, steps, reached);
        if (wrong.empty()) continue;
        std::printf("seed %llu: %s; replay: upkeep_simulation --runs 1 --seed %llu --steps %llu\n", static_cast<unsigned long long>(seed + i),
                    wrong.c_str(), static_cast<unsigned long long>(seed + i), static_cast<unsigned long long>(steps));
        return 1;
    }
    std::printf("%llu passed; %llu upkeeps ended, %llu of them taken up after a crash, %llu cancelled; %llu moves\n",
                static_cast<unsigned long long>(runs), static_cast<unsigned long long>(reached.ended),
                static_cast<unsigned long long>(reached.taken_up), static_cast<unsigned long long>(reached.cancelled),
                static_cast<unsigned long long>(reached.moves));
    // A history that meets none of this shows nothing.
    const bool met = reached.moves > 0 && reached.taken_up > 0 && reached.cancelled > 0;
    return met || runs < 20 ? 0 : 1;
}
