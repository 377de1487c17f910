// Statistics of a row of eights, as the kernels with and without a middle make them. Both add in one order
// and round at the same places, so their y and statistics have the same bits: first the eight numbers of a
// chunk; then, for l = 0 to 31, the chunks l, l + 32, l + 64, ...; then those 32 sums, neighbours first.
#pragma once

#include "kernels/common/numeric.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/norm/norm_impl.h"

namespace rankine::cuda {

struct RowStats {
  float rough, rest, rstd;  // the mean is rough + rest
};
// The variance is taken about a first, rough mean, which also gives the error of that mean: with a mean far
// larger than the deviation nothing is lost, because x - rough is exact.
struct RowSums {
  float rest, square;  // of x - rough
};

__device__ __forceinline__ float chunk_sum(const Eight& e) {
  float sum = 0;
#pragma unroll
  for (int k = 0; k < 8; ++k) sum += e.x[k];
  return sum;
}
__device__ __forceinline__ RowSums chunk_sums(const Eight& e, float rough) {
  RowSums sums{0, 0};
#pragma unroll
  for (int k = 0; k < 8; ++k) {
    const float d = e.x[k] - rough;
    sums.rest += d;
    sums.square = fmaf(d, d, sums.square);
  }
  return sums;
}
// The sum over a warp, neighbours first.
__device__ __forceinline__ float lanes_sum(float x) {
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) x += __shfl_xor_sync(kAllLanes, x, offset);
  return x;
}

// What no compiler may contract: a mean, and what follows from the sums.
__device__ __forceinline__ float mean_of(float sum, std::int64_t cols) {
  return __fmul_rn(sum, 1.0F / static_cast<float>(cols));
}
__device__ __forceinline__ RowStats stats_of(float rough, const RowSums& sums, std::int64_t cols, float eps,
                                             bool centred) {
  const float rest = centred ? mean_of(sums.rest, cols) : 0.0F;
  const float variance = fmaxf(0.0F, fmaf(-rest, rest, mean_of(sums.square, cols)));
  return {rough, rest, 1.0F / sqrtf(variance + eps)};
}
__device__ __forceinline__ void store_stats(float* stats, std::int64_t row, const RowStats& s, bool centred) {
  if (centred) stats[2 * row] = s.rough + s.rest;
  stats[centred ? 2 * row + 1 : row] = s.rstd;
}
__device__ __forceinline__ float normalised(float x, const RowStats& s) {
  return ((x - s.rough) - s.rest) * s.rstd;
}

}  // namespace rankine::cuda
