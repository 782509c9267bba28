// The inner loops that exist once per instruction set. A kernels_*.cpp fills one Kernels.
//
// The sources of kernels use no library template or inline function of external linkage: the
// linker would keep one copy of it, possibly the one compiled for instructions this CPU lacks.
#pragma once

#include <cstdint>

namespace rtlgrad {

struct DigitKernels;

// acc[n][lanes] += sum over taps of x[tap][codes[tap * stride + n]][lanes].
// Entries of 2 bytes lie in x in the order of `lane_of`.
struct ExpandedJob {
    const void* x;       // [taps][side][lanes]
    const void* codes;   // one or two bytes each
    int64_t side, stride, taps, positions, lanes;  // lanes: 16, 32 or 64
    bool narrow;         // codes take one byte
    uint32_t* acc;       // [positions][lanes]
};

// x[a][lane] = columns[weights[lane]][a] for one tap; lanes beyond `outputs` may hold anything.
struct ExpandJob {
    const void* columns;      // [side_b][side]
    const uint16_t* weights;  // [outputs]
    int64_t side, outputs, lanes;
    void* x;                  // [side][lanes]
};

// acc[n] += sum over taps of columns[weights[tap]][codes[tap * stride + n]].
struct RowsJob {
    const int32_t* columns;   // [side_b][side]
    const uint16_t* weights;  // [taps]
    const void* codes;
    int64_t side, stride, taps, positions;
    bool narrow;
    uint32_t* acc;
};

// acc[i] += sum over taps k and planes p of unit * 256^p * planes[weights[k]][p][codes[at[k] + i]],
// i in the order of `order64`.
struct PlanesJob {
    const uint8_t* planes;    // [side_b][count][256]
    const uint16_t* weights;  // [taps]
    const uint8_t* codes;
    const int64_t* at;        // [taps], where a tap's codes begin
    int64_t count, taps, vectors;  // vectors of 64 positions
    uint32_t unit;
    uint32_t* acc;            // [vectors][64]
};

// acc[m][i] += sum over taps of slopes[m][tap] * quads[tap][i], i in the order of `order64`.
struct DotsJob {
    const int8_t* slopes;  // [outputs][taps]
    const uint8_t* quads;  // [taps / 4][vectors * 64][4]
    int64_t taps;          // a multiple of 4
    int64_t outputs, vectors;
    int64_t acc_stride;
    uint32_t* acc;         // [outputs][acc_stride]
};

struct FinishJob {
    uint32_t* acc;         // [vectors][64]
    const uint32_t* sums;  // [vectors][64] in the order of acc, or null for zeros
    int64_t vectors;
    uint32_t scale, common, constant;
};

// For each tap: rows of `bytes` bytes, `pitch` apart in from + shifts[tap], one behind the other in
// to + tap * stride. May write up to 63 bytes beyond a tap's last row and read as many beyond each.
struct WindowsJob {
    uint8_t* to;
    int64_t stride;
    const uint8_t* from;
    const int64_t* shifts;  // [taps]
    int64_t taps, pitch, rows, bytes;
};

// A number of the operand that is taken one at a time, beside the k it belongs to.
struct MantissaStep {
    uint16_t k, row;
    uint16_t high;  // sign, and exponent - 127, as the upper half of a float32, plus the row's base
    uint16_t w;     // the number itself, cut to its upper half; of a NaN a NaN is left
};

// acc[i] += P(w, x[k][i]) step by step; see mantissa_layout.py for P. Narrow x are the upper halves
// of float32 numbers, and i runs in the order of `order32`; wide ones are whole, in natural order.
// Zeros of x are +0, and it has no subnormal numbers.
struct MantissaJob {
    const uint8_t* entries;
    const uint8_t* deltas;
    const int32_t* base;
    const uint16_t* wide;
    int64_t bits;
    uint16_t keep;
    bool zeros;  // x may hold zeros
    const MantissaStep* steps;
    int64_t count;
    const void* x;
    int64_t stride, vectors;  // vectors of 32 positions
    float* acc;
};

// How a kernel may go about its steps.
enum MantissaCare : int64_t {
    kPlain = 0,    // every product is zero by a zero of x, or a normal number
    kChecked = 1,  // exponents may leave their range
    kSpecial = 2,  // x or w may be infinite or NaN
};

// The biased exponents of the numbers in a row of x that are not zero: least (256 if there is none)
// and greatest (0 if there is none).
struct Exponents {
    int32_t least, greatest;
    bool zeros;
};

// The steps of numbers w[k], whose exponents should lie in least[k] to greatest[k].
struct StepsJob {
    const float* w;
    const int32_t* base;  // null for zeros
    const int32_t *least, *greatest;
    int64_t bits, count;
    MantissaStep* steps;  // room for 16 more than count
};

// sums[n] += sum over taps k of codes[at[k] + n] ^ flip. May read and write up to 63 codes and sums
// beyond the positions.
struct SumsJob {
    const void* codes;
    const int64_t* at;  // [taps], in codes
    int64_t taps, positions;
    uint32_t flip;
    bool narrow;  // codes take one byte
    uint32_t* sums;
};

// to[n] = factor * (from[n] + add - w_zero * sums[n]), the sum an int32 modulo 2^32.
struct RescaleJob {
    float* to;
    const uint32_t* from;
    const uint32_t* sums;  // null for zeros
    int64_t count;
    uint32_t add, w_zero;
    float factor;
};

// value = clamp(round_half_even(x / scale) + zero, low, high); codes, and where hat is not null also
// hat = (value - zero) * scale, and inside: whether nothing was clamped.
struct QuantizeJob {
    const float* x;
    int64_t count;
    float scale, zero, low, high;
    uint32_t mask;  // the bits of a code
    bool narrow;    // codes take one byte, else two
    void* codes;
    float* hat;
    uint8_t* inside;
};

// to = (value - zero) * scale, the value ((code + half) & mask) - half.
struct DequantizeJob {
    const void* codes;
    int64_t count;
    int32_t half, mask, zero;
    float scale;
    bool narrow;  // codes take one byte, else two
    float* to;
};

struct Kernels {
    const char* name;

