// Runs a CUDA kernel on the CPU and watches what it does.
//
// Every CUDA thread is a fiber. A barrier is a switch back to the scheduler, which goes through the
// threads in order, in reverse, or shuffled anew each round, and lets them past a barrier only once
// all of them stand at the same one. What is reported instead of being run on:
//   - a barrier that not all threads of a block (or all named lanes of a warp) reach,
//   - shared memory: accesses out of bounds or misaligned, reads of what was never written, and two
//     accesses by different threads, one of them a write, that no barrier orders,
//   - global memory: accesses to pages that are no buffer's, or writes to one that is read-only; Python
//     puts each buffer between forbidden pages,
//   - local arrays out of bounds and misaligned pointers (compiled to traps).
#pragma once

#include "scheduler.h"
#include "shared_memory.h"
#include "warps.h"

// ---- CUDA's names -------------------------------------------------------------------------------

struct EmulatedThreadIndex {
    struct Component {
        int axis;
        operator unsigned() const {
            const dim3& size = emulator::state.block_dim;
            const unsigned linear = emulator::state.current;
            return axis == 0 ? linear % size.x : axis == 1 ? linear / size.x % size.y : linear / (size.x * size.y);
        }
    };
    Component x{0}, y{1}, z{2};
};
inline const EmulatedThreadIndex threadIdx;
#define blockIdx (emulator::state.block_index)
#define blockDim (emulator::state.block_dim)
#define gridDim (emulator::state.grid_dim)

#define RTLGRAD_SITE (emulator::Site{__FILE__, __LINE__})
#define __syncthreads() ((void)emulator::barrier(RTLGRAD_SITE, false))
#define __syncthreads_or(value) emulator::barrier(RTLGRAD_SITE, (value) != 0)
#define __syncwarp(...) emulator::warp_wait(RTLGRAD_SITE, 0xffffffffu, 0, true)
#define __shfl_sync(lanes, value, from) emulator::exchange(RTLGRAD_SITE, lanes, value, from)
#define __shfl_xor_sync(lanes, value, mask) emulator::exchange(RTLGRAD_SITE, lanes, value, emulator::lane() ^ (mask))
#define __shfl_down_sync(lanes, value, by) \
    emulator::exchange(RTLGRAD_SITE, lanes, value, emulator::lane() + (by) < emulator::kWarp ? emulator::lane() + (by) : emulator::lane())
#define __ballot_sync(lanes, value) emulator::ballot(RTLGRAD_SITE, lanes, value)

#define mma_m8n8k16(d0, d1, a, b) emulator::matrix_product<1, 1, 2>(RTLGRAD_SITE, {&(d0), &(d1)}, {a}, {b})
#define mma_m16n8k32(d, a, b) \
    emulator::matrix_product<4, 2, 4>(RTLGRAD_SITE, {&(d)[0], &(d)[1], &(d)[2], &(d)[3]}, a, b)

template <class T>
T __ldg(const T* address) {
    return *address;
}
template <class T>
T atomicAdd(T* address, T value) {
    const T old = *address;
    *address = static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) + static_cast<std::make_unsigned_t<T>>(value));
    return old;
}
inline int atomicOr(int* address, int value) {
    const int old = *address;
    *address |= value;
    return old;
}
inline int __dp4a(int a, int b, int c) {
    for (int i = 0; i < 32; i += 8) c += static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i);
    return c;
}
inline uint32_t __byte_perm(uint32_t low, uint32_t high, uint32_t selector) {
    const uint64_t both = static_cast<uint64_t>(high) << 32 | low;
    uint32_t result = 0;
    for (int i = 0; i < 4; ++i) {
        const uint32_t choice = selector >> (4 * i) & 15;
        uint32_t byte = both >> (8 * (choice & 7)) & 255;
        if (choice & 8) byte = byte & 128 ? 255 : 0;
        result |= byte << (8 * i);
    }
    return result;
}
inline int __clz(int value) { return value ? __builtin_clz(static_cast<unsigned>(value)) : 32; }
template <class To, class From>
To emulated_cast(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To result;
    memcpy(&result, &value, sizeof(To));
    return result;
}
inline float __uint_as_float(uint32_t bits) { return emulated_cast<float>(bits); }
inline uint32_t __float_as_uint(float value) { return emulated_cast<uint32_t>(value); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __ll2float_rn(long long value) { return static_cast<float>(value); }

// ---- launching ----------------------------------------------------------------------------------

#define RTLGRAD_EXPORT __attribute__((visibility("default")))
#define RTLGRAD_KERNEL(name, Problem, threads)                                       \
    static void name(const Problem& p);                                              \
    extern "C" RTLGRAD_EXPORT int name##_argument_bytes() { return sizeof(Problem); } \
    extern "C" RTLGRAD_EXPORT void name##_entry(const void* arguments) {             \
        name(*static_cast<const Problem*>(arguments));                               \
    }                                                                                \
    static void name([[maybe_unused]] const Problem& p)

