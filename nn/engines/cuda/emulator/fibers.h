// The threads of a block as fibers: their state, switching between them, reports, waiting.
#pragma once

#include <signal.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <type_traits>
#include <vector>

#define RTLGRAD_HOST
#define __device__
#define __global__
#define __forceinline__ inline

using std::max;
using std::min;

struct dim3 {
    unsigned x, y, z;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
struct alignas(8) uint2 {
    uint32_t x, y;
};

namespace emulator {

constexpr int kWarp = 32;
constexpr size_t kStackBytes = 64 << 10;
constexpr size_t kReportBytes = 512;

enum class Wait { nothing, block, warp, done };

// What a thread stands at: two waits match if they are of the same line.
struct Site {
    const char* file;
    int line;
    bool operator==(const Site& other) const { return line == other.line && file == other.file; }
};

struct Fiber {
    void* stack_pointer;
    ucontext_t context;
    char* stack;
    Wait wait;
    Site site;
    unsigned lanes;   // of a warp operation: who takes part
    bool orders;      // whether the warp operation orders accesses to memory
    uint64_t value;   // what it brings to a warp operation or a barrier
    uint32_t words[6];  // what it brings to a matrix product
};

// Who touched a byte of shared memory last, and when.
struct Access {
    uint32_t block_epoch, warp_epoch;
    uint16_t thread;
};

struct Shadow {
    Access write, read;
    bool many_readers;
};

struct State {
    std::vector<Fiber> fibers;
    int count = 0, current = 0;
    dim3 block_dim{}, grid_dim{}, block_index{};
    void* scheduler_stack = nullptr;
    ucontext_t scheduler_context;
    void (*entry)(const void*) = nullptr;
    const void* arguments = nullptr;
    std::vector<unsigned char> shared;
    unsigned char* shared_start = nullptr;
    int shared_bytes = 0;
    std::vector<Shadow> shadow;
    // The block epoch in which a byte, written before it, was read by several threads: further reads
    // of that epoch change nothing.
    std::vector<uint32_t> calm;
    uint32_t first_epoch = 1, block_epoch = 1;
    std::vector<uint32_t> warp_epochs;
    uint64_t barrier_value = 0;
    bool failed = false;
    char report[kReportBytes];
    sigjmp_buf fault;
};

inline State state;

inline Fiber& here() { return state.fibers[state.current]; }

// ---- switching ----------------------------------------------------------------------------------

#if defined(__x86_64__)
extern "C" void rtlgrad_switch(void** save, void* to);
asm(R"(
.text
.p2align 4
.local rtlgrad_switch
.type rtlgrad_switch, @function
rtlgrad_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size rtlgrad_switch, .-rtlgrad_switch
)");
inline void to_scheduler() { rtlgrad_switch(&here().stack_pointer, state.scheduler_stack); }
inline void to_fiber() { rtlgrad_switch(&state.scheduler_stack, here().stack_pointer); }
#else
inline void to_scheduler() { swapcontext(&here().context, &state.scheduler_context); }
inline void to_fiber() { swapcontext(&state.scheduler_context, &here().context); }
#endif

inline void thread_main() {
    state.entry(state.arguments);
    here().wait = Wait::done;
    to_scheduler();
    abort();
}

inline void prepare(Fiber& fiber) {
    fiber.wait = Wait::nothing;
#if defined(__x86_64__)
    auto top = (reinterpret_cast<uintptr_t>(fiber.stack) + kStackBytes) & ~uintptr_t{15};
    void** stack = reinterpret_cast<void**>(top);
    *--stack = nullptr;  // keeps the stack as the ABI wants it on entry to a function
    *--stack = reinterpret_cast<void*>(thread_main);
    for (int i = 0; i < 6; ++i) *--stack = nullptr;
    fiber.stack_pointer = stack;
#else
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, thread_main, 0);
#endif
}

// ---- reports ------------------------------------------------------------------------------------

template <class... Values>
void report(const char* format, Values... values) {
    if (state.failed) return;
    state.failed = true;
    snprintf(state.report, kReportBytes, format, values...);
}

// Ends the launch from within a thread, which is never resumed.
template <class... Values>
[[noreturn]] void fail(const char* format, Values... values) {
    char what[kReportBytes / 2];
    snprintf(what, sizeof what, format, values...);
    report("%s, by thread %d of block (%u, %u, %u)", what, state.current, state.block_index.x,
           state.block_index.y, state.block_index.z);
    here().wait = Wait::done;
    to_scheduler();
    abort();
}

inline void on_signal(int signal, siginfo_t* info, void*) {
    const char* what = signal == SIGILL ? "an array index out of bounds or a misaligned pointer"
                                        : "an access to memory that is no buffer's or read-only";
    report("%s: address %p, by thread %d of block (%u, %u, %u)", what,
           signal == SIGILL ? nullptr : info->si_addr, state.current, state.block_index.x,
           state.block_index.y, state.block_index.z);
    siglongjmp(state.fault, 1);
}

// ---- waiting ------------------------------------------------------------------------------------

inline void wait_at(Wait wait, Site site, unsigned lanes, uint64_t value) {
    Fiber& me = here();
    me.wait = wait;
    me.site = site;
    me.lanes = lanes;
    me.value = value;
    to_scheduler();
}

inline int barrier(Site site, bool value) {
    wait_at(Wait::block, site, 0, value);
    return static_cast<int>(state.barrier_value);
}

// Waits for the named lanes of the warp; after it, each one's `value` stands until its next wait.
// Exchanges of registers do not order accesses to memory; __syncwarp does.
inline void warp_wait(Site site, unsigned lanes, uint64_t value, bool orders = false) {
    here().orders = orders;
    wait_at(Wait::warp, site, lanes, value);
}

inline int lane() { return state.current % kWarp; }
inline Fiber& lane_of_warp(int index) { return state.fibers[state.current - lane() + index]; }

}  // namespace emulator
