/// Clients that can be asked to let go of the models that they hold, and for whom they were asked.
///
/// What: who holds what, which of them can be asked, what each was asked last. Why here: it is a table and its questions; what is asked
/// for is what the core's own plan would evict if it were not held (reclaiming.cpp), and whether that is done is the client's word.
///
/// Invariants
/// 1. A client is asked only for what it holds, of models alone: what else a client has attached would not be free by its letting go.
/// 2. Nobody is asked again before the time of the last question is over, whatever the answer to it was and whoever waits.
/// 3. On behalf of one who waits nobody is asked twice; and nobody for the sake of its own session.
///
/// Not synchronised: the engine's lock guards it.
#pragma once
#include <map>
#include <set>

#include "engine/engine.hpp"

namespace vramd::engine {
/// How long a client has at most to give back what it is asked for, and a load to wait for that.
inline constexpr u64 asked_within_max_ns = 10 * ns_per_second;

/// What one who waits for room has asked of others.
struct Plea {
    u64 session = 0;          ///< Whose own holds are not asked for; 0: nobody's.
    u64 deadline_ns = 0;      ///< After which the room is of no use any more.
    std::set<u64> holders{};  ///< Who was asked on its behalf, or for somebody else who wanted the same.
    std::set<u64> asked{};    ///< Of these: those to whom the question was its own.
};

/// Whom a question may go to.
enum class Reach : u8 {
    asked,   ///< Those who were asked, for whomever, and have time yet.
    anybody  ///< And those who may be asked now.
};

class Holders {
public:
    struct Holder {
        u64 serial = 0;   ///< Of the allocation.
        u64 session = 0;  ///< 0: none.
        Asked asked;
        u64 until_ns = 0;      ///< The time of the last question.
        bool pending = false;  ///< It was not answered yet.
    };
    /// Answers the holder's number, never used again; from 1.
    u64 add(u64 serial, u64 session, Asked asked);
    /// It let go. Answers whether that was what it had been asked for, in time.
    bool remove(u64 number, u64 now_ns);
    /// It answered, and has it still. False: it was not asked.
    bool keeps(u64 number);
    [[nodiscard]] bool empty() const { return all_.empty(); }
    /// Whether anybody holds the allocation who can be asked.
    [[nodiscard]] bool hold(u64 serial) const { return of_.contains(serial); }
    [[nodiscard]] bool may_be_asked(u64 number, const Holder& holder, const Plea& plea, Reach reach, u64 now_ns) const;
    /// How many of those who use the allocation would let go of it.
    [[nodiscard]] u64 askable(u64 serial, const Plea& plea, Reach reach, u64 now_ns) const;
    /// Notes that all who hold the allocation are asked until then. Answers those who are to be told of it.
    [[nodiscard]] std::vector<Asked> ask(u64 serial, Plea& plea, u64 now_ns, u64 until_ns);
    /// Serials of what is still held by those who were asked for it.
    [[nodiscard]] std::set<u64> still_held(const Plea& plea) const;
    /// Whether anybody who was asked on its behalf has time yet.
    [[nodiscard]] bool awaited(const Plea& plea, u64 now_ns) const;

private:
    std::map<u64, Holder> all_;
    std::map<u64, std::set<u64>> of_;  ///< Allocation's serial → numbers.
    u64 next_ = 1;
};
}  // namespace vramd::engine
