#include "engine/channel_content.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace vramd::engine {
namespace {
class ChannelContent final : public Content {
public:
    ChannelContent(std::shared_ptr<device::Channel> channel, Range range, std::move_only_function<void()> let_go)
        : channel_(std::move(channel)), range_(range), let_go_(std::move(let_go)) {}
    ~ChannelContent() override {
        channel_.reset();
        let_go_();
    }

    u64 size_bytes() const override { return range_.size_bytes(); }
    Result<std::span<const std::byte>> view(u64 offset_bytes, u64 max_bytes) override {
        TRY(const u64 bytes, begin(offset_bytes, max_bytes));
        TRY_DO(channel_->read(range_.offset_bytes() + offset_bytes, std::span(piece_).first(bytes)));
        return std::span<const std::byte>(piece_).first(bytes);
    }
    Result<std::span<std::byte>> room(u64 offset_bytes, u64 max_bytes) override {
        TRY(const u64 bytes, begin(offset_bytes, max_bytes));
        room_offset_bytes_ = offset_bytes;
        return std::span(piece_).first(bytes);
    }
    /// What a room was given goes out before the next room takes its place; a commit may name a part of it.
    Result<void> commit(u64 offset_bytes, u64 bytes) override {
        if (offset_bytes < room_offset_bytes_) return refuse(Code::out_of_range, "offsetBytes", offset_bytes, room_offset_bytes_);
        TRY(const Range part, Range::within(piece_.size(), offset_bytes - room_offset_bytes_, bytes));
        return channel_->write(range_.offset_bytes() + offset_bytes,
                               std::span<const std::byte>(piece_).subspan(part.offset_bytes(), part.size_bytes()));
    }

private:
    Result<u64> begin(u64 offset_bytes, u64 max_bytes) {
        TRY_DO(Range::within(range_.size_bytes(), offset_bytes, 0));
        const u64 bytes = std::min({max_bytes, channel_piece_bytes, range_.size_bytes() - offset_bytes});
        if (piece_.size() < bytes) piece_.resize(bytes);
        return bytes;
    }

    std::shared_ptr<device::Channel> channel_;
    Range range_;
    std::move_only_function<void()> let_go_;
    std::vector<std::byte> piece_;
    u64 room_offset_bytes_ = 0;
};
}  // namespace

std::unique_ptr<Content> content_by_channel(std::shared_ptr<device::Channel> channel, Range range, std::move_only_function<void()> let_go) {
    return std::make_unique<ChannelContent>(std::move(channel), range, std::move(let_go));
}
}  // namespace vramd::engine
