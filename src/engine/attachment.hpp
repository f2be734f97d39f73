/// What clients hold: memory that is spared while they have it, and the sessions by which the next core knows of it.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "terms/session.hpp"

namespace vramd::engine {
/// What a client does with memory that it attaches.
enum class AttachMode : u8 {
    read,      ///< Reads it in place. What it is given lets nobody write.
    private_,  ///< Maps a copy of its own, page by page as it writes (MAP_PRIVATE); it is given the same as for `read`.
    write,     ///< Reads and writes it in place.
};

/// What a client is asked for: to let go of a model that it holds, for somebody waits for the room.
struct Ask {
    AllocationId allocation;
    std::string model;  ///< Its first name.
    u64 bytes = 0;      ///< What comes back when all have let go of it.
    u64 within_ns = 0;  ///< After that it may be too late; nobody takes it by force.
};
/// Called from any thread, never under the engine's lock, and perhaps once more just after the attachment's end.
using Asked = std::function<void(const Ask&)>;

/// An allocation that a client holds: neither freed, moved nor evicted while this object lives.
class Attachment {
public:
    virtual ~Attachment() = default;
    /// The place of the allocation in the block, that is in what `memory` gives.
    [[nodiscard]] virtual u64 offset_bytes() const = 0;
    [[nodiscard]] virtual u64 size_bytes() const = 0;
    /// Of the whole block: memory that no `mmap` reaches is mapped whole.
    [[nodiscard]] virtual u64 block_bytes() const = 0;
    [[nodiscard]] virtual const std::string& device_id() const = 0;
    /// The block's descriptor for the client, to be passed on and then closed; empty where the device has none to give.
    [[nodiscard]] virtual Fd take_memory() = 0;
    /// From now on the client can be asked to let go; once. Of what is not a model's memory it never is.
    virtual void let_ask(Asked asked) = 0;
    /// The client's answer to what it was asked for, where it does not let go: it is not waited for any longer.
    virtual void keeps() = 0;
};

/// Who takes hold of memory.
struct Holder {
    SessionId session{};             ///< None: nothing is recorded, and the hold ends with this core.
    bool ends_with_session = false;  ///< The session allocated it, and frees it at its end.
};

/// Memory that was freed by force while clients held it: counted as used until the last of them lets go.
struct ZombieTold {
    AllocationId id;
    u64 bytes = 0;  ///< What comes back then.
    bool operator==(const ZombieTold&) const = default;
};

/// How long a session that a dead core knew waits for its client, once the next core serves.
inline constexpr u64 session_grace_seconds = 10;

/// Whether a session that let go of a mapping has the memory yet.
enum class Kept : u8 { no, until_it_ends };

/// What a session held when its core died.
struct HeldBefore {
    AllocationId id;
    HoldMode mode = HoldMode::read;
    bool ends_with_session = false;
    std::unique_ptr<Attachment> hold;  ///< Without memory to take: the client has it mapped.
};
struct ResumedSession {
    SessionId id;
    std::vector<HeldBefore> held;
};
}  // namespace vramd::engine
