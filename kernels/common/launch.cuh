// Launches of CUDA kernels, and the memory a block shares. No other file writes <<< >>>, so the same sources
// run on a card and in kernels/emulator.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "engine/core/cuda_device.h"
#include "engine/core/error.h"
#ifdef RANKINE_EMULATED
#include <emulator.h>
#endif

namespace rankine::cuda {

// One launch. `sizes` are the extents the kernel works on; they are there for the message when it fails.
struct Launch {
  std::string_view op;
  dim3 grid, block;
  CudaStream stream;
  std::size_t shared_bytes = 0;  // dynamic; above 48 KiB the kernel is told so before the launch
  std::array<std::int64_t, 4> sizes{};
  const char* file = __builtin_FILE();
  int line = __builtin_LINE();
};

inline void check_launch(const Launch& l, cudaError_t status) {
  if (status == cudaSuccess) return;
  std::string sizes;
  for (const std::int64_t n : l.sizes) {
    if (n != 0) sizes.append(1, ' ').append(std::to_string(n));
  }
  throw Error(join(l.op, ": CUDA launch failed: ", cudaGetErrorString(status), " (sizes", sizes, "; grid ",
                   l.grid.x, "x", l.grid.y, "x", l.grid.z, ", block ", l.block.x, "x", l.block.y, "x",
                   l.block.z, ", ", l.shared_bytes, " bytes shared; ", l.file, ":", l.line, ")"));
}

// Runs kernel(args...) on l.stream. Throws Error, naming the operation, its sizes and the file, when the
// launch is refused; an error while the kernel runs is seen by the next call that waits.
template <class... Params, class... Args>
void launch(const Launch& l, void (*kernel)(Params...), Args&&... args) {
  constexpr std::size_t kWithoutAsking = 48 * 1024;
  if (l.shared_bytes > kWithoutAsking) {
    check_launch(l, cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                         cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         static_cast<int>(l.shared_bytes)));
  }
#ifdef RANKINE_EMULATED
  // As on a card, the arguments are evaluated here and copied to the kernel.
  const std::string name(l.op);
  const emulator::LaunchInfo info{
      name.c_str(), reinterpret_cast<const void*>(kernel), l.file, l.line, l.grid, l.block, l.shared_bytes,
      l.stream};
  emulator::launch(info, [kernel, values = std::tuple<Params...>(std::forward<Args>(args)...)] {
    std::apply(kernel, values);
  });
#else
  kernel<<<l.grid, l.block, l.shared_bytes, l.stream>>>(static_cast<Params>(args)...);
#endif
  check_launch(l, cudaGetLastError());
}

// The block's dynamic shared memory, aligned to 128 bytes.
template <class T>
__device__ T* shared_memory() {
#ifdef RANKINE_EMULATED
  return reinterpret_cast<T*>(emulator::dynamic_shared());
#else
  extern __shared__ __align__(128) unsigned char rankine_shared[];
  return reinterpret_cast<T*>(rankine_shared);
#endif
}

inline constexpr int kThreads = 256;
inline constexpr std::int64_t kMaxBlocks = 4096;  // enough to fill any card; the loop does the rest

template <class F>
__global__ void __launch_bounds__(kThreads) for_each_kernel(std::int64_t n, F f) {
  const std::int64_t stride = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += stride) f(i);
}

// Runs f(i) for i in [0, n) on `stream`; f is a device functor, copied to the device by value.
template <class F>
void for_each(std::string_view op, CudaStream stream, std::int64_t n, const F& f) {
  if (n <= 0) return;
  const auto blocks = static_cast<unsigned>(std::min(kMaxBlocks, (n + kThreads - 1) / kThreads));
  launch({.op = op, .grid = blocks, .block = kThreads, .stream = stream, .sizes = {n}}, for_each_kernel<F>, n,
         f);
}

}  // namespace rankine::cuda
