// Sums of table entries for a convolution:
//
//   out[image, o, y, x] = sum over channels c and taps (i, j) of T[code(x), code(w)]
//
// A matrix product is the case of 1x1 images and a 1x1 kernel. The work is cut into items: one
// group, a chunk of outputs, a tile of positions (positions run over images and pixels alike).
// An item packs the activation codes of a few taps at a time, so the memory it needs does not
// grow with the layer. Two routes add up an item:
//
//   expanded  X[k][a][m] = T[a, w(k, m)] is built for the chunk's weights; then a position adds
//             the contiguous row X[k][code] for each tap k, which is loads and adds alone. It pays
//             where a tile has enough positions to repay the building of X.
//   rows      for one weight, its table column is a small array; it is applied to all positions
//             of the tile, four taps at a time.
//
// All sums are modulo 2^32, hence independent of the order and of the number of threads.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <exception>
#include <thread>
#include <vector>

// One build serves every x86-64 CPU: the loader picks the clone. Elsewhere the compiler's
// default target is used.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(RTLGRAD_NO_CLONES)
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLONES
#endif
#define INLINE static inline __attribute__((always_inline))

extern "C" {
// Mirrored field by field in native.py.
struct TableConv {
    int64_t batch, channels, height, width;
    int64_t outputs, kernel_h, kernel_w;
    int64_t out_h, out_w;
    int64_t stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
    int64_t groups, pad_code;
    int64_t side_a, side_b;  // table is [side_a][side_b]
    int64_t offset;          // every compact entry plus this is the product
    int64_t x_bytes, w_bytes;  // bytes per code: 1 or 2
    int64_t threads;
    const void* x;              // [batch][channels][height][width]
    const void* w;              // [outputs][channels / groups][kernel_h][kernel_w]
    const int32_t* products;    // [side_a][side_b]
    const int32_t* columns;     // [side_b][side_a]
    const uint16_t* compact;    // [side_a][side_b], or null
    int32_t* out;               // [batch][outputs][out_h][out_w]
};
}