// Runs a grid; returns 0, or 1 with what was found in `report` (kReportBytes bytes).
// mode: 0 threads in order, 1 reversed, 2 shuffled each round from `seed`.
extern "C" inline __attribute__((used)) RTLGRAD_EXPORT int rtlgrad_emulate(
    void (*entry)(const void*), const void* arguments, const unsigned* grid, const unsigned* block,
    int shared_bytes, int mode, unsigned seed, char* report_text) {
    using namespace emulator;
    state.grid_dim = dim3{grid[0], grid[1], grid[2]};
    state.block_dim = dim3{block[0], block[1], block[2]};
    state.count = static_cast<int>(block[0] * block[1] * block[2]);
    state.entry = entry;
    state.arguments = arguments;
    state.failed = false;
    while (state.fibers.size() < static_cast<size_t>(state.count)) {
        Fiber fiber{};
        fiber.stack = static_cast<char*>(mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (fiber.stack == MAP_FAILED) {
            snprintf(report_text, kReportBytes, "no memory for the stack of a thread");
            return 1;
        }
        state.fibers.push_back(fiber);
    }
    state.shared.assign(shared_bytes + 256, 0);
    state.shared_start = reinterpret_cast<unsigned char*>(
        (reinterpret_cast<uintptr_t>(state.shared.data()) + 255) & ~uintptr_t{255});
    state.shared_bytes = shared_bytes;
    state.shadow.assign(shared_bytes, Shadow{});
    state.calm.assign(shared_bytes, 0);
    state.block_epoch = 1;
    state.warp_epochs.assign((state.count + kWarp - 1) / kWarp, 1);

    std::vector<int> order(state.count);
    for (int i = 0; i < state.count; ++i) order[i] = mode == 1 ? state.count - 1 - i : i;
    std::mt19937 random(seed);

    std::vector<char> signal_stack(64 << 10);
    stack_t alternate{}, old_alternate;
    alternate.ss_sp = signal_stack.data();
    alternate.ss_size = signal_stack.size();
    sigaltstack(&alternate, &old_alternate);
    struct sigaction action{};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    const int signals[] = {SIGSEGV, SIGBUS, SIGILL};
    struct sigaction old[3];
    for (int i = 0; i < 3; ++i) sigaction(signals[i], &action, &old[i]);
    if (sigsetjmp(state.fault, 1) == 0) {
        const unsigned blocks = grid[0] * grid[1] * grid[2];
        for (unsigned i = 0; i < blocks && !state.failed; ++i) {
            const unsigned linear = mode == 1 ? blocks - 1 - i : i;
            state.block_index = dim3{linear % grid[0], linear / grid[0] % grid[1], linear / (grid[0] * grid[1])};
            run_block(order, mode, random);
        }
    }
    for (int i = 0; i < 3; ++i) sigaction(signals[i], &old[i], nullptr);
    sigaltstack(&old_alternate, nullptr);
    if (state.failed) memcpy(report_text, state.report, kReportBytes);
    return state.failed;
}
