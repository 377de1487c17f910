// Sums and maxima over a warp and a block, in an order that follows from the block's size alone: the same
// bits every time.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace rankine::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xFFFFFFFFU;

// Every lane gets the result. All 32 lanes call.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(kAllLanes, x, offset);
  return x;
}
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, offset));
  return x;
}

// Every thread gets the result. All threads of a block of 32 n <= 1024 call; `scratch` holds one float per
// warp and may be used again at once.
template <class Combine>
__device__ __forceinline__ float block_reduce(float x, float identity, float* scratch, Combine combine) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  x = combine(x);
  if (lane == 0) scratch[warp] = x;
  __syncthreads();
  x = combine(lane < warps ? scratch[lane] : identity);
  __syncthreads();
  return x;
}
__device__ __forceinline__ float block_sum(float x, float* scratch) {
  return block_reduce(x, 0.0F, scratch, [](float v) { return warp_sum(v); });
}
__device__ __forceinline__ float block_max(float x, float* scratch) {
  return block_reduce(x, -INFINITY, scratch, [](float v) { return warp_max(v); });
}

}  // namespace rankine::cuda
