// What a call of the native engine is given, and how the work is cut.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

#include "lowrank.h"

extern "C" {
// Mirrored field by field in native.py.
struct TableConv {
    int64_t batch, channels, height, width;
    int64_t outputs, kernel_h, kernel_w;
    int64_t out_h, out_w;
    int64_t stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
    int64_t groups, pad_code;
    int64_t side_a, side_b;    // table is [side_a][side_b]
    int64_t offset;            // every compact entry plus this is the product
    int64_t x_bytes, w_bytes;  // bytes per code: 1 or 2
    int64_t threads, isa, route;
    int64_t plane_count, scale, unit, flip, common;  // see plane_layout.py
    const void* x;              // [batch][channels][height][width]
    const void* w;              // [outputs][channels / groups][kernel_h][kernel_w]
    const int32_t* columns;     // [side_b][side_a]
    const uint16_t* compact;    // [side_b][side_a], or null
    const uint8_t* planes;      // [side_b][plane_count][256], or null
    const int32_t* base;        // [side_b], or null
    const int8_t* slopes;       // [side_b], or null
    int32_t* out;               // [batch][outputs][out_h][out_w], or null:
    // result = factors * (sum + terms - w_zero * sum over taps of (code ^ x_flip)), modulo 2^32.
    float* result;
    const uint32_t* terms;   // [outputs]
    const float* factors;    // [outputs]
    int64_t w_zero, x_flip;
    const DigitTable* digits;  // see lowrank.h, or null
};
}

namespace rtlgrad {

struct Kernels;

enum Route : int64_t { kRows = 0, kExpanded = 1, kPlanes = 2, kLowRank = 3 };

struct Problem {
    const TableConv& conv;
    const Kernels& kernels;
    int64_t taps;       // products per output
    int64_t outputs;    // per group
    int64_t pixels;     // outputs per image and channel
    int64_t positions;  // batch * pixels

    bool is_product() const {
        return conv.height * conv.width == 1 && pixels == 1 && conv.pad_top == 0 &&
               conv.pad_left == 0 && taps * conv.groups == conv.channels;
    }
    bool narrow() const { return conv.side_a <= 256; }  // packed codes take one byte
    bool needs_sums() const { return conv.result != nullptr && conv.w_zero != 0; }

    // The codes of an output's weights from tap `first` on.
    void weights(int64_t output, int64_t first, int64_t count, uint16_t* to) const {
        const unsigned mask = static_cast<unsigned>(conv.side_b - 1);
        const int64_t at = output * taps + first;
        if (conv.w_bytes == 1) {
            const uint8_t* from = static_cast<const uint8_t*>(conv.w) + at;
            for (int64_t k = 0; k < count; ++k) to[k] = static_cast<uint16_t>(from[k] & mask);
        } else {
            const int16_t* from = static_cast<const int16_t*>(conv.w) + at;
            for (int64_t k = 0; k < count; ++k) {
                to[k] = static_cast<uint16_t>(static_cast<unsigned>(from[k]) & mask);
            }
        }
    }
};

// One group, a range of its outputs, a range of positions (which run over images and pixels).
struct Item {
    int64_t group, first_output, outputs, first_position, positions;

    int64_t output(const Problem& p, int64_t m) const {
        return group * p.outputs + first_output + m;
    }
};

// Memory for kernels: aligned to cache lines, grows, is not initialised.
template <typename T>
class Buffer {
public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { std::free(data_); }

    T* reserve(int64_t count) {
        if (count > size_) {
            std::free(data_);
            size_ = 0;
            const size_t bytes = (static_cast<size_t>(count) * sizeof(T) + 127) / 64 * 64;
            data_ = static_cast<T*>(std::aligned_alloc(64, bytes));
            if (data_ == nullptr) throw std::bad_alloc();
            size_ = count;
        }
        return data_;
    }

private:
    T* data_ = nullptr;
    int64_t size_ = 0;
};

// Positions of an item that lie in one image, `count` of them: the end of an output row, whole
// rows, the beginning of a row.
struct Segment {
    int64_t image, pixel, y, x, last_y, count, head, rows, tail;
    int64_t position;  // of the first, in the item
};

struct Scratch {
    std::vector<Segment> segments;
    Buffer<int64_t> shifts;
    Buffer<uint8_t> codes, stage, quads;
    Buffer<uint32_t> acc, constants, sums;
    Buffer<uint8_t> expanded;
    Buffer<uint16_t> weights;
    Buffer<int8_t> slopes;
    Buffer<int64_t> at;
    Buffer<uint32_t> right, left, ones, settled;
    Buffer<const uint32_t*> pointers;
};

// codes[k * stride + n] <- the code of tap first + k at position n of the item, one byte each if
// the problem is narrow, else two; every code is below side_a. The stride leaves room for 64
// codes beyond the item's positions, which may be overwritten.
void pack_codes(const Problem& p, const Item& item, int64_t first, int64_t count, int64_t stride,
                Scratch& scratch);
int64_t pack_stride(int64_t positions);

// Depthwise: with a channel to a group, nothing need be packed. The padded rows of all segments lie
// one below the other, the code of a tap is at codes[shifts[tap] + row * pitch + column] for an
// output at (row, column), and what is computed for rows and columns between is not used.
struct Staged {
    const uint8_t* codes;
    const int64_t* shifts;
    int64_t pitch, rows;  // a segment takes (kernel_h - 1) * dilation_h rows more than it has outputs
};
bool reads_staged(const Problem& p);
Staged stage_codes(const Problem& p, const Item& item, Scratch& scratch);

// To be called before the first pack_codes of an item.
void find_segments(const Problem& p, const Item& item, Scratch& scratch);
// Taps to pack at a time: about `wanted`, whole channels where that is possible.
int64_t pack_taps(const Problem& p, int64_t wanted);

void run_item(const Problem& p, const Item& item, Scratch& scratch);
// The most positions and outputs that an item of the problem's route may have.
Item largest_item(const Problem& p);

}  // namespace rtlgrad
