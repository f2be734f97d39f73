/// What users do to the simulated daemon, and a plain model of what they are entitled to afterwards.
///
/// The model knows nothing of blocks, arenas or ledgers: an allocation is an owner and a list of bytes. Whatever was acknowledged must be
/// there with its bytes; what was not is absent or whole.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "world.hpp"

namespace vramd::simulation {
/// A difference between what is and what must be.
struct Wrong : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline const Caller admin{"uid:0", Role::admin};
inline constexpr const char* model_names[] = {"m0", "m1", "m2", "m3"};
inline constexpr const char* model_paths[] = {"p0", "p1", "p2"};
inline Caller caller_of(u64 number) { return {"owner" + std::to_string(number), Role::user}; }
inline void fail(const std::string& what) { throw Wrong(what); }

class Clients {
public:
    explicit Clients(World& world) : world_(world) {}
    /// One action of somebody, or one step of the world. Throws Wrong.
    void act(Choices& choices);
    /// Everything comes to rest, is compared, and is given back. Throws Wrong.
    void finish(Choices& choices);

private:
    struct Held {
        Caller owner;
        std::vector<std::byte> bytes;
        u64 lease_until_ns = 0;  ///< 0: persistent.
        u64 lease_seconds = 0;
        u64 busy = 0;            ///< Clears, copies and readers under way.
        bool ending = false;     ///< A forced free waits for them.
        bool unsure = false;     ///< One of them was cut off: its bytes are read anew.
    };
    void allocate(Choices& choices);
    void free(Choices& choices);
    void write(Choices& choices);
    void read(Choices& choices);
    void clear(Choices& choices);
    void copy(Choices& choices);
    void renew(Choices& choices);
    void touch_others(Choices& choices);
    void load(Choices& choices);
    void unload(Choices& choices);
    void cancel(Choices& choices);
    void change_file(Choices& choices);
    void fault(Choices& choices);
    void hold_open(Choices& choices);
    void force_free(Choices& choices);
    void clear_free(Choices& choices);
    void crash(Choices& choices);
    void let_reader_go(std::size_t index);

    void took(AllocationId id, Held held);
    [[nodiscard]] std::optional<AllocationId> any(Choices& choices);
    [[nodiscard]] bool expired(const Held& held) const { return held.lease_until_ns != 0 && held.lease_until_ns <= world_.now_ns(); }
    [[nodiscard]] std::vector<std::byte> content(const Caller& caller, AllocationId id);
    void compare(AllocationId id, Held& held);
    void compare_all();
    void compare_models();
    void check();

    World& world_;
    std::vector<std::pair<AllocationId, std::unique_ptr<engine::Content>>> readers_;
    u64 evicted_ = 0;                                        ///< Models that went to make room.
    u64 unanswered_ = 0;                                     ///< Requests of this core's life that were told nothing yet.
    std::map<AllocationId, Held> held_;
    std::map<OperationId, std::string> loads_;               ///< Started, not ended: model name.
    std::map<std::string, std::string> resident_;            ///< Name → path, as acknowledged.
    std::map<std::string, ModelFile> resident_files_;        ///< Name → the file as it was then.
};
}  // namespace vramd::simulation
