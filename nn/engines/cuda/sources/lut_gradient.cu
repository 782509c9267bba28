// The backward pass of a sum of table entries by gradient tables:
//
//   dx[k, m] = sum over o of g[o, m] * scale[o] * by_a[w[k, o]][x[k, m]]
//   dw[k, o] = sum over m of g[o, m]            * by_b[w[k, o]][x[k, m]]
//
// The order of sums is that of lut_gradient.cpp, so that both give the same bits: dx over ascending o; dw in
// blocks of 2048 m, in each of which 16 float32 sums take every sixteenth m; these are added
// up in float64, block after block.
#include "portable.cuh"

constexpr int kThreads = 256, kLanes = 16, kOutputs = kThreads / kLanes, kBlock = 2048;

struct LutGradient {
    u64 x, w, g, scale;  // i32 [inner][positions], i32 [inner][outputs], float32 [outputs][positions], [outputs]
    u64 table, result;   // float32 [weight codes][activation codes], float32 as x or as w
    i64 inner, outputs, positions, activation_codes;
};

RTLGRAD_KERNEL(lut_gradient_x, LutGradient, kThreads) {
    const i64 blocks = (p.positions + kThreads - 1) / kThreads;
    const i64 k = blockIdx.x / blocks, m = blockIdx.x % blocks * kThreads + threadIdx.x;
    if (m >= p.positions) return;
    const float* table = pointer<const float>(p.table) + __ldg(pointer<const i32>(p.x) + k * p.positions + m);
    float sum = 0.0f;
    for (i64 o = 0; o < p.outputs; ++o) {
        const i64 row = __ldg(pointer<const i32>(p.w) + k * p.outputs + o);
        const float slope = __fmul_rn(__ldg(pointer<const float>(p.scale) + o),
                                      __ldg(pointer<const float>(p.g) + o * p.positions + m));
        sum = __fadd_rn(sum, __fmul_rn(slope, __ldg(table + row * p.activation_codes)));
    }
    pointer<float>(p.result)[k * p.positions + m] = sum;
}

RTLGRAD_KERNEL(lut_gradient_w, LutGradient, kThreads) {
    const i64 groups = (p.outputs + kOutputs - 1) / kOutputs;
    const i64 k = blockIdx.x / groups;
    const int lane = threadIdx.x % kLanes;
    const i64 o = blockIdx.x % groups * kOutputs + threadIdx.x / kLanes;
    const bool there = o < p.outputs;
    const i64 row = there ? __ldg(pointer<const i32>(p.w) + k * p.outputs + o) : 0;
    const float* table = pointer<const float>(p.table) + row * p.activation_codes;
    const float* g = pointer<const float>(p.g) + (there ? o : 0) * p.positions;
    const i32* x = pointer<const i32>(p.x) + k * p.positions;
    Shared<float> sums(0, kThreads);
    double total = 0.0;
    for (i64 start = 0; start < p.positions; start += kBlock) {
        const i64 end = start + kBlock < p.positions ? start + kBlock : p.positions;
        float sum = 0.0f;
        for (i64 m = start + lane; m < end; m += kLanes) {
            sum = __fadd_rn(sum, __fmul_rn(__ldg(g + m), __ldg(table + __ldg(x + m))));
        }
        __syncthreads();
        sums.store(threadIdx.x, sum);
        __syncthreads();
        if (lane == 0) {
            for (int i = 0; i < kLanes; ++i) total += static_cast<double>(sums.load(threadIdx.x + i));
        }
    }
    if (lane == 0 && there) pointer<float>(p.result)[k * p.outputs + o] = static_cast<float>(total);
}
