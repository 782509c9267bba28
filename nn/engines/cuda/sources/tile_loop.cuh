// The loop that kernels with one weight per warp share: tiles, stages, and a product to fill in.
//
// A block is 16 warps, p.warps_m along m and the rest along n; a warp makes 8 x 128 results, a lane
// 8 x 4 of them (columns lane, lane + 32, ...), or as many columns as RTLGRAD_LANE_COLUMNS says. Per stage of p.stage k the block writes the tile's
// weights [k][m] and activations [k][n] into shared memory, in the form the product wants. Tiles and
// stages are powers of two.
// Every result is the sum over k in ascending order; with RTLGRAD_SUM_BLOCK, each so many k are added
// up from 0 and then added to the total.
#pragma once

#include "gather.cuh"

constexpr int kThreads = 512, kWarps = kThreads / 32;
#ifndef RTLGRAD_LANE_COLUMNS
#define RTLGRAD_LANE_COLUMNS 4
#endif
constexpr int kRowsPerWarp = 8, kLaneColumns = RTLGRAD_LANE_COLUMNS;
constexpr int kColumnsPerWarp = 32 * kLaneColumns;

template <class Product>
class TileLoop {
  public:
    using Weight = typename Product::Weight;
    using Activation = typename Product::Activation;
    using Sum = typename Product::Sum;
    using Sums = Sum[kRowsPerWarp][kLaneColumns];

    __device__ TileLoop(const Gemm& problem, const Product& product, int shared_start)
        : p(problem),
          product(product),
          tile_m(kRowsPerWarp * p.warps_m),
          tile_n(kColumnsPerWarp * (kWarps / p.warps_m)),
          positions(shared_start, tile_n),
          taps(after(shared_start, tile_n * sizeof(Position)), 2 * p.stage),
          weights(after_taps(shared_start), p.stage * tile_m),
          activations(after_taps(shared_start) + p.stage * tile_m * static_cast<int>(sizeof(Weight)),
                      p.stage * tile_n) {}

    // tile: one of (split, group, m, n), n fastest.
    __device__ void run(int tile) {
        const int tiles_n = ceil_div(p.columns, tile_n), tiles_m = ceil_div(p.rows, tile_m);
        n_start = tile % tiles_n * tile_n;
        tile /= tiles_n;
        m_start = tile % tiles_m * tile_m;
        tile /= tiles_m;
        group = tile % p.groups;
        split = tile / p.groups;
        const int k_start = split * p.split_depth;
        const int k_end = min(p.depth, k_start + p.split_depth);
        Sums sums;
        clear(sums);
#ifdef RTLGRAD_SUM_BLOCK
        Sums totals;
        clear(totals);
#endif
        open(k_start, k_end);
        int buffer = 0;
        for (int k = k_start; k < k_end; k += p.stage, buffer ^= 1) {
#ifdef RTLGRAD_SUM_BLOCK
            if (k > k_start && k % RTLGRAD_SUM_BLOCK == 0) close_block(sums, totals);
#endif
            __syncthreads();
            bool unusual = fill(buffer);
            next_taps(k + p.stage, k_end, buffer ^ 1);
            if constexpr (Product::kWatched) {
                unusual = __syncthreads_or(unusual);
                if (unusual) {
                    accumulate<true>(sums);
                    continue;
                }
            } else {
                __syncthreads();
            }
            accumulate<false>(sums);
        }
#ifdef RTLGRAD_SUM_BLOCK
        close_block(sums, totals);
        write(totals, 0);
#else
        write(sums, ceil_div(max(k_end - k_start, 0), p.stage) * p.stage);
#endif
    }

  private:
    __device__ static int after(int offset, unsigned long bytes) { return offset + static_cast<int>(bytes); }
    __device__ int after_taps(int start) const {
        return after(start, tile_n * sizeof(Position) + 2 * p.stage * sizeof(Tap));
    }

    __device__ static void clear(Sums& sums) {
#pragma unroll
        for (int i = 0; i < kRowsPerWarp; ++i) {
#pragma unroll
            for (int j = 0; j < kLaneColumns; ++j) sums[i][j] = Sum(0);
        }
    }

#ifdef RTLGRAD_SUM_BLOCK
    __device__ static void close_block(Sums& sums, Sums& totals) {
#pragma unroll
        for (int i = 0; i < kRowsPerWarp; ++i) {
#pragma unroll
            for (int j = 0; j < kLaneColumns; ++j) totals[i][j] = Product::plus(totals[i][j], sums[i][j]);
        }
        clear(sums);
    }
#endif

