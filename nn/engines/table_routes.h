// What the routes share: the sums under windows, and storing results.
#pragma once

#include <cstdint>

#include "table_conv.h"

namespace rtlgrad {

inline int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

// What is taken from all outputs of an item alike: the sums of the codes under each position's window.
// Null where they are not needed.
uint32_t* clear_sums(const Problem& p, int64_t positions, Scratch& scratch);
void add_sums(const Problem& p, const void* codes, const int64_t* at, int64_t taps, int64_t positions,
              uint32_t* sums);
// Of packed taps.
void add_sums(const Problem& p, int64_t taps, int64_t stride, int64_t positions, uint32_t* sums,
              Scratch& scratch);

// to <- from[n] + add, or the result made of it; `at` is where `to` lies in the output, `sums` the
// windows' from the same position on.
void store_run(const Problem& p, int64_t output, int64_t at, const uint32_t* from, const uint32_t* sums,
               int64_t count, uint32_t add);
// Where the first pixel of a segment lies in the output.
int64_t place_of(const Problem& p, const Segment& s, int64_t output);
// out <- acc[n] + add, for output m of the item.
void store_row(const Problem& p, const Item& item, int64_t m, const uint32_t* acc, const uint32_t* sums,
               uint32_t add, const Scratch& scratch);
// out <- acc + add, where acc[n * by_position + m] is the sum of position n and output first + m.
void store_positions(const Problem& p, const Item& item, int64_t first, int64_t outputs, const uint32_t* acc,
                     const uint32_t* sums, int64_t by_position, uint32_t add, const Scratch& scratch);
// out <- acc, where acc[m * by_output + n] is that sum, of outputs without neighbours: one pixel each.
void store_points(const Problem& p, const Item& item, const uint32_t* acc, const uint32_t* sums,
                  int64_t by_output);

// The route of byte planes.
void run_planes(const Problem& p, const Item& item, Scratch& scratch);
Item largest_planes_item(const Problem& p);

// The route of tables of low rank.
void run_lowrank(const Problem& p, const Item& item, Scratch& scratch);
Item largest_lowrank_item(const Problem& p);

}  // namespace rtlgrad
