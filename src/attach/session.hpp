/// One connection's conversation: a packet in, calls of the engine, packets out. It knows no socket and no thread of its own.
///
/// Everything of one session happens on one thread. What the engine answers later, on whichever thread, comes back by `World::later` to
/// that thread, with the session or, once that has ended, without: then what was made for it is undone.
///
/// Invariants
/// - each call that was read is answered exactly once, unless the session ends first;
/// - what the client was given a descriptor of is held until it is detached or freed, or the session ends;
/// - what is not persistent and was allocated here ends with the session; so does an allocation whose answer could not be given;
/// - what is held is recorded before the client is told of it, so the next core holds it for the client to come back to.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/event_streams.hpp"
#include "attach/event_pipes.hpp"
#include "attach/message.hpp"
#include "attach/quotas.hpp"
#include "attach/tables.hpp"
#include "attach/words.hpp"
#include "base/fd.hpp"
#include "engine/engine.hpp"

namespace vramd::attach {
class Session;
/// Work for a session's thread; null when the session has ended.
using Later = std::move_only_function<void(Session*)>;

/// What sessions share. Outlives them.
struct World {
    engine::Engine& engine;
    std::function<void(u64 session, Later)> later;  ///< Thread-safe. May drop the work when everything ends.
    api::EventStreams& streams;
    EventPipes& pipes;  ///< Of the sessions' thread.
    Quotas quotas{};
    Tables tables{};
    std::vector<DeviceTold> devices{};  ///< They do not change; filled in by the first hello, as is the next.
    std::string version{};
};

/// A packet to be sent.
struct Outgoing {
    std::string text;
    std::vector<Fd> descriptors;
};

class Session {
public:
    using Send = std::function<void(Outgoing)>;
    /// `number` names the session to `World::later`; never used again.
    Session(World& world, u64 number, Caller caller, Send send);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// Takes one packet of any bytes.
    void receive(std::string_view packet);
    /// Answers for a packet that could not be taken.
    void refuse_packet(const Error& error);
    /// Tells the progress of the loads that calls wait for.
    void tick();
    [[nodiscard]] bool wants_ticks() const { return !loads_.empty(); }
    /// Calls that wait for their answers.
    [[nodiscard]] u64 in_flight() const { return in_flight_; }
    /// Messages so far that were no calls.
    [[nodiscard]] u64 faults() const { return faults_; }
    /// Of these, which are in the order of their serials, those that it holds.
    [[nodiscard]] std::vector<engine::ZombieTold> held_of(std::span<const engine::ZombieTold> zombies) const;
    /// Lets go of a zombie if the client has no mapping of it, for it detached it or was never given one. False: it has.
    [[nodiscard]] bool let_go_unmapped(AllocationId id);
    /// The connection is gone: lets go of everything and frees what ends with it. Nothing is sent from here on.
    void end();

private:
    struct Held {
        AllocationId id;
        std::unique_ptr<engine::Attachment> hold;
        bool attached = false;  ///< The client has its memory.
        bool ends_with_us = false;
    };
    /// When an allocation ends: with the session that made it, or by somebody's word.
    enum class Ends : u8 { with_us, by_a_free };
    using Then = std::move_only_function<void(Session*)>;
    /// A load that a call waits for.
    struct Load {
        std::string call;  ///< The call's id.
        OperationId operation;
        std::string model;
        std::string told;  ///< The last progress.
        Then then;         ///< Answers the call, once the model is there.
    };
    /// What the analysis' worker keeps.
    struct Worker {
        std::string device_id;
        u64 limit_bytes = 0;
        std::set<std::string> loaded{};  ///< Names, by this worker.
    };
    struct Unloaded {
        std::vector<std::string> gone;
        std::vector<std::pair<std::string, Error>> kept;
    };
    struct Method {
        std::string_view name;
        void (Session::*run)(const Call&);
    };
    static const Method methods[];

