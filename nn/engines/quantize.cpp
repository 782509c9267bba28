// Real numbers to operand codes, in one pass; the definition is in nn/quantize.py.

#include <algorithm>
#include <atomic>
#include <cmath>

#include "kernels.h"
#include "parallel.h"

extern "C" {
// Mirrored field by field in native_quantize.py.
struct Quantization {
    int64_t rows, inner;  // a scale to each row of x
    int64_t zero, low, high, bits;
    int64_t code_bytes, threads, isa;
    const float* x;       // [rows][inner]
    const float* scales;  // [rows]
    void* codes;          // [rows][inner]
    float* hat;           // [rows][inner], or null
    uint8_t* inside;      // [rows][inner], or null if hat is
};
}

namespace rtlgrad {
namespace {

constexpr int64_t kPart = INT64_C(1) << 15;  // numbers taken by a thread at a time
constexpr int64_t kThreadNumbers = INT64_C(1) << 16;

bool quantize_part(const Quantization& q, const Kernels& kernels, int64_t row, int64_t begin, int64_t count) {
    const int64_t at = row * q.inner + begin;
    uint8_t* codes = static_cast<uint8_t*>(q.codes) + at * q.code_bytes;
    return kernels.quantize({q.x + at, count, q.scales[row], static_cast<float>(q.zero),
                             static_cast<float>(q.low), static_cast<float>(q.high),
                             (1u << q.bits) - 1u, q.code_bytes == 1, codes,
                             q.hat == nullptr ? nullptr : q.hat + at,
                             q.hat == nullptr ? nullptr : q.inside + at});
}

bool quantize_rows(const Quantization& q, const Kernels& kernels) {
    const int64_t parts = (q.inner + kPart - 1) / kPart, useful = 1 + q.rows * q.inner / kThreadNumbers;
    std::atomic<int64_t> next{0};
    std::atomic<bool> nan{false};
    auto work = [&] {
        for (int64_t i = next++; i < q.rows * parts; i = next++) {
            const int64_t begin = i % parts * kPart;
            if (quantize_part(q, kernels, i / parts, begin, std::min(kPart, q.inner - begin))) nan = true;
        }
    };
    run_on_threads(std::min(q.threads, useful), work);
    return nan;
}

}  // namespace
}  // namespace rtlgrad

// Returns 0; 2 if the instruction set is not there; 3 if x holds NaN; 4 if a scale is not a finite
// positive number.
extern "C" __attribute__((visibility("default"))) int32_t rtlgrad_quantize(const Quantization* q) {
    using namespace rtlgrad;
    const Kernels* kernels = kernels_of(q->isa);
    if (kernels == nullptr) return 2;
    for (int64_t row = 0; row < q->rows; ++row) {
        if (!(std::isfinite(q->scales[row]) && q->scales[row] > 0)) return 4;
    }
    return quantize_rows(*q, *kernels) ? 3 : 0;
}
