/// Being asked to let go of models that others wait for: a thread of the connection's own that hears of it, calls the program and answers.
///
/// Calls read the connection themselves, so the thread reads it only while no call is under way; what a call hears meanwhile is handed to
/// it. It keeps the connection alive for moments only, and ends when that is gone.
#pragma once
#include <deque>

#include "client/connection.hpp"

namespace vramd::client {
/// Shared by the connection and its thread. Thread-safe.
class Watch {
public:
    explicit Watch(OnReclaim on_reclaim) : on_reclaim_(std::move(on_reclaim)) {}
    /// Begins the thread. Errors: "system-failed".
    [[nodiscard]] static std::optional<Error> begin(const std::shared_ptr<Watch>& watch, std::weak_ptr<Connection> connection);
    /// The connection's socket from now on; -1: there is none.
    void set_socket(int socket);
    /// While a call is under way its answers are no business of the thread.
    void set_busy(bool busy);
    /// Something is asked for.
    void asked(ReclaimRequest request);
    /// The connection is gone.
    void end();

private:
    /// What is to be done next.
    struct Next {
        bool over = false;
        std::optional<ReclaimRequest> request{};
        std::shared_ptr<const Descriptor> socket{};  ///< To be waited at; none while a call is under way.
    };
    [[nodiscard]] Next next();
    void wake();
    void run(const std::weak_ptr<Connection>& connection);

    const OnReclaim on_reclaim_;
    Descriptor waker_;
    std::mutex lock_;
    std::deque<ReclaimRequest> asked_;
    std::shared_ptr<const Descriptor> socket_;  // A duplicate, so that it stays open while the thread waits at it.
    bool busy_ = false;
    bool over_ = false;
};
}  // namespace vramd::client