    __device__ void open(int k_start, int k_end) {
        for (int n = threadIdx.x; n < tile_n; n += kThreads) {
            positions.store(n, position_of(p, n_start + n));
        }
        next_taps(k_start, k_end, 0);
    }

    __device__ void next_taps(int k, int k_end, int buffer) {
        const int i = threadIdx.x;
        if (i < p.stage) taps.store(buffer * p.stage + i, tap_of(p, k + i, k_end));
    }

    // Writes the stage's operands; true if this thread met one that the short path does not serve.
    __device__ bool fill(int buffer) {
        bool unusual = false;
        const int stage_bits = log2_of(p.stage), tile_bits = log2_of(tile_n);
        const int of_weights = p.stage * tile_m;
        for (int i = threadIdx.x; i < of_weights; i += kThreads) {
            const int m = i >> stage_bits, k = i & (p.stage - 1);
            const i32 offset = taps.load(buffer * p.stage + k).weight;
            const bool there = offset >= 0 && m_start + m < p.rows;
            const i64 index = group * p.w_group + static_cast<i64>(m_start + m) * p.w_row + offset;
            weights.store(k * tile_m + m, product.weight(there ? index : -1, unusual));
        }
        const bool along_k = reads_along_k(p);
        const int of_activations = p.stage * tile_n;
        for (int i = threadIdx.x; i < of_activations; i += kThreads) {
            const int k = along_k ? i & (p.stage - 1) : i >> tile_bits;
            const int n = along_k ? i >> stage_bits : i & (tile_n - 1);
            i64 source = source_of(p, positions.load(n), taps.load(buffer * p.stage + k));
            if (source >= 0) source += group * p.x_group;
            const int lane = n & 31, warp_column = n / kColumnsPerWarp, j = n % kColumnsPerWarp / 32;
            const int slot = warp_column * kColumnsPerWarp + lane * kLaneColumns + j;
            activations.store(k * tile_n + slot, product.activation(source, unusual));
        }
        return unusual;
    }

    template <bool kUnusual>
    __device__ void accumulate(Sums& sums) {
        const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
        const int warp_m = warp % p.warps_m, warp_n = warp / p.warps_m;
        const int m = warp_m * kRowsPerWarp, n = warp_n * kColumnsPerWarp + lane * kLaneColumns;
        struct alignas(sizeof(Activation) * kLaneColumns) Own {
            Activation of[kLaneColumns];
        };
        struct alignas(16) Some {
            Weight of[16 / sizeof(Weight)];
        };
        constexpr int kSome = 16 / sizeof(Weight);
        for (int k = 0; k < p.stage; ++k) {
            const Own a = activations.template load_as<Own>(k * tile_n + n);
#pragma unroll
            for (int block = 0; block < kRowsPerWarp / kSome; ++block) {
                const Some w = weights.template load_as<Some>(k * tile_m + m + block * kSome);
#pragma unroll
                for (int i = 0; i < kSome; ++i) {
#pragma unroll
                    for (int j = 0; j < kLaneColumns; ++j) {
                        product.template add<kUnusual>(sums[block * kSome + i][j], w.of[i], a.of[j]);
                    }
                }
            }
        }
    }

    __device__ void write(const Sums& sums, int counted) {
        const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
        const int m = m_start + warp % p.warps_m * kRowsPerWarp;
        const int n = n_start + warp / p.warps_m * kColumnsPerWarp + lane;
        const i64 base = group * p.out_group + split * p.out_split;
#pragma unroll
        for (int j = 0; j < kLaneColumns; ++j) {
            if (n + 32 * j >= p.columns) continue;
            const i64 start = base + result_index(p, 0, n + 32 * j);
#pragma unroll
            for (int i = 0; i < kRowsPerWarp; ++i) {
                if (m + i < p.rows) {
                    const i64 index = start + static_cast<i64>(m + i) * p.out_row;
                    product.write(index, group * p.rows + m + i, sums[i][j], counted);
                }
            }
        }
    }

    const Gemm& p;
    const Product& product;
    const int tile_m, tile_n;
    Shared<Position> positions;
    Shared<Tap> taps;
    Shared<Weight> weights;
    Shared<Activation> activations;
    int n_start = 0, m_start = 0, group = 0, split = 0;
};

template <class Product>
__device__ void tile_loop(const Gemm& p, const Product& product) {
    product.prepare();
    TileLoop<Product> loop(p, product, product.shared_bytes());
    const int tiles = ceil_div(p.columns, kColumnsPerWarp * (kWarps / p.warps_m)) *
                      ceil_div(p.rows, kRowsPerWarp * p.warps_m) * p.groups * p.splits;
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) loop.run(tile);
}