namespace {

constexpr int64_t kTile = 2048;           // positions per item of the expanded route
constexpr int64_t kRowTile = 1024;        // positions per item of the row route
constexpr int64_t kRowOutputs = 32;       // outputs per item of the row route
constexpr int64_t kRowTaps = 32;          // taps packed at a time by the row route
constexpr int64_t kExpandedBytes = 1 << 19;  // of X held at a time: half of a usual L2 cache
constexpr int64_t kMaxTaps = 16;          // taps packed at a time by the expanded route
constexpr int64_t kSkew = 32;  // codes between packed rows, lest all rows meet in one cache set
constexpr int64_t kThreadMacs = 1 << 18;  // below this a thread costs more than it saves

typedef uint16_t Half8 __attribute__((vector_size(16)));
typedef uint32_t Word8 __attribute__((vector_size(32)));

// ---- inner loops -------------------------------------------------------------------------------

INLINE Word8 load8(const uint16_t* from) {
    Half8 narrow;
    std::memcpy(&narrow, from, sizeof narrow);
    return __builtin_convertvector(narrow, Word8);
}

INLINE Word8 load8(const int32_t* from) {
    Word8 wide;
    std::memcpy(&wide, from, sizeof wide);
    return wide;
}

// acc[n][8 * V] += sum over taps of x[tap][codes[tap][n]][8 * V].
template <typename Entry, int V>
INLINE void add_expanded(const Entry* x, int64_t side, const uint16_t* codes, int64_t stride,
                         int64_t taps, int64_t positions, uint32_t* acc) {
    const int64_t lanes = 8 * V;
    for (int64_t n = 0; n < positions; ++n) {
        uint32_t* at = acc + n * lanes;
        Word8 sum[V];
        std::memcpy(sum, at, sizeof sum);
        for (int64_t k = 0; k < taps; ++k) {
            const Entry* row = x + (k * side + codes[k * stride + n]) * lanes;
            for (int v = 0; v < V; ++v) sum[v] += load8(row + 8 * v);
        }
        std::memcpy(at, sum, sizeof sum);
    }
}

template <typename Entry>
INLINE void add_expanded_any(const Entry* x, int64_t side, const uint16_t* codes, int64_t stride,
                             int64_t taps, int64_t positions, int64_t lanes, uint32_t* acc) {
    switch (lanes) {
        case 8: return add_expanded<Entry, 1>(x, side, codes, stride, taps, positions, acc);
        case 16: return add_expanded<Entry, 2>(x, side, codes, stride, taps, positions, acc);
        case 32: return add_expanded<Entry, 4>(x, side, codes, stride, taps, positions, acc);
        default: return add_expanded<Entry, 8>(x, side, codes, stride, taps, positions, acc);
    }
}

CLONES void accumulate(const uint16_t* x, int64_t side, const uint16_t* codes, int64_t stride,
                       int64_t taps, int64_t positions, int64_t lanes, uint32_t* acc) {
    add_expanded_any(x, side, codes, stride, taps, positions, lanes, acc);
}

CLONES void accumulate(const int32_t* x, int64_t side, const uint16_t* codes, int64_t stride,
                       int64_t taps, int64_t positions, int64_t lanes, uint32_t* acc) {
    add_expanded_any(x, side, codes, stride, taps, positions, lanes, acc);
}

CLONES void add_row(const int32_t* row, const uint16_t* codes, int64_t positions, uint32_t* acc) {
    for (int64_t n = 0; n < positions; ++n) acc[n] += static_cast<uint32_t>(row[codes[n]]);
}

// acc[n] += rows[0][codes[0][n]] + ... + rows[3][codes[3][n]].
CLONES void add_four_rows(const int32_t* const* rows, const uint16_t* codes, int64_t stride,
                          int64_t positions, uint32_t* acc) {
    const int32_t *r0 = rows[0], *r1 = rows[1], *r2 = rows[2], *r3 = rows[3];
    const uint16_t *c0 = codes, *c1 = c0 + stride, *c2 = c1 + stride, *c3 = c2 + stride;
    for (int64_t n = 0; n < positions; ++n) {
        acc[n] += static_cast<uint32_t>(r0[c0[n]]) + static_cast<uint32_t>(r1[c1[n]]) +
                  static_cast<uint32_t>(r2[c2[n]]) + static_cast<uint32_t>(r3[c3[n]]);
    }
}

// ---- packing -----------------------------------------------------------------------------------

struct Problem {
    const TableConv& conv;
    int64_t taps;        // per output: channels / groups * kernel_h * kernel_w
    int64_t chunk_of;    // outputs per group
    int64_t pixels;      // outputs per image and channel
    int64_t positions;   // batch * pixels
    std::vector<uint16_t> weights;  // [groups][taps][chunk_of], each below side_b
};

struct Item {
    int64_t group, first_output, outputs, first_position, positions;
};

// One tap of one run of output pixels that lie in the same image row.
template <typename Code>
void pack_run(const TableConv& c, const Code* plane, int64_t i, int64_t j, int64_t y, int64_t x,
              int64_t count, uint16_t* to) {
    const uint16_t mask = static_cast<uint16_t>(c.side_a - 1);
    const uint16_t pad = static_cast<uint16_t>(c.pad_code) & mask;
    const int64_t row = y * c.stride_h - c.pad_top + i * c.dilation_h;
    if (row < 0 || row >= c.height) {
        std::fill_n(to, count, pad);
        return;
    }
    const int64_t shift = j * c.dilation_w - c.pad_left;  // image column = x * stride_w + shift
    auto outputs_left_of = [&](int64_t column) {  // output pixels whose image column is smaller
        const int64_t distance = column - shift;
        const int64_t reach = distance <= 0 ? 0 : (distance + c.stride_w - 1) / c.stride_w;
        return std::min(std::max<int64_t>(reach - x, 0), count);
    };
    const int64_t begin = outputs_left_of(0), end = outputs_left_of(c.width);
    std::fill(to, to + begin, pad);
    const Code* from = plane + row * c.width + shift + x * c.stride_w;
    for (int64_t n = begin; n < end; ++n) {
        to[n] = static_cast<uint16_t>(from[n * c.stride_w]) & mask;
    }
    std::fill(to + end, to + count, pad);
}

// codes[k * stride + n] for taps first..first + count and the item's positions n.
template <typename Code>
void pack(const Problem& p, const Item& item, int64_t first, int64_t count, int64_t stride,
          uint16_t* codes) {
    const TableConv& c = p.conv;
    const Code* x = static_cast<const Code*>(c.x);
    const uint16_t mask = static_cast<uint16_t>(c.side_a - 1);
    const int64_t group_channels = c.channels / c.groups;
    const int64_t plane = c.height * c.width;
    if (plane == 1 && p.taps == group_channels && p.pixels == 1) {  // a matrix product
        for (int64_t n = 0; n < item.positions; ++n) {
            const Code* row = x + (item.first_position + n) * c.channels +
                              item.group * group_channels + first;
            for (int64_t k = 0; k < count; ++k) {
                codes[k * stride + n] = static_cast<uint16_t>(row[k]) & mask;
            }
        }
        return;
    }
    for (int64_t k = 0; k < count; ++k) {
        const int64_t tap = first + k, area = c.kernel_h * c.kernel_w;
        const int64_t channel = item.group * group_channels + tap / area;
        const int64_t i = tap % area / c.kernel_w, j = tap % c.kernel_w;
        uint16_t* to = codes + k * stride;
        for (int64_t n = 0; n < item.positions;) {
            const int64_t position = item.first_position + n;
            const int64_t image = position / p.pixels, pixel = position % p.pixels;
            const int64_t row = pixel / c.out_w, column = pixel % c.out_w;
            const int64_t run = std::min(c.out_w - column, item.positions - n);
            pack_run(c, x + (image * c.channels + channel) * plane, i, j, row, column, run, to + n);
            n += run;
        }
    }
}

void pack_codes(const Problem& p, const Item& item, int64_t first, int64_t count, int64_t stride,
                uint16_t* to) {
    if (p.conv.x_bytes == 1) {
        pack<uint8_t>(p, item, first, count, stride, to);
    } else {
        pack<int16_t>(p, item, first, count, stride, to);
    }
}

template <typename Code>
void pack_weights(const TableConv& c, Problem& p) {
    const Code* w = static_cast<const Code*>(c.w);
    const uint16_t mask = static_cast<uint16_t>(c.side_b - 1);
    for (int64_t o = 0; o < c.outputs; ++o) {
        const int64_t group = o / p.chunk_of, m = o % p.chunk_of;
        for (int64_t k = 0; k < p.taps; ++k) {
            p.weights[(group * p.taps + k) * p.chunk_of + m] =
                static_cast<uint16_t>(w[o * p.taps + k]) & mask;
        }
    }
}

// out <- acc, where acc[n * by_position + m * by_output] is the sum of position n and output m.
void store(const Problem& p, const Item& item, const uint32_t* acc, int64_t by_position,
           int64_t by_output, uint32_t add) {
    const int64_t first = item.group * p.chunk_of + item.first_output;
    for (int64_t n = 0; n < item.positions; ++n) {
        const int64_t position = item.first_position + n;
        const int64_t image = position / p.pixels, pixel = position % p.pixels;
        int32_t* to = p.conv.out + (image * p.conv.outputs + first) * p.pixels + pixel;
        for (int64_t m = 0; m < item.outputs; ++m) {
            const uint32_t sum = acc[n * by_position + m * by_output] + add;
            std::memcpy(to + m * p.pixels, &sum, sizeof sum);
        }
    }
}

// ---- the two routes ----------------------------------------------------------------------------

struct Scratch {
    std::vector<uint16_t> codes;
    std::vector<uint32_t> acc;
    std::vector<uint16_t> compact;
    std::vector<int32_t> wide;
};

int64_t lanes_for(int64_t outputs) {
    int64_t lanes = 8;
    while (lanes < outputs && lanes < 64) lanes *= 2;
    return lanes;
}

template <typename Entry>
void run_expanded(const Problem& p, const Item& item, const Entry* table, uint32_t offset,
                  std::vector<Entry>& x, Scratch& scratch) {
    const int64_t lanes = lanes_for(item.outputs), side = p.conv.side_a;
    const int64_t row_bytes = side * lanes * static_cast<int64_t>(sizeof(Entry));
    const int64_t block = std::min(kMaxTaps, std::max<int64_t>(1, kExpandedBytes / row_bytes));
    const int64_t stride = item.positions + kSkew;
    scratch.codes.resize(block * stride);
    scratch.acc.assign(item.positions * lanes, 0);
    x.resize(block * side * lanes);  // lanes beyond item.outputs are summed but never stored
    for (int64_t first = 0; first < p.taps; first += block) {
        const int64_t count = std::min(block, p.taps - first);
        pack_codes(p, item, first, count, stride, scratch.codes.data());
        for (int64_t k = 0; k < count; ++k) {
            const uint16_t* w = p.weights.data() +
                                (item.group * p.taps + first + k) * p.chunk_of + item.first_output;
            for (int64_t a = 0; a < side; ++a) {
                const Entry* from = table + a * p.conv.side_b;
                Entry* to = x.data() + (k * side + a) * lanes;
                for (int64_t m = 0; m < item.outputs; ++m) to[m] = from[w[m]];
            }
        }
        accumulate(x.data(), side, scratch.codes.data(), stride, count, item.positions, lanes,
                   scratch.acc.data());
    }
    store(p, item, scratch.acc.data(), lanes, 1, offset * static_cast<uint32_t>(p.taps));
}

void run_rows(const Problem& p, const Item& item, Scratch& scratch) {
    const int64_t stride = item.positions + kSkew;
    scratch.codes.resize(kRowTaps * stride);
    scratch.acc.assign(item.outputs * item.positions, 0);
    for (int64_t first = 0; first < p.taps; first += kRowTaps) {
        const int64_t count = std::min(kRowTaps, p.taps - first);
        pack_codes(p, item, first, count, stride, scratch.codes.data());
        for (int64_t m = 0; m < item.outputs; ++m) {
            const uint16_t* w = p.weights.data() +
                                (item.group * p.taps + first) * p.chunk_of + item.first_output + m;
            uint32_t* acc = scratch.acc.data() + m * item.positions;
            int64_t k = 0;
            for (; k + 4 <= count; k += 4) {
                const int32_t* rows[4];
                for (int64_t r = 0; r < 4; ++r) {
                    rows[r] = p.conv.columns + w[(k + r) * p.chunk_of] * p.conv.side_a;
                }
                add_four_rows(rows, scratch.codes.data() + k * stride, stride, item.positions, acc);
            }
            for (; k < count; ++k) {
                add_row(p.conv.columns + w[k * p.chunk_of] * p.conv.side_a,
                        scratch.codes.data() + k * stride, item.positions, acc);
            }
        }
    }
    store(p, item, scratch.acc.data(), 1, item.positions, 0);
}

// ---- items and threads -------------------------------------------------------------------------

// Measured: an entry of X takes about as long to build as one product by the row route, and an
// expanded product a third of that. With few outputs most lanes would be idle; beyond 10 bits X
// leaves the cache.
bool worth_expanding(const Problem& p) {
    return p.chunk_of >= 4 && 2 * p.positions >= 3 * p.conv.side_a && p.conv.side_a <= 1024;
}

std::vector<Item> cut(const Problem& p, bool expanded, int64_t threads) {
    const int64_t chunk = std::min(p.chunk_of, expanded ? int64_t{64} : kRowOutputs);
    const int64_t chunks = (p.chunk_of + chunk - 1) / chunk * p.conv.groups;
    const int64_t share = (threads + chunks - 1) / chunks;  // items wanted along the positions
    const int64_t tile = std::max<int64_t>(
        1, std::min(expanded ? kTile : kRowTile, (p.positions + share - 1) / share));
    std::vector<Item> items;
    for (int64_t group = 0; group < p.conv.groups; ++group) {
        for (int64_t n = 0; n < p.positions; n += tile) {
            for (int64_t m = 0; m < p.chunk_of; m += chunk) {
                items.push_back({group, m, std::min(chunk, p.chunk_of - m), n,
                                 std::min(tile, p.positions - n)});
            }
        }
    }
    return items;
}

void run_item(const Problem& p, const Item& item, bool expanded, Scratch& scratch) {
    if (!expanded) {
        run_rows(p, item, scratch);
    } else if (p.conv.compact != nullptr) {
        run_expanded(p, item, p.conv.compact, static_cast<uint32_t>(p.conv.offset),
                     scratch.compact, scratch);
    } else {
        run_expanded(p, item, p.conv.products, 0, scratch.wide, scratch);
    }
}

void run(const Problem& p) {
    const bool expanded = worth_expanding(p);
    const int64_t macs = p.positions * p.conv.outputs * p.taps;
    const int64_t useful = std::min(p.conv.threads, 1 + macs / kThreadMacs);
    const std::vector<Item> items = cut(p, expanded, useful);
    std::atomic<size_t> next{0};
    std::atomic<bool> failed{false};
    auto work = [&] {
        try {
            Scratch scratch;
            for (size_t i = next++; i < items.size() && !failed; i = next++) {
                run_item(p, items[i], expanded, scratch);
            }
        } catch (...) {  // out of memory; an exception must not leave a thread
            failed = true;
        }
    };
    std::vector<std::thread> others;
    try {
        const int64_t count = std::min(useful, static_cast<int64_t>(items.size()));
        for (int64_t t = 1; t < count; ++t) others.emplace_back(work);
    } catch (...) {  // no further thread to be had: those that run do all the work
    }
    work();
    for (std::thread& thread : others) thread.join();
    if (failed) throw std::bad_alloc();
}

}  // namespace

// Returns 0, or 1 if memory ran out.
extern "C" __attribute__((visibility("default"))) int32_t rtlgrad_table_conv(
    const TableConv* conv) {
    try {
        const int64_t pixels = conv->out_h * conv->out_w;
        const int64_t taps = conv->channels / conv->groups * conv->kernel_h * conv->kernel_w;
        Problem problem{*conv, taps, conv->outputs / conv->groups, pixels, conv->batch * pixels, {}};
        if (problem.positions == 0 || conv->outputs == 0) return 0;
        problem.weights.resize(conv->outputs * taps);
        if (conv->w_bytes == 1) {
            pack_weights<uint8_t>(*conv, problem);
        } else {
            pack_weights<int16_t>(*conv, problem);
        }
        run(problem);
        return 0;
    } catch (...) {
        return 1;
    }
}
