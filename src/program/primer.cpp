#include "program/primer.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "base/fd.hpp"

namespace vramd::program {
namespace {
constexpr int lock_number = 3;
constexpr int keeper_number = 4;

/// In the child's child: nothing but system calls, for the parent has threads.
[[noreturn]] void become_primer(int lock, int keeper) {
    constexpr int above = 16;
    const int own_lock = fcntl(lock, F_DUPFD, above);
    const int own_keeper = fcntl(keeper, F_DUPFD, above);
    (void)dup2(own_lock, lock_number);
    (void)dup2(own_keeper, keeper_number);
    (void)syscall(SYS_close_range, keeper_number + 1, ~0U, 0);
    char name[] = "vramd-gpu-primer";
    char argument[] = "--gpu-primer";
    std::array<char*, 3> arguments{name, argument, nullptr};
    execv("/proc/self/exe", arguments.data());
    _exit(1);
}
}  // namespace

void start_primer(const std::filesystem::path& state_directory, i32 keeper_pid) {
    const Fd lock(open((state_directory / "gpu-primer").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    if (!lock || flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return;
    const Fd keeper(static_cast<int>(syscall(SYS_pidfd_open, keeper_pid, 0)));
    if (!keeper) return;
    const pid_t between = fork();
    if (between == 0) {
        if (fork() == 0) become_primer(lock.get(), keeper.get());
        _exit(0);
    }
    if (between > 0) (void)waitpid(between, nullptr, 0);
}

int be_primer() {
    const char* const named = std::getenv("VRAMD_CUDA_LIBRARY");
    void* const library = dlopen(named != nullptr ? named : "libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    using Init = int (*)(unsigned);
    const auto init = library == nullptr ? nullptr : reinterpret_cast<Init>(dlsym(library, "cuInit"));
    if (init == nullptr || init(0) != 0) return 1;
    pollfd wait{keeper_number, POLLIN, 0};
    while (poll(&wait, 1, -1) < 0) {
    }
    return 0;
}
}  // namespace vramd::program
