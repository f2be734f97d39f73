#include "http/handler.hpp"

#include "http/problem.hpp"

namespace vramd::http {
EventStream& EventStream::operator=(EventStream&& other) noexcept {
    if (this != &other) {
        if (channel_) channel_->finish();
        channel_ = std::move(other.channel_);
    }
    return *this;
}

EventStream::~EventStream() {
    if (channel_) channel_->finish();
}

Responder& Responder::operator=(Responder&& other) noexcept {
    if (this != &other) {
        const Responder unanswered(std::move(channel_));  // Its destructor answers 500 where an answer is owed.
        channel_ = std::move(other.channel_);
    }
    return *this;
}

Responder::~Responder() {
    if (channel_)
        channel_->reply(problem_reply(Error{Code::system_failed, {}, 0, 0, "The request was dropped before it was answered."}, {}));
}

void Responder::operator()(Reply reply) && { std::exchange(channel_, nullptr)->reply(std::move(reply)); }

EventStream Responder::stream(Reply head, u64 buffered_bytes_max) && {
    return EventStream(std::exchange(channel_, nullptr)->stream(std::move(head), buffered_bytes_max));
}
}  // namespace vramd::http
