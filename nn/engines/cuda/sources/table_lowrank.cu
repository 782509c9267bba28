// Sums of table entries as products of bytes, by tensor cores: for tables of low rank.
//
// Modulo 2^32, the table is T[a, w] = base[w] + sum over passes p of f[p] * sum over d of U[p][a][d] * V[p][w][d],
// all of U and V bytes. A pass has 4, 8 or 16 digits d (1 << p.digit_bits); those that a table does without
// are 0. The sum over k of T is then, per pass, a matrix product of bytes over (k, d). One set of sums
// serves all passes, by Horner's rule: it is multiplied by p.factors[i] before pass i and by the last factor
// after all.
//
// Weights are prepared by `lowrank_weights` as rows of bytes; activations stay codes. A lane reads the codes of
// its columns and looks up the four digits that it gives to `mma_m16n8k32` in U, which lies in shared
// memory: that is the whole remapping, and nothing is written back. Every product is looked up: an
// activation outside the image has the code *p.gather.outside (and none is outside in a matrix product).
// Past the end of k weights have digits of 0, past the end of n nothing is kept.
//
// Order of the 8 words of a step of 32 bytes: word c has digits 4 (c mod 4 mod W) .. of k = 2 (c mod 4 / W) + c / 4,
// with W words a pass's digits. Words q and q + 4, which one lane holds, are then of neighbours in k.
//
// 4 warps side by side along n make 64 columns each, of RTLGRAD_ROWS rows.
#include "results.cuh"

struct LowRank {
    u64 digits;     // i8 [passes][activation_rows][digits] of U
    u64 weights;    // i8 [passes][groups][rows][row_bytes]
    u64 base_sums;  // i32 [groups][rows]: sums of base over k
    u64 factors;    // i32 [passes + 1]
    i64 row_bytes;  // a multiple of kStageBytes
    Gemm gather;
    i32 passes, digit_bits, activation_rows, unused;
};

struct LowRankWeights {
    u64 digits;     // i8 [passes][weight codes][digits] of V
    u64 base;       // i32 [weight codes]
    u64 weights;    // as above, to be written
    u64 base_sums;  // as above, 0 before
    i64 row_bytes;
    Gemm gather;    // where codes of weights are
    i32 passes, digit_bits;
};

constexpr int kThreads = 128, kWarps = kThreads / 32, kPrepareThreads = 256;
constexpr int kRows = RTLGRAD_ROWS, kTilesM = kRows / 16;
constexpr int kWarpColumns = 64, kTilesN = kWarpColumns / 8, kColumns = kWarps * kWarpColumns;
constexpr int kStageBytes = 128, kSteps = kStageBytes / 32;
// Rows of words: 4 modulo 32, so that the 8 rows x 4 words of a fragment are in 32 banks.
constexpr int kWeightWords = kStageBytes / 4 + 4;

// Of (rows x 32 bytes) times (32 bytes x columns): what a lane holds of a 16 x 8 product.
using Sums = i32[kTilesM][kTilesN][4];

namespace {

class LowRankSums {
  public:
    __device__ explicit LowRankSums(const LowRank& problem)
        : p(problem),
          g(problem.gather),
          stage(kStageBytes >> p.digit_bits),
          stride(stage + 2),  // an odd number of words: 8 columns are in 8 banks
          digits(0, p.activation_rows << (p.digit_bits - 2)),
          positions(after_digits(), kColumns),
          taps(after_digits() + kColumns * 16, 2 * stage),
          weights(after_digits() + kColumns * 16 + 2 * stage * 16, kRows * kWeightWords),
          codes(after_digits() + kColumns * 16 + 2 * stage * 16 + kRows * kWeightWords * 4, kColumns * stride),
          lane(threadIdx.x & 31),
          warp(threadIdx.x >> 5) {}

    __device__ void run() {
        place(blockIdx.x);
        Sums sums;
        clear(sums);
        for (int n = threadIdx.x; n < kColumns; n += kThreads) {
            Position at = position_of(g, n_start + n);
            if (at.y != kNever) at.base += group * g.x_group + static_cast<i64>(at.y) * g.width + at.x;
            positions.store(n, at);
        }
        const int k_start = split * g.split_depth;
        const int k_end = min(g.depth, k_start + g.split_depth);
        for (int pass = 0; pass < p.passes; ++pass) {
            scale(sums, __ldg(pointer<const i32>(p.factors) + pass));
            __syncthreads();
            copy_digits(pass);
            next_taps(k_start, k_end, 0);
            int buffer = 0;
            for (int k = k_start; k < k_end; k += stage, buffer ^= 1) {
                __syncthreads();
                copy_weights(pass, k);
                if (g.x_kind == 0) gather<u8>(buffer);
                else gather<i16>(buffer);
                next_taps(k + stage, k_end, buffer ^ 1);
                __syncthreads();
#pragma unroll
                for (int step = 0; step < kSteps; ++step) multiply(step, sums);
            }
        }
        scale(sums, __ldg(pointer<const i32>(p.factors) + p.passes));
        write(sums);
    }

