// Dropout masks of SampleDropout (lowrank.h) on CUDA, made again where they are used.
#pragma once

#include <cmath>

#include "kernels/common/numeric.cuh"
#include "kernels/lowrank/lowrank_impl.h"
#include "kernels/random/philox.cuh"

namespace rankine::cuda {

// The smallest word that keeps its element. to_uniform is exact, so word >= this says what
// to_uniform(word) >= p does.
inline std::uint32_t keeping_word(float p) {
  return static_cast<std::uint32_t>(std::max(0.0, std::ceil(double{p} * 0x1p23 - 0.5))) << 9;
}

// The mask of a matrix (samples x rows_each, cols).
struct SampleMask {
  RandomStream stream;
  std::uint32_t keep;
  int rows_each, cols;

  struct Row {
    RandomStream stream;
    std::int64_t first;  // word of column 0
  };
  __device__ __forceinline__ Row row(int row) const {
    Row r{stream, std::int64_t{row % rows_each} * cols};
    r.stream.sample += static_cast<std::uint32_t>(row / rows_each);
    return r;
  }
  // Bit i: element `column` + i is kept; kCount <= 8. Aligned where 8 divides both cols and column.
  template <int kCount, bool kAligned>
  __device__ __forceinline__ unsigned kept(int at_row, int column) const {
    const Row r = row(at_row);
    unsigned bits = 0;
    Words words{};
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const std::int64_t word = r.first + column + i;
      if (i == 0 || (kAligned ? i % 4 == 0 : word % 4 == 0))
        words = generate(r.stream, static_cast<std::uint32_t>(word / 4));
      bits |= unsigned{words.at(kAligned ? i % 4 : static_cast<int>(word % 4)) >= keep} << i;
    }
    return bits;
  }
};

inline SampleMask sample_mask(const DropArgs& d, std::int64_t cols) {
  return {d.stream, keeping_word(d.p), static_cast<int>(d.rows_each), static_cast<int>(cols)};
}

}  // namespace rankine::cuda
