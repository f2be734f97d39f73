#include "cli/interrupt.hpp"

#include <ctime>

#include "base/clock.hpp"

namespace vramd::cli {
namespace {
volatile std::sig_atomic_t interrupted = 0;
void note(int) { interrupted = 1; }
}  // namespace

InterruptWatch::InterruptWatch() {
    interrupted = 0;
    struct sigaction noting {};
    noting.sa_handler = note;
    sigemptyset(&noting.sa_mask);
    sigaction(SIGINT, &noting, &before_);
}

InterruptWatch::~InterruptWatch() { sigaction(SIGINT, &before_, nullptr); }

bool InterruptWatch::came() const { return interrupted != 0; }

void InterruptWatch::wait(u64 milliseconds) const {
    const u64 end_ns = monotonic_ns() + milliseconds * ns_per_ms;
    const timespec until{static_cast<time_t>(end_ns / ns_per_second), static_cast<long>(end_ns % ns_per_second)};
    // The signal ends the wait early (EINTR); one that comes just before it is noticed after the wait.
    if (!came()) clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &until, nullptr);
}
}  // namespace vramd::cli
