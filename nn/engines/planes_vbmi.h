// Sums of byte planes and of exact products with AVX-512 VBMI and VNNI. Included by kernels_vbmi.cpp; in
// an unnamed namespace, see kernels.h.
//
// For one weight the products of all 256 activation codes lie in registers, a byte plane in four
// of them, and are looked up for 64 positions at a time: `vpermi2b` picks among 128 bytes by the
// low seven bits of a code, and two of them, merged by the code's top bit, among 256.
#pragma once

#include <immintrin.h>

#include "kernels_common.h"
#include "order64_vbmi.h"

namespace rtlgrad {
namespace {

// Sums of bytes are kept in 16 bits. `all` adds up the 16-bit words (even byte + 256 odd byte)
// and `odd` the odd bytes. After at most 257 bytes a sum is at most 257 * 255 = 65535, so `odd`
// is exact, and so is the even sum, all - 256 odd modulo 2^16.
constexpr int64_t kSpill = 257;

// 64 sums in the order of order64: register q, 128-bit lane L, element e is position
// 16 L + 4 q + e. That is what unpacking within lanes gives.
struct Sums {
    __m512i q[4];
};

INLINE Sums widen(__m512i all, __m512i odd) {
    const __m512i even = _mm512_sub_epi16(all, _mm512_slli_epi16(odd, 8)), zero = _mm512_setzero_si512();
    const __m512i low = _mm512_unpacklo_epi16(even, odd), high = _mm512_unpackhi_epi16(even, odd);
    return {{_mm512_unpacklo_epi16(low, zero), _mm512_unpackhi_epi16(low, zero),
             _mm512_unpacklo_epi16(high, zero), _mm512_unpackhi_epi16(high, zero)}};
}

// acc += x. Written as an instruction, as GCC otherwise keeps old and new sums apart and spills.
INLINE void add_to(__m512i& acc, __m512i x) { asm("vpaddw %1, %0, %0" : "+v"(acc) : "v"(x)); }

// Two look-ups that do not wait for each other and a merge are faster than one that goes on from the other.
INLINE __m512i lookup(const __m512i* plane, __m512i codes, __mmask64 high) {
    const __m512i low = _mm512_permutex2var_epi8(plane[0], codes, plane[1]);
    return _mm512_mask_mov_epi8(low, high, _mm512_permutex2var_epi8(plane[2], codes, plane[3]));
}

// Vectors of 64 positions at a time, by neighbouring planes: as many as registers hold.
constexpr int64_t kMostVectors[] = {0, 8, 5};
// Taps by which two planes, 512 bytes of a table that fills the L2 cache, are asked for beforehand.
constexpr int64_t kAhead = 6;

INLINE void store_planes(__m512i sums, uint32_t unit, uint32_t* acc) {
    const __m512i scaled = _mm512_mullo_epi32(sums, _mm512_set1_epi32(static_cast<int>(unit)));
    _mm512_store_si512(acc, _mm512_add_epi32(_mm512_load_si512(acc), scaled));
}

// kPlanes neighbouring planes for kVectors vectors of 64 positions. A function of its own each, lest GCC
// run out of registers in the one that calls them.
template <int kPlanes, int kVectors>
__attribute__((noinline)) void add_planes(const PlanesJob& job, int64_t first_plane, int64_t vector) {
    const uint8_t* planes = job.planes + 256 * first_plane;
    const uint8_t* codes = job.codes + 64 * vector;
    for (int64_t begin = 0; begin < job.taps; begin += kSpill) {
        const int64_t end = begin + kSpill < job.taps ? begin + kSpill : job.taps;
        __m512i all[kPlanes][kVectors], odd[kPlanes][kVectors];
#pragma GCC unroll 16
        for (int i = 0; i < kPlanes * kVectors; ++i) (&all[0][0])[i] = (&odd[0][0])[i] = _mm512_setzero_si512();
        for (int64_t k = begin; k < end; ++k) {
            const uint8_t* row = planes + job.weights[k] * job.count * 256;
            const uint8_t* from = codes + job.at[k];
            if (kPlanes == 2 && k + kAhead < end) {
                const uint8_t* next = planes + job.weights[k + kAhead] * job.count * 256;
#pragma GCC unroll 8
                for (int i = 0; i < 8; ++i) __builtin_prefetch(next + 64 * i);
            }
            __m512i table[kPlanes][4];
#pragma GCC unroll 8
            for (int i = 0; i < 4 * kPlanes; ++i) (&table[0][0])[i] = _mm512_loadu_si512(row + 64 * i);
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v) {
                const __m512i code = _mm512_loadu_si512(from + 64 * v);
                const __mmask64 high = _mm512_movepi8_mask(code);
#pragma GCC unroll 2
                for (int p = 0; p < kPlanes; ++p) {
                    const __m512i x = lookup(table[p], code, high);
                    add_to(all[p][v], x);
                    add_to(odd[p][v], _mm512_srli_epi16(x, 8));
                }
            }
        }
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
            Sums sums = widen(all[0][v], odd[0][v]);
            if (kPlanes == 2) {
                const Sums upper = widen(all[kPlanes - 1][v], odd[kPlanes - 1][v]);
                for (int q = 0; q < 4; ++q) {
                    sums.q[q] = _mm512_add_epi32(sums.q[q], _mm512_slli_epi32(upper.q[q], 8));
                }
            }
            uint32_t* acc = job.acc + 64 * (vector + v);
            for (int q = 0; q < 4; ++q) store_planes(sums.q[q], job.unit << (8 * first_plane), acc + 16 * q);
        }
    }
}

