#include "parallel.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <new>
#include <thread>

namespace rtlgrad {
namespace {

// A call under way. It lives on its caller's stack: it is taken off the list before the call returns.
struct Call {
    void (*work)(void*);
    void* context;
    int64_t places;   // threads that may still join
    int64_t running;  // that joined and have not returned, the caller not counted
    Call* next;
};

struct Pool {
    std::mutex mutex;
    std::condition_variable wanted, finished;
    Call* calls = nullptr;
    int64_t threads = 0;
};

// Never destroyed: threads may be asleep in it when the process ends. Not from the heap either: a
// forked child makes it anew, in a moment when little may be called.
alignas(Pool) unsigned char memory[sizeof(Pool)];
Pool* pool = nullptr;

void serve() {
    std::unique_lock<std::mutex> lock(pool->mutex);
    for (;;) {
        Call* call = pool->calls;
        while (call != nullptr && call->places == 0) call = call->next;
        if (call == nullptr) {
            pool->wanted.wait(lock);
            continue;
        }
        --call->places;
        ++call->running;
        lock.unlock();
        call->work(call->context);
        lock.lock();
        if (--call->running == 0) pool->finished.notify_all();
    }
}

// A child of fork has the memory of its parent but none of its threads.
void before_fork() { pool->mutex.lock(); }
void after_fork_in_parent() { pool->mutex.unlock(); }
void after_fork_in_child() { pool = new (memory) Pool; }

void prepare() {
    static const bool done = [] {
        pool = new (memory) Pool;
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
        return true;
    }();
    static_cast<void>(done);
}

// With the pool's mutex held.
void start_threads(int64_t count) {
    try {
        for (; pool->threads < count; ++pool->threads) std::thread(serve).detach();
    } catch (...) {  // no further thread to be had: those that run do all the work
    }
}

}  // namespace

void run_on_threads(int64_t threads, void (*work)(void*), void* context) {
    if (threads <= 1) return work(context);
    prepare();
    Call call{work, context, threads - 1, 0, nullptr};
    std::unique_lock<std::mutex> lock(pool->mutex);
    start_threads(threads - 1);
    call.next = pool->calls;
    pool->calls = &call;
    lock.unlock();
    for (int64_t i = 1; i < threads; ++i) pool->wanted.notify_one();
    work(context);
    lock.lock();
    Call** link = &pool->calls;
    while (*link != &call) link = &(*link)->next;
    *link = call.next;
    pool->finished.wait(lock, [&] { return call.running == 0; });
}

}  // namespace rtlgrad
