/// Clients' sessions as commands and events: who holds which memory, so that the next core knows it too.
///
/// A session is what one client of the attach protocol has of the daemon. While a core lives it ends with the client's connection; it
/// outlives the core, for its client to go on with over another connection. The key for that is never recorded, only a sum of it.
#pragma once
#include <array>
#include <string>
#include <string_view>

#include "base/code.hpp"
#include "terms/enums.hpp"
#include "terms/ids.hpp"

namespace vramd {
/// What a client does with memory that it holds.
enum class HoldMode : u8 {
    none,  ///< It has no mapping of it: it is its own until it frees it or ends.
    read,
    private_,
    write,
};
template <>
struct EnumNames<HoldMode> {
    static constexpr std::array<std::string_view, 4> names = {"none", "read", "private", "write"};
};

/// A client came.
struct SessionBegun {
    SessionId id;
    u64 key_sum = 0;  ///< Of the key to go on with it.
    std::string owner;
    std::string client;  ///< What it calls itself.
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.key_sum, s.owner, s.client);
    }
};
/// A session holds this allocation from now on, or holds it otherwise than before.
struct HoldTaken {
    AllocationId id;
    SessionId session;
    HoldMode mode = HoldMode::read;
    bool ends_with_session = false;  ///< It was allocated by the session, which frees it at its end.
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.session, s.mode, s.ends_with_session);
    }
};
/// A session has let go of it. What is freed or dropped is let go of by that, without this.
struct HoldEnded {
    AllocationId id;
    SessionId session;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.session);
    }
};
/// A session is over, and holds nothing any more.
struct SessionEnded {
    SessionId id;
    std::string owner;
    Code reason{};  ///< cancelled: its client ended; timed_out: nobody went on with it after the core's death.
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.owner, s.reason);
    }
};

/// Begin a session.
struct BeginSessionCommand {
    std::string owner;
    std::string client;
    u64 key_sum = 0;
    u64 secret = 0;
};
/// A session takes hold of an allocation, which counts as an access. What it has of it already stays: a hold without a mapping takes none
/// away, and what ends with the session goes on doing so.
struct TakeHoldCommand {
    SessionId session;
    AllocationId id;
    HoldMode mode = HoldMode::read;
    bool ends_with_session = false;
};
/// A session's mapping is gone. What ends with the session it goes on holding.
struct LetGoCommand {
    SessionId session;
    AllocationId id;
};
struct EndSessionCommand {
    SessionId session;
    Code reason{};
};
}  // namespace vramd
