/// What the worker room's tests share: model files made in memory, lent memory, and answers that can be waited for.
#pragma once
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "worker/loader_process.hpp"

namespace vramd::worker::testing {
inline constexpr auto patience = std::chrono::seconds(60);  ///< A busy machine may be slow; a hang is still found.

/// An unnamed regular file in memory with these bytes.
inline Fd file_of(std::string_view bytes) {
    Fd file(memfd_create("model", MFD_CLOEXEC));
    REQUIRE(file);
    REQUIRE(write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    return file;
}
inline SharedFiles files_of(std::string name, Fd main) {
    auto files = std::make_shared<ModelFiles>();
    files->main_name = std::move(name);
    files->main = std::move(main);
    return files;
}

/// A safetensors file: `count` tensors of `each_bytes` (a multiple of 4), their content from a seed.
struct Safetensors {
    std::string header;
    std::string data;
    [[nodiscard]] std::string bytes() const { return header + data; }
};
inline std::string safetensors_header(u64 count, u64 each_bytes) {
    std::string json = "{";
    for (u64 i = 0; i < count; ++i) {
        json += (i == 0 ? "" : ",") + ("\"t" + std::to_string(i)) + "\":{\"dtype\":\"F32\",\"shape\":[" + std::to_string(each_bytes / 4) +
                "],\"data_offsets\":[" + std::to_string(i * each_bytes) + "," + std::to_string((i + 1) * each_bytes) + "]}";
    }
    json += "}";
    json.resize(round_up(json.size(), 8), ' ');
    std::string size(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) size[i] = static_cast<char>((json.size() >> (8 * i)) & 0xff);
    return size + json;
}
inline Safetensors safetensors(u64 count, u64 each_bytes, u64 seed = 1) {
    Safetensors file{safetensors_header(count, each_bytes), std::string(count * each_bytes, '\0')};
    SeededRandom random(seed);
    for (char& byte : file.data) byte = static_cast<char>(random.next());
    return file;
}
/// A valid file with one large tensor of zeros that take no disk: it loads for a while.
inline Fd large_file(u64 size_bytes) {
    const std::string header = safetensors_header(1, size_bytes);
    Fd file = file_of(header);
    REQUIRE(ftruncate(file.get(), static_cast<off_t>(header.size() + size_bytes)) == 0);
    return file;
}

/// Memory to lend, as a host block is: mapped here, sealed against resizing.
class Memory {
public:
    explicit Memory(u64 size_bytes) : descriptor_(memfd_create("block", MFD_CLOEXEC | MFD_ALLOW_SEALING)), size_bytes_(size_bytes) {
        REQUIRE(ftruncate(get(), static_cast<off_t>(size_bytes)) == 0);
        REQUIRE(fcntl(get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) == 0);
        void* const at = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, get(), 0);
        REQUIRE(at != MAP_FAILED);
        address_ = static_cast<std::byte*>(at);
    }
    ~Memory() { unmap(); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    [[nodiscard]] int get() const { return descriptor_.get(); }
    [[nodiscard]] Fd duplicate() const { return descriptor_.duplicate().value(); }
    [[nodiscard]] std::span<std::byte> place(u64 offset_bytes, u64 size_bytes) const { return {address_ + offset_bytes, size_bytes}; }
    void unmap() {
        if (address_ != nullptr) munmap(std::exchange(address_, nullptr), size_bytes_);
    }

private:
    Fd descriptor_;
    u64 size_bytes_;
    std::byte* address_ = nullptr;
};
inline std::string bytes_at(const Memory& memory, u64 offset_bytes, u64 size_bytes) {
    std::string bytes(size_bytes, '\0');
    REQUIRE(pread(memory.get(), bytes.data(), size_bytes, static_cast<off_t>(offset_bytes)) == static_cast<ssize_t>(size_bytes));
    return bytes;
}

inline std::unique_ptr<Loaders> loaders(Options options = {}) {
    auto started = Loaders::start(std::move(options));
    REQUIRE(started.has_value());
    return std::move(*started);
}

/// A result that a callback brings.
template <class T>
class Awaited {
public:
    [[nodiscard]] std::function<void(Result<T>)> callback() {
        return [promise = promise_](Result<T> result) { promise->set_value(std::move(result)); };
    }
    [[nodiscard]] Result<T> wait() {
        REQUIRE(future_.wait_for(patience) == std::future_status::ready);
        Result<T> result = future_.get();
        if (!result) std::fputs(("    " + describe(result.error()) + "\n").c_str(), stderr);  // What a failed REQUIRE does not say.
        return result;
    }

private:
    std::shared_ptr<std::promise<Result<T>>> promise_ = std::make_shared<std::promise<Result<T>>>();
    std::future<Result<T>> future_ = promise_->get_future();
};
inline Result<Inspection> inspect(Loaders& loaders, SharedFiles files, u64 deadline_ms = 60'000) {
    Awaited<Inspection> answer;
    InspectJob job;
    job.files = std::move(files);
    job.deadline_ms = deadline_ms;
    job.done = answer.callback();
    const auto ticket = loaders.inspect(std::move(job));
    if (!ticket) return std::unexpected(ticket.error());
    return answer.wait();
}
inline LoadJob load_job(SharedFiles files, const Memory& memory, u64 size_bytes, u64 offset_bytes = 0) {
    LoadJob job;
    job.files = std::move(files);
    job.memory = memory.duplicate();
    job.offset_bytes = offset_bytes;
    job.place = memory.place(offset_bytes, size_bytes);
    return job;
}
inline Result<Loaded> load(Loaders& loaders, LoadJob job) {
    Awaited<Loaded> answer;
    job.done = answer.callback();
    const auto ticket = loaders.load(std::move(job));
    if (!ticket) return std::unexpected(ticket.error());
    return answer.wait();
}

inline std::vector<pid_t> pids_of(const Loaders& loaders) {
    std::vector<pid_t> pids;
    for (const Speaking& process : loaders.processes()) pids.push_back(process.pid);
    return pids;
}

inline std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
    return count;
}
}  // namespace vramd::worker::testing
