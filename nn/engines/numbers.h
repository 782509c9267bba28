// What the kernels of mantissa tables read of a float32.
#pragma once

#include <cstdint>
#include <cstring>

namespace rtlgrad {

// `side_a` of a TableConv whose x are numbers, four bytes each: the upper half or all of them is packed.
constexpr int64_t kNarrowNumbers = INT64_C(1) << 16, kWideNumbers = INT64_C(1) << 32;

inline uint32_t bits_of(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

// Zero and subnormal numbers become +0: in a sum that begins with +0 a zero's sign is never seen.
inline uint32_t flush_number(float value) {
    const uint32_t bits = bits_of(value);
    return (bits & 0x7f800000u) == 0 ? 0 : bits;
}

// The upper half, rounded towards zero. A NaN stays one though its payload may lie in the lower half.
inline uint16_t cut_number(float value) {
    const uint32_t bits = flush_number(value);
    const uint32_t nan = (bits & 0x7fffffffu) > 0x7f800000u ? 0x40u : 0u;
    return static_cast<uint16_t>(bits >> 16 | nan);
}

}  // namespace rtlgrad
