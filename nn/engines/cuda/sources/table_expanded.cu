// Sums of table entries with the table expanded over the weights of a tile.
//
// For one k, X[a][m] = T[a, weight(m, k)] is laid out in shared memory: 257 rows of 128 bytes, the
// last one for "no product". A position then needs one row, which the 32 lanes read without a
// conflict: two results each where entries have 2 bytes (64 rows of results a tile), one where
// they have 4 (32). With 2-byte entries a word holds two results; `all` sums the words, `upper`
// their upper halves, and the lower half's sum is all - (upper << 16), everything modulo 2^32.
//
// The table is [weight code][256 activation codes]. The entries of the next k are fetched into
// registers while those of this one are used.
//
// 16 warps go through kPerWarp positions each; a block makes 64 or 32 rows of 16 * kPerWarp results.
#include "results.cuh"

constexpr int kThreads = 512, kWarps = kThreads / 32;
constexpr int kPerWarp = 32, kColumns = kWarps * kPerWarp;
constexpr int kCodes = 256, kRowWords = 32, kCodesPerWarp = kCodes / kWarps;

#if RTLGRAD_ENTRY_BYTES == 2
constexpr int kRows = 64, kPerWord = 2;
#else
constexpr int kRows = 32, kPerWord = 1;
#endif

namespace {

class Expanded {
  public:
    __device__ explicit Expanded(const Gemm& problem)
        : p(problem),
          expanded(0, (kCodes + 1) * kRowWords),
          positions((kCodes + 1) * kRowWords * 4, kColumns),
          taps((kCodes + 1) * kRowWords * 4 + kColumns * 16, 2 * p.stage),
          offsets((kCodes + 1) * kRowWords * 4 + kColumns * 16 + 2 * p.stage * 16, p.stage * kColumns),
          lane(threadIdx.x & 31),
          warp(threadIdx.x >> 5) {}

    __device__ void run() {
        place(blockIdx.x);
        const int k_start = split * p.split_depth;
        const int k_end = min(p.depth, k_start + p.split_depth);
        positions.store(threadIdx.x, position_of(p, n_start + static_cast<int>(threadIdx.x)));
        if (warp == 0) expanded.store(kCodes * kRowWords + lane, no_product());
        next_taps(k_start, k_end, 0);
        u32 all[kPerWarp], upper[kPerWarp];
#pragma unroll
        for (int j = 0; j < kPerWarp; ++j) all[j] = upper[j] = 0;
        int buffer = 0;
        for (int k = k_start; k < k_end; k += p.stage, buffer ^= 1) {
            __syncthreads();
            fill(buffer);
            next_taps(k + p.stage, k_end, buffer ^ 1);
            // A stage ends with the last k there is: what is laid out costs as much as its use.
            const int count = min(p.stage, k_end - k);
            fetch(taps.load(buffer * p.stage).weight);
            for (int i = 0; i < count; ++i) {
                __syncthreads();
                lay_out();
                __syncthreads();
                if (i + 1 < count) fetch(taps.load(buffer * p.stage + i + 1).weight);
                accumulate(i, all, upper);
            }
        }
        write(all, upper, max(k_end - k_start, 0));
    }

  private:
    __device__ void place(int tile) {
        const int tiles_n = ceil_div(p.columns, kColumns), tiles_m = ceil_div(p.rows, kRows);
        n_start = tile % tiles_n * kColumns;
        tile /= tiles_n;
        m_start = tile % tiles_m * kRows;
        tile /= tiles_m;
        group = tile % p.groups;
        split = tile / p.groups;
    }

    // An entry that, with p.offset added, is nothing.
    __device__ u32 no_product() const {
        const u32 none = static_cast<u32>(-p.offset);
        return kPerWord == 2 ? none | none << 16 : none;
    }

    __device__ void next_taps(int k, int k_end, int buffer) {
        const int i = threadIdx.x;
        if (i < p.stage) taps.store(buffer * p.stage + i, tap_of(p, k + i, k_end));
    }

