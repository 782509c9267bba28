// Kernels for products by a mantissa table, in plain C++ with vector types. Included by each
// kernels_*.cpp; in an unnamed namespace, see kernels.h.
#pragma once

#include "kernels_common.h"

namespace rtlgrad {
namespace {

// In every 32 narrow positions, the 16 even ones come first: two of them share a 32-bit word of x.
INLINE int64_t order32(int64_t n) { return (n & ~INT64_C(31)) + (n & 31) / 2 + (n & 1) * 16; }

// The product of two float32 numbers, bit for bit: `code` is carry and mantissa from the table.
INLINE uint32_t product_of(uint32_t x, uint32_t w, uint32_t code, int64_t bits) {
    const uint32_t sign = (x ^ w) & 0x80000000u, infinity = 0x7f800000u, nan = 0x7fc00000u;
    const uint32_t ex = x >> 23 & 255, ew = w >> 23 & 255;
    if (ex == 255 || ew == 255) {
        if ((x & 0x7fffffffu) > infinity || (w & 0x7fffffffu) > infinity) return nan;
        return ex == 0 || ew == 0 ? nan : sign | infinity;
    }
    const int32_t e = static_cast<int32_t>(ex + ew + (code >> bits)) - 127;
    if (ex == 0 || ew == 0 || e <= 0) return sign;
    if (e >= 255) return sign | infinity;
    const uint32_t mantissa = code & ((1u << bits) - 1);
    return sign | static_cast<uint32_t>(e) << 23 | mantissa << (23 - bits);
}

INLINE void add_bits(float* acc, uint32_t product) {
    float value;
    std::memcpy(&value, &product, sizeof value);
    *acc += value;
}

// With any care, one position at a time.
void mantissa_narrow(const MantissaJob& job) {
    const uint16_t* x = static_cast<const uint16_t*>(job.x);
    for (int64_t s = 0; s < job.count; ++s) {
        const MantissaStep step = job.steps[s];
        const uint8_t* entries = job.entries + step.row * 128;
        const uint16_t* from = x + step.k * job.stride;
        const uint32_t w = static_cast<uint32_t>(step.w) << 16, keep = job.keep & 127u;
        for (int64_t n = 0; n < job.vectors * 32; ++n) {
            const uint32_t at = from[n] & 127u;
            const uint32_t code = entries[at] + static_cast<uint32_t>(job.base[step.row]) + (at & keep);
            add_bits(job.acc + order32(n), product_of(static_cast<uint32_t>(from[n]) << 16, w, code & 255, 7));
        }
    }
}

void mantissa_wide(const MantissaJob& job) {
    const uint32_t* x = static_cast<const uint32_t*>(job.x);
    const uint32_t mask = (1u << job.bits) - 1;
    for (int64_t s = 0; s < job.count; ++s) {
        const MantissaStep step = job.steps[s];
        const uint16_t* row = job.wide + (static_cast<int64_t>(step.row) << job.bits);
        const uint32_t* from = x + step.k * job.stride;
        const uint32_t w = static_cast<uint32_t>(step.w) << 16;
        for (int64_t n = 0; n < job.vectors * 32; ++n) {
            const uint32_t code = row[from[n] >> (23 - job.bits) & mask];
            add_bits(job.acc + n, product_of(from[n], w, code, job.bits));
        }
    }
}

// Where no exponent can leave its range the three parts of a product simply add up.
[[maybe_unused]] void mantissa_narrow_plain(const MantissaJob& job) {
    const uint16_t* x = static_cast<const uint16_t*>(job.x);
    for (int64_t s = 0; s < job.count; ++s) {
        const MantissaStep step = job.steps[s];
        const uint8_t* entries = job.entries + step.row * 128;
        const uint16_t* from = x + step.k * job.stride;
        for (int64_t v = 0; v < job.vectors * 32; v += 32) {
            for (int64_t i = 0; i < 16; ++i) {
                for (int64_t odd = 0; odd < 2; ++odd) {
                    const uint32_t a = from[v + 2 * i + odd];
                    const uint32_t sum = (a & job.keep) + step.high + entries[a & 127];
                    add_bits(job.acc + v + 16 * odd + i, a == 0 ? 0 : sum << 16);
                }
            }
        }
    }
}

[[maybe_unused]] void mantissa_wide_plain(const MantissaJob& job) {
    const uint32_t* x = static_cast<const uint32_t*>(job.x);
    const uint32_t mask = (1u << job.bits) - 1;
    for (int64_t s = 0; s < job.count; ++s) {
        const MantissaStep step = job.steps[s];
        const uint16_t* row = job.wide + (static_cast<int64_t>(step.row) << job.bits);
        const uint32_t* from = x + step.k * job.stride;
        const uint32_t high = static_cast<uint32_t>(step.high) << 16;
        for (int64_t n = 0; n < job.vectors * 32; ++n) {
            const uint32_t a = from[n], code = row[a >> (23 - job.bits) & mask];
            add_bits(job.acc + n, a == 0 ? 0 : (a & 0xff800000u) + high + (code << (23 - job.bits)));
        }
    }
}

bool exponents_fit(const StepsJob& job) {
    uint32_t outside = 0;
    for (int64_t k = 0; k < job.count; ++k) {
        const int32_t exponent = load<int32_t>(job.w + k) >> 23 & 255;
        outside |= (exponent < job.least[k] ? 1u : 0u) | (exponent > job.greatest[k] ? 1u : 0u);
    }
    return outside == 0;
}

INLINE MantissaStep step_of(uint32_t w, int64_t k, const int32_t* base, int64_t bits) {
    const uint32_t row = w >> (23 - bits) & ((1u << bits) - 1);
    const uint32_t high = (w >> 16 & 0xff80u) - 127u * 128u + static_cast<uint32_t>(base == nullptr ? 0 : base[row]);
    return {static_cast<uint16_t>(k), static_cast<uint16_t>(row), static_cast<uint16_t>(high),
            static_cast<uint16_t>(w >> 16)};
}

[[maybe_unused]] bool steps(const StepsJob& job) {
    if (!exponents_fit(job)) return false;
    for (int64_t k = 0; k < job.count; ++k) {
        job.steps[k] = step_of(load<uint32_t>(job.w + k), k, job.base, job.bits);
    }
    return true;
}

void cut16(uint16_t* to, const float* from, int64_t count) {
    for (int64_t n = 0; n < count; ++n) {
        const uint32_t bits = load<uint32_t>(from + n), size = bits & 0x7fffffffu;
        const uint32_t cut = bits >> 16 | (size > 0x7f800000u ? 0x40u : 0u);
        to[n] = static_cast<uint16_t>(size < 0x00800000u ? 0u : cut);
    }
}

void cut32(uint32_t* to, const float* from, int64_t count) {
    for (int64_t n = 0; n < count; ++n) {
        const uint32_t bits = load<uint32_t>(from + n);
        to[n] = (bits & 0x7f800000u) == 0 ? 0 : bits;
    }
}

Exponents measure16(const uint16_t* x, int64_t count) {
    // Less 1 as an unsigned number, a zero is greater than all others.
    uint16_t least = 0xffff, greatest = 0, last = 0;
    for (int64_t n = 0; n < count; ++n) {
        const uint16_t a = x[n] & 0x7fff, b = static_cast<uint16_t>(a - 1);
        least = b < least ? b : least;
        greatest = a > greatest ? a : greatest;
        last = b > last ? b : last;
    }
    return {least == 0xffff ? 256 : (least + 1) >> 7, greatest >> 7, last == 0xffff};
}

Exponents measure32(const uint32_t* x, int64_t count) {
    uint32_t least = 0xffffffffu, greatest = 0, last = 0;
    for (int64_t n = 0; n < count; ++n) {
        const uint32_t a = x[n] & 0x7fffffffu, b = a - 1;
        least = b < least ? b : least;
        greatest = a > greatest ? a : greatest;
        last = b > last ? b : last;
    }
    return {least == 0xffffffffu ? 256 : static_cast<int32_t>((least + 1) >> 23),
            static_cast<int32_t>(greatest >> 23), last == 0xffffffffu};
}

void transpose16(uint16_t* to, int64_t stride, const uint16_t* from, int64_t pitch, int64_t rows,
                 int64_t columns) {
    int64_t n = 0;
    for (; n + 8 <= rows; n += 8) {
        const uint16_t* block[8];
        for (int r = 0; r < 8; ++r) block[r] = from + (n + r) * pitch;
        int64_t k = 0;
        for (; k + 8 <= columns; k += 8) transpose_8x8(to + k * stride + n, stride, block, k);
        for (; k < columns; ++k) {
            for (int r = 0; r < 8; ++r) to[k * stride + n + r] = block[r][k];
        }
    }
    for (; n < rows; ++n) {
        for (int64_t k = 0; k < columns; ++k) to[k * stride + n] = from[n * pitch + k];
    }
}

}  // namespace
}  // namespace rtlgrad
