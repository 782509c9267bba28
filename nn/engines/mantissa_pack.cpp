// Packing x: a few k at a time, cut to what a product reads of a number.

#include "mantissa_work.h"

namespace rtlgrad {
namespace {

void cut_row(const Work& work, uint16_t* to, const float* from, int64_t count) {
    work.kernels.cut16(to, from, count);
}

void cut_row(const Work& work, uint32_t* to, const float* from, int64_t count) {
    work.kernels.cut32(to, from, count);
}

template <typename To>
void pack_matrix(const Work& work, Range positions, Range ks, To* to, int64_t stride, Memory& memory) {
    const MantissaProduct& q = work.q;
    const float* from = q.x + positions.first * q.x_n + ks.first * q.x_k;
    if (q.x_k == 1 && sizeof(To) == 2) {
        uint16_t* rows = reinterpret_cast<uint16_t*>(memory.rows.reserve(positions.count * ks.count * 2));
        for (int64_t n = 0; n < positions.count; ++n) {
            work.kernels.cut16(rows + n * ks.count, from + n * q.x_n, ks.count);
        }
        work.kernels.transpose16(reinterpret_cast<uint16_t*>(to), stride, rows, ks.count, positions.count,
                                 ks.count);
        return;
    }
    for (int64_t k = 0; k < ks.count; ++k) {
        const float* row = from + k * q.x_k;
        if (q.x_n == 1) {
            cut_row(work, to + k * stride, row, positions.count);
        } else {
            for (int64_t n = 0; n < positions.count; ++n) {
                cut_row(work, to + k * stride + n, row + n * q.x_n, 1);
            }
        }
    }
}

// Patches are windows transposed: n and k change places.
void pack_patches(const Work& work, int64_t group, Range positions, Range ks, void* to, int64_t stride,
                  Memory& memory) {
    const Item item{group, 0, 0, ks.first, ks.count};
    const int64_t pitch = pack_stride(ks.count);
    find_segments(work.windows, item, memory.pack);
    pack_codes(work.windows, item, positions.first, positions.count, pitch, memory.pack);
    const void* packed = memory.pack.codes.reserve(0);
    if (work.narrow) {
        return work.kernels.transpose16(static_cast<uint16_t*>(to), stride,
                                        static_cast<const uint16_t*>(packed), pitch, positions.count, ks.count);
    }
    const uint32_t* from = static_cast<const uint32_t*>(packed);
    uint32_t* x = static_cast<uint32_t*>(to);
    for (int64_t n = 0; n < positions.count; ++n) {
        for (int64_t k = 0; k < ks.count; ++k) x[k * stride + n] = from[n * pitch + k];
    }
}

}  // namespace

const uint8_t* pack(const Work& work, const Tile& tile, Range ks, int64_t stride, Memory& memory) {
    if (work.q.kind == kWindows) {
        const Item item{tile.group, 0, 0, tile.positions.first, tile.positions.count};
        pack_codes(work.windows, item, ks.first, ks.count, stride, memory.pack);
        return memory.pack.codes.reserve(0);
    }
    uint8_t* x = memory.x.reserve((ks.count + 1) * stride * work.size());
    if (work.q.kind == kPatches) {
        pack_patches(work, tile.group, tile.positions, ks, x, stride, memory);
    } else if (work.narrow) {
        pack_matrix<uint16_t>(work, tile.positions, ks, reinterpret_cast<uint16_t*>(x), stride,
                                          memory);
    } else {
        pack_matrix<uint32_t>(work, tile.positions, ks, reinterpret_cast<uint32_t*>(x), stride,
                                            memory);
    }
    return x;
}

void measure(const Work& work, Range positions, Range ks, const uint8_t* x, int64_t stride, Memory& memory) {
    memory.exponents.resize(static_cast<size_t>(ks.count));
    for (int64_t k = 0; k < ks.count; ++k) {
        const uint8_t* row = x + k * stride * work.size();
        memory.exponents[static_cast<size_t>(k)] =
            work.narrow ? work.kernels.measure16(reinterpret_cast<const uint16_t*>(row), positions.count)
                        : work.kernels.measure32(reinterpret_cast<const uint32_t*>(row), positions.count);
    }
}

}  // namespace rtlgrad
