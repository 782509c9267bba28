// Into and out of the order of order64, for AVX-512. Included by kernels for VBMI; in an unnamed namespace,
// see kernels.h.
#pragma once

#include <immintrin.h>

#include "kernels_common.h"

namespace rtlgrad {
namespace {

// Rows of bytes to dwords of four rows, in the order of order64: what unpacking within lanes gives.
INLINE void interleave(const __m512i* r, __m512i* q) {
    const __m512i low01 = _mm512_unpacklo_epi8(r[0], r[1]), high01 = _mm512_unpackhi_epi8(r[0], r[1]);
    const __m512i low23 = _mm512_unpacklo_epi8(r[2], r[3]), high23 = _mm512_unpackhi_epi8(r[2], r[3]);
    q[0] = _mm512_unpacklo_epi16(low01, low23);
    q[1] = _mm512_unpackhi_epi16(low01, low23);
    q[2] = _mm512_unpacklo_epi16(high01, high23);
    q[3] = _mm512_unpackhi_epi16(high01, high23);
}

// 64 sums in the order of order64, stored in natural order: a transposition of 4x4 lanes.
INLINE void store_in_order(const __m512i* q, uint32_t* to) {
    const __m512i a = _mm512_shuffle_i32x4(q[0], q[1], 0x44), b = _mm512_shuffle_i32x4(q[2], q[3], 0x44);
    const __m512i c = _mm512_shuffle_i32x4(q[0], q[1], 0xee), d = _mm512_shuffle_i32x4(q[2], q[3], 0xee);
    _mm512_storeu_si512(to, _mm512_shuffle_i32x4(a, b, 0x88));
    _mm512_storeu_si512(to + 16, _mm512_shuffle_i32x4(a, b, 0xdd));
    _mm512_storeu_si512(to + 32, _mm512_shuffle_i32x4(c, d, 0x88));
    _mm512_storeu_si512(to + 48, _mm512_shuffle_i32x4(c, d, 0xdd));
}

}  // namespace
}  // namespace rtlgrad
