// Implicit GEMM: out[m, n] = sum over k of product(activation(n, k), weight(m, k)).
//
// n and k are read as triples (n0, n1, n2) and (k0, k1, k2). The activation of (n, k) is the element
// x[n0 * x_outer + k0 * x_k0 + y * width + x] of the group, with
//     y = y_start + n1 * n_y + k1 * k_y,  x = x_start + n2 * n_x + k2 * k_x;
// outside [0, height) x [0, width) it is an activation of value `outside`. Convolution, its weight
// gradient, each phase of its input gradient, and a matrix product of any two strided matrices are
// all of this form.
#pragma once

#include "portable.cuh"

// 8-byte members first, then an even number of 4-byte ones: no padding in any compiler. Python has
// the same list.
struct Gemm {
    u64 x, w, table, out;
    u64 outside;                       // address of an i32: the value outside; 0: there is no product
    // Of a layer's float32 results, see results.cuh: i64 [outputs], i32 [], float32 [], float32 [outputs].
    u64 weight_sums, x_zero, x_scale, w_scale;
    i64 x_group, w_group, out_group;   // elements from one group to the next
    i64 x_outer, out_outer;            // elements from one n0 to the next
    i64 out_split;                     // elements from one split's result to the next
    i32 rows, columns, depth, groups;  // m, n, k, groups
    i32 n1, n2, k1, k2;                // sizes of the inner indices
    i32 x_k0;                          // elements of x from one k0 to the next
    i32 y_start, x_start, n_y, n_x, k_y, k_x, height, width;
    i32 w_row, w_start, w_k0, w_k1, w_k2;         // weight at w_start + m * w_row + k0 * w_k0 + ...
    i32 out_row, out_start, out_n1, out_n2;       // result, likewise
    i32 x_kind, w_kind;                // element types, see `read_code`
    i32 offset;                        // what the table's entries lack
    i32 table_rows, table_stride;      // weight codes; entries from one of them to the next
    i32 warps_m, stage;                // warps along m; k per stage
    i32 splits, split_depth;           // parts of k, and k of each
    i32 shift;                         // mantissas: bits of a float32's that the table leaves out; else bits to clamp to
};

// Whether neighbours in x are neighbours in k: threads that follow each other then read along k.
__device__ inline bool reads_along_k(const Gemm& p) { return p.x_k0 == 1 && p.k1 * p.k2 == 1; }

struct Tap {
    i32 offset, y, x, weight;  // weight < 0: past the end of k
};

struct Position {
    i64 base;
    i32 y, x;  // y < never: past the end of n
};

constexpr i32 kNever = -(1 << 30);

__device__ inline Tap tap_of(const Gemm& p, int k, int k_end) {
    if (k >= k_end) return Tap{0, 0, 0, -1};
    const int inner = p.k1 * p.k2;
    const int k0 = k / inner, rest = k - k0 * inner;
    const int k1 = rest / p.k2, k2 = rest - k1 * p.k2;
    const int weight = p.w_start + k0 * p.w_k0 + k1 * p.w_k1 + k2 * p.w_k2;
    return Tap{k0 * p.x_k0, k1 * p.k_y, k2 * p.k_x, weight};
}

__device__ inline Position position_of(const Gemm& p, int n) {
    if (n >= p.columns) return Position{0, kNever, 0};
    const int inner = p.n1 * p.n2;
    const int n0 = n / inner, rest = n - n0 * inner;
    const int n1 = rest / p.n2, n2 = rest - n1 * p.n2;
    return Position{n0 * p.x_outer, p.y_start + n1 * p.n_y, p.x_start + n2 * p.n_x};
}

// Where in the group's x an activation is: an index, or one of these.
constexpr i64 kOutside = -1, kNothing = -2;

__device__ inline i64 source_of(const Gemm& p, const Position& at, const Tap& tap) {
    if (tap.weight < 0 || at.y == kNever) return kNothing;
    const int y = at.y + tap.y, x = at.x + tap.x;
    if (y < 0 || x < 0 || y >= p.height || x >= p.width) return p.outside ? kOutside : kNothing;
    return at.base + tap.offset + static_cast<i64>(y) * p.width + x;
}

__device__ inline i64 result_index(const Gemm& p, int m, int n) {
    const int inner = p.n1 * p.n2;
    const int n0 = n / inner, rest = n - n0 * inner;
    const int n1 = rest / p.n2, n2 = rest - n1 * p.n2;
    return p.out_start + n0 * p.out_outer + static_cast<i64>(n1) * p.out_n1 +
           static_cast<i64>(n2) * p.out_n2 + static_cast<i64>(m) * p.out_row;
}

// Operand codes: kind 0 is u8, kind 1 is i16 (never negative).
__device__ inline u32 read_code(u64 address, int kind, i64 index) {
    return kind == 0 ? __ldg(pointer<const u8>(address) + index)
                     : static_cast<u32>(__ldg(pointer<const i16>(address) + index));
}
