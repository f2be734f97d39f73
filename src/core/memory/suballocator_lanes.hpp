/// Questions to the sixteen numbers of a hole tree's node at once: which are above a bound, which is the largest.
///
/// With SSE2, which every x86-64 has, one question is four comparisons and a mask of sixteen bits; elsewhere plain loops give the
/// same answers. SSE2 compares signed numbers only, so the tree keeps its numbers `Flipped`.
#pragma once
#include <algorithm>
#include <array>
#include <bit>

#include "base/types.hpp"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace vramd::memory {
/// An unsigned number with its top bit flipped, so that signed comparison is the order of the unsigned numbers.
enum class Flipped : i32 {};
[[nodiscard]] constexpr Flipped flip(u32 number) { return static_cast<Flipped>(number ^ 0x8000'0000); }
[[nodiscard]] constexpr u32 unflip(Flipped number) { return static_cast<u32>(number) ^ 0x8000'0000; }
}  // namespace vramd::memory

namespace vramd::memory::lanes {
/// Sixteen numbers, aligned to 16 bytes.
using Lanes = std::array<Flipped, 16>;
inline constexpr u32 all_lanes = 0xffff;

#if defined(__SSE2__)
[[gnu::always_inline]] inline __m128i four_of(const Lanes& lanes, u32 first) {
    return _mm_load_si128(reinterpret_cast<const __m128i*>(&lanes[first]));
}
[[gnu::always_inline]] inline __m128i larger(__m128i a, __m128i b) {
    const __m128i first = _mm_cmpgt_epi32(a, b);
    return _mm_or_si128(_mm_and_si128(first, a), _mm_andnot_si128(first, b));
}
/// Bit i: lanes[i] > bound.
[[gnu::always_inline]] inline u32 lanes_above(const Lanes& lanes, u32 bound) {
    const __m128i than = _mm_set1_epi32(static_cast<int>(flip(bound)));
    const __m128i low = _mm_packs_epi32(_mm_cmpgt_epi32(four_of(lanes, 0), than), _mm_cmpgt_epi32(four_of(lanes, 4), than));
    const __m128i high = _mm_packs_epi32(_mm_cmpgt_epi32(four_of(lanes, 8), than), _mm_cmpgt_epi32(four_of(lanes, 12), than));
    return static_cast<u32>(_mm_movemask_epi8(_mm_packs_epi16(low, high)));
}
inline Flipped largest_lane(const Lanes& lanes) {
    __m128i most = larger(larger(four_of(lanes, 0), four_of(lanes, 4)), larger(four_of(lanes, 8), four_of(lanes, 12)));
    most = larger(most, _mm_shuffle_epi32(most, _MM_SHUFFLE(1, 0, 3, 2)));
    most = larger(most, _mm_shuffle_epi32(most, _MM_SHUFFLE(2, 3, 0, 1)));
    return static_cast<Flipped>(_mm_cvtsi128_si32(most));
}
/// The largest lane after one that holds `was`, the largest of all, has gone.
inline Flipped largest_without(const Lanes& lanes, Flipped was) {
    const __m128i gone = _mm_set1_epi32(static_cast<int>(was));
    const __m128i to_least = _mm_set1_epi32(static_cast<int>(was) ^ static_cast<int>(flip(0)));  // Turns `was` into the least number.
    const __m128i a = four_of(lanes, 0), b = four_of(lanes, 4), c = four_of(lanes, 8), d = four_of(lanes, 12);
    const __m128i in_a = _mm_cmpeq_epi32(a, gone), in_b = _mm_cmpeq_epi32(b, gone);
    const __m128i in_c = _mm_cmpeq_epi32(c, gone), in_d = _mm_cmpeq_epi32(d, gone);
    const __m128i holders = _mm_packs_epi16(_mm_packs_epi32(in_a, in_b), _mm_packs_epi32(in_c, in_d));
    const auto mask = static_cast<u32>(_mm_movemask_epi8(holders));
    if ((mask & (mask - 1)) != 0) return was;  // Another lane holds as much.
    const auto rest = [&](__m128i four, __m128i same) { return _mm_xor_si128(four, _mm_and_si128(same, to_least)); };
    __m128i most = larger(larger(rest(a, in_a), rest(b, in_b)), larger(rest(c, in_c), rest(d, in_d)));
    most = larger(most, _mm_shuffle_epi32(most, _MM_SHUFFLE(1, 0, 3, 2)));
    most = larger(most, _mm_shuffle_epi32(most, _MM_SHUFFLE(2, 3, 0, 1)));
    return static_cast<Flipped>(_mm_cvtsi128_si32(most));
}
/// Bit i, out of `candidates` (whose sizes are >= size): a span at offsets[i] of sizes[i] holds `size` at a multiple of `alignment`.
inline u32 lanes_holding(const Lanes& offsets, const Lanes& sizes, u32 candidates, u32 size, u32 alignment) {
    // What alignment skips is -offset modulo the alignment; it must not exceed what the size leaves over. Flipping commutes with both
    // subtractions, and with the mask because an alignment is at most 2^31.
    const __m128i below_alignment = _mm_set1_epi32(static_cast<int>(alignment - 1));
    const __m128i wanted = _mm_set1_epi32(static_cast<int>(size));
    u32 missing = 0;
    for (u32 first = 0; first < offsets.size(); first += 4) {
        const __m128i skipped = _mm_and_si128(_mm_sub_epi32(_mm_setzero_si128(), four_of(offsets, first)), below_alignment);
        const __m128i skipped_flipped = _mm_xor_si128(skipped, _mm_set1_epi32(static_cast<int>(0x8000'0000)));
        const __m128i too_many = _mm_cmpgt_epi32(skipped_flipped, _mm_sub_epi32(four_of(sizes, first), wanted));
        missing |= static_cast<u32>(_mm_movemask_ps(_mm_castsi128_ps(too_many))) << first;
    }
    return candidates & ~missing;
}
#else
inline u32 lanes_above(const Lanes& lanes, u32 bound) {
    u32 mask = 0;
    for (u32 i = 0; i < lanes.size(); ++i) mask |= u32{lanes[i] > flip(bound)} << i;
    return mask;
}
inline Flipped largest_lane(const Lanes& lanes) { return *std::ranges::max_element(lanes); }
inline Flipped largest_without(const Lanes& lanes, Flipped was) {
    Lanes rest = lanes;
    *std::ranges::find(rest, was) = flip(0);
    return largest_lane(rest);
}
inline u32 lanes_holding(const Lanes& offsets, const Lanes& sizes, u32 candidates, u32 size, u32 alignment) {
    u32 mask = 0;
    for (u32 i = 0; i < offsets.size(); ++i) {
        const u32 skipped = (0U - unflip(offsets[i])) & (alignment - 1);
        if (u64{skipped} + size <= unflip(sizes[i])) mask |= 1U << i;
    }
    return mask & candidates;
}
#endif
/// The lowest bit set; 32 if none is.
[[nodiscard]] inline u32 first_lane(u32 mask) { return static_cast<u32>(std::countr_zero(mask)); }
}  // namespace vramd::memory::lanes
