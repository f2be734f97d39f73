/// Bytes ⇄ structs for the ledger and its snapshots: little-endian, fixed order, no padding, no names.
///
/// A struct says its fields once: `template <class Self, class V> static void fields(Self& self, V&& visit) { visit(self.a, self.b); }`.
/// A struct with static `pack` and `unpack` has a list of it written by these, behind the size of that.
/// Writing cannot fail; reading checks every length against what is left and every enum against its names.
#pragma once
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/id.hpp"
#include "base/result.hpp"
#include "terms/enums.hpp"

namespace vramd {
/// Appends to a byte vector. Not synchronised.
class ArchiveWriter {
public:
    explicit ArchiveWriter(std::vector<std::byte>& out) : out_(out) {}

    template <class... Ts>
    void operator()(const Ts&... values) {
        (put(values), ...);
    }

private:
    void put_bytes(const void* data, std::size_t size) {
        // resize and copy: GCC 12 sees an overflow in vector::insert of a range where there is none.
        const std::size_t end = out_.size();
        out_.resize(end + size);
        if (size > 0) std::memcpy(out_.data() + end, data, size);
    }
    void put(const std::string& text) {
        put(static_cast<u32>(text.size()));
        put_bytes(text.data(), text.size());
    }
    template <class T>
    void put(const std::vector<T>& list) {
        if constexpr (requires { T::pack(list, out_); }) {
            std::vector<std::byte> packed;
            T::pack(list, packed);
            put(static_cast<u32>(packed.size()));
            put_bytes(packed.data(), packed.size());
        } else {
            put(static_cast<u32>(list.size()));
            for (const T& item : list) put(item);
        }
    }
    template <class K, class T>
    void put(const std::map<K, T>& map) {
        put(static_cast<u32>(map.size()));
        for (const auto& [key, value] : map) (*this)(key, value);
    }
    template <class Tag>
    void put(const Id<Tag>& id) {
        put(id.serial);
        put(id.secret);
    }
    template <class T>
    void put(const T& value) {
        if constexpr (std::is_same_v<T, bool>) {
            const u8 byte = value ? 1 : 0;
            put_bytes(&byte, 1);
        } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
            put_bytes(&value, sizeof value);  // x86-64 and arm64 are little-endian; a big-endian port swaps here.
        } else {
            T::fields(value, *this);
        }
    }
    std::vector<std::byte>& out_;
};

/// Reads what ArchiveWriter wrote. After the first fault every further read yields zeros and `finish` tells the fault.
class ArchiveReader {
public:
    explicit ArchiveReader(std::span<const std::byte> bytes) : rest_(bytes) {}

    template <class... Ts>
    void operator()(Ts&... values) {
        (get(values), ...);
    }
    /// Success if every byte was used and every value was valid.
    [[nodiscard]] Result<void> finish() const {
        if (failed_) return refuse(Code::system_failed, "record", "A record of the ledger is shorter than its fields, or holds an unknown word.");
        if (!rest_.empty()) return refuse(Code::system_failed, "record", "A record of the ledger is longer than its fields.");
        return {};
    }

private:
    bool take(void* into, std::size_t size) {
        if (failed_ || rest_.size() < size) {
            failed_ = true;
            std::memset(into, 0, size);
            return false;
        }
        std::memcpy(into, rest_.data(), size);
        rest_ = rest_.subspan(size);
        return true;
    }
    void get(std::string& text) {
        u32 size = 0;
        get(size);
        if (failed_ || rest_.size() < size) {
            failed_ = true;
            return;
        }
        text.assign(reinterpret_cast<const char*>(rest_.data()), size);
        rest_ = rest_.subspan(size);
    }
    template <class T>
    void get(std::vector<T>& list) {
        u32 size = 0;
        get(size);
        list.clear();
        if constexpr (requires { T::unpack(rest_, list); }) {
            if (failed_ || rest_.size() < size || !T::unpack(rest_.first(size), list)) {
                failed_ = true;
                return;
            }
            rest_ = rest_.subspan(size);
            return;
        }
        // Grow as items really arrive: a false count must not reserve gigabytes.
        for (u32 i = 0; i < size && !failed_; ++i) get(list.emplace_back());
    }
    template <class K, class T>
    void get(std::map<K, T>& map) {
        u32 size = 0;
        get(size);
        map.clear();
        for (u32 i = 0; i < size && !failed_; ++i) {
            K key{};
            get(key);
            get(map[key]);
        }
    }
    template <class Tag>
    void get(Id<Tag>& id) {
        get(id.serial);
        get(id.secret);
    }
    template <class T>
    void get(T& value) {
        if constexpr (std::is_same_v<T, bool>) {
            u8 byte = 0;
            if (take(&byte, 1) && byte > 1) failed_ = true;
            value = byte == 1;
        } else if constexpr (std::is_enum_v<T>) {
            if (take(&value, sizeof value) && !is_known(value)) failed_ = true;
        } else if constexpr (std::is_integral_v<T>) {
            take(&value, sizeof value);
        } else {
            T::fields(value, *this);
        }
    }
    template <class E>
    static bool is_known(E value) {
        if constexpr (std::is_same_v<E, Code>)
            return static_cast<std::size_t>(value) < code_table.size();
        else
            return is_valid(value);
    }
    std::span<const std::byte> rest_;
    bool failed_ = false;
};

template <class T>
[[nodiscard]] std::vector<std::byte> to_bytes(const T& value) {
    std::vector<std::byte> bytes;
    ArchiveWriter writer(bytes);
    writer(value);
    return bytes;
}
}  // namespace vramd
