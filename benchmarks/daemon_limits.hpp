/// The limits that loads are held against, and the model files that both read.
#pragma once
#include <sys/mman.h>

#include <atomic>
#include <functional>

#include "daemon_bed.hpp"

namespace vramd::bench {
/// Mapped memory whose pages are there.
struct Memory {
    std::byte* bytes = nullptr;
    u64 size = 0;
    explicit Memory(u64 size_bytes) : size(size_bytes) {
        void* mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (mapped == MAP_FAILED) give_up("mmap");
        bytes = static_cast<std::byte*>(mapped);
    }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory() { munmap(bytes, size); }
    [[nodiscard]] std::span<std::byte> span() const { return {bytes, size}; }
};

/// A safetensors file of `data_bytes` in `tensors` tensors, in the page cache once it is written.
inline std::string write_model(const Bed& bed, const std::string& name, u64 data_bytes, u64 tensors) {
    const u64 each = round_down(data_bytes / tensors, 64);
    std::string json = "{";
    for (u64 i = 0; i < tensors; ++i)
        json += (i == 0 ? "\"layer." : ",\"layer.") + std::to_string(i) + "\":{\"dtype\":\"F32\",\"shape\":[" + std::to_string(each / 4) +
                "],\"data_offsets\":[" + std::to_string(i * each) + "," + std::to_string((i + 1) * each) + "]}";
    json += "}";
    json.resize(round_up(json.size(), 8), ' ');
    const u64 size = json.size();
    const Fd file(open((bed.models / name).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    const auto put = [&](const void* from, u64 bytes) {
        if (write(file.get(), from, bytes) != static_cast<ssize_t>(bytes)) give_up("write " + name);
    };
    put(&size, sizeof size);
    put(json.data(), json.size());
    std::vector<u32> block(each / 4);
    for (u64 i = 0; i < tensors; ++i) {
        for (std::size_t k = 0; k < block.size(); ++k) block[k] = static_cast<u32>(k * 2654435761U + i);
        put(block.data(), each);
    }
    return name;
}

/// Runs `work(offset, size)` over `bytes` in pieces of 4 MiB.
inline void on_two_threads(const std::function<void(u64, u64)>& work, u64 bytes) {
    std::atomic<u64> next = 0;
    const auto share = [&] {
        for (u64 at = next.fetch_add(4 * mib); at < bytes; at = next.fetch_add(4 * mib)) work(at, std::min<u64>(4 * mib, bytes - at));
    };
    std::thread other(share);
    share();
    other.join();
}

/// Two threads pread the file into `memory`.
inline u64 plain_read_ns(const Bed& bed, const std::string& model, const Memory& memory) {
    const Fd file(open((bed.models / model).c_str(), O_RDONLY | O_CLOEXEC));
    return time_of([&] {
        on_two_threads(
            [&](u64 at, u64 size) {
                for (u64 done = 0; done < size;) {
                    const ssize_t got = pread(file.get(), memory.bytes + at + done, size - done, static_cast<off_t>(at + done));
                    if (got <= 0) give_up("pread");
                    done += static_cast<u64>(got);
                }
            },
            memory.size);
    });
}

/// New shared memory as the daemon makes it: a memfd, every page there and zero.
inline u64 populate_ns(u64 bytes) {
    const Fd file(memfd_create("bench", MFD_CLOEXEC));
    if (ftruncate(file.get(), static_cast<off_t>(bytes)) != 0) give_up("ftruncate");
    void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (mapped == MAP_FAILED) give_up("mmap");
    const u64 ns = time_of([&] {
        on_two_threads([&](u64 at, u64 size) { (void)madvise(static_cast<std::byte*>(mapped) + at, size, MADV_POPULATE_WRITE); }, bytes);
    });
    munmap(mapped, bytes);
    return ns;
}

}  // namespace vramd::bench
