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

template <class T>
T exchange(Site site, unsigned lanes, T value, int from) {
    static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable_v<T>);
    if (!(lanes >> (from & (kWarp - 1)) & 1)) fail("a shuffle reads lane %d, which takes no part", from);
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    warp_wait(site, lanes, bits);
    const uint64_t got = lane_of_warp(from & (kWarp - 1)).value;
    warp_wait(site, lanes, bits);  // nobody goes on to another exchange before all have read
    T result;
    memcpy(&result, &got, sizeof(T));
    return result;
}

inline unsigned ballot(Site site, unsigned lanes, bool value) {
    warp_wait(site, lanes, value);
    unsigned result = 0;
    for (int i = 0; i < kWarp; ++i) {
        if (lanes >> i & 1) result |= static_cast<unsigned>(lane_of_warp(i).value & 1) << i;
    }
    warp_wait(site, lanes, value);
    return result;
}

// ---- products of matrices of bytes ----------------------------------------------------------------

// The sum of 4 products of bytes, modulo 2^32.
inline uint32_t four_products(uint32_t a, uint32_t b) {
    uint32_t sum = 0;
    for (int i = 0; i < 32; i += 8) {
        sum += static_cast<uint32_t>(static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i));
    }
    return sum;
}

// What mma.sync on .s8 does, d += a * b, by the fragments of the PTX ISA: with lane = 4 * group + q, register
// r of a (of 4) holds row group + 8 * (r % 2), columns 16 * (r / 2) + 4 * q + (0 .. 3), register r of b (of
// 2) column group, rows 16 * r + 4 * q + (0 .. 3), and register r of d (of 4) row group + 8 * (r / 2), column
// 2 * q + r % 2. m8n8k16 is the part with the first register of a and of b and the first two of d.
template <int kOfA, int kOfB, int kOfD>
void matrix_product(Site site, int32_t* const (&d)[kOfD], const uint32_t (&a)[kOfA], const uint32_t (&b)[kOfB]) {
    memcpy(here().words, a, sizeof a);
    memcpy(here().words + 4, b, sizeof b);
    warp_wait(site, 0xffffffffu, 0);
    const int group = lane() / 4, q = lane() % 4;
    for (int r = 0; r < kOfD; ++r) {
        const int row = group, column = 2 * q + r % 2;
        uint32_t sum = static_cast<uint32_t>(*d[r]);
        for (int half = 0; half < kOfB; ++half) {
            for (int quarter = 0; quarter < 4; ++quarter) {
                sum += four_products(lane_of_warp(4 * row + quarter).words[2 * half + r / 2],
                                     lane_of_warp(4 * column + quarter).words[4 + half]);
            }
        }
        *d[r] = static_cast<int32_t>(sum);
    }
    warp_wait(site, 0xffffffffu, 0);  // nobody brings other operands before all have read
}

// ---- the scheduler ------------------------------------------------------------------------------

inline bool release_warp(int first) {
    const int end = min(first + kWarp, state.count);
    for (int i = first; i < end; ++i) {
        Fiber& fiber = state.fibers[i];
        if (fiber.wait != Wait::warp) continue;
        bool all = true;
        for (int j = 0; j < kWarp; ++j) {
            if (!(fiber.lanes >> j & 1)) continue;
            const bool there = first + j < end;
            const Fiber* other = there ? &state.fibers[first + j] : nullptr;
            all &= there && other->wait == Wait::warp && other->site == fiber.site &&
                   other->lanes == fiber.lanes;
        }
        if (!all) continue;
        for (int j = 0; j < kWarp; ++j) {
            if (fiber.lanes >> j & 1) state.fibers[first + j].wait = Wait::nothing;
        }
        if (fiber.orders && fiber.lanes == 0xffffffffu) ++state.warp_epochs[first / kWarp];
        return true;
    }
    return false;
}

inline bool release_block() {
    uint64_t value = 0;
    for (int i = 0; i < state.count; ++i) {
        const Fiber& fiber = state.fibers[i];
        if (fiber.wait != Wait::block || !(fiber.site == state.fibers[0].site)) return false;
        value |= fiber.value;
    }
    state.barrier_value = value;
    ++state.block_epoch;
    for (int i = 0; i < state.count; ++i) state.fibers[i].wait = Wait::nothing;
    return true;
}

inline void report_divergence() {
    int waiting = -1, elsewhere = -1;
    for (int i = 0; i < state.count; ++i) {
        const Fiber& fiber = state.fibers[i];
        if (fiber.wait == Wait::done) elsewhere = i;
        else if (waiting < 0) waiting = i;
        else if (!(fiber.site == state.fibers[waiting].site)) elsewhere = i;
    }
    const Fiber& fiber = state.fibers[max(waiting, 0)];
    report("a divergent barrier: thread %d of block (%u, %u, %u) waits at %s:%d, thread %d %s", waiting,
           state.block_index.x, state.block_index.y, state.block_index.z, fiber.site.file, fiber.site.line,
           elsewhere,
           elsewhere >= 0 && state.fibers[elsewhere].wait == Wait::done ? "has ended" : "does not come");
}

