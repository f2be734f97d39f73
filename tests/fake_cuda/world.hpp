/// What the double has in one process: handles, mappings, streams, and the orders of the test.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace vramd::cuda_double {
using u64 = std::uint64_t;
constexpr u64 mib = u64{1} << 20;
constexpr u64 granularity = 2 * mib;
constexpr u64 context_bytes = 8 * mib;
constexpr int invalid_value = 1;     // CUDA_ERROR_INVALID_VALUE
constexpr int reads = 1;             // CU_MEM_ACCESS_FLAGS_PROT_READ
constexpr int reads_and_writes = 3;  // CU_MEM_ACCESS_FLAGS_PROT_READWRITE
constexpr u64 all_ones = ~u64{0};
/// No address of a process.
constexpr u64 first_address = u64{0x7000} << 48;

struct Physical {
    int descriptor = -1;
    u64 size_bytes = 0;
    bool imported = false;
};
struct Mapped {
    u64 size_bytes = 0;
    u64 handle = 0;
    unsigned char* bytes = nullptr;
    std::map<int, int> access = {};  ///< By GPU; absent: it does not reach it.
};
constexpr int gpus_max = 8;
struct Stream {
    struct Work {
        std::function<int()> run;
    };
    std::deque<Work> queue;
    int gpu = 0;
    u64 begun = 0;
    u64 done = 0;
};
struct Event {
    Stream* stream = nullptr;
    u64 after = 0;
    bool asked = false;
};
struct Order {
    std::string function;  ///< Empty: any.
    int status = 0;
    u64 after = 0;
    u64 count = 0;
};

/// All under its mutex.
struct World {
    std::recursive_mutex mutex;
    u64 total_bytes = 1024 * mib;
    int gpus = 1;
    std::string name;
    std::string orders_path;
    bool began = false;
    bool has_context = false;
    int sticky = 0;
    u64 told_free = all_ones;
    u64 calls = 0;
    u64 next_number = 1;
    u64 next_address = first_address;
    char contexts[gpus_max] = {};  ///< One for each GPU: their addresses stand for them.
    std::map<u64, Physical> handles;
    std::map<u64, u64> reservations;
    std::map<u64, Mapped> mappings;
    std::map<const unsigned char*, u64> registered;
    std::set<Stream*> streams;
    std::set<Event*> events;
    std::vector<Order> orders;
    std::map<std::string, u64> counted;  ///< Calls that an order of the file took already.

    static World& get();
    /// Counts a call, waits or fails as ordered: the status that it answers in place of doing anything, or 0.
    int enter(const char* function);
    /// The same for a call that a GPU's failure ends.
    int enter_copy(const char* function);
    int file_order(const char* function);
    /// Where the processor finds it; null unless all of it is mapped and this GPU may do that with it (1: read, 3: read and write).
    unsigned char* at(u64 address, u64 size_bytes, int gpu, int access);
    bool is_registered(const void* memory, u64 size_bytes) const;
    u64 used_bytes() const;
    int begin(Stream* stream, std::function<int()> work);
    /// Does what was begun up to number `upto`.
    void run(Stream& stream, u64 upto);
};

/// The context of this thread; null: none.
extern thread_local void* current_context;
/// Its GPU; −1: none.
int current_gpu();
}  // namespace vramd::cuda_double
