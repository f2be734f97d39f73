/// What users do to the simulated daemon, and a plain model of what they are entitled to afterwards.
///
/// The model knows nothing of blocks, arenas or ledgers: an allocation is an owner and a list of bytes. Whatever was acknowledged must be
/// there with its bytes, wherever transfers and defragmentations have carried it; what was not is absent or whole. Each run weighs the
/// deeds anew (some not at all), so that between them the runs meet corners that an even mix seldom meets.
#pragma once
#include <array>
#include <map>
#include <memory>
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

/// How often each thing was met, over all runs: a history that never meets a thing shows nothing about it.
using Met = std::map<std::string, u64, std::less<>>;

class Clients {
public:
    Clients(World& world, Choices& choices, Met& met);
    ~Clients();
    Clients(const Clients&) = delete;
    Clients& operator=(const Clients&) = delete;
    /// One action of somebody, or one step of the world. Throws Wrong.
    void act(Choices& choices);
    /// Everything comes to rest, is compared, and is given back. Throws Wrong.
    void finish(Choices& choices);

private:
    using Place = std::pair<BlockKey, u64>;
    struct Held {
        Caller owner;
        std::vector<std::byte> bytes;
        u64 lease_until_ns = 0;  ///< 0: persistent.
        u64 lease_seconds = 0;
        u64 busy = 0;                  ///< Clears, copies and readers under way.
        u64 sourcing = 0;              ///< Open transfers that copy from it: it is not written meanwhile.
        u64 filling = 0;               ///< Open transfers that write it.
        u64 moving = 0;                ///< Open transfers that move it.
        bool ending = false;           ///< A free waits for those at it.
        bool unsure = false;           ///< Something that wrote it was cut off: its bytes are read anew.
        u64 firm = 0;                  ///< Sessions that hold it; while any does, it is there.
        u64 loose = 0;                 ///< Sessions that may hold it yet: they are over, and may be ended already.
        bool may_go = false;           ///< It ends with one of these.
        bool doomed = false;           ///< It was to end with a session that has ended.
        std::optional<Place> fixed{};  ///< Where it must stay.

        [[nodiscard]] bool in_transfer() const { return sourcing + filling + moving > 0; }
        [[nodiscard]] bool may_write() const { return busy + sourcing + filling == 0 && !ending; }
        [[nodiscard]] bool may_compare() const { return busy + filling == 0 && !ending; }
    };
    struct Question;
    struct Reader {
        AllocationId id;
        Place place;
        std::unique_ptr<engine::Content> content{};
        std::unique_ptr<engine::Attachment> attachment{};  ///< Instead of content.
        std::shared_ptr<Question> question{};              ///< Of a client that can be asked to let go.
    };
    /// What a client was asked last.
    struct Question {
        u64 until_ns = 0;  ///< 0: nothing yet.
        bool pending = false;
    };
    /// A transfer that was accepted and has not ended.
    struct Transferring {
        report::TransferTold told;                      ///< As last seen.
        std::optional<std::vector<std::byte>> bytes{};  ///< What a copy must bring; nothing: not known.
        bool cancelled = false;
    };
    struct Upkeeping {
        u64 epoch = 0;  ///< In which it began.
        bool cancelled = false;
        bool evicts = false;
        std::map<AllocationId, Place> preserved{};
    };
    /// A request for room that was not answered yet.
    struct Wanted {
        AllocateCommand command;
        u64 deadline_ns = 0;
        u64 next_block = 0;      ///< The books' when it was made: no more blocks than since can have overtaken it.
        bool had_quota = false;  ///< It may have waited for its owner's quota: then it keeps no room.
        bool seen = false;       ///< It waited at the end of an earlier step.
        bool served = false;     ///< It has its place and will be told of it.
        u64 overtaken = 0;       ///< Blocks that others got on its device while it was the oldest.
    };
    /// Who has a session: a connection; nobody since the core's death; nobody any more, though the ledger may not know it yet.
    enum class Seat : u8 { connected, waiting, ending };
    struct SessionHold {
        std::unique_ptr<engine::Attachment> attachment;  ///< While it has a connection.
        HoldMode mode = HoldMode::none;
        bool ends_with_session = false;
        Place place{};
    };
    struct ClientSession {
        SessionId id;
        Caller owner;
        u64 key_sum = 0;
        Seat seat = Seat::connected;
        u64 grace_until_ns = 0;  ///< While it waits.
        std::map<AllocationId, SessionHold> holds{};
    };
    /// What a device looked like after the last step.
    struct Watched {
        u64 revision = 0;  ///< Of its limits.
        BlockKey newest_block = 0;
        u64 newest_copy = 0;       ///< Serial of the model's copy that came last.
        std::set<u64> could_go{};  ///< Serials of copies that nobody used.
    };
    struct Deed {
        void (Clients::*act)(Choices&);
        u64 weight;
    };

