// What surrounds the sums of a layer: quantization before, zero points and scales after.
#include "results.cuh"

constexpr int kThreads = 256;

struct Quantize {
    u64 x, scale, zero;               // float32 [count], float32 [channels], i32 []
    u64 x_hat, codes, inside, damage; // float32, u8 or i16, bool (each [count]); i32 []
    i64 count, inner;                 // numbers; numbers of one channel in a row
    i32 channels, low, high, bits;
};

// values = clamp(round_half_even(x / scale) + zero); damage is set to 1 for NaN, and by 2 for a scale
// that is not a finite positive number.
RTLGRAD_KERNEL(quantize, Quantize, kThreads) {
    const i64 stride = static_cast<i64>(gridDim.x) * kThreads;
    const float zero = static_cast<float>(__ldg(pointer<const i32>(p.zero)));
    const float low = static_cast<float>(p.low), high = static_cast<float>(p.high);
    for (i64 i = static_cast<i64>(blockIdx.x) * kThreads + threadIdx.x; i < p.count; i += stride) {
        const int channel = p.channels == 1 ? 0 : static_cast<int>(i / p.inner % p.channels);
        const float scale = __ldg(pointer<const float>(p.scale) + channel);
        const float x = __ldg(pointer<const float>(p.x) + i);
        if (!(scale > 0.0f && scale <= 3.402823466e38f)) atomicOr(pointer<i32>(p.damage), 2);
        const float rounded = __fadd_rn(rintf(__fdiv_rn(x, scale)), zero);
        if (rounded != rounded) atomicOr(pointer<i32>(p.damage), 1);
        const float value = fminf(fmaxf(rounded, low), high);
        const i32 code = static_cast<i32>(value) & ((1 << p.bits) - 1);
        if (p.bits <= 8) pointer<u8>(p.codes)[i] = static_cast<u8>(code);
        else pointer<i16>(p.codes)[i] = static_cast<i16>(code);
        pointer<u8>(p.inside)[i] = rounded == value;
        pointer<float>(p.x_hat)[i] = __fmul_rn(__fsub_rn(value, zero), scale);
    }
}

struct Finish {
    u64 result;   // float32, as the sums
    Gemm gather;  // what made the sums, which are its result
    i32 w_zero, x_bits, x_signed, unused;
};

__device__ inline i32 value_of(u32 code, int bits, int is_signed) {
    const i32 value = static_cast<i32>(code), half = 1 << (bits - 1);
    return is_signed ? (((value + half) & ((1 << bits) - 1)) - half) : value;
}

// result = `scaled` of the sums less w_zero times the window's activations, a thread per position and group.
RTLGRAD_KERNEL(finish, Finish, kThreads) {
    const Gemm& g = p.gather;
    const i64 thread = static_cast<i64>(blockIdx.x) * kThreads + threadIdx.x;
    if (thread >= static_cast<i64>(g.columns) * g.groups) return;
    const int group = static_cast<int>(thread / g.columns), n = static_cast<int>(thread % g.columns);
    i64 window = 0;
    if (p.w_zero != 0) {
        const i32 x_zero = __ldg(pointer<const i32>(g.x_zero));
        const Position at = position_of(g, n);
        for (int k = 0; k < g.depth; ++k) {
            const i64 source = source_of(g, at, tap_of(g, k, g.depth));
            window += source < 0 ? x_zero
                                 : value_of(read_code(g.x, g.x_kind, source + group * g.x_group),
                                            p.x_bits, p.x_signed);
        }
    }
    for (int m = 0; m < g.rows; ++m) {
        const int output = group * g.rows + m;
        const i64 index = group * g.out_group + result_index(g, m, n);
        const i64 sum = __ldg(pointer<const i32>(g.out) + index) - window * p.w_zero;
        pointer<float>(p.result)[index] = scaled(g, output, sum);
    }
}

struct SumParts {
    u64 parts, out;  // float32 [splits, count], float32 [count]
    i64 count;
    i64 splits;
};

// out = ((part 0 + part 1) + part 2) + ...
RTLGRAD_KERNEL(sum_parts, SumParts, kThreads) {
    const i64 i = static_cast<i64>(blockIdx.x) * kThreads + threadIdx.x;
    if (i >= p.count) return;
    float sum = __ldg(pointer<const float>(p.parts) + i);
    for (i64 split = 1; split < p.splits; ++split) {
        sum = __fadd_rn(sum, __ldg(pointer<const float>(p.parts) + split * p.count + i));
    }
    pointer<float>(p.out)[i] = sum == sum ? sum : __uint_as_float(0x7fc00000u);
}