inline void run_block(std::vector<int>& order, int mode, std::mt19937& random) {
    state.first_epoch = ++state.block_epoch;
    std::memset(state.shared_start, 0xCD, state.shared_bytes);
    for (int i = 0; i < state.count; ++i) prepare(state.fibers[i]);
    for (;;) {
        if (mode == 2) std::shuffle(order.begin(), order.end(), random);
        bool ran = false, live = false;
        for (const int i : order) {
            if (state.fibers[i].wait != Wait::nothing) continue;
            state.current = i;
            to_fiber();
            ran = true;
            if (state.failed) return;
        }
        for (int i = 0; i < state.count; ++i) live |= state.fibers[i].wait != Wait::done;
        if (!live) return;
        bool released = release_block();
        for (int first = 0; first < state.count; first += kWarp) released |= release_warp(first);
        if (!ran && !released) {
            report_divergence();
            return;
        }
    }
}

// ---- shared memory ------------------------------------------------------------------------------

inline bool ordered(const Access& access) {
    if (access.block_epoch != state.block_epoch || access.thread == state.current) return true;
    const int warp = state.current / kWarp;
    return access.thread / kWarp == warp && access.warp_epoch < state.warp_epochs[warp];
}

inline Access now() {
    return Access{state.block_epoch, state.warp_epochs[state.current / kWarp],
                  static_cast<uint16_t>(state.current)};
}

inline void on_read(int offset, int bytes) {
    for (int i = offset; i < offset + bytes; ++i) {
        if (state.calm[i] == state.block_epoch) continue;
        Shadow& shadow = state.shadow[i];
        if (shadow.write.block_epoch < state.first_epoch) fail("byte %d of shared memory is read but was never written", i);
        if (!ordered(shadow.write)) {
            fail("no barrier between thread %d's write and this read of byte %d of shared memory", shadow.write.thread, i);
        }
        if (shadow.read.block_epoch != state.block_epoch) shadow.many_readers = false;
        else if (shadow.read.thread != state.current) shadow.many_readers = true;
        shadow.read = now();
        if (shadow.many_readers && shadow.write.block_epoch != state.block_epoch) state.calm[i] = state.block_epoch;
    }
}

inline void on_write(int offset, int bytes) {
    for (int i = offset; i < offset + bytes; ++i) {
        Shadow& shadow = state.shadow[i];
        const bool read_by_others = shadow.read.block_epoch == state.block_epoch &&
                                    (shadow.many_readers || !ordered(shadow.read));
        if (read_by_others || !ordered(shadow.write)) {
            fail("no barrier between thread %d's %s and this write of byte %d of shared memory",
                 read_by_others ? shadow.read.thread : shadow.write.thread, read_by_others ? "read" : "write", i);
        }
        shadow.write = now();
    }
}

inline void check_shared(int start, int offset, int bytes, int view_bytes, int alignment) {
    if (offset < 0 || offset + bytes > view_bytes || start + view_bytes > state.shared_bytes) {
        fail("bytes %d to %d of a shared view of %d bytes at %d of %d", offset, offset + bytes - 1, view_bytes, start, state.shared_bytes);
    }
    if ((start + offset) % alignment) fail("shared byte %d is not aligned to %d", start + offset, alignment);
}

}  // namespace emulator

template <class T>
class Shared {
  public:
    Shared(int offset, int count) : start_(offset), bytes_(count * static_cast<int>(sizeof(T))) {}
    T load(int i) const { return read<T>(i * static_cast<int>(sizeof(T))); }
    void store(int i, T value) const { write<T>(i * static_cast<int>(sizeof(T)), value); }
    template <class V>
    V load_as(int i) const {
        return read<V>(i * static_cast<int>(sizeof(T)));
    }
    template <class V>
    void store_as(int i, V value) const {
        write<V>(i * static_cast<int>(sizeof(T)), value);
    }
    T load_byte_offset(unsigned bytes) const { return read<T>(static_cast<int>(bytes)); }

  private:
    template <class V>
    V read(int offset) const {
        emulator::check_shared(start_, offset, sizeof(V), bytes_, alignof(V));
        emulator::on_read(start_ + offset, sizeof(V));
        V value;
        memcpy(&value, emulator::state.shared_start + start_ + offset, sizeof(V));
        return value;
    }
    template <class V>
    void write(int offset, V value) const {
        emulator::check_shared(start_, offset, sizeof(V), bytes_, alignof(V));
        emulator::on_write(start_ + offset, sizeof(V));
        memcpy(emulator::state.shared_start + start_ + offset, &value, sizeof(V));
    }
    int start_, bytes_;
};

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