    // clients.cpp
    void allocate(Choices& choices);
    void free(Choices& choices);
    void write(Choices& choices);
    void read(Choices& choices);
    void renew(Choices& choices);
    void touch_others(Choices& choices);
    void change_file(Choices& choices);
    void fault(Choices& choices);
    void pass_time(Choices& choices);
    void hold_open(Choices& choices);
    void hold_model_open(Choices& choices);
    void force_free(Choices& choices);
    void crash(Choices& choices);
    void step(Choices& choices);
    [[nodiscard]] bool is_read(AllocationId id) const;
    void let_reader_go(std::size_t index);
    void took(AllocationId id, Held held);
    [[nodiscard]] std::optional<AllocationId> any(Choices& choices);
    /// Nobody is promised that it is there still.
    [[nodiscard]] bool expired(const Held& held) const {
        const bool lease_over = held.lease_until_ns != 0 && held.lease_until_ns <= world_.now_ns();
        return held.firm == 0 && (lease_over || held.may_go || held.doomed);
    }
    /// Its bytes; nothing where a fault or somebody's move has an excuse. Throws Wrong.
    [[nodiscard]] std::optional<std::vector<std::byte>> content(const Caller& caller, AllocationId id, const Held* held);
    [[nodiscard]] bool excused(const Error& error, const Held* held) const;
    [[nodiscard]] Place place_of(AllocationId id);
    void renewed(Held& held);

    // clients_attach.cpp
    void attach(Choices& choices);
    void attach_loaded(const report::OperationTold& loaded);
    void answer_asked(Choices& choices);
    /// Whether the client can be asked to let go of it.
    enum class Asks : u8 { no, yes };
    [[nodiscard]] bool hold_attached(const Caller& caller, AllocationId id, Asks asks);
    void asked(const engine::Ask& ask, Question& question);
    [[nodiscard]] u64 askable_bytes(const core::State& state, u16 device) const;

    // clients_sessions.cpp
    void begin_session(Choices& choices);
    void take_hold(Choices& choices);
    void let_hold_go(Choices& choices);
    void end_session(Choices& choices);
    void resume_session(Choices& choices);
    void end_one(ClientSession& session);
    void check_refused(AllocationId id, const Held& held);
    void became_zombie(AllocationId id);
    void see_zombies(const core::State& state);
    void touch_zombie(Choices& choices);
    void lose_connections();
    void count_holds();
    void see_sessions();
    [[nodiscard]] bool is_firm(const ClientSession& session) const;
    [[nodiscard]] bool is_held(AllocationId id) const;
    [[nodiscard]] ClientSession* any_session(Choices& choices, Seat seat);

    // clients_copies.cpp
    void clear(Choices& choices);
    void copy(Choices& choices);
    void clear_free(Choices& choices);

    // clients_models.cpp
    void load(Choices& choices);
    void unload(Choices& choices);
    void cancel(Choices& choices);
    void uncache(const std::string& name);
    void note_models();
    void compare_models();

    // clients_transfers.cpp
    void transfer(Choices& choices);
    void transfer_one(Choices& choices);
    void transfer_what_goes(Choices& choices, AllocationId id);
    void cancel_transfer(Choices& choices);
    void see_transfers();
    void see_open_transfers();
    void began(const report::TransferTold& told);
    void ended(Transferring transferring);
    void succeeded(const Transferring& transferring);
    void did_not_succeed(const Transferring& transferring);
    void took_transferred(const Transferring& transferring);

    // clients_upkeep.cpp
    void upkeep(Choices& choices);
    void try_upkeep(Choices& choices);
    void cancel_upkeep(Choices& choices);
    void see_upkeeps();
    [[nodiscard]] UpkeepCommand any_upkeep(Choices& choices);

