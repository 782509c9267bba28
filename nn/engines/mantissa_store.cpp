// Results: sums in natural order, every NaN the same, to where they belong.

#include <algorithm>
#include <cstring>

#include "mantissa_work.h"

namespace rtlgrad {
namespace {

float cleaned(float sum) {
    // Every NaN is the same one.
    const uint32_t nan = 0x7fc00000u;
    if (sum != sum) std::memcpy(&sum, &nan, sizeof sum);
    return sum;
}

// to[n] <- the sums of one output in natural order.
void unshuffle(const Work& work, const float* acc, int64_t count, float* to) {
    if (!work.narrow) {
        for (int64_t n = 0; n < count; ++n) to[n] = cleaned(acc[n]);
        return;
    }
    for (int64_t v = 0; v < count; v += 32) {
        for (int64_t i = 0; i < 16; ++i) {
            to[v + 2 * i] = cleaned(acc[v + i]);
            to[v + 2 * i + 1] = cleaned(acc[v + 16 + i]);
        }
    }
}

void store_windows(const Work& work, const float* from, float* to, const Scratch& scratch) {
    const MantissaProduct& q = work.q;
    for (const Segment& s : scratch.segments) {
        for (int64_t y = s.y, x = s.x, left = s.count; left > 0; ++y, x = 0) {
            const int64_t run = std::min(q.out_w - x, left);
            float* row = to + s.image * q.out_n + y * q.out_y + x * q.out_x;
            if (q.out_x == 1) {
                std::copy_n(from, run, row);
            } else {
                for (int64_t i = 0; i < run; ++i) row[i * q.out_x] = from[i];
            }
            from += run;
            left -= run;
        }
    }
}

// Outputs side by side in memory: some at a time, so that what is written lies together.
void store_transposed(const Work& work, const Tile& tile, const float* acc, float* to, Memory& memory) {
    constexpr int64_t kTogether = 16;
    const int64_t width = whole_vectors(tile.positions.count);
    float* natural = memory.natural.reserve(kTogether * width);
    for (int64_t m = 0; m < tile.outputs.count; m += kTogether) {
        const int64_t some = std::min(kTogether, tile.outputs.count - m);
        for (int64_t i = 0; i < some; ++i) {
            unshuffle(work, acc + (m + i) * width, tile.positions.count, natural + i * width);
        }
        for (int64_t n = 0; n < tile.positions.count; ++n) {
            for (int64_t i = 0; i < some; ++i) to[n * work.q.out_n + m + i] = natural[i * width + n];
        }
    }
}

}  // namespace

void store(const Work& work, const Tile& tile, const float* acc, Memory& memory) {
    const MantissaProduct& q = work.q;
    float* to = q.out + tile.group * q.out_group + tile.outputs.first * q.out_m;
    if (q.kind != kWindows) to += tile.positions.first * q.out_n;
    if (q.kind != kWindows && q.out_m == 1) return store_transposed(work, tile, acc, to, memory);
    const int64_t width = whole_vectors(tile.positions.count);
    float* natural = memory.natural.reserve(width);
    for (int64_t m = 0; m < tile.outputs.count; ++m, to += q.out_m) {
        unshuffle(work, acc + m * width, tile.positions.count, natural);
        if (q.kind == kWindows) {
            store_windows(work, natural, to, memory.pack);
        } else {
            for (int64_t n = 0; n < tile.positions.count; ++n) to[n * q.out_n] = natural[n];
        }
    }
}

}  // namespace rtlgrad
