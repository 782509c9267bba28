// Views of shared memory that check bounds, and that what is read was written and ordered by a barrier.
#pragma once

#include "fibers.h"

namespace emulator {

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
