/// A double between this room and libvkd3d, for tests only: it answers for what libvkd3d stubs or never does. Every call goes to the real
/// objects, unless a test ordered otherwise: the device can be removed at any call, calls can fail with any answer, fences can stand still.
///
/// A COM object is a pointer to a table of functions; the double gives the device, its queue and its fences tables of its own, with some
/// functions replaced. It lets the real device end what it was told before it says that it is removed, and asks for the end of a copy until
/// it has come as one call, so that calls can be counted. One in a process at a time; its adapters' `driver` says that it is a double.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "device/d3d12/runtime.hpp"

namespace vramd::device::d3d12 {
/// What a test ordered, and how far it has come.
struct Orders {
    u64 calls = 0;                                ///< Of functions that are replaced, but for the question whether the device is there.
    std::optional<u64> remove_at = std::nullopt;  ///< The device is removed as that call begins, counted from 0.
    std::optional<u64> fail_at = std::nullopt;    ///< That call answers `failure`, if it answers anything.
    HRESULT failure = S_OK;
    bool removed = false;
    bool fences_stand_still = false;
};

/// A table of functions that begins as another's copy.
template <std::size_t Functions>
class Table {
public:
    /// Gives the object this table; the one that it had is the original.
    void take(void* object) {
        void**& table = *static_cast<void***>(object);
        if (original_ == nullptr) {
            original_ = table;
            std::copy_n(table, Functions, functions_.begin());
        }
        table = functions_.data();
    }
    void let_go(void* object) const { *static_cast<void***>(object) = original_; }
    template <class Function>
    void replace(std::size_t index, Function function) {
        functions_[index] = reinterpret_cast<void*>(function);
    }
    template <class Function>
    [[nodiscard]] Function original(std::size_t index) const {
        return reinterpret_cast<Function>(original_[index]);
    }

private:
    std::array<void*, Functions> functions_{};
    void** original_ = nullptr;
};

class DoubleRuntime final : public Runtime {
public:
    [[nodiscard]] static std::shared_ptr<DoubleRuntime> begin_double() {
        std::shared_ptr<DoubleRuntime> runtime(new DoubleRuntime());
        const auto begun = runtime->begin();
        if (!begun) FAIL(describe(begun.error()));
        orders() = {};
        return runtime;
    }
    [[nodiscard]] static Orders& orders() {
        static Orders ordered;
        return ordered;
    }
    Result<std::vector<Adapter>> adapters() const override {
        auto all = Runtime::adapters();
        if (all)
            for (Adapter& adapter : *all) adapter.driver += ", behind a double for tests";
        return all;
    }
    Result<Com<ID3D12Device>> make_device(const Adapter& adapter) override {
        auto made = Runtime::make_device(adapter);
        if (!made) return made;
        Tables& own = tables();
        own.device.take(made->get());
        own.device.replace(8, &create_queue);
        own.device.replace(27, &create_committed);
        own.device.replace(28, &create_heap);
        own.device.replace(29, &create_placed);
        own.device.replace(36, &create_fence);
        own.device.replace(37, &removed_reason);
        return made;
    }

private:
    struct Tables {
        Table<44> device;
        Table<19> queue;
        Table<11> fence;
        std::map<void*, u64> signalled;  ///< By fence.
    };
    static Tables& tables() {
        static Tables all;
        return all;
    }
    /// What this call answers instead of being made.
    static std::optional<HRESULT> instead() {
        Orders& now = orders();
        const u64 call = now.calls++;
        if (now.remove_at == call) now.removed = true;
        if (now.removed) return error_device_removed;
        if (now.fail_at == call) return now.failure;
        return std::nullopt;
    }
    using Make = HRESULT(STDMETHODCALLTYPE*)(void*, const void*, const GUID&, void**);
    static HRESULT STDMETHODCALLTYPE create_queue(void* self, const void* description, const GUID& id, void** made) {
        if (const auto answer = instead()) return *answer;
        Tables& own = tables();
        const HRESULT answer = own.device.original<Make>(8)(self, description, id, made);
        if (FAILED(answer)) return answer;
        own.queue.take(*made);
        own.queue.replace(10, &execute);
        own.queue.replace(14, &signal);
        return answer;
    }
    static HRESULT STDMETHODCALLTYPE create_heap(void* self, const void* description, const GUID& id, void** made) {
        if (const auto answer = instead()) return *answer;
        return tables().device.original<Make>(28)(self, description, id, made);
    }
    using Commit = HRESULT(STDMETHODCALLTYPE*)(void*, const void*, int flags, const void*, int state, const void*, const GUID&, void**);
    static HRESULT STDMETHODCALLTYPE create_committed(void* self, const void* heap, int flags, const void* description, int state,
                                                      const void* clear, const GUID& id, void** made) {
        if (const auto answer = instead()) return *answer;
        return tables().device.original<Commit>(27)(self, heap, flags, description, state, clear, id, made);
    }
    using Place = HRESULT(STDMETHODCALLTYPE*)(void*, void* heap, u64 offset, const void*, int state, const void*, const GUID&, void**);
    static HRESULT STDMETHODCALLTYPE create_placed(void* self, void* heap, u64 offset, const void* description, int state,
                                                   const void* clear, const GUID& id, void** made) {
        if (const auto answer = instead()) return *answer;
        return tables().device.original<Place>(29)(self, heap, offset, description, state, clear, id, made);
    }
    using MakeFence = HRESULT(STDMETHODCALLTYPE*)(void*, u64 value, int flags, const GUID&, void**);
    static HRESULT STDMETHODCALLTYPE create_fence(void* self, u64 value, int flags, const GUID& id, void** made) {
        if (const auto answer = instead()) return *answer;
        Tables& own = tables();
        const HRESULT answer = own.device.original<MakeFence>(36)(self, value, flags, id, made);
        if (FAILED(answer)) return answer;
        own.signalled[*made] = value;
        own.fence.take(*made);
        own.fence.replace(8, &completed_value);
        return answer;
    }
    static HRESULT STDMETHODCALLTYPE removed_reason(void* self) {
        if (orders().removed) return error_device_removed;
        return tables().device.original<HRESULT(STDMETHODCALLTYPE*)(void*)>(37)(self);
    }
    using Signal = HRESULT(STDMETHODCALLTYPE*)(void*, void*, u64);
    using Value = UINT64(STDMETHODCALLTYPE*)(void*);
    static UINT64 real_value(void* fence) { return tables().fence.original<Value>(8)(fence); }
    static HRESULT real_signal(void* queue, void* fence, u64 value) {
        tables().fence.let_go(fence);  // libvkd3d takes no other's fences.
        const HRESULT answer = tables().queue.original<Signal>(14)(queue, fence, value);
        tables().fence.take(fence);
        tables().signalled[fence] = value;
        return answer;
    }
    static void STDMETHODCALLTYPE execute(void* self, UINT count, void* const* lists) {
        if (instead()) return;  // It answers nothing, whatever becomes of it.
        tables().queue.original<void(STDMETHODCALLTYPE*)(void*, UINT, void* const*)>(10)(self, count, lists);
    }
    static HRESULT STDMETHODCALLTYPE signal(void* self, void* fence, u64 value) {
        const auto answer = instead();
        const HRESULT real = real_signal(self, fence, value);
        while (answer && real_value(fence) < value) std::this_thread::yield();
        return answer.value_or(real);
    }
    static UINT64 STDMETHODCALLTYPE completed_value(void* self) {
        if (orders().fences_stand_still) return 0;
        const UINT64 value = real_value(self);
        if (value < tables().signalled[self]) return value;
        (void)instead();
        return orders().removed ? UINT64_MAX : value;
    }
};
}  // namespace vramd::device::d3d12
