// Steps: the numbers of w, a tile's outputs each, beside how to multiply a row of x by them.

#include <algorithm>

#include "mantissa_work.h"
#include "numbers.h"

namespace rtlgrad {
namespace {

// How to multiply a row of x by w; -1 where every product is a zero, which adds nothing.
int care_for(uint32_t w, const Exponents& x) {
    const int32_t exponent = static_cast<int32_t>(w >> 23 & 255);
    if (exponent == 255 || x.greatest == 255) return kSpecial;
    if (exponent == 0 || x.greatest == 0) return -1;
    const bool fits = x.least + exponent - 127 >= 1 && x.greatest + exponent - 127 + 1 <= 254;
    return fits ? kPlain : kChecked;
}

// The exponents of w that are plain with each row of x.
void set_limits(Memory& memory) {
    const size_t count = memory.exponents.size();
    memory.least.resize(count);
    memory.greatest.resize(count);
    for (size_t k = 0; k < count; ++k) {
        const Exponents& x = memory.exponents[k];
        const bool none = x.greatest == 0 || x.greatest == 255;
        memory.least[k] = none ? 256 : std::max(1, 128 - x.least);
        memory.greatest[k] = none ? 0 : std::min(254, 380 - x.greatest);
    }
}

// w[m][kSteps] of a tile, where it does not lie in memory like that.
void copy_numbers(const Work& work, const Tile& tile, Range ks, float* to) {
    const MantissaProduct& q = work.q;
    const float* from = q.w + tile.group * q.w_group + tile.outputs.first * q.w_m;
    int64_t outer = ks.first / q.w_inner, inner = ks.first % q.w_inner;
    for (int64_t k = 0; k < ks.count; ++k) {
        const float* row = from + outer * q.w_outer + inner * q.w_k;
        for (int64_t m = 0; m < tile.outputs.count; ++m) to[m * kSteps + k] = row[m * q.w_m];
        if (++inner == q.w_inner) ++outer, inner = 0;
    }
}

// The steps of one output that are not all plain; returns their number.
int64_t careful_steps(const Work& work, const float* w, Range ks, const Memory& memory, MantissaStep* steps,
                      uint8_t* care) {
    const MantissaProduct& q = work.q;
    int64_t count = 0;
    for (int64_t k = 0; k < ks.count; ++k) {
        const uint32_t bits = bits_of(w[k]);
        const int how = care_for(bits, memory.exponents[static_cast<size_t>(k)]);
        if (how < 0) continue;
        const uint32_t row = bits >> (23 - q.bits) & ((1u << q.bits) - 1);
        const uint32_t high = (bits >> 16 & 0xff80u) - 127u * 128u +
                              (work.narrow ? static_cast<uint32_t>(q.base[row]) : 0u);
        steps[count] = {static_cast<uint16_t>(k), static_cast<uint16_t>(row), static_cast<uint16_t>(high),
                        cut_number(w[k])};
        care[count++] = static_cast<uint8_t>(how);
    }
    return count;
}

}  // namespace

void prepare_steps(const Work& work, const Tile& tile, Range ks, Memory& memory) {
    const MantissaProduct& q = work.q;
    const int64_t outputs = tile.outputs.count;
    MantissaStep* steps = memory.steps.reserve(outputs * kSteps + 16);
    uint8_t* care = memory.care.reserve(outputs * kSteps);
    memory.counts.resize(static_cast<size_t>(outputs));
    memory.plain.resize(static_cast<size_t>(outputs));
    set_limits(memory);
    const int64_t inner = ks.first % q.w_inner;
    const bool in_place = q.w_k == 1 && inner + ks.count <= q.w_inner;
    const float* w = q.w + tile.group * q.w_group + tile.outputs.first * q.w_m +
                     ks.first / q.w_inner * q.w_outer + inner;
    if (!in_place) {
        float* numbers = memory.numbers.reserve(outputs * kSteps);
        copy_numbers(work, tile, ks, numbers);
        w = numbers;
    }
    for (int64_t m = 0; m < outputs; ++m, steps += kSteps, care += kSteps, w += in_place ? q.w_m : kSteps) {
        const size_t at = static_cast<size_t>(m);
        memory.plain[at] = work.kernels.steps({w, work.narrow ? q.base : nullptr, memory.least.data(),
                                               memory.greatest.data(), q.bits, ks.count, steps});
        memory.counts[at] =
            memory.plain[at] ? ks.count : careful_steps(work, w, ks, memory, steps, care);
    }
}

}  // namespace rtlgrad
