// Codes of one byte to digits of 16 bits for AVX2, without a load for each. Included by kernels_avx2.cpp; in
// an unnamed namespace, see kernels.h.
#pragma once

#include <immintrin.h>

#include "lowrank_kernels.h"

namespace rtlgrad {
namespace {

// One byte of each of 256 digits in sixteen registers of 16, eight for codes below 128 and eight for the
// others. What `look_up_half` gives is the exclusive or of all registers up to a code's own, so each but the
// first of either eight holds the exclusive or of its digits with those before.
struct DigitBytes {
    alignas(32) uint8_t deltas[256];

    DigitBytes(const uint16_t* table, int shift) {
        for (int64_t at = 0; at < 256; ++at) deltas[at] = static_cast<uint8_t>(table[at] >> shift);
        for (int64_t at = 255; at >= 16; --at) {
            if (at / 16 != 8) deltas[at] ^= deltas[at - 16];
        }
    }
};

// `vpshufb` looks up the low four bits of an index and gives 0 where its top bit is set. An index of 0 to 127
// is lowered by 16 at each register, so it is negative from the register after its own on.
INLINE __m256i look_up_half(const uint8_t* deltas, __m256i index) {
    const __m256i sixteen = _mm256_set1_epi8(16);
    __m256i found = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int h = 0; h < 8; ++h) {
        const __m128i part = _mm_load_si128(reinterpret_cast<const __m128i*>(deltas) + h);
        found = _mm256_xor_si256(found, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(part), index));
        if (h < 7) index = _mm256_sub_epi8(index, sixteen);
    }
    return found;
}

INLINE __m256i digit_bytes(const DigitBytes& table, __m256i codes) {
    const __m256i top = _mm256_set1_epi8(static_cast<char>(0x80));
    const __m256i high = _mm256_cmpgt_epi8(_mm256_setzero_si256(), codes);  // codes of 128 and more
    const __m256i low_bits = _mm256_andnot_si256(top, codes);
    const __m256i below = look_up_half(table.deltas, low_bits);
    const __m256i above = look_up_half(table.deltas + 128, low_bits);
    return _mm256_blendv_epi8(below, above, high);
}

// Dwords of two digits for 32 positions, from the bytes of the first and second tap's digits.
template <bool kSigned>
INLINE void store_narrow(uint32_t* to, __m256i even, __m256i odd) {
    const __m256i low = _mm256_unpacklo_epi8(even, odd), high = _mm256_unpackhi_epi8(even, odd);
    const __m128i parts[4] = {_mm256_castsi256_si128(low), _mm256_castsi256_si128(high),
                              _mm256_extracti128_si256(low, 1), _mm256_extracti128_si256(high, 1)};
    for (int q = 0; q < 4; ++q) {
        const __m256i words = kSigned ? _mm256_cvtepi8_epi16(parts[q]) : _mm256_cvtepu8_epi16(parts[q]);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 8 * q), words);
    }
}

// The same where the digits' upper bytes are given as well.
INLINE void store_wide(uint32_t* to, __m256i even, __m256i even_high, __m256i odd, __m256i odd_high) {
    const __m256i e[2] = {_mm256_unpacklo_epi8(even, even_high), _mm256_unpackhi_epi8(even, even_high)};
    const __m256i o[2] = {_mm256_unpacklo_epi8(odd, odd_high), _mm256_unpackhi_epi8(odd, odd_high)};
    __m256i* at = reinterpret_cast<__m256i*>(to);
    for (int half = 0; half < 2; ++half) {
        const __m256i low = _mm256_unpacklo_epi16(e[half], o[half]);
        const __m256i high = _mm256_unpackhi_epi16(e[half], o[half]);
        _mm256_storeu_si256(at + half, _mm256_permute2x128_si256(low, high, 0x20));
        _mm256_storeu_si256(at + 2 + half, _mm256_permute2x128_si256(low, high, 0x31));
    }
}

enum class Width { kUnsigned, kSigned, kBoth };

// Whether the lower bytes tell all, and how.
Width width_of(const uint16_t* table) {
    bool is_unsigned = true, is_signed = true;
    for (int64_t at = 0; at < 256; ++at) {
        is_unsigned &= table[at] < 256;
        is_signed &= static_cast<uint16_t>(table[at] + 128) < 256;
    }
    return is_unsigned ? Width::kUnsigned : is_signed ? Width::kSigned : Width::kBoth;
}

template <Width kWidth>
INLINE void left_by_shuffles(const LeftJob& job, const uint16_t* table, uint32_t* to) {
    const DigitBytes low(table, 0), high(table, 8);
    const uint8_t* codes = static_cast<const uint8_t*>(job.codes);
    for (int64_t s = 0; s < job.steps; ++s, codes += 2 * job.stride) {
        for (int64_t n = 0; n < 64; n += 32, to += 32) {
            const __m256i even = load<__m256i>(codes + n), odd = load<__m256i>(codes + job.stride + n);
            const __m256i first = digit_bytes(low, even), second = digit_bytes(low, odd);
            if (kWidth == Width::kBoth) {
                store_wide(to, first, digit_bytes(high, even), second, digit_bytes(high, odd));
            } else {
                store_narrow<kWidth == Width::kSigned>(to, first, second);
            }
        }
    }
}

void left_avx2(const LeftJob& job) {
    if (!job.narrow) return left_of<uint16_t>(job);
    for (int64_t p = 0; p < job.lefts; ++p) {
        const uint16_t* table = static_cast<const uint16_t*>(job.left) + p * job.side;
        uint32_t* to = job.to + p * job.steps * 64;
        switch (width_of(table)) {
            case Width::kUnsigned: left_by_shuffles<Width::kUnsigned>(job, table, to); break;
            case Width::kSigned: left_by_shuffles<Width::kSigned>(job, table, to); break;
            case Width::kBoth: left_by_shuffles<Width::kBoth>(job, table, to); break;
        }
    }
}

const DigitKernels kAvx2DigitKernels = {2, 4, left_avx2, right_halves, products_halves, settle_plain};

}  // namespace
}  // namespace rtlgrad
