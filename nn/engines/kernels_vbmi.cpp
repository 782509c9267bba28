// Kernels for AVX-512 with VBMI (byte permutations of two registers) and VNNI (dot products).
//
// For one weight the products of all 256 activation codes lie in registers, a byte plane in four
// of them, and are looked up for 64 positions at a time: `vpermi2b` picks among 128 bytes by the
// low seven bits of a code, and two of them, merged by the code's top bit, among 256.

#include <immintrin.h>

#include "kernels_common.h"
#include "kernels_layer.h"

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

INLINE __m512i lookup(const __m512i* plane, __m512i codes, __mmask64 low, __mmask64 high) {
    const __m512i x = _mm512_mask2_permutex2var_epi8(plane[0], codes, low, plane[1]);
    return _mm512_mask2_permutex2var_epi8(plane[2], x, high, plane[3]);
}

// kPlanes neighbouring planes, of kCount in all, for kVectors vectors of 64 positions.
template <int kPlanes, int kVectors>
INLINE void add_planes(const PlanesJob& job, int64_t first_plane, int64_t vector) {
    const uint32_t unit = job.unit << (8 * first_plane);
    const uint8_t* planes = job.planes + 256 * first_plane;
    const uint8_t* codes = job.codes + 64 * vector;
    for (int64_t begin = 0; begin < job.taps; begin += kSpill) {
        const int64_t end = begin + kSpill < job.taps ? begin + kSpill : job.taps;
        __m512i all[kPlanes][kVectors], odd[kPlanes][kVectors];
#pragma GCC unroll 8
        for (int i = 0; i < kPlanes * kVectors; ++i) (&all[0][0])[i] = (&odd[0][0])[i] = _mm512_setzero_si512();
        for (int64_t k = begin; k < end; ++k) {
            const uint8_t* row = planes + job.weights[k] * job.count * 256;
            const uint8_t* from = codes + job.at[k];
            __m512i table[kPlanes][4];
#pragma GCC unroll 8
            for (int i = 0; i < 4 * kPlanes; ++i) (&table[0][0])[i] = _mm512_loadu_si512(row + 64 * i);
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v) {
                const __m512i code = _mm512_loadu_si512(from + 64 * v);
                const __mmask64 high = _mm512_movepi8_mask(code), low = _knot_mask64(high);
#pragma GCC unroll 2
                for (int p = 0; p < kPlanes; ++p) {
                    const __m512i x = lookup(table[p], code, low, high);
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
            for (int q = 0; q < 4; ++q) {
                const __m512i scaled = _mm512_mullo_epi32(sums.q[q], _mm512_set1_epi32(static_cast<int>(unit)));
                _mm512_store_si512(acc + 16 * q, _mm512_add_epi32(_mm512_load_si512(acc + 16 * q), scaled));
            }
        }
    }
}

template <int kPlanes>
INLINE void add_planes_everywhere(const PlanesJob& job, int64_t first_plane) {
    int64_t v = 0;
    for (; v + 4 <= job.vectors; v += 4) add_planes<kPlanes, 4>(job, first_plane, v);
    switch (job.vectors - v) {
        case 3: return add_planes<kPlanes, 3>(job, first_plane, v);
        case 2: return add_planes<kPlanes, 2>(job, first_plane, v);
        case 1: return add_planes<kPlanes, 1>(job, first_plane, v);
        default: return;
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
            __m512i r[4];
            for (int i = 0; i < 4; ++i) r[i] = _mm512_xor_si512(_mm512_loadu_si512(from + i * stride), sign);
            const __m512i low01 = _mm512_unpacklo_epi8(r[0], r[1]), high01 = _mm512_unpackhi_epi8(r[0], r[1]);
            const __m512i low23 = _mm512_unpacklo_epi8(r[2], r[3]), high23 = _mm512_unpackhi_epi8(r[2], r[3]);
            _mm512_storeu_si512(to, _mm512_unpacklo_epi16(low01, low23));
            _mm512_storeu_si512(to + 64, _mm512_unpackhi_epi16(low01, low23));
            _mm512_storeu_si512(to + 128, _mm512_unpacklo_epi16(high01, high23));
            _mm512_storeu_si512(to + 192, _mm512_unpackhi_epi16(high01, high23));
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
        // A transposition of 4x4 lanes.
        const __m512i a = _mm512_shuffle_i32x4(q[0], q[1], 0x44), b = _mm512_shuffle_i32x4(q[2], q[3], 0x44);
        const __m512i c = _mm512_shuffle_i32x4(q[0], q[1], 0xee), d = _mm512_shuffle_i32x4(q[2], q[3], 0xee);
        _mm512_store_si512(acc, _mm512_shuffle_i32x4(a, b, 0x88));
        _mm512_store_si512(acc + 16, _mm512_shuffle_i32x4(a, b, 0xdd));
        _mm512_store_si512(acc + 32, _mm512_shuffle_i32x4(c, d, 0x88));
        _mm512_store_si512(acc + 48, _mm512_shuffle_i32x4(c, d, 0xdd));
    }
}

// ---- products by a mantissa table --------------------------------------------------------------

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

const Kernels kVbmiKernels = {
    "vbmi",    copy_windows, transpose, expand16, expand32, expanded16, expanded32, rows,
    planes,    dots,         quads,     finish,
    {{mantissa_narrow_vbmi, mantissa_checked_vbmi, mantissa_narrow},
     {mantissa_wide_vbmi, mantissa_wide, mantissa_wide}},
    steps_vbmi, cut16, cut32, measure16, measure32, transpose16,
    sum_codes, rescale, quantize};

}  // namespace rtlgrad
