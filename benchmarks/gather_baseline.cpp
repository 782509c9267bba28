// The yardstick: a table GEMM by AVX2 gathers, as AdaPT's paper describes its CPU engine (Danopoulos
// et al., IEEE TCAD 2023): int32 table rows, eight look-ups per gather, sums in registers. Written
// here from that description, with 32 positions at a time and no packing inside.

#include <immintrin.h>

#include <cstdint>

namespace {

__m256i indices(const uint8_t* from) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
}

__m256i indices(const uint16_t* from) {
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

template <typename Code>
void gather(const int32_t* rows, int64_t side, const Code* w, const Code* x, int32_t* out,
            int64_t outputs, int64_t taps, int64_t positions) {
    for (int64_t n = 0; n < positions; n += 32) {
        for (int64_t m = 0; m < outputs; ++m) {
            __m256i sum[4] = {};
            for (int64_t k = 0; k < taps; ++k) {
                const int* row = rows + side * w[m * taps + k];
                for (int v = 0; v < 4; ++v) {
                    const __m256i at = indices(x + k * positions + n + 8 * v);
                    sum[v] = _mm256_add_epi32(sum[v], _mm256_i32gather_epi32(row, at, 4));
                }
            }
            for (int v = 0; v < 4; ++v) {
                auto* to = reinterpret_cast<__m256i*>(out + m * positions + n + 8 * v);
                _mm256_storeu_si256(to, sum[v]);
            }
        }
    }
}

}  // namespace

// out[m][n] = sum over k of rows[w[m][k]][x[k][n]]; positions a multiple of 32. Codes take `bytes` bytes each.
extern "C" void gather_gemm(const int32_t* rows, int64_t side, int64_t bytes, const void* w,
                            const void* x, int32_t* out, int64_t outputs, int64_t taps,
                            int64_t positions) {
    if (bytes == 1) {
        gather(rows, side, static_cast<const uint8_t*>(w), static_cast<const uint8_t*>(x), out, outputs,
               taps, positions);
    } else {
        gather(rows, side, static_cast<const uint16_t*>(w), static_cast<const uint16_t*>(x), out,
               outputs, taps, positions);
    }
}

// The same for products by a mantissa table of 7 bits, as AMSim looks them up (J. Gong et al., ApproxTrain,
// IEEE TCAD 2023): rows of carry and mantissa in place, sign and exponents apart. Zeros give zeros; exponents
// must not leave their range. positions a multiple of 32.
extern "C" void gather_mantissa(const int32_t* rows, const float* w, const float* x, float* out,
                                int64_t outputs, int64_t taps, int64_t positions) {
    const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xff800000u)), mask = _mm256_set1_epi32(127);
    for (int64_t n = 0; n < positions; n += 32) {
        for (int64_t m = 0; m < outputs; ++m) {
            __m256 sum[4] = {};
            for (int64_t k = 0; k < taps; ++k) {
                int32_t bits;
                __builtin_memcpy(&bits, w + m * taps + k, sizeof bits);
                const int* row = rows + (bits >> 16 & 127) * 128;
                const __m256i high = _mm256_set1_epi32(
                    static_cast<int>((static_cast<uint32_t>(bits) & 0xff800000u) - 0x3f800000u));
                for (int v = 0; v < 4; ++v) {
                    const __m256i a = _mm256_loadu_si256(
                        reinterpret_cast<const __m256i*>(x + k * positions + n + 8 * v));
                    const __m256i at = _mm256_and_si256(_mm256_srli_epi32(a, 16), mask);
                    const __m256i part = _mm256_add_epi32(_mm256_and_si256(a, upper), high);
                    const __m256i all = _mm256_add_epi32(part, _mm256_i32gather_epi32(row, at, 4));
                    const __m256i zero = _mm256_cmpeq_epi32(a, _mm256_setzero_si256());
                    sum[v] = _mm256_add_ps(sum[v], _mm256_castsi256_ps(_mm256_andnot_si256(zero, all)));
                }
            }
            for (int v = 0; v < 4; ++v) _mm256_storeu_ps(out + m * positions + n + 8 * v, sum[v]);
        }
    }
}
