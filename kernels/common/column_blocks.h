// How CUDA kernels cut sums over the rows of x (samples, rows, cols): blocks of threads take `height` rows of
// a strip of columns. Everything follows from the sizes alone, so sums have the same bits on every card.
#pragma once

#include <algorithm>
#include <cstdint>

namespace rankine {

struct ColumnBlocks {
  std::int64_t samples, rows, cols;
  // Enough blocks to fill a card, but at least 32 rows and 4096 numbers in each, so that what the blocks
  // leave stays small beside what they read and narrow rows keep all threads busy.
  constexpr std::int64_t height() const {
    const std::int64_t strips = (cols + 255) / 256;
    return std::max(
        {std::int64_t{32}, 4096 / std::max<std::int64_t>(1, cols), (samples * rows * strips + 1023) / 1024});
  }
  constexpr std::int64_t chunks() const { return (rows + height() - 1) / height(); }
  // Elements of one partial sum: (samples, chunks, cols).
  constexpr std::int64_t partial() const { return samples * chunks() * cols; }
};

}  // namespace rankine
