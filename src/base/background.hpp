/// Long work steps aside for short: threads that move megabytes run at a lower priority than those that answer.
#pragma once
#include <sys/resource.h>
#include <unistd.h>

namespace vramd {
/// Makes the calling thread yield to the others of its session or control group (nice 10; Linux counts niceness per thread, and within
/// the group only where there is autogroup or systemd). For a thread's whole life: without privilege it cannot be taken back.
/// A request that comes while every processor copies else waits for the end of somebody's time slice, 3 ms.
inline void run_in_background() { (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10); }
}  // namespace vramd