template <int kPlanes, int kVectors>
INLINE void add_some_planes(const PlanesJob& job, int64_t first_plane, int64_t vector, int64_t vectors) {
    if constexpr (kVectors > 0) {
        if (vectors == kVectors) return add_planes<kPlanes, kVectors>(job, first_plane, vector);
        add_some_planes<kPlanes, kVectors - 1>(job, first_plane, vector, vectors);
    }
}

// As many vectors at a time as it takes to go through all of them evenly.
template <int kPlanes>
INLINE void add_planes_everywhere(const PlanesJob& job, int64_t first_plane) {
    constexpr int64_t kMost = kMostVectors[kPlanes];
    const int64_t rounds = (job.vectors + kMost - 1) / kMost;
    for (int64_t r = 0, v = 0; r < rounds; ++r) {
        const int64_t end = job.vectors * (r + 1) / rounds;
        add_some_planes<kPlanes, kMost>(job, first_plane, v, end - v);
        v = end;
    }
}

void planes(const PlanesJob& job) {
    int64_t plane = 0;
    for (; plane + 2 <= job.count; plane += 2) add_planes_everywhere<2>(job, plane);
    if (plane < job.count) add_planes_everywhere<1>(job, plane);
}

// ---- exact products ----------------------------------------------------------------------------

void quads(uint8_t* quads, const uint8_t* codes, int64_t stride, int64_t taps, int64_t vectors,
           uint8_t flip) {
    const __m512i sign = _mm512_set1_epi8(static_cast<char>(flip));
    for (int64_t k = 0; k < taps; k += 4) {
        uint8_t* to = quads + k * vectors * 64;
        for (int64_t v = 0; v < vectors; ++v, to += 256) {
            const uint8_t* from = codes + k * stride + 64 * v;
            __m512i r[4], q[4];
            for (int i = 0; i < 4; ++i) r[i] = _mm512_xor_si512(_mm512_loadu_si512(from + i * stride), sign);
            interleave(r, q);
            for (int i = 0; i < 4; ++i) _mm512_storeu_si512(to + 64 * i, q[i]);
        }
    }
}

// vpdpbusd adds four products of an unsigned and a signed byte to 32 bits without saturation, so
// every sum is exact modulo 2^32.
template <int kOutputs>
INLINE void add_dots(const DotsJob& job, int64_t output, int64_t vector) {
    __m512i sum[kOutputs][4];
    uint32_t* acc = job.acc + output * job.acc_stride + 64 * vector;
#pragma GCC unroll 8
    for (int m = 0; m < kOutputs; ++m) {
        for (int q = 0; q < 4; ++q) sum[m][q] = _mm512_load_si512(acc + m * job.acc_stride + 16 * q);
    }
    const int8_t* slopes = job.slopes + output * job.taps;
    for (int64_t k = 0; k < job.taps; k += 4) {
        const uint8_t* from = job.quads + k * job.vectors * 64 + 256 * vector;
        __m512i x[4];
        for (int q = 0; q < 4; ++q) x[q] = _mm512_load_si512(from + 64 * q);
#pragma GCC unroll 8
        for (int m = 0; m < kOutputs; ++m) {
            const __m512i four = _mm512_set1_epi32(load<int32_t>(slopes + m * job.taps + k));
            for (int q = 0; q < 4; ++q) sum[m][q] = _mm512_dpbusd_epi32(sum[m][q], x[q], four);
        }
    }
#pragma GCC unroll 8
    for (int m = 0; m < kOutputs; ++m) {
        for (int q = 0; q < 4; ++q) _mm512_store_si512(acc + m * job.acc_stride + 16 * q, sum[m][q]);
    }
}

void dots(const DotsJob& job) {
    for (int64_t v = 0; v < job.vectors; ++v) {
        int64_t m = 0;
        for (; m + 6 <= job.outputs; m += 6) add_dots<6>(job, m, v);
        for (; m + 2 <= job.outputs; m += 2) add_dots<2>(job, m, v);
        for (; m < job.outputs; ++m) add_dots<1>(job, m, v);
    }
}

// ---- results -----------------------------------------------------------------------------------

void finish(const FinishJob& job) {
    const __m512i constant = _mm512_set1_epi32(static_cast<int>(job.constant));
    const __m512i common = _mm512_set1_epi32(static_cast<int>(job.common));
    const __m512i scale = _mm512_set1_epi32(static_cast<int>(job.scale));
    uint32_t* acc = job.acc;
    for (int64_t v = 0; v < job.vectors; ++v, acc += 64) {
        __m512i q[4];
        for (int i = 0; i < 4; ++i) {
            q[i] = _mm512_load_si512(acc + 16 * i);
            if (job.sums != nullptr) {
                const __m512i sums = _mm512_load_si512(job.sums + 64 * v + 16 * i);
                q[i] = _mm512_add_epi32(q[i], _mm512_mullo_epi32(sums, common));
            }
            q[i] = _mm512_add_epi32(_mm512_mullo_epi32(q[i], scale), constant);
        }
        store_in_order(q, acc);
    }
}

}  // namespace
}  // namespace rtlgrad
