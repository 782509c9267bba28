// The route of byte planes:
//
//   T[a, b] = base[b] + scale * ((slopes[b] + common) * (a ^ flip) + unit * sum_p 256^p * planes[b][p][a])
//
// Planes are looked up in registers, slopes are dot products. The codes of some taps are packed for a panel
// of positions at a time, small enough for them to stay in the L1 cache while all outputs pass.

#include <algorithm>

#include "kernels.h"
#include "table_routes.h"

namespace rtlgrad {
namespace {

// Found by trial on a CPU with 48 KiB of L1 and 1 MiB of L2 cache; see docs/performance.md.
constexpr int64_t kOutputs = 512, kAccBytes = 1 << 19, kMostPositions = 2048;

// Positions are as many as the kernel for so many planes takes at once, taps what then fits the cache.
struct PanelSize {
    int64_t positions, taps;
};

PanelSize panel_size(const Problem& p) {
    if (p.conv.plane_count == 0) return {256, 128};
    return p.conv.plane_count == 1 ? PanelSize{512, 72} : PanelSize{320, 96};
}

// Sums lie in panels, within a panel by output; the last row takes the plain sums of the codes, if wanted.
struct Panels {
    int64_t count, positions, rows;  // positions in whole vectors

    Panels(const Problem& p, const Item& item) {
        const int64_t vectors = round_up(item.positions, 64) / 64, most = panel_size(p).positions / 64;
        count = (vectors + most - 1) / most;
        positions = (vectors + count - 1) / count * 64;
        rows = item.outputs + (p.conv.common != 0 ? 1 : 0);
    }

