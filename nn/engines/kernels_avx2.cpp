// Kernels for AVX2: the common ones, compiled with its 256-bit integer vectors and gathers.

#include "kernels_common.h"

namespace rtlgrad {

const Kernels kAvx2Kernels = {"avx2",     copy_windows,  transpose,  expand16, expand32,
                              expanded16, expanded32, rows,       nullptr,  nullptr,
                              nullptr,    nullptr};

}  // namespace rtlgrad