    // clients_set_limits.cpp
    void set_limits(Choices& choices);
    void set_stale_limits(SetLimitsCommand command, u64 revision);
    [[nodiscard]] engine::LimitsChanged try_limits(const SetLimitsCommand& command);
    void check_tried(const engine::LimitsChanged& tried, const engine::LimitsChanged& changed, Enforce enforce);
    void check_enforced(const std::string& device_id);
    void check_emergency(const core::State& state);
    [[nodiscard]] std::set<u64> evictable(const core::State& state, u16 device) const;

    // clients_limits.cpp
    void want(Choices& choices);
    void follow_advice(Choices& choices);
    void rest(Choices& choices);
    void lift_limits();
    std::optional<engine::LimitsChanged> change_limits(const SetLimitsCommand& command);
    [[nodiscard]] static LimitsChange any_change(Choices& choices, u64 capacity_bytes);
    [[nodiscard]] bool free_as_advised(const std::string& advice);
    void ask(AllocateCommand command, u64 timeout_ns);
    void took_asked(const AllocateCommand& command, const report::AllocationTold& record);
    void refused(const AllocateCommand& command, const Error& error, bool alone);
    void see_served();
    void check_admitted(const core::State& state) const;
    void check_order(const core::State& state);
    void check_overtaken(const core::State& state);
    [[nodiscard]] u64 evictable_bytes(const core::State& state, u16 device) const;
    [[nodiscard]] bool may_be_closed_to(const core::State& state, u64 secret, u64 not_to) const;
    [[nodiscard]] bool fits(const core::State& state, u16 device, const AllocateCommand& command, u64 less_bytes = 0) const;
    [[nodiscard]] u64 held_on(const core::State& state, u16 device, const std::string& owner) const;
    [[nodiscard]] std::optional<u64> quota_of(const AllocateCommand& command) const;
    /// What the limits leave of a capacity.
    [[nodiscard]] u64 usable(const std::string& device, u64 capacity_bytes) const;

    // oracle.cpp
    void compare_books(const core::State& state) const;
    void check();
    void check_layout();
    void compare(AllocationId id, Held& held);
    void compare_all();
    void settle(Choices& choices);

    static const std::array<Deed, 39> deeds;

    World& world_;
    Met& met_;
    std::array<u64, 39> weights_{};
    u64 weight_ = 0;
    std::vector<Reader> readers_;
    std::map<SessionId, ClientSession> sessions_;
    u64 last_key_ = 0;
    u64 unanswered_ = 0;   ///< Requests of this core's life that were told nothing yet.
    bool faulty_ = false;  ///< A call was ordered to fail and may not have failed yet.
    std::map<AllocationId, Held> held_;
    std::set<AllocationId> zombies_;                   ///< Freed, while clients had them attached.
    std::map<TransferId, Transferring> transfers_;     ///< Open ones.
    std::map<TransferId, TransferState> over_;         ///< The newest that have ended: an end is for good.
    u64 last_transfer_ = 0;                            ///< The highest serial seen.
    std::map<OperationId, Upkeeping> upkeeps_;         ///< Running ones.
    std::map<OperationId, std::string> loads_;         ///< Started, not ended: model name.
    std::map<std::string, std::string> resident_;      ///< Name → path, as acknowledged.
    std::map<std::string, ModelFile> resident_files_;  ///< Name → the file as it was then.
    std::set<std::string> pinned_;                     ///< Names of resident models that were pinned: they stay until they are unloaded.
    std::map<std::string, DeviceLimits> limits_;       ///< As acknowledged, by device.
    std::map<std::string, u64> seen_capacity_;         ///< By device, at the last look.
    std::map<std::string, Watched> watched_;           ///< By device.
    std::map<u64, Wanted> wanted_;                     ///< By secret, which rises with age.
    std::optional<AllocateCommand> refusal_;           ///< The newest that was refused at once.
    std::string refusal_reason_;
    u64 next_secret_ = 0;
    u64 next_session_ = 1;
    u64 next_serial_ = 0;  ///< Of allocations and of blocks, at the last look.
    u64 next_block_ = 0;
};
}  // namespace vramd::simulation
