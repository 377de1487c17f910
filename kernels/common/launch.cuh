// Launches of elementwise CUDA kernels: a grid-stride loop, a grid that fills the card, and the check of the
// launch.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "engine/core/error.h"

namespace rankine::cuda {

inline constexpr int kThreads = 256;
inline constexpr std::int64_t kMaxBlocks = 4096;  // enough to fill any card; the loop does the rest

inline void check_launch(std::string_view op) {
  const cudaError_t status = cudaGetLastError();
  require<Error>(status == cudaSuccess, op, ": CUDA launch failed: ", cudaGetErrorString(status));
}

template <class F>
__global__ void for_each_kernel(std::int64_t n, F f) {
  const std::int64_t stride = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += stride) f(i);
}

// Runs f(i) for i in [0, n) on `stream`; f is a device functor, copied to the device by value.
template <class F>
void for_each(std::string_view op, cudaStream_t stream, std::int64_t n, const F& f) {
  if (n <= 0) return;
  const auto blocks = static_cast<unsigned>(std::min(kMaxBlocks, (n + kThreads - 1) / kThreads));
  for_each_kernel<<<blocks, kThreads, 0, stream>>>(n, f);
  check_launch(op);
}

}  // namespace rankine::cuda