    void (*copy_windows)(const WindowsJob& job);
    // to[k * stride + n] = from[n * pitch + k] & mask, of bytes.
    void (*transpose)(uint8_t* to, int64_t stride, const uint8_t* from, int64_t pitch, int64_t rows,
                      int64_t columns, uint8_t mask);

    void (*expand16)(const ExpandJob& job);
    void (*expand32)(const ExpandJob& job);
    void (*expanded16)(const ExpandedJob& job);
    void (*expanded32)(const ExpandedJob& job);
    void (*rows)(const RowsJob& job);

    // Null unless the instruction set has byte permutations and byte dot products.
    void (*planes)(const PlanesJob& job);
    void (*dots)(const DotsJob& job);
    // quads[k / 4][order64 of n][k % 4] = codes[k * stride + n] ^ flip, for taps a multiple of 4.
    void (*quads)(uint8_t* quads, const uint8_t* codes, int64_t stride, int64_t taps,
                  int64_t vectors, uint8_t flip);
    // acc <- scale * (acc + common * sums) + constant, in natural order.
    void (*finish)(const FinishJob& job);

    void (*mantissa[2][3])(const MantissaJob& job);  // [narrow, wide][MantissaCare]
    // Fills the steps, unless an exponent lies outside; says whether it did.
    bool (*steps)(const StepsJob& job);
    // to[n] = cut_number(from[n]) or flush_number(from[n]) of numbers.h.
    void (*cut16)(uint16_t* to, const float* from, int64_t count);
    void (*cut32)(uint32_t* to, const float* from, int64_t count);
    Exponents (*measure16)(const uint16_t* x, int64_t count);
    Exponents (*measure32)(const uint32_t* x, int64_t count);
    // to[k * stride + n] = from[n * pitch + k].
    void (*transpose16)(uint16_t* to, int64_t stride, const uint16_t* from, int64_t pitch,
                        int64_t rows, int64_t columns);

    void (*sum_codes)(const SumsJob& job);
    void (*rescale)(const RescaleJob& job);
    bool (*quantize)(const QuantizeJob& job);  // says whether there is a NaN among x
    void (*dequantize)(const DequantizeJob& job);
    // to[n] = from[n] * kept[n], of bytes that are 0 or 1.
    void (*gate)(float* to, const float* from, const uint8_t* kept, int64_t count);

    const DigitKernels* digits;
};

// Those of an instruction set, in the order of isa.py, or null.
const Kernels* kernels_of(int64_t isa);

extern const Kernels kPortableKernels;
#if defined(RTLGRAD_HAS_AVX2)
extern const Kernels kAvx2Kernels;
#endif
#if defined(RTLGRAD_HAS_VBMI)
extern const Kernels kVbmiKernels;
#endif

}  // namespace rtlgrad
