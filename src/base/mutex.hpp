/// A mutex that clang's -Wthread-safety can follow. Every lock of the house is one of these.
#pragma once
#include <mutex>

#if defined(__clang__)
#define VRAMD_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define VRAMD_THREAD_ANNOTATION(x)
#endif
#define GUARDED_BY(m) VRAMD_THREAD_ANNOTATION(guarded_by(m))
#define REQUIRES(...) VRAMD_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) VRAMD_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))

namespace vramd {
class VRAMD_THREAD_ANNOTATION(capability("mutex")) Mutex {
public:
    void lock() VRAMD_THREAD_ANNOTATION(acquire_capability()) { mutex_.lock(); }
    void unlock() VRAMD_THREAD_ANNOTATION(release_capability()) { mutex_.unlock(); }
    /// For std::condition_variable_any and the like.
    bool try_lock() VRAMD_THREAD_ANNOTATION(try_acquire_capability(true)) { return mutex_.try_lock(); }

private:
    std::mutex mutex_;
};

/// Holds a Mutex for a scope.
class VRAMD_THREAD_ANNOTATION(scoped_lockable) Lock {
public:
    explicit Lock(Mutex& mutex) VRAMD_THREAD_ANNOTATION(acquire_capability(mutex)) : mutex_(mutex) { mutex_.lock(); }
    ~Lock() VRAMD_THREAD_ANNOTATION(release_capability()) { mutex_.unlock(); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

private:
    Mutex& mutex_;
};
}  // namespace vramd
