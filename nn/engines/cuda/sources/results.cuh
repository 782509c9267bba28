// What becomes of a sum of table entries: int32 as it is, or a layer's float32 result.
#pragma once

#include "gather.cuh"

// float(sum - weight_sums * x_zero) * (x_scale * w_scale), `output` counted over all groups.
__device__ inline float scaled(const Gemm& p, int output, i64 sum) {
    const i64 terms = __ldg(pointer<const i64>(p.weight_sums) + output) * __ldg(pointer<const i32>(p.x_zero));
    const float x_scale = __ldg(pointer<const float>(p.x_scale));
    const float scale = __fmul_rn(x_scale, __ldg(pointer<const float>(p.w_scale) + output));
    const i64 whole = sum - terms;
    // Conversion from 64 bits is far slower than from 32 on most GPUs; the float is the same.
    const i32 narrow = static_cast<i32>(whole);
    return __fmul_rn(narrow == whole ? static_cast<float>(narrow) : __ll2float_rn(whole), scale);
}

// Writes the sum of one split, or the result where scales are given; there is one split then.
__device__ inline void put(const Gemm& p, i64 index, int output, u32 sum) {
    const i32 total = static_cast<i32>(sum);
    if (p.w_scale) pointer<float>(p.out)[index] = scaled(p, output, total);
    else if (p.splits == 1) pointer<i32>(p.out)[index] = total;
    else atomicAdd(pointer<i32>(p.out) + index, total);
}
