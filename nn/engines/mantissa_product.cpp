// Products by a mantissa table: the work is cut into items, which threads take one by one; an item
// packs x a few k at a time, so the memory it needs does not grow with the layer. Every sum is taken
// in the order that mantissa.h fixes, whatever the items and the threads.

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <vector>

#include "mantissa_work.h"
#include "numbers.h"
#include "parallel.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace rtlgrad {
namespace {

// Found by trial on a CPU with 48 KiB of L1 and 1 MiB of L2 cache.
constexpr int64_t kTaps = 48, kPatchRows = 256, kTile = 2048, kMostOutputs = 256;
constexpr int64_t kAccBytes = 1 << 19, kPartialBytes = 1 << 23;
constexpr int64_t kPanel = 8;  // vectors of 32 positions whose sums stay in registers
constexpr int64_t kThreadMacs = 1 << 19;

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
    std::fill_n(acc, tile.outputs.count * whole_vectors(tile.positions.count), 0.0f);
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

// All blocks of a tile, added up in order.
void run_tile(const Work& work, const Tile& tile, Memory& memory) {
    const int64_t size = tile.outputs.count * whole_vectors(tile.positions.count);
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
    const int64_t tile = std::min({kTile, fitting, whole_vectors(part)});
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
        size += tile.outputs.count * whole_vectors(tile.positions.count);
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
