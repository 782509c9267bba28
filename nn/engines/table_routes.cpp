// The routes: ways to add up an item.
//
//   rows      for one weight, its table column is a small array; it is applied to all positions
//             of the item, four taps at a time.
//   expanded  X[k][a][m] = T[a, w(m, k)] is built for some weights; then a position adds the
//             contiguous row X[k][code] for each tap k, which is loads and additions alone.
//   planes    T[a, b] = base[b] + scale * ((slopes[b] + common) * (a ^ flip) + unit * sum_p 256^p *
//             planes[b][p][a]): byte planes by lookups in registers, slopes by dot products.

#include <algorithm>
#include <cstring>

#include "kernels.h"
#include "table_conv.h"

namespace rtlgrad {
namespace {

// Found by trial on a CPU with 48 KiB of L1 and 1 MiB of L2 cache; see docs/performance.md.
constexpr int64_t kRowTile = 1024, kRowOutputs = 32, kRowTaps = 32;
constexpr int64_t kExpandedTile = 2048, kExpandedTaps = 64, kExpandedBytes = 1 << 19;
constexpr int64_t kPlaneTaps = 128, kPlaneOutputs = 512, kPlaneAccBytes = 1 << 19;
constexpr int64_t kPanel = 256;  // positions whose codes stay in the L1 cache

int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

// What is taken from all outputs of an item alike: the sums of the codes under each position's window.
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

// Of packed taps.
void add_sums(const Problem& p, int64_t taps, int64_t stride, int64_t positions, uint32_t* sums,
              Scratch& scratch) {
    if (sums == nullptr) return;
    int64_t* at = scratch.at.reserve(taps);
    for (int64_t k = 0; k < taps; ++k) at[k] = k * stride;
    add_sums(p, scratch.codes.reserve(0), at, taps, positions, sums);
}

// to <- from[n] + add, or the result made of it; `at` is where `to` lies in the output, `sums` the
// windows' from the same position on.
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

// Where the first pixel of a segment lies in the output.
int64_t place_of(const Problem& p, const Segment& s, int64_t output) {
    return (s.image * p.conv.outputs + output) * p.pixels + s.pixel;
}

// out <- acc[n] + add, for output m of the item.
void store_row(const Problem& p, const Item& item, int64_t m, const uint32_t* acc, const uint32_t* sums,
               uint32_t add, const Scratch& scratch) {
    const int64_t output = item.output(p, m);
    for (const Segment& s : scratch.segments) {
        store_run(p, output, place_of(p, s, output), acc + s.position,
                  sums == nullptr ? nullptr : sums + s.position, s.count, add);
    }
}

// out <- acc + add, where acc[n * by_position + m * by_output] is the sum of position n and output
// first + m.
void store_sums(const Problem& p, const Item& item, int64_t first, int64_t outputs, const uint32_t* acc,
                const uint32_t* sums, int64_t by_position, int64_t by_output, uint32_t add,
                const Scratch& scratch) {
    const TableConv& c = p.conv;
    const uint32_t w_zero = static_cast<uint32_t>(c.w_zero);
    for (const Segment& s : scratch.segments) {
        const int64_t output = item.output(p, first), at = place_of(p, s, output);
        const uint32_t* from = acc + s.position * by_position;
        for (int64_t m = 0; m < outputs; ++m) {
            const uint32_t more = c.result == nullptr ? add : add + c.terms[output + m];
            for (int64_t i = 0; i < s.count; ++i) {
                uint32_t sum = from[i * by_position + m * by_output] + more;
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

void run_rows(const Problem& p, const Item& item, Scratch& scratch) {
    const int64_t stride = pack_stride(item.positions), block = pack_taps(p, kRowTaps);
    uint32_t* acc = scratch.acc.reserve(item.outputs * item.positions);
    uint16_t* weights = scratch.weights.reserve(block);
    uint32_t* sums = clear_sums(p, item.positions, scratch);
    std::fill_n(acc, item.outputs * item.positions, 0u);
    for (int64_t first = 0; first < p.taps; first += block) {
        const int64_t count = std::min(block, p.taps - first);
        pack_codes(p, item, first, count, stride, scratch);
        add_sums(p, count, stride, item.positions, sums, scratch);
        for (int64_t m = 0; m < item.outputs; ++m) {
            p.weights(item.output(p, m), first, count, weights);
            p.kernels.rows({p.conv.columns, weights, scratch.codes.reserve(0), p.conv.side_a, stride,
                            count, item.positions, p.narrow(), acc + m * item.positions});
        }
    }
    for (int64_t m = 0; m < item.outputs; ++m) {
        store_row(p, item, m, acc + m * item.positions, sums, 0, scratch);
    }
}

// ---- expanded ----------------------------------------------------------------------------------

int64_t lanes_for(int64_t outputs) { return outputs > 32 ? 64 : outputs > 16 ? 32 : 16; }

// Adds `count` packed taps, of which p's first is `first`, to the sums of one chunk of outputs.
void expand_and_add(const Problem& p, const Item& item, int64_t first, int64_t count,
                    int64_t stride, int64_t chunk, int64_t lanes, uint32_t* acc, Scratch& scratch) {
    const bool compact = p.conv.compact != nullptr;
    const int64_t side = p.conv.side_a, entry = compact ? 2 : 4, row = side * lanes * entry;
    const int64_t at_once = std::max<int64_t>(1, std::min(count, kExpandedBytes / row));
    const int64_t outputs = std::min(lanes, item.outputs - chunk);
    uint8_t* x = scratch.expanded.reserve(at_once * row);
    const uint8_t* codes = scratch.codes.reserve(0);
    uint16_t* all = scratch.weights.reserve(outputs * count);
    for (int64_t m = 0; m < outputs; ++m) {
        p.weights(item.output(p, chunk + m), first, count, all + m * count);
    }
    uint16_t weights[64];
    for (int64_t k = 0; k < count; k += at_once) {
        const int64_t some = std::min(at_once, count - k);
        for (int64_t t = 0; t < some; ++t) {
            for (int64_t m = 0; m < outputs; ++m) weights[m] = all[m * count + k + t];
            const void* columns = compact ? static_cast<const void*>(p.conv.compact) : p.conv.columns;
            (compact ? p.kernels.expand16 : p.kernels.expand32)(
                {columns, weights, side, outputs, lanes, x + t * row});
        }
        (compact ? p.kernels.expanded16 : p.kernels.expanded32)(
            {x, codes + k * stride * (p.narrow() ? 1 : 2), side, stride, some, item.positions, lanes,
             p.narrow(), acc});
    }
}

void run_expanded(const Problem& p, const Item& item, Scratch& scratch) {
    const int64_t lanes = lanes_for(item.outputs), chunks = (item.outputs + lanes - 1) / lanes;
    const int64_t stride = pack_stride(item.positions), block = pack_taps(p, kExpandedTaps);
    const int64_t size = item.positions * lanes;
    uint32_t* acc = scratch.acc.reserve(chunks * size);
    uint32_t* sums = clear_sums(p, item.positions, scratch);
    std::fill_n(acc, chunks * size, 0u);
    for (int64_t first = 0; first < p.taps; first += block) {
        const int64_t count = std::min(block, p.taps - first);
        pack_codes(p, item, first, count, stride, scratch);
        add_sums(p, count, stride, item.positions, sums, scratch);
        for (int64_t c = 0; c < chunks; ++c) {
            expand_and_add(p, item, first, count, stride, c * lanes, lanes, acc + c * size, scratch);
        }
    }
    const uint32_t offset = p.conv.compact == nullptr ? 0 : static_cast<uint32_t>(p.conv.offset);
    for (int64_t c = 0; c < chunks; ++c) {
        store_sums(p, item, c * lanes, std::min(lanes, item.outputs - c * lanes), acc + c * size, sums,
                   lanes, 1, offset * static_cast<uint32_t>(p.taps), scratch);
    }
}

// ---- planes ------------------------------------------------------------------------------------

// Some taps of an item: their number, the distance of packed taps, positions in whole vectors.
struct Block {
    int64_t count, stride, width;
};

// Adds slopes * activations; row `outputs` of acc takes the plain sum of the activations.
void add_dots(const Problem& p, int64_t outputs, const Block& block, const uint16_t* weights,
              uint32_t* acc, Scratch& scratch) {
    const int64_t taps = round_up(block.count, 4), rows = outputs + (p.conv.common != 0 ? 1 : 0);
    int8_t* slopes = scratch.slopes.reserve(rows * taps);
    std::fill_n(slopes, rows * taps, static_cast<int8_t>(0));  // beyond `count` nothing is added
    for (int64_t m = 0; m < outputs; ++m) {
        for (int64_t k = 0; k < block.count; ++k) {
            slopes[m * taps + k] = p.conv.slopes[weights[m * block.count + k]];
        }
    }
    if (rows > outputs) std::fill_n(slopes + outputs * taps, block.count, static_cast<int8_t>(1));
    const int64_t vectors = block.width / 64;
    uint8_t* quads = scratch.quads.reserve(taps * block.width);
    p.kernels.quads(quads, scratch.codes.reserve(0), block.stride, taps, vectors,
                    static_cast<uint8_t>(p.conv.flip));
    p.kernels.dots({slopes, quads, taps, rows, vectors, block.width, acc});
}

void add_planes(const Problem& p, int64_t outputs, const Block& block, const uint16_t* weights,
                uint32_t* acc, Scratch& scratch) {
    int64_t* at = scratch.at.reserve(block.count);
    for (int64_t k = 0; k < block.count; ++k) at[k] = k * block.stride;
    const uint8_t* codes = scratch.codes.reserve(0);
    for (int64_t n = 0; n < block.width; n += kPanel) {
        const int64_t vectors = std::min(kPanel, block.width - n) / 64;
        for (int64_t m = 0; m < outputs; ++m) {
            p.kernels.planes({p.conv.planes, weights + m * block.count, codes + n, at,
                              p.conv.plane_count, block.count, vectors,
                              static_cast<uint32_t>(p.conv.unit), acc + m * block.width + n});
        }
    }
}

// out <- the rows of outputs among `acc`, which holds one for each staged position, as do the sums.
void store_staged(const Problem& p, const Item& item, int64_t m, const uint32_t* acc, const uint32_t* sums,
                  int64_t pitch, const Scratch& scratch) {
    const int64_t halo = (p.conv.kernel_h - 1) * p.conv.dilation_h;
    const int64_t output = item.output(p, m);
    int64_t top = 0;  // of the segment, among the staged positions
    for (const Segment& s : scratch.segments) {
        int64_t at = place_of(p, s, output);
        for (int64_t y = s.y, x = s.x, left = s.count; left > 0; ++y, x = 0) {
            const int64_t run = std::min(p.conv.out_w - x, left), from = top + (y - s.y) * pitch + x;
            store_run(p, output, at, acc + from, sums == nullptr ? nullptr : sums + from, run, 0);
            at += run;
            left -= run;
        }
        top += (s.last_y - s.y + 1 + halo) * pitch;
    }
}

void run_staged(const Problem& p, const Item& item, Scratch& scratch) {
    const Staged staged = stage_codes(p, item, scratch);
    const int64_t vectors = (staged.rows * staged.pitch + 63) / 64;
    uint32_t* acc = scratch.acc.reserve(vectors * 64);
    uint16_t* weights = scratch.weights.reserve(p.taps);
    uint32_t* sums = clear_sums(p, vectors * 64, scratch);
    add_sums(p, staged.codes, staged.shifts, p.taps, vectors * 64, sums);
    for (int64_t m = 0; m < item.outputs; ++m) {
        p.weights(item.output(p, m), 0, p.taps, weights);
        uint32_t constant = 0;
        for (int64_t k = 0; k < p.taps; ++k) constant += static_cast<uint32_t>(p.conv.base[weights[k]]);
        std::fill_n(acc, vectors * 64, 0u);
        p.kernels.planes({p.conv.planes, weights, staged.codes, staged.shifts, p.conv.plane_count,
                          p.taps, vectors, static_cast<uint32_t>(p.conv.unit), acc});
        p.kernels.finish({acc, nullptr, vectors, static_cast<uint32_t>(p.conv.scale), 0, constant});
        store_staged(p, item, m, acc, sums, staged.pitch, scratch);
    }
}

void run_planes(const Problem& p, const Item& item, Scratch& scratch) {
    if (p.conv.slopes == nullptr && reads_staged(p)) return run_staged(p, item, scratch);
    const int64_t width = round_up(item.positions, 64), stride = pack_stride(item.positions);
    const int64_t most = pack_taps(p, kPlaneTaps), rows = item.outputs + 1;
    uint32_t* acc = scratch.acc.reserve(rows * width);
    uint32_t* constants = scratch.constants.reserve(item.outputs);
    std::fill_n(acc, rows * width, 0u);
    std::fill_n(constants, item.outputs, 0u);
    uint32_t* windows = clear_sums(p, item.positions, scratch);
    for (int64_t first = 0; first < p.taps; first += most) {
        const Block block{std::min(most, p.taps - first), stride, width};
        scratch.codes.reserve((round_up(block.count, 4) + 1) * stride);  // add_dots reads whole quads
        pack_codes(p, item, first, block.count, stride, scratch);
        add_sums(p, block.count, stride, item.positions, windows, scratch);
        uint16_t* weights = scratch.weights.reserve(item.outputs * block.count);
        for (int64_t m = 0; m < item.outputs; ++m) {
            uint16_t* row = weights + m * block.count;
            p.weights(item.output(p, m), first, block.count, row);
            uint32_t sum = 0;
            for (int64_t k = 0; k < block.count; ++k) sum += static_cast<uint32_t>(p.conv.base[row[k]]);
            constants[m] += sum;
        }
        if (p.conv.slopes != nullptr) add_dots(p, item.outputs, block, weights, acc, scratch);
        if (p.conv.plane_count > 0) add_planes(p, item.outputs, block, weights, acc, scratch);
    }
    const uint32_t* sums = p.conv.common == 0 ? nullptr : acc + item.outputs * width;
    for (int64_t m = 0; m < item.outputs; ++m) {
        p.kernels.finish({acc + m * width, sums, width / 64, static_cast<uint32_t>(p.conv.scale),
                          static_cast<uint32_t>(p.conv.common), constants[m]});
        if (p.pixels > 1) store_row(p, item, m, acc + m * width, windows, 0, scratch);
    }
    if (p.pixels == 1) store_sums(p, item, 0, item.outputs, acc, windows, 1, width, 0, scratch);
}

}  // namespace

void run_item(const Problem& p, const Item& item, Scratch& scratch) {
    find_segments(p, item, scratch);
    switch (p.conv.route) {
        case kPlanes: return run_planes(p, item, scratch);
        case kExpanded: return run_expanded(p, item, scratch);
        default: return run_rows(p, item, scratch);
    }
}

Item largest_item(const Problem& p) {
    switch (p.conv.route) {
        case kPlanes: {
            const int64_t outputs = std::min(p.outputs, kPlaneOutputs);
            const int64_t fitting = kPlaneAccBytes / 4 / outputs / kPanel * kPanel;
            return {0, 0, outputs, 0, std::min<int64_t>(std::max(fitting, kPanel), 2048)};
        }
        case kExpanded: return {0, 0, std::min<int64_t>(p.outputs, 64), 0, kExpandedTile};
        default: return {0, 0, std::min(p.outputs, kRowOutputs), 0, kRowTile};
    }
}

}  // namespace rtlgrad
