#include <algorithm>
#include <cstring>

#include "kernels.h"
#include "table_routes.h"

namespace rtlgrad {

uint32_t* clear_sums(const Problem& p, int64_t positions, Scratch& scratch) {
    if (!p.needs_sums()) return nullptr;
    const int64_t size = round_up(positions, 64);
    uint32_t* sums = scratch.sums.reserve(size);
    std::fill_n(sums, size, 0u);
    return sums;
}

void add_sums(const Problem& p, const void* codes, const int64_t* at, int64_t taps, int64_t positions,
              uint32_t* sums) {
    if (sums == nullptr) return;
    p.kernels.sum_codes({codes, at, taps, positions, static_cast<uint32_t>(p.conv.x_flip), p.narrow(), sums});
}

void add_sums(const Problem& p, int64_t taps, int64_t stride, int64_t positions, uint32_t* sums,
              Scratch& scratch) {
    if (sums == nullptr) return;
    int64_t* at = scratch.at.reserve(taps);
    for (int64_t k = 0; k < taps; ++k) at[k] = k * stride;
    add_sums(p, scratch.codes.reserve(0), at, taps, positions, sums);
}

void store_run(const Problem& p, int64_t output, int64_t at, const uint32_t* from, const uint32_t* sums,
               int64_t count, uint32_t add) {
    if (p.conv.result == nullptr) {
        int32_t* to = p.conv.out + at;
        for (int64_t i = 0; i < count; ++i) to[i] = static_cast<int32_t>(from[i] + add);
        return;
    }
    p.kernels.rescale({p.conv.result + at, from, sums, count, add + p.conv.terms[output],
                       static_cast<uint32_t>(p.conv.w_zero), p.conv.factors[output]});
}

int64_t place_of(const Problem& p, const Segment& s, int64_t output) {
    return (s.image * p.conv.outputs + output) * p.pixels + s.pixel;
}

void store_row(const Problem& p, const Item& item, int64_t m, const uint32_t* acc, const uint32_t* sums,
               uint32_t add, const Scratch& scratch) {
    const int64_t output = item.output(p, m);
    for (const Segment& s : scratch.segments) {
        store_run(p, output, place_of(p, s, output), acc + s.position,
                  sums == nullptr ? nullptr : sums + s.position, s.count, add);
    }
}

void store_positions(const Problem& p, const Item& item, int64_t first, int64_t outputs, const uint32_t* acc,
                     const uint32_t* sums, int64_t by_position, uint32_t add, const Scratch& scratch) {
    const TableConv& c = p.conv;
    const uint32_t w_zero = static_cast<uint32_t>(c.w_zero);
    for (const Segment& s : scratch.segments) {
        const int64_t output = item.output(p, first), at = place_of(p, s, output);
        const uint32_t* from = acc + s.position * by_position;
        for (int64_t m = 0; m < outputs; ++m) {
            const uint32_t more = c.result == nullptr ? add : add + c.terms[output + m];
            for (int64_t i = 0; i < s.count; ++i) {
                uint32_t sum = from[i * by_position + m] + more;
                if (sums != nullptr) sum -= w_zero * sums[s.position + i];
                const int64_t place = at + m * p.pixels + i;
                if (c.result == nullptr) {
                    c.out[place] = static_cast<int32_t>(sum);
                } else {
                    c.result[place] = static_cast<float>(static_cast<int32_t>(sum)) * c.factors[output + m];
                }
            }
        }
    }
}

void store_points(const Problem& p, const Item& item, const uint32_t* acc, const uint32_t* sums,
                  int64_t by_output) {
    constexpr int64_t kTogether = 16;  // positions whose sums of an output share a cache line
    const TableConv& c = p.conv;
    const uint32_t w_zero = static_cast<uint32_t>(c.w_zero);
    const int64_t output = item.output(p, 0);
    for (int64_t n = 0; n < item.positions; n += kTogether) {
        const int64_t some = std::min(kTogether, item.positions - n);
        for (int64_t m = 0; m < item.outputs; ++m) {
            const uint32_t* from = acc + m * by_output + n;
            const int64_t at = (item.first_position + n) * c.outputs + output + m;
            for (int64_t i = 0; i < some; ++i) {
                if (c.result == nullptr) {
                    c.out[at + i * c.outputs] = static_cast<int32_t>(from[i]);
                    continue;
                }
                const uint32_t under = sums == nullptr ? 0 : w_zero * sums[n + i];
                const int32_t sum = static_cast<int32_t>(from[i] + c.terms[output + m] - under);
                c.result[at + i * c.outputs] = static_cast<float>(sum) * c.factors[output + m];
            }
        }
    }
}

}  // namespace rtlgrad
