// Kernels for any CPU: whatever the compiler makes of its default target.

#include "kernels_common.h"
#include "kernels_layer.h"
#include "kernels_mantissa.h"
#include "lowrank_kernels.h"

namespace rtlgrad {

const Kernels kPortableKernels = {
    "portable", copy_windows, transpose, expand16, expand32, expanded16, expanded32, rows,
    nullptr,    nullptr,      nullptr,   nullptr,
    {{mantissa_narrow_plain, mantissa_narrow, mantissa_narrow},
     {mantissa_wide_plain, mantissa_wide, mantissa_wide}},
    steps, cut16, cut32, measure16, measure32, transpose16,
    sum_codes, rescale, quantize, dequantize, gate, &kHalfKernels};

}  // namespace rtlgrad
