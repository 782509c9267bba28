// What the lanes of a warp do together: exchanges of registers and products of matrices.
#pragma once

#include "fibers.h"

namespace emulator {

template <class T>
T exchange(Site site, unsigned lanes, T value, int from) {
    static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable_v<T>);
    if (!(lanes >> (from & (kWarp - 1)) & 1)) fail("a shuffle reads lane %d, which takes no part", from);
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    warp_wait(site, lanes, bits);
    const uint64_t got = lane_of_warp(from & (kWarp - 1)).value;
    warp_wait(site, lanes, bits);  // nobody goes on to another exchange before all have read
    T result;
    memcpy(&result, &got, sizeof(T));
    return result;
}

inline unsigned ballot(Site site, unsigned lanes, bool value) {
    warp_wait(site, lanes, value);
    unsigned result = 0;
    for (int i = 0; i < kWarp; ++i) {
        if (lanes >> i & 1) result |= static_cast<unsigned>(lane_of_warp(i).value & 1) << i;
    }
    warp_wait(site, lanes, value);
    return result;
}

// ---- products of matrices of bytes ----------------------------------------------------------------

// The sum of 4 products of bytes, modulo 2^32.
inline uint32_t four_products(uint32_t a, uint32_t b) {
    uint32_t sum = 0;
    for (int i = 0; i < 32; i += 8) {
        sum += static_cast<uint32_t>(static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i));
    }
    return sum;
}

// What mma.sync on .s8 does, d += a * b, by the fragments of the PTX ISA: with lane = 4 * group + q, register
// r of a (of 4) holds row group + 8 * (r % 2), columns 16 * (r / 2) + 4 * q + (0 .. 3), register r of b (of
// 2) column group, rows 16 * r + 4 * q + (0 .. 3), and register r of d (of 4) row group + 8 * (r / 2), column
// 2 * q + r % 2. m8n8k16 is the part with the first register of a and of b and the first two of d.
template <int kOfA, int kOfB, int kOfD>
void matrix_product(Site site, int32_t* const (&d)[kOfD], const uint32_t (&a)[kOfA], const uint32_t (&b)[kOfB]) {
    memcpy(here().words, a, sizeof a);
    memcpy(here().words + 4, b, sizeof b);
    warp_wait(site, 0xffffffffu, 0);
    const int group = lane() / 4, q = lane() % 4;
    for (int r = 0; r < kOfD; ++r) {
        const int row = group, column = 2 * q + r % 2;
        uint32_t sum = static_cast<uint32_t>(*d[r]);
        for (int half = 0; half < kOfB; ++half) {
            for (int quarter = 0; quarter < 4; ++quarter) {
                sum += four_products(lane_of_warp(4 * row + quarter).words[2 * half + r / 2],
                                     lane_of_warp(4 * column + quarter).words[4 + half]);
            }
        }
        *d[r] = static_cast<int32_t>(sum);
    }
    warp_wait(site, 0xffffffffu, 0);  // nobody brings other operands before all have read
}

}  // namespace emulator
