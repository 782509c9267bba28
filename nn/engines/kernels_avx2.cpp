// Kernels for AVX2: the common ones, compiled with its 256-bit integer vectors and gathers, and the
// products by a mantissa table.

#include <immintrin.h>

#include "kernels_common.h"
#include "kernels_layer.h"
#include "kernels_mantissa.h"
#include "lowrank_kernels_avx2.h"

namespace rtlgrad {
namespace {

// A row of 128 bytes lies in eight registers of 16. `vpshufb` looks up the low four bits of an index
// and gives 0 where its top bit is set. The index is lowered by 16 at each register, so it is
// negative before its own; what it gives afterwards is undone by the next registers, each of which
// holds the exclusive or of its entries with those before: the deltas of mantissa_layout.py.
INLINE __m256i look_up(const uint8_t* deltas, __m256i index) {
    const __m128i* row = reinterpret_cast<const __m128i*>(deltas);
    const __m256i sixteen = _mm256_set1_epi8(16);
    __m256i found = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(row)), index);
#pragma GCC unroll 8
    for (int h = 1; h < 8; ++h) {
        index = _mm256_sub_epi8(index, sixteen);
        const __m256i part = _mm256_broadcastsi128_si256(_mm_loadu_si128(row + h));
        found = _mm256_xor_si256(found, _mm256_shuffle_epi8(part, index));
    }
    return found;
}

INLINE __m256i sum_of(__m256i x, __m256i found, __m256i high, __m256i keep) {
    const __m256i sum = _mm256_add_epi16(_mm256_add_epi16(_mm256_and_si256(x, keep), high), found);
    return _mm256_andnot_si256(_mm256_cmpeq_epi16(x, _mm256_setzero_si256()), sum);
}

INLINE __m256 even_of(__m256i sums) { return _mm256_castsi256_ps(_mm256_slli_epi32(sums, 16)); }

INLINE __m256 odd_of(__m256i sums) {
    return _mm256_castsi256_ps(_mm256_and_si256(sums, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
}

void mantissa_narrow_avx2(const MantissaJob& job) {
    const __m256i keep = _mm256_set1_epi16(static_cast<short>(job.keep)), seven = _mm256_set1_epi16(127);
    const uint16_t* x = static_cast<const uint16_t*>(job.x);
    for (int64_t v = 0; v < job.vectors; ++v) {
        float* acc = job.acc + 32 * v;
        __m256 sum[4];
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) sum[q] = _mm256_loadu_ps(acc + 8 * q);
        for (int64_t s = 0; s < job.count; ++s) {
            const MantissaStep& step = job.steps[s];
            const __m256i* from = reinterpret_cast<const __m256i*>(x + step.k * job.stride + 32 * v);
            const __m256i a = _mm256_loadu_si256(from), b = _mm256_loadu_si256(from + 1);
            const __m256i index = _mm256_or_si256(_mm256_and_si256(a, seven),
                                                  _mm256_slli_epi16(_mm256_and_si256(b, seven), 8));
            const __m256i found = look_up(job.deltas + step.row * 128, index);
            const __m256i high = _mm256_set1_epi16(static_cast<short>(step.high));
            const __m256i first = sum_of(a, _mm256_and_si256(found, _mm256_set1_epi16(255)), high, keep);
            const __m256i second = sum_of(b, _mm256_srli_epi16(found, 8), high, keep);
            sum[0] = _mm256_add_ps(sum[0], even_of(first));
            sum[1] = _mm256_add_ps(sum[1], even_of(second));
            sum[2] = _mm256_add_ps(sum[2], odd_of(first));
            sum[3] = _mm256_add_ps(sum[3], odd_of(second));
        }
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) _mm256_storeu_ps(acc + 8 * q, sum[q]);
    }
}

void mantissa_wide_avx2(const MantissaJob& job) {
    const __m256i sign_and_exponent = _mm256_set1_epi32(static_cast<int>(0xff800000u));
    const __m256i mask = _mm256_set1_epi32((1 << job.bits) - 1), low = _mm256_set1_epi32(0xffff);
    const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(23 - job.bits));
    const uint32_t* x = static_cast<const uint32_t*>(job.x);
    for (int64_t v = 0; v < job.vectors; ++v) {
        float* acc = job.acc + 32 * v;
        __m256 sum[4];
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) sum[q] = _mm256_loadu_ps(acc + 8 * q);
        for (int64_t s = 0; s < job.count; ++s) {
            const MantissaStep& step = job.steps[s];
            const int* row = reinterpret_cast<const int*>(job.wide + (static_cast<int64_t>(step.row) << job.bits));
            const __m256i high = _mm256_set1_epi32(static_cast<int>(static_cast<uint32_t>(step.high) << 16));
            const uint32_t* from = x + step.k * job.stride + 32 * v;
#pragma GCC unroll 4
            for (int q = 0; q < 4; ++q) {
                const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 8 * q));
                const __m256i at = _mm256_and_si256(_mm256_srl_epi32(a, shift), mask);
                const __m256i code = _mm256_and_si256(_mm256_i32gather_epi32(row, at, 2), low);
                const __m256i bits = _mm256_add_epi32(
                    _mm256_add_epi32(_mm256_and_si256(a, sign_and_exponent), high), _mm256_sll_epi32(code, shift));
                const __m256i zero = _mm256_cmpeq_epi32(a, _mm256_setzero_si256());
                sum[q] = _mm256_add_ps(sum[q], _mm256_castsi256_ps(_mm256_andnot_si256(zero, bits)));
            }
        }
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) _mm256_storeu_ps(acc + 8 * q, sum[q]);
    }
}

}  // namespace

const Kernels kAvx2Kernels = {
    "avx2",    copy_windows, transpose, expand16, expand32, expanded16, expanded32, rows,
    nullptr,   nullptr,      nullptr,   nullptr,
    {{mantissa_narrow_avx2, mantissa_narrow, mantissa_narrow},
     {mantissa_wide_avx2, mantissa_wide, mantissa_wide}},
    steps, cut16, cut32, measure16, measure32, transpose16,
    sum_codes, rescale, quantize, dequantize, gate, &kAvx2DigitKernels};

}  // namespace rtlgrad
