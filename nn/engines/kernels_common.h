// Kernels in plain C++ with vector types, included by each kernels_*.cpp and so compiled once per
// instruction set. Everything is in an unnamed namespace: see kernels.h.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are taken apart in little-endian order"
#endif

#define INLINE static inline __attribute__((always_inline))

// GCC gained the name that clang uses in version 12; its older name wants a vector of indices.
#if defined(__clang__)
#define SHUFFLE8(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE8(a, b, ...) __builtin_shuffle(a, b, Half8{__VA_ARGS__})
#endif

namespace rtlgrad {
namespace {

typedef uint16_t Half8 __attribute__((vector_size(16)));
typedef uint32_t Word8 __attribute__((vector_size(32)));

template <typename T>
INLINE T load(const void* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

template <typename T>
INLINE void store(void* to, const T& value) {
    std::memcpy(to, &value, sizeof value);
}

// ---- packing -----------------------------------------------------------------------------------

template <int kBytes>
INLINE void copy_windows_by(const WindowsJob& job) {
    for (int64_t tap = 0; tap < job.taps; ++tap) {
        uint8_t* to = job.to + tap * job.stride;
        const uint8_t* from = job.from + job.shifts[tap];
        for (int64_t r = 0; r < job.rows; ++r, to += job.bytes, from += job.pitch) {
            for (int64_t at = 0; at < job.bytes; at += kBytes) std::memcpy(to + at, from + at, kBytes);
        }
    }
}

void copy_windows(const WindowsJob& job) {
    if (job.bytes <= 8) {
        copy_windows_by<8>(job);
    } else if (job.bytes <= 16) {
        copy_windows_by<16>(job);
    } else if (job.bytes <= 32) {
        copy_windows_by<32>(job);
    } else {
        copy_windows_by<64>(job);
    }
}

// One round of a transposition of 8x8 bytes, a row to a word: swaps what the mask marks with what
// lies `shift` bits higher in the word `distance` rows before.
INLINE void swap_blocks(uint64_t* rows, int distance, int shift, uint64_t mask) {
    for (int r = 0; r < 8; ++r) {
        if (r & distance) continue;
        const uint64_t moved = ((rows[r] >> shift) ^ rows[r + distance]) & mask;
        rows[r] ^= moved << shift;
        rows[r + distance] ^= moved;
    }
}

void transpose(uint8_t* to, int64_t stride, const uint8_t* from, int64_t pitch, int64_t rows,
               int64_t columns, uint8_t mask) {
    const uint64_t mask8 = mask * UINT64_C(0x0101010101010101);
    int64_t n = 0;
    for (; n + 8 <= rows; n += 8) {
        int64_t k = 0;
        for (; k + 8 <= columns; k += 8) {
            uint64_t block[8];
            for (int r = 0; r < 8; ++r) block[r] = load<uint64_t>(from + (n + r) * pitch + k) & mask8;
            swap_blocks(block, 4, 32, UINT64_C(0x00000000ffffffff));
            swap_blocks(block, 2, 16, UINT64_C(0x0000ffff0000ffff));
            swap_blocks(block, 1, 8, UINT64_C(0x00ff00ff00ff00ff));
            for (int r = 0; r < 8; ++r) store(to + (k + r) * stride + n, block[r]);
        }
        for (; k < columns; ++k) {
            for (int r = 0; r < 8; ++r) to[k * stride + n + r] = from[(n + r) * pitch + k] & mask;
        }
    }
    for (; n < rows; ++n) {
        for (int64_t k = 0; k < columns; ++k) to[k * stride + n] = from[n * pitch + k] & mask;
    }
}

// ---- expanded tables ---------------------------------------------------------------------------

// Two outputs share a 32-bit word of x, so that one addition serves both (see add_expanded16):
// slot 2 i holds lane i, slot 2 i + 1 lane i + 8, in every 16.
INLINE int64_t lane_of(int64_t slot) {
    return (slot & ~INT64_C(15)) + ((slot & 15) >> 1) + (slot & 1) * 8;
}

// to[a][0..7] = from[0..7][a] for eight a.
INLINE void transpose_8x8(uint16_t* to, int64_t pitch, const uint16_t* const* from, int64_t a) {
    Half8 r[8], s[8];
    for (int i = 0; i < 8; ++i) r[i] = load<Half8>(from[i] + a);
    for (int i = 0; i < 4; ++i) {
        s[2 * i] = SHUFFLE8(r[i], r[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
        s[2 * i + 1] = SHUFFLE8(r[i], r[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
    }
    for (int i = 0; i < 4; ++i) {
        r[2 * i] = SHUFFLE8(s[i], s[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
        r[2 * i + 1] = SHUFFLE8(s[i], s[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
    }
    for (int i = 0; i < 4; ++i) {
        s[2 * i] = SHUFFLE8(r[i], r[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
        s[2 * i + 1] = SHUFFLE8(r[i], r[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
    }
    for (int i = 0; i < 8; ++i) store(to + i * pitch, s[i]);
}

void expand16(const ExpandJob& job) {
    const uint16_t* columns = static_cast<const uint16_t*>(job.columns);
    uint16_t* x = static_cast<uint16_t*>(job.x);
    for (int64_t slot = 0; slot < job.lanes; slot += 8) {
        const uint16_t* from[8];
        for (int64_t i = 0; i < 8; ++i) {
            const int64_t lane = lane_of(slot + i);
            from[i] = columns + (lane < job.outputs ? job.weights[lane] : 0) * job.side;
        }
        int64_t a = 0;
        for (; a + 8 <= job.side; a += 8) transpose_8x8(x + a * job.lanes + slot, job.lanes, from, a);
        for (; a < job.side; ++a) {
            for (int64_t i = 0; i < 8; ++i) x[a * job.lanes + slot + i] = from[i][a];
        }
    }
}

void expand32(const ExpandJob& job) {
    const int32_t* columns = static_cast<const int32_t*>(job.columns);
    int32_t* x = static_cast<int32_t*>(job.x);
    const int32_t* from[64];
    for (int64_t m = 0; m < job.lanes; ++m) {
        from[m] = columns + (m < job.outputs ? job.weights[m] : 0) * job.side;
    }
    for (int64_t a = 0; a < job.side; ++a) {
        for (int64_t m = 0; m < job.lanes; ++m) x[a * job.lanes + m] = from[m][a];
    }
}

// A word of x is e + 2^16 o. `all` sums the words and `odd` the o, both modulo 2^32; so
// sum(e) = all - 2^16 sum(o) modulo 2^32, whatever the number of taps.
template <typename Code, int V>
INLINE void add_expanded16(const ExpandedJob& job) {
    constexpr int64_t kLanes = 16 * V;
    const uint16_t* x = static_cast<const uint16_t*>(job.x);
    const Code* codes = static_cast<const Code*>(job.codes);
    for (int64_t n = 0; n < job.positions; ++n) {
        Word8 all[V] = {}, odd[V] = {};
        for (int64_t k = 0; k < job.taps; ++k) {
            const uint16_t* row = x + (k * job.side + codes[k * job.stride + n]) * kLanes;
            for (int v = 0; v < V; ++v) {
                const Word8 both = load<Word8>(row + 16 * v);
                all[v] += both;
                odd[v] += both >> 16;
            }
        }
        uint32_t* acc = job.acc + n * kLanes;
        for (int v = 0; v < V; ++v) {
            store(acc + 16 * v, load<Word8>(acc + 16 * v) + all[v] - (odd[v] << 16));
            store(acc + 16 * v + 8, load<Word8>(acc + 16 * v + 8) + odd[v]);
        }
    }
}

template <typename Code, int V>
INLINE void add_expanded32(const ExpandedJob& job) {
    constexpr int64_t kLanes = 16 * V;
    const uint32_t* x = static_cast<const uint32_t*>(job.x);
    const Code* codes = static_cast<const Code*>(job.codes);
    for (int64_t n = 0; n < job.positions; ++n) {
        uint32_t* acc = job.acc + n * kLanes;
        Word8 sum[2 * V];
        std::memcpy(sum, acc, sizeof sum);
        for (int64_t k = 0; k < job.taps; ++k) {
            const uint32_t* row = x + (k * job.side + codes[k * job.stride + n]) * kLanes;
            for (int v = 0; v < 2 * V; ++v) sum[v] += load<Word8>(row + 8 * v);
        }
        std::memcpy(acc, sum, sizeof sum);
    }
}

template <typename Code>
INLINE void expanded16_of(const ExpandedJob& job) {
    if (job.lanes == 16) {
        add_expanded16<Code, 1>(job);
    } else if (job.lanes == 32) {
        add_expanded16<Code, 2>(job);
    } else {
        add_expanded16<Code, 4>(job);
    }
}

template <typename Code>
INLINE void expanded32_of(const ExpandedJob& job) {
    if (job.lanes == 16) {
        add_expanded32<Code, 1>(job);
    } else if (job.lanes == 32) {
        add_expanded32<Code, 2>(job);
    } else {
        add_expanded32<Code, 4>(job);
    }
}

void expanded16(const ExpandedJob& job) {
    if (job.narrow) {
        expanded16_of<uint8_t>(job);
    } else {
        expanded16_of<uint16_t>(job);
    }
}

void expanded32(const ExpandedJob& job) {
    if (job.narrow) {
        expanded32_of<uint8_t>(job);
    } else {
        expanded32_of<uint16_t>(job);
    }
}

// ---- rows --------------------------------------------------------------------------------------

template <typename Code>
INLINE void rows_of(const RowsJob& job) {
    const Code* codes = static_cast<const Code*>(job.codes);
    const auto column = [&](int64_t k) { return job.columns + job.weights[k] * job.side; };
    int64_t k = 0;
    for (; k + 4 <= job.taps; k += 4) {
        const int32_t *r0 = column(k), *r1 = column(k + 1), *r2 = column(k + 2), *r3 = column(k + 3);
        const Code *c0 = codes + k * job.stride, *c1 = c0 + job.stride, *c2 = c1 + job.stride,
                   *c3 = c2 + job.stride;
        for (int64_t n = 0; n < job.positions; ++n) {
            job.acc[n] += static_cast<uint32_t>(r0[c0[n]]) + static_cast<uint32_t>(r1[c1[n]]) +
                          static_cast<uint32_t>(r2[c2[n]]) + static_cast<uint32_t>(r3[c3[n]]);
        }
    }
    for (; k < job.taps; ++k) {
        const int32_t* row = column(k);
        const Code* code = codes + k * job.stride;
        for (int64_t n = 0; n < job.positions; ++n) job.acc[n] += static_cast<uint32_t>(row[code[n]]);
    }
}

void rows(const RowsJob& job) {
    if (job.narrow) {
        rows_of<uint8_t>(job);
    } else {
        rows_of<uint16_t>(job);
    }
}

}  // namespace
}  // namespace rtlgrad
