// Products by a mantissa table with AVX-512 VBMI. Included by kernels_vbmi.cpp; in an unnamed namespace,
// see kernels.h.
#pragma once

#include <immintrin.h>

#include "kernels_mantissa.h"

namespace rtlgrad {
namespace {

constexpr __mmask64 kLowBytes = 0x5555555555555555u;

// Each 16-bit word of x: what the row holds for its low seven bits.
INLINE __m512i entries_of(const __m512i* row, __m512i x) {
    return _mm512_maskz_permutex2var_epi8(kLowBytes, row[0], x, row[1]);
}

INLINE __m512 even_of(__m512i sums) { return _mm512_castsi512_ps(_mm512_slli_epi32(sums, 16)); }

INLINE __m512 odd_of(__m512i sums) {
    return _mm512_castsi512_ps(_mm512_and_si512(sums, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}

// A product is the upper half of a float32, the sum of what x, w and the table give of it.
template <bool kZeros, bool kKeepAll, int kVectors>
INLINE void add_mantissas(const MantissaJob& job, int64_t vector) {
    const __m512i keep = _mm512_set1_epi16(static_cast<short>(job.keep));
    const uint16_t* x = static_cast<const uint16_t*>(job.x) + 32 * vector;
    float* acc = job.acc + 32 * vector;
    __m512 sum[2 * kVectors];
#pragma GCC unroll 16
    for (int q = 0; q < 2 * kVectors; ++q) sum[q] = _mm512_load_ps(acc + 16 * q);
    for (int64_t s = 0; s < job.count; ++s) {
        const MantissaStep& step = job.steps[s];
        const uint8_t* entries = job.entries + step.row * 128;
        const __m512i row[2] = {_mm512_loadu_si512(entries), _mm512_loadu_si512(entries + 64)};
        const __m512i high = _mm512_set1_epi16(static_cast<short>(step.high));
        const uint16_t* from = x + step.k * job.stride;
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
            const __m512i a = _mm512_loadu_si512(from + 32 * v), found = entries_of(row, a);
            const __m512i part = _mm512_add_epi16(kKeepAll ? a : _mm512_and_si512(a, keep), high);
            const __m512i bits = kZeros ? _mm512_maskz_add_epi16(_mm512_test_epi16_mask(a, a), part, found)
                                        : _mm512_add_epi16(part, found);
            sum[2 * v] = _mm512_add_ps(sum[2 * v], even_of(bits));
            sum[2 * v + 1] = _mm512_add_ps(sum[2 * v + 1], odd_of(bits));
        }
    }
#pragma GCC unroll 16
    for (int q = 0; q < 2 * kVectors; ++q) _mm512_store_ps(acc + 16 * q, sum[q]);
}

template <bool kZeros, bool kKeepAll>
INLINE void add_mantissas_everywhere(const MantissaJob& job) {
    int64_t v = 0;
    for (; v + 8 <= job.vectors; v += 8) add_mantissas<kZeros, kKeepAll, 8>(job, v);
    switch (job.vectors - v) {
        case 7: return add_mantissas<kZeros, kKeepAll, 7>(job, v);
        case 6: return add_mantissas<kZeros, kKeepAll, 6>(job, v);
        case 5: return add_mantissas<kZeros, kKeepAll, 5>(job, v);
        case 4: return add_mantissas<kZeros, kKeepAll, 4>(job, v);
        case 3: return add_mantissas<kZeros, kKeepAll, 3>(job, v);
        case 2: return add_mantissas<kZeros, kKeepAll, 2>(job, v);
        case 1: return add_mantissas<kZeros, kKeepAll, 1>(job, v);
        default: return;
    }
}

void mantissa_narrow_vbmi(const MantissaJob& job) {
    const bool keep_all = job.keep == 0xffff;
    if (job.zeros) {
        keep_all ? add_mantissas_everywhere<true, true>(job) : add_mantissas_everywhere<true, false>(job);
    } else {
        keep_all ? add_mantissas_everywhere<false, true>(job) : add_mantissas_everywhere<false, false>(job);
    }
}

// The product's upper half where exponents may leave their range; `high` is x's exponent and mantissa with
// what the table adds, w's exponent not yet among it, in the low 16 bits of a word.
INLINE __m512 checked_of(__m512i high, __m512i signs, __m512i exponent, __mmask16 nonzero) {
    const __m512i sum = _mm512_add_epi32(high, exponent), infinity = _mm512_set1_epi32(0x7f80);
    const __mmask16 normal = _mm512_mask_cmpge_epi32_mask(nonzero, sum, _mm512_set1_epi32(0x80));
    const __m512i bits = _mm512_maskz_min_epi32(normal, sum, infinity);
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_slli_epi32(bits, 16), signs));
}

void mantissa_checked_vbmi(const MantissaJob& job) {
    const __m512i keep = _mm512_set1_epi16(static_cast<short>(job.keep & 0x7fff));
    const __m512i low = _mm512_set1_epi32(0xffff), top = _mm512_set1_epi32(static_cast<int>(0x80000000u));
    for (int64_t s = 0; s < job.count; ++s) {
        const MantissaStep& step = job.steps[s];
        const uint8_t* entries = job.entries + step.row * 128;
        const __m512i row[2] = {_mm512_loadu_si512(entries), _mm512_loadu_si512(entries + 64)};
        const __m512i base = _mm512_set1_epi16(static_cast<short>(job.base[step.row]));
        const __m512i exponent = _mm512_set1_epi32(((step.w >> 7 & 255) - 127) * 128);
        const __m512i sign = _mm512_set1_epi16(static_cast<short>(step.w));
        const uint16_t* from = static_cast<const uint16_t*>(job.x) + step.k * job.stride;
        for (int64_t v = 0; v < job.vectors; ++v) {
            float* acc = job.acc + 32 * v;
            const __m512i a = _mm512_loadu_si512(from + 32 * v);
            const __m512i part = _mm512_add_epi16(_mm512_and_si512(a, keep), base);
            const __m512i sums = _mm512_add_epi16(part, entries_of(row, a));
            const __m512i signs = _mm512_xor_si512(a, sign);
            const __m512i even = _mm512_and_si512(a, low), odd = _mm512_srli_epi32(a, 16);
            const __m512 first = checked_of(_mm512_and_si512(sums, low),
                                            _mm512_and_si512(_mm512_slli_epi32(signs, 16), top), exponent,
                                            _mm512_test_epi32_mask(even, even));
            const __m512 second = checked_of(_mm512_srli_epi32(sums, 16), _mm512_and_si512(signs, top),
                                             exponent, _mm512_test_epi32_mask(odd, odd));
            _mm512_store_ps(acc, _mm512_add_ps(_mm512_load_ps(acc), first));
            _mm512_store_ps(acc + 16, _mm512_add_ps(_mm512_load_ps(acc + 16), second));
        }
    }
}

bool steps_vbmi(const StepsJob& job) {
    if (!exponents_fit(job)) return false;
    const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(23 - job.bits));
    const __m512i mask = _mm512_set1_epi32((1 << job.bits) - 1), bias = _mm512_set1_epi32(127 * 128);
    const __m512i index = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i low = _mm512_set1_epi32(0xffff), upper = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
    const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
    for (int64_t k = 0; k < job.count; k += 16) {
        const int64_t left = job.count - k;
        const __mmask16 some = static_cast<__mmask16>(left >= 16 ? 0xffff : (1 << left) - 1);
        const __m512i w = _mm512_maskz_loadu_epi32(some, job.w + k);
        const __m512i row = _mm512_and_si512(_mm512_srl_epi32(w, shift), mask);
        __m512i high = _mm512_and_si512(_mm512_srli_epi32(w, 16), _mm512_set1_epi32(0xff80));
        high = _mm512_sub_epi32(high, bias);
        if (job.base != nullptr) high = _mm512_add_epi32(high, _mm512_i32gather_epi32(row, job.base, 4));
        const __m512i at = _mm512_add_epi32(index, _mm512_set1_epi32(static_cast<int>(k)));
        const __m512i begin = _mm512_or_si512(at, _mm512_slli_epi32(row, 16));
        const __m512i end = _mm512_or_si512(_mm512_and_si512(high, low), _mm512_and_si512(w, upper));
        _mm512_storeu_si512(job.steps + k, _mm512_permutex2var_epi32(begin, first, end));
        _mm512_storeu_si512(job.steps + k + 8, _mm512_permutex2var_epi32(begin, second, end));
    }
    return true;
}

