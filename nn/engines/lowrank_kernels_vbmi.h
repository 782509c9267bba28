// Products of digits of 8 bits for AVX-512 with VBMI and VNNI. Included by kernels_vbmi.cpp; in an unnamed
// namespace, see kernels.h.
#pragma once

#include <immintrin.h>

#include "lowrank_kernels.h"
#include "order64_vbmi.h"

namespace rtlgrad {
namespace {

struct Bytes256 {
    __m512i part[4];

    explicit Bytes256(const void* from) {
        for (int i = 0; i < 4; ++i) part[i] = _mm512_loadu_si512(static_cast<const uint8_t*>(from) + 64 * i);
    }

    // Looks up by the low seven bits of an index among either half, then takes one by the top bit.
    __m512i operator[](__m512i index) const {
        const __m512i low = _mm512_permutex2var_epi8(part[0], index, part[1]);
        const __m512i high = _mm512_permutex2var_epi8(part[2], index, part[3]);
        return _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high);
    }
};

void left_wide_bytes(const LeftJob& job) {
    const uint16_t* codes = static_cast<const uint16_t*>(job.codes);
    const unsigned mask = static_cast<unsigned>(job.side - 1);
    for (int64_t p = 0; p < job.lefts; ++p) {
        const uint8_t* table = static_cast<const uint8_t*>(job.left) + p * job.side;
        uint32_t* to = job.to + p * job.steps * 64;
        for (int64_t s = 0; s < job.steps; ++s, to += 64) {
            alignas(64) uint8_t found[4][64];
            for (int64_t k = 0; k < 4; ++k) {
                const uint16_t* from = codes + (4 * s + k) * job.stride;
                for (int64_t n = 0; n < 64; ++n) found[k][n] = table[from[n] & mask];
            }
            __m512i r[4], q[4];
            for (int i = 0; i < 4; ++i) r[i] = _mm512_load_si512(found[i]);
            interleave(r, q);
            for (int i = 0; i < 4; ++i) _mm512_storeu_si512(to + 16 * i, q[i]);
        }
    }
}

void left_bytes(const LeftJob& job) {
    if (!job.narrow) return left_wide_bytes(job);
    const uint8_t* codes = static_cast<const uint8_t*>(job.codes);
    for (int64_t p = 0; p < job.lefts; ++p) {
        const Bytes256 table(static_cast<const uint8_t*>(job.left) + p * job.side);
        uint32_t* to = job.to + p * job.steps * 64;
        for (int64_t s = 0; s < job.steps; ++s, to += 64) {
            const uint8_t* from = codes + 4 * s * job.stride;
            __m512i r[4], q[4];
            for (int i = 0; i < 4; ++i) r[i] = _mm512_loadu_si512(from + i * job.stride);
            interleave(r, q);
            for (int i = 0; i < 4; ++i) _mm512_storeu_si512(to + 16 * i, table[q[i]]);
        }
    }
}

uint32_t right_bytes(const RightJob& job) {
    if (job.narrow == nullptr) return right_of<int8_t>(job);
    const Bytes256 table(job.table);
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i sum = _mm512_setzero_si512();
    for (int64_t k = 0; k < job.count; k += 64) {
        const int64_t left = job.count - k;
        __m512i found;
        if (left >= 64) {
            found = table[_mm512_loadu_si512(job.narrow + k)];
        } else {
            const __mmask64 some = (UINT64_C(1) << left) - 1;
            found = _mm512_maskz_mov_epi8(some, table[_mm512_maskz_loadu_epi8(some, job.narrow + k)]);
        }
        _mm512_storeu_si512(static_cast<int8_t*>(job.to) + k, found);
        sum = _mm512_dpbusd_epi32(sum, ones, found);
    }
    return static_cast<uint32_t>(_mm512_reduce_add_epi32(sum));
}

// vpdpbusd adds four products of an unsigned and a signed byte to 32 bits without saturation.
template <int kRows>
INLINE void byte_products_of(const ProductJob& job) {
    __m512i sum[kRows][4];
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
        for (int q = 0; q < 4; ++q) sum[m][q] = _mm512_setzero_si512();
    }
    const uint32_t* right = job.right;
    for (int64_t g = 0; g < job.pairs; ++g, right += (kRows - 1) * job.steps) {
        const uint32_t* left = job.left[g];
        for (int64_t s = 0; s < job.steps; ++s, left += 64, ++right) {
            __m512i x[4];
            for (int q = 0; q < 4; ++q) x[q] = _mm512_load_si512(left + 16 * q);
#pragma GCC unroll 8
            for (int m = 0; m < kRows; ++m) {
                const __m512i four = _mm512_set1_epi32(static_cast<int>(right[m * job.steps]));
                for (int q = 0; q < 4; ++q) sum[m][q] = _mm512_dpbusd_epi32(sum[m][q], x[q], four);
            }
        }
    }
    const __m512i weight = _mm512_set1_epi32(static_cast<int>(job.weight));
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
        uint32_t* acc = job.acc + 64 * m;
        for (int q = 0; q < 4; ++q) {
            const __m512i before = _mm512_load_si512(acc + 16 * q);
            const __m512i more = job.weight == 1 ? sum[m][q] : _mm512_mullo_epi32(sum[m][q], weight);
            _mm512_store_si512(acc + 16 * q, _mm512_add_epi32(before, more));
        }
    }
}

void products_bytes(const ProductJob& job) {
    switch (job.rows) {
        case 6: return byte_products_of<6>(job);
        case 5: return byte_products_of<5>(job);
        case 4: return byte_products_of<4>(job);
        case 3: return byte_products_of<3>(job);
        case 2: return byte_products_of<2>(job);
        default: return byte_products_of<1>(job);
    }
}

void settle_bytes(const SettleJob& job) {
    const __m512i constant = _mm512_set1_epi32(static_cast<int>(job.constant));
    __m512i q[4];
    for (int i = 0; i < 4; ++i) {
        q[i] = _mm512_add_epi32(_mm512_load_si512(job.acc + 16 * i), constant);
        if (job.sums != nullptr) q[i] = _mm512_add_epi32(q[i], _mm512_load_si512(job.sums + 16 * i));
    }
    store_in_order(q, job.to);
}

const DigitKernels kByteKernels = {4, 6, left_bytes, right_bytes, products_bytes, settle_bytes};

}  // namespace
}  // namespace rtlgrad