    // Writes where in `expanded` the row of each activation of the stage begins, in bytes.
    __device__ void fill(int buffer) {
        const u32 outside = p.outside ? static_cast<u32>(__ldg(pointer<const i32>(p.outside))) : kCodes;
        const bool along_k = reads_along_k(p);
        const int stage_bits = log2_of(p.stage);  // a power of two
        const int count = p.stage * kColumns;
        for (int i = threadIdx.x; i < count; i += kThreads) {
            const int k = along_k ? i & (p.stage - 1) : i / kColumns;
            const int n = along_k ? i >> stage_bits : i % kColumns;
            const i64 source = source_of(p, positions.load(n), taps.load(buffer * p.stage + k));
            u32 code = kCodes;
            if (source >= 0) code = read_code(p.x, p.x_kind, source + group * p.x_group);
            if (source == kOutside) code = outside;
            offsets.store(k * kColumns + n, code * (kRowWords * 4));
        }
    }

    // Fetches this warp's 16 activation codes of this lane's weights.
    __device__ void fetch(i32 weight_offset) {
#pragma unroll
        for (int half = 0; half < kPerWord; ++half) {
            const int m = m_start + lane * kPerWord + half;
            const i64 index = group * p.w_group + static_cast<i64>(m) * p.w_row + weight_offset;
            const u32 code = m < p.rows ? read_code(p.w, p.w_kind, index) : 0;
            const u32 first = (code * kCodes + warp * kCodesPerWarp) / (4 * kPerWord);
#pragma unroll
            for (int i = 0; i < 4 / kPerWord; ++i) {
                fetched[half * (4 / kPerWord) + i] = __ldg(pointer<const uint4>(p.table) + (first + i));
            }
        }
    }

    __device__ u32 fetched_word(int i) const {
        const uint4 four = fetched[i / 4];
        return i % 4 == 0 ? four.x : i % 4 == 1 ? four.y : i % 4 == 2 ? four.z : four.w;
    }

    __device__ void lay_out() const {
        const int first = warp * kCodesPerWarp * kRowWords + lane;
#pragma unroll
        for (int i = 0; i < kCodesPerWarp; ++i) {
            u32 word = fetched_word(i % 16);
            if constexpr (kPerWord == 2) {
                // Two codes of one weight a word, to two weights of one code a word.
                word = __byte_perm(fetched_word(i / 2), fetched_word(8 + i / 2), i % 2 ? 0x7632 : 0x5410);
            }
            expanded.store(first + i * kRowWords, word);
        }
    }

    __device__ void accumulate(int k, u32 (&all)[kPerWarp], u32 (&upper)[kPerWarp]) const {
        const int first = k * kColumns + warp * kPerWarp;
#pragma unroll
        for (int block = 0; block < kPerWarp / 4; ++block) {
            const uint4 of = offsets.template load_as<uint4>(first + 4 * block);
            const u32 row[4] = {of.x, of.y, of.z, of.w};
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const u32 word = expanded.load_byte_offset(row[i] + lane * 4);
                all[4 * block + i] += word;
                if constexpr (kPerWord == 2) upper[4 * block + i] += word >> 16;
            }
        }
    }

    __device__ void write(const u32 (&all)[kPerWarp], const u32 (&upper)[kPerWarp], int counted) const {
        const int m = m_start + lane * kPerWord;
        const u32 lacking = static_cast<u32>(p.offset) * static_cast<u32>(counted);
        const i64 base = group * p.out_group + split * p.out_split;
        const int output = group * p.rows + m;
#pragma unroll
        for (int j = 0; j < kPerWarp; ++j) {
            const int n = n_start + warp * kPerWarp + j;
            if (n >= p.columns) continue;
            const i64 index = base + result_index(p, m, n);
            if (m < p.rows) put(p, index, output, all[j] - (kPerWord == 2 ? upper[j] << 16 : 0) + lacking);
            if (kPerWord == 2 && m + 1 < p.rows) put(p, index + p.out_row, output + 1, upper[j] + lacking);
        }
    }

    const Gemm& p;
    Shared<u32> expanded;
    Shared<Position> positions;
    Shared<Tap> taps;
    Shared<u32> offsets;
    const int lane, warp;
    int n_start = 0, m_start = 0, group = 0, split = 0;
    uint4 fetched[4];
};

}  // namespace

RTLGRAD_KERNEL(table_expanded, Gemm, kThreads) { Expanded(p).run(); }
