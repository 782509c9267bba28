// Products by a mantissa table: the work is cut into items, which threads take one by one; an item
// packs x a few k at a time, so the memory it needs does not grow with the layer. Every sum is taken
// in the order that mantissa.h fixes, whatever the items and the threads.

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <vector>

#include "kernels.h"
#include "mantissa.h"
#include "numbers.h"
#include "parallel.h"
#include "table_conv.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace rtlgrad {
namespace {

// Found by trial on a CPU with 48 KiB of L1 and 1 MiB of L2 cache.
constexpr int64_t kSteps = 64, kTaps = 48, kPatchRows = 256, kTile = 2048, kMostOutputs = 256;
constexpr int64_t kAccBytes = 1 << 19, kPartialBytes = 1 << 23;
constexpr int64_t kPanel = 8;  // vectors of 32 positions whose sums stay in registers
constexpr int64_t kThreadMacs = 1 << 19;

int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

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

// ---- packing -----------------------------------------------------------------------------------

void cut_row(const Work& work, uint16_t* to, const float* from, int64_t count) {
    work.kernels.cut16(to, from, count);
}

void cut_row(const Work& work, uint32_t* to, const float* from, int64_t count) {
    work.kernels.cut32(to, from, count);
}

template <typename To>
void pack_matrix(const Work& work, Range positions, Range ks, To* to, int64_t stride, Memory& memory) {
    const MantissaProduct& q = work.q;
    const float* from = q.x + positions.first * q.x_n + ks.first * q.x_k;
    if (q.x_k == 1 && sizeof(To) == 2) {
        uint16_t* rows = reinterpret_cast<uint16_t*>(memory.rows.reserve(positions.count * ks.count * 2));
        for (int64_t n = 0; n < positions.count; ++n) {
            work.kernels.cut16(rows + n * ks.count, from + n * q.x_n, ks.count);
        }
        work.kernels.transpose16(reinterpret_cast<uint16_t*>(to), stride, rows, ks.count, positions.count,
                                 ks.count);
        return;
    }
    for (int64_t k = 0; k < ks.count; ++k) {
        const float* row = from + k * q.x_k;
        if (q.x_n == 1) {
            cut_row(work, to + k * stride, row, positions.count);
        } else {
            for (int64_t n = 0; n < positions.count; ++n) {
                cut_row(work, to + k * stride + n, row + n * q.x_n, 1);
            }
        }
    }
}

// Patches are windows transposed: n and k change places.
void pack_patches(const Work& work, int64_t group, Range positions, Range ks, void* to, int64_t stride,
                  Memory& memory) {
    const Item item{group, 0, 0, ks.first, ks.count};
    const int64_t pitch = pack_stride(ks.count);
    find_segments(work.windows, item, memory.pack);
    pack_codes(work.windows, item, positions.first, positions.count, pitch, memory.pack);
    const void* packed = memory.pack.codes.reserve(0);
    if (work.narrow) {
        return work.kernels.transpose16(static_cast<uint16_t*>(to), stride,
                                        static_cast<const uint16_t*>(packed), pitch, positions.count, ks.count);
    }
    const uint32_t* from = static_cast<const uint32_t*>(packed);
    uint32_t* x = static_cast<uint32_t*>(to);
    for (int64_t n = 0; n < positions.count; ++n) {
        for (int64_t k = 0; k < ks.count; ++k) x[k * stride + n] = from[n * pitch + k];
    }
}

// x[k][stride] for some k of a tile's positions.
const uint8_t* pack(const Work& work, const Tile& tile, Range ks, int64_t stride, Memory& memory) {
    if (work.q.kind == kWindows) {
        const Item item{tile.group, 0, 0, tile.positions.first, tile.positions.count};
        pack_codes(work.windows, item, ks.first, ks.count, stride, memory.pack);
        return memory.pack.codes.reserve(0);
    }
    uint8_t* x = memory.x.reserve((ks.count + 1) * stride * work.size());
    if (work.q.kind == kPatches) {
        pack_patches(work, tile.group, tile.positions, ks, x, stride, memory);
    } else if (work.narrow) {
        pack_matrix<uint16_t>(work, tile.positions, ks, reinterpret_cast<uint16_t*>(x), stride,
                                          memory);
    } else {
        pack_matrix<uint32_t>(work, tile.positions, ks, reinterpret_cast<uint32_t*>(x), stride,
                                            memory);
    }
    return x;
}

void measure(const Work& work, Range positions, Range ks, const uint8_t* x, int64_t stride, Memory& memory) {
    memory.exponents.resize(static_cast<size_t>(ks.count));
    for (int64_t k = 0; k < ks.count; ++k) {
        const uint8_t* row = x + k * stride * work.size();
        memory.exponents[static_cast<size_t>(k)] =
            work.narrow ? work.kernels.measure16(reinterpret_cast<const uint16_t*>(row), positions.count)
                        : work.kernels.measure32(reinterpret_cast<const uint32_t*>(row), positions.count);
    }
}

// ---- steps -------------------------------------------------------------------------------------

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

// ---- sums --------------------------------------------------------------------------------------

// Steps of one kind at a time, in their order.
void run_steps(const Work& work, MantissaJob job, const uint8_t* care, bool plain) {
    const auto& kernels = work.kernels.mantissa[work.narrow ? 0 : 1];
    if (plain) return kernels[kPlain](job);
    const MantissaStep* steps = job.steps;
    const int64_t all = job.count;
    for (int64_t first = 0, end = 0; first < all; first = end) {
        while (end < all && care[end] == care[first]) ++end;
        job.steps = steps + first;
        job.count = end - first;
        kernels[care[first]](job);
    }
}

void multiply(const Work& work, const Tile& tile, const uint8_t* x, int64_t stride, bool zeros, float* acc,
              Memory& memory) {
    const int64_t vectors = (tile.positions.count + 31) / 32, panels = (vectors + kPanel - 1) / kPanel;
    const int64_t each = (vectors + panels - 1) / panels;
    const MantissaStep* steps = memory.steps.reserve(0);
    const uint8_t* care = memory.care.reserve(0);
    for (int64_t v = 0; v < vectors; v += each) {
        for (int64_t m = 0; m < tile.outputs.count; ++m) {
            const MantissaJob job{work.q.entries, work.q.deltas, work.q.base, work.q.wide, work.q.bits,
                                  static_cast<uint16_t>(work.q.keep), zeros, steps + m * kSteps,
                                  memory.counts[static_cast<size_t>(m)], x + 32 * v * work.size(), stride,
                                  std::min(each, vectors - v), acc + (m * vectors + v) * 32};
            run_steps(work, job, care + m * kSteps, memory.plain[static_cast<size_t>(m)]);
        }
    }
}

// acc <- the sums of one block, [outputs][positions in whole vectors].
void sum_block(const Work& work, const Tile& tile, int64_t block, float* acc, Memory& memory) {
    const int64_t begin = block * kSumBlock, end = std::min(work.q.inner, begin + kSumBlock);
    const int64_t unit = work.q.kind == kPatches ? kPatchRows
                         : work.q.kind == kWindows ? pack_taps(work.windows, kTaps) : kSteps;
    const int64_t stride = pack_stride(tile.positions.count);
    std::fill_n(acc, tile.outputs.count * round_up(tile.positions.count, 32), 0.0f);
    for (int64_t packed = begin; packed < end; packed += unit) {
        const Range all{packed, std::min(unit, end - packed)};
        const uint8_t* x = pack(work, tile, all, stride, memory);
        const int64_t parts = (all.count + kSteps - 1) / kSteps, part = (all.count + parts - 1) / parts;
        for (int64_t k = 0; k < all.count; k += part) {
            const Range ks{packed + k, std::min(part, all.count - k)};
            const uint8_t* rows = x + k * stride * work.size();
            measure(work, tile.positions, ks, rows, stride, memory);
            bool zeros = false;
            for (const Exponents& row : memory.exponents) zeros |= row.zeros;
            prepare_steps(work, tile, ks, memory);
            multiply(work, tile, rows, stride, zeros, acc, memory);
        }
    }
}

// ---- results -----------------------------------------------------------------------------------

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
    const int64_t width = round_up(tile.positions.count, 32);
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

void store(const Work& work, const Tile& tile, const float* acc, Memory& memory) {
    const MantissaProduct& q = work.q;
    float* to = q.out + tile.group * q.out_group + tile.outputs.first * q.out_m;
    if (q.kind != kWindows) to += tile.positions.first * q.out_n;
    if (q.kind != kWindows && q.out_m == 1) return store_transposed(work, tile, acc, to, memory);
    const int64_t width = round_up(tile.positions.count, 32);
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

// All blocks of a tile, added up in order.
void run_tile(const Work& work, const Tile& tile, Memory& memory) {
    const int64_t size = tile.outputs.count * round_up(tile.positions.count, 32);
    float* acc = memory.acc.reserve(size);
    if (work.q.kind == kWindows) {
        find_segments(work.windows, {tile.group, 0, 0, tile.positions.first, tile.positions.count},
                      memory.pack);
    }
    if (work.blocks() <= 1) {
        sum_block(work, tile, 0, acc, memory);
        return store(work, tile, acc, memory);
    }
    float* total = memory.total.reserve(size);
    std::fill_n(total, size, 0.0f);
    for (int64_t block = 0; block < work.blocks(); ++block) {
        sum_block(work, tile, block, acc, memory);
        for (int64_t i = 0; i < size; ++i) total[i] += acc[i];
    }
    store(work, tile, total, memory);
}

// ---- sharing out -------------------------------------------------------------------------------

std::vector<Tile> cut(const Work& work, int64_t threads) {
    const MantissaProduct& q = work.q;
    const int64_t outputs = std::min(q.outputs, kMostOutputs);
    const int64_t chunks = (q.outputs + outputs - 1) / outputs * q.groups;
    const int64_t fitting = std::max<int64_t>(kAccBytes / 4 / outputs / 256 * 256, 256);
    const int64_t share = (threads + chunks - 1) / chunks, part = (q.positions + share - 1) / share;
    const int64_t tile = std::min({kTile, fitting, round_up(part, 32)});
    std::vector<Tile> tiles;
    for (int64_t group = 0; group < q.groups; ++group) {
        for (int64_t n = 0; n < q.positions; n += tile) {
            for (int64_t m = 0; m < q.outputs; m += outputs) {
                tiles.push_back({group, {m, std::min(outputs, q.outputs - m)},
                                 {n, std::min(tile, q.positions - n)}, {0, work.blocks()}});
            }
        }
    }
    return tiles;
}

// Calls act(i, memory) for every i below count, on several threads.
template <typename Act>
void share_out(int64_t count, int64_t threads, const Act& act) {
    std::atomic<int64_t> next{0};
    std::atomic<bool> failed{false};
    auto work = [&] {
        // Rounding to nearest and gradual underflow, whatever the thread was told otherwise.
        std::fenv_t before;
        std::fegetenv(&before);
        std::fesetenv(FE_DFL_ENV);
        try {
            Memory memory;
            for (int64_t i = next++; i < count && !failed; i = next++) act(i, memory);
        } catch (...) {  // out of memory; an exception must not leave a thread
            failed = true;
        }
        std::fesetenv(&before);
    };
    run_on_threads(std::min(threads, count), work);
    if (failed) throw std::bad_alloc();
}

// With few tiles and many blocks of k (gradients of weights), threads share the blocks; their sums
// are kept apart and then added in order, as many at a time as memory allows.
void run_split(const Work& work, const std::vector<Tile>& tiles, int64_t threads) {
    const int64_t count = static_cast<int64_t>(tiles.size());
    std::vector<int64_t> begins;
    int64_t size = 0;
    for (const Tile& tile : tiles) {
        begins.push_back(size);
        size += tile.outputs.count * round_up(tile.positions.count, 32);
    }
    const int64_t wave = std::max(threads, kPartialBytes / 4 / size);
    Buffer<float> partial_memory, total_memory;
    float* partial = partial_memory.reserve(size * std::min(wave, work.blocks()));
    float* total = total_memory.reserve(size);
    std::fill_n(total, size, 0.0f);
    for (int64_t first = 0; first < work.blocks(); first += wave) {
        const int64_t some = std::min(wave, work.blocks() - first);
        share_out(some * count, threads, [&](int64_t i, Memory& memory) {
            const int64_t t = i % count, block = i / count;
            sum_block(work, tiles[static_cast<size_t>(t)], first + block,
                      partial + block * size + begins[static_cast<size_t>(t)], memory);
        });
        share_out(1, 1, [&](int64_t, Memory&) {
            for (int64_t block = 0; block < some; ++block) {
                for (int64_t i = 0; i < size; ++i) total[i] += partial[block * size + i];
            }
        });
    }
    Memory memory;
    for (int64_t t = 0; t < count; ++t) {
        store(work, tiles[static_cast<size_t>(t)], total + begins[static_cast<size_t>(t)], memory);
    }
}

void run(const Work& work) {
    const MantissaProduct& q = work.q;
    const int64_t macs = q.outputs * q.inner * q.positions * q.groups;
    const int64_t threads = std::min(q.threads, 1 + macs / kThreadMacs);
    const std::vector<Tile> tiles = cut(work, 1);
    const bool few = static_cast<int64_t>(tiles.size()) < 2 * threads;
    if (threads > 1 && few && work.blocks() > 1 && q.kind != kWindows) {
        return run_split(work, tiles, threads);
    }
    const std::vector<Tile> shared = threads > 1 ? cut(work, threads) : tiles;
    share_out(static_cast<int64_t>(shared.size()), threads, [&](int64_t i, Memory& memory) {
        run_tile(work, shared[static_cast<size_t>(i)], memory);
    });
}

TableConv windows_of(const MantissaProduct& q, bool narrow) {
    TableConv conv{};
    conv.batch = q.batch, conv.channels = q.channels, conv.height = q.height, conv.width = q.width;
    conv.kernel_h = q.kernel_h, conv.kernel_w = q.kernel_w;
    conv.out_h = q.out_h, conv.out_w = q.out_w;
    conv.stride_h = q.stride_h, conv.stride_w = q.stride_w;
    conv.pad_top = q.pad_top, conv.pad_left = q.pad_left;
    conv.dilation_h = q.dilation_h, conv.dilation_w = q.dilation_w;
    conv.groups = q.groups;
    conv.side_a = narrow ? kNarrowNumbers : kWideNumbers;
    conv.x_bytes = 4;
    conv.x = q.x;
    return conv;
}

}  // namespace
}  // namespace rtlgrad

// Returns 0; 1 if memory ran out; 2 if the instruction set asked for is not there.
EXPORT int32_t rtlgrad_mantissa_product(const MantissaProduct* product) {
    using namespace rtlgrad;
    try {
        const Kernels* kernels = kernels_of(product->isa);
        if (kernels == nullptr) return 2;
        if (product->outputs == 0 || product->positions == 0) return 0;
        const bool narrow = product->bits <= 7;
        const TableConv conv = windows_of(*product, narrow);
        const int64_t taps = product->kind == kPatches ? product->positions : product->inner;
        const int64_t pixels = product->out_h * product->out_w;
        run({*product, *kernels, {conv, *kernels, taps, product->outputs, pixels, conv.batch * pixels}, narrow});
        return 0;
    } catch (...) {
        return 1;
    }
}
