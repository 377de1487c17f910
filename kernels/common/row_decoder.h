// Rows of a stored weight into fp32, on the CPU: what the packing of products, products of few rows and table
// look-ups read weights with. One function per type and instruction set, chosen once per panel or row.
#pragma once

#include <cstdint>

#include "engine/core/dtype.h"

namespace rankine::cpu {

// Every block type decodes by groups of 32 numbers, whatever the length of its block.
inline constexpr std::int64_t kDecodeGroup = 32;

// y (count) = elements [first, first + count) of the row that begins at `row`. For a block type `first` and
// `count` are whole groups and the row begins a block. Finite values have the bits that decode_blocks
// (engine/core/block_formats.h) gives. Reads nothing outside the blocks that hold the elements.
using RowDecoder = void (*)(const void* row, std::int64_t first, std::int64_t count, float* y);

// Throws std::logic_error for a type that is no weight's.
RowDecoder row_decoder(DType t);

}  // namespace rankine::cpu
