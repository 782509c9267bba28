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

#endif

// Addresses travel as 64-bit integers, so that the layout of a problem is the same everywhere.
template <class T>
__device__ inline T* pointer(u64 address) {
    return reinterpret_cast<T*>(address);
}

// Of a power of two.
__device__ inline int log2_of(int power) { return 31 - __clz(power); }

__device__ inline int ceil_div(int a, int b) { return (a + b - 1) / b; }
