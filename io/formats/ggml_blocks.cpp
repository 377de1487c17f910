#include "io/formats/ggml_blocks.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace rankine {
namespace {

constexpr std::size_t kHalfBytes = 16;  // at the end of each block of 32 numbers

std::size_t block_bytes(FileDType dtype) { return block_of(*memory_dtype(dtype)).bytes; }

}  // namespace

bool has_half_bytes(FileDType dtype) {
  switch (dtype) {
    case FileDType::q4_0:
    case FileDType::q4_1:
    case FileDType::q5_0:
    case FileDType::q5_1:
    case FileDType::q4_0_f32:
    case FileDType::q4_1_f32:
      return true;
    default:
      return false;
  }
}

void split_half_bytes(FileDType dtype, std::span<std::byte> blocks) {
  const std::size_t size = block_bytes(dtype);
  const auto number = [](const std::array<std::byte, kHalfBytes>& from, std::size_t i) {
    return i % 2 == 0 ? from[i / 2] & std::byte{15} : from[i / 2] >> 4;
  };
  for (std::size_t at = 0; at + size <= blocks.size(); at += size) {
    std::byte* const qs = &blocks[at + size - kHalfBytes];
    std::array<std::byte, kHalfBytes> adjacent;
    std::memcpy(adjacent.data(), qs, kHalfBytes);
    for (std::size_t j = 0; j < kHalfBytes; ++j)
      qs[j] = number(adjacent, j) | number(adjacent, j + kHalfBytes) << 4;
  }
}

bool looks_row_wise(FileDType dtype, std::span<const std::byte> row) {
  const std::size_t size = block_bytes(dtype), blocks = row.size() / size;
  std::size_t strange = 0;
  for (std::size_t i = 0; i < blocks; ++i) {
    float scale;
    std::memcpy(&scale, &row[i * size], sizeof(scale));
    const float magnitude = std::abs(scale);
    if (!(scale == 0.0F || (magnitude > 1e-12F && magnitude < 1e3F))) ++strange;
  }
  return strange * 4 > blocks;
}

}  // namespace rankine
