// Kernels for any CPU: whatever the compiler makes of its default target.

#include "kernels_common.h"

namespace rtlgrad {

const Kernels kPortableKernels = {"portable", copy_windows,  transpose,  expand16, expand32,
                                  expanded16, expanded32, rows,       nullptr,  nullptr,
                                  nullptr,    nullptr};

}  // namespace rtlgrad
