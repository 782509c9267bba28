// Activation codes of a few taps at a time, in the order in which kernels read them: implicit
// im2col. An image's rows are first staged with their padding, a channel at a time, so that a
// tap's codes for a row of outputs are contiguous; for a horizontal stride s the columns of a
// staged row are grouped by their remainder modulo s.

#include <algorithm>
#include <cstring>

#include "kernels.h"
#include "numbers.h"
#include "table_conv.h"

namespace rtlgrad {
namespace {

constexpr int64_t kSlack = 64;  // elements that a copy may read or write too many

// What is packed of an element: of a code its low bits, of a number as `cut_number` has it.
template <typename From, typename To>
To packed_of(From value, unsigned mask) {
    return static_cast<To>(static_cast<unsigned>(value) & mask);
}
template <>
uint16_t packed_of<float, uint16_t>(float value, unsigned) {
    return cut_number(value);
}
template <>
uint32_t packed_of<float, uint32_t>(float value, unsigned) {
    return flush_number(value);
}

template <typename From, typename To>
void pack_row(const Kernels&, To* to, const From* from, int64_t count, unsigned mask) {
    for (int64_t n = 0; n < count; ++n) to[n] = packed_of<From, To>(from[n], mask);
}
template <>
void pack_row<float, uint16_t>(const Kernels& kernels, uint16_t* to, const float* from, int64_t count,
                               unsigned) {
    kernels.cut16(to, from, count);
}
template <>
void pack_row<float, uint32_t>(const Kernels& kernels, uint32_t* to, const float* from, int64_t count,
                               unsigned) {
    kernels.cut32(to, from, count);
}

template <typename To>
struct Stage {
    To* rows;             // begins with image row y * stride_h - pad_top
    int64_t pitch;        // elements per row
    int64_t phase_width;  // columns that share a remainder
};

int64_t phase_width_of(const TableConv& c) {
    const int64_t reach = (c.out_w - 1) * c.stride_w + (c.kernel_w - 1) * c.dilation_w + 1;
    return (reach + c.stride_w - 1) / c.stride_w;
}

// Rows of bytes that are codes as they stand, at stride 1: the common case. Copies whole blocks
// and repairs what a block wrote too much, unless it would read beyond the images.
void stage_bytes(const TableConv& c, const uint8_t* row, bool inside, uint8_t* to, int64_t width) {
    constexpr int64_t kBlock = 16;
    const uint8_t pad = static_cast<uint8_t>(c.pad_code & (c.side_a - 1));
    const int64_t count = inside ? std::max<int64_t>(0, std::min(c.width, width - c.pad_left)) : 0;
    const int64_t left = count > 0 ? c.pad_left : width;
    const uint8_t* end = static_cast<const uint8_t*>(c.x) + c.batch * c.channels * c.height * c.width;
    if (count > 0 && end - row >= count + kBlock) {
        for (int64_t q = 0; q < count; q += kBlock) std::memcpy(to + left + q, row + q, kBlock);
    } else if (count > 0) {
        std::memcpy(to + left, row, static_cast<size_t>(count));
    }
    for (int64_t q = 0; q < left; ++q) to[q] = pad;
    for (int64_t q = left + count; q < width; ++q) to[q] = pad;
}

template <typename From, typename To>
void stage_row(const Problem& p, const From* row, To* to, int64_t phase_width) {
    const TableConv& c = p.conv;
    const unsigned mask = static_cast<unsigned>(c.side_a - 1);
    const To pad = static_cast<To>(c.pad_code & mask);
    for (int64_t phase = 0; phase < c.stride_w; ++phase, to += phase_width) {
        // Element q is image column q * stride_w + phase - pad_left.
        const int64_t before = c.pad_left - phase;
        const auto first_at = [&](int64_t column) {
            const int64_t distance = column + before;
            const int64_t q = distance <= 0 ? 0 : (distance + c.stride_w - 1) / c.stride_w;
            return std::min(q, phase_width);
        };
        const int64_t begin = row == nullptr ? phase_width : first_at(0);
        const int64_t end = row == nullptr ? phase_width : std::max(begin, first_at(c.width));
        std::fill(to, to + begin, pad);
        if (c.stride_w == 1) {
            if (end > begin) pack_row<From, To>(p.kernels, to + begin, row + begin - before, end - begin, mask);
        } else {
            for (int64_t q = begin; q < end; ++q) {
                to[q] = packed_of<From, To>(row[q * c.stride_w - before], mask);
            }
        }
        std::fill(to + end, to + phase_width, pad);
    }
}

// Image rows under the windows of a segment.
int64_t staged_rows(const TableConv& c, const Segment& s) {
    return (s.last_y - s.y) * c.stride_h + (c.kernel_h - 1) * c.dilation_h + 1;
}

template <typename From, typename To>
Stage<To> stage_rows(const Problem& p, const Segment& s, int64_t channel, To* memory) {
    const TableConv& c = p.conv;
    const int64_t rows = staged_rows(c, s), phase_width = phase_width_of(c);
    const Stage<To> stage{memory, phase_width * c.stride_w, phase_width};
    const From* plane =
        static_cast<const From*>(c.x) + (s.image * c.channels + channel) * c.height * c.width;
    const bool bytes = c.stride_w == 1 && sizeof(From) == 1 && sizeof(To) == 1 && c.side_a == 256;
    for (int64_t r = 0; r < rows; ++r) {
        const int64_t row = s.y * c.stride_h - c.pad_top + r;
        const bool inside = row >= 0 && row < c.height;
        const From* from = plane + (inside ? row * c.width : 0);
        To* to = stage.rows + r * stage.pitch;
        if (bytes) {
            stage_bytes(c, reinterpret_cast<const uint8_t*>(from), inside,
                        reinterpret_cast<uint8_t*>(to), stage.pitch);
        } else {
            stage_row<From, To>(p, inside ? from : nullptr, to, phase_width);
        }
    }
    return stage;
}

// The codes of some taps of one channel for a segment, from its staged rows. `shifts` says where
// in the stage the taps begin.
template <typename To>
void copy_taps(const Problem& p, const Segment& s, const Stage<To>& stage, const int64_t* shifts,
               int64_t taps, int64_t stride, To* to) {
    const int64_t pitch = p.conv.stride_h * stage.pitch, size = sizeof(To);
    const To* from = stage.rows;
    const auto copy = [&](const To* source, int64_t rows, int64_t count) {
        p.kernels.copy_windows({reinterpret_cast<uint8_t*>(to), stride * size,
                                reinterpret_cast<const uint8_t*>(source), shifts, taps, pitch * size,
                                rows, count * size});
        to += rows * count;
    };
    if (s.head > 0) {
        copy(from + s.x, 1, s.head);
        from += pitch;
    }
    if (s.rows > 0) copy(from, s.rows, p.conv.out_w);
    if (s.tail > 0) copy(from + s.rows * pitch, 1, s.tail);
}

// Shifts of all taps of a kernel, in bytes.
template <typename To>
const int64_t* tap_shifts(const TableConv& c, Buffer<int64_t>& memory) {
    const int64_t phase_width = phase_width_of(c), pitch = phase_width * c.stride_w;
    int64_t* shifts = memory.reserve(c.kernel_h * c.kernel_w);
    for (int64_t i = 0; i < c.kernel_h; ++i) {
        for (int64_t j = 0; j < c.kernel_w; ++j) {
            const int64_t column = j * c.dilation_w;
            shifts[i * c.kernel_w + j] =
                (i * c.dilation_h * pitch + column % c.stride_w * phase_width + column / c.stride_w) *
                static_cast<int64_t>(sizeof(To));
        }
    }
    return shifts;
}

template <typename From, typename To>
void pack_windows(const Problem& p, const Item& item, int64_t first, int64_t count, int64_t stride,
                  To* codes, Scratch& scratch) {
    const TableConv& c = p.conv;
    const int64_t area = c.kernel_h * c.kernel_w;
    const int64_t* shifts = tap_shifts<To>(c, scratch.shifts);
    for (int64_t k = first; k < first + count;) {
        const int64_t end = std::min((k / area + 1) * area, first + count);  // of this channel
        const int64_t channel = item.group * (c.channels / c.groups) + k / area;
        for (const Segment& s : scratch.segments) {
            const int64_t size = staged_rows(c, s) * phase_width_of(c) * c.stride_w + kSlack;
            void* raw = scratch.stage.reserve(size * static_cast<int64_t>(sizeof(To)));
            const auto stage = stage_rows<From, To>(p, s, channel, static_cast<To*>(raw));
            copy_taps(p, s, stage, shifts + k % area, end - k, stride,
                      codes + (k - first) * stride + s.position);
        }
        k = end;
    }
}

// A 1x1 kernel at stride 1 without padding reads whole planes.
bool reads_planes(const TableConv& c) {
    return c.kernel_h * c.kernel_w == 1 && c.stride_h == 1 && c.stride_w == 1 &&
           c.out_h == c.height && c.out_w == c.width && c.pad_top == 0 && c.pad_left == 0;
}

template <typename From, typename To>
void pack_planes(const Problem& p, const Item& item, int64_t first, int64_t count, int64_t stride,
                 To* codes, const Scratch& scratch) {
    const TableConv& c = p.conv;
    const unsigned mask = static_cast<unsigned>(c.side_a - 1);
    for (int64_t k = 0; k < count; ++k) {
        const int64_t channel = item.group * (c.channels / c.groups) + first + k;
        for (const Segment& s : scratch.segments) {
            const From* from = static_cast<const From*>(c.x) +
                               (s.image * c.channels + channel) * p.pixels + s.pixel;
            To* to = codes + k * stride + s.position;
            pack_row<From, To>(p.kernels, to, from, s.count, mask);
        }
    }
}

template <typename From, typename To>
void pack_product(const Problem& p, const Item& item, int64_t first, int64_t count, int64_t stride,
                  To* codes) {
    const TableConv& c = p.conv;
    const From* from = static_cast<const From*>(c.x) + item.first_position * c.channels +
                       item.group * p.taps + first;
    if (sizeof(From) == 1 && sizeof(To) == 1) {
        p.kernels.transpose(reinterpret_cast<uint8_t*>(codes), stride, reinterpret_cast<const uint8_t*>(from),
                            c.channels, item.positions, count, static_cast<uint8_t>(c.side_a - 1));
        return;
    }
    const unsigned mask = static_cast<unsigned>(c.side_a - 1);
    for (int64_t n = 0; n < item.positions; ++n) {
        for (int64_t k = 0; k < count; ++k) {
            codes[k * stride + n] = packed_of<From, To>(from[n * c.channels + k], mask);
        }
    }
}

template <typename From, typename To>
void pack(const Problem& p, const Item& item, int64_t first, int64_t count, int64_t stride,
          Scratch& scratch) {
    void* raw = scratch.codes.reserve((count * stride + kSlack) * static_cast<int64_t>(sizeof(To)));
    To* codes = static_cast<To*>(raw);
    if (p.is_product()) {
        pack_product<From, To>(p, item, first, count, stride, codes);
    } else if (reads_planes(p.conv)) {
        pack_planes<From, To>(p, item, first, count, stride, codes, scratch);
    } else {
        pack_windows<From, To>(p, item, first, count, stride, codes, scratch);
    }
}

}  // namespace

void find_segments(const Problem& p, const Item& item, Scratch& scratch) {
    scratch.segments.clear();
    const int64_t out_w = p.conv.out_w;
    for (int64_t n = 0; n < item.positions;) {
        const int64_t position = item.first_position + n;
        const int64_t image = position / p.pixels, pixel = position % p.pixels;
        const int64_t count = std::min(p.pixels - pixel, item.positions - n);
        const int64_t y = pixel / out_w, x = pixel % out_w;
        const int64_t head = x == 0 ? 0 : std::min(out_w - x, count);
        scratch.segments.push_back({image, pixel, y, x, (pixel + count - 1) / out_w, count, head,
                                    (count - head) / out_w, (count - head) % out_w, n});
        n += count;
    }
}

bool reads_staged(const Problem& p) {
    const TableConv& c = p.conv;
    if (p.is_product() || c.channels != c.groups || c.stride_h != 1 || c.stride_w != 1) return false;
    const int64_t height = c.out_h + (c.kernel_h - 1) * c.dilation_h;
    return p.narrow() && height * phase_width_of(c) <= 2 * p.pixels;
}

Staged stage_codes(const Problem& p, const Item& item, Scratch& scratch) {
    const TableConv& c = p.conv;
    const int64_t* shifts = tap_shifts<uint8_t>(c, scratch.shifts);
    const int64_t pitch = phase_width_of(c);
    int64_t rows = 0;
    for (const Segment& s : scratch.segments) rows += staged_rows(c, s);
    uint8_t* codes = scratch.stage.reserve(rows * pitch + shifts[p.taps - 1] + kSlack);
    uint8_t* to = codes;
    for (const Segment& s : scratch.segments) {
        if (c.x_bytes == 1) {
            stage_rows<uint8_t, uint8_t>(p, s, item.group, to);
        } else {
            stage_rows<int16_t, uint8_t>(p, s, item.group, to);
        }
        to += staged_rows(c, s) * pitch;
    }
    return {codes, shifts, pitch, rows};
}

int64_t pack_stride(int64_t positions) {
    // An odd number of cache lines, lest the same positions of all taps meet in one cache set.
    const int64_t lines = (positions + 63) / 64 + 1;
    return (lines | 1) * 64;
}

int64_t pack_taps(const Problem& p, int64_t wanted) {
    const int64_t area = p.conv.kernel_h * p.conv.kernel_w;
    const int64_t blocks = std::max<int64_t>(1, (p.taps + wanted - 1) / wanted);
    const int64_t even = std::max<int64_t>(1, (p.taps + blocks - 1) / blocks);
    return area >= wanted ? even : (even + area - 1) / area * area;
}

void pack_codes(const Problem& p, const Item& item, int64_t first, int64_t count, int64_t stride,
                Scratch& scratch) {
    if (p.conv.x_bytes == 4) {
        if (p.conv.side_a == kNarrowNumbers) {
            return pack<float, uint16_t>(p, item, first, count, stride, scratch);
        }
        return pack<float, uint32_t>(p, item, first, count, stride, scratch);
    }
    if (p.conv.x_bytes == 1) {
        if (p.narrow()) return pack<uint8_t, uint8_t>(p, item, first, count, stride, scratch);
        return pack<uint8_t, uint16_t>(p, item, first, count, stride, scratch);
    }
    if (p.narrow()) return pack<int16_t, uint8_t>(p, item, first, count, stride, scratch);
    return pack<int16_t, uint16_t>(p, item, first, count, stride, scratch);
}

}  // namespace rtlgrad
