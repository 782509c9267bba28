// Sums of products of float32 numbers whose mantissas are multiplied by a table.
//
//   out[m, n] = sum over k of P(w[m, k], x[k, n])
//
// One operand, here w, is taken a number at a time and picks a row of the table; the other, x, is
// looked up in that row, many positions n at a time. Which of them is the activation is a matter
// of the table's layout alone (mantissa_layout.py), as is what P is.
#pragma once

#include <cstdint>

namespace rtlgrad {

// Sums are taken in blocks of so many products, each in order of k from +0, and the blocks' sums
// are added in order: part of the specification, see mantissa_reference.py.
constexpr int64_t kSumBlock = 1024;

// What x is.
enum MantissaKind : int64_t {
    kMatrix = 0,   // x[n * x_n + k * x_k]
    kWindows = 1,  // n: an image and a position, k: a channel and a tap of the kernel
    kPatches = 2,  // the other way round
};

}  // namespace rtlgrad

extern "C" {
// Mirrored field by field in native_mantissa.py.
struct MantissaProduct {
    int64_t kind;
    int64_t outputs, inner, positions;  // m, k and n, per group
    int64_t groups;
    int64_t x_n, x_k;
    // The windows of x: as for a convolution, but padding may be negative.
    int64_t batch, channels, height, width, kernel_h, kernel_w, out_h, out_w;
    int64_t stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
    // w at group * w_group + m * w_m + k / w_inner * w_outer + k % w_inner * w_k.
    int64_t w_group, w_m, w_inner, w_outer, w_k;
    // out at group * out_group + m * out_m + n * out_n; of windows, where n is (image, y, x), at
    // group * out_group + m * out_m + image * out_n + y * out_y + x * out_x.
    int64_t out_group, out_m, out_n, out_y, out_x;
    int64_t bits, keep;  // see mantissa_layout.py
    int64_t threads, isa;
    const float* x;
    const float* w;
    float* out;
    const uint8_t* entries;  // [2^bits][128], for up to 7 bits
    const uint8_t* deltas;   // [2^bits][128], likewise
    const int32_t* base;     // [2^bits], likewise
    const uint16_t* wide;    // [2^bits][2^bits] and one more, for more bits
};
}
