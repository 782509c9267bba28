// Kernels for AVX-512 with VBMI (byte permutations of two registers) and VNNI (dot products).

#include "kernels_common.h"
#include "kernels_layer.h"
#include "lowrank_kernels_vbmi.h"
#include "mantissa_vbmi.h"
#include "planes_vbmi.h"

namespace rtlgrad {

const Kernels kVbmiKernels = {
    "vbmi",    copy_windows, transpose, expand16, expand32, expanded16, expanded32, rows,
    planes,    dots,         quads,     finish,
    {{mantissa_narrow_vbmi, mantissa_checked_vbmi, mantissa_narrow},
     {mantissa_wide_vbmi, mantissa_wide, mantissa_wide}},
    steps_vbmi, cut16, cut32, measure16, measure32, transpose16,
    sum_codes, rescale, quantize, dequantize, gate, &kByteKernels};

}  // namespace rtlgrad
