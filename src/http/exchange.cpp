#include "http/exchange.hpp"

#include "base/invariant.hpp"

namespace vramd::http {
void Exchange::wake_if_armed(bool armed) {
    if (armed) waker_->wake();
}

void Exchange::reply(Reply reply) {
    bool armed = false;
    std::move_only_function<void()> untold;  // Answered: nobody needs to be told of the client's end. Let go of outside the lock.
    {
        const Lock lock(mutex_);
        INVARIANT(!reply_ && !streaming_);
        reply_ = std::move(reply);
        untold = std::exchange(told_, nullptr);
        armed = std::exchange(armed_, false);
    }
    wake_if_armed(armed);
}

std::shared_ptr<StreamChannel> Exchange::stream(Reply head, u64 buffered_bytes_max) {
    bool armed = false;
    std::move_only_function<void()> untold;
    {
        const Lock lock(mutex_);
        INVARIANT(!reply_ && !streaming_);
        reply_ = std::move(head);
        streaming_ = true;
        untold = std::exchange(told_, nullptr);
        buffered_bytes_max_ = buffered_bytes_max;
        armed = std::exchange(armed_, false);
    }
    wake_if_armed(armed);
    return shared_from_this();
}

void Exchange::on_gone(std::move_only_function<void()> told) {
    {
        const Lock lock(mutex_);
        if (!gone_) {
            told_ = std::move(told);
            return;
        }
    }
    told();
}

void Exchange::on_drained(std::move_only_function<void()> told) {
    std::move_only_function<void()> replaced;  // Let go of outside the lock.
    {
        const Lock lock(mutex_);
        // The connection asks for more (it is armed) only when it has written what it had.
        if (!gone_ && !overflowed_ && !(pending_.empty() && armed_)) {
            replaced = std::exchange(drained_, std::move(told));
            return;
        }
    }
    told();
}

bool Exchange::is_gone() const {
    const Lock lock(mutex_);
    return gone_;
}

bool Exchange::overflowed() const {
    const Lock lock(mutex_);
    return overflowed_;
}

Pushed Exchange::push(std::string_view chunk) {
    bool armed = false;
    {
        const Lock lock(mutex_);
        if (gone_ || overflowed_ || finished_) return Pushed::gone;
        if (chunk.size() > buffered_bytes_max_ || pending_.size() > buffered_bytes_max_ - chunk.size()) {
            overflowed_ = true;
            armed = true;  // The connection may be stuck in a write; it must look now.
        } else {
            pending_ += chunk;
            armed = std::exchange(armed_, false);
        }
    }
    wake_if_armed(armed);
    const Lock lock(mutex_);
    return overflowed_ ? Pushed::gone : Pushed::accepted;
}

void Exchange::finish() {
    bool armed = false;
    {
        const Lock lock(mutex_);
        finished_ = true;
        armed = std::exchange(armed_, false);
    }
    wake_if_armed(armed);
}

Exchange::Answer Exchange::poll_answer(Reply& into) {
    const Lock lock(mutex_);
    if (!reply_) {
        armed_ = true;
        return Answer::none_yet;
    }
    into = *std::move(reply_);
    return streaming_ ? Answer::stream : Answer::reply;
}

Exchange::Piece Exchange::poll_stream(std::string& into) {
    std::move_only_function<void()> drained;
    {
        const Lock lock(mutex_);
        if (overflowed_) return Piece::overflowed;
        if (!pending_.empty()) {
            into = std::exchange(pending_, {});  // A string that is moved to leaves its own memory where it comes from.
            return Piece::bytes;
        }
        if (finished_) return Piece::finished;
        armed_ = true;
        drained = std::exchange(drained_, nullptr);
    }
    if (drained) drained();
    return Piece::none_yet;
}

void Exchange::tell_gone() {
    std::move_only_function<void()> told;
    std::move_only_function<void()> drained;
    {
        const Lock lock(mutex_);
        if (std::exchange(gone_, true)) return;
        told = std::exchange(told_, nullptr);
        drained = std::exchange(drained_, nullptr);
    }
    if (told) told();
    if (drained) drained();
}
}  // namespace vramd::http