    void answer(const std::string& id, std::string_view result, std::vector<Fd> descriptors = {});
    void refuse(const std::string& id, const Error& error, const engine::Shortfall* shortfall = nullptr);
    void refuse(const Fault& fault);
    [[nodiscard]] bool may_wait(const Call& call);

    // session_hello.cpp
    void hello(const Call& call);
    [[nodiscard]] Result<std::vector<HeldTold>> resume(const std::string& key);

    void list(const Call& call);
    void allocate(const Call& call);
    void free(const Call& call);
    void attach(const Call& call);
    void detach(const Call& call);
    void subscribe(const Call& call);

    // session_reclaim.cpp
    void let_ask(engine::Attachment& hold);
    void ask(const engine::Ask& asked);
    void reclaimed(const Call& call);

    void allocated(const std::string& id, const AllocateCommand& command, Result<engine::Allocated> made);
    [[nodiscard]] Result<std::optional<MemoryGiven>> give_new(const report::AllocationTold& made, std::vector<Fd>& descriptors);
    void freed(const std::string& id, Held before, const Result<engine::Freed>& freed);
    [[nodiscard]] Result<MemoryGiven> give(AllocationId id, engine::AttachMode mode, std::vector<Fd>& descriptors,
                                           Ends ends = Ends::by_a_free);
    [[nodiscard]] Result<void> let_go(std::map<u64, Held>::iterator held);
    void attach_allocation(const std::string& id, const AttachParams& params);
    /// False: it is not there, but a load may bring it; nothing was answered.
    [[nodiscard]] Result<bool> attach_model(const std::string& id, const AttachParams& params);
    [[nodiscard]] Result<std::string> tell_attached(const report::ModelTold& model, const MemoryGiven& given, const AttachParams& params,
                                                    std::vector<Fd>& descriptors);
    /// What is done with a model once it is loaded: it is held until that is done, or not.
    enum class Wants : u8 { loaded, attached };
    void load(const std::string& id, LoadRequest request, Wants wants, Then then);
    void loaded(u64 load, const Result<report::OperationTold>& ended);
    void load_and_attach(const std::string& id, const AttachParams& params);
    void tell_progress(Load& load);
    [[nodiscard]] Result<void> room_to_hold() const;
    [[nodiscard]] static Result<AllocationId> id_from_text(const std::string& text);

    // session_worker.cpp
    void worker_initialize(const Call& call);
    void worker_tell(const Call& call);
    void worker_load(const Call& call);
    void worker_unload(const Call& call);
    void worker_optimize(const Call& call);
    void worker_cleanup(const Call& call);
    [[nodiscard]] std::map<std::string, const report::ModelPlaceTold*> worker_models(const std::vector<report::ModelTold>& models) const;
    [[nodiscard]] Result<std::string> worker_status(std::string_view more);
    [[nodiscard]] u64 worker_room_bytes() const;
    void answer_worker(const std::string& id, std::string_view more = {});
    void unload_for_worker(const std::vector<std::string>& names, std::move_only_function<void(Session*, const Unloaded&)> then);

    World& world_;
    u64 number_;
    Caller caller_;
    Send send_;
    SessionId session_{};  ///< None before hello, and where the ledger took none: then nothing outlives this core.
    bool greeted_ = false;
    bool may_be_asked_ = false;  ///< To let go of what it holds.
    std::map<u64, u64> asked_;   ///< Allocations that it was asked for and has not answered of, the last ones: serial to its bytes.
    u64 faults_ = 0;
    u64 in_flight_ = 0;
    std::map<u64, Held> held_;   ///< By the allocation's serial.
    std::map<u64, Load> loads_;  ///< By a number of ours: a client may use an id twice.
    u64 next_load_ = 1;
    std::optional<Worker> worker_;     ///< Once it has been initialized.
    std::weak_ptr<EventPipe> stream_;  ///< Of events.
};
}  // namespace vramd::attach
