// Backward pass of a sum of table entries by gradient tables.
//
//   dx[k, m] = sum_o g[o, m] * scale[o] * by_a[w[o, k]][x[k, m]]
//   dw[o, k] = sum_m g[o, m]            * by_b[w[o, k]][x[k, m]]
//
// Each k is apart from all others, so threads share out the k. Sums run in an order that depends
// on nothing but the sizes, and products are not fused with sums: the results are the same bits
// for any number of threads and on any CPU.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

namespace {

constexpr int64_t kBlock = 2048;  // positions whose codes and sums stay in the first-level cache
constexpr int64_t kLanes = 16;    // partial sums of dw, a vector's worth

CLONES void one_output(const int32_t* codes, const float* g, float scale, const float* by_a,
                       const float* by_b, int64_t count, float* dx, float* lanes) {
    const int64_t whole = count / kLanes * kLanes;
    for (int64_t m = 0; m < whole; m += kLanes) {
        for (int64_t lane = 0; lane < kLanes; ++lane) {
            const int32_t code = codes[m + lane];
            const float slope = g[m + lane];
            dx[m + lane] += scale * slope * by_a[code];
            lanes[lane] += slope * by_b[code];
        }
    }
    for (int64_t m = whole; m < count; ++m) {
        dx[m] += scale * g[m] * by_a[codes[m]];
        lanes[m - whole] += g[m] * by_b[codes[m]];
    }
}

}  // namespace

struct LutGradient {
    int64_t inner, outputs, positions, side_a, threads;
    const int32_t* x;      // [inner, positions]
    const int32_t* w;      // [inner, outputs]
    const float* g;        // [outputs, positions]
    const float* scale;    // [outputs]
    const float* by_a;     // [side_b, side_a]
    const float* by_b;     // [side_b, side_a]
    float* dx;             // [inner, positions]
    float* dw;             // [inner, outputs]
};

namespace {

void one_tap(const LutGradient& p, int64_t k, std::vector<double>& sums) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (int64_t start = 0; start < p.positions; start += kBlock) {
        const int64_t count = std::min(kBlock, p.positions - start);
        const int32_t* codes = p.x + k * p.positions + start;
        float* dx = p.dx + k * p.positions + start;
        std::fill(dx, dx + count, 0.0f);
        for (int64_t o = 0; o < p.outputs; ++o) {
            const int64_t column = static_cast<int64_t>(p.w[k * p.outputs + o]) * p.side_a;
            float lanes[kLanes] = {};
            one_output(codes, p.g + o * p.positions + start, p.scale[o], p.by_a + column,
                       p.by_b + column, count, dx, lanes);
            for (const float lane : lanes) sums[o] += lane;
        }
    }
    for (int64_t o = 0; o < p.outputs; ++o) {
        p.dw[k * p.outputs + o] = static_cast<float>(sums[o]);
    }
}

}  // namespace

// Returns 0, or 1 if memory ran out.
EXPORT int32_t rtlgrad_lut_gradient(const LutGradient* problem) {
    const LutGradient& p = *problem;
    std::atomic<int64_t> next{0};
    std::atomic<bool> failed{false};
    auto work = [&] {
        try {
            std::vector<double> sums(p.outputs);
            for (int64_t k = next++; k < p.inner; k = next++) one_tap(p, k, sums);
        } catch (...) {  // out of memory; an exception must not leave a thread
            failed = true;
        }
    };
    std::vector<std::thread> others;
    const int64_t wanted = std::min(p.threads, p.inner);
    try {
        for (int64_t i = 1; i < wanted; ++i) others.emplace_back(work);
    } catch (...) {  // no further thread to be had: those that run do all the work
    }
    work();
    for (std::thread& other : others) other.join();
    return failed ? 1 : 0;
}
