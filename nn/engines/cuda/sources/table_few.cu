// Sums of table entries for few results per group: depthwise convolutions.
//
// A block makes one row m of one group, 1024 columns of it. Per stage of p.stage k it copies the
// table rows of the weights into shared memory; a thread reads the activations of its four columns
// from the image itself, where neighbours overlap and the caches serve them.
//
// The table has a row per weight code, p.table_stride entries each: all activation codes, then an
// entry that stands for no product. RTLGRAD_ENTRY_BYTES is 2 (unsigned, p.offset to be added) or 4.
//
// With RTLGRAD_SATURATE a sum is clamped to p.shift bits of two's complement after every addition, k
// ascending; p.splits is 1 then, and no tap lacks a product.
#include "results.cuh"

constexpr int kThreads = 256, kPerThread = 4, kColumns = kThreads * kPerThread;

#if RTLGRAD_ENTRY_BYTES == 2
using Entry = u16;
#else
using Entry = i32;
#endif

namespace {

class Few {
  public:
    __device__ explicit Few(const Gemm& problem)
        : p(problem),
          taps(0, p.stage),
          rows(p.stage * static_cast<int>(sizeof(Tap)), p.stage * p.table_stride) {
        nothing = p.table_stride - 1;
        outside = p.outside ? __ldg(pointer<const i32>(p.outside)) : nothing;
    }

    __device__ void run() {
        place(blockIdx.x);
        u32 sums[kPerThread];
        Position at[kPerThread];
#pragma unroll
        for (int j = 0; j < kPerThread; ++j) {
            sums[j] = 0;
            at[j] = position_of(p, n_start + static_cast<int>(threadIdx.x) + j * kThreads);
        }
        const int k_start = split * p.split_depth;
        const int k_end = min(p.depth, k_start + p.split_depth);
        for (int k = k_start; k < k_end; k += p.stage) {
            const int count = min(p.stage, k_end - k);
            __syncthreads();
            if (static_cast<int>(threadIdx.x) < count) taps.store(threadIdx.x, tap_of(p, k + threadIdx.x, k_end));
            __syncthreads();
            copy_rows(count);
            __syncthreads();
            for (int i = 0; i < count; ++i) add(i, at, sums);
        }
        write(sums, max(k_end - k_start, 0));
    }

  private:
    __device__ void place(int tile) {
        const int tiles_n = ceil_div(p.columns, kColumns);
        n_start = tile % tiles_n * kColumns;
        tile /= tiles_n;
        m = tile % p.rows;
        tile /= p.rows;
        group = tile % p.groups;
        split = tile / p.groups;
    }

    __device__ void copy_rows(int count) const {
        // Rows are an even number of entries: they are copied in words.
        const int words = p.table_stride * static_cast<int>(sizeof(Entry)) / 4;
        constexpr int kEach = 4 / sizeof(Entry);
        const i64 first = group * p.w_group + static_cast<i64>(m) * p.w_row;
        for (int i = threadIdx.x; i < count * words; i += kThreads) {
            const int row = i / words, word = i - row * words;
            const i64 code = read_code(p.w, p.w_kind, first + taps.load(row).weight);
            rows.template store_as<u32>(i * kEach, __ldg(pointer<const u32>(p.table) + (code * words + word)));
        }
    }

    __device__ void add(int i, const Position (&at)[kPerThread], u32 (&sums)[kPerThread]) const {
        const Tap tap = taps.load(i);
#pragma unroll
        for (int j = 0; j < kPerThread; ++j) {
            const i64 source = source_of(p, at[j], tap);
            int code = nothing;
            if (source >= 0) code = static_cast<int>(read_code(p.x, p.x_kind, source + group * p.x_group));
            if (source == kOutside) code = outside;
            const Entry entry = rows.load(i * p.table_stride + code);
#if RTLGRAD_SATURATE
            sums[j] = saturated(sums[j], entry);
#else
            sums[j] += static_cast<u32>(entry);
#endif
        }
    }

    __device__ u32 saturated(u32 sum, Entry entry) const {
        const i64 high = (i64{1} << (p.shift - 1)) - 1;
        const i64 next = static_cast<i64>(static_cast<i32>(sum)) + static_cast<i64>(entry) + p.offset;
        return static_cast<u32>(next > high ? high : next < -high - 1 ? -high - 1 : next);
    }

    __device__ void write(const u32 (&sums)[kPerThread], int counted) const {
        const i64 base = group * p.out_group + split * p.out_split;
#pragma unroll
        for (int j = 0; j < kPerThread; ++j) {
            const int n = n_start + static_cast<int>(threadIdx.x) + j * kThreads;
            if (n >= p.columns) continue;
            const u32 lacking = RTLGRAD_SATURATE ? 0 : static_cast<u32>(p.offset) * static_cast<u32>(counted);
            put(p, base + result_index(p, m, n), group * p.rows + m, sums[j] + lacking);
        }
    }

    const Gemm& p;
    Shared<Tap> taps;
    Shared<Entry> rows;
    int nothing = 0, outside = 0;
    int n_start = 0, m = 0, group = 0, split = 0;
};

}  // namespace

RTLGRAD_KERNEL(table_few, Gemm, kThreads) { Few(p).run(); }
