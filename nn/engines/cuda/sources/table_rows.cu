// Sums of table entries, one weight's table row per warp at a time.
//
// The table has a row per weight code, p.table_stride entries each: all activation codes, then an
// entry that stands for no product. With RTLGRAD_TABLE_SHARED it is copied into shared memory (two
// bytes an entry: 130 KiB for 8 x 8 bits) by blocks that then go through many tiles; else
// it is read from global memory, that is, from the caches.
//
// RTLGRAD_ENTRY_BYTES is 2 (unsigned, p.offset to be added to each) or 4.
#include "results.cuh"
#include "tile_loop.cuh"

#if RTLGRAD_ENTRY_BYTES == 2
using Entry = u16;
#else
using Entry = i32;
#endif

namespace {

struct TableProduct {
    using Weight = u32;       // where the weight's row begins: bytes, or entries of a global table
    using Activation = u16;   // the same within the row
    using Sum = u32;          // modulo 2^32

    static constexpr int kUnit = RTLGRAD_TABLE_SHARED ? static_cast<int>(sizeof(Entry)) : 1;
    static constexpr bool kWatched = false;

    const Gemm& p;
    Shared<Entry> table;
    const Entry* global;
    u32 outside, nothing;

    __device__ explicit TableProduct(const Gemm& problem)
        : p(problem),
          table(0, RTLGRAD_TABLE_SHARED ? problem.table_rows * problem.table_stride : 0),
          global(pointer<const Entry>(problem.table)) {
        nothing = (p.table_stride - 1) * kUnit;
        outside = p.outside ? static_cast<u32>(__ldg(pointer<const i32>(p.outside))) * kUnit : nothing;
    }

    __device__ void prepare() const {
#if RTLGRAD_TABLE_SHARED
        // Rows are an even number of entries: the whole is copied in words.
        const int words = p.table_rows * p.table_stride * static_cast<int>(sizeof(Entry)) / 4;
        const u32* source = pointer<const u32>(p.table);
        constexpr int kEach = 4 / sizeof(Entry);
        for (int i = threadIdx.x; i < words; i += blockDim.x) {
            table.template store_as<u32>(i * kEach, __ldg(source + i));
        }
#endif
    }

    __device__ Activation activation(i64 source, bool& /* unusual */) const {
        if (source == kNothing) return static_cast<u16>(nothing);
        if (source == kOutside) return static_cast<u16>(outside);
        return static_cast<u16>(read_code(p.x, p.x_kind, source) * kUnit);
    }

    __device__ Weight weight(i64 index, bool& /* unusual */) const {
        const u32 code = index < 0 ? 0 : read_code(p.w, p.w_kind, index);
        return code * static_cast<u32>(p.table_stride * kUnit);
    }

    template <bool kUnusual>
    __device__ void add(Sum& sum, Weight w, Activation a) const {
#if RTLGRAD_TABLE_SHARED
        sum += static_cast<u32>(table.load_byte_offset(w + a));
#else
        sum += static_cast<u32>(__ldg(global + (w + a)));
#endif
    }

    // counted: entries added, those that stand for no product included.
    __device__ void write(i64 index, int output, Sum sum, int counted) const {
        put(p, index, output, sum + static_cast<u32>(p.offset) * static_cast<u32>(counted));
    }

    __device__ int shared_bytes() const {
        return RTLGRAD_TABLE_SHARED ? p.table_rows * p.table_stride * static_cast<int>(sizeof(Entry)) : 0;
    }
};

}  // namespace

RTLGRAD_KERNEL(table_rows, Gemm, kThreads) { tile_loop(p, TableProduct(p)); }
