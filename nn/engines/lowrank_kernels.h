// Products of digits of 16 bits, for instruction sets without dot products of bytes. Included by each
// kernels_*.cpp; in an unnamed namespace, see kernels.h.
#pragma once

#include "kernels_common.h"
#include "lowrank.h"

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace rtlgrad {
namespace {

#if defined(__AVX2__)
typedef __m256i Digits;
INLINE Digits load_digits(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
INLINE Digits all_digits(uint32_t two) { return _mm256_set1_epi32(static_cast<int>(two)); }
INLINE Digits add_product(Digits sum, Digits x, Digits y) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, y));
}
#elif defined(__SSE2__)
typedef __m128i Digits;
INLINE Digits load_digits(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }
INLINE Digits all_digits(uint32_t two) { return _mm_set1_epi32(static_cast<int>(two)); }
INLINE Digits add_product(Digits sum, Digits x, Digits y) { return _mm_add_epi32(sum, _mm_madd_epi16(x, y)); }
#else
typedef uint32_t Digits __attribute__((vector_size(16)));
typedef int32_t SignedDigits __attribute__((vector_size(16)));
INLINE Digits load_digits(const void* from) { return load<Digits>(from); }
INLINE Digits all_digits(uint32_t two) { return Digits{} + two; }
INLINE Digits upper_of(Digits x) { return reinterpret_cast<Digits>(reinterpret_cast<SignedDigits>(x) >> 16); }
INLINE Digits add_product(Digits sum, Digits x, Digits y) {
    return sum + upper_of(x << 16) * upper_of(y << 16) + upper_of(x) * upper_of(y);
}
#endif

constexpr int64_t kDigitLanes = sizeof(Digits) / 4;
typedef uint32_t DigitSums __attribute__((vector_size(sizeof(Digits))));

template <typename Code>
INLINE void left_of(const LeftJob& job) {
    const Code* codes = static_cast<const Code*>(job.codes);
    const unsigned mask = static_cast<unsigned>(job.side - 1);
    for (int64_t p = 0; p < job.lefts; ++p) {
        const uint16_t* table = static_cast<const uint16_t*>(job.left) + p * job.side;
        uint32_t* to = job.to + p * job.steps * 64;
        for (int64_t s = 0; s < job.steps; ++s, to += 64) {
            const Code *even = codes + 2 * s * job.stride, *odd = even + job.stride;
            for (int64_t n = 0; n < 64; ++n) {
                to[n] = table[even[n] & mask] | static_cast<uint32_t>(table[odd[n] & mask]) << 16;
            }
        }
    }
}

[[maybe_unused]] void left_halves(const LeftJob& job) {
    job.narrow ? left_of<uint8_t>(job) : left_of<uint16_t>(job);
}

template <typename Digit>
INLINE uint32_t right_of(const RightJob& job) {
    const Digit* table = static_cast<const Digit*>(job.table);
    Digit* to = static_cast<Digit*>(job.to);
    const unsigned mask = static_cast<unsigned>(job.side - 1);
    uint32_t sum = 0;
    for (int64_t k = job.count; k % (4 / static_cast<int64_t>(sizeof(Digit))) != 0; ++k) to[k] = 0;
    for (int64_t k = 0; k < job.count; ++k) {
        to[k] = table[(job.narrow != nullptr ? job.narrow[k] : job.wide[k]) & mask];
        sum += static_cast<uint32_t>(static_cast<int32_t>(to[k]));
    }
    return sum;
}

[[maybe_unused]] uint32_t right_halves(const RightJob& job) { return right_of<int16_t>(job); }

template <int kRows>
INLINE void products_of(const ProductJob& job) {
    constexpr int64_t kAtOnce = 2;
    for (int64_t n = 0; n < 64; n += kAtOnce * kDigitLanes) {
        Digits sum[kRows][kAtOnce] = {};
        const uint32_t* right = job.right;
        for (int64_t g = 0; g < job.pairs; ++g, right += (kRows - 1) * job.steps) {
            const uint32_t* left = job.left[g] + n;
            for (int64_t s = 0; s < job.steps; ++s, left += 64, ++right) {
                const Digits x[2] = {load_digits(left), load_digits(left + kDigitLanes)};
#pragma GCC unroll 8
                for (int m = 0; m < kRows; ++m) {
                    const Digits y = all_digits(right[m * job.steps]);
                    sum[m][0] = add_product(sum[m][0], x[0], y);
                    sum[m][1] = add_product(sum[m][1], x[1], y);
                }
            }
        }
#pragma GCC unroll 8
        for (int m = 0; m < kRows; ++m) {
            uint32_t* acc = job.acc + 64 * m + n;
            for (int64_t i = 0; i < kAtOnce; ++i, acc += kDigitLanes) {
                const DigitSums found = reinterpret_cast<DigitSums>(sum[m][i]);
                store(acc, load<DigitSums>(acc) + (job.weight == 1 ? found : found * job.weight));
            }
        }
    }
}

[[maybe_unused]] void products_halves(const ProductJob& job) {
    switch (job.rows) {
        case 4: return products_of<4>(job);
        case 3: return products_of<3>(job);
        case 2: return products_of<2>(job);
        default: return products_of<1>(job);
    }
}

[[maybe_unused]] void settle_plain(const SettleJob& job) {
    for (int64_t n = 0; n < 64; ++n) {
        job.to[n] = job.acc[n] + job.constant + (job.sums == nullptr ? 0 : job.sums[n]);
    }
}

[[maybe_unused]] const DigitKernels kHalfKernels = {2, 4, left_halves, right_halves, products_halves,
                                                    settle_plain};

}  // namespace
}  // namespace rtlgrad