  private:
    __device__ int after_digits() const { return ((p.activation_rows << p.digit_bits) + 15) / 16 * 16; }

    __device__ void place(int tile) {
        const int tiles_n = ceil_div(g.columns, kColumns), tiles_m = ceil_div(g.rows, kRows);
        n_start = tile % tiles_n * kColumns;
        tile /= tiles_n;
        m_start = tile % tiles_m * kRows;
        tile /= tiles_m;
        group = tile % g.groups;
        split = tile / g.groups;
    }

    __device__ static void clear(Sums& sums) {
#pragma unroll
        for (int i = 0; i < kTilesM; ++i) {
#pragma unroll
            for (int j = 0; j < kTilesN; ++j) sums[i][j][0] = sums[i][j][1] = sums[i][j][2] = sums[i][j][3] = 0;
        }
    }

    __device__ static void scale(Sums& sums, i32 factor) {
#pragma unroll
        for (int i = 0; i < kTilesM; ++i) {
#pragma unroll
            for (int j = 0; j < kTilesN; ++j) {
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    sums[i][j][e] = static_cast<i32>(static_cast<u32>(sums[i][j][e]) * static_cast<u32>(factor));
                }
            }
        }
    }

    __device__ void copy_digits(int pass) const {
        const int words = p.activation_rows << (p.digit_bits - 2);
        const u32* source = pointer<const u32>(p.digits) + static_cast<i64>(pass) * words;
        for (int i = threadIdx.x; i < words; i += kThreads) digits.store(i, __ldg(source + i));
    }

    // A tap's offset is the whole way from a position's start; past the end it is outside.
    __device__ void next_taps(int k, int k_end, int buffer) const {
        const int i = threadIdx.x;
        if (i >= stage) return;
        Tap tap = tap_of(g, k + i, k_end);
        if (tap.weight < 0) tap.y = kNever;
        tap.offset += tap.y * g.width + tap.x;
        taps.store(buffer * stage + i, tap);
    }

    __device__ void copy_weights(int pass, int k) const {
        constexpr int kVectors = kStageBytes / 16;
        const i64 first = (static_cast<i64>(pass) * g.groups + group) * g.rows + m_start;
        for (int i = threadIdx.x; i < kRows * kVectors; i += kThreads) {
            const int m = i / kVectors, vector = i % kVectors;
            const i64 at = (first + m) * p.row_bytes + (static_cast<i64>(k) << p.digit_bits) + vector * 16;
            uint4 bytes{0, 0, 0, 0};
            if (m_start + m < g.rows) bytes = __ldg(pointer<const uint4>(p.weights + at));
            weights.template store_as<uint4>(m * kWeightWords + vector * 4, bytes);
        }
    }

    // Writes where in `digits` the rows of the stage's activations begin, in words.
    template <class Code>
    __device__ void gather(int buffer) const {
        const Code* x = pointer<const Code>(g.x);
        const u32 outside = g.outside ? static_cast<u32>(__ldg(pointer<const i32>(g.outside))) : 0;
        const int pairs = stage / 2;
        if (reads_along_k(g)) {
            const int pair_bits = log2_of(pairs);
            for (int i = threadIdx.x; i < pairs * kColumns; i += kThreads) {
                const int n = i >> pair_bits, pair = i & (pairs - 1);
                store_pair(x, positions.load(n), n, pair, buffer, outside);
            }
        } else {
            for (int n = threadIdx.x; n < kColumns; n += kThreads) {
                const Position at = positions.load(n);
#pragma unroll 2
                for (int pair = 0; pair < pairs; ++pair) store_pair(x, at, n, pair, buffer, outside);
            }
        }
    }

    template <class Code>
    __device__ void store_pair(const Code* x, const Position& at, int n, int pair, int buffer, u32 outside) const {
        const u32 first = code_of(x, at, taps.load(buffer * stage + 2 * pair), outside);
        const u32 second = code_of(x, at, taps.load(buffer * stage + 2 * pair + 1), outside);
        codes.template store_as<u32>(n * stride + 2 * pair, (first | second << 16) << (p.digit_bits - 2));
    }

    template <class Code>
    __device__ u32 code_of(const Code* x, const Position& at, const Tap& tap, u32 outside) const {
        const u32 y = static_cast<u32>(at.y + tap.y), column = static_cast<u32>(at.x + tap.x);
        const bool inside = y < static_cast<u32>(g.height) && column < static_cast<u32>(g.width);
        // Arrays have fewer than 2^31 elements.
        return inside ? static_cast<u32>(__ldg(x + static_cast<u32>(static_cast<i32>(at.base) + tap.offset))) : outside;
    }

