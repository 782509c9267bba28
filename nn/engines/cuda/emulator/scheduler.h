// Runs the threads of a block in turn, and lets them past barriers.
#pragma once

#include "fibers.h"

namespace emulator {

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

}  // namespace emulator
