// Sums of floating-point products whose mantissas come from a table.
//
// Operands are float32 or bfloat16; of their mantissas the upper bits that the table knows count.
// A product has the exclusive or of the signs, the biased exponent e = ea + eb - 127 + carry, and
// the table's mantissa; e < 1, or an operand that is zero or subnormal, makes it a zero, e > 254 an
// infinity; NaN, and zero times infinity, make it NaN. Sums are float32 in the order of tile_loop.cuh; one
// that is not a number is the quiet NaN 0x7fc00000.
//
// The table is [weight's mantissa][activation's mantissa] of (carry << bits | mantissa). With
// RTLGRAD_TABLE_SHARED it is 128 x 128 bytes: a warp's lanes read one row of 32 words, which never
// meet in a bank. Else it is 2-byte entries of 2^bits x 2^bits in global memory.
//
// Per stage, operands whose exponents lie in [64, 190] (or that are zero) have products whose
// exponents fit: there scale_a * scale_b is a power of two, exact, and one fused addition rounds as
// product and sum would. Any other operand sends the block's stage through the full rules.
#include "tile_loop.cuh"

namespace {

constexpr u32 kSign = 0x80000000u, kExponent = 0x7f800000u, kOne = 0x3f800000u;
constexpr u32 kNan = 0x7fc00000u, kInfinity = kExponent;
constexpr u32 kNoProduct = 1;  // operands with their low bits cut off never look like this
constexpr u32 kLeast = 64u << 23, kGreatest = 190u << 23;

// Zeros for subnormals, one NaN for all; low bits cut off. Kind 0: float32; kind 1: bfloat16.
__device__ inline u32 read_number(u64 address, int kind, i64 index, u32 kept) {
    u32 word = kind == 0 ? __ldg(pointer<const u32>(address) + index)
                         : static_cast<u32>(__ldg(pointer<const u16>(address) + index)) << 16;
    const u32 exponent = word & kExponent;
    if (exponent == 0) return word & kSign;
    if (exponent == kExponent && (word & 0x7fffffu)) return kNan;
    return word & kept;
}

__device__ inline bool is_unusual(u32 word) {
    const u32 exponent = word & kExponent;
    return exponent != 0 && (exponent < kLeast || exponent > kGreatest);
}

struct alignas(8) MantissaWeight {
    u32 row;    // entries before the mantissa's row
    u32 scale;  // sign and exponent, as a float's bits
};

struct MantissaProduct {
    using Weight = MantissaWeight;
    using Activation = u32;
    using Sum = float;

    static constexpr bool kWatched = true;

    const Gemm& p;
    Shared<u8> table;
    // Known when the narrow table is compiled for, which saves an instruction per product.
    const u32 shift, side_mask, kept;

    __device__ explicit MantissaProduct(const Gemm& problem)
        : p(problem),
          table(0, RTLGRAD_TABLE_SHARED ? problem.table_rows * problem.table_stride : 0),
          shift(RTLGRAD_TABLE_SHARED ? 16 : problem.shift),
          side_mask(RTLGRAD_TABLE_SHARED ? 127 : problem.table_rows - 1),
          kept(~((1u << shift) - 1)) {}

    __device__ void prepare() const {
#if RTLGRAD_TABLE_SHARED
        const u32* source = pointer<const u32>(p.table);
        for (int i = threadIdx.x; i < p.table_rows * p.table_stride / 4; i += blockDim.x) {
            table.template store_as<u32>(4 * i, __ldg(source + i));
        }
#endif
    }

    __device__ Activation activation(i64 source, bool& unusual) const {
        if (source == kNothing) return kNoProduct;
        if (source == kOutside) return 0;
        const u32 word = read_number(p.x, p.x_kind, source, kept);
        unusual |= is_unusual(word);
        return word;
    }

    __device__ Weight weight(i64 index, bool& unusual) const {
        if (index < 0) return Weight{0, 0};
        const u32 word = read_number(p.w, p.w_kind, index, kept);
        unusual |= is_unusual(word);
        return Weight{(word >> shift & side_mask) * p.table_stride, word & (kSign | kExponent)};
    }

    __device__ u32 entry(u32 index) const {
#if RTLGRAD_TABLE_SHARED
        return table.load_byte_offset(index);
#else
        return __ldg(pointer<const u16>(p.table) + index);
#endif
    }

    __device__ static float plus(float a, float b) { return __fadd_rn(a, b); }

    template <bool kUnusual>
    __device__ void add(Sum& sum, const Weight& w, Activation a) const {
        const u32 mantissa = a >> shift & side_mask;
        const u32 significand = kOne + (entry(w.row + mantissa) << shift);  // 1 to below 4
        const u32 scale = a & (kSign | kExponent);
        if constexpr (kUnusual) {
            if (a != kNoProduct) sum = __fadd_rn(sum, by_rules(w, scale, mantissa, significand));
        } else {
            const float power = __fmul_rn(__uint_as_float(scale), __uint_as_float(w.scale));
            sum = __fmaf_rn(power, __uint_as_float(significand), sum);
        }
    }

    __device__ static float by_rules(const Weight& w, u32 scale, u32 mantissa, u32 significand) {
        const u32 sign = (scale ^ w.scale) & kSign;
        const u32 ea = scale & kExponent, eb = w.scale & kExponent;
        if (ea == kExponent || eb == kExponent) {
            const bool no_number = (ea == kExponent && mantissa) || (eb == kExponent && w.row);
            return __uint_as_float(no_number || ea == 0 || eb == 0 ? kNan : sign | kInfinity);
        }
        if (ea == 0 || eb == 0) return __uint_as_float(sign);
        // significand's own exponent is 127, and one more with the carry.
        const int e = static_cast<int>(ea >> 23) + static_cast<int>(eb >> 23) - 254 +
                      static_cast<int>(significand >> 23);
        if (e < 1) return __uint_as_float(sign);
        if (e > 254) return __uint_as_float(sign | kInfinity);
        return __uint_as_float(sign | static_cast<u32>(e) << 23 | (significand & 0x7fffffu));
    }

    __device__ void write(i64 index, int /* output */, Sum sum, int /* counted */) const {
        pointer<float>(p.out)[index] = sum == sum ? sum : __uint_as_float(kNan);
    }

    __device__ int shared_bytes() const {
        return RTLGRAD_TABLE_SHARED ? p.table_rows * p.table_stride : 0;
    }
};

}  // namespace

RTLGRAD_KERNEL(mantissa_rows, Gemm, kThreads) { tile_loop(p, MantissaProduct(p)); }
