#include "device/stream.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "base/invariant.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace vramd::device {
namespace {
/// Bytes up to the next line of `target`.
u64 head_bytes(const std::byte* target) {
    const u64 past = reinterpret_cast<std::uintptr_t>(target) % line_bytes;
    return past == 0 ? 0 : line_bytes - past;
}

#if defined(__x86_64__)
constexpr u64 lanes = 4;  // Pages copied side by side: one prefetcher stream each. 1 lane gives 85 % of it, more give no more.

void store_line(std::byte* target, __m128i a, __m128i b, __m128i c, __m128i d) {
    auto* const line = reinterpret_cast<__m128i*>(target);
    _mm_stream_si128(line, a);
    _mm_stream_si128(line + 1, b);
    _mm_stream_si128(line + 2, c);
    _mm_stream_si128(line + 3, d);
}

void copy_line(std::byte* target, const std::byte* source) {
    const auto* const from = reinterpret_cast<const __m128i*>(source);
    store_line(target, _mm_loadu_si128(from), _mm_loadu_si128(from + 1), _mm_loadu_si128(from + 2), _mm_loadu_si128(from + 3));
}

void fill_by_16(std::byte* lines, u64 bytes, std::byte value) {
    const __m128i sixteen = _mm_set1_epi8(static_cast<char>(value));
    for (u64 at = 0; at < bytes; at += line_bytes) store_line(lines + at, sixteen, sixteen, sixteen, sixteen);
    _mm_sfence();
}

__attribute__((target("avx512f"))) void fill_by_64(std::byte* lines, u64 bytes, std::byte value) {
    constexpr u32 each_byte = 0x01010101;
    const __m512i line = _mm512_set1_epi32(static_cast<int>(static_cast<u32>(value) * each_byte));
    for (u64 at = 0; at < bytes; at += line_bytes) _mm512_stream_si512(reinterpret_cast<__m512i*>(lines + at), line);
    _mm_sfence();
}

/// AMD's instruction for it: a line of zeros needs no data on its way (AMD64 manual, volume 3, CLZERO).
void clear_lines(std::byte* lines, u64 bytes, std::byte /*zero*/) {
    for (u64 at = 0; at < bytes; at += line_bytes) asm volatile("clzero" : : "a"(lines + at) : "memory");
    _mm_sfence();
}

bool has_clzero() {
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    constexpr unsigned extended_features = 0x80000008;
    return __get_cpuid(extended_features, &a, &b, &c, &d) != 0 && (b & 1U) != 0;
}

std::vector<LineFill> ways_here() {
    std::vector<LineFill> ways;
    if (has_clzero()) ways.push_back({.name = "clzero", .values = LineFill::Values::zero, .fill = clear_lines});
    if (__builtin_cpu_supports("avx512f") != 0) ways.push_back({.name = "64-byte stores", .fill = fill_by_64});
    ways.push_back({.name = "16-byte stores", .fill = fill_by_16});
    return ways;
}
#else
std::vector<LineFill> ways_here() { return {}; }
#endif

std::optional<LineFill> best_way(LineFill::Values values) {
    for (const LineFill& way : line_fills())
        if (way.values == LineFill::Values::any || way.values == values) return way;
    return std::nullopt;
}
}  // namespace

std::span<const LineFill> line_fills() {
    static const std::vector<LineFill> ways = ways_here();
    return ways;
}

void stream_fill(std::span<std::byte> target, std::byte value) {
    if (target.empty()) return;
    static const std::optional<LineFill> for_zero = best_way(LineFill::Values::zero);
    static const std::optional<LineFill> for_any = best_way(LineFill::Values::any);
    const std::optional<LineFill>& way = value == std::byte{0} ? for_zero : for_any;
    if (target.size() < stream_min_bytes || !way) {
        std::memset(target.data(), static_cast<int>(value), target.size());
        return;
    }
    const u64 head = head_bytes(target.data());
    const u64 lines = (target.size() - head) / line_bytes * line_bytes;
    std::memset(target.data(), static_cast<int>(value), head);
    way->fill(target.data() + head, lines, value);
    const u64 end = head + lines;
    std::memset(target.data() + end, static_cast<int>(value), target.size() - end);
}

void stream_copy(std::span<std::byte> target, std::span<const std::byte> source) {
    INVARIANT(target.size() == source.size());
    if (target.empty()) return;
#if defined(__x86_64__)
    if (target.size() >= stream_min_bytes) {
        std::byte* const to = target.data();
        const std::byte* const from = source.data();
        u64 at = head_bytes(to);
        std::memcpy(to, from, at);
        for (; target.size() - at >= lanes * page_bytes; at += lanes * page_bytes)
            for (u64 line = 0; line < page_bytes; line += line_bytes)
                for (u64 lane = 0; lane < lanes; ++lane) {
                    const u64 here = at + lane * page_bytes + line;
                    copy_line(to + here, from + here);
                }
        _mm_sfence();
        std::memcpy(to + at, from + at, target.size() - at);
        return;
    }
#endif
    std::memcpy(target.data(), source.data(), target.size());
}
}  // namespace vramd::device
