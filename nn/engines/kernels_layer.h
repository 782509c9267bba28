// Kernels for what a layer does around its sums: numbers to codes before, sums to numbers after.
// Included by each kernels_*.cpp; in an unnamed namespace, see kernels.h.
#pragma once

#include "kernels_common.h"

namespace rtlgrad {
namespace {

typedef uint8_t Byte32 __attribute__((vector_size(32)));
typedef uint16_t Half32 __attribute__((vector_size(64)));
typedef uint32_t Word32 __attribute__((vector_size(128)));

// As many bytes as 16 bits can add up.
constexpr int64_t kBytesInHalf = 257;

INLINE void sum_narrow(const SumsJob& job) {
    const uint8_t* codes = static_cast<const uint8_t*>(job.codes);
    const Byte32 flip = Byte32{} + static_cast<uint8_t>(job.flip);
    for (int64_t n = 0; n < job.positions; n += 64) {
        for (int64_t begin = 0; begin < job.taps; begin += kBytesInHalf) {
            const int64_t end = begin + kBytesInHalf < job.taps ? begin + kBytesInHalf : job.taps;
            Half32 first{}, second{};
            for (int64_t k = begin; k < end; ++k) {
                const uint8_t* from = codes + job.at[k] + n;
                first += __builtin_convertvector(load<Byte32>(from) ^ flip, Half32);
                second += __builtin_convertvector(load<Byte32>(from + 32) ^ flip, Half32);
            }
            uint32_t* sums = job.sums + n;
            store(sums, load<Word32>(sums) + __builtin_convertvector(first, Word32));
            store(sums + 32, load<Word32>(sums + 32) + __builtin_convertvector(second, Word32));
        }
    }
}

void sum_codes(const SumsJob& job) {
    if (job.narrow) return sum_narrow(job);
    const uint16_t* codes = static_cast<const uint16_t*>(job.codes);
    uint32_t* sums = job.sums;
    for (int64_t k = 0; k < job.taps; ++k) {
        const uint16_t* from = codes + job.at[k];
        for (int64_t n = 0; n < job.positions; ++n) sums[n] += from[n] ^ job.flip;
    }
}

void rescale(const RescaleJob& job) {
    float* to = job.to;
    const uint32_t *from = job.from, *sums = job.sums;
    if (sums == nullptr) {
        for (int64_t n = 0; n < job.count; ++n) {
            to[n] = static_cast<float>(static_cast<int32_t>(from[n] + job.add)) * job.factor;
        }
        return;
    }
    for (int64_t n = 0; n < job.count; ++n) {
        const uint32_t sum = from[n] + job.add - job.w_zero * sums[n];
        to[n] = static_cast<float>(static_cast<int32_t>(sum)) * job.factor;
    }
}

// Any number beyond this is clamped: quantized values and zero points have at most 12 bits.
constexpr float kFarOut = 1048576.0f;
// Adding it leaves a float32 of lesser magnitude without a fraction, rounded half to even.
constexpr float kRounding = 12582912.0f;
constexpr int64_t kQuantized = 256;

// One at a time: `count` is at most kQuantized. Returns whether there is a NaN.
template <typename Code, bool kTrains>
INLINE bool quantize_some(const QuantizeJob& job, int64_t begin, int64_t count) {
    const float* __restrict__ x = job.x + begin;
    int32_t values[kQuantized];
    int32_t inside[kQuantized];
    int32_t nan = 0;
    for (int64_t n = 0; n < count; ++n) {
        const float scaled = x[n] / job.scale;
        nan |= scaled != scaled ? 1 : 0;
        const float below = scaled < kFarOut ? scaled : kFarOut;
        const float near = below > -kFarOut ? below : -kFarOut;
        const float rounded = (near + kRounding) - kRounding + job.zero;
        const float high = rounded < job.high ? rounded : job.high;
        const float value = high > job.low ? high : job.low;
        values[n] = static_cast<int32_t>(value);
        inside[n] = rounded == value ? 1 : 0;
    }
    Code* __restrict__ codes = static_cast<Code*>(job.codes) + begin;
    for (int64_t n = 0; n < count; ++n) {
        codes[n] = static_cast<Code>(static_cast<uint32_t>(values[n]) & job.mask);
    }
    if (kTrains) {
        float* __restrict__ hat = job.hat + begin;
        uint8_t* __restrict__ kept = job.inside + begin;
        for (int64_t n = 0; n < count; ++n) hat[n] = (static_cast<float>(values[n]) - job.zero) * job.scale;
        for (int64_t n = 0; n < count; ++n) kept[n] = static_cast<uint8_t>(inside[n]);
    }
    return nan != 0;
}

template <typename Code, bool kTrains>
INLINE bool quantize_all(const QuantizeJob& job) {
    bool nan = false;
    int64_t n = 0;
    for (; n + kQuantized <= job.count; n += kQuantized) {
        nan |= quantize_some<Code, kTrains>(job, n, kQuantized);
    }
    return quantize_some<Code, kTrains>(job, n, job.count - n) || nan;
}

bool quantize(const QuantizeJob& job) {
    const bool trains = job.hat != nullptr;
    if (job.narrow) {
        return trains ? quantize_all<uint8_t, true>(job) : quantize_all<uint8_t, false>(job);
    }
    return trains ? quantize_all<uint16_t, true>(job) : quantize_all<uint16_t, false>(job);
}

template <typename Code>
INLINE void dequantize_all(const DequantizeJob& job) {
    const Code* __restrict__ codes = static_cast<const Code*>(job.codes);
    float* __restrict__ to = job.to;
    for (int64_t n = 0; n < job.count; ++n) {
        const int32_t value = ((codes[n] + job.half) & job.mask) - job.half;
        to[n] = static_cast<float>(value - job.zero) * job.scale;
    }
}

void dequantize(const DequantizeJob& job) {
    if (job.narrow) return dequantize_all<uint8_t>(job);
    dequantize_all<int16_t>(job);
}

void gate(float* __restrict__ to, const float* __restrict__ from, const uint8_t* __restrict__ kept, int64_t count) {
    for (int64_t n = 0; n < count; ++n) to[n] = from[n] * static_cast<float>(kept[n]);
}

}  // namespace
}  // namespace rtlgrad
