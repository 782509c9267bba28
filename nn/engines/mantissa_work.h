// What the parts of a product by a mantissa table share: a tile of the work, and the memory of a thread.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels.h"
#include "mantissa.h"
#include "table_conv.h"

namespace rtlgrad {

constexpr int64_t kSteps = 64;  // of an output, prepared at a time

inline int64_t whole_vectors(int64_t positions) { return (positions + 31) / 32 * 32; }

struct Range {
    int64_t first, count;
};

struct Work {
    const MantissaProduct& q;
    const Kernels& kernels;
    Problem windows;  // x as the packing of convolutions sees it
    bool narrow;

    int64_t blocks() const { return (q.inner + kSumBlock - 1) / kSumBlock; }
    int64_t size() const { return narrow ? 2 : 4; }
};

struct Tile {
    int64_t group;
    Range outputs, positions, blocks;
};

struct Memory {
    Scratch pack;
    Buffer<uint8_t> x, rows;
    Buffer<float> acc, total, natural, numbers;
    Buffer<MantissaStep> steps;
    Buffer<uint8_t> care;
    std::vector<int64_t> counts;
    std::vector<bool> plain;
    std::vector<Exponents> exponents;
    std::vector<int32_t> least, greatest;
};

// x[k][stride] for some k of a tile's positions.
const uint8_t* pack(const Work& work, const Tile& tile, Range ks, int64_t stride, Memory& memory);
// Bounds the exponents of each packed row.
void measure(const Work& work, Range positions, Range ks, const uint8_t* x, int64_t stride, Memory& memory);
// Fills steps, care, counts and plain: how each output multiplies the measured rows.
void prepare_steps(const Work& work, const Tile& tile, Range ks, Memory& memory);
// out <- the sums of a tile, [outputs][positions in whole vectors].
void store(const Work& work, const Tile& tile, const float* acc, Memory& memory);

}  // namespace rtlgrad
