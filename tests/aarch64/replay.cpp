// Calls the native engine on behalf of another process, whose memory it is sent: emulated.py.
//
// A request on the standard input is int64 numbers and bytes: the function, the number of blocks of memory,
// and for each block its size, its contents, and the places in it that point to blocks, as (offset, block,
// offset in that block). The answer is the status and the contents of all blocks. The first is the argument.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

extern "C" {
int32_t rtlgrad_table_conv(const void*);
int32_t rtlgrad_mantissa_product(const void*);
int32_t rtlgrad_quantize(const void*);
int32_t rtlgrad_dequantize(const void*);
int32_t rtlgrad_gate(const void*);
}

namespace {

using Call = int32_t (*)(const void*);
constexpr Call kCalls[] = {rtlgrad_table_conv, rtlgrad_mantissa_product, rtlgrad_quantize,
                           rtlgrad_dequantize, rtlgrad_gate};

struct Pointer {
    int64_t at, block, offset;
};

// Each block has an allocation of its own, of its exact size.
struct Block {
    std::unique_ptr<uint8_t[]> bytes;
    int64_t size;
    std::vector<Pointer> pointers;
};

void take(void* to, int64_t size) {
    const size_t bytes = static_cast<size_t>(size);
    if (std::fread(to, 1, bytes, stdin) != bytes) std::exit(3);
}

int64_t take_number() {
    int64_t value;
    take(&value, sizeof value);
    return value;
}

void give(const void* from, int64_t size) {
    const size_t bytes = static_cast<size_t>(size);
    if (std::fwrite(from, 1, bytes, stdout) != bytes) std::exit(3);
}

std::vector<Block> take_blocks() {
    std::vector<Block> blocks(static_cast<size_t>(take_number()));
    for (Block& block : blocks) {
        block.size = take_number();
        block.bytes.reset(new uint8_t[static_cast<size_t>(block.size)]);
        take(block.bytes.get(), block.size);
        block.pointers.resize(static_cast<size_t>(take_number()));
        for (Pointer& p : block.pointers) p = {take_number(), take_number(), take_number()};
    }
    for (Block& block : blocks) {
        for (const Pointer& p : block.pointers) {
            const uint8_t* target = blocks[static_cast<size_t>(p.block)].bytes.get() + p.offset;
            std::memcpy(block.bytes.get() + p.at, &target, sizeof target);
        }
    }
    return blocks;
}

}  // namespace

int main() {
    int64_t which;
    while (std::fread(&which, sizeof which, 1, stdin) == 1) {
        const std::vector<Block> blocks = take_blocks();
        const int64_t status = kCalls[which](blocks[0].bytes.get());
        give(&status, sizeof status);
        for (const Block& block : blocks) give(block.bytes.get(), block.size);
        std::fflush(stdout);
    }
    return 0;
}
