// What kernels are written in: CUDA C++ and, for shared memory, the views below.
//
// The host emulator includes its own header before this one and defines RTLGRAD_HOST; there, a view
// checks bounds, reads of what was never written, and accesses that no barrier orders. On a device
// a view is a bare pointer.
#pragma once

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using i16 = short;
using i32 = int;
using i64 = long long;
using u64 = unsigned long long;

#ifndef RTLGRAD_HOST

#define RTLGRAD_KERNEL(name, Problem, threads) \
    extern "C" __global__ void __launch_bounds__(threads, 1) name(const __grid_constant__ Problem p)

extern __shared__ __align__(16) u8 rtlgrad_shared[];

template <class T>
class Shared {
  public:
    __device__ Shared(int offset, int /* count */)
        : data_(reinterpret_cast<T*>(rtlgrad_shared + offset)) {}
    __device__ T load(int i) const { return data_[i]; }
    __device__ void store(int i, T value) const { data_[i] = value; }
    // A vector V made of elements i, i + 1, ...; i must be a multiple of their number.
    template <class V>
    __device__ V load_as(int i) const {
        return *reinterpret_cast<const V*>(data_ + i);
    }
    template <class V>
    __device__ void store_as(int i, V value) const {
        *reinterpret_cast<V*>(data_ + i) = value;
    }
    // The element at a distance in bytes from the first.
    __device__ T load_byte_offset(u32 bytes) const {
        return *reinterpret_cast<const T*>(reinterpret_cast<const u8*>(data_) + bytes);
    }

  private:
    T* data_;
};

// d += a * b, integers of 8 bits, summed modulo 2^32; a warp together. Fragments are as the PTX ISA lays
// them out ("Matrix Fragments for mma.m8n8k16" and "... for mma.m16n8k32"), with lane = 4 * i + q: a
// register of a holds row i, bytes 4 q .. 4 q + 3; one of b the same of column i; d[0] and d[1] are
// row i, columns 2 q and 2 q + 1.
__device__ inline void mma_m8n8k16(i32& d0, i32& d1, u32 a, u32 b) {
    asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
                 : "+r"(d0), "+r"(d1)
                 : "r"(a), "r"(b));
}

#endif

// Rows 0-7 and 8-15 by bytes 0-15 and 16-31: what GPUs without the larger instruction take.
__device__ inline void mma_by_quarters(i32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    mma_m8n8k16(d[0], d[1], a[0], b[0]);
    mma_m8n8k16(d[2], d[3], a[1], b[0]);
    mma_m8n8k16(d[0], d[1], a[2], b[1]);
    mma_m8n8k16(d[2], d[3], a[3], b[1]);
}

#ifndef RTLGRAD_HOST
// As above; registers of a hold (row i, bytes from 4 q), (i + 8, 4 q), (i, 4 q + 16), (i + 8, 4 q + 16), those
// of b bytes from 4 q and from 4 q + 16, and d[2], d[3] row i + 8.
__device__ inline void mma_m16n8k32(i32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#if __CUDA_ARCH__ >= 800
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    mma_by_quarters(d, a, b);
#endif
}
#endif

// Addresses travel as 64-bit integers, so that the layout of a problem is the same everywhere.
template <class T>
__device__ inline T* pointer(u64 address) {
    return reinterpret_cast<T*>(address);
}

// Of a power of two.
__device__ inline int log2_of(int power) { return 31 - __clz(power); }

__device__ inline int ceil_div(int a, int b) { return (a + b - 1) / b; }