    // Adds the products of 32 bytes of the stage.
    __device__ void multiply(int step, Sums& sums) const {
        const int row = lane >> 2, word = step * 8 + (lane & 3);
        u32 a[kTilesM][4];
#pragma unroll
        for (int i = 0; i < kTilesM; ++i) {
            const int at = (16 * i + row) * kWeightWords + word;
            a[i][0] = weights.load(at);
            a[i][1] = weights.load(at + 8 * kWeightWords);
            a[i][2] = weights.load(at + 4);
            a[i][3] = weights.load(at + 8 * kWeightWords + 4);
        }
        const int word_bits = p.digit_bits - 2, q = lane & 3, digit = q & ((1 << word_bits) - 1);
        const int k = (step * 8 >> word_bits) + 2 * (q >> word_bits);
        const int first = (warp * kWarpColumns + row) * stride + k;
#pragma unroll
        for (int j = 0; j < kTilesN; ++j) {
            const u32 two = codes.template load_as<u32>(first + 8 * j * stride);
            const u32 b[2] = {digits.load((two & 0xffff) + digit), digits.load((two >> 16) + digit)};
#pragma unroll
            for (int i = 0; i < kTilesM; ++i) mma_m16n8k32(sums[i][j], a[i], b);
        }
    }

    __device__ void write(const Sums& sums) const {
        const i64 base = group * g.out_group + split * g.out_split;
        const int m_first = m_start + (lane >> 2);
        i32 bases[kTilesM][2];
#pragma unroll
        for (int i = 0; i < kTilesM; ++i) {
            bases[i][0] = base_of(m_first + 16 * i);
            bases[i][1] = base_of(m_first + 16 * i + 8);
        }
#pragma unroll
        for (int j = 0; j < kTilesN; ++j) {
#pragma unroll
            for (int right = 0; right < 2; ++right) {
                const int n = n_start + warp * kWarpColumns + 8 * j + 2 * (lane & 3) + right;
                if (n >= g.columns) continue;
                const i64 start = base + result_index(g, 0, n);
#pragma unroll
                for (int i = 0; i < kTilesM; ++i) {
                    const int m = m_first + 16 * i;
                    put_row(m, start, bases[i][0], sums[i][j][right]);
                    put_row(m + 8, start, bases[i][1], sums[i][j][2 + right]);
                }
            }
        }
    }

    __device__ i32 base_of(int m) const {
        const bool counts = m < g.rows && split == 0;
        return counts ? __ldg(pointer<const i32>(p.base_sums) + group * g.rows + m) : 0;
    }

    __device__ void put_row(int m, i64 start, i32 base, i32 sum) const {
        if (m >= g.rows) return;
        const u32 total = static_cast<u32>(base) + static_cast<u32>(sum);
        put(g, start + static_cast<i64>(m) * g.out_row, group * g.rows + m, total);
    }

    const LowRank& p;
    const Gemm& g;
    const int stage, stride;
    Shared<u32> digits;
    Shared<Position> positions;
    Shared<Tap> taps;
    Shared<u32> weights;
    Shared<u16> codes;
    const int lane, warp;
    int n_start = 0, m_start = 0, group = 0, split = 0;
};

}  // namespace

RTLGRAD_KERNEL(table_lowrank, LowRank, kThreads) { LowRankSums(p).run(); }

// Writes four digits a thread. A warp's 32 words are of one row.
RTLGRAD_KERNEL(lowrank_weights, LowRankWeights, kPrepareThreads) {
    const Gemm& g = p.gather;
    const i64 thread = static_cast<i64>(blockIdx.x) * kPrepareThreads + threadIdx.x;
    const i64 row_words = p.row_bytes / 4, row = thread / row_words;
    if (row >= static_cast<i64>(p.passes) * g.groups * g.rows) return;
    const int word = static_cast<int>(thread - row * row_words), word_bits = p.digit_bits - 2;
    const int m = static_cast<int>(row % g.rows), group = static_cast<int>(row / g.rows % g.groups);
    const i64 pass = row / g.rows / g.groups;
    const int q = word & 3, digit = q & ((1 << word_bits) - 1);
    const int k = (word >> 3 << 3 >> word_bits) + 2 * (q >> word_bits) + (word >> 2 & 1);
    const Tap tap = tap_of(g, k, g.depth);
    u32 four = 0;
    i32 base = 0;
    if (tap.weight >= 0) {
        const i64 index = group * g.w_group + static_cast<i64>(m) * g.w_row + tap.weight;
        const i64 code = read_code(g.w, g.w_kind, index);
        four = __ldg(pointer<const u32>(p.digits) + ((pass * g.table_rows + code) << word_bits) + digit);
        if (pass == 0 && digit == 0) base = __ldg(pointer<const i32>(p.base) + code);
    }
    pointer<u32>(p.weights)[thread] = four;
    u32 total = static_cast<u32>(base);
#pragma unroll
    for (int lanes = 16; lanes; lanes /= 2) total += __shfl_xor_sync(0xffffffffu, total, lanes);
    if (pass == 0 && (threadIdx.x & 31) == 0) {
        atomicAdd(pointer<i32>(p.base_sums) + static_cast<i64>(group) * g.rows + m, static_cast<i32>(total));
    }
}