    Item item(const Item& whole, int64_t i) const {
        const int64_t first = i * positions;
        return {whole.group, whole.first_output, whole.outputs, whole.first_position + first,
                std::min(positions, whole.positions - first)};
    }
    // May lie beyond the item's positions where the last panel is empty.
    bool is_empty(const Item& whole, int64_t i) const { return i * positions >= whole.positions; }
    int64_t sums() const { return rows * positions; }
};

// Some taps of an item, and what they need of its weights.
struct Block {
    int64_t first, count, stride;  // the distance of packed taps
    uint16_t* weights;             // [outputs][count]
    int8_t* slopes;                // [rows][whole fours of count]
};

// Adds to each output's constant, too.
void read_weights(const Problem& p, const Item& item, const Panels& panels, Block& block, uint32_t* constants,
                  Scratch& scratch) {
    const int64_t fours = round_up(block.count, 4);
    block.weights = scratch.weights.reserve(item.outputs * block.count);
    block.slopes = p.conv.slopes == nullptr ? nullptr : scratch.slopes.reserve(panels.rows * fours);
    for (int64_t m = 0; m < item.outputs; ++m) {
        uint16_t* row = block.weights + m * block.count;
        p.weights(item.output(p, m), block.first, block.count, row);
        uint32_t sum = 0;
        for (int64_t k = 0; k < block.count; ++k) sum += static_cast<uint32_t>(p.conv.base[row[k]]);
        constants[m] += sum;
        if (block.slopes == nullptr) continue;
        int8_t* slopes = block.slopes + m * fours;
        for (int64_t k = 0; k < block.count; ++k) slopes[k] = p.conv.slopes[row[k]];
        std::fill(slopes + block.count, slopes + fours, static_cast<int8_t>(0));  // nothing is added there
    }
    if (block.slopes != nullptr && panels.rows > item.outputs) {
        int8_t* ones = block.slopes + item.outputs * fours;
        std::fill_n(ones, block.count, static_cast<int8_t>(1));
        std::fill(ones + block.count, ones + fours, static_cast<int8_t>(0));
    }
}

// Adds slopes * activations; the row beyond the outputs takes the plain sum of the activations.
void add_dots(const Problem& p, const Panels& panels, const Block& block, int64_t vectors, uint32_t* acc,
              Scratch& scratch) {
    const int64_t taps = round_up(block.count, 4);
    uint8_t* quads = scratch.quads.reserve(taps * vectors * 64);
    p.kernels.quads(quads, scratch.codes.reserve(0), block.stride, taps, vectors,
                    static_cast<uint8_t>(p.conv.flip));
    p.kernels.dots({block.slopes, quads, taps, panels.rows, vectors, panels.positions, acc});
}

void add_planes(const Problem& p, const Item& item, const Panels& panels, const Block& block, int64_t vectors,
                uint32_t* acc, Scratch& scratch) {
    int64_t* at = scratch.at.reserve(block.count);
    for (int64_t k = 0; k < block.count; ++k) at[k] = k * block.stride;
    for (int64_t m = 0; m < item.outputs; ++m) {
        p.kernels.planes({p.conv.planes, block.weights + m * block.count, scratch.codes.reserve(0), at,
                          p.conv.plane_count, block.count, vectors, static_cast<uint32_t>(p.conv.unit),
                          acc + m * panels.positions});
    }
}

void finish_panel(const Problem& p, const Item& item, const Panels& panels, const uint32_t* constants,
                  const uint32_t* windows, uint32_t* acc, Scratch& scratch) {
    const uint32_t* sums = p.conv.common == 0 ? nullptr : acc + item.outputs * panels.positions;
    const int64_t vectors = round_up(item.positions, 64) / 64;
    find_segments(p, item, scratch);
    for (int64_t m = 0; m < item.outputs; ++m) {
        uint32_t* row = acc + m * panels.positions;
        p.kernels.finish({row, sums, vectors, static_cast<uint32_t>(p.conv.scale),
                          static_cast<uint32_t>(p.conv.common), constants[m]});
        if (p.pixels > 1) store_row(p, item, m, row, windows, 0, scratch);
    }
    if (p.pixels == 1) store_points(p, item, acc, windows, panels.positions);
}

void run_packed(const Problem& p, const Item& item, Scratch& scratch) {
    const Panels panels(p, item);
    const int64_t most = pack_taps(p, panel_size(p).taps), stride = pack_stride(panels.positions);
    uint32_t* acc = scratch.acc.reserve(panels.count * panels.sums());
    uint32_t* constants = scratch.constants.reserve(item.outputs);
    std::fill_n(acc, panels.count * panels.sums(), 0u);
    std::fill_n(constants, item.outputs, 0u);
    uint32_t* windows = clear_sums(p, panels.count * panels.positions, scratch);
    const auto windows_of = [&](int64_t i) { return windows == nullptr ? nullptr : windows + i * panels.positions; };
    for (int64_t first = 0; first < p.taps; first += most) {
        Block block{first, std::min(most, p.taps - first), stride, nullptr, nullptr};
        read_weights(p, item, panels, block, constants, scratch);
        scratch.codes.reserve((round_up(block.count, 4) + 1) * stride);  // add_dots reads whole fours
        for (int64_t i = 0; i < panels.count && !panels.is_empty(item, i); ++i) {
            const Item part = panels.item(item, i);
            const int64_t vectors = round_up(part.positions, 64) / 64;
            find_segments(p, part, scratch);
            pack_codes(p, part, first, block.count, stride, scratch);
            add_sums(p, block.count, stride, part.positions, windows_of(i), scratch);
            uint32_t* sums = acc + i * panels.sums();
            if (block.slopes != nullptr) add_dots(p, panels, block, vectors, sums, scratch);
            if (p.conv.plane_count > 0) add_planes(p, part, panels, block, vectors, sums, scratch);
        }
    }
    for (int64_t i = 0; i < panels.count && !panels.is_empty(item, i); ++i) {
        finish_panel(p, panels.item(item, i), panels, constants, windows_of(i), acc + i * panels.sums(), scratch);
    }
}

// ---- depthwise ---------------------------------------------------------------------------------

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

}  // namespace

void run_planes(const Problem& p, const Item& item, Scratch& scratch) {
    if (p.conv.slopes == nullptr && reads_staged(p)) {
        find_segments(p, item, scratch);
        return run_staged(p, item, scratch);
    }
    run_packed(p, item, scratch);
}

Item largest_planes_item(const Problem& p) {
    const int64_t outputs = std::min(p.outputs, kOutputs), panel = panel_size(p).positions;
    const int64_t fitting = std::min(kAccBytes / 4 / outputs, kMostPositions) / panel * panel;
    return {0, 0, outputs, 0, std::max(fitting, panel)};
}

}  // namespace rtlgrad