template <int kVectors>
INLINE void add_wide_mantissas(const MantissaJob& job, int64_t vector) {
    const __m512i mask = _mm512_set1_epi32((1 << job.bits) - 1), low = _mm512_set1_epi32(0xffff);
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xff800000u));
    const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(23 - job.bits));
    const uint32_t* x = static_cast<const uint32_t*>(job.x) + 32 * vector;
    float* acc = job.acc + 32 * vector;
    __m512 sum[2 * kVectors];
#pragma GCC unroll 8
    for (int q = 0; q < 2 * kVectors; ++q) sum[q] = _mm512_load_ps(acc + 16 * q);
    for (int64_t s = 0; s < job.count; ++s) {
        const MantissaStep& step = job.steps[s];
        const uint16_t* row = job.wide + (static_cast<int64_t>(step.row) << job.bits);
        const __m512i high = _mm512_set1_epi32(static_cast<int>(static_cast<uint32_t>(step.high) << 16));
        const uint32_t* from = x + step.k * job.stride;
#pragma GCC unroll 8
        for (int q = 0; q < 2 * kVectors; ++q) {
            const __m512i a = _mm512_loadu_si512(from + 16 * q);
            const __m512i at = _mm512_and_si512(_mm512_srl_epi32(a, shift), mask);
            const __m512i code = _mm512_and_si512(_mm512_i32gather_epi32(at, row, 2), low);
            const __m512i part = _mm512_add_epi32(_mm512_and_si512(a, upper), high);
            const __m512i bits = _mm512_maskz_add_epi32(_mm512_test_epi32_mask(a, a), part,
                                                        _mm512_sll_epi32(code, shift));
            sum[q] = _mm512_add_ps(sum[q], _mm512_castsi512_ps(bits));
        }
    }
#pragma GCC unroll 8
    for (int q = 0; q < 2 * kVectors; ++q) _mm512_store_ps(acc + 16 * q, sum[q]);
}

void mantissa_wide_vbmi(const MantissaJob& job) {
    int64_t v = 0;
    for (; v + 4 <= job.vectors; v += 4) add_wide_mantissas<4>(job, v);
    for (; v < job.vectors; ++v) add_wide_mantissas<1>(job, v);
}

}  // namespace
}  // namespace rtlgrad
