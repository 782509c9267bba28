// The routes: ways to add up an item.
//
//   rows      for one weight, its table column is a small array; it is applied to all positions
//             of the item, four taps at a time.
//   expanded  X[k][a][m] = T[a, w(m, k)] is built for some weights; then a position adds the
//             contiguous row X[k][code] for each tap k, which is loads and additions alone.
//   planes    byte planes by lookups in registers, slopes by dot products: see table_planes.cpp.
//   lowrank   a few exact products of digit matrices: lowrank_route.cpp.

#include <algorithm>
#include <cstring>

#include "kernels.h"
#include "table_routes.h"

namespace rtlgrad {
namespace {

// Found by trial on a CPU with 48 KiB of L1 and 1 MiB of L2 cache; see docs/performance.md.
constexpr int64_t kRowTile = 1024, kRowOutputs = 32, kRowTaps = 32;
constexpr int64_t kExpandedTile = 2048, kExpandedTaps = 64, kExpandedBytes = 1 << 19;

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
        store_positions(p, item, c * lanes, std::min(lanes, item.outputs - c * lanes), acc + c * size, sums,
                        lanes, offset * static_cast<uint32_t>(p.taps), scratch);
    }
}

}  // namespace

void run_item(const Problem& p, const Item& item, Scratch& scratch) {
    find_segments(p, item, scratch);
    switch (p.conv.route) {
        case kPlanes: return run_planes(p, item, scratch);
        case kLowRank: return run_lowrank(p, item, scratch);
        case kExpanded: return run_expanded(p, item, scratch);
        default: return run_rows(p, item, scratch);
    }
}

Item largest_item(const Problem& p) {
    switch (p.conv.route) {
        case kPlanes: return largest_planes_item(p);
        case kLowRank: return largest_lowrank_item(p);
        case kExpanded: return {0, 0, std::min<int64_t>(p.outputs, 64), 0, kExpandedTile};
        default: return {0, 0, std::min(p.outputs, kRowOutputs), 0, kRowTile};
    }
}

}  // namespace rtlgrad
