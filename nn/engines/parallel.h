// The threads of the library: started when first wanted, kept, asleep while there is no work.
#pragma once

#include <cstdint>

namespace rtlgrad {

// Runs work(context) on the calling thread and on up to `threads` - 1 others at the same time, and
// returns when all have returned. Fewer, even none, may take part: the others serve all callers
// together, and never are there more of them than the largest `threads` asked for, less one. `work`
// must share out what is to be done by itself, and must not throw.
void run_on_threads(int64_t threads, void (*work)(void*), void* context);

template <typename Work>
void run_on_threads(int64_t threads, Work& work) {
    run_on_threads(threads, [](void* context) { (*static_cast<Work*>(context))(); }, &work);
}

}  // namespace rtlgrad
