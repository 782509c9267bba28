// Sums of table entries as exact products of digits; see DigitProducts of lowrank_types.py:
//
//   T[a, b] = base[b] + sum_p common[p] * left[p][a] + sum_g weights[g] * left[p_g][a] * right[q_g][b]
//
// modulo 2^32. Nothing can go wrong by overflow: additions and multiplications modulo 2^32 may be done
// in any order, and the instructions that add several products at once wrap as others do, with digits of
// 8 bits (4 products of an unsigned and a signed byte: below 2^17) and of 16 (2 products: at most 2^31,
// which only (-2^15)^2 + (-2^15)^2 reaches, and wraps to the same residue).
#pragma once

#include <cstdint>

extern "C" {
// Mirrored field by field in native_lowrank.py.
struct DigitTable {
    int64_t lefts, rights, pairs;
    const void* left;         // [lefts][side_a, at least 256], uint8 or int16: digit + bias
    const void* right;        // [rights][side_b, at least 256], int8 or int16
    const int64_t* indices;   // [pairs][2], into left and right
    const uint32_t* weights;  // [pairs], equal ones side by side
    const uint32_t* common;   // [lefts]
    const uint32_t* bias;     // [lefts]; 0 where the base allows for it
    const uint32_t* base;     // [side_b], or null for zeros
    int64_t left_side, right_side;
};
}

namespace rtlgrad {

// A dword of `to` holds the digits of kTaps successive taps (4 of 8 bits, 2 of 16) for one position:
// to[p][k / kTaps][64 positions][kTaps]. Taps beyond the codes may hold anything.
struct LeftJob {
    const void* codes;  // of 64 positions, one or two bytes each
    int64_t stride;     // from tap to tap
    bool narrow;        // codes take one byte
    int64_t steps;      // dwords of taps
    const void* left;   // [lefts][side]
    int64_t lefts, side;
    uint32_t* to;
};

// to[k] = table[codes[k]], and zeros up to a whole dword. May write as much as 64 bytes more than it should.
// Returns the sum of the digits, modulo 2^32.
struct RightJob {
    const void* table;  // [side], a power of two
    const uint8_t* narrow;
    const uint16_t* wide;  // codes, of one byte, or else of two
    int64_t side, count;
    void* to;
};

// acc[m][i] += weight * sum over pairs and steps of left[pair][step][i] . right[pair][m][step],
// the product of two dwords of digits.
struct ProductJob {
    const uint32_t* const* left;  // [pairs], each [steps][64]
    const uint32_t* right;        // [pairs][rows][steps]
    int64_t pairs, steps, rows;   // rows: no more than the kernels say
    uint32_t weight;
    uint32_t* acc;  // [rows][64]
};

// to[n] = acc[n] + sums[n] + constant for 64 positions, in natural order.
struct SettleJob {
    const uint32_t* acc;
    const uint32_t* sums;  // in the order of acc, or null for zeros
    uint32_t constant;
    uint32_t* to;
};

struct DigitKernels {
    int64_t taps;   // digits in a dword
    int64_t rows;   // that products are made of at once, at most
    void (*left)(const LeftJob& job);
    uint32_t (*right)(const RightJob& job);
    void (*products)(const ProductJob& job);
    void (*settle)(const SettleJob& job);
};

}  // namespace rtlgrad
