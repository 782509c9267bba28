// The route for tables of low rank: a few exact products of digit matrices in place of look-ups.
//
// An item packs the codes of some taps for all its positions. Then, for 64 positions at a time, the codes
// become left digits, which stay in the L1 cache while the digits of all outputs' weights pass.

#include "lowrank.h"

#include <algorithm>

#include "kernels.h"
#include "table_routes.h"

namespace rtlgrad {
namespace {

// Found by trial on a CPU with 48 KiB of L1 and 1 MiB of L2 cache; see docs/performance.md.
constexpr int64_t kLeftBytes = 24 << 10, kLeastTaps = 32, kMostTaps = 256;
constexpr int64_t kOutputs = 512, kPositions = 2048, kAccBytes = 1 << 19;
constexpr int64_t kSlack = 16;  // dwords that a kernel may write too many
constexpr int64_t kStoredRows = 16;  // that lie side by side in a product's result

// Pairs of digits of one weight: one product along the taps of all of them.
struct Chain {
    int64_t first, pairs;
};

Chain chain_at(const DigitTable& t, int64_t first) {
    int64_t end = first + 1;
    while (end < t.pairs && t.weights[end] == t.weights[first]) ++end;
    return {first, end - first};
}

// Outputs are cut into blocks of nearly equal size, none larger than kernels take.
struct Rows {
    int64_t first, count;
};

Rows rows_of(int64_t outputs, int64_t block, int64_t blocks) {
    const int64_t first = outputs * block / blocks;
    return {first, outputs * (block + 1) / blocks - first};
}

// Some taps of an item.
struct Taps {
    int64_t first, count, steps;
};

struct Run {
    const Problem& p;
    const Item& item;
    const DigitTable& table;
    const DigitKernels& kernels;
    Scratch& scratch;
    int64_t vectors;      // of 64 positions
    int64_t blocks;       // of outputs
    uint32_t* acc;        // [vectors][outputs][64]
    uint32_t* plain;      // [vectors][64], what all outputs have in common
    uint32_t* constants;  // [outputs]
};

bool any_common(const DigitTable& t) {
    return std::any_of(t.common, t.common + t.lefts, [](uint32_t one) { return one != 0; });
}

// to[pair of the chain][row][step] <- the digits of a block's weights; from their constants is taken what the
// bias of left digits adds in vain.
void pack_right(const Run& r, const Taps& taps, const Chain& chain, const Rows& rows, uint32_t* to) {
    const Problem& p = r.p;
    uint16_t* wide = r.scratch.weights.reserve(taps.count);
    for (int64_t pair = chain.first; pair < chain.first + chain.pairs; ++pair) {
        const int64_t* indices = r.table.indices + 2 * pair;
        const void* table = static_cast<const uint8_t*>(r.table.right) +
                            indices[1] * r.table.right_side * (4 / r.kernels.taps);
        for (int64_t i = 0; i < rows.count; ++i, to += taps.steps) {
            const int64_t output = r.item.output(p, rows.first + i);
            const uint8_t* narrow = nullptr;
            if (p.conv.w_bytes == 1) {
                narrow = static_cast<const uint8_t*>(p.conv.w) + output * p.taps + taps.first;
            } else {
                p.weights(output, taps.first, taps.count, wide);
            }
            const uint32_t sum = r.kernels.right({table, narrow, wide, r.table.right_side, taps.count, to});
            r.constants[rows.first + i] -= r.table.bias[indices[0]] * r.table.weights[pair] * sum;
        }
    }
}

void add_base(const Run& r, const Taps& taps) {
    if (r.table.base == nullptr) return;
    uint16_t* weights = r.scratch.weights.reserve(taps.count);
    for (int64_t m = 0; m < r.item.outputs; ++m) {
        r.p.weights(r.item.output(r.p, m), taps.first, taps.count, weights);
        uint32_t sum = 0;
        for (int64_t k = 0; k < taps.count; ++k) sum += r.table.base[weights[k]];
        r.constants[m] += sum;
    }
}

// The weights' digits of all blocks and chains, in the order in which `add_products` reads them.
const uint32_t* pack_all_right(const Run& r, const Taps& taps) {
    uint32_t* to = r.scratch.right.reserve(r.table.pairs * taps.steps * r.item.outputs + kSlack);
    const uint32_t* begin = to;
    for (int64_t block = 0; block < r.blocks; ++block) {
        const Rows rows = rows_of(r.item.outputs, block, r.blocks);
        for (int64_t g = 0; g < r.table.pairs;) {
            const Chain chain = chain_at(r.table, g);
            pack_right(r, taps, chain, rows, to);
            to += chain.pairs * taps.steps * rows.count;
            g += chain.pairs;
        }
    }
    return begin;
}

// A dword of ones for each step but for digits beyond the taps.
const uint32_t* pack_ones(const Run& r, const Taps& taps) {
    uint32_t* to = r.scratch.ones.reserve(taps.steps);
    const uint32_t ones = r.kernels.taps == 4 ? 0x01010101u : 0x00010001u;
    std::fill_n(to, taps.steps, ones);
    const int64_t beyond = taps.steps * r.kernels.taps - taps.count;
    to[taps.steps - 1] = ones >> (beyond * 32 / r.kernels.taps);
    return to;
}

void add_common(const Run& r, const Taps& taps, int64_t vector, const uint32_t* ones) {
    for (int64_t left = 0; left < r.table.lefts; ++left) {
        if (r.table.common[left] == 0) continue;
        const uint32_t* digits = r.scratch.left.reserve(0) + left * taps.steps * 64;
        r.kernels.products({&digits, ones, 1, taps.steps, 1, r.table.common[left], r.plain + 64 * vector});
    }
}

void add_products(const Run& r, const Taps& taps, int64_t vector, const uint32_t* right) {
    const uint32_t** left = r.scratch.pointers.reserve(r.table.pairs);
    for (int64_t g = 0; g < r.table.pairs; ++g) {
        left[g] = r.scratch.left.reserve(0) + r.table.indices[2 * g] * taps.steps * 64;
    }
    for (int64_t block = 0; block < r.blocks; ++block) {
        const Rows rows = rows_of(r.item.outputs, block, r.blocks);
        uint32_t* acc = r.acc + (vector * r.item.outputs + rows.first) * 64;
        for (int64_t g = 0; g < r.table.pairs;) {
            const Chain chain = chain_at(r.table, g);
            r.kernels.products({left + g, right, chain.pairs, taps.steps, rows.count, r.table.weights[g], acc});
            right += chain.pairs * taps.steps * rows.count;
            g += chain.pairs;
        }
    }
}

void add_taps(const Run& r, const Taps& taps, int64_t stride) {
    const uint32_t* right = pack_all_right(r, taps);
    add_base(r, taps);
    const uint32_t* ones = r.plain == nullptr ? nullptr : pack_ones(r, taps);
    uint32_t* left = r.scratch.left.reserve(r.table.lefts * taps.steps * 64);
    const uint8_t* codes = r.scratch.codes.reserve(0);
    const int64_t bytes = r.p.narrow() ? 1 : 2;
    for (int64_t v = 0; v < r.vectors; ++v) {
        r.kernels.left({codes + 64 * v * bytes, stride, r.p.narrow(), taps.steps, r.table.left,
                        r.table.lefts, r.table.left_side, left});
        if (ones != nullptr) add_common(r, taps, v, ones);
        add_products(r, taps, v, right);
    }
}

// What the bias of left digits adds in vain where they are summed up plainly.
uint32_t biased_common(const Run& r) {
    uint32_t sum = 0;
    for (int64_t left = 0; left < r.table.lefts; ++left) sum += r.table.common[left] * r.table.bias[left];
    return sum * static_cast<uint32_t>(r.p.taps);
}

// to[position] <- the sums of output m.
void settle(const Run& r, int64_t m, uint32_t* to) {
    const uint32_t constant = r.constants[m] - (r.plain == nullptr ? 0 : biased_common(r));
    for (int64_t v = 0; v < r.vectors; ++v) {
        const uint32_t* plain = r.plain == nullptr ? nullptr : r.plain + 64 * v;
        r.kernels.settle({r.acc + (v * r.item.outputs + m) * 64, plain, constant, to + 64 * v});
    }
}

void store_rows(const Run& r, const uint32_t* windows) {
    uint32_t* settled = r.scratch.settled.reserve(r.vectors * 64);
    for (int64_t m = 0; m < r.item.outputs; ++m) {
        settle(r, m, settled);
        store_row(r.p, r.item, m, settled, windows, 0, r.scratch);
    }
}

// Of images of one pixel.
void store_all_points(const Run& r, const uint32_t* windows) {
    const int64_t pitch = r.vectors * 64 + 16;  // lest rows meet in one cache set
    uint32_t* settled = r.scratch.settled.reserve(pitch * kStoredRows);
    for (int64_t m = 0; m < r.item.outputs; m += kStoredRows) {
        Item some = r.item;
        some.first_output += m;
        some.outputs = std::min(kStoredRows, r.item.outputs - m);
        for (int64_t i = 0; i < some.outputs; ++i) settle(r, m + i, settled + i * pitch);
        store_points(r.p, some, settled, windows, pitch);
    }
}

int64_t taps_at_once(const Problem& p) {
    const DigitTable& t = *p.conv.digits;
    const int64_t each = std::max<int64_t>(1, t.lefts) * 256 / p.kernels.digits->taps;
    return pack_taps(p, std::min(std::max(kLeftBytes / each, kLeastTaps), kMostTaps));
}

}  // namespace

void run_lowrank(const Problem& p, const Item& item, Scratch& scratch) {
    const DigitTable& table = *p.conv.digits;
    const DigitKernels& kernels = *p.kernels.digits;
    const int64_t vectors = (item.positions + 63) / 64, size = vectors * item.outputs * 64;
    uint32_t* acc = scratch.acc.reserve(size + vectors * 64);
    uint32_t* constants = scratch.constants.reserve(item.outputs);
    std::fill_n(acc, size + vectors * 64, 0u);
    std::fill_n(constants, item.outputs, 0u);
    uint32_t* plain = any_common(table) ? acc + size : nullptr;
    const int64_t blocks = (item.outputs + kernels.rows - 1) / kernels.rows;
    const Run run{p, item, table, kernels, scratch, vectors, blocks, acc, plain, constants};
    uint32_t* windows = clear_sums(p, item.positions, scratch);
    const int64_t stride = pack_stride(item.positions), most = taps_at_once(p);
    for (int64_t first = 0; first < p.taps; first += most) {
        const int64_t count = std::min(most, p.taps - first);
        const int64_t steps = (count + kernels.taps - 1) / kernels.taps;
        // Digits are made of whole steps, of codes that may be anything beyond the taps.
        scratch.codes.reserve((steps * kernels.taps + 1) * stride * (p.narrow() ? 1 : 2));
        pack_codes(p, item, first, count, stride, scratch);
        add_sums(p, count, stride, item.positions, windows, scratch);
        add_taps(run, {first, count, steps}, stride);
    }
    p.pixels > 1 ? store_rows(run, windows) : store_all_points(run, windows);
}

Item largest_lowrank_item(const Problem& p) {
    const int64_t outputs = std::min(p.outputs, kOutputs);
    const int64_t fitting = round_up(kAccBytes / 4 / (outputs + 1), 64);
    return {0, 0, outputs, 0, std::min(fitting, kPositions)};
}

}  // namespace rtlgrad
