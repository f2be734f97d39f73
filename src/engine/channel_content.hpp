/// An allocation's bytes where the processor does not see them: brought piece by piece into memory of this object, and from there.
#pragma once
#include <functional>
#include <memory>

#include "base/range.hpp"
#include "device/channel.hpp"
#include "engine/engine.hpp"

namespace vramd::engine {
/// What one look brings at most: a reader that follows looks on copies so much at once, and one that wants a byte waits for no more.
inline constexpr u64 channel_piece_bytes = mib;

/// `range` lies in the channel's block. `let_go` is called when the content ends.
[[nodiscard]] std::unique_ptr<Content> content_by_channel(std::shared_ptr<device::Channel> channel, Range range,
                                                          std::move_only_function<void()> let_go);
}  // namespace vramd::engine
