// Sums of table entries for a convolution:
//
//   out[image, o, y, x] = sum over channels c and taps (i, j) of T[code(x), code(w)]
//
// A matrix product is the case of 1x1 images and a 1x1 kernel. The work is cut into items, which
// threads take one by one; an item packs the activation codes of a few taps at a time, so the
// memory it needs does not grow with the layer. All sums are modulo 2^32, hence independent of
// the order and of the number of threads.

#include "table_conv.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <vector>

#include "kernels.h"
#include "parallel.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace rtlgrad {
namespace {

constexpr int64_t kThreadMacs = 1 << 20;  // below this a thread costs more than it saves

std::vector<Item> cut(const Problem& p, int64_t threads) {
    const Item largest = largest_item(p);
    const int64_t chunks = (p.outputs + largest.outputs - 1) / largest.outputs * p.conv.groups;
    // Every thread should get a part of the positions, in whole vectors.
    const int64_t share = (threads + chunks - 1) / chunks;
    const int64_t part = (p.positions + share - 1) / share;
    const int64_t tile = std::min(largest.positions, (part + 63) / 64 * 64);
    std::vector<Item> items;
    for (int64_t group = 0; group < p.conv.groups; ++group) {
        for (int64_t n = 0; n < p.positions; n += tile) {
            for (int64_t m = 0; m < p.outputs; m += largest.outputs) {
                items.push_back({group, m, std::min(largest.outputs, p.outputs - m), n,
                                 std::min(tile, p.positions - n)});
            }
        }
    }
    return items;
}

void run(const Problem& p) {
    const int64_t macs = p.positions * p.conv.outputs * p.taps;
    const int64_t useful = std::min(p.conv.threads, 1 + macs / kThreadMacs);
    const std::vector<Item> items = cut(p, useful);
    std::atomic<size_t> next{0};
    std::atomic<bool> failed{false};
    auto work = [&] {
        try {
            // Kept by the thread: fresh pages for every call would cost more than a small layer.
            static thread_local Scratch scratch;
            for (size_t i = next++; i < items.size() && !failed; i = next++) {
                run_item(p, items[i], scratch);
            }
        } catch (...) {  // out of memory; an exception must not leave a thread
            failed = true;
        }
    };
    run_on_threads(std::min(useful, static_cast<int64_t>(items.size())), work);
    if (failed) throw std::bad_alloc();
}

}  // namespace

// In the order of isa.py.
const Kernels* kernels_of(int64_t isa) {
    switch (isa) {
        case 0: return &kPortableKernels;
#if defined(RTLGRAD_HAS_AVX2)
        case 1: return &kAvx2Kernels;
#endif
#if defined(RTLGRAD_HAS_VBMI)
        case 2: return &kVbmiKernels;
#endif
        default: return nullptr;
    }
}

}  // namespace rtlgrad

// Bit i: the library holds kernels for instruction set i.
EXPORT uint32_t rtlgrad_isas_built() {
    uint32_t built = 0;
    for (int64_t i = 0; i < 3; ++i) built |= (rtlgrad::kernels_of(i) != nullptr ? 1u : 0u) << i;
    return built;
}

// Bit i: this CPU (and its operating system) runs instruction set i.
EXPORT uint32_t rtlgrad_isas_supported() {
    uint32_t supported = 1;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2")) supported |= 2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni")) {
        supported |= 4;
    }
#endif
    return supported;
}

// Returns 0; 1 if memory ran out; 2 if the instruction set or route asked for is not there.
EXPORT int32_t rtlgrad_table_conv(const TableConv* conv) {
    using namespace rtlgrad;
    try {
        const Kernels* kernels = kernels_of(conv->isa);
        if (kernels == nullptr || conv->route < kRows || conv->route > kLowRank) return 2;
        if (conv->route == kPlanes && (kernels->planes == nullptr || conv->side_a > 256)) return 2;
        if (conv->route == kLowRank && conv->digits == nullptr) return 2;
        const int64_t pixels = conv->out_h * conv->out_w;
        const int64_t taps = conv->channels / conv->groups * conv->kernel_h * conv->kernel_w;
        const Problem problem{*conv, *kernels, taps, conv->outputs / conv->groups, pixels,
                              conv->batch * pixels};
        if (problem.positions == 0 || conv->outputs == 0) return 0;
        run(problem);
        return 0;
    } catch (...) {
        return 1;
    }
}
