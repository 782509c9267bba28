// Real numbers to operand codes and back, in one pass each; the definition is in nn/quantize.py.

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
// Likewise.
struct Dequantization {
    int64_t rows, inner;
    int64_t zero, bits, is_signed;
    int64_t code_bytes, threads, isa;
    const void* codes;    // [rows][inner]
    const float* scales;  // [rows]
    float* to;            // [rows][inner]
};
struct Gating {
    int64_t count;
    int64_t threads, isa;
    const float* from;
    const uint8_t* kept;
    float* to;
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

// Calls act(row, begin, count) for all parts of all rows, on several threads.
template <typename Act>
void share_out(int64_t rows, int64_t inner, int64_t threads, const Act& act) {
    const int64_t parts = (inner + kPart - 1) / kPart, useful = 1 + rows * inner / kThreadNumbers;
    std::atomic<int64_t> next{0};
    auto work = [&] {
        for (int64_t i = next++; i < rows * parts; i = next++) {
            const int64_t begin = i % parts * kPart;
            act(i / parts, begin, std::min(kPart, inner - begin));
        }
    };
    run_on_threads(std::min(threads, useful), work);
}

bool quantize_rows(const Quantization& q, const Kernels& kernels) {
    std::atomic<bool> nan{false};
    share_out(q.rows, q.inner, q.threads, [&](int64_t row, int64_t begin, int64_t count) {
        if (quantize_part(q, kernels, row, begin, count)) nan = true;
    });
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

// Returns 0; 2 if the instruction set is not there.
extern "C" __attribute__((visibility("default"))) int32_t rtlgrad_dequantize(const Dequantization* d) {
    using namespace rtlgrad;
    const Kernels* kernels = kernels_of(d->isa);
    if (kernels == nullptr) return 2;
    const int32_t half = d->is_signed != 0 ? 1 << (d->bits - 1) : 0;
    const int32_t mask = d->is_signed != 0 ? (1 << d->bits) - 1 : -1;
    share_out(d->rows, d->inner, d->threads, [&](int64_t row, int64_t begin, int64_t count) {
        const int64_t at = row * d->inner + begin;
        kernels->dequantize({static_cast<const uint8_t*>(d->codes) + at * d->code_bytes, count, half, mask,
                             static_cast<int32_t>(d->zero), d->scales[row], d->code_bytes == 1, d->to + at});
    });
    return 0;
}

// Likewise.
extern "C" __attribute__((visibility("default"))) int32_t rtlgrad_gate(const Gating* g) {
    using namespace rtlgrad;
    const Kernels* kernels = kernels_of(g->isa);
    if (kernels == nullptr) return 2;
    share_out(1, g->count, g->threads, [&](int64_t, int64_t begin, int64_t count) {
        kernels->gate(g->to + begin, g->from + begin, g->kept + begin, count);
    });
    return 0;
}
